"""What the benchmarks of the simulator share: one budget for every run, scores that are kept, brightness thresholds."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overcast.batch import IGNORE_LABEL, InputModalities, Modality
from overcast.config import RunConfig, open_run, train
from overcast.config.predictor import predictor
from overcast.data.catalog import Catalog
from overcast.data.chips import read_chip
from overcast.data.splits.parts import Part
from overcast.evaluation.result import Evaluation, EvaluationOptions
from overcast.evaluation.run import evaluate
from overcast.training.loader import evaluation_batches
from overcast.training.plan import modalities_of

PIXELS = EvaluationOptions(instances=False)
"""Pixel scores alone: at small budgets outlines mean little."""
QUANTILES = np.linspace(0, 1, 41)


@dataclass(frozen=True)
class Budget:
    """The same for every run that is compared."""

    steps: int
    batch: int
    crop: int
    network: str = "thin"
    learning_rate: float = 1e-3


def run_config(data: Path, method: str, seed: int, budget: Budget, **split: Any) -> RunConfig:
    """A run on a folder data set: `split` as in its description, by whole places with seed 0 where it says no other."""
    places = {} if split.get("by", "places") != "places" else {"by": "places", "seed": 0}
    settings = {
        "data": {"name": "folder", "root": data, "split": places | split},
        "network": {"preset": budget.network},
        "method": {"name": method},
        "training": {
            "steps": budget.steps,
            "round_steps": max(1, budget.steps // 3),
            "batch_size": budget.batch,
            "crop": budget.crop,
            "optimiser": {"learning_rate": budget.learning_rate},
            "seed": seed,
        },
    }
    return RunConfig.model_validate(settings)


def trained(config: RunConfig, folder: Path) -> Path:
    """The folder of a finished run: trained now, gone on with, or left as it is."""
    train(config, folder)
    return folder


def score(
    run: Path, available: InputModalities, kept: Path, on: tuple[Catalog, Sequence[str]] | None = None
) -> Evaluation:
    """Evaluate a run on its own test chips, or on the given chips of another data set with the run's statistics.

    What an earlier call wrote to `kept` is read.
    """
    if kept.is_file():
        return Evaluation.read(kept)
    opened = open_run(run)
    catalog, keys = on or (opened.catalog, opened.split.keys(Part.TEST))
    statistics, modalities = opened.bundle.info.statistics, modalities_of((available,))
    found = evaluate(
        predictor(opened, available, "cpu"),
        evaluation_batches(catalog, keys, statistics, modalities),
        {chip.key: chip.place for chip in catalog.select(tuple(keys))},
        catalog.radiometry.sar.gsd_m,
        PIXELS,
    )
    kept.parent.mkdir(parents=True, exist_ok=True)
    found.write(kept)
    return found


def given(method: str) -> InputModalities:
    """What a method is evaluated with: SAR alone where it works from it, else all that it needs."""
    return {"optical": InputModalities.OPTICAL, "fusion": InputModalities.BOTH}.get(method, InputModalities.SAR)


def add_row(path: Path, row: Mapping[str, object]) -> None:
    """Append a row to a CSV file, unless the same row is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = {name: str(value) for name, value in row.items()}
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as file:
            if texts in csv.DictReader(file):
                return
    fresh = not path.is_file()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        if fresh:
            writer.writeheader()
        writer.writerow(texts)


@dataclass(frozen=True)
class Threshold:
    """A rule of one number: a band is at least, or at most, so bright."""

    band: int
    brighter: bool
    value: float

    def iou(self, pixels: NDArray[np.floating], label: NDArray[np.bool_]) -> float:
        """Intersection over union on (C, N) pixels."""
        found = pixels[self.band] >= self.value if self.brighter else pixels[self.band] <= self.value
        return float((found & label).sum() / max(1, (found | label).sum()))


def best_threshold(pixels: NDArray[np.floating], label: NDArray[np.bool_]) -> Threshold:
    """The single threshold on one band, of 41 quantiles and both ways, that is best on (C, N) pixels."""
    rules = [
        Threshold(band, brighter, float(value))
        for band, values in enumerate(pixels)
        for value in np.quantile(values, QUANTILES)
        for brighter in (True, False)
    ]
    return max(rules, key=lambda rule: rule.iou(pixels, label))


def counted_pixels(catalog: Catalog, keys: Sequence[str], modality: Modality) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """(C, N) pixels of a sensor and (N,) labels, where the label counts and the sensor has data."""
    pixels, labels = [], []
    for chip in catalog.select(tuple(keys)):
        arrays = read_chip(chip, catalog.radiometry, catalog.label, frozenset({modality}))
        image = arrays.sar if modality is Modality.SAR else arrays.optical
        assert image is not None
        assert arrays.label is not None
        counts = (arrays.label != IGNORE_LABEL) & image.valid
        pixels.append(image.values[:, counts])
        labels.append(arrays.label[counts] == 1)
    return np.concatenate(pixels, axis=1), np.concatenate(labels)
