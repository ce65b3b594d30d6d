"""Connected regions of a mask and their outlines, strip by strip, exactly as of the whole raster at once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from overcast.polygons.columns import sums
from overcast.polygons.corners import Corners, Ids, LabelAt, find_corners, pair_vertically
from overcast.polygons.rings import Rings, trace_rings

SETTLE_CORNERS = 200_000
"""Complete regions are given out after at least so many new corners."""


@dataclass(frozen=True)
class Strip:
    """Rows of a scene, (h, W) each."""

    mask: NDArray[np.bool_]
    """True inside regions; only where `valid`."""
    probability: NDArray[np.float32]
    valid: NDArray[np.bool_]
    near_gap: NDArray[np.bool_] | None = None
    """True close to pixels without data, as close as the caller cares for."""
    seen: NDArray[np.float32] | None = None
    """Share to which the optical image decided each pixel; None where there was none."""


@dataclass(frozen=True)
class Tally:
    """Sums over N regions or over pieces of them."""

    pixels: Ids
    probability: NDArray[np.float64]
    """Sum over the pixels."""
    first: Ids
    """Row-major number in the scene of the first pixel: it names a region whatever the strips."""
    gap_edges: Ids
    """Pixel edges of the outline behind which there is no data; the scene's border counts as such."""
    near_gap: Ids
    """Pixels close to pixels without data."""
    seen: NDArray[np.float64]
    """Sum over the pixels of the share to which the optical image decided them."""

    def merge(self, group: Ids, count: int) -> Tally:
        """Tally of `count` groups, of which `group` gives the number for each of ours."""
        first = np.full(count, np.iinfo(np.int64).max)
        np.minimum.at(first, group, self.first)

        def add(values: NDArray[np.generic]) -> NDArray[np.float64]:
            return sums(group, values, count)

        pixels, gap_edges, near_gap = (
            add(values).astype(np.int64) for values in (self.pixels, self.gap_edges, self.near_gap)
        )
        return Tally(pixels, add(self.probability), first, gap_edges, near_gap, add(self.seen))

    def select(self, at: NDArray[np.generic]) -> Tally:
        """The entries at an index or mask."""
        parts = (self.pixels, self.probability, self.first, self.gap_edges, self.near_gap, self.seen)
        return Tally(*(part[at] for part in parts))

    @staticmethod
    def concatenate(parts: list[Tally]) -> Tally:
        """One after the other."""
        names = ("pixels", "probability", "first", "gap_edges", "near_gap", "seen")
        return Tally(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


@dataclass(frozen=True)
class Regions:
    """N complete regions in order of their first pixel."""

    tally: Tally
    rings: Rings
    """`rings.region` counts from 0 to N - 1; every number occurs."""


class RegionTracer:
    """Feeds on the strips of a scene from top to bottom and gives out regions once they are complete.

    A region is a set of mask pixels connected through their sides (4-connected). Pieces of a region in different
    strips are united by union of labels; the outline is paired edge by edge across strips, so nothing is ever merged
    geometrically. What is held is what is still open: its labels, corners and edges. The work is linear, because
    pending pieces are only sorted out again after as many new ones have come.
    """

    def __init__(self, width: int) -> None:
        self._width, self._row = width, 0
        self._above = _nothing(width)
        self._above_labels = np.zeros(width, np.int64)
        self._open = np.full(width + 1, -1, np.int64)
        self._corners: list[Corners] = []
        self._vertical: list[Ids] = []
        self._joined: list[Ids] = []
        self._tallies: list[Tally] = []
        self._gaps: list[Ids] = []
        self._labels, self._count, self._kept = 0, 0, 0

    @property
    def rows(self) -> int:
        """Rows seen so far."""
        return self._row

    def open_boxes(self) -> NDArray[np.float64]:
        """(K, 4) smallest column and row, largest column and row of the corners of regions that are not complete.

        Only right after regions were given out.
        """
        corners = self._corners[0]
        order = np.argsort(corners.label, kind="stable")
        starts = np.flatnonzero(np.diff(corners.label[order], prepend=-1))
        if not len(starts):
            return np.zeros((0, 4))
        ends = (
            (np.minimum, corners.col),
            (np.minimum, corners.row),
            (np.maximum, corners.col),
            (np.maximum, corners.row),
        )
        return np.stack([function.reduceat(values[order], starts) for function, values in ends], axis=1).astype(float)

    def feed(self, strip: Strip) -> Regions | None:
        """Take the next rows. Returns regions that are complete, when enough has come together."""
        self._take(strip)
        if self._count - self._kept < max(SETTLE_CORNERS, self._kept):
            return None
        return self._settle()

    def finish(self) -> Regions:
        """The regions not given out yet, after the last strip."""
        self._take(_nothing(self._width))
        return self._settle()

    def _take(self, strip: Strip) -> None:
        """Label a strip, tie it to the row above, and find its corners and edges."""
        local, count = ndimage.label(strip.mask)
        base = self._labels

        def label_at(row: Ids, col: Ids) -> Ids:
            inside = local[np.maximum(row - 1, 0), col].astype(np.int64) - 1 + base
            return np.where(row == 0, self._above_labels[col], inside)

        mask = np.concatenate([self._above.mask, strip.mask])
        valid = np.concatenate([self._above.valid, strip.valid])
        shared = np.flatnonzero(mask[0] & mask[1])
        tied = np.stack([self._above_labels[shared], label_at(np.ones_like(shared), shared)], axis=1)
        self._joined.append(tied[np.any(np.diff(tied, axis=0, prepend=-1) != 0, axis=1)])
        corners = find_corners(mask, label_at, self._row)
        vertical, self._open = pair_vertically(corners, self._count, self._open)
        self._corners.append(corners)
        self._vertical.append(vertical)
        self._tallies.append(_tally(strip, self._row * self._width, count, local))
        self._gaps.append(_labels_at_gaps(mask, valid, label_at))
        last = np.arange(self._width)
        self._above_labels = label_at(np.full(self._width, mask.shape[0] - 1), last)
        self._above = Strip(strip.mask[-1:].copy(), strip.probability[-1:], strip.valid[-1:].copy())
        self._labels, self._count = base + count, self._count + len(corners)
        self._row += strip.mask.shape[0]

    def _settle(self) -> Regions:
        """Give out complete regions, keep and renumber the pieces of open ones."""
        joined = np.concatenate(self._joined)
        count, region = _united(joined, self._labels)
        tally = self._collected(region, count)
        is_open = np.zeros(count, np.bool_)
        last = np.flatnonzero(self._above.mask[0])
        is_open[region[self._above_labels[last]]] = True
        complete = np.flatnonzero(~is_open)
        complete = complete[np.argsort(tally.first[complete])]
        number = np.empty(count, np.int64)
        number[is_open] = np.arange(np.count_nonzero(is_open))
        number[complete] = np.arange(len(complete))
        corners = Corners.concatenate(self._corners).relabel(region)
        stays = is_open[corners.label]
        vertical = np.concatenate(self._vertical)
        edge_stays = stays[vertical[:, 0]]
        rings = trace_rings(corners.select(~stays).relabel(number), _renumber(~stays)[vertical[~edge_stays]])
        self._keep(corners.select(stays).relabel(number), _renumber(stays), vertical[edge_stays])
        self._above_labels[last] = number[region[self._above_labels[last]]]
        self._tallies, self._labels = [tally.select(is_open)], int(np.count_nonzero(is_open))
        return Regions(tally.select(complete), rings)

    def _collected(self, region: Ids, count: int) -> Tally:
        tally = Tally.concatenate(self._tallies)
        at_gaps = np.bincount(np.concatenate(self._gaps), minlength=self._labels)
        self._gaps = []
        return replace(tally, gap_edges=tally.gap_edges + at_gaps).merge(region, count)

    def _keep(self, corners: Corners, number: Ids, vertical: Ids) -> None:
        self._corners, self._vertical = [corners], [number[vertical]]
        self._joined = []
        coming = self._open >= 0
        self._open[coming] = number[self._open[coming]]
        self._count = self._kept = len(corners)


def _renumber(kept: NDArray[np.bool_]) -> Ids:
    """New number of each kept corner."""
    return np.cumsum(kept) - 1


def _nothing(width: int) -> Strip:
    """What lies above and below a scene."""
    outside = np.zeros((1, width), np.bool_)
    return Strip(outside, outside.astype(np.float32), outside)


def _united(joined: Ids, count: int) -> tuple[int, Ids]:
    """Number of groups that the pairs (P, 2) make of `count` labels, and the group of each label."""
    weights = np.ones(len(joined), np.bool_)
    groups, group = connected_components(coo_array((weights, (joined[:, 0], joined[:, 1])), shape=(count, count)))
    return groups, group.astype(np.int64)


def _tally(strip: Strip, first_pixel: int, count: int, local: NDArray[np.int32]) -> Tally:
    """Sums over the `count` labels of a strip, whose pixels are numbered from `first_pixel`."""
    at = np.flatnonzero(strip.mask)
    label = local.ravel()[at].astype(np.int64) - 1
    first = np.zeros(count, np.int64)
    first[label[::-1]] = at[::-1] + first_pixel  # of several assignments the last counts: that of the first pixel
    near = np.zeros(0, np.int64) if strip.near_gap is None else label[strip.near_gap.ravel()[at]]
    return Tally(
        pixels=np.bincount(label, minlength=count),
        probability=sums(label, strip.probability.ravel()[at], count),
        first=first,
        gap_edges=np.zeros(count, np.int64),
        near_gap=np.bincount(near, minlength=count),
        seen=np.zeros(count) if strip.seen is None else sums(label, strip.seen.ravel()[at], count),
    )


def _labels_at_gaps(mask: NDArray[np.bool_], valid: NDArray[np.bool_], label_at: LabelAt) -> Ids:
    """Label of the mask pixel at each outline edge behind which there is no data.

    The first row of `mask` and `valid`, (h + 1, W), is the last of the strip before: the edges between it and the
    next row are looked at, those inside of it have been.
    """
    rows, cols = [], []
    for down, right in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        behind = np.zeros_like(valid)
        source = valid[max(down, 0) : len(valid) + min(down, 0), max(right, 0) : valid.shape[1] + min(right, 0)]
        behind[max(-down, 0) : len(valid) - max(down, 0), max(-right, 0) : valid.shape[1] - max(right, 0)] = source
        inner = slice(0, -1) if down == 1 else slice(1, None)
        row, col = np.divmod(np.flatnonzero(mask[inner] & ~behind[inner]), mask.shape[1])
        rows.append(row + (0 if down == 1 else 1))
        cols.append(col)
    return label_at(np.concatenate(rows), np.concatenate(cols))
