"""The grid of a prepared scene: the model's pixel size, metres on the ground, north up or the radar on one side."""

from __future__ import annotations

import math

import numpy as np
import pyproj
from affine import Affine
from pyproj import Transformer
from rasterio.crs import CRS
from rasterio.errors import CRSError

from overcast.errors import ConfigError, InputError
from overcast.polygons.area import PlanarArea, measure_area
from overcast.raster.compass import difference, up_azimuth
from overcast.raster.degrees import place_of, utm_zone
from overcast.raster.georeference import Georeference, is_metric, same_crs
from overcast.raster.pixel_size import pixel_sides_m

GSD_KEPT = 0.01
"""Relative difference of pixel size up to which a grid is kept: resampling would lose more than it mends."""
ANGLE_KEPT_DEG = 0.5
"""Largest difference of direction, in degrees, at which a grid is kept."""
EDGE_POINTS = 21
"""Points along each side of a scene that are projected to find its extent."""


def target_crs(grid: Georeference, wanted: str | None, scene: str) -> str:
    """CRS of the prepared scene: the wanted one, the scene's where that is in metres on the ground, else UTM.

    Raises:
        ConfigError: The wanted CRS is unknown, or not in metres on the ground.
        InputError: The scene lies nowhere in its CRS.
    """
    if wanted is not None:
        try:
            asked = "" if "/vsi" in wanted or "://" in wanted else wanted  # nobody is asked for a CRS
            text: str = CRS.from_user_input(asked).to_string()
        except CRSError as error:
            raise ConfigError(
                f"--crs {wanted} is not a known coordinate reference system; write for example EPSG:32631."
            ) from error
        if not is_metric(text):
            raise ConfigError(f"--crs {wanted} is not in metres on the ground; take the UTM zone of the scene.")
        return text
    assert grid.crs is not None
    if is_metric(grid.crs) and isinstance(measure_area(grid), PlanarArea) and _true_lengths(grid):
        return grid.crs
    try:
        return utm_zone(*place_of(grid))
    except InputError as error:
        if not _on_earth(grid.crs):
            raise InputError(
                f"{scene} is in {pyproj.CRS.from_user_input(grid.crs).name!r}, a coordinate system of its own without "
                "longitude and latitude, so there is no compass in it and no map to bring it to; assign the system "
                "that its coordinates are in (gdal_edit.py -a_srs EPSG:...)."
            ) from error
        raise InputError(f"{scene}: {str(error).rstrip('.')}; give a CRS in metres there with --crs.") from error


def _on_earth(crs: str) -> bool:
    system = pyproj.CRS.from_user_input(crs)
    return bool(system.is_projected or system.is_geographic or system.is_geocentric or system.is_compound)


def _true_lengths(grid: Georeference) -> bool:
    """True where metres of the CRS are metres on the ground along both sides of a pixel."""
    t, sides = grid.transform, pixel_sides_m(grid)
    plane = math.hypot(t.a, t.d), math.hypot(t.b, t.e)
    return sides is None or all(abs(a / b - 1) <= GSD_KEPT for a, b in zip(sides, plane, strict=False))


def target_grid(grid: Georeference, crs: str, gsd_m: float, up_deg: float | None) -> Georeference:
    """Grid of square pixels of `gsd_m` over all of a scene.

    A grid that is already as wanted is returned as it is. In the scene's CRS the first corner is kept, so that whole
    pixels are averaged; otherwise corners lie on multiples of `gsd_m`.

    Args:
        grid: The scene, with a CRS.
        crs: In metres.
        gsd_m: Side of a pixel.
        up_deg: Azimuth that the upper side of the image shall have; None for north up.
    """
    kept_crs = same_crs(str(grid.crs), crs)
    if kept_crs and _has_pixels_of(grid, gsd_m) and _points(grid, up_deg):
        return grid
    xy = _outline(grid, crs)
    centre = xy.mean(axis=0)
    angle = 0.0
    if up_deg is not None:
        here = Georeference(2, 2, Affine(gsd_m, 0, centre[0] - gsd_m, 0, -gsd_m, centre[1] + gsd_m), crs)
        angle = math.radians(difference(up_deg, up_azimuth(here)))
    right = np.round(np.array([math.cos(angle), -math.sin(angle)]), 15)
    up = np.round(np.array([math.sin(angle), math.cos(angle)]), 15)
    (left, bottom), (end, top) = (pick(np.stack([xy @ right, xy @ up], axis=1), axis=0) for pick in (np.min, np.max))
    if not kept_crs:
        left, bottom = (math.floor(value / gsd_m) * gsd_m for value in (left, bottom))
        end, top = (math.ceil(value / gsd_m) * gsd_m for value in (end, top))
    # pixels whose centres lie beyond the scene would hold no data
    width, height = (max(1, math.ceil(length / gsd_m - 0.5)) for length in (end - left, top - bottom))
    corner = left * right + top * up
    across, down = gsd_m * right, -gsd_m * up
    transform = Affine(across[0], down[0], corner[0], across[1], down[1], corner[1])
    return Georeference(height, width, transform, crs)


def _has_pixels_of(grid: Georeference, gsd_m: float) -> bool:
    t = grid.transform
    sides = math.hypot(t.a, t.d), math.hypot(t.b, t.e)
    square = abs(t.a * t.b + t.d * t.e) <= GSD_KEPT * sides[0] * sides[1] and t.determinant < 0  # not mirrored
    return square and all(abs(side / gsd_m - 1) <= GSD_KEPT for side in sides)


def _points(grid: Georeference, up_deg: float | None) -> bool:
    if up_deg is None:
        return grid.north_up
    return abs(difference(up_azimuth(grid), up_deg)) <= ANGLE_KEPT_DEG


def _outline(grid: Georeference, crs: str) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """(N, 2) map coordinates along the edges of a scene in another CRS."""
    steps = np.linspace(0, 1, EDGE_POINTS)
    edges = [(s, e) for s in steps for e in (0.0, 1.0)] + [(e, s) for s in steps for e in (0.0, 1.0)]
    places = np.array([grid.position(col * grid.width, row * grid.height) for col, row in edges])
    if same_crs(str(grid.crs), crs):
        return places
    xs, ys = Transformer.from_crs(str(grid.crs), crs, always_xy=True).transform(places[:, 0], places[:, 1])
    found = np.stack([xs, ys], axis=1)
    if not np.isfinite(found).all():
        raise InputError(f"parts of the scene cannot be projected to {crs}; give another CRS in metres with --crs.")
    return np.asarray(found, np.float64)
