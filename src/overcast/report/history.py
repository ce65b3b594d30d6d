"""Training curves from the CSV of metrics that training writes: a row per step, a column per figure, gaps allowed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from overcast.errors import InputError
from overcast.reading import first_line, read_table

Curve = tuple[tuple[float, float], ...]
"""(step, value) pairs, by rising step."""

SCORES = ("iou", "f1", "precision", "recall", "accuracy")
NO_CURVE = ("epoch", "step", "seconds", "time", "chips", "rate", "lr", "norm", "memory")


@dataclass(frozen=True)
class History:
    """The curves of one training run, by column name."""

    columns: dict[str, Curve]

    @property
    def scores(self) -> dict[str, Curve]:
        """Curves where higher is better."""
        return {name: curve for name, curve in self.columns.items() if _mentions(name, SCORES)}

    @property
    def losses(self) -> dict[str, Curve]:
        """All other curves of figures that training lowers."""
        known = (*SCORES, *NO_CURVE)
        return {name: curve for name, curve in self.columns.items() if not _mentions(name, known)}

    @property
    def main_loss(self) -> Curve | None:
        """The summed loss: the column named loss or total, else the first loss."""
        for name, curve in self.losses.items():
            if _words(name)[-1] in {"loss", "total"}:
                return curve
        return next(iter(self.losses.values()), None)

    @property
    def main_score(self) -> Curve | None:
        """IoU where there is one, else the first score."""
        for name, curve in self.scores.items():
            if "iou" in _words(name):
                return curve
        return next(iter(self.scores.values()), None)


def _words(name: str) -> list[str]:
    return name.lower().replace("/", " ").replace("_", " ").replace("-", " ").replace(".", " ").split()


def _mentions(name: str, words: tuple[str, ...]) -> bool:
    return any(word in words for word in _words(name))


def read_history(path: Path) -> History:
    """Read a CSV with a `step` column; empty and non-finite cells are gaps. Raises InputError for anything else."""
    curves: dict[str, list[tuple[float, float]]] = {}
    try:
        for row in read_table(path, InputError, ("step",), "give the metrics.csv that training wrote"):
            step = float(row["step"])
            for name, cell in row.cells.items():
                if cell and name != "step" and math.isfinite(value := float(cell)):
                    curves.setdefault(name, []).append((step, value))
    except ValueError as error:
        reason = first_line(error)
        raise InputError(f"{path} is not a table of numbers ({reason}); give the metrics.csv of training.") from error
    return History({name: tuple(sorted(curve)) for name, curve in curves.items()})
