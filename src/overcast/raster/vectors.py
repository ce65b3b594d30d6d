"""Vector files: the one place that opens them, which layer holds the shapes, and the shapes as polygons in metres."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from io import BytesIO
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyogrio
import pyproj
import shapely
from pyogrio.util import vsi_path

from overcast.errors import InputError
from overcast.raster.degrees import DEGREES, joined_at_180, nearest_turn, utm_zone
from overcast.raster.drivers import read_head
from overcast.raster.geojson import require_plain_crs
from overcast.raster.virtual import require_no_address
from overcast.reading import first_line

warnings.filterwarnings("ignore", category=RuntimeWarning, module="pyogrio")
# What GDAL remarks on a file names places in this package's environment; what matters is said by an error of our own.


class VectorKind(StrEnum):
    """Kinds of vector files that are read, by the names of people."""

    GEOPACKAGE = "GeoPackage"
    GEOJSON = "GeoJSON"
    FLATGEOBUF = "FlatGeobuf"
    SHAPEFILE = "Shapefile"
    GEOPARQUET = "GeoParquet"


ENDINGS: Mapping[str, VectorKind] = {
    ".gpkg": VectorKind.GEOPACKAGE,
    ".geojson": VectorKind.GEOJSON,
    ".json": VectorKind.GEOJSON,
    ".fgb": VectorKind.FLATGEOBUF,
    ".shp": VectorKind.SHAPEFILE,
    ".parquet": VectorKind.GEOPARQUET,
    ".geoparquet": VectorKind.GEOPARQUET,
}
_SIGNATURES: Mapping[VectorKind, bytes] = {
    VectorKind.GEOPACKAGE: b"SQLite format 3\0",
    VectorKind.FLATGEOBUF: b"fgb\x03fgb",
    VectorKind.SHAPEFILE: b"\0\0\x27\x0a",
    VectorKind.GEOPARQUET: b"PAR1",
}
"""First bytes. GeoJSON has none of its own, and is opened by the name of its driver."""
_SHAPEFILE_PARTS = (".shp", ".shx", ".dbf", ".prj", ".cpg")


@contextmanager
def vector_name(path: Path) -> Iterator[str]:
    """The name by which pyogrio opens a vector file, and nothing but that file.

    pyogrio takes `a!b`, `a;b` and `a?b` for addresses; such a file is opened by a link with a plain name.

    Raises:
        InputError: The file is missing, or not what its name says.
    """
    kind = ENDINGS.get(path.suffix.lower())
    if kind is None:
        raise InputError(f"{path} does not end in {', '.join(ENDINGS)}, the vector files that are read; convert it.")
    if not path.is_file():
        raise InputError(f"{path} does not exist; check the path.")
    absolute = str(path.absolute())
    if kind is VectorKind.GEOJSON:
        require_plain_crs(path)
        yield f"GeoJSON:{absolute}"
        return
    head, parquet = read_head(path), kind is VectorKind.GEOPARQUET
    # a driver of texts takes what has its words anywhere in the head, but a text ends at a zero byte
    if not head.startswith(_SIGNATURES[kind]) or (b"\0" not in head and not parquet):
        raise InputError(f"{path} cannot be read as footprints: it is no {kind} inside; copy or convert it again.")
    if parquet or vsi_path(absolute) == absolute:
        yield absolute
        return
    with tempfile.TemporaryDirectory(prefix="overcast-") as folder:
        yield str(_linked(path, Path(folder)))


def _linked(path: Path, folder: Path) -> Path:
    """A plainly named link to a vector file, with links to the other files of a Shapefile."""
    parts = _SHAPEFILE_PARTS if path.suffix.lower() == ".shp" else ()
    for part in (path, *(path.with_suffix(part) for part in parts)):
        link = folder / f"shapes{part.suffix.lower()}"
        if part.exists() and not link.exists():
            link.symlink_to(part.absolute())
    return folder / f"shapes{path.suffix.lower()}"


def geometry_layer(name: str, path: Path) -> str | None:
    """The one layer with geometry of an opened file; tables without it, such as the styles of QGIS, do not count.

    None where no layer declares any, as in an empty GeoJSON. Raises InputError where several do, and what pyogrio
    raises for a file that cannot be read.
    """
    names = [str(layer) for layer, kind in pyogrio.list_layers(name) if kind is not None]
    if len(names) > 1:
        raise InputError(f"{path} has {len(names)} layers of shapes ({', '.join(names)}): give a file with one.")
    return names[0] if names else None


def read_table(path: Path, layer: str | None = None, columns: list[str] | None = None, where: str | None = None) -> Any:
    """What a vector file holds: a GeoDataFrame where it has geometry, else a DataFrame.

    Args:
        path: GeoPackage, GeoJSON, FlatGeobuf, Shapefile or GeoParquet.
        layer: Name of the layer; None for the only one with geometry.
        columns: Which columns beside the geometry; None for all.
        where: Condition in SQL that rows must meet.

    Raises:
        InputError: The file is missing, cannot be read, is something else than its name says, has several layers with
            geometry, or names an address as its coordinate system.
    """
    with vector_name(path) as name:
        try:
            if ENDINGS[path.suffix.lower()] is VectorKind.GEOPARQUET:
                table = geopandas.read_parquet(name)
                if where is not None:  # GDAL's own reader of Parquet is not built in everywhere
                    table = pyogrio.read_dataframe(_in_memory(table), where=where)
            else:
                layer = layer or geometry_layer(name, path)
                table = pyogrio.read_dataframe(name, layer=layer, columns=columns, where=where)
        except InputError:
            raise
        except Exception as error:  # readers raise their own types; whatever it is, the file cannot be used
            reason, chosen = first_line(error).replace(name, path.name), f" where {where}" if where else ""
            raise InputError(
                f"{path} cannot be read as footprints{chosen}: {reason}; copy or convert it again."
            ) from error
    if isinstance(table, geopandas.GeoDataFrame):
        if table.crs is not None:
            require_no_address(path, table.crs.to_wkt())
        if not np.isfinite(shapely.get_coordinates(table.geometry.to_numpy())).all():
            raise InputError(f"{path} holds corners whose coordinates are no numbers; remove these shapes.")
    return table


def _in_memory(table: geopandas.GeoDataFrame) -> bytes:
    """The table as FlatGeobuf, rows in their order."""
    content = BytesIO()
    pyogrio.write_dataframe(table, content, driver="FlatGeobuf", SPATIAL_INDEX="NO")
    return content.getvalue()


def read_shapes(path: Path, layer: str | None = None, where: str | None = None) -> geopandas.GeoDataFrame:
    """Read a table with geometry; raises InputError as `read_table` does, and where the file has no geometry."""
    table = read_table(path, layer, where=where)
    if not isinstance(table, geopandas.GeoDataFrame):
        raise InputError(f"{path} holds no geometry: give a layer of polygons.")
    return table


def in_metres(table: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    """The table in plane metres: geographic and foot systems go to the UTM zone of their middle. Heights are dropped.

    `table` has a CRS and finite bounds. Raises InputError where its CRS does not say where on Earth it lies.
    """
    crs = pyproj.CRS(table.crs)
    crs = crs.sub_crs_list[0] if crs.is_compound else crs.to_2d() if len(crs.axis_info) > 2 else crs
    table = table.set_geometry(shapely.force_2d(table.geometry.to_numpy())).set_crs(crs, allow_override=True)
    if crs.is_projected and all(axis.unit_conversion_factor == 1 for axis in crs.axis_info[:2]):
        return table
    try:
        return joined(table).to_crs(_utm_of(table))
    except (RuntimeError, ValueError) as error:  # pyproj's errors are RuntimeErrors
        raise InputError(
            f"the coordinate system {crs.name!r} of the footprints does not say where on Earth they lie; "
            "assign another one by its code (EPSG:...)."
        ) from error


def joined(table: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    """The table; shapes in degrees that were cut at 180 degrees (RFC 7946) are whole again and run on beyond it."""
    if not pyproj.CRS(table.crs).is_geographic:
        return table
    west, _, east, _ = shapely.bounds(table.geometry.to_numpy()).T
    cut = (west <= -180) & (east >= 180)
    if not cut.any():
        return table
    shapes = table.geometry.to_numpy().copy()
    shapes[cut] = [joined_at_180(shape) for shape in shapes[cut]]
    return table.set_geometry(shapes).set_crs(table.crs, allow_override=True)


def _utm_of(table: geopandas.GeoDataFrame) -> str:
    """The UTM zone at the middle of the shapes, on whatever side of 180 degrees their longitudes are counted."""
    west, south, east, north = shapely.bounds(joined(table.to_crs(DEGREES)).geometry.to_numpy()).T
    middles = nearest_turn((west + east) / 2, float(west[0]))
    return utm_zone(float(middles.min() + middles.max()) / 2, float(south.min() + north.max()) / 2)


def single_polygons(table: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    """Single valid polygons; the index says which row they come from."""
    valid = table.set_geometry(shapely.make_valid(table.geometry.to_numpy())).set_crs(table.crs, allow_override=True)
    parts = valid.explode(index_parts=False)
    if (parts.geom_type == "MultiPolygon").any():  # collections of collections
        parts = parts.explode(index_parts=False)
    return parts[parts.geom_type == "Polygon"]
