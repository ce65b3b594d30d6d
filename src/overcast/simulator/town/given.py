"""A user's own footprints: any vector file or CityJSON, in metres, valid, without overlaps, with heights."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pyproj
import shapely
from numpy.typing import NDArray

from overcast.errors import InputError
from overcast.raster.vectors import in_metres, read_shapes, single_polygons
from overcast.raster.virtual import require_no_address
from overcast.reading import file_sha256, quoted
from overcast.simulator.city.geometry import Roof
from overcast.simulator.options import FootprintOptions
from overcast.simulator.town.cityjson import ModelBuilding, read_cityjson
from overcast.simulator.town.heights import TALLEST_M, is_levels, metres, usable

SMALLEST_M2 = 2.0
"""Smaller outlines are left out."""
OVERLAP_M2 = 0.01
"""Smaller overlaps of neighbours are left as they are."""
Shapes = NDArray[np.object_]


@dataclass(frozen=True)
class GivenBuilding:
    """A footprint with a height, and a roof where the file has one."""

    outline: shapely.Polygon
    height_m: float
    roof: Roof | None = None
    eaves_m: float | None = None
    ridge: float | None = None


@dataclass(frozen=True)
class Repairs:
    """What was read, mended and left out."""

    read: int
    kept: int
    without_geometry: int = field(metadata={"text": "without a polygon left out"})
    mended: int = field(metadata={"text": "with an invalid outline mended"})
    split: int = field(metadata={"text": "of several parts split"})
    small: int = field(metadata={"text": f"smaller than {SMALLEST_M2:g} m2 left out"})
    without_height: int = field(metadata={"text": "without a usable height given the median or the default"})
    overlapping: int = field(metadata={"text": "overlapping others cut back"})
    levels: int = field(metadata={"text": "with a height counted from levels"})

    def sentence(self) -> str:
        """One line for the user."""
        counts = [(getattr(self, each.name), each.metadata.get("text")) for each in fields(self)]
        notes = [f"{count} {text}" for count, text in counts if text and count]
        return f"{self.kept} buildings from {self.read} objects" + (f": {', '.join(notes)}" if notes else "")


@dataclass(frozen=True)
class Town:
    """Footprints in metres of `crs`, none overlapping."""

    buildings: tuple[GivenBuilding, ...]
    crs: str
    repairs: Repairs
    tree: shapely.STRtree
    """Index over the outlines."""


def digest(path: Path) -> str:
    """SHA-256 of a file. Raises InputError where it cannot be read."""
    try:
        return file_sha256(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error


@lru_cache(maxsize=2)
def read_town(options: FootprintOptions) -> Town:
    """Read, project, mend. Raises InputError with one sentence where nothing can be made of the file."""
    path = Path(options.file)
    require_no_address(path, options.crs or "")
    if options.sha256 and digest(path) != options.sha256:
        raise InputError(f"{path} has changed since the simulation was begun: choose a new output folder.")
    if path.suffix.lower() == ".json":
        model = read_cityjson(path)
        rows = [_row(building) for building in model.buildings]
        table = geopandas.GeoDataFrame(pd.DataFrame(rows, columns=["height", "roof", "eaves", "ridge"]))
        table = table.set_geometry([building.ground for building in model.buildings])
        table = table.set_crs(options.crs or model.crs, allow_override=True)
    else:
        table = _read_vector(path, options)
    return _town(table, options)


def _row(building: ModelBuilding) -> tuple[float, Roof | None, float | None, float | None]:
    return building.height_m, building.roof, building.eaves_m, building.ridge


def _read_vector(path: Path, options: FootprintOptions) -> geopandas.GeoDataFrame:
    raw = read_shapes(path, options.layer)
    table = geopandas.GeoDataFrame({"height": _heights(raw, path, options)}, geometry=raw.geometry.to_numpy())
    table = table.set_crs(options.crs or raw.crs, allow_override=True)
    return table.assign(roof=None, eaves=np.nan, ridge=np.nan)


def _heights(raw: geopandas.GeoDataFrame, path: Path, options: FootprintOptions) -> NDArray[np.float64]:
    numeric = [str(name) for name in raw.columns if pd.api.types.is_numeric_dtype(raw[name])]
    known = f"its numeric columns: {', '.join(numeric) or 'none'}"
    if options.height is None:
        if options.default_height_m is None:
            raise InputError(f"name the column of {path} with heights in metres by --height; {known}.")
        return np.full(len(raw), np.nan)
    if options.height not in raw.columns:
        raise InputError(f"{path} has no column {options.height!r}; {known}.")
    heights = metres(raw[options.height].tolist())
    if is_levels(options.height):
        heights = heights * options.level_m
    if options.default_height_m is None and not usable(heights).any():
        example = next((text for text in raw[options.height] if text is not None and str(text).strip()), None)
        said = "is empty" if example is None else f"holds for example {quoted(example)}"
        raise InputError(
            f"{path}: column {options.height!r} {said}, and no height between 0 and {TALLEST_M:g} m as 12.3, 12,3, "
            f"'12.3 m' or '40 ft'; name another column ({known}), or give one height for all with --set "
            "footprints.default_height_m=9."
        )
    return heights


def _town(table: geopandas.GeoDataFrame, options: FootprintOptions) -> Town:
    path, read = Path(options.file), len(table)
    table = _turned(_metric(table, path), options.turn_deg)
    empty = (table.geometry.isna() | table.geometry.is_empty).to_numpy(bool)
    table = table[~empty]
    mended = int((~table.geometry.is_valid).sum())
    polygons = single_polygons(table)
    without_geometry = read - polygons.index.nunique()
    several = int((polygons.index.value_counts() > 1).sum())
    big = (polygons.area >= SMALLEST_M2).to_numpy(bool)
    small, polygons = int((~big).sum()), polygons[big]
    height = polygons["height"].to_numpy(float)
    known = usable(height)
    if not len(polygons):
        raise InputError(f"{path} holds no polygon of at least {SMALLEST_M2:g} m2: nothing to simulate.")
    if not known.any() and options.default_height_m is None:
        raise InputError(
            f"{path} holds no height between 0 and {TALLEST_M:g} m: name another column by --height, or give one "
            "height for all with --set footprints.default_height_m=9."
        )
    fill = options.default_height_m if options.default_height_m is not None else float(np.median(height[known]))
    height = np.where(known, height, fill)
    outlines, overlapping = _apart(polygons.geometry.to_numpy())
    buildings = tuple(
        GivenBuilding(
            outline, float(tall), Roof(roof) if isinstance(roof, str) else None, _number(eaves), _number(ridge)
        )
        for outline, tall, roof, eaves, ridge in zip(
            outlines, height, polygons["roof"], polygons["eaves"], polygons["ridge"], strict=True
        )
        if outline.area >= SMALLEST_M2
    )
    levels = int(known.sum()) if options.height is not None and is_levels(options.height) else 0
    counts = (without_geometry, mended, several, small, int((~known).sum()), overlapping, levels)
    crs = _name(pyproj.CRS(table.crs))
    tree = shapely.STRtree([building.outline for building in buildings])
    return Town(buildings, crs, Repairs(read, len(buildings), *counts), tree)


def _number(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)


def _metric(table: geopandas.GeoDataFrame, path: Path) -> geopandas.GeoDataFrame:
    """The table in metres: geographic and foot systems go to the UTM zone of their middle."""
    if table.crs is None:
        raise InputError(f"{path} names no coordinate system: give it with --set footprints.crs=EPSG:28992.")
    if not np.isfinite(table.total_bounds).all():
        raise InputError(f"{path} holds no polygon of at least {SMALLEST_M2:g} m2: nothing to simulate.")
    return in_metres(table)


def _turned(table: geopandas.GeoDataFrame, angle_deg: float) -> geopandas.GeoDataFrame:
    """The table, and the ridges in it, turned about the middle of its extent; 0 leaves every digit."""
    if angle_deg == 0:
        return table
    left, bottom, right, top = table.total_bounds
    geometry = table.geometry.rotate(angle_deg, origin=((left + right) / 2, (bottom + top) / 2))
    return table.set_geometry(geometry).assign(ridge=table["ridge"].astype(float) + np.radians(angle_deg))


def _name(crs: pyproj.CRS) -> str:
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else crs.to_wkt()


def _apart(outlines: Shapes) -> tuple[Shapes, int]:
    """Outlines from which larger ones that come in their way are cut; of what falls apart the largest part is kept."""
    order = np.argsort(-shapely.area(outlines), kind="stable")
    rank = np.empty(len(order), int)
    rank[order] = np.arange(len(order))
    left, right = shapely.STRtree(outlines).query(outlines, predicate="intersects")
    behind = rank[left] > rank[right]
    left, right = left[behind], right[behind]
    shared = shapely.area(shapely.intersection(outlines[left], outlines[right])) > OVERLAP_M2
    cut = outlines.copy()
    for i in sorted(set(left[shared].tolist()), key=lambda index: int(rank[index])):
        rest = shapely.difference(outlines[i], shapely.union_all(cut[right[shared & (left == i)]]))
        parts = [part for part in shapely.get_parts(rest) if part.geom_type == "Polygon"]
        cut[i] = max(parts, key=lambda part: part.area, default=shapely.Polygon())
    return cut, len(set(left[shared].tolist()))
