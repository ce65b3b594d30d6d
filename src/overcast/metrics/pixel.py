"""Pixel metrics: ONE count over all valid pixels of a set, divided once.

A mean of per-image ratios is another number: it weighs an image with three building pixels like one with ten
thousand. Here counts are exact integers that add over chips, places and processes.

Convention for empty sets, so that no ratio is NaN: a share of nothing is 1. Precision is 1 where nothing was
predicted, recall is 1 where nothing was there, IoU and F1 are 1 where both hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from overcast.batch import IGNORE_LABEL
from overcast.metrics.bootstrap import MIN_PLACES, Interval, percentile_interval, resample_places
from overcast.metrics.counts import Count, Matches, ratio

Pixels = Tensor | NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class PixelCounts(Matches):
    """Pixels by prediction and truth. Counts add: `sum(parts, PixelCounts())`.

    >>> PixelCounts(tp=2, fp=1, fn=1, tn=6) + PixelCounts(tp=1)
    PixelCounts(tp=3, fp=1, fn=1, tn=6)
    >>> PixelCounts(tp=2, fp=1, fn=1, tn=6).iou
    0.5
    """

    tn: Count = 0

    @property
    def pixels(self) -> int:
        """All valid pixels."""
        return self.tp + self.fp + self.fn + self.tn

    @property
    def positives(self) -> int:
        """Valid pixels that are the class in truth."""
        return self.tp + self.fn

    @property
    def iou(self) -> float:
        """Intersection over union (Jaccard index), 0 .. 1."""
        return ratio(self.tp, self.tp + self.fp + self.fn)


@dataclass(frozen=True, slots=True)
class ThresholdCounts:
    """Pixel counts at several thresholds at once: the precision-recall curve before its division."""

    thresholds: tuple[float, ...]
    """Rising; a pixel is predicted where its probability is at least the threshold."""
    tp: tuple[Count, ...]
    fp: tuple[Count, ...]
    positives: Count
    """Valid pixels that are the class."""
    negatives: Count

    def __post_init__(self) -> None:
        if not len(self.thresholds) == len(self.tp) == len(self.fp):
            raise ValueError("each threshold needs its counts")

    def __add__(self, other: ThresholdCounts) -> ThresholdCounts:
        if self.thresholds != other.thresholds:
            raise ValueError("counts at different thresholds do not add")
        return ThresholdCounts(
            self.thresholds,
            tuple(a + b for a, b in zip(self.tp, other.tp, strict=True)),
            tuple(a + b for a, b in zip(self.fp, other.fp, strict=True)),
            self.positives + other.positives,
            self.negatives + other.negatives,
        )

    def at(self, threshold: float) -> PixelCounts:
        """Counts at one of the thresholds. Raises ValueError for any other."""
        if threshold not in self.thresholds:
            raise ValueError(f"no counts at threshold {threshold}; there are {self.thresholds}")
        index = self.thresholds.index(threshold)
        tp, fp = self.tp[index], self.fp[index]
        return PixelCounts(tp, fp, self.positives - tp, self.negatives - fp)

    @property
    def curve(self) -> tuple[tuple[float, PixelCounts], ...]:
        """(threshold, counts) pairs, by rising threshold."""
        return tuple((threshold, self.at(threshold)) for threshold in self.thresholds)


def count_pixels(probability: Pixels, label: Pixels, threshold: float = 0.5) -> PixelCounts:
    """Counts over valid pixels, on whatever device the tensors are.

    Args:
        probability: 0 .. 1, (B, 1, H, W) or the shape of `label`; predicted where >= `threshold`.
        label: (B, H, W) or (H, W); 0 background, 1 the class, 255 ignored.
        threshold: 0 .. 1. To count logits at probability 0.5, give threshold 0.
    """
    truth = torch.as_tensor(label)
    predicted = (torch.as_tensor(probability) >= threshold).reshape(truth.shape)
    valid, positive = truth != IGNORE_LABEL, truth == 1
    tp = int((predicted & positive).sum())
    claimed, there, pixels = int((predicted & valid).sum()), int(positive.sum()), int(valid.sum())
    return PixelCounts(tp=tp, fp=claimed - tp, fn=there - tp, tn=pixels - claimed - there + tp)


def count_thresholds(
    probability: NDArray[np.floating], label: NDArray[np.integer], thresholds: Sequence[float]
) -> ThresholdCounts:
    """Counts at every threshold in one pass over `probability` and `label`, both of one shape (255 ignored)."""
    valid = label != IGNORE_LABEL
    edges = np.asarray(thresholds, probability.dtype)
    reached = np.searchsorted(edges, probability[valid], side="right")  # number of thresholds <= probability
    positive = (label[valid] == 1).astype(np.int64)
    bins = len(edges) + 1
    histogram = np.bincount(positive * bins + reached, minlength=2 * bins).reshape(2, bins)
    at_least = histogram[:, ::-1].cumsum(axis=1)[:, ::-1]  # [:, k]: pixels that reach at least k thresholds
    fp, tp = at_least[:, 1:].tolist()
    return ThresholdCounts(tuple(thresholds), tuple(tp), tuple(fp), int(at_least[1, 0]), int(at_least[0, 0]))


def resampled_iou(counts: Sequence[PixelCounts], draws: NDArray[np.int64]) -> NDArray[np.float64]:
    """(N,) set IoU of each resample; `draws` (N, places) says how often each place's counts enter the one count."""
    table = np.array([(c.tp, c.tp + c.fp + c.fn) for c in counts], np.int64)
    tp, union = (draws @ table).T
    return np.where(union == 0, 1.0, tp / np.maximum(union, 1))


def bootstrap_iou(
    counts_by_place: Mapping[str, PixelCounts], seed: int = 0, resamples: int = 1000, level: float = 0.95
) -> Interval | None:
    """Percentile interval of the set's IoU over resampled places; None with fewer than two places.

    Each resample adds the counts of the drawn places and divides once. The result does not depend on the order of
    the mapping.
    """
    if len(counts_by_place) < MIN_PLACES:
        return None
    counts = [counts_by_place[place] for place in sorted(counts_by_place)]
    return percentile_interval(resampled_iou(counts, resample_places(len(counts), seed, resamples)), level)
