"""What a benchmark runs: the `CONFIG` of `overcast benchmark`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StringConstraints, field_validator, model_validator

from overcast.batch import InputModalities
from overcast.config.data_section import AbsolutePath
from overcast.section import Section
from overcast.settings import read_settings

Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_+.-]*$")]
"""Names that become folders."""
Override = Annotated[str, StringConstraints(pattern=r"^[^=\s]+=.+$")]
"""`key=value`, as after `--set`."""
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class DataSet(Section):
    """A data set with the run configuration that every method starts from."""

    config: AbsolutePath
    """YAML of `overcast train`: data, split, network, augmentation and budget, the same for every method."""
    sets: tuple[Override, ...] = ()
    """`key=value` changes of that configuration."""
    simulation: AbsolutePath | None = None
    """YAML of `overcast simulate`: the data set is simulated to `data.root` where it is missing."""


class Entry(Section):
    """A method under a name of its own."""

    label: Label
    """Name in tables and folders."""
    sets: tuple[Override, ...]
    """What makes it this method: `method.name=kd`, `method.temperature=4` ..."""
    seeds: tuple[Seed, ...] | None = None
    """Seeds of this method; null: those of the benchmark."""
    candidates: tuple[tuple[Override, ...], ...] = ()
    """Settings tried on validation before the runs; the best is taken. Empty: not tuned."""
    tuned_as: Label | None = None
    """Another method whose best candidate this one takes over: for ablations."""
    taught_by: Label | None = None
    """Another method whose model of the same data set and seed this one distils (`method.name=one_stream`)."""

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        """A bare name is the method of that name with its defaults."""
        return {"label": value, "sets": [f"method.name={value}"]} if isinstance(value, str) else value


class Tuning(Section):
    """How candidates are tried. Test chips are never looked at."""

    seed: Seed = 1000
    """Training seed of every trial; not one of the benchmark's."""
    sets: tuple[Override, ...] = ()
    """`key=value` changes for trials, for example a smaller budget."""


class BenchmarkConfig(Section):
    """Methods x data sets x seeds at equal budget."""

    title: str
    """Headline of the report."""
    datasets: dict[Label, DataSet] = Field(min_length=1)
    """Data sets by name."""
    methods: tuple[Entry, ...] = Field(min_length=1)
    """Methods in the order of the tables: a name, or label and settings."""
    seeds: tuple[Seed, ...] = Field(default=(0, 1, 2), min_length=1)
    """One run per method and seed."""
    available: tuple[InputModalities, ...] = (
        InputModalities.SAR,
        InputModalities.BOTH,
        InputModalities.BOTH_OPTICAL_ZERO,
        InputModalities.OPTICAL,
    )
    """What methods are given on the test chips; each takes those that it can work from."""
    optical_shares: tuple[Annotated[float, Field(ge=0, le=1)], ...] = ()
    """Shares of valid optical pixels at which methods that take both sensors are tested too; clouds hide the rest."""
    control: Label = "sar_twin"
    """Method that the others are compared with, given SAR alone."""
    ceiling: Label = "fusion"
    """Method whose score with both sensors is the upper end of the recovery ratio."""
    compare: tuple[tuple[Label, Label], ...] = ()
    """Pairs of methods whose difference is shown, given SAR alone: the first minus the second."""
    tuning: Tuning = Tuning()
    """How candidates are tried."""
    panels: int = Field(default=6, ge=0, le=50)
    """Test chips shown for all methods, drawn at random."""

    @field_validator("methods")
    @classmethod
    def _distinct(cls, methods: tuple[Entry, ...]) -> tuple[Entry, ...]:
        labels = [entry.label for entry in methods]
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice:
            raise ValueError(f"labels must differ, {', '.join(twice)} is given twice")
        return methods

    @field_validator("methods")
    @classmethod
    def _equal_effort(cls, methods: tuple[Entry, ...]) -> tuple[Entry, ...]:
        """No method is tuned harder than another."""
        trials = {entry.label: len(entry.candidates) for entry in methods if entry.candidates}
        if len(set(trials.values())) > 1:
            counts = ", ".join(f"{label} {count}" for label, count in trials.items())
            raise ValueError(f"tuned methods need the same number of candidates each, got {counts}")
        return methods

    @field_validator("methods")
    @classmethod
    def _tuned_elsewhere(cls, methods: tuple[Entry, ...]) -> tuple[Entry, ...]:
        tuned = {entry.label for entry in methods if entry.candidates}
        for entry in methods:
            if entry.tuned_as is not None and (entry.candidates or entry.tuned_as not in tuned):
                raise ValueError(
                    f"{entry.label} is tuned_as {entry.tuned_as}: it needs to have no candidates of its own, and "
                    "the other method needs some"
                )
        return methods

    @model_validator(mode="after")
    def _taught_by_others(self) -> BenchmarkConfig:
        for entry in self.methods:
            teacher = entry if entry.taught_by is None else self.entry(entry.taught_by)
            if teacher is entry:
                continue
            if teacher is None or teacher.taught_by is not None or entry.candidates:
                raise ValueError(
                    f"{entry.label} is taught_by {entry.taught_by}: that needs to be a method of this benchmark that "
                    f"nobody teaches, and {entry.label} can have no candidates of its own"
                )
            if missing := set(self.seeds_of(entry)) - set(self.seeds_of(teacher)):
                seeds = ", ".join(str(seed) for seed in sorted(missing))
                raise ValueError(f"{entry.label} is taught_by {teacher.label}, which does not run with seed {seeds}")
        return self

    @model_validator(mode="after")
    def _fresh_trial_seed(self) -> BenchmarkConfig:
        used = {seed for entry in self.methods for seed in (entry.seeds or self.seeds)}
        if self.tuning.seed in used:
            raise ValueError(f"tuning.seed {self.tuning.seed} is also a seed of the runs; choose another")
        return self

    @model_validator(mode="after")
    def _known_pairs(self) -> BenchmarkConfig:
        labels = {entry.label for entry in self.methods}
        for pair in self.compare:
            if unknown := sorted(set(pair) - labels):
                raise ValueError(f"compare names {', '.join(unknown)}, which is none of methods")
            if pair[0] == pair[1]:
                raise ValueError(f"compare sets {pair[0]} beside itself")
        return self

    def entry(self, label: str) -> Entry | None:
        """The method of a label."""
        return next((entry for entry in self.methods if entry.label == label), None)

    def seeds_of(self, entry: Entry) -> tuple[int, ...]:
        """Seeds that a method is run with."""
        return entry.seeds or self.seeds


def load_benchmark(path: Path, sets: Sequence[str] = ()) -> BenchmarkConfig:
    """Read a benchmark; raises ConfigError naming file and key."""
    return read_settings(BenchmarkConfig, path, sets)


def method_name(sets: Sequence[str]) -> str:
    """The method that overrides choose.

    >>> method_name(["training.steps=5", "method.name=kd"])
    'kd'
    """
    names = [match[1] for override in sets if (match := re.match(r"method\.name=(\S+)", override))]
    return names[-1] if names else "cmhcl"
