"""The size of a pixel on the ground, along both of its sides."""

from __future__ import annotations

import math

import numpy as np
from affine import Affine
from pyproj import CRS, Geod

from overcast.errors import InputError, RadiometryError
from overcast.raster.degrees import to_degrees
from overcast.raster.georeference import Georeference
from overcast.raster.radiometry import GSD_TOLERANCE

_WGS84 = Geod(ellps="WGS84")


def pixel_sides_m(grid: Georeference) -> tuple[float, float, float] | None:
    """Width, height and diagonal in metres on the ground of the pixel in the middle; None without georeference.

    In a CRS without longitude and latitude the plane is the ground.
    """
    if grid.crs is None or grid.transform == Affine.identity():
        return None
    col, row = grid.width / 2, grid.height / 2
    corners = np.array([grid.position(col + dx, row + dy) for dx, dy in ((0, 0), (1, 0), (0, 1))])
    pairs = ((0, 1), (0, 2), (1, 2))
    try:
        places = to_degrees(grid.crs)(corners)
    except InputError:
        axes = CRS.from_user_input(grid.crs).axis_info
        unit_m = axes[0].unit_conversion_factor if axes else 1.0
        across, down, diagonal = (unit_m * math.dist(corners[a], corners[b]) for a, b in pairs)
    else:
        across, down, diagonal = (float(_WGS84.inv(*places[a], *places[b])[2]) for a, b in pairs)
    return across, down, diagonal


def fits(grid: Georeference, gsd_m: float, tolerance: float = GSD_TOLERANCE) -> bool:
    """True where pixels are squares of `gsd_m` on the ground, or nobody knows how large they are."""
    sides, square = pixel_sides_m(grid), (gsd_m, gsd_m, math.sqrt(2) * gsd_m)
    return sides is None or all(
        abs(found / wanted - 1) <= tolerance for found, wanted in zip(sides, square, strict=True)
    )


def require_pixels(grid: Georeference, gsd_m: float, name: str) -> None:
    """Raise RadiometryError, which begins with `name`, where pixels are no squares of `gsd_m` on the ground."""
    sides = pixel_sides_m(grid)
    if sides is None or fits(grid, gsd_m):
        return
    skewed = abs(sides[2] / math.hypot(sides[0], sides[1]) - 1) > GSD_TOLERANCE
    raise RadiometryError(
        f"{name} has pixels of {sides[0]:.3g} m x {sides[1]:.3g} m on the ground (width x height"
        f"{', skewed' if skewed else ''}) by its geotransform, but {gsd_m:.3g} m x {gsd_m:.3g} m are declared; correct "
        "the declaration, or bring it to square pixels of a model's size with overcast prepare."
    )
