"""Outlines from the most regular that fits each building down to its pixel edges."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import assert_never

import numpy as np
import shapely
from numpy.typing import NDArray

from overcast.choices import Outlines
from overcast.polygons.area import Polygons
from overcast.polygons.columns import sums
from overcast.polygons.outlines.direction import dominant_direction, mirrored, turned
from overcast.polygons.outlines.loops import (
    Floats,
    Ids,
    Loops,
    Walls,
    chamfered,
    find_walls,
    first_of_each,
    following,
    preceding,
    simplified,
)
from overcast.polygons.outlines.runs import collapsed, form_runs

WALL_TOLERANCE_PX = 1.0
"""Douglas-Peucker on the line through the pixel edges' middles, which leaves a straight wall by up to half a pixel."""
SLIT_TOLERANCE_PX = 0.6
"""The same where only the staircase is taken away; low enough for the two sides of a slit of one pixel not to meet."""
REACH_PX = 3
"""No outline comes farther out of its pixels than this."""
ALIGNED_SHARE = 0.62
"""Length of walls near the two main directions that makes a building rectangular; a circle has about 0.5."""
ALIGNED_SINE = 0.4226
"""Sine of 25 degrees: what is near a main direction."""
CLOSE_SHARE = 0.5
"""The same for walls even closer to it, which reveals large circles: their long walls are known to a few degrees."""
CLOSE_SINE, CLOSE_PX = 0.2079, 2.0
"""Closer: within 12 degrees, or by 2 pixels from end to end."""
GRID = 1024
"""Vertices lie on fractions of a pixel of this denominator, so that they round alike everywhere."""


class Level(IntEnum):
    """How regular an outline could be made."""

    PIXELS = 0
    SMOOTHED = 1
    """The staircase is gone, no corner was made up."""
    SQUARED = 2


@dataclass(frozen=True)
class Rule:
    """What is squared, and what the result must keep of the pixels."""

    shortest_px: float
    free_sine: float
    free_px: float
    largest_area_change: float
    least_iou: float


GENTLE = Rule(shortest_px=2.0, free_sine=ALIGNED_SINE, free_px=5.0, largest_area_change=0.10, least_iou=0.85)
SMOOTH = Rule(shortest_px=1.0, free_sine=-1.0, free_px=0.0, largest_area_change=0.05, least_iou=0.0)

STRICT = Rule(shortest_px=3.0, free_sine=1.0, free_px=5.0, largest_area_change=0.15, least_iou=0.85)


def rules(mode: Outlines) -> tuple[Rule, ...]:
    """The rules that are tried in turn."""
    match mode:
        case Outlines.OFF:
            return ()
        case Outlines.GENTLE:
            return (GENTLE,)
        case Outlines.STRICT:
            return (STRICT, GENTLE)
        case never:
            assert_never(never)


@dataclass(frozen=True)
class _Task:
    """Loops and what is known of them."""

    loops: Loops
    group: Ids
    line: Loops
    """Through the middles of the pixel edges."""
    walls: Walls
    direction: Floats
    """(G, 2) of the groups."""
    squarable: NDArray[np.bool_]
    """(L,) True where enough of the length lies near two directions."""


def regular_loops(loops: Loops, group: Ids, mode: Outlines) -> tuple[Loops, NDArray[np.int8]]:
    """Loops as regular as fits each, and the `Level` of each (L,).

    A loop depends on the loops of its own group alone, to the last bit.

    Args:
        loops: Outlines and holes along pixel edges, in pixels.
        group: (L,) the touching buildings that share their main directions, numbered from 0.
        mode: How regular.
    """
    level = np.zeros(loops.count, np.int8)
    if mode is Outlines.OFF or not len(loops.loop):
        return loops, level
    task, pixels = _prepared(loops, group), loops.polygons()
    freed = _drawn(task, np.ones(loops.count, np.bool_), SMOOTH)
    smooth = freed.polygons()
    usable = _near(freed, pixels) & _fits(smooth, pixels, SMOOTH)
    reference = np.where(usable, smooth, pixels)
    parts: list[Loops] = []
    for rule in rules(mode):
        todo = task.squarable & (level == Level.PIXELS)
        made = _drawn(task, todo, rule)
        good = todo & _near(made, pixels) & _fits(made.polygons(), reference, rule)
        level[good] = Level.SQUARED
        parts.append(made.select(good))
    for made, good in ((freed, usable), _chamfered(task, pixels, ~usable & (level == Level.PIXELS))):
        fresh = good & (level == Level.PIXELS)
        level[fresh] = Level.SMOOTHED
        parts.append(made.select(fresh))
    return Loops.concatenate([*parts, loops.select(level == Level.PIXELS)]), level


