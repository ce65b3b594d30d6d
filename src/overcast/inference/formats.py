"""Vector formats: chosen by the ending of the name, and checked for completeness after writing.

OGR reports an error that happens while a file is closed, on a full disk above all, to its log only. So what was written
last is looked for: the spatial index of a GeoPackage, the closing bracket of GeoJSON.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import assert_never

from overcast.errors import InputError


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


def require_complete(path: Path, count: int) -> None:
    """Raise OSError where a file of `count` features that has been written is not whole."""
    match vector_format(path):
        case VectorFormat.GEOPACKAGE:
            whole = _indexed_features(path) == (count, count)
        case VectorFormat.GEOJSON:
            whole = _tail(path).split() == [b"]", b"}"]
        case VectorFormat.GEOPARQUET:
            return  # closed by Python code, which raises
        case never:
            assert_never(never)
    if not whole:
        raise OSError("the end of the file is missing")


def _indexed_features(path: Path) -> tuple[int, int] | None:
    """Number of features of a GeoPackage of one layer, and of those in its spatial index; None where a table lacks."""
    layer = path.stem.replace('"', '""')
    counts = f'SELECT (SELECT count(*) FROM "{layer}"), (SELECT count(*) FROM "rtree_{layer}_geom")'  # noqa: S608
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
        try:
            features, indexed = database.execute(counts).fetchone()
        except sqlite3.DatabaseError:
            return None
    return features, indexed


def _tail(path: Path) -> bytes:
    """Last line but one and last line of a text file."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 64))
        return b"\n".join(file.read().splitlines()[-2:])
