"""Area on the ground of pixels and polygons, in m^2."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Geod, Transformer
from pyproj.exceptions import ProjError

from overcast.raster.sources import Georeference

PLANAR_ERROR = 0.01
"""Relative error of area up to which the plane of a projected CRS is taken as it is (UTM: 0.002)."""

Polygons = NDArray[np.object_]


@dataclass(frozen=True)
class PlanarArea:
    """Areas in the plane of a CRS that keeps them."""

    pixel_m2: float

    def __call__(self, pixel_polygons: Polygons, _map_polygons: Polygons) -> NDArray[np.float64]:
        """(N,) areas."""
        return np.asarray(shapely.area(pixel_polygons) * self.pixel_m2, np.float64)


@dataclass(frozen=True)
class GeodesicArea:
    """Areas on the ellipsoid, for geographic coordinates and projections that stretch (Web Mercator)."""

    pixel_m2: float
    """Area of the pixel in the middle of the scene."""
    geod: Geod
    to_degrees: Transformer

    def __call__(self, _pixel_polygons: Polygons, map_polygons: Polygons) -> NDArray[np.float64]:
        """(N,) areas."""
        polygons = shapely.transform(map_polygons, self._project)
        return np.array([abs(self.geod.geometry_area_perimeter(one)[0]) for one in polygons], np.float64)

    def _project(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack(self.to_degrees.transform(xy[:, 0], xy[:, 1]), axis=1)


def measure_area(grid: Georeference) -> PlanarArea | GeodesicArea:
    """How areas of a scene are measured: in the plane where that is within `PLANAR_ERROR`, else on the ellipsoid.

    Raises ValueError without a CRS.
    """
    if grid.crs is None:
        raise ValueError("areas need a CRS")
    crs = CRS.from_user_input(grid.crs)
    factor = 1.0 if crs.is_geographic or not crs.axis_info else crs.axis_info[0].unit_conversion_factor
    planar_m2 = abs(grid.transform.determinant) * factor**2
    geod = crs.get_geod()
    if crs.geodetic_crs is None or geod is None:  # a local system of its own: the plane is all there is
        return PlanarArea(planar_m2)
    geodesic = GeodesicArea(planar_m2, geod, Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True))
    places = [(grid.width / 2, grid.height / 2), *grid.corners]
    pixels = np.array([shapely.box(col - 0.5, row - 0.5, col + 0.5, row + 0.5) for col, row in places], object)
    try:
        true_m2 = geodesic(pixels, to_map(pixels, grid))
    except ProjError:
        return PlanarArea(planar_m2)
    if not crs.is_geographic and np.all(np.abs(planar_m2 / true_m2 - 1) < PLANAR_ERROR):
        return PlanarArea(planar_m2)
    return GeodesicArea(float(true_m2[0]), geodesic.geod, geodesic.to_degrees)


def to_map(pixel_polygons: Polygons, grid: Georeference) -> Polygons:
    """Polygons in pixel coordinates (col, row) to the CRS of the scene; outlines counterclockwise, holes clockwise."""
    t = grid.transform

    def place(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = xy[:, 0], xy[:, 1]
        return np.stack([t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f], axis=1)

    placed = shapely.transform(pixel_polygons, place)
    return np.asarray(shapely.reverse(placed) if t.determinant < 0 else placed, object)
