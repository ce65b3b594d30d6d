"""Calibration in constant memory: does 0.8 mean that eight of ten are right?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overcast.batch import IGNORE_LABEL
from overcast.metrics.counts import Count, Sum


@dataclass(frozen=True, slots=True)
class CalibrationBins:
    """Sums over bins of equal width that cover probability 0 .. 1. They add over chips.

    A probability on an edge lies in the bin above it, except 1, which lies in the last.
    """

    count: tuple[Count, ...]
    positives: tuple[Count, ...]
    """Number of pixels among `count` that are the class."""
    probability_sum: tuple[Sum, ...]
    squared_error_sum: Sum

    def __post_init__(self) -> None:
        if not len(self.count) == len(self.positives) == len(self.probability_sum):
            raise ValueError("each bin needs its sums")

    @classmethod
    def empty(cls, bins: int = 15) -> CalibrationBins:
        """Nothing counted yet."""
        return cls((0,) * bins, (0,) * bins, (0.0,) * bins, 0.0)

    def __add__(self, other: CalibrationBins) -> CalibrationBins:
        return CalibrationBins(
            tuple(a + b for a, b in zip(self.count, other.count, strict=True)),
            tuple(a + b for a, b in zip(self.positives, other.positives, strict=True)),
            tuple(a + b for a, b in zip(self.probability_sum, other.probability_sum, strict=True)),
            self.squared_error_sum + other.squared_error_sum,
        )

    @property
    def total(self) -> int:
        """Everything counted."""
        return sum(self.count)

    @property
    def ece(self) -> float:
        """Expected calibration error (Guo et al., ICML 2017) of the class probability; 0 when nothing was counted.

        Sum over bins of |positives - probability sum|, divided once by all that was counted.
        """
        gaps = (abs(hits - mass) for hits, mass in zip(self.positives, self.probability_sum, strict=True))
        return sum(gaps) / self.total if self.total else 0.0

    @property
    def brier(self) -> float:
        """Mean squared difference of probability and truth (0 or 1); 0 when nothing was counted."""
        return self.squared_error_sum / self.total if self.total else 0.0

    @property
    def curve(self) -> tuple[tuple[float, float, int], ...]:
        """(mean probability, share that is the class, count) of each bin that holds anything."""
        rows = zip(self.count, self.positives, self.probability_sum, strict=True)
        return tuple((mass / count, hits / count, count) for count, hits, mass in rows if count)


def bin_probabilities(probability: NDArray[np.floating], truth: NDArray[np.bool_], bins: int = 15) -> CalibrationBins:
    """Bins of `probability` (N,) in 0 .. 1 against `truth` (N,): True where it is the class."""
    exact = probability.astype(np.float64)
    index = np.minimum((exact * bins).astype(np.int64), bins - 1)
    count = np.bincount(index, minlength=bins)
    positives = np.bincount(index[truth], minlength=bins)
    mass = np.bincount(index, weights=exact, minlength=bins)
    error = float(np.square(exact - truth).sum())
    return CalibrationBins(tuple(count.tolist()), tuple(positives.tolist()), tuple(mass.tolist()), error)


def count_calibration(probability: NDArray[np.floating], label: NDArray[np.integer], bins: int = 15) -> CalibrationBins:
    """Bins over the valid pixels of `probability` and `label` of one shape (255 ignored)."""
    valid = label != IGNORE_LABEL
    return bin_probabilities(probability[valid], label[valid] == 1, bins)
