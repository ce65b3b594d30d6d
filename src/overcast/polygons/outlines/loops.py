"""Closed lines in flat arrays, and their walls: what is left of a pixel outline without its staircase."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from overcast.polygons.columns import rows, sums

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]
INSET_PX = 0.5
"""Corners are cut so far: a staircase of single pixels then runs through the middles of the pixel edges."""


@dataclass(frozen=True)
class Loops:
    """L closed lines with V vertices in all; a loop's first vertex is not repeated at its end."""

    xy: Floats
    """(V, 2) in pixels."""
    loop: Ids
    """(V,) loop of each vertex, ascending; a number may be missing, its loop is then empty."""
    count: int
    """L."""

    def select(self, keep: NDArray[np.bool_]) -> Loops:
        """The loops where `keep` (L,) is True; the others become empty."""
        inside = keep[self.loop]
        return Loops(self.xy[inside], self.loop[inside], self.count)

    def polygons(self) -> NDArray[np.object_]:
        """(L,) each loop as a polygon without holes; empty where a loop has fewer than three vertices."""
        sizes = np.bincount(self.loop, minlength=self.count)
        solid = self.select(sizes >= 3)
        there = np.flatnonzero(sizes >= 3)
        found = np.full(self.count, shapely.Polygon(), object)
        if len(there):
            number = np.searchsorted(there, solid.loop)
            found[there] = shapely.polygons(shapely.linearrings(solid.xy, indices=number))
        return found

    @staticmethod
    def concatenate(parts: list[Loops]) -> Loops:
        """Loops of which each part holds some, in order."""
        loop = np.concatenate([part.loop for part in parts])
        order = np.argsort(loop, kind="stable")
        return Loops(np.concatenate([part.xy for part in parts])[order], loop[order], parts[0].count)

    @staticmethod
    def of(rings: NDArray[np.object_]) -> Loops:
        """Loops of (L,) linear rings."""
        xy, loop = shapely.get_coordinates(rings, return_index=True)
        last = np.append(loop[1:] != loop[:-1], np.ones(min(1, len(loop)), np.bool_))
        return Loops(xy[~last], loop[~last].astype(np.int64), len(rings))


def following(loop: Ids) -> Ids:
    """(V,) position of the vertex after each one, around its loop."""
    after = np.arange(1, len(loop) + 1)
    starts = np.flatnonzero(np.diff(loop, prepend=-1))
    after[np.append(starts[1:], len(loop))[: len(starts)] - 1] = starts
    return after


def preceding(after: Ids) -> Ids:
    """The inverse of `following`."""
    before = np.empty_like(after)
    before[after] = np.arange(len(after))
    return before


def chamfered(loops: Loops) -> Loops:
    """Loops with every corner cut by `INSET_PX`, or half an edge where that is shorter.

    Each begins at its vertex farthest from where it began: a corner, whichever way the building lies.
    """
    start, step = loops.xy, loops.xy[following(loops.loop)] - loops.xy
    length = np.sqrt(step[:, 0] ** 2 + step[:, 1] ** 2)
    part = np.minimum(INSET_PX / np.maximum(length, 1e-12), 0.5)[:, None]
    points = np.stack([start + part * step, start + (1 - part) * step], axis=1)
    keep = np.stack([np.ones(len(start), np.bool_), length > 2 * INSET_PX], axis=1)
    return _from_farthest(Loops(points[keep], np.repeat(loops.loop, 2)[keep.ravel()], loops.count))


def _from_farthest(loops: Loops) -> Loops:
    """The loops, each from its vertex farthest from its first."""
    starts = np.flatnonzero(np.diff(loops.loop, prepend=-1))
    sizes = np.diff(np.append(starts, len(loops.loop)))
    off = loops.xy - np.repeat(loops.xy[starts], sizes, axis=0)
    order = np.lexsort(((off**2).sum(axis=1), loops.loop))
    turn = order[starts + sizes - 1] - starts
    within = np.arange(len(loops.loop)) - np.repeat(starts, sizes)
    at = np.repeat(starts, sizes) + (within + np.repeat(turn, sizes)) % np.repeat(sizes, sizes)
    return Loops(loops.xy[at], loops.loop, loops.count)


