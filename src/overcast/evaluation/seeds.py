"""Figures over several training runs of one method: mean over seeds, interval over places, both kept separate.

A seed changes the weights, a place changes the ground; each has its own spread. The interval resamples places, the same
draw for every seed and every method that is compared; the spread over seeds is shown beside it as minimum and maximum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from overcast.errors import ConfigError
from overcast.metrics.bootstrap import MIN_PLACES, Interval, percentile_interval, resample_places
from overcast.metrics.pixel import PixelCounts, resampled_iou

PlaceTable = Mapping[str, PixelCounts]
"""Pixel counts by place."""
Runs = Sequence[PlaceTable]
"""One table per seed."""

RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class SeedEstimate:
    """A figure of several runs."""

    value: float
    """Mean over seeds."""
    lowest: float
    highest: float
    seeds: int
    interval: Interval | None
    """Interval of the mean, over places; None with fewer than two. An infinite end of a ratio's is open."""
    undefined: float = 0.0
    """Share of the resamples that leave a ratio undefined: its denominator is not above 0."""


def iou_over_seeds(runs: Runs) -> SeedEstimate:
    """Pooled IoU of each run, averaged. Raises ConfigError without a run or where the runs' places differ."""
    draws = _draws((runs,))
    return _estimate(_ious(runs), None if draws is None else _resampled(runs, draws))


def difference_over_seeds(a: Runs, b: Runs) -> SeedEstimate:
    """Mean IoU of `a` minus mean IoU of `b` on the same places; spread over the seeds that pair up, in order."""
    draws = _draws((a, b))
    if len(a) == len(b):
        values = [x - y for x, y in zip(_ious(a), _ious(b), strict=True)]
    else:
        values = [float(np.mean(_ious(a)) - np.mean(_ious(b)))]
    return _estimate(values, None if draws is None else _resampled(a, draws) - _resampled(b, draws))


def recovery_over_seeds(method: Runs, control: Runs, ceiling: Runs) -> SeedEstimate | None:
    """(mean IoU of method - control) / (ceiling - control).

    The spread gives each of the method's seeds the mean control and ceiling. None where the ceiling is not above the
    control: there is nothing to recover.

    A resample may draw places where the ceiling is not above the control. Its ratio is then unbounded: +inf where the
    method is above the control, -inf where it is below, 0 where it equals it. That is the limit of the ratio as the
    gap falls to 0, so the order of the resamples stays, and an end of the interval among them is open. To leave such
    resamples out would narrow the interval, and most where the gap is least known. As in Fieller's interval, a lower
    end above 0 means what it says: the method is above the control in 97.5 % of the resamples, wherever the gap lies.
    """
    draws = _draws((method, control, ceiling))
    low, high = float(np.mean(_ious(control))), float(np.mean(_ious(ceiling)))
    if high <= low:
        return None
    values = [(iou - low) / (high - low) for iou in _ious(method)]
    if draws is None:
        return _estimate(values, None)
    base = _resampled(control, draws)
    gaps = _resampled(ceiling, draws) - base
    ratios = _ratios(_resampled(method, draws) - base, gaps)
    return replace(_estimate(values, ratios), undefined=float((gaps <= 0).mean()))


def _ratios(gains: NDArray[np.float64], gaps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gain / gap of each; where the gap is not above 0, infinite with the sign of the gain (0 for a gain of 0)."""
    defined = gaps > 0
    unbounded = np.where(gains == 0, 0.0, np.copysign(np.inf, gains))
    return np.where(defined, gains / np.where(defined, gaps, 1.0), unbounded)


def _estimate(values: Sequence[float], resampled: NDArray[np.float64] | None) -> SeedEstimate:
    interval = None if resampled is None else percentile_interval(resampled)
    return SeedEstimate(float(np.mean(values)), min(values), max(values), len(values), interval)


def _ious(runs: Runs) -> list[float]:
    return [sum(table.values(), PixelCounts()).iou for table in runs]


def _resampled(runs: Runs, draws: NDArray[np.int64]) -> NDArray[np.float64]:
    """(N,) mean over runs of the IoU of each resample."""
    ious = [resampled_iou([table[place] for place in sorted(table)], draws) for table in runs]
    return np.asarray(np.mean(ious, axis=0))


def _draws(groups: Sequence[Runs]) -> NDArray[np.int64] | None:
    tables = [table for runs in groups for table in runs]
    if any(not runs for runs in groups):
        raise ConfigError("there is no run to compare; train the method first.")
    places = set(tables[0])
    if any(set(table) != places for table in tables):
        raise ConfigError("the results to compare come from different places; evaluate all on the same split.")
    return resample_places(len(places), 0, RESAMPLES) if len(places) >= MIN_PLACES else None
