"""Where chips lie on the globe, across coordinate reference systems: neighbourhoods, regions, size of a pixel.

Longitude and latitude on a sphere of 6371 km; good to half a percent, which is enough to name and to group.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.warp import transform
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from overcast.data.chips import Bounds, Chip
from overcast.errors import InputError, RadiometryError
from overcast.raster.georeference import Georeference
from overcast.raster.radiometry import GSD_TOLERANCE

EARTH_M = 6_371_000.0
"""Mean radius."""
DEGREES = CRS.from_epsg(4326)

Floats = NDArray[np.float64]


def lonlat(bounds: Sequence[Bounds]) -> Floats:
    """(N, 2): longitude and latitude in degrees of the centres."""
    found = np.empty((len(bounds), 2))
    by_crs: dict[str, list[int]] = {}
    for index, item in enumerate(bounds):
        by_crs.setdefault(item.crs, []).append(index)
    for crs, indexes in by_crs.items():
        x = [(bounds[i].left + bounds[i].right) / 2 for i in indexes]
        y = [(bounds[i].bottom + bounds[i].top) / 2 for i in indexes]
        found[indexes] = np.column_stack(transform(CRS.from_user_input(crs), DEGREES, x, y))
    found[:, 0] = (found[:, 0] + 180.0) % 360.0 - 180.0
    return found


def neighbourhoods(bounds: Sequence[Bounds], side_m: float) -> tuple[str, ...]:
    """Name of the cell, about `side_m` metres square, that holds each centre; the same in every CRS.

    >>> neighbourhoods([Bounds(12.53, 55.67, 12.54, 55.68, "EPSG:4326")], 1000)
    ('n6190e786',)
    """
    lon, lat = lonlat(bounds).T
    step = np.degrees(side_m / EARTH_M)
    row = np.floor(lat / step)
    column = np.floor(lon * np.cos(np.radians((row + 0.5) * step)) / step)
    return tuple(f"n{r:.0f}e{c:.0f}" for r, c in zip(row, column, strict=True))


def regions(bounds: Sequence[Bounds], gap_m: float) -> tuple[str, ...]:
    """Name of each rectangle's region: chains of rectangles whose centres lie at most `gap_m` metres apart.

    A region is called after the longitude and latitude of its middle, to a hundredth of a degree.
    """
    places = lonlat(bounds)
    pairs = cKDTree(_on_sphere(places)).query_pairs(gap_m, output_type="ndarray")
    graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(bounds), len(bounds)))
    _, labels = connected_components(graph, directed=False)
    counts = np.bincount(labels)
    middles = np.column_stack([np.bincount(labels, places[:, axis]) / counts for axis in (0, 1)])
    names = [f"{lat:+.2f}{lon:+.2f}" for lon, lat in middles]
    return tuple(names[label] for label in labels)


def _on_sphere(places: Floats) -> Floats:
    """(N, 3): metres from the centre of the Earth."""
    lon, lat = np.radians(places).T
    return EARTH_M * np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])


def ground_gsd_m(grid: Georeference) -> float | None:
    """Side in metres of a square of the ground that one pixel in the middle covers; None without CRS."""
    if grid.crs is None:
        return None
    col, row = grid.width / 2, grid.height / 2
    xs, ys = zip(*(grid.position(col + dx, row + dy) for dx, dy in ((0, 0), (1, 0), (0, 1))), strict=True)
    at = _on_sphere(np.column_stack(transform(CRS.from_user_input(grid.crs), DEGREES, list(xs), list(ys))))
    return float(np.sqrt(np.linalg.norm(np.cross(at[1] - at[0], at[2] - at[0]))))


def size_and_ground(chip: Chip, grid: Georeference, hint: str) -> tuple[float, Bounds]:
    """Pixel size in metres and ground of a chip. Raises InputError, which ends in `hint`, without georeference."""
    gsd_m, bounds = ground_gsd_m(grid), Bounds.of(grid)
    if gsd_m is None or bounds is None:
        raise InputError(f"{chip.sar[0]} has no georeference, so nobody knows where it lies; {hint}.")
    return gsd_m, bounds


def require_gsd(chip: Chip, grid: Georeference, declared_m: float) -> None:
    """Raise RadiometryError where a chip's geotransform says another pixel size than the data set."""
    found = ground_gsd_m(grid)
    if found is not None and abs(found / declared_m - 1) > GSD_TOLERANCE:
        raise RadiometryError(
            f"{chip.sar[0]} has pixels of {found:.2g} m, but the data set is published at {declared_m:g} m; "
            f"resample it with gdalwarp -tr {declared_m:g} {declared_m:g}, or describe it as a folder data set."
        )
