"""Vector files of any kind: which layer holds the shapes, and the shapes as valid polygons in metres."""

from __future__ import annotations

from pathlib import Path

import geopandas
import pyogrio
import pyproj
import shapely

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
    return table.to_crs(table.estimate_utm_crs())


def single_polygons(table: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    """Single valid polygons; the index tells which row they come from."""
    valid = table.set_geometry(shapely.make_valid(table.geometry.to_numpy())).set_crs(table.crs, allow_override=True)
    parts = valid.explode(index_parts=False)
    if (parts.geom_type == "MultiPolygon").any():  # collections of collections
        parts = parts.explode(index_parts=False)
    return parts[parts.geom_type == "Polygon"]
