"""A town of given footprints: how it is tiled into places, and what stands on the ground between its buildings."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.polygon import orient

from overcast.simulator.city.furniture import Collector
from overcast.simulator.city.geometry import Building, City, Extent, Floats, Kind, Patch, Roof, Surface, Wing, polygons
from overcast.simulator.city.plan import clear_crowns, clear_furniture
from overcast.simulator.city.shapes import FLAT, PITCHED
from overcast.simulator.options import CityOptions, FootprintOptions, RoofChoice, SimulationOptions
from overcast.simulator.town.given import GivenBuilding, read_town

CELL_M = 64.0
"""Trees and cars are drawn by cells of the map, so that neighbouring places agree on what stands between them."""
LARGE_M2 = 400.0
"""Larger buildings stand on paving, smaller ones in gardens."""
STREET_M, GARDEN_M, YARD_M = 22.0, 7.0, 12.0
"""Width of streets around, of gardens at and of paving at buildings."""
TREES_M2, CARS_M2 = 0.0022, 0.0012
"""Trees and cars per square metre of open ground at the default density."""
GABLE_M2 = 220.0
"""Compact, nearly rectangular footprints up to this size get a gabled roof."""


def tiled(options: SimulationOptions, most: int | None = None) -> SimulationOptions:
    """The options with as many places as the footprints need, at most the `most` with the largest built area."""
    assert options.footprints is not None, "asked for only with footprints"
    every = options.model_copy(update={"places": 100_000, "scenes": 0})
    found = len(town_bounds(every))
    return options.model_copy(update={"places": min(found, most or found), "scenes": 0})


def town_bounds(options: SimulationOptions) -> tuple[Extent, ...]:
    """Ground of each place: cells of a grid over the town, those with the largest built area, in reading order."""
    assert options.footprints is not None, "asked for only with footprints"
    side = options.place_px * options.gsd_m
    return _bounds(options.footprints, side, options.gsd_m, options.places)


@lru_cache(maxsize=4)
def _bounds(footprints: FootprintOptions, side: float, gsd_m: float, count: int) -> tuple[Extent, ...]:
    town = read_town(footprints)
    boxes = shapely.bounds([building.outline for building in town.buildings])
    left, bottom = (np.floor(boxes[:, :2].min(axis=0) / gsd_m) * gsd_m).tolist()
    right, top = boxes[:, 2:].max(axis=0).tolist()
    columns, rows = max(1, int(np.ceil((right - left) / side))), max(1, int(np.ceil((top - bottom) / side)))
    left -= np.floor((columns * side - (right - left)) / 2 / gsd_m) * gsd_m
    bottom -= np.floor((rows * side - (top - bottom)) / 2 / gsd_m) * gsd_m
    area = np.zeros((rows, columns))
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    cell = np.floor((middle - (left, bottom)) / side).astype(int)
    sizes = shapely.area([building.outline for building in town.buildings])
    np.add.at(area, (cell[:, 1].clip(0, rows - 1), cell[:, 0].clip(0, columns - 1)), sizes)
    wanted = np.argsort(-area.ravel(), kind="stable")[:count]
    kept = sorted(
        (int(i) for i in wanted if footprints.keep_empty or area.flat[i] > 0), key=lambda i: (-(i // columns), i)
    )
    corners = [(float(left + i % columns * side), float(bottom + i // columns * side)) for i in kept]
    return tuple(Extent(x, y, x + side, y + side, town.crs) for x, y in corners)


def town_city(bounds: Extent, footprints: FootprintOptions, options: CityOptions, seed: int) -> City:
    """The buildings on `bounds` and `options.margin_m` around it, on plausible ground."""
    town = read_town(footprints)
    built = bounds.grown(options.margin_m)
    box = shapely.box(built.left, built.bottom, built.right, built.top)
    near = np.sort(town.tree.query(box, predicate="intersects"))
    given = [town.buildings[i] for i in near]
    buildings = tuple(_raise(b, footprints.roofs, _rng(seed, int(i))) for b, i in zip(given, near, strict=True))
    collector = Collector()
    shapes = polygons([b.rings for b in buildings])
    solid = shapely.STRtree(shapes)
    collector.patches += _ground(box, shapes)
    for cell in _cells(built):
        _scatter(cell, collector, options, seed)
    furniture = clear_furniture(collector.furniture(), solid, shapely.Polygon(), built)
    furniture = replace(furniture, cars=furniture.cars[_on_streets(furniture.cars[:, :2], shapes)])
    if not options.trees_over_roofs:
        furniture = clear_crowns(furniture, solid)
    return City(built, buildings, (), tuple(collector.patches), furniture)


def _rng(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([seed, *key]))


def _raise(given: GivenBuilding, choice: RoofChoice, rng: np.random.Generator) -> Building:
    """A building with the roof of the file, or one after its size."""
    outline = orient(given.outline)
    rings = [np.asarray(ring.coords)[:-1, :2] for ring in (outline.exterior, *outline.interiors)]
    box = shapely.get_coordinates(shapely.minimum_rotated_rectangle(outline))[:4]
    edges = np.hypot(*np.diff(box[:3], axis=0).T)
    angle = float(np.arctan2(*(box[1] - box[0] if edges[0] >= edges[1] else box[2] - box[1])[::-1]))
    half = (float(edges.max()) / 2, float(edges.min()) / 2)
    roof = given.roof or Roof.FLAT
    if given.roof is None and choice is RoofChoice.SIZE and _gable(outline, edges, given.height_m):
        roof = Roof.GABLED
    if roof is Roof.FLAT:
        rise = 0.0
    elif given.eaves_m is not None:
        rise = given.height_m - given.eaves_m
    else:
        rise = float(min(half[1] * rng.uniform(0.6, 0.95), 0.45 * given.height_m))
    if given.ridge is not None and abs(np.cos(given.ridge - angle)) < 0.7:
        angle, half = angle + np.pi / 2, (half[1], half[0])
    middle = box.mean(axis=0)
    cover = Wing(
        float(middle[0]), float(middle[1]), angle, *half, given.height_m - rise, rise, hipped=roof is Roof.HIPPED
    )
    large = outline.area > 3 * LARGE_M2
    surfaces = PITCHED if rise > 0 else (*FLAT, Surface.METAL) if large else FLAT
    surface = Surface(int(rng.choice([int(s) for s in surfaces])))
    return Building(rings[0], (cover,), Kind.OTHER, roof, surface, float(rng.random()), tuple(rings[1:]))


def _gable(outline: shapely.Polygon, edges: Floats, height_m: float) -> bool:
    compact = edges.max() < 3 * edges.min() and outline.area > 0.9 * edges.prod()
    return bool(25.0 < outline.area <= GABLE_M2 and compact and 4.0 < height_m < 16.0)


def _ground(box: shapely.Polygon, shapes: NDArray[np.object_]) -> list[Patch]:
    """Grass; streets and paving around what is built; gardens at small buildings, yards at large ones."""
    large = shapely.area(shapes) > LARGE_M2
    patches = [Patch(box, Surface.GRASS)]
    for chosen, reach, surface in (
        (np.ones(len(shapes), bool), STREET_M, Surface.ASPHALT),
        (large, YARD_M, Surface.PAVING),
        (~large, GARDEN_M, Surface.GARDEN),
    ):
        around = shapely.union_all(shapely.buffer(shapes[chosen], reach, quad_segs=3))
        patches += [
            Patch(part, surface) for part in shapely.get_parts(shapely.intersection(around, box)) if part.area > 1
        ]
    return patches


def _on_streets(xy: Floats, shapes: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Which points lie near buildings but in no garden."""
    tree, points = shapely.STRtree(shapes), shapely.points(xy)
    near, garden = np.zeros(len(xy), bool), np.zeros(len(xy), bool)
    near[tree.query(points, predicate="dwithin", distance=STREET_M)[0]] = True
    garden[tree.query(points, predicate="dwithin", distance=GARDEN_M)[0]] = True
    return near & ~garden


