"""A STAC item that says what was made, from which scene and with which model."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from pyproj import CRS
from pystac import Asset, Item, Link, MediaType, RelType
from pystac.extensions.projection import ProjectionExtension
from pystac.utils import datetime_to_str

from overcast import __version__
from overcast.bundle.contract import ITEM, RECORD
from overcast.bundle.item import model_name
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

_PROCESSING = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"
_VECTOR_TYPES = {
    VectorFormat.GEOPACKAGE: MediaType.GEOPACKAGE,
    VectorFormat.GEOPARQUET: MediaType.VND_APACHE_PARQUET,
    VectorFormat.GEOJSON: MediaType.GEOJSON,
}


def write_item(path: Path, job: Job, grid: Georeference, properties: Mapping[str, object]) -> None:
    """Write the STAC item of a job, whose outputs lie on `grid`, to `path`.

    Its `datetime` is when the scene was taken, or where that is unknown when this was made. Other files are named as
    seen from the item's final place. `properties` are further facts, by names that begin with `overcast:`.
    """
    assert job.item is not None, "the job asks for one"
    target, model, created = job.item, job.model, made_at()
    item = item_about(
        grid,
        target,
        job.acquired or created,
        {
            "created": utc_text(created),
            "description": _description(job),
            "processing:software": {"overcast": __version__},
            "processing:lineage": f"{model.class_name} mapped by model {model.identity}",
            "overcast:acquired": None if job.acquired is None else utc_text(job.acquired),
            "overcast:model": _model(model),
            **properties,
        },
    )
    item.add_links([source_link(one, target) for one in job.inputs])
    item.add_links(_model_links(target, model))
    item.assets = _assets(job, target)
    save(path, item)


def item_about(grid: Georeference, target: Path, moment: datetime, properties: dict[str, Any]) -> Item:
    """An item called as its final place, about the ground of a grid, with the projection and processing extensions."""
    name, (geometry, bbox) = target.name.removesuffix(".stac.json"), ground(grid)
    item = Item(name, geometry, bbox, _utc(moment), properties, stac_extensions=[_PROCESSING])
    crs = grid.crs or ""
    code = crs.upper() if crs.upper().startswith("EPSG:") else None
    wkt2 = CRS.from_user_input(crs).to_wkt() if crs and code is None else None
    shape, transform = [grid.height, grid.width], list(grid.transform)[:6]
    ProjectionExtension.ext(item, add_if_missing=True).apply(code=code, wkt2=wkt2, shape=shape, transform=transform)
    return item


def source_link(path: Path, target: Path) -> Link:
    """Link of an item at `target` to a file that its files were made from."""
    return Link(RelType.DERIVED_FROM, relative(path, target), title=file_name(path))


def save(path: Path, item: Item) -> None:
    """Write an item to a file."""
    with writing(path):
        path.write_text(json.dumps(item.to_dict(), indent=2) + "\n", encoding="utf-8")


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


def _model_links(target: Path, model: SceneModel) -> list[Link]:
    """To the model's own item, or to its record where the bundle was written without one; none without a bundle."""
    if model.path is None:
        return []
    own = (model.path / ITEM).is_file()
    return [
        Link(
            RelType.DERIVED_FROM,
            relative(model.path / (ITEM if own else RECORD), target),
            MediaType.GEOJSON if own else MediaType.JSON,
            f"model {model.identity}",
            {"mlm:name": model_name(model.class_name, model.sha256), "processing:level": "L4"},
        )
    ]


def _assets(job: Job, target: Path) -> dict[str, Asset]:
    kind = None if job.vector_format is None else _VECTOR_TYPES[job.vector_format]
    found = (
        ("footprints", job.footprints, kind, "data"),
        ("probability", job.probability, MediaType.COG, "data"),
        ("style", job.style, MediaType.XML, "metadata"),
    )
    return {
        name: Asset(relative(path, target), media_type=media, roles=[role])
        for name, path, media, role in found
        if path is not None
    }


def relative(path: Path, target: Path) -> str:
    """`path` as seen from the folder of `target`, with forward slashes; an address as it is."""
    if is_remote(path):
        return address(path)
    return Path(os.path.relpath(path.resolve(), target.resolve().parent)).as_posix()


def ground(grid: Georeference) -> tuple[dict[str, Any] | None, list[float] | None]:
    """Geometry and box of an item: the scene's outline in longitude and latitude; None where its CRS has none.

    Across the line of 180 degrees the geometry has two parts and the box a west that is greater than its east
    (RFC 7946, 3.1.9 and 5.2).
    """
    if grid.crs is None:
        return None, None
    try:
        corners = to_degrees(grid.crs)(np.array([grid.position(*corner) for corner in grid.corners]))
    except InputError:
        return None, None
    ring = corners[[0, 1, 3, 2]]  # corners go down each side of the scene in turn
    outline = unwrapped(shapely.geometry.polygon.orient(shapely.Polygon(ring)))
    return shapely.geometry.mapping(split_at_180(outline)), [round(value, 9) for value in box_of(outline)]


def utc_text(moment: datetime) -> str:
    """ISO 8601 in UTC, to the second."""
    return datetime_to_str(_utc(moment))


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)


def made_at() -> datetime:
    """The time, or that of SOURCE_DATE_EPOCH, by which builds are made repeatable."""
    return fixed_now() or datetime.now(UTC)
