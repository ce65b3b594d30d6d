"""A city of given footprints with heights, on bare ground: real towns, and scenes whose answer is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from shapely import Polygon

from overcast.simulator.city.furniture import Collector
from overcast.simulator.city.geometry import Building, City, Extent, Kind, Patch, Roof, Surface, Wing


def city_of(
    bounds: Extent, footprints: Sequence[Polygon], heights_m: Sequence[float], ground: Surface = Surface.ASPHALT
) -> City:
    """Flat-roofed buildings of the given outlines (metres of `bounds.crs`) and heights; nothing else stands there."""
    buildings = tuple(_block(shape, height) for shape, height in zip(footprints, heights_m, strict=True))
    box = shapely.box(bounds.left, bounds.bottom, bounds.right, bounds.top)
    return City(bounds, buildings, (), (Patch(box, ground),), Collector().furniture())


def _block(shape: Polygon, height_m: float) -> Building:
    oriented = shapely.geometry.polygon.orient(shape)
    rings = [np.asarray(ring.coords)[:-1, :2] for ring in (oriented.exterior, *oriented.interiors)]
    left, bottom, right, top = shape.bounds
    half = ((right - left) / 2, (top - bottom) / 2)
    cover = Wing((left + right) / 2, (bottom + top) / 2, 0.0, *half, height_m)
    return Building(rings[0], (cover,), Kind.OTHER, Roof.FLAT, Surface.BITUMEN, 0.5, tuple(rings[1:]))