def _cells(built: Extent) -> list[tuple[int, int]]:
    """Cells of the map that meet the ground."""
    xs = range(int(np.floor(built.left / CELL_M)), int(np.ceil(built.right / CELL_M)))
    ys = range(int(np.floor(built.bottom / CELL_M)), int(np.ceil(built.top / CELL_M)))
    return [(x, y) for x in xs for y in ys]


def _scatter(cell: tuple[int, int], out: Collector, options: CityOptions, seed: int) -> None:
    """Trees, cars and lamp posts of a cell."""
    rng = _rng(seed, *(2 * abs(number) + (number < 0) for number in cell), 7)
    corner, area = np.array(cell) * CELL_M, CELL_M**2
    trees, cars = int(rng.poisson(TREES_M2 * area * options.trees)), int(rng.poisson(CARS_M2 * area * options.cars))
    out.grow(corner + rng.uniform(0, CELL_M, (trees, 2)), (1.5, 4.5), rng)
    angle: Floats = rng.uniform(0, np.pi) + np.pi / 2 * rng.integers(0, 2, cars).astype(np.float64)
    out.park(corner + rng.uniform(0, CELL_M, (cars, 2)), angle, rng)
    out.post(corner + rng.uniform(0, CELL_M, (1, 2)), (5.0, 9.0), rng)
