"""Paired comparisons of methods on the same places: differences and the recovery ratio, with their intervals.

Two intervals that overlap can still hide a clear difference: places are easy or hard for all methods alike, so the
same resampled places are given to both, and the interval is of the difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overcast.errors import ConfigError
from overcast.evaluation.bootstrap import MIN_PLACES, Interval, percentile_interval, resample_places
from overcast.evaluation.pixel import PixelCounts, resampled_iou

PlaceTable = Mapping[str, PixelCounts]
"""Pixel counts by place."""

MAX_UNDEFINED_SHARE = 0.025
"""A ratio has an interval only where at most this share of the resamples leaves it undefined."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its interval."""

    value: float
    interval: Interval | None
    """None with fewer than two places, or where resamples leave the figure undefined."""


def paired_difference(a: PlaceTable, b: PlaceTable, seed: int = 0, resamples: int = 1000) -> Estimate:
    """IoU of `a` minus IoU of `b` over the set. Raises ConfigError where their places differ."""
    draws = _draws((a, b), seed, resamples)
    value = _iou(a) - _iou(b)
    if draws is None:
        return Estimate(value, None)
    return Estimate(value, percentile_interval(_resampled(a, draws) - _resampled(b, draws)))


def recovery_ratio(
    method: PlaceTable, control: PlaceTable, ceiling: PlaceTable, seed: int = 0, resamples: int = 1000
) -> Estimate | None:
    """(IoU(method) - IoU(control)) / (IoU(ceiling) - IoU(control)): the share of what is missing that came back.

    None where the ceiling is not above the control: there is nothing to recover. Raises ConfigError where the places
    differ.
    """
    draws = _draws((method, control, ceiling), seed, resamples)
    gap = _iou(ceiling) - _iou(control)
    if gap <= 0:
        return None
    value = (_iou(method) - _iou(control)) / gap
    if draws is None:
        return Estimate(value, None)
    low = _resampled(control, draws)
    gaps = _resampled(ceiling, draws) - low
    defined = gaps > 0
    if 1 - defined.mean() > MAX_UNDEFINED_SHARE:
        return Estimate(value, None)
    gains = _resampled(method, draws) - low
    return Estimate(value, percentile_interval(gains[defined] / gaps[defined]))


def _iou(table: PlaceTable) -> float:
    return sum(table.values(), PixelCounts()).iou


def _resampled(table: PlaceTable, draws: NDArray[np.int64]) -> NDArray[np.float64]:
    return resampled_iou([table[place] for place in sorted(table)], draws)


def _draws(tables: tuple[PlaceTable, ...], seed: int, resamples: int) -> NDArray[np.int64] | None:
    places = set(tables[0])
    if any(set(table) != places for table in tables):
        raise ConfigError("the results to compare come from different places; evaluate all on the same split.")
    return resample_places(len(places), seed, resamples) if len(places) >= MIN_PLACES else None
