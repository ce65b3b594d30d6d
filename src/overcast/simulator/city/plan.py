"""A seeded city on a rectangle of flat ground."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import STRtree

from overcast.simulator.city.districts import fill_block
from overcast.simulator.city.furniture import Collector
from overcast.simulator.city.geometry import City, Extent, Floats, Furniture, Patch, Structure, Surface, polygons
from overcast.simulator.city.harbour import lay_railway, moored_barges
from overcast.simulator.city.streets import Bend, Block, District, Streets, plan_streets
from overcast.simulator.options import CityOptions

CLEARANCE_M = 0.6
"""Smallest gap between buildings that do not share a wall."""
CROWN_REACH = 1.2
"""Furthest lobe of a crown in crown radii."""
RIVER_M = 50.0
"""Canals at least as wide carry barges."""


def build_city(bounds: Extent, options: CityOptions, seed: np.random.SeedSequence) -> City:
    """The city of a seed on `bounds` and `options.margin_m` around it. Deterministic; blocks draw independently."""
    built = bounds.grown(options.margin_m)
    plan_seed, fill_seed, street_seed = seed.spawn(3)
    centre = ((built.left + built.right) / 2, (built.bottom + built.top) / 2)
    reach = float(np.hypot(built.right - built.left, built.top - built.bottom)) / 2
    streets = plan_streets(centre, reach, options, np.random.default_rng(plan_seed))
    blocks = _blocks_on(built, streets)
    collector = Collector()
    for block, child in zip(blocks, fill_seed.spawn(len(blocks)), strict=True):
        rng = np.random.default_rng(child)
        fill_block(block, streets.bend, options, collector, rng)
    rng = np.random.default_rng(street_seed)
    for block in blocks:
        _line_streets(block, streets.bend, options, collector, rng)
    _lay_corridors(streets, collector, rng)
    allowed = [block.polygon(streets.bend, -1.0) for block in blocks]
    return _resolve(built, collector, allowed, options)


def _lay_corridors(streets: Streets, out: Collector, rng: np.random.Generator) -> None:
    """Railways, then canals and rivers over them."""
    for corridor in streets.railways:
        lay_railway(corridor, streets.bend, out, rng)
    out.patches += [Patch(canal.polygon(streets.bend, -2.5), Surface.CONCRETE) for canal in streets.canals]
    for canal in streets.canals:
        out.patches.append(Patch(canal.polygon(streets.bend), Surface.WATER))
        out.wall(streets.bend.points(canal.ring()), float(rng.uniform(1.0, 3.0)))
        if min(canal.size) > RIVER_M:
            moored_barges(canal, streets.bend, out, rng)


def _blocks_on(bounds: Extent, streets: Streets) -> list[Block]:
    box = shapely.box(bounds.left, bounds.bottom, bounds.right, bounds.top)
    return [block for block in streets.blocks if block.polygon(streets.bend).intersects(box)]


def _line_streets(block: Block, bend: Bend, options: CityOptions, out: Collector, rng: np.random.Generator) -> None:
    """Parked cars, trees and lamp posts along the streets around a block."""

    def every(inset: float, step: float, share: float) -> tuple[Floats, Floats]:
        ring = bend.points(block.ring(inset, step))
        ahead = np.roll(ring, -1, axis=0) - ring
        keep = rng.random(len(ring)) < share
        return ring[keep], np.arctan2(ahead[keep, 1], ahead[keep, 0])

    busy = 0.15 if block.district in {District.FIELD, District.PARK, District.WATER, District.HARBOUR} else 0.5
    spots, angles = every(-3.2, 6.0, busy * options.cars)
    out.park(spots, angles, rng)
    paved = block.district in {District.INDUSTRY, District.HARBOUR}
    leafy = float(rng.choice([0.0, 0.4, 0.8])) * (0.15 if paved else 1.0)
    spots, _ = every(-0.6, 11.0, min(1.0, leafy * options.trees))
    out.grow(spots, (1.8, 4.2), rng)
    spots, _ = every(-1.7, 27.0, 0.8)
    out.post(spots, (5.0, 9.0), rng)


def _resolve(bounds: Extent, collector: Collector, allowed: list[shapely.Polygon], options: CityOptions) -> City:
    """Keep what lies on its block and does not stand in something that was there first."""
    box = shapely.box(bounds.left, bounds.bottom, bounds.right, bounds.top)
    blocks = STRtree(allowed)
    shapes = np.array([shapely.union_all(polygons([b.rings for b in group])) for group in collector.groups], object)
    water = shapely.union_all([patch.polygon for patch in collector.patches if patch.surface is Surface.WATER])
    shapely.prepare(water)
    inside = np.zeros(len(shapes), bool)
    inside[blocks.query(shapes, predicate="within")[0]] = True
    inside &= shapely.intersects(shapes, box) & ~shapely.intersects(shapes, water)
    kept = _first_come(shapes, inside)
    buildings = tuple(b for index in kept for b in collector.groups[index])
    built = STRtree(shapes[kept])
    structures = _clear_structures(collector.structures, built, box, water)
    solid = STRtree([*shapes[kept], *polygons([(s.outline,) for s in structures])])
    furniture = clear_furniture(collector.furniture(), solid, water, bounds)
    if not options.trees_over_roofs:
        furniture = clear_crowns(furniture, built)
    return City(bounds, buildings, structures, tuple(collector.patches), furniture)


def _first_come(shapes: NDArray[np.object_], candidate: NDArray[np.bool_]) -> list[int]:
    """Indices of candidates that keep their distance from every earlier one."""
    left, right = STRtree(shapes).query(shapes, predicate="dwithin", distance=CLEARANCE_M)
    earlier: dict[int, list[int]] = {}
    for i, j in zip(left.tolist(), right.tolist(), strict=True):
        if j < i:
            earlier.setdefault(i, []).append(j)
    kept: set[int] = set()
    for index in np.flatnonzero(candidate).tolist():
        if not any(other in kept for other in earlier.get(index, ())):
            kept.add(index)
    return sorted(kept)


def _clear_structures(
    structures: list[Structure], built: STRtree, box: shapely.Polygon, water: shapely.Geometry
) -> tuple[Structure, ...]:
    shapes = polygons([(structure.outline,) for structure in structures])
    blocked = np.zeros(len(shapes), bool)
    if len(shapes):
        blocked[built.query(shapes, predicate="dwithin", distance=1.0)[0]] = True
        afloat = np.array([structure.afloat for structure in structures])
        wet = np.where(afloat, shapely.contains_properly(water, shapes), ~shapely.intersects(shapes, water))
        blocked |= ~shapely.intersects(shapes, box) | ~wet
    return tuple(structure for structure, bad in zip(structures, blocked, strict=True) if not bad)


def clear_furniture(small: Furniture, solid: STRtree, water: shapely.Geometry, bounds: Extent) -> Furniture:
    """What lies on the bounds, keeps its distance from solid things and stands on land."""

    def clear(rows: Floats, distance: float, end: int = 0) -> NDArray[np.bool_]:
        """True where a point of a row may stand."""
        xy = rows[:, end : end + 2]
        good = (xy[:, 0] > bounds.left) & (xy[:, 0] < bounds.right)
        good &= (xy[:, 1] > bounds.bottom) & (xy[:, 1] < bounds.top)
        points = shapely.points(xy)
        good[solid.query(points, predicate="dwithin", distance=distance)[0]] = False
        return good & ~shapely.contains_xy(water, xy)

    trees, cars, poles, hedges = small.trees, small.cars, small.poles, small.hedges
    return replace(
        small,
        trees=trees[clear(trees, 1.2)],
        cars=cars[clear(cars, 2.4)],
        poles=poles[clear(poles, 0.8)],
        hedges=hedges[clear(hedges, 0.6) & clear(hedges, 0.6, 2)],
    )


def clear_crowns(small: Furniture, built: STRtree) -> Furniture:
    """Without the trees whose crown (lobes included) reaches a footprint."""
    crowns = shapely.buffer(shapely.points(small.trees[:, :2]), small.trees[:, 2] * CROWN_REACH)
    hanging = np.zeros(len(crowns), bool)
    hanging[built.query(crowns, predicate="intersects")[0]] = True
    return replace(small, trees=small.trees[~hanging])
