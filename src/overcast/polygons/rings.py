"""From corners and the edges between them to closed rings, outer before holes. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overcast.polygons.corners import Corners, Ids


@dataclass(frozen=True)
class Rings:
    """R rings with V vertices in all, ordered by region; the first ring of a region is its outline, the others holes.

    Every vertex is a turn, no ring meets itself, and rings of one region touch in single points at most: the polygons
    are valid. Outlines run clockwise as the raster is displayed (rows down), holes against it.
    """

    col: NDArray[np.int32]
    """(V,) grid column of each vertex; a ring's first vertex is not repeated at its end."""
    row: NDArray[np.int32]
    """(V,)"""
    ring: Ids
    """(V,) ring of each vertex, ascending."""
    region: Ids
    """(R,) region of each ring, ascending."""


def trace_rings(corners: Corners, vertical: Ids) -> Rings:
    """Rings of complete regions, whose corners carry the region as label.

    Args:
        corners: Every corner of these regions, in order.
        vertical: (P, 2) corner numbers at the ends of each vertical edge.
    """
    leaving = np.flatnonzero(corners.out)
    mate = _vertical_mates(corners, vertical)
    following = np.zeros(len(corners), np.int64)
    following[leaving] = mate[leaving ^ 1]
    order, starts = _cycles(leaving, following)
    col = corners.col[np.stack([order, order ^ 1], axis=1)]
    row = corners.row[order]
    if not len(order):
        return Rings(corners.col, corners.row, vertical[:, 0], vertical[:, 0])
    # horizontal edges alone give the area: the integral of -y dx
    area = np.add.reduceat(row.astype(np.int64) * (col[:, 0] - col[:, 1]), starts)
    region = corners.label[order[starts]]
    ranked = np.lexsort((area < 0, region))  # stable: holes stay in order of their first corner
    sizes = np.diff(np.append(starts, len(order)))[ranked]
    ring = np.repeat(np.arange(len(ranked)), sizes)
    within = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    at = np.repeat(starts[ranked], sizes) + within
    return Rings(
        col=col[at].ravel(),
        row=np.repeat(row[at], 2),
        ring=np.repeat(ring, 2),
        region=region[ranked],
    )


def _vertical_mates(corners: Corners, vertical: Ids) -> Ids:
    """Other end of the vertical edge of each corner.

    Where two pixels of one region touch diagonally, the corners exchange their edges: the outline then passes the
    vertex twice on two rings instead of meeting itself on one.
    """
    mate = np.empty(len(corners), np.int64)
    mate[vertical[:, 0]] = vertical[:, 1]
    mate[vertical[:, 1]] = vertical[:, 0]
    position = np.arange(len(corners))
    partner = np.where(corners.saddle, position + np.where(position % 2, 1, -1), position)
    swap = np.where(corners.label[partner] == corners.label, partner, position)
    swapped: Ids = swap[mate[swap]]
    return swapped


def _cycles(leaving: Ids, following: Ids) -> tuple[Ids, Ids]:
    """Members of each cycle of `following`, one cycle after the other, and where each begins.

    A plain loop: linear, and as fast as pointer jumping for the rings that footprints have.
    """
    after = following.tolist()
    seen = bytearray(len(after))
    order: list[int] = []
    starts: list[int] = []
    for first in leaving.tolist():
        if seen[first]:
            continue
        starts.append(len(order))
        at = first
        while not seen[at]:
            seen[at] = 1
            order.append(at)
            at = after[at]
    return np.array(order, np.int64), np.array(starts, np.int64)
