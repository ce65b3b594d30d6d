"""Intervals by resampling places: pixels and overlapping chips of one place are not independent, places are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_PLACES = 2
"""With fewer places nothing can be resampled and there is no interval."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A percentile interval."""

    low: float
    high: float
    level: float = 0.95
    """Share of the resamples that lie inside."""

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ValueError(f"not an interval: {self}")

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


def resample_places(places: int, seed: int, resamples: int) -> NDArray[np.int64]:
    """(resamples, places) times that each place is drawn, with replacement; every row sums to `places`.

    >>> resample_places(3, seed=0, resamples=5).sum(axis=1).tolist()
    [3, 3, 3, 3, 3]
    """
    generator = np.random.default_rng(seed)
    return generator.multinomial(places, np.full(places, 1 / places), size=resamples)


def percentile_interval(values: NDArray[np.float64], level: float = 0.95) -> Interval:
    """Central interval that holds `level` of the resampled `values` (N,).

    >>> percentile_interval(np.arange(101.0), level=0.5)
    Interval(low=25.0, high=75.0, level=0.5)
    """
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), level)