def _chamfered(task: _Task, pixels: Polygons, chosen: NDArray[np.bool_]) -> tuple[Loops, NDArray[np.bool_]]:
    """The chosen loops (L,) through the middles of pixel edges, for what has narrow slits; and True where good."""
    line = task.line.select(chosen)
    kept = simplified(line, SLIT_TOLERANCE_PX)
    made = Loops(_on_grid(line.xy[kept]), line.loop[kept], line.count)
    return made, chosen & _near(made, pixels) & _fits(made.polygons(), pixels, GENTLE)


def _prepared(loops: Loops, group: Ids) -> _Task:
    line = chamfered(loops)
    walls = find_walls(line, simplified(line, WALL_TOLERANCE_PX))
    of_wall = group[walls.loop]
    direction = dominant_direction(walls, of_wall, int(group.max()) + 1)
    along = turned(walls.chord, mirrored(direction[of_wall]))
    off, length = np.abs(along).min(axis=1), walls.length
    near = off <= ALIGNED_SINE * length
    close = near & (off <= np.maximum(CLOSE_SINE * length, CLOSE_PX))
    total, aligned, tight = (sums(walls.loop, length * part, loops.count) for part in (1, near, close))
    squarable = (total > 0) & (aligned >= ALIGNED_SHARE * total) & (tight >= CLOSE_SHARE * total)
    return _Task(loops, group, line, walls, direction, squarable)


def _drawn(task: _Task, chosen: NDArray[np.bool_], rule: Rule) -> Loops:
    """The chosen loops (L,) as a rule asks; what became of one may be anything."""
    mine = chosen[task.walls.loop]
    walls, of_wall = task.walls.select(mine), task.group[task.walls.loop[mine]]
    runs, direction = form_runs(walls, of_wall, task.direction, rule.free_sine, rule.free_px)
    runs = collapsed(runs, rule.shortest_px)
    corners = turned(runs.corners(preceding(following(runs.loop))), direction[task.group[runs.loop]])
    return Loops(_on_grid(corners + first_of_each(task.line)[runs.loop]), runs.loop, task.loops.count)


def _on_grid(xy: Floats) -> Floats:
    return np.round(xy * GRID) / GRID


def _near(made: Loops, pixels: Polygons) -> NDArray[np.bool_]:
    """(L,) True where no vertex lies farther than `REACH_PX` from the pixels."""
    far = shapely.distance(pixels[made.loop], shapely.points(made.xy)) > REACH_PX
    return np.asarray(np.bincount(made.loop, far, made.count) == 0, np.bool_)


def _fits(found: Polygons, old: Polygons, rule: Rule) -> NDArray[np.bool_]:
    """(L,) True where a new loop is a valid polygon that keeps what the rule asks of the old one."""
    good = shapely.is_valid(found) & ~shapely.is_empty(found)
    found, old = found[good], old[good]
    new_area, old_area = shapely.area(found), shapely.area(old)
    keeps = np.abs(new_area - old_area) <= rule.largest_area_change * old_area
    keeps &= shapely.is_ccw(shapely.get_exterior_ring(found)) == shapely.is_ccw(shapely.get_exterior_ring(old))
    if rule.least_iou > 0:
        shared = shapely.area(shapely.intersection(found, old))
        keeps &= shared >= rule.least_iou * (new_area + old_area - shared)
    good[good] = keeps
    return good