def simplified(loops: Loops, tolerance_px: float) -> Ids:
    """Positions of the vertices that Douglas-Peucker keeps, ascending; nothing of a loop that collapses."""
    sizes = np.bincount(loops.loop, minlength=loops.count)
    there = np.flatnonzero(sizes)
    closing = np.append(np.arange(len(loops.loop)), np.cumsum(sizes[there]) - sizes[there])
    closing = closing[np.argsort(np.append(loops.loop, there), kind="stable")]
    numbered = np.column_stack([loops.xy[closing], np.arange(len(closing))])  # the height carries the position
    lines = shapely.linestrings(numbered, indices=np.searchsorted(there, loops.loop[closing]))
    kept = shapely.get_coordinates(shapely.simplify(lines, tolerance_px, preserve_topology=False), include_z=True)
    at = kept[:, 2].astype(np.int64)
    first = np.ones(len(closing), np.bool_)
    first[np.cumsum(sizes[there] + 1) - 1] = False
    at = at[first[at]]
    corners = closing[at]
    enough = np.bincount(loops.loop[corners], minlength=loops.count) >= 3
    return corners[enough[loops.loop[corners]]]


@dataclass(frozen=True)
class Walls:
    """W straight stretches of loops, each from a kept vertex to the next, around each loop in order."""

    loop: Ids
    """(W,)"""
    start: Floats
    """(W, 2) where a wall begins, in pixels from the loop's first vertex."""
    chord: Floats
    """(W, 2) from its begin to its end."""
    length: Floats
    """(W,) of the chord."""
    weight: Floats
    """(W,) length of the line along the wall, times `length`: what is straight for long counts more."""
    mean: Floats
    """(W, 2) centre of mass of the line along the wall."""
    spread: Floats
    """(W, 3) weight times variance of x, of y, and their covariance."""

    def select(self, keep: NDArray[np.bool_]) -> Walls:
        """The walls where `keep` is True."""
        return rows(self, keep)


def find_walls(line: Loops, corners: Ids) -> Walls:
    """Walls between `corners`, positions in `line`."""
    after = following(line.loop)
    origin = first_of_each(line)
    xy = line.xy - origin[line.loop]
    wall, there = _wall_of(line.loop, corners)
    wall, step, middle = wall[there], (xy[after] - xy)[there], ((xy[after] + xy) / 2)[there]
    piece = np.sqrt(step[:, 0] ** 2 + step[:, 1] ** 2)
    loop_of_wall, start = line.loop[corners], xy[corners]
    chord = start[following(loop_of_wall)] - start
    length = np.sqrt(chord[:, 0] ** 2 + chord[:, 1] ** 2)
    count = len(corners)
    mass = np.maximum(sums(wall, piece, count), 1e-12)
    mean = np.stack([sums(wall, piece * middle[:, k], count) / mass for k in (0, 1)], axis=1)
    off = middle - mean[wall]
    moments = [
        sums(wall, piece * (off[:, i] * off[:, j] + step[:, i] * step[:, j] / 12), count)
        for i, j in ((0, 0), (1, 1), (0, 1))
    ]
    spread = np.stack(moments, axis=1) * length[:, None]
    return Walls(loop_of_wall, start, chord, length, mass * length, mean, spread)


def _wall_of(loop: Ids, corners: Ids) -> tuple[Ids, NDArray[np.bool_]]:
    """Wall that begins at or before each vertex around its loop, and True where the loop has any."""
    loop_of_wall = np.append(loop[corners], -1)  # what finds no wall finds this one
    wall = np.searchsorted(corners, np.arange(len(loop)), side="right") - 1
    last = np.searchsorted(loop_of_wall[:-1], loop, side="right") - 1
    wall = np.where(loop_of_wall[wall] == loop, wall, last)
    return wall, loop_of_wall[wall] == loop


def first_of_each(loops: Loops) -> Floats:
    """(L, 2) first vertex of each loop, 0 of an empty one."""
    origin = np.zeros((loops.count, 2))
    starts = np.flatnonzero(np.diff(loops.loop, prepend=-1))
    origin[loops.loop[starts]] = loops.xy[starts]
    return origin
