"""Runs of walls in one direction, and the corners where neighbouring runs meet."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from overcast.polygons.columns import joined, rows, sums
from overcast.polygons.outlines.direction import mirrored, turned
from overcast.polygons.outlines.loops import Floats, Ids, Walls, following, preceding

ALONG, ACROSS, FREE = 0, 1, 2
"""Kinds of run: along the dominant direction, across it, or with a direction of its own."""
LEAST_CROSSING = 0.25
"""Sine of the angle below which two lines are not intersected (about 15 degrees)."""


@dataclass(frozen=True)
class Runs:
    """R straight lines of loops, each meeting the next in a corner, in the frame of its group's direction."""

    loop: Ids
    kind: NDArray[np.int8]
    length: Floats
    """(R,) of the walls in it."""
    mean: Floats
    """(R, 2) point on the line, in pixels from the loop's first vertex, x along the dominant direction."""
    chord: Floats
    """(R, 2) from where the run begins to where it ends."""
    start: Floats
    """(R, 2) where the run begins on the outline."""

    def select(self, keep: NDArray[np.bool_]) -> Runs:
        """The runs where `keep` is True."""
        return rows(self, keep)

    def directions(self) -> Floats:
        """(R, 2) unit vectors along the runs."""
        axis = np.stack([self.kind == ALONG, self.kind == ACROSS], axis=1) * np.sign(self.chord)
        length = np.sqrt((self.chord**2).sum(axis=1))[:, None]
        return np.where((self.kind == FREE)[:, None], self.chord / np.maximum(length, 1e-12), axis)

    def corners(self, before: Ids) -> Floats:
        """(R, 2) where each run meets the one before it.

        Lines that are almost parallel meet in the middle between the two points next to where the outline turned.
        """
        one, other = self.directions()[before], self.directions()
        at, here = self.mean[before], self.mean
        cross = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]
        parallel = np.abs(cross) < LEAST_CROSSING
        gap = here - at
        along = (gap[:, 0] * other[:, 1] - gap[:, 1] * other[:, 0]) / np.where(parallel, 1, cross)
        crossing = at + along[:, None] * one
        feet = [p + ((self.start - p) * d).sum(axis=1)[:, None] * d for p, d in ((at, one), (here, other))]
        return np.where(parallel[:, None], (feet[0] + feet[1]) / 2, crossing)


def form_runs(walls: Walls, group: Ids, direction: Floats, free_sine: float, free_px: float) -> tuple[Runs, Floats]:
    """Runs of walls, and the directions of the groups after they were fitted to the runs.

    Args:
        walls: W walls.
        group: (W,) group of each.
        direction: (G,) of the groups.
        free_sine: Walls at a larger angle from both axes than that of this sine keep their own direction...
        free_px: ... where they are at least so long; the direction of shorter ones is chance.
    """
    along = turned(walls.chord, mirrored(direction[group]))
    off = np.minimum(np.abs(along[:, 0]), np.abs(along[:, 1])) / np.maximum(walls.length, 1e-12)
    kind = np.where(np.abs(along[:, 0]) >= np.abs(along[:, 1]), ALONG, ACROSS).astype(np.int8)
    kind[(off > free_sine) & (walls.length >= free_px)] = FREE
    run, firsts = _numbered(walls.loop, kind)
    fitted = _fitted(walls, run, kind, group, direction)
    turn = mirrored(fitted[group])
    count = len(firsts)
    weight = sums(run, walls.weight, count)
    mean, chord = turned(walls.mean, turn), turned(walls.chord, turn)
    runs = Runs(
        loop=walls.loop[firsts],
        kind=kind[firsts],
        length=sums(run, walls.length, count),
        mean=np.stack([sums(run, walls.weight * mean[:, k], count) / weight for k in (0, 1)], axis=1),
        chord=np.stack([sums(run, chord[:, k], count) for k in (0, 1)], axis=1),
        start=turned(walls.start, turn)[firsts],
    )
    return runs, fitted


def _numbered(loop: Ids, kind: NDArray[np.int8]) -> tuple[Ids, Ids]:
    """Run of each wall, and the wall with which each run begins. A loop of one kind alone makes a single run."""
    before = preceding(following(loop))
    begins = (kind != kind[before]) | (kind == FREE)
    uniform = np.bincount(loop, begins) == 0
    begins |= uniform[loop] & (np.diff(loop, prepend=-1) != 0)
    firsts = np.flatnonzero(begins)
    run = np.cumsum(begins) - 1
    last = np.searchsorted(loop[firsts], loop, side="right") - 1
    early = (run < 0) | (loop[firsts[np.maximum(run, 0)]] != loop)
    return np.where(early, last, run), firsts


