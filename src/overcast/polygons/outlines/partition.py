"""A block's outline cut into its buildings along straight walls, which neighbours share to the last bit."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from overcast.polygons.area import Polygons
from overcast.polygons.outlines.direction import dominant_direction
from overcast.polygons.outlines.levels import GRID, REACH_PX
from overcast.polygons.outlines.loops import Floats, Loops, find_walls

WALL_TOLERANCE_PX = 1.5
"""Douglas-Peucker on the pixel edges between two buildings."""
SQUARE_SINE = 0.4226
"""Sine of 25 degrees: a wall this close to a main direction takes it."""
LARGEST_AREA_CHANGE = 0.25
"""Of a building within its block, whose walls move by a pixel or two, which is much of a small building."""


def partition(block: shapely.Polygon, parts: Polygons) -> Polygons | None:
    """Polygons (K,) that together are `block`, one for each of its parts along pixel edges; None where none fit.

    Args:
        block: Outline of all of it.
        parts: (K,) valid polygons along pixel edges that share walls and cover about the same ground.
    """
    direction = _main_direction(block)
    walls = _walls(parts)
    for drawn in ([_straight(wall, block, direction) for wall in walls], [_extended(wall) for wall in walls]):
        faces = _faces(block, drawn)
        found = _assembled(faces, parts)
        if found is not None:
            return found
    return None


def _main_direction(block: shapely.Polygon) -> Floats:
    """(2,) unit vector."""
    outline = Loops.of(np.array([block.exterior], object))
    walls = find_walls(outline, np.arange(len(outline.loop)))
    direction: Floats = dominant_direction(walls, walls.loop, 1)[0]
    return direction


def _walls(parts: Polygons) -> list[Floats]:
    """Lines (V, 2) along pixel edges between two parts each."""
    edges = shapely.boundary(parts)
    lines: list[Floats] = []
    tree = shapely.STRtree(parts)
    for one, other in tree.query(parts).T:
        if one >= other:
            continue
        shared = shapely.line_merge(shapely.intersection(edges[one], edges[other]))
        found = shapely.get_parts(shared)
        lines += [shapely.get_coordinates(line) for line in found[shapely.length(found) > 0]]
    return lines


def _straight(wall: Floats, block: shapely.Polygon, direction: Floats) -> Floats:
    """A wall simplified, squared where it is one straight line near a main direction, its ends carried outwards."""
    line = shapely.get_coordinates(shapely.simplify(shapely.linestrings(wall), WALL_TOLERANCE_PX))
    if len(line) == 2:
        chord = line[1] - line[0]
        length = float(np.sqrt((chord**2).sum()))
        across = np.array([-direction[1], direction[0]])
        for axis in (direction, across):
            along = float(chord @ axis)
            if abs(along) >= length * np.sqrt(1 - SQUARE_SINE**2):
                free = [shapely.distance(block.boundary, shapely.points(end)) <= REACH_PX for end in line]
                middle = _middle(wall) if free[0] == free[1] else line[0 if not free[0] else 1]
                line = np.stack([middle + ((end - middle) @ axis) * axis for end in line])
                break
    return _extended(line)


def _middle(line: Floats) -> Floats:
    """Centre of mass of a line."""
    step = np.diff(line, axis=0)
    weight = np.sqrt((step**2).sum(axis=1))
    centre: Floats = ((line[1:] + line[:-1]) / 2 * weight[:, None]).sum(axis=0) / weight.sum()
    return centre


def _extended(line: Floats) -> Floats:
    """A line carried on at both ends, past any outline that its block can have."""
    ends = line[[0, -1]]
    steps = line[[0, -1]] - line[[1, -2]]
    unit = steps / np.sqrt((steps**2).sum(axis=1))[:, None]
    outer = ends + unit * (REACH_PX + 1)
    return np.concatenate([outer[:1], line, outer[1:]])


def _faces(block: shapely.Polygon, walls: list[Floats]) -> Polygons:
    lines = [shapely.LineString(np.round(wall * GRID) / GRID) for wall in walls]
    noded = shapely.union_all(np.array([block.boundary, *lines], object))
    faces = shapely.get_parts(shapely.polygonize(shapely.get_parts(noded)))
    shapely.prepare(block)
    inside: NDArray[np.bool_] = shapely.contains(block, shapely.point_on_surface(faces))
    return np.asarray(faces[inside], object)


def _assembled(faces: Polygons, parts: Polygons) -> Polygons | None:
    """Faces joined by the part that each lies in most; None unless each part becomes a polygon close to it."""
    if not len(faces):
        return None
    face, part = shapely.STRtree(parts).query(faces)
    shared = shapely.area(shapely.intersection(faces[face], parts[part]))
    owner = np.full(len(faces), -1)
    for at in np.lexsort((-part, shared)):  # the largest comes last and stays; of equals the first part
        owner[face[at]] = part[at]
    joined = [shapely.union_all(faces[owner == number]) for number in range(len(parts))]
    found = np.array(joined, object)
    single = shapely.get_type_id(found) == shapely.GeometryType.POLYGON
    if not (single & shapely.is_valid(found) & ~shapely.is_empty(found)).all():
        return None
    before, after = shapely.area(parts), shapely.area(found)
    close = np.abs(after - before) <= LARGEST_AREA_CHANGE * before
    return found if close.all() else None
