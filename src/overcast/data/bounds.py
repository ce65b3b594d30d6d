"""Ground covered by pixel grids, in metres, so that overlaps and buffers can be measured."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from rasterio.crs import CRS
from rasterio.warp import transform_bounds

from overcast.data.chips import Bounds
from overcast.data.georeference import Georeference

WEB_MERCATOR = 3857
"""Its metres are not metres on the ground: 1.6 too long at 52 degrees north."""
UTM_REACH_DEG = 6.0
"""Longitude from the centre of a zone's first chip up to which neighbours use the same zone."""


def ground_bounds(grids: Sequence[Georeference]) -> list[Bounds | None]:
    """Bounds of each grid; None for grids without CRS.

    A projected CRS in metres is kept. Any other (longitude and latitude, feet, web Mercator) is replaced by a UTM
    zone, the same one for neighbouring grids even across the border of two zones.
    """
    zones: list[tuple[float, str]] = []
    return [_bounds(grid, zones) for grid in grids]


def _bounds(grid: Georeference, zones: list[tuple[float, str]]) -> Bounds | None:
    if grid.crs is None:
        return None
    if is_metric(grid.crs):
        return Bounds(*grid.extent, grid.crs)
    west, south, east, north = transform_bounds(grid.crs, "EPSG:4326", *grid.extent)
    target = _zone((west + east) / 2, (south + north) / 2, zones)
    left, bottom, right, top = transform_bounds(grid.crs, target, *grid.extent)
    return Bounds(left, bottom, right, top, target)


def _zone(longitude: float, latitude: float, zones: list[tuple[float, str]]) -> str:
    """The UTM zone already used within reach, or that of the position, which is then remembered."""
    for centre, crs in zones:
        if abs(centre - longitude) <= UTM_REACH_DEG:
            return crs
    number = min(int((longitude + 180) // 6) + 1, 60)
    crs = f"EPSG:{(32600 if latitude >= 0 else 32700) + number}"
    zones.append((longitude, crs))
    return crs


@lru_cache(maxsize=256)
def is_metric(crs: str) -> bool:
    """True for a projected CRS whose unit is the metre on the ground."""
    system = CRS.from_user_input(crs)
    return bool(system.is_projected and system.linear_units_factor[1] == 1.0 and system.to_epsg() != WEB_MERCATOR)
