"""COCO average precision of footprints, from counts that stream: no limit on detections, no image kept.

The definition is that of the COCO evaluation (Lin et al., ECCV 2014): predictions of a chip, by falling confidence,
take the unmatched footprint of largest IoU at each of the thresholds 0.50, 0.55 .. 0.95; precision, made monotone, is
sampled at 101 recalls over the predictions of all chips. Nothing is cut off after 100 detections of an image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overcast.metrics.counts import Count, Sums
from overcast.metrics.instances import Pairs, greedy

IOU_THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True, slots=True)
class Detections(Sums):
    """Predictions of a set with what each of them matched. Sums add.

    >>> (Detections() + Detections()).truths
    0
    """

    confidence: bytes = b""
    """float32, one per prediction."""
    hits: bytes = b""
    """uint16, bit k set where the prediction matched a footprint at `IOU_THRESHOLDS[k]`."""
    truths: Count = 0
    """Footprints that count."""

    def __post_init__(self) -> None:
        if len(self.confidence) != 4 * (len(self.hits) // 2) or len(self.hits) % 2:
            raise ValueError("each detection needs a confidence and its hits")

    @property
    def ap(self) -> float | None:
        """Mean of the average precisions at all thresholds; None without a footprint."""
        return None if self.truths == 0 else float(np.mean([self.ap_at(iou) for iou in IOU_THRESHOLDS]))

    @property
    def ap50(self) -> float | None:
        """Average precision at IoU 0.5; None without a footprint."""
        return None if self.truths == 0 else self.ap_at(0.5)

    def ap_at(self, iou: float) -> float:
        """Average precision at one of `IOU_THRESHOLDS`; 0 without a footprint."""
        if self.truths == 0:
            return 0.0
        confidence, hits = np.frombuffer(self.confidence, "<f4"), np.frombuffer(self.hits, "<u2")
        found = (hits[np.argsort(-confidence, kind="stable")] >> IOU_THRESHOLDS.index(iou)) & 1
        right = np.cumsum(found)
        recall, precision = right / self.truths, right / np.arange(1, len(found) + 1)
        best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
        at = np.searchsorted(recall, RECALLS, side="left")
        return float(np.append(best_from_here, 0.0)[np.minimum(at, len(found))].mean())


def detections(confidence: Sequence[float], pairs: Mapping[int, Pairs], truths: int) -> Detections:
    """Detections of one chip.

    Args:
        confidence: Of its predictions, falling.
        pairs: Position of a prediction to the (IoU, footprint) pairs of at least the lowest threshold.
        truths: Footprints that count.
    """
    hits: NDArray[np.uint16] = np.zeros(len(confidence), "<u2")
    for bit, iou in enumerate(IOU_THRESHOLDS):
        for turn, _, _ in greedy(pairs, len(confidence), iou):
            hits[turn] |= np.uint16(1 << bit)
    return Detections(np.asarray(confidence, "<f4").tobytes(), hits.tobytes(), truths)