def _fitted(walls: Walls, run: Ids, kind: NDArray[np.int8], group: Ids, direction: Floats) -> Floats:
    """Directions turned by the least-squares slope that the runs of a group have in common."""
    turn = mirrored(direction[group])
    mean = turned(walls.mean, turn)
    count = int(run.max()) + 1 if len(run) else 0
    weight = sums(run, walls.weight, count)
    centre = np.stack([sums(run, walls.weight * mean[:, k], count) / weight for k in (0, 1)], axis=1)
    off = mean - centre[run]
    xx, yy, xy = walls.spread.T
    c, s = turn.T
    own_xx = c * c * xx + s * s * yy - 2 * c * s * xy
    own_yy = s * s * xx + c * c * yy + 2 * c * s * xy
    own_xy = c * s * (xx - yy) + (c * c - s * s) * xy
    total_xx = own_xx + walls.weight * off[:, 0] ** 2
    total_yy = own_yy + walls.weight * off[:, 1] ** 2
    total_xy = own_xy + walls.weight * off[:, 0] * off[:, 1]
    # slope of y over x along the direction, of -x over y across it
    variance = np.where(kind == ALONG, total_xx, np.where(kind == ACROSS, total_yy, 0))
    covariance = np.where(kind == ALONG, total_xy, np.where(kind == ACROSS, -total_xy, 0))
    count = len(direction)
    slope = sums(group, covariance, count) / np.maximum(sums(group, variance, count), 1e-9)
    slope = np.clip(slope, -0.1, 0.1)
    step = np.stack([np.ones(count), slope], axis=1) / np.sqrt(1 + slope**2)[:, None]
    return turned(direction, step)


def collapsed(runs: Runs, shortest_px: float) -> Runs:
    """Runs without those shorter than `shortest_px`, shortest first; their neighbours merge or meet.

    Two neighbours along the same axis become one line in the middle of both by weight. Loops of four runs, or of
    three free ones, are left as they are.
    """
    done: list[Runs] = []
    while len(runs.loop):
        after = following(runs.loop)
        before = preceding(after)
        corners = runs.corners(before)
        length = ((corners[after] - corners) * runs.directions()).sum(axis=1)
        merge = (runs.kind[before] == runs.kind[after]) & (runs.kind[before] != FREE)
        size = np.bincount(runs.loop)[runs.loop]
        meet = ~merge & _crossing(runs, before, after)
        able = (length < shortest_px) & ((merge & (size > 4)) | (meet & (size > 3)))
        chosen = able & _least_nearby(np.where(able, length, np.inf), before, after)
        active = np.bincount(runs.loop, chosen)[runs.loop] > 0
        done.append(runs.select(~active))
        runs = _without(runs, chosen, merge & chosen, (before, after), active)
    return _in_order(joined(done)) if done else runs


def _crossing(runs: Runs, before: Ids, after: Ids) -> NDArray[np.bool_]:
    """True where the neighbours of a run are far enough from parallel to be intersected."""
    directions = runs.directions()
    one, other = directions[before], directions[after]
    return np.abs(one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]) >= LEAST_CROSSING


def _least_nearby(length: Floats, before: Ids, after: Ids) -> NDArray[np.bool_]:
    """True where a run is shorter than the two on either side; of equals the first around the loop."""
    position = np.arange(len(length))
    least = np.isfinite(length)
    for step in (before, before[before], after, after[after]):
        first = (length < length[step]) | ((length == length[step]) & (position <= step))
        least &= first
    return least


def _without(
    runs: Runs,
    chosen: NDArray[np.bool_],
    merge: NDArray[np.bool_],
    neighbours: tuple[Ids, Ids],
    active: NDArray[np.bool_],
) -> Runs:
    """Runs without the chosen ones, of which those in `merge` also join their neighbours into one."""
    before, after = neighbours
    at = np.flatnonzero(merge)
    left, right = before[at], after[at]
    length, mean, chord = runs.length.copy(), runs.mean.copy(), runs.chord.copy()
    total = length[left] + length[right]
    mean[left] = (length[left, None] * mean[left] + length[right, None] * mean[right]) / total[:, None]
    chord[left] += chord[right]
    length[left] = total
    keep = active & ~chosen
    keep[right] = False
    return replace(runs, length=length, mean=mean, chord=chord).select(keep)


def _in_order(runs: Runs) -> Runs:
    """Loops in ascending order; within a loop the order stays."""
    return rows(runs, np.argsort(runs.loop, kind="stable"))
