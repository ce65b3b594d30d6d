"""Where the radar stood: compass azimuths, sides of images, and the grid that turns one into the other.

An azimuth is in degrees clockwise from north. The radar's azimuth is that of the radar as seen from the scene; it
looked the opposite way. A `RadarSide` is a side of the image: a side of the compass only where north is up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from pyproj import Geod

from overcast.data.georeference import Georeference
from overcast.data.units import RadarSide
from overcast.errors import RadiometryError
from overcast.inference.vector import to_degrees

TOLERANCE_DEG = 22.5
"""Largest angle between the radar and the side of the image that it is said to stand on."""
INCLINATION_DEG = 98.0
"""Of sun-synchronous radar satellites: 97.4 to 98.6 degrees."""
ORBITS_PER_DAY = 14.9
"""The same: 14.6 to 15.2."""
HIGHEST_LATITUDE_DEG = 75.0
"""Above it the heading changes too fast to be told from ascending or descending."""

_WGS84 = Geod(ellps="WGS84")


@dataclass(frozen=True)
class Radar:
    """Where the radar stood."""

    azimuth_deg: float
    source: str
    """Who says so."""


def difference(one: float, other: float) -> float:
    """Signed angle from `other` to `one` in -180 .. 180 degrees.

    >>> difference(10, 350)
    20.0
    """
    return (one - other + 180.0) % 360.0 - 180.0


def azimuth_of(side: RadarSide) -> float:
    """Azimuth of a side of an image whose upper side is north."""
    return 90.0 * list(RadarSide).index(side)


def side_of(radar_deg: float, up_deg: float) -> RadarSide | None:
    """Side of the image on which the radar stood, None where it is between two sides.

    Args:
        radar_deg: Its azimuth.
        up_deg: Azimuth of the upper side of the image.
    """
    for side in RadarSide:
        if abs(difference(radar_deg, up_deg + azimuth_of(side))) <= TOLERANCE_DEG:
            return side
    return None


def radar_behind(heading_deg: float, looks: str) -> float:
    """Azimuth of a radar that flies along `heading_deg` and looks to its `right` or `left`."""
    return (heading_deg + (-90.0 if looks == "right" else 90.0)) % 360.0


def orbit_heading(orbit: str, latitude_deg: float) -> float | None:
    """Heading over the turning ground of an `ascending` or `descending` sun-synchronous satellite, to a few degrees.

    tan(heading) = (cos i - k cos^2 latitude) / sqrt(cos^2 latitude - cos^2 i), with inclination i and k the ratio of
    the Earth's turn to the satellite's (Capderou, Satellites: Orbits and Missions, 2005). None too near to the poles.

    >>> [round(orbit_heading(orbit, 0.0)) for orbit in ("ascending", "descending")]
    [348, 192]
    """
    if abs(latitude_deg) > HIGHEST_LATITUDE_DEG:
        return None
    inclined, parallel = math.cos(math.radians(INCLINATION_DEG)), math.cos(math.radians(latitude_deg))
    east = inclined - parallel**2 / ORBITS_PER_DAY
    off_north = math.degrees(math.atan2(east, math.sqrt(parallel**2 - inclined**2)))
    return (off_north if orbit == "ascending" else 180.0 - off_north) % 360.0


def place_of(grid: Georeference) -> tuple[float, float]:
    """Longitude and latitude of the middle. Raises InputError where the CRS has none."""
    (longitude, latitude), _ = _middle(grid)
    return longitude, latitude


def up_azimuth(grid: Georeference) -> float:
    """Azimuth of the upper side of an image, in its middle: 0 only where north is up and the CRS does not turn it."""
    (lon, lat), (up_lon, up_lat) = _middle(grid)
    forward, _, _ = _WGS84.inv(lon, lat, up_lon, up_lat)
    return float(forward) % 360.0


def _middle(grid: Georeference) -> tuple[tuple[float, float], tuple[float, float]]:
    """Longitude and latitude of the middle, and of a place somewhat above it in the image."""
    row, col = grid.height / 2, grid.width / 2
    places = np.array([grid.position(col, row), grid.position(col, row - max(1.0, grid.height / 4))])
    if grid.crs is None:
        raise ValueError("a compass needs a CRS")
    first, second = to_degrees(grid.crs)(places)
    return (float(first[0]), float(first[1])), (float(second[0]), float(second[1]))


def require_side(radar: Radar, up_deg: float, scene: str) -> RadarSide:
    """The side of the image on which the radar stood. Raises RadiometryError where it is between two sides."""
    side = side_of(radar.azimuth_deg, up_deg)
    if side is None:
        raise RadiometryError(
            f"{scene}: the radar stood at {radar.azimuth_deg:.0f} degrees from north ({radar.source}), between two "
            "sides of the image; turn the scene with --rotate."
        )
    return side
