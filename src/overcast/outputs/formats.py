"""Vector formats: chosen by the ending of the name, and checked for completeness after writing.

OGR reports an error that happens while a file is closed, on a full disk above all, to its log only. So what was written
last is looked for: the spatial index of a GeoPackage, the closing bracket of GeoJSON.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import assert_never

from overcast.errors import InputError

_RESERVED = ("gpkg", "sqlite_", "rtree_", "ogr_", "layer_styles")
"""Beginnings of names that SQLite, GeoPackage, GDAL or QGIS keep for tables of their own."""
_LONGEST_SQLITE_PATH = 500
"""Bytes; SQLite adds the ending of its journal and takes no more than 511."""


class VectorFormat(StrEnum):
    """Formats by the ending of the file's name."""

    GEOPACKAGE = ".gpkg"
    GEOPARQUET = ".parquet"
    GEOJSON = ".geojson"


def vector_format(path: Path) -> VectorFormat:
    """The format that the name asks for. Raises InputError for another ending.

    >>> vector_format(Path("footprints.GPKG"))
    <VectorFormat.GEOPACKAGE: '.gpkg'>
    """
    for known in VectorFormat:
        if path.suffix.lower() == known.value:
            return known
    raise InputError(
        f"{path.name} does not end in .gpkg (GeoPackage), .parquet (GeoParquet) or .geojson; rename the output."
    )


def layer_name(path: Path) -> str:
    """The layer of a vector file: its name without the ending, or `footprints` where GeoPackage does not allow that.

    >>> layer_name(Path("town.gpkg")), layer_name(Path("[1].gpkg")), layer_name(Path("sqlite_master.gpkg"))
    ('town', 'footprints', 'footprints')
    """
    stem = path.stem
    first_is_plain = stem[:1].isalnum() or stem[:1] in {"_", " "}
    reserved = stem.lower().startswith(_RESERVED) or not stem.isprintable()
    return stem if first_is_plain and not reserved else "footprints"


def require_openable(path: Path, kind: VectorFormat) -> None:
    """Raise InputError where the path of a GeoPackage is longer than SQLite takes."""
    length = len(os.fsencode(path))
    if kind is VectorFormat.GEOPACKAGE and length > _LONGEST_SQLITE_PATH:
        raise InputError(
            f"the path of {path.name} is {length - _LONGEST_SQLITE_PATH} bytes too long for a GeoPackage while it is "
            "written; write .parquet, choose a shorter name, or write elsewhere."
        )


@contextmanager
def plain_path(path: Path) -> Iterator[Path]:
    """A path to the same file that pyogrio takes as it is.

    In others `!` parts an archive from what is in it, `;` a parameter from an address, and line breaks are dropped.
    Such a file is reached through a symbolic link to its folder, which lies in a folder for temporary files; its own
    name is plain.
    """
    from pyogrio.util import vsi_path  # a second of imports, which names of formats do without

    if vsi_path(path) == str(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="overcast-") as folder:
        link = Path(folder) / "folder"
        link.symlink_to(path.parent.resolve(), target_is_directory=True)
        yield link / path.name


def require_complete(path: Path, kind: VectorFormat, count: int, layer: str) -> None:
    """Raise OSError where a file of `count` features that has been written is not whole."""
    match kind:
        case VectorFormat.GEOPACKAGE:
            whole = _indexed_features(path, layer) == (count, count)
        case VectorFormat.GEOJSON:
            whole = _tail(path).split() == [b"]", b"}"]
        case VectorFormat.GEOPARQUET:
            return  # closed by Python code, which raises
        case never:
            assert_never(never)
    if not whole:
        raise OSError("the end of the file is missing")


def _indexed_features(path: Path, layer: str) -> tuple[int, int] | None:
    """Number of features of a GeoPackage of one layer, and of those in its spatial index; None where a table lacks."""
    layer = layer.replace('"', '""')
    counts = f'SELECT (SELECT count(*) FROM "{layer}"), (SELECT count(*) FROM "rtree_{layer}_geom")'  # noqa: S608
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            features, indexed = database.execute(counts).fetchone()
    except sqlite3.Error:
        return None
    return features, indexed


def _tail(path: Path) -> bytes:
    """Last line but one and last line of a text file."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 64))
        return b"\n".join(file.read().splitlines()[-2:])
