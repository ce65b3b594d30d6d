"""Vector files of any kind: which layer holds the shapes, and the shapes as valid polygons in metres."""

from __future__ import annotations

from pathlib import Path

import geopandas
import pyogrio
import pyproj
import shapely

from overcast.data.degrees import DEGREES, joined_at_180, nearest_turn, utm_zone
from overcast.errors import InputError

PARQUET = frozenset({".parquet", ".geoparquet"})


def geometry_layer(path: Path) -> str | None:
    """The one layer with geometry; tables without it, such as the styles of QGIS, do not count.

    None where no layer declares any, as in an empty GeoJSON. Raises InputError where several do, and what pyogrio
    raises for a file that cannot be read.
    """
    names = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
    if len(names) > 1:
        raise InputError(f"{path} has {len(names)} layers of shapes ({', '.join(names)}): give a file with one.")
    return names[0] if names else None


def read_shapes(path: Path, layer: str | None = None) -> geopandas.GeoDataFrame:
    """A table of GeoPackage, GeoJSON, Shapefile, GeoParquet or whatever else GDAL reads.

    Args:
        path: The file.
        layer: Name of the layer; None for the only one with geometry.

    Raises:
        InputError: The file cannot be read, or has no geometry or several layers with it.
    """
    try:
        if path.suffix.lower() in PARQUET:
            table = geopandas.read_parquet(path)
        else:
            table = geopandas.read_file(path, layer=layer or geometry_layer(path), engine="pyogrio")
    except InputError:
        raise
    except Exception as error:  # readers raise their own types; whatever it is, the file cannot be used
        raise InputError(f"{path} cannot be read as footprints: {str(error).splitlines()[0]}") from error
    if not isinstance(table, geopandas.GeoDataFrame):
        raise InputError(f"{path} holds no geometry: give a layer of polygons.")
    return table


def in_metres(table: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    """The table in plane metres: geographic and foot systems go to the UTM zone of their middle. Heights are dropped.

    `table` has a CRS and finite bounds.
    """
    crs = pyproj.CRS(table.crs)
    crs = crs.sub_crs_list[0] if crs.is_compound else crs.to_2d() if len(crs.axis_info) > 2 else crs
    table = table.set_geometry(shapely.force_2d(table.geometry.to_numpy())).set_crs(crs, allow_override=True)
    if crs.is_projected and all(axis.unit_conversion_factor == 1 for axis in crs.axis_info[:2]):
        return table
    return joined(table).to_crs(_utm_of(table))


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
    """Single valid polygons; the index tells which row they come from."""
    valid = table.set_geometry(shapely.make_valid(table.geometry.to_numpy())).set_crs(table.crs, allow_override=True)
    parts = valid.explode(index_parts=False)
    if (parts.geom_type == "MultiPolygon").any():  # collections of collections
        parts = parts.explode(index_parts=False)
    return parts[parts.geom_type == "Polygon"]
