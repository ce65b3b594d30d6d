"""The run folder: what lies where, written so that a kill at any moment leaves nothing half-written in use.

config.yaml           the resolved configuration, commented
split.json            chip keys of train, validation and test
data.json             identity of the data set
teacher.json          the finished model that the run learns from, where it has one
statistics.json       band statistics of the training chips
metrics.csv           the loss curve and the validation scores
tensorboard/          the same for TensorBoard
checkpoints/          last.ckpt to resume from, best.safetensors the best weights by validation
bundle/, full/        the results
result.json           written last: a run that has it is finished
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from overcast.arithmetic import Precision
from overcast.atomic import LEFTOVERS, write_atomic
from overcast.data.identity import TrainingData
from overcast.errors import ConfigError, InputError
from overcast.raster.radiometry import Statistics
from overcast.reading import read_record, read_yaml, shortened
from overcast.section import Section
from overcast.training.plan import TrainResult

FREE_SETTINGS = frozenset({"data.root", "training.workers", "training.cache_gb"})
"""Settings that change no weight: a run may be resumed with others."""


RESTORE = "restore it, or start the run afresh in another folder"


class _Result(Section):
    """What `result.json` says."""

    steps: int
    best_step: int
    metrics: dict[str, dict[str, float]]


@dataclass(frozen=True)
class RunFolder:
    """Paths and small files of one run."""

    path: Path

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def statistics(self) -> Path:
        """Band statistics of the training chips."""
        return self.path / "statistics.json"

    @property
    def split(self) -> Path:
        """Chip keys of each subset."""
        return self.path / "split.json"

    @property
    def data(self) -> Path:
        """Identity of the data set."""
        return self.path / "data.json"

    @property
    def teacher(self) -> Path:
        """The finished model that the run learns from."""
        return self.path / "teacher.json"

    @property
    def curves(self) -> Path:
        """Loss curve and validation scores."""
        return self.path / "metrics.csv"

    @property
    def last(self) -> Path:
        """Checkpoint to resume from."""
        return self.path / "checkpoints" / "last.ckpt"

    @property
    def best(self) -> Path:
        """Best weights by validation."""
        return self.path / "checkpoints" / "best.safetensors"

    @property
    def tensorboard(self) -> Path:
        """Event files."""
        return self.path / "tensorboard"

    @property
    def deployable(self) -> Path:
        """Bundle for one sensor."""
        return self.path / "bundle"

    @property
    def full(self) -> Path:
        """Bundle of every branch."""
        return self.path / "full"

    @property
    def result_file(self) -> Path:
        """The mark of a finished run."""
        return self.path / "result.json"

    def check(self, config: Section, *, afresh: bool = False) -> None:
        """Raise ConfigError where the folder belongs to something else than a run with this configuration.

        A run with other settings is refused by naming them, unless it is to be deleted (`afresh`). Precision `auto`
        agrees with what it was settled as when the run began, and a default with an option that did not exist then.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f"{self.path} is a file: choose another output folder.")
        before = self._settings()
        if before is None:
            if self.path.is_dir() and any(not item.name.startswith(".") for item in self.path.iterdir()):
                raise ConfigError(f"{self.path} is not empty and holds no run: choose another output folder.")
            return
        settings = dict(_flatten(config.model_dump(mode="json")))
        chosen = dict(_flatten(config.model_dump(mode="json", exclude_defaults=True)))
        free = _free_settings(settings) | (settings.keys() - chosen.keys() - dict(_flatten(before)).keys())
        if self.result_file.is_file():
            free |= {"training.steps"}  # see `overcast.training.lengthen`
        differing = sorted(differing_keys(before, settings) - free)
        if differing and not afresh:
            keys = shortened(", ".join(differing), 120)
            raise ConfigError(
                f"{self.path} holds a run with other settings ({keys}): choose another output folder, or start this "
                "run afresh without resuming."
            )

    def _settings(self) -> dict[str, Any] | None:
        """Settings of the run that is there; None where there is none."""
        if not self.config.is_file():
            return None
        content = read_yaml(self.config, ConfigError, "restore it, or choose another output folder")
        return content if isinstance(content, dict) and "training" in content else None

    @property
    def precision(self) -> Precision | None:
        """Arithmetic of the run that is there; None where there is none, or none that is settled."""
        before = dict(_flatten(self._settings() or {})).get("training.precision")
        return Precision(before) if before in {Precision.FP32, Precision.BF16} else None

    def remove_leftovers(self) -> None:
        """Delete what a killed process was writing."""
        for folder in (self.path, self.path / "checkpoints"):
            for item in folder.glob(LEFTOVERS):
                shutil.rmtree(item) if item.is_dir() and not item.is_symlink() else item.unlink(missing_ok=True)

    def clear(self) -> None:
        """Delete the run, and nothing that a run did not write."""
        self.result_file.unlink(missing_ok=True)
        for item in (self.path / "checkpoints", self.deployable, self.full, self.tensorboard):
            shutil.rmtree(item, ignore_errors=True)
        for item in (self.curves, self.statistics, self.split, self.data, self.teacher, self.config):
            item.unlink(missing_ok=True)

    def write_result(self, result: TrainResult) -> None:
        """Mark the run as finished."""
        record = asdict(result)
        for name in ("folder", "already_finished", "deployable", "full"):
            del record[name]
        write_atomic(self.result_file, json.dumps(record, indent=2) + "\n")

    def read_result(self) -> TrainResult | None:
        """The result of a finished run; None for any other."""
        if not self.result_file.is_file():
            return None
        record = read_record(_Result, self.result_file, InputError, "delete it and start the run again")
        return TrainResult(
            self.path, record.steps, record.best_step, record.metrics, self.deployable, self.full, already_finished=True
        )


def _free_settings(settings: Mapping[str, Any]) -> frozenset[str]:
    """Keys that may differ from the run that is there; a distilled model's teacher is known by its weights."""
    settled_later = {"training.precision"} if settings.get("training.precision") == Precision.AUTO else set()
    moved = {"method.teacher"} if settings.get("method.name") == "one_stream" else set()
    return FREE_SETTINGS | settled_later | moved


def read_statistics(folder: RunFolder) -> Statistics:
    """Band statistics of a prepared run folder."""
    return read_record(Statistics, folder.statistics, InputError, RESTORE)


def read_data(folder: RunFolder) -> TrainingData:
    """Identity of the data set of a prepared run folder."""
    return read_record(TrainingData, folder.data, InputError, RESTORE)


def differing_keys(left: Mapping[str, Any], right: Mapping[str, Any]) -> set[str]:
    """Dotted keys whose values differ or that only one side has.

    >>> sorted(differing_keys({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}, "d": None}))
    ['a.c', 'd']
    """
    flat_left, flat_right = dict(_flatten(left)), dict(_flatten(right))
    missing = object()
    keys = flat_left.keys() | flat_right.keys()
    return {key for key in keys if flat_left.get(key, missing) != flat_right.get(key, missing)}


def _flatten(value: object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, child in value.items():
            yield from _flatten(child, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value
