"""Intervals by resampling places: pixels and overlapping chips of one place are not independent, places are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_PLACES = 2
"""With fewer places nothing can be resampled and there is no interval."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A percentile interval; an infinite end is an open one."""

    low: float
    high: float
    level: float = 0.95
    """Share of the resamples that lie inside."""

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ValueError(f"not an interval: {self}")

    def text(self, digits: int, to: str = " to ", *, signed: bool = False) -> str:
        """Both ends, printed.

        >>> Interval(-0.306, math.inf).text(2, " .. ")
        '-0.31 .. ∞'
        """
        form = f"{'+' if signed else ''}.{digits}f"
        return to.join(f"{end:{form}}" for end in (self.low, self.high)).replace("inf", "∞")

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

    An end that falls beside infinite values is one of the values, the outer of its two neighbours.

    >>> percentile_interval(np.array([0.0, 1.0, 2.0, np.inf]), level=0.5)
    Interval(low=0.0, high=inf, level=0.5)
    """
    ends = (1 - level) / 2, (1 + level) / 2
    if np.isfinite(values).all():
        low, high = np.quantile(values, ends)
    else:  # nothing can be interpolated between a number and infinity
        ranked, steps = np.sort(values), len(values) - 1
        low, high = ranked[math.floor(ends[0] * steps)], ranked[math.ceil(ends[1] * steps)]
    return Interval(float(low), float(high), level)
