"""Where the radar stood: from the paths of satellites, and on which edge of the prepared image that is.

The radar's azimuth is that of the radar as seen from the scene, clockwise from north; it looked the opposite way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from overcast.errors import RadiometryError
from overcast.raster.compass import side_of
from overcast.raster.units import RadarSide

INCLINATION_DEG = 98.0
"""Inclination of sun-synchronous radar satellites, which is 97.4 to 98.6 degrees."""
ORBITS_PER_DAY = 14.9
"""The same: 14.6 to 15.2."""
HIGHEST_LATITUDE_DEG = 75.0
"""Above it the heading changes too fast to follow from ascending or descending."""


@dataclass(frozen=True)
class Radar:
    """Where the radar stood."""

    azimuth_deg: float
    source: str
    """Who says so."""


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


def require_side(radar: Radar, up_deg: float, scene: str) -> RadarSide:
    """The side of the image on which the radar stood. Raises RadiometryError where it is between two sides."""
    side = side_of(radar.azimuth_deg, up_deg)
    if side is None:
        raise RadiometryError(
            f"{scene}: the radar stood at {radar.azimuth_deg:.0f} degrees from north ({radar.source}), between two "
            "sides of the image; turn the scene with --rotate."
        )
    return side
