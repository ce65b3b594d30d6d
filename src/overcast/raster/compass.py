"""The compass on an image: where its upper side points, on which edge the radar stood, whether it is mirrored.

An azimuth is in degrees clockwise from north. The radar's azimuth is that of the radar as seen from the scene; it
looked the opposite way. What users and files declare are sides of the compass. What a network knows are edges of the
image that it sees; edges are called by the compass of an image whose upper side is north.
"""

from __future__ import annotations

import math

import numpy as np
from affine import Affine
from pyproj import Geod

from overcast.errors import InputError, RadiometryError
from overcast.raster.degrees import to_degrees
from overcast.raster.georeference import Georeference
from overcast.raster.grid import HALF_TURN, Turn
from overcast.raster.radiometry import SensorRadiometry, check_same
from overcast.raster.units import RadarSide

TOLERANCE_DEG = 22.5
"""Largest angle between the radar and the edge of the image that it is said to stand on."""

_WGS84 = Geod(ellps="WGS84")


def difference(one: float, other: float) -> float:
    """Signed angle from `other` to `one` in -180 .. 180 degrees.

    >>> difference(10, 350)
    20.0
    """
    return (one - other + 180.0) % 360.0 - 180.0


def azimuth_of(side: RadarSide) -> float:
    """Azimuth of a side of the compass."""
    return 90.0 * list(RadarSide).index(side)


def nearest_side(azimuth_deg: float) -> RadarSide:
    """The side of the compass that is nearest to an azimuth.

    >>> nearest_side(290.0)
    <RadarSide.WEST: 'west'>
    """
    return list(RadarSide)[round(azimuth_deg % 360.0 / 90.0) % 4]


def side_of(radar_deg: float, up_deg: float) -> RadarSide | None:
    """Edge of an image, not mirrored, on which the radar stood; None where it is between two edges.

    Args:
        radar_deg: Its azimuth.
        up_deg: Azimuth of the upper edge of the image.
    """
    for side in RadarSide:
        if abs(difference(radar_deg, up_deg + azimuth_of(side))) <= TOLERANCE_DEG:
            return side
    return None


def radar_azimuth(sensor: SensorRadiometry) -> float | None:
    """Azimuth of the radar: the declared one, else that of the declared side; None where nothing is declared."""
    if sensor.radar_azimuth_deg is not None:
        return sensor.radar_azimuth_deg
    return None if sensor.radar_side is None else azimuth_of(sensor.radar_side)


def up_azimuth(grid: Georeference) -> float:
    """Azimuth of the upper edge of an image, in its middle: 0 only where north is up and the CRS does not turn it.

    Without georeference up counts as north; in a CRS without longitude and latitude its second axis does.
    """
    if grid.crs is None or grid.transform == Affine.identity():
        return 0.0
    t = grid.transform
    row, col = grid.height / 2, grid.width / 2
    places = np.array([grid.position(col, row), grid.position(col, row - max(1.0, grid.height / 4))])
    try:
        (lon, lat), (up_lon, up_lat) = to_degrees(grid.crs)(places)
    except InputError:
        return math.degrees(math.atan2(-t.b, -t.e)) % 360.0
    return float(_WGS84.inv(lon, lat, up_lon, up_lat)[0]) % 360.0


def unmirrored(grid: Georeference) -> Turn:
    """Which axes of an image are to be reversed so that it shows the ground as it is seen from above.

    None of them on most grids. On a mirrored one, whose rows run northwards or whose columns run westwards, it is the
    one that brings north nearer to the upper edge.
    """
    if grid.crs is None or grid.transform == Affine.identity() or grid.transform.determinant <= 0:
        return Turn()
    up = abs(difference(up_azimuth(grid), 0.0))
    return Turn(rows=True) if up > 90.0 else Turn(cols=True)


def radar_edge(grid: Georeference, azimuth_deg: float, name: str) -> RadarSide:
    """Edge of the unmirrored image on which a radar at an azimuth stood.

    Raises RadiometryError, which begins with `name`, where that is between two edges.
    """
    up = up_azimuth(grid.turned(unmirrored(grid)))
    edge = side_of(azimuth_deg, up)
    if edge is None:
        raise RadiometryError(
            f"{name}: the radar stood at {azimuth_deg:.0f} degrees from north, and the image's upper side points to "
            f"{up:.0f} degrees, so it stood between two sides of the image; turn the scene with overcast prepare "
            "--rotate."
        )
    return edge


def turn_to(grid: Georeference, edge: RadarSide | None, wanted: RadarSide | None) -> Turn:
    """Axes to reverse so that an image is unmirrored and its radar stands on the wanted edge, not on the opposite one.

    Where the radar's edge or the wanted one is not known, the image is unmirrored only.
    """
    turn = unmirrored(grid)
    return turn.then(HALF_TURN) if edge is not None and edge.opposite is wanted else turn


def turn_for(
    model: SensorRadiometry, model_name: str, scene: SensorRadiometry, grid: Georeference, scene_name: str
) -> Turn:
    """How a scene is turned for a network: unmirrored, and by 180 degrees where its radar stood opposite.

    Args:
        model: What it was trained for.
        model_name: For messages.
        scene: What the scene declares; its radar side is one of the compass.
        grid: The scene's: its geotransform says which edge of the image that is.
        scene_name: For messages.

    Raises RadiometryError, naming both sides, where the scene is not what the model was trained for.
    """
    wanted, stood = model.radar_side, radar_azimuth(scene)
    edge = None if wanted is None or stood is None else radar_edge(grid, stood, scene_name)
    seen = wanted if edge is not None and edge.opposite is wanted else edge
    as_seen = scene.model_copy(update={"radar_side": seen, "radar_azimuth_deg": None})
    check_same(model, as_seen, expected_name=model_name, found_name=scene_name)
    return turn_to(grid, edge, wanted)
