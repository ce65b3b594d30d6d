"""Longitude and latitude: of places in any CRS, across the line where longitude jumps from 180 to -180 degrees."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError
from shapely.affinity import translate

from overcast.errors import InputError
from overcast.raster.georeference import WEB_MERCATOR, Georeference

DEGREES = "OGC:CRS84"
"""Longitude and latitude on WGS 84, the CRS of GeoJSON."""
MERCATOR_TURN_M = 2 * np.pi * 6_378_137.0
"""Metres of Web Mercator around the Earth."""

Coordinates = NDArray[np.float64]
Shape = shapely.Polygon | shapely.MultiPolygon


def to_degrees(crs: str) -> Callable[[Coordinates], Coordinates]:
    """Function from (N, 2) map coordinates to longitude and latitude. It or the call raises InputError without any."""
    refusal = InputError(
        "parts of the scene lie where its coordinate reference system has no longitude and latitude; give it the right "
        "one (gdal_edit.py -a_srs EPSG:...)."
    )
    try:
        transformer = _transformer(crs)
    except ProjError as error:
        raise refusal from error

    def project(xy: Coordinates) -> Coordinates:
        degrees = np.stack(transformer.transform(xy[:, 0], xy[:, 1]), axis=1)
        if not np.isfinite(degrees).all():
            raise refusal
        return degrees

    return project


@lru_cache(maxsize=64)
def _transformer(crs: str) -> Transformer:
    return Transformer.from_crs(crs, DEGREES, always_xy=True)


def place_of(grid: Georeference) -> tuple[float, float]:
    """Longitude in -180 .. 180 and latitude of the middle. Raises InputError where the CRS has none."""
    if grid.crs is None:
        raise ValueError("longitude and latitude need a CRS")
    middle = to_degrees(grid.crs)(np.array([grid.position(grid.width / 2, grid.height / 2)]))
    return wrapped(float(middle[0, 0])), float(middle[0, 1])


def wrapped(longitude: float) -> float:
    """The longitude in -180 .. 180.

    >>> wrapped(204.0)
    -156.0
    """
    return float((longitude + 180.0) % 360.0 - 180.0)


def nearest_turn(values: NDArray[np.float64], reference: float, turn: float = 360.0) -> NDArray[np.float64]:
    """Values shifted by whole turns, so that each is at most half a turn from `reference`.

    >>> nearest_turn(np.array([-179.0, 179.0]), 180.0)
    array([181., 179.])
    """
    return np.asarray(values + turn * np.round((reference - values) / turn), np.float64)


def turn_of(crs: str) -> float | None:
    """Length of a turn around the Earth along x, in units of a CRS whose x repeats; None for any other CRS.

    >>> turn_of("EPSG:4326"), turn_of("EPSG:32631")
    (360.0, None)
    """
    system = CRS.from_user_input(crs)
    if system.is_geographic:
        return float(2 * np.pi / system.axis_info[0].unit_conversion_factor)
    return MERCATOR_TURN_M if system.to_epsg() == WEB_MERCATOR else None


def utm_zone(longitude: float, latitude: float) -> str:
    """The UTM zone of a place. Raises InputError near the poles, where there are none.

    >>> utm_zone(204.1, 19.7), utm_zone(180.0, -16.8)
    ('EPSG:32605', 'EPSG:32701')
    """
    if not -80 <= latitude <= 84:
        raise InputError("latitudes beyond -80 and 84 degrees lie outside of all UTM zones.")
    zone = int((wrapped(longitude) + 180) // 6) + 1
    return f"EPSG:{(32600 if latitude >= 0 else 32700) + zone}"


def unwrapped(polygon: shapely.Polygon) -> shapely.Polygon:
    """A polygon in longitude and latitude without jumps: near its first vertex, beyond 180 degrees where need be."""
    first = float(shapely.get_coordinates(polygon)[0, 0])

    def unwrap(xy: Coordinates) -> Coordinates:
        return np.stack([nearest_turn(xy[:, 0], first), xy[:, 1]], axis=1)

    return shapely.transform(polygon, unwrap)


def split_at_180(polygon: shapely.Polygon) -> Shape:
    """An unwrapped polygon with longitudes in -180 .. 180: cut where it crosses the line (RFC 7946, 3.1.9).

    No area is lost. Outlines run counterclockwise.
    """
    west, _, east, _ = polygon.bounds
    if west >= -180 and east <= 180:
        return polygon
    parts: list[shapely.Polygon] = []
    for turn in range(int((west + 180) // 360), int((east + 180) // 360) + 1):
        band = shapely.box(360 * turn - 180, -90, 360 * turn + 180, 90)
        cuts = shapely.get_parts(shapely.intersection(polygon, band))
        moved = [translate(cut, xoff=-360 * turn) for cut in cuts if isinstance(cut, shapely.Polygon)]
        parts += map(shapely.geometry.polygon.orient, moved)
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def joined_at_180(shape: Shape) -> Shape:
    """A shape in longitude and latitude whose parts touch 180 degrees from both sides, as one that runs on."""
    parts = [translate(part, xoff=360.0 if part.bounds[2] < 0 else 0.0) for part in shapely.get_parts(shape)]
    joined = shapely.union_all(parts)
    return joined if isinstance(joined, shapely.Polygon | shapely.MultiPolygon) else shape


def box_of(polygon: shapely.Polygon) -> tuple[float, float, float, float]:
    """West, south, east, north of an unwrapped polygon; west > east across the line of 180 degrees (RFC 7946, 5.2).

    >>> box_of(shapely.box(179.0, -17.0, 181.0, -16.0))
    (179.0, -17.0, -179.0, -16.0)
    """
    west, south, east, north = polygon.bounds
    if east - west >= 360:
        return -180.0, south, 180.0, north
    return wrapped(west), south, east if east == 180 else wrapped(east), north
