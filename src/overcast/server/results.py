"""Results in the formats that people ask for, made when they are asked for first."""

from __future__ import annotations

import threading
from enum import StrEnum
from pathlib import Path
from typing import assert_never

from overcast.outputs.staging import staged
from overcast.raster.vectors import read_shapes
from overcast.server.work import FOOTPRINTS, PROBABILITY

_LOCK = threading.Lock()
"""One conversion at a time: each holds the footprints of a scene in memory."""


class Result(StrEnum):
    """Files of a finished job, by the ending of their name."""

    GEOPACKAGE = "gpkg"
    GEOPARQUET = "parquet"
    GEOJSON = "geojson"
    PROBABILITY = "tif"

    @property
    def media_type(self) -> str:
        """As in the header of an answer."""
        match self:
            case Result.GEOPACKAGE:
                return "application/geopackage+sqlite3"
            case Result.GEOPARQUET:
                return "application/vnd.apache.parquet"
            case Result.GEOJSON:
                return "application/geo+json"
            case Result.PROBABILITY:
                return "image/tiff; application=geotiff; profile=cloud-optimized"
            case never:
                assert_never(never)


def result_file(folder: Path, kind: Result) -> Path:
    """The file of a result, converted from the GeoPackage where it is another vector format."""
    if kind is Result.PROBABILITY:
        return folder / PROBABILITY
    source, target = folder / FOOTPRINTS, (folder / FOOTPRINTS).with_suffix(f".{kind.value}")
    with _LOCK:
        if not target.is_file():
            table = read_shapes(source)
            with staged((target,)) as staging:
                if kind is Result.GEOPARQUET:
                    table.to_parquet(staging.path(target), write_covering_bbox=True)
                else:
                    table.to_file(staging.path(target), engine="pyogrio", driver="GeoJSON", RFC7946="YES")
                staging.publish()
    return target
