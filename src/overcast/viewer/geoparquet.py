"""Polygons of a GeoParquet file by its column of boxes: row groups away from the box are not read."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyproj
import shapely
from numpy.typing import NDArray
from pyproj.exceptions import CRSError

from overcast.errors import InputError
from overcast.raster.degrees import DEGREES
from overcast.reading import first_line
from overcast.viewer.mercator import Bounds
from overcast.viewer.shapes import CONFIDENCE, Portion, Thinning

_SIDES = ("xmin", "ymin", "xmax", "ymax")


def has_boxes(path: Path) -> bool:
    """True where a file has a column of boxes and WKB, as GeoParquet 1.1 describes them."""
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read as GeoParquet ({first_line(error)}); copy it again.") from error
    return _boxes(schema) is not None


class GeoParquet:
    """A `Shapes` over a GeoParquet file. The number of a row is its id."""

    def __init__(self, path: Path) -> None:
        """Read schema and statistics of the row groups. Raises InputError where the file cannot be used."""
        self.path = path
        schema, self._groups = pq.read_schema(path), _group_boxes(path)
        found = _boxes(schema)
        if found is None:
            raise InputError(f"{path} has no column of boxes (GeoParquet 1.1); write it again.")
        self._geometry, self._box, crs = found
        self._names = [name for name in schema.names if name not in {self._geometry, self._box}]
        try:
            self.crs = DEGREES if crs is None else pyproj.CRS.from_json_dict(crs).to_wkt()
        except (CRSError, TypeError) as error:
            raise InputError(f"{path} names no coordinate system: save it with one.") from error

    @cached_property
    def count(self) -> int:
        """Number of polygons."""
        return int(self._groups[:, 5].sum())

    @property
    def bounds(self) -> Bounds | None:
        """Bounds of all polygons, by the statistics of the row groups; None without any."""
        if not self.count:
            return None
        left, bottom = self._groups[:, :2].min(axis=0).tolist()
        right, top = self._groups[:, 2:4].max(axis=0).tolist()
        return left, bottom, right, top

    @property
    def has_confidence(self) -> bool:
        """Whether there is a column of that name."""
        return CONFIDENCE in self._names

    def within(self, bounds: Bounds, thinning: Thinning) -> Portion:
        """The polygons whose boxes meet `bounds`."""
        left, bottom, right, top = bounds
        groups = self._groups
        met = (groups[:, 2] >= left) & (groups[:, 0] <= right) & (groups[:, 3] >= bottom) & (groups[:, 1] <= top)
        parts = [self._of_group(int(group), bounds, thinning) for group in np.flatnonzero(met)]
        if not parts:
            return Portion(np.zeros(0, object), np.zeros(0, np.int64), np.zeros(0))
        return Portion(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _of_group(
        self, group: int, bounds: Bounds, thinning: Thinning
    ) -> tuple[NDArray[np.object_], NDArray[np.int64], NDArray[np.float64]]:
        left, bottom, right, top = bounds
        names = [f"{self._box}.{side}" for side in _SIDES] + ([CONFIDENCE] if self.has_confidence else [])
        with pq.ParquetFile(self.path) as file:
            small = file.read_row_group(group, columns=names, use_threads=False)
            box = small.column(self._box).combine_chunks()
            xmin, ymin, xmax, ymax = (np.asarray(pc.struct_field(box, side), np.float64) for side in _SIDES)
            rows = np.flatnonzero((xmax >= left) & (xmin <= right) & (ymax >= bottom) & (ymin <= top))
            sure = _confidence(small)
            if rows.size > thinning.most:
                rows = _surest(rows, xmin - left, ymin - bottom, sure, thinning.cell)
            wanted = (
                file.read_row_group(group, columns=[self._geometry], use_threads=False).column(0).take(pa.array(rows))
            )
        geometry = np.asarray(shapely.from_wkb(wanted.to_numpy(zero_copy_only=False), on_invalid="ignore"), object)
        usable = ~(shapely.is_missing(geometry) | shapely.is_empty(geometry))
        return geometry[usable], int(self._groups[group, 4]) + rows[usable], sure[rows][usable]

    def attributes(self, number: int) -> dict[str, Any] | None:
        """All columns of one polygon but its geometry."""
        if not 0 <= number < self.count:
            return None
        group = int(np.searchsorted(self._groups[:, 4], number, side="right")) - 1
        with pq.ParquetFile(self.path) as file:
            row = file.read_row_group(group, columns=self._names).slice(number - int(self._groups[group, 4]), 1)
        return {name: _plain(row.column(name)[0].as_py()) for name in row.column_names}

    def ids(self) -> NDArray[np.int64]:
        """Number of every polygon, in the order of the file."""
        return np.arange(self.count, dtype=np.int64)


def _boxes(schema: pa.Schema) -> tuple[str, str, Any] | None:
    """Names of the columns of geometry and of its boxes, and the coordinate system as PROJJSON."""
    try:
        geo = json.loads((schema.metadata or {})[b"geo"])
        geometry = geo["primary_column"]
        about = geo["columns"][geometry]
        box = about["covering"]["bbox"]["xmin"][0]
        kind = schema.field(box).type
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    whole = pa.types.is_struct(kind) and {kind.field(place).name for place in range(kind.num_fields)} >= set(_SIDES)
    return (geometry, box, about.get("crs")) if whole and about.get("encoding") == "WKB" else None


def _group_boxes(path: Path) -> NDArray[np.float64]:
    """(G, 6) for each row group: its box, its first row and the number of its rows."""
    with pq.ParquetFile(path) as file:
        metadata = file.metadata
    found, first = [], 0
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        sides = {
            group.column(place).path_in_schema: group.column(place).statistics for place in range(group.num_columns)
        }
        box = [_limit(sides, side) for side in _SIDES]
        found.append((*box, first, group.num_rows))
        first += group.num_rows
    return np.array(found, np.float64).reshape(-1, 6)


def _limit(sides: dict[str, Any], side: str) -> float:
    """Smallest or largest coordinate of a row group; without statistics it may lie anywhere."""
    statistics = next((value for name, value in sides.items() if name.endswith(f".{side}")), None)
    low = side.endswith("min")
    if statistics is None or not statistics.has_min_max:
        return -np.inf if low else np.inf
    return float(statistics.min if low else statistics.max)


def _confidence(table: pa.Table) -> NDArray[np.float64]:
    if CONFIDENCE not in table.column_names:
        return np.ones(table.num_rows)
    values = np.asarray(table.column(CONFIDENCE).cast(pa.float64()).fill_null(0.0).to_numpy(), np.float64)
    return np.clip(np.nan_to_num(values), 0.0, 1.0)


def _surest(
    rows: NDArray[np.int64], x: NDArray[np.float64], y: NDArray[np.float64], sure: NDArray[np.float64], cell: float
) -> NDArray[np.int64]:
    """The surest of the rows of each cell."""
    cells = np.stack([np.floor(x[rows] / cell), np.floor(y[rows] / cell)], axis=1)
    order = np.argsort(-sure[rows], kind="stable")
    _, first = np.unique(cells[order], axis=0, return_index=True)
    return np.sort(rows[order[first]])


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else str(value)
