"""Polygons of a GeoPackage by its R-tree, read with SQLite: no row is touched that lies outside of the box."""

from __future__ import annotations

import sqlite3
import threading
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import shapely
from numpy.typing import NDArray

from overcast.errors import InputError
from overcast.raster.virtual import require_no_address
from overcast.reading import first_line
from overcast.viewer.mercator import Bounds
from overcast.viewer.shapes import CONFIDENCE, Portion, Thinning, whole_bounds

_ENVELOPE_BYTES = (0, 32, 48, 48, 64)
"""Length of the box in the head of a geometry, by its code."""
_HEAD_BYTES = 8
_MOST_STEPS = 20_000
"""Calls of the progress handler, each after 10000 steps of SQLite, until a query is given up."""


def has_index(path: Path) -> bool:
    """True where the one table of geometry in a file has an R-tree; views and several tables have none."""
    try:
        connection = _connected(path)
        try:
            return _tables(connection) is not None
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise InputError(f"{path} cannot be read as GeoPackage ({first_line(error)}); copy it again.") from error


class GeoPackage:
    """A `Shapes` over a GeoPackage with an R-tree. Each thread has a connection of its own."""

    def __init__(self, path: Path) -> None:
        """Read which table holds the polygons. Raises InputError where the file names no coordinate system."""
        self.path, self._local = path, threading.local()
        found = _tables(self._connection)
        if found is None:
            raise InputError(f"{path} has no index of its polygons; write it again with GDAL or QGIS.")
        self._table, self._key, self._geometry, srs = found
        self._index = _quoted(f"rtree_{self._table}_{self._geometry}")
        names = [row[1] for row in self._connection.execute(f"PRAGMA table_info({_quoted(self._table)})")]
        self._columns = [name for name in names if name != self._geometry]
        self.crs = self._system(srs)

    @cached_property
    def count(self) -> int:
        """Number of polygons."""
        return int(self._connection.execute(f"SELECT count(*) FROM {self._index}").fetchone()[0])

    @cached_property
    def bounds(self) -> Bounds | None:
        """Bounds of all polygons; None without any."""
        query = f"SELECT min(minx), min(miny), max(maxx), max(maxy) FROM {self._index}"
        return whole_bounds(self._connection.execute(query).fetchone())

    @property
    def has_confidence(self) -> bool:
        """Whether there is a column of that name."""
        return CONFIDENCE in self._columns

    def within(self, bounds: Bounds, thinning: Thinning) -> Portion:
        """The polygons whose boxes meet `bounds`."""
        left, bottom, right, top = bounds
        box = {"left": left, "bottom": bottom, "right": right, "top": top, "cell": thinning.cell}
        met = "r.maxx >= :left AND r.minx <= :right AND r.maxy >= :bottom AND r.miny <= :top"
        sure = f"coalesce(t.{_quoted(CONFIDENCE)}, 0)" if self.has_confidence else "1.0"
        joined = f"{self._index} r JOIN {_quoted(self._table)} t ON t.{_quoted(self._key)} = r.id"
        count = self._connection.execute(f"SELECT count(*) FROM {self._index} r WHERE {met}", box).fetchone()[0]
        if count <= thinning.most:
            return _portion(
                self._rows(f"SELECT r.id, {sure}, t.{_quoted(self._geometry)} FROM {joined} WHERE {met}", box)
            )
        cells = "CAST((r.minx - :left) / :cell AS INT), CAST((r.miny - :bottom) / :cell AS INT)"
        best = f"SELECT r.id AS best, max({sure}) FROM {joined} WHERE {met} GROUP BY {cells}"
        query = (
            f"SELECT best, {sure}, t.{_quoted(self._geometry)} FROM ({best}) "
            f"JOIN {_quoted(self._table)} t ON t.{_quoted(self._key)} = best"
        )
        return _portion(self._rows(query, box))

    def attributes(self, number: int) -> dict[str, Any] | None:
        """All columns of one polygon but its geometry."""
        names = ", ".join(map(_quoted, self._columns))
        rows = self._rows(
            f"SELECT {names} FROM {_quoted(self._table)} WHERE {_quoted(self._key)} = :id", {"id": number}
        )
        if not rows:
            return None
        return {name: _plain(value) for name, value in zip(self._columns, rows[0], strict=True) if name != self._key}

    def ids(self) -> NDArray[np.int64]:
        """Number of every polygon, in the order of the file."""
        key, table = _quoted(self._key), _quoted(self._table)
        return np.array([row[0] for row in self._rows(f"SELECT {key} FROM {table} ORDER BY {key}", {})], np.int64)

    @property
    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = _connected(self.path)
        return connection

    def _rows(self, query: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        connection, steps = self._connection, iter(range(_MOST_STEPS))
        connection.set_progress_handler(lambda: next(steps, None) is None, 10_000)
        try:
            return connection.execute(query, values).fetchall()
        except (sqlite3.Error, OverflowError) as error:
            raise InputError(
                f"{self.path} cannot be read as GeoPackage ({first_line(error)}); copy it again."
            ) from error

    def _system(self, srs: int) -> str:
        query = "SELECT organization, organization_coordsys_id, definition FROM gpkg_spatial_ref_sys WHERE srs_id = ?"
        row = self._connection.execute(query, (srs,)).fetchone()
        if row is None or srs in {0, -1}:
            raise InputError(f"{self.path} names no coordinate system: save it with one.")
        if str(row[0]).upper() in {"EPSG", "ESRI"}:
            return f"{str(row[0]).upper()}:{int(row[1])}"
        require_no_address(self.path, str(row[2]))
        return str(row[2])


def _connected(path: Path) -> sqlite3.Connection:
    """Read-only; the file is taken as it is, so that nothing is written beside it."""
    connection = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1", uri=True)
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def _tables(connection: sqlite3.Connection) -> tuple[str, str, str, int] | None:
    """Table, key, geometry column and number of the coordinate system of the one table with an R-tree."""
    listed = connection.execute("SELECT table_name, column_name, srs_id FROM gpkg_geometry_columns").fetchall()
    if len(listed) != 1:
        return None
    table, geometry, srs = str(listed[0][0]), str(listed[0][1]), int(listed[0][2])
    kinds = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall())
    index = str(kinds.get(f"rtree_{table}_{geometry}", "")).lower()
    if table not in kinds or str(kinds[table]).lower().startswith("create virtual") or "using rtree" not in index:
        return None
    keys = [row[1] for row in connection.execute(f"PRAGMA table_info({_quoted(table)})") if row[5]]
    return (table, str(keys[0]), geometry, srs) if len(keys) == 1 else None


def _portion(rows: list[tuple[Any, ...]]) -> Portion:
    blobs = np.array([_wkb(row[2]) for row in rows], dtype=object)
    geometry = np.asarray(shapely.from_wkb(blobs, on_invalid="ignore"), object)
    usable = ~(shapely.is_missing(geometry) | shapely.is_empty(geometry))
    confidence = np.array([row[1] if isinstance(row[1], int | float) else 0.0 for row in rows], np.float64)
    ids = np.array([row[0] for row in rows], np.int64)
    return Portion(geometry[usable], ids[usable], np.clip(confidence[usable], 0.0, 1.0))


def _wkb(blob: Any) -> bytes | None:
    """The WKB of a geometry of a GeoPackage; None where it is none."""
    if not isinstance(blob, bytes) or len(blob) < _HEAD_BYTES or blob[:2] != b"GP":
        return None
    code = blob[3] >> 1 & 7
    return blob[_HEAD_BYTES + _ENVELOPE_BYTES[code] :] if code < len(_ENVELOPE_BYTES) else None


def _plain(value: Any) -> Any:
    return f"{len(value)} bytes" if isinstance(value, bytes) else value


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
