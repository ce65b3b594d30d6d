"""Separates touching buildings by a watershed inside one connected region, the same whatever the tiles are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

from overcast.choices import Separate
from overcast.polygons.watershed import Labels, in_order, separate_by_boundaries

__all__ = ["SMALLEST_PART_PIXELS", "Labels", "Separate", "separate"]

LEVELS = (0.0, 0.3, 0.6, 0.8, 0.9, 0.95)
"""Heights between the threshold and 1 at which a building's depth is measured."""
NECK = 0.6
"""Two buildings are one where the way between them is deeper than this share of the shallower one."""
SMALLEST_PART_PIXELS = 16
"""Smaller parts stay with the neighbour they hang on to most."""


def separate(
    probability: NDArray[np.float32],
    inside: NDArray[np.bool_],
    threshold: float,
    boundaries: NDArray[np.float32] | None = None,
) -> Labels:
    """(h, w) parts of a region, numbered from 1 in order of their first pixel; 0 outside.

    Where the model has learnt `boundaries`, they decide. Else the landscape is the mean distance to the region's edge
    over several thresholds: it is low in necks and along dips. Basins of its summits are joined while the pass between
    them is high.

    Args:
        probability: (h, w) of a window that holds the region and a margin of one pixel.
        inside: (h, w) True in the region, which is connected through the sides of its pixels.
        threshold: Smallest probability of the region.
        boundaries: (h, w) probability of edge or contact; None for a model that has learnt neither.
    """
    if boundaries is not None:
        return separate_by_boundaries(inside, boundaries)
    depth = _depth(probability, inside, threshold)
    summits, count = ndimage.label((depth == ndimage.maximum_filter(depth, 3)) & inside)
    if count < 2:
        return inside.astype(np.int32)
    basins: Labels = watershed(-depth, summits, mask=inside)  # type: ignore[no-untyped-call]
    return in_order(_joined(basins, depth, count)[basins])


def _depth(probability: NDArray[np.float32], inside: NDArray[np.bool_], threshold: float) -> NDArray[np.float64]:
    cuts = [threshold + share * (1 - threshold) for share in LEVELS]
    depths = [ndimage.distance_transform_edt(inside & (probability >= np.float32(cut))) for cut in cuts]
    return np.asarray(np.mean(depths, axis=0), np.float64)


def _joined(basins: Labels, depth: NDArray[np.float64], count: int) -> Labels:
    """Number of the part that each basin (0 .. count) becomes."""
    pairs, heights = _passes(basins, depth)
    peak = ndimage.maximum(depth, basins, np.arange(count + 1))
    pixels = np.bincount(basins.ravel(), minlength=count + 1)
    parts = _Parts(peak, pixels)
    order = np.lexsort((pairs[:, 1], pairs[:, 0], -heights))
    for at in order:
        one, other = parts.find(pairs[at, 0]), parts.find(pairs[at, 1])
        if one != other and heights[at] > NECK * min(parts.peak[one], parts.peak[other]):
            parts.join(one, other)
    for at in order:  # what is too small goes where the pass is highest
        one, other = parts.find(pairs[at, 0]), parts.find(pairs[at, 1])
        if one != other and min(parts.pixels[one], parts.pixels[other]) < SMALLEST_PART_PIXELS:
            parts.join(one, other)
    return np.array([parts.find(basin) for basin in range(count + 1)], np.int32)


class _Parts:
    """Disjoint sets of basins with their highest summit and size."""

    def __init__(self, peak: NDArray[np.float64], pixels: NDArray[np.int64]) -> None:
        self.peak, self.pixels = peak.tolist(), pixels.tolist()
        self._parent = list(range(len(self.peak)))

    def find(self, basin: int) -> int:
        """The set that holds a basin."""
        while self._parent[basin] != basin:
            self._parent[basin] = basin = self._parent[self._parent[basin]]
        return basin

    def join(self, one: int, other: int) -> None:
        """Make one set of two."""
        one, other = sorted((one, other))
        self._parent[other] = one
        self.peak[one] = max(self.peak[one], self.peak[other])
        self.pixels[one] += self.pixels[other]


def _passes(basins: Labels, depth: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pairs (P, 2) of basins that share pixel sides, and the height (P,) of the highest way across."""
    ends, heights = [], []
    for axis in (0, 1):
        near = [np.moveaxis(basins, axis, 0)[part] for part in (slice(None, -1), slice(1, None))]
        deep = [np.moveaxis(depth, axis, 0)[part] for part in (slice(None, -1), slice(1, None))]
        border = (near[0] != near[1]) & (near[0] > 0) & (near[1] > 0)
        ends.append(np.sort(np.stack([near[0][border], near[1][border]], axis=1), axis=1))
        heights.append(np.minimum(*deep)[border])
    pairs, number = np.unique(np.concatenate(ends), axis=0, return_inverse=True)
    highest = np.zeros(len(pairs))
    np.maximum.at(highest, number.ravel(), np.concatenate(heights))
    return pairs.astype(np.int64), highest
