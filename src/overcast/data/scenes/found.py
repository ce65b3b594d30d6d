"""Files that could be scenes: what each may be, and which of them show common ground."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import shapely
from rasterio.warp import transform_bounds

from overcast.errors import OvercastError
from overcast.raster.files import open_raster
from overcast.raster.georeference import Georeference, same_grid
from overcast.raster.vectors import read_shapes

RASTERS = frozenset({".tif", ".tiff", ".jp2", ".img"})
VECTORS = frozenset({".gpkg", ".geojson", ".shp", ".parquet", ".geoparquet", ".fgb"})
SAR_WORDS = ("sar", "vv", "vh", "hh", "hv", "s1", "sentinel1", "grd", "sigma0", "gamma0", "radar", "icdr", "umbra")
OPTICAL_WORDS = ("ortho", "optical", "rgb", "rgbn", "s2", "sentinel2", "aerial", "dop", "photo", "ms", "psh")
CLOUD_WORDS = ("cloud", "clouds", "scl", "cldmask")
AREA_WORDS = ("area", "aoi", "checked", "extent", "labelled", "labeled", "boundary")


class Role(StrEnum):
    """What a file may be."""

    SAR = "sar"
    OPTICAL = "optical"
    CLOUDS = "clouds"
    FOOTPRINTS = "footprints"
    AREA = "labelled_area"


@dataclass(frozen=True)
class FoundFile:
    """A file with its role, as far as name and header say."""

    path: Path
    role: Role
    box: tuple[float, float, float, float]
    """Longitudes and latitudes of its envelope."""
    about: str
    """Bands, data type, pixel size and system in words."""
    bands: tuple[str, ...]
    nodata: float | None
    grid: Georeference | None


def find_files(root: Path) -> list[FoundFile]:
    """Rasters and vector files with a place on the Earth, in a folder and those below it."""
    return [found for path in sorted(root.rglob("*")) if (found := _look_at(path)) is not None]


def _look_at(path: Path) -> FoundFile | None:
    if path.name.startswith(".") or not path.is_file():
        return None
    ending = path.suffix.lower()
    try:
        if ending in RASTERS:
            return _raster(path)
        return _vector(path) if ending in VECTORS else None
    except OvercastError:
        return None  # what cannot be read is no part of a data set


def _raster(path: Path) -> FoundFile | None:
    with open_raster(path) as dataset:
        if dataset.crs is None or dataset.transform.is_identity:
            return None
        grid = Georeference(dataset.height, dataset.width, dataset.transform, dataset.crs.to_string())
        box = transform_bounds(dataset.crs, "EPSG:4326", *dataset.bounds)
        kind, nodata = dataset.dtypes[0], dataset.nodata
        bands = tuple(name or f"band{index}" for index, name in enumerate(dataset.descriptions, start=1))
    about = f"{len(bands)} x {kind}, {grid.height} x {grid.width} px of {grid.gsd_m:.4g}, {grid.crs}"
    return FoundFile(path, _role(path, len(bands), kind), box, about, bands, nodata, grid)


def _role(path: Path, bands: int, kind: str) -> Role:
    """The role by words in the name, nearest folder last; else whole numbers in three or four bands are a picture."""
    for part in (path.stem, path.parent.name):
        words = set(re.split(r"[^a-z0-9]+", part.lower()))
        for role, known in ((Role.CLOUDS, CLOUD_WORDS), (Role.SAR, SAR_WORDS), (Role.OPTICAL, OPTICAL_WORDS)):
            if words & set(known):
                return role
    return Role.OPTICAL if bands >= 3 and kind.startswith("uint") else Role.SAR


def _vector(path: Path) -> FoundFile | None:
    table = read_shapes(path)
    crs, bounds = table.crs, table.total_bounds
    if crs is None or not np.isfinite(bounds).all():
        return None
    words = set(re.split(r"[^a-z0-9]+", path.stem.lower()))
    role = Role.AREA if words & set(AREA_WORDS) else Role.FOOTPRINTS
    box = transform_bounds(crs, "EPSG:4326", *bounds)
    return FoundFile(path, role, box, f"{len(table)} shapes, {crs.to_string()}", (), None, None)


def group_by_place(files: Sequence[FoundFile]) -> Iterator[list[FoundFile]]:
    """Files of one place each: SAR files of one grid, and what shows their ground; then optical images without any."""
    radar = [file for file in files if file.role is Role.SAR]
    others = [file for file in files if file.role is not Role.SAR]
    used: set[Path] = set()
    while radar:
        first = radar[0]
        stacked = [file for file in radar if file is first or _stacks_on(first, file)]
        radar = [file for file in radar if file not in stacked]
        partners = [file for file in others if _overlap(first, file)]
        used |= {file.path for file in partners}
        yield [*stacked, *partners]
    for file in others:
        if file.role is Role.OPTICAL and file.path not in used:
            yield [file, *(other for other in others if other.role is not Role.OPTICAL and _overlap(file, other))]


def _stacks_on(first: FoundFile, other: FoundFile) -> bool:
    assert first.grid is not None
    return other.grid is not None and first.path.parent == other.path.parent and same_grid(first.grid, other.grid)


def _overlap(left: FoundFile, right: FoundFile) -> bool:
    shared = shapely.box(*left.box).intersection(shapely.box(*right.box))
    return float(shared.area) > 0
