"""A STAC item that says what was made, from which scene and with which model."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely
from pyproj import CRS

from overcast import __version__
from overcast.bundle.contract import RECORD
from overcast.bundle.item import ITEM, ITEM_TYPE, model_name
from overcast.errors import InputError
from overcast.outputs.clock import fixed_now
from overcast.outputs.formats import VectorFormat
from overcast.outputs.writable import writing
from overcast.raster.addresses import address, file_name, is_remote
from overcast.raster.degrees import box_of, split_at_180, to_degrees, unwrapped
from overcast.raster.sources import Georeference

if TYPE_CHECKING:
    from overcast.scenes.job import Job
    from overcast.scenes.model import SceneModel

EXTENSIONS = (
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
)
COG_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"
_VECTOR_TYPES = {
    VectorFormat.GEOPACKAGE: "application/geopackage+sqlite3",
    VectorFormat.GEOPARQUET: "application/vnd.apache.parquet",
    VectorFormat.GEOJSON: "application/geo+json",
}


def write_item(path: Path, job: Job, grid: Georeference, properties: Mapping[str, object]) -> None:
    """Write the STAC 1.0 item of a job, whose outputs lie on `grid`, to `path`.

    Its `datetime` is when the scene was taken, or where that is unknown when this was made. Other files are named as
    seen from the item's final place. `properties` are further facts, by names that begin with `overcast:`.
    """
    assert job.item is not None, "the job asks for one"
    target, model, created = job.item, job.model, made_at()
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": list(EXTENSIONS),
        "id": target.name.removesuffix(".stac.json"),
        **ground(grid),
        "properties": {
            "datetime": utc_text(job.acquired or created),
            "created": utc_text(created),
            "description": _description(job),
            **projection(grid),
            "processing:software": {"overcast": __version__},
            "processing:lineage": f"{model.class_name} mapped by model {model.identity}",
            "overcast:acquired": None if job.acquired is None else utc_text(job.acquired),
            "overcast:model": _model(model),
            **properties,
        },
        "links": [
            *({"rel": "derived_from", "href": relative(one, target), "title": file_name(one)} for one in job.inputs),
            *_model_links(target, model),
        ],
        "assets": _assets(job, target),
    }
    with writing(path):
        path.write_text(json.dumps(item, indent=2) + "\n", encoding="utf-8")


def _description(job: Job) -> str:
    names = ", ".join(file_name(path) for path in job.scene)
    unknown = "" if job.acquired else "; the scene's date is not known, datetime is that of processing"
    return f"{job.model.class_name} footprints and probability from {names}{unknown}"


def _model(model: SceneModel) -> dict[str, object]:
    return {
        "name": model.name,
        "sha256": model.sha256,
        "license": model.licence,
        "class": model.class_name,
        "modality": model.modality.value,
        "calibration_temperature": model.calibration_temperature,
        "runtime": model.runtime,
    }


def _model_links(target: Path, model: SceneModel) -> list[dict[str, str]]:
    """To the model's own item, or to its record where the bundle was written without one; none without a bundle."""
    if model.path is None:
        return []
    own = (model.path / ITEM).is_file()
    return [
        {
            "rel": "derived_from",
            "href": relative(model.path / (ITEM if own else RECORD), target),
            "type": ITEM_TYPE if own else "application/json",
            "title": f"model {model.identity}",
            "mlm:name": model_name(model.class_name, model.sha256),
            "processing:level": "L4",
        }
    ]


def _assets(job: Job, target: Path) -> dict[str, dict[str, object]]:
    kind = None if job.vector_format is None else _VECTOR_TYPES[job.vector_format]
    found = (
        ("footprints", job.footprints, kind, "data"),
        ("probability", job.probability, COG_TYPE, "data"),
        ("style", job.style, "application/xml", "metadata"),
    )
    return {
        name: {"href": relative(path, target), "type": media, "roles": [role]}
        for name, path, media, role in found
        if path is not None
    }


def relative(path: Path, target: Path) -> str:
    """`path` as seen from the folder of `target`, with forward slashes; an address as it is."""
    if is_remote(path):
        return address(path)
    return Path(os.path.relpath(path.resolve(), target.resolve().parent)).as_posix()


def projection(grid: Georeference) -> dict[str, object]:
    """Fields of the projection extension."""
    t = grid.transform
    found: dict[str, object] = {
        "proj:shape": [grid.height, grid.width],
        "proj:transform": [t.a, t.b, t.c, t.d, t.e, t.f],
        "proj:code": None,
    }
    if grid.crs is not None and grid.crs.upper().startswith("EPSG:"):
        return {**found, "proj:code": grid.crs.upper()}
    return found if grid.crs is None else {**found, "proj:wkt2": CRS.from_user_input(grid.crs).to_wkt()}


def ground(grid: Georeference) -> dict[str, object]:
    """`geometry` and `bbox` of an item: the scene's outline in longitude and latitude; null where its CRS has none.

    Across the line of 180 degrees the geometry has two parts and the box a west that is greater than its east
    (RFC 7946, 3.1.9 and 5.2).
    """
    if grid.crs is None:
        return {"geometry": None}
    try:
        corners = to_degrees(grid.crs)(np.array([grid.position(*corner) for corner in grid.corners]))
    except InputError:
        return {"geometry": None}
    ring = corners[[0, 1, 3, 2]]  # corners go down each side of the scene in turn
    outline = unwrapped(shapely.geometry.polygon.orient(shapely.Polygon(ring)))
    geometry = shapely.geometry.mapping(split_at_180(outline))
    return {"geometry": geometry, "bbox": [round(value, 9) for value in box_of(outline)]}


def utc_text(moment: datetime) -> str:
    """ISO 8601 in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def made_at() -> datetime:
    """The time, or that of SOURCE_DATE_EPOCH, by which builds are made repeatable."""
    return fixed_now() or datetime.now(UTC)
