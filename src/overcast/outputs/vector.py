"""Footprints to GeoPackage, GeoParquet 1.1 or GeoJSON, portion by portion.

Columns of every format:

    id           int64   row-major number of the footprint's first pixel in the scene; unique
    class        string  class of the model
    area_m2      double  area on the ground, holes excluded
    confidence   double  mean probability of the footprint's pixels, 0..1
    valid_share  double  share of the outline behind which there are data; less than 1: cut by a gap or the border
    outline      string  how regular the outline is: squared, smoothed or pixels
    provenance   string  sensors that the footprint was seen with: sar, optical, or optical+sar
    optical_share  double  share of its pixels that the optical image shows; only where one was given beside the radar
    model        string  name and hash of the weights
    scene        string  name of the scene's file
    acquired     string  when the scene was taken, UTC; null where that was not declared
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, assert_never

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from overcast.batch import Modality
from overcast.errors import InputError
from overcast.outputs.clock import fixed_now, precise_text
from overcast.outputs.formats import VectorFormat, layer_name, plain_path, require_complete
from overcast.outputs.style import store_style
from overcast.outputs.writable import writing
from overcast.polygons.footprints import Footprints
from overcast.polygons.outlines.levels import Level
from overcast.raster.degrees import DEGREES, split_at_180, to_degrees, unwrapped
from overcast.raster.sources import Georeference

COVERING = pa.struct([(name, pa.float64()) for name in ("xmin", "ymin", "xmax", "ymax")])
"""Bounding box column of GeoParquet 1.1."""
BOTH_SENSORS = "optical+sar"
"""Provenance of what both sensors saw."""
_LEVEL_NAMES = pa.array([level.name.lower() for level in Level], pa.string())


@dataclass(frozen=True)
class Origin:
    """Where footprints come from; the same for all of a file."""

    crs: str
    """CRS of the geometry: authority code or WKT."""
    class_name: str
    provenance: str
    """Sensor that the footprints were seen with."""
    model: str
    scene: str
    acquired: str | None = None
    """ISO 8601, UTC."""
    optical: bool = False
    """True where an optical image was given beside the radar: each footprint then says how much of it that shows."""


def write_footprints(
    path: Path, kind: VectorFormat, portions: Iterable[Footprints], origin: Origin, *, styled: bool = False
) -> int:
    """Write footprints; without any, the file is valid and empty. Returns their number.

    GeoPackage and GeoParquet keep the CRS of the scene, GeoJSON is in degrees (RFC 7946). Coordinates of the latter are
    rounded to 9 decimals (0.1 mm); a footprint across the line of 180 degrees is a MultiPolygon of its two sides. The
    file grows under a plain name beside `path`, whatever that is called; the layer has the name of the file where that
    is allowed.

    Args:
        path: Written or replaced.
        kind: Its format.
        portions: Polygons; an empty portion is skipped.
        origin: The same for all.
        styled: Keep the style in the file too, where the format is GeoPackage.

    Raises:
        InputError: The file cannot be written; what is there of it is damaged.
        Exception: Whatever `portions` raises.
    """
    count = 0

    def counted() -> Iterator[Footprints]:
        """Portions that hold any, counted."""
        nonlocal count
        for portion in portions:
            count += len(portion)
            if len(portion):
                yield portion

    layer = layer_name(path)
    with writing(path), plain_path(path.with_name(f"footprints{kind.value}")) as plain:
        match kind:
            case VectorFormat.GEOPACKAGE:
                _write_ogr(plain, layer, counted(), origin, "GPKG", {})
            case VectorFormat.GEOJSON:
                options = {"RFC7946": "YES", "COORDINATE_PRECISION": "9"}
                lonlat = _in_degrees(counted(), origin.crs)
                _write_ogr(plain, layer, lonlat, replace(origin, crs=DEGREES), "GeoJSON", options)
            case VectorFormat.GEOPARQUET:
                _write_parquet(plain, counted(), origin)
            case never:
                assert_never(never)
        require_complete(plain, kind, count, layer)
        if styled and kind is VectorFormat.GEOPACKAGE:
            store_style(plain, layer)
        plain.replace(path)
    return count


def require_placeable(kind: VectorFormat, grid: Georeference) -> None:
    """Raise InputError where a format cannot hold the place of a scene: GeoJSON needs degrees."""
    if kind is VectorFormat.GEOJSON and grid.crs is not None:
        _lonlat(grid.crs, np.array([grid.position(*corner) for corner in grid.corners]))


def _lonlat(crs: str, xy: NDArray[np.float64]) -> NDArray[np.float64]:
    try:
        return to_degrees(crs)(xy)
    except InputError as error:
        raise InputError(
            "GeoJSON needs longitude and latitude, but parts of the scene lie where its CRS has none; "
            "write .gpkg or .parquet instead."
        ) from error


def _in_degrees(portions: Iterable[Footprints], crs: str) -> Iterator[Footprints]:
    """Portions with their geometry in longitude and latitude, cut at 180 degrees by RFC 7946."""
    for portion in portions:
        geometry = shapely.transform(portion.geometry, partial(_lonlat, crs))
        bounds = shapely.bounds(geometry)
        odd = (bounds[:, 2] - bounds[:, 0] > 180) | (bounds[:, 0] < -180) | (bounds[:, 2] > 180)
        geometry[odd] = [unwrapped(one) for one in geometry[odd]]
        broken = ~shapely.is_valid(geometry)
        geometry[broken] = [_largest_polygon(one) for one in shapely.make_valid(geometry[broken])]
        geometry[odd] = [split_at_180(one) for one in geometry[odd]]
        yield replace(portion, geometry=geometry)


def _largest_polygon(geometry: shapely.Geometry) -> shapely.Geometry:
    """The largest polygon of a repaired one: what else a repair leaves are slivers of rounding."""
    parts = shapely.get_parts(shapely.get_parts(geometry))  # a collection may hold multi-polygons
    largest: shapely.Geometry = max(parts, key=shapely.area)
    return largest


def _schema(origin: Origin) -> pa.Schema:
    geometry = {"ARROW:extension:name": "geoarrow.wkb", "ARROW:extension:metadata": json.dumps({"crs": origin.crs})}
    return pa.schema(
        [
            ("id", pa.int64()),
            ("class", pa.string()),
            ("area_m2", pa.float64()),
            ("confidence", pa.float64()),
            ("valid_share", pa.float64()),
            ("outline", pa.string()),
            ("provenance", pa.string()),
            *([("optical_share", pa.float64())] if origin.optical else []),
            ("model", pa.string()),
            ("scene", pa.string()),
            ("acquired", pa.string()),
            pa.field("geometry", pa.binary(), nullable=False, metadata=geometry),
        ]
    )


def _record_batch(portion: Footprints, origin: Origin, schema: pa.Schema) -> pa.RecordBatch:
    def repeated(text: str | None) -> pa.Array:
        return pa.repeat(pa.scalar(text, pa.string()), len(portion))

    columns = [
        portion.id,
        repeated(origin.class_name),
        portion.area_m2,
        portion.confidence,
        portion.valid_share,
        _LEVEL_NAMES.take(pa.array(portion.level)),
        *([_provenance(portion), portion.optical_share] if origin.optical else [repeated(origin.provenance)]),
        repeated(origin.model),
        repeated(origin.scene),
        repeated(origin.acquired),
        pa.array(shapely.to_wkb(portion.geometry), pa.binary()),
    ]
    arrays = [column if isinstance(column, pa.Array) else pa.array(column) for column in columns]
    return pa.record_batch(arrays, schema=schema)


def _provenance(portion: Footprints) -> pa.Array:
    """Provenance of footprints that rest on the radar, and on an optical image where that shows any of them."""
    return pa.array(np.where(portion.optical_share > 0, BOTH_SENSORS, Modality.SAR.value).tolist(), pa.string())


class _Watched:
    """Passes items on and remembers the error that ended them, which would be lost inside of GDAL."""

    def __init__(self, items: Iterable[pa.RecordBatch]) -> None:
        self._items = items
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._items
        except BaseException as error:
            self.error = error
            raise


def _write_ogr(
    path: Path, layer: str, portions: Iterable[Footprints], origin: Origin, driver: str, options: dict[str, str]
) -> None:
    """Stream portions through one OGR data set, never more than one of them in memory."""
    schema = _schema(origin)
    batches = _Watched(_record_batch(portion, origin, schema) for portion in portions)
    fixed = fixed_now()
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None if fixed is None else precise_text(fixed)})
    try:
        pyogrio.write_arrow(
            pa.RecordBatchReader.from_batches(schema, batches),
            path,
            layer=layer,
            driver=driver,
            geometry_name="geometry",
            geometry_type="Polygon",
            crs=origin.crs,
            layer_options=options,
        )
    except RuntimeError as error:  # the base of pyogrio's errors, and what becomes of an error in `batches`
        if batches.error is not None:
            raise batches.error from None
        raise OSError(f"{error}".rstrip(".")) from error


def _write_parquet(path: Path, portions: Iterable[Footprints], origin: Origin) -> None:
    schema = _schema(origin)
    at = schema.get_field_index("geometry")
    covered = schema.set(at, schema.field(at).remove_metadata()).append(pa.field("bbox", COVERING, nullable=False))
    extent = np.array([np.inf, np.inf, -np.inf, -np.inf])
    with pq.ParquetWriter(path, covered, compression="zstd") as writer:
        for portion in portions:
            bounds = shapely.bounds(portion.geometry)
            low, high = bounds[:, :2].min(axis=0), bounds[:, 2:].max(axis=0)
            extent = np.concatenate([np.minimum(extent[:2], low), np.maximum(extent[2:], high)])
            boxes = pa.StructArray.from_arrays([pa.array(column) for column in bounds.T], fields=list(COVERING))
            batch = _record_batch(portion, origin, schema)
            writer.write_batch(pa.record_batch([*batch.columns, boxes], schema=covered))
        writer.add_key_value_metadata({"geo": json.dumps(_geo_metadata(origin, extent))})


def _geo_metadata(origin: Origin, extent: NDArray[np.float64]) -> dict[str, Any]:
    """The file metadata of GeoParquet 1.1 (https://geoparquet.org/releases/v1.1.0)."""
    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": ["Polygon"],
        "crs": CRS.from_user_input(origin.crs).to_json_dict(),
        "orientation": "counterclockwise",
        "covering": {"bbox": {name: ["bbox", name] for name in ("xmin", "ymin", "xmax", "ymax")}},
    }
    if np.isfinite(extent).all():
        column["bbox"] = extent.tolist()
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
