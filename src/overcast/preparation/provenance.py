"""A STAC item beside the prepared scene: inputs with their hashes, steps, versions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio

from overcast import __version__
from overcast.outputs.writable import writing
from overcast.preparation.plan import PreparationPlan
from overcast.raster.addresses import file_name, is_remote
from overcast.reading import file_sha256
from overcast.scenes.stac import COG_TYPE, EXTENSIONS, ground, made_at, projection, relative, utc_text


def write_item(path: Path, target: Path, scene: Path, plan: PreparationPlan) -> None:
    """Write the item of `target` (its final place) about `scene` to `path`."""
    with writing(path):
        path.write_text(json.dumps(item(target, scene, plan), indent=2) + "\n", encoding="utf-8")


def item(target: Path, scene: Path, plan: PreparationPlan) -> dict[str, Any]:
    """The STAC 1.0 item. Its `datetime` is that of processing: files do not say reliably when a scene was taken."""
    created = utc_text(made_at())
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": list(EXTENSIONS),
        "id": target.name.removesuffix(".stac.json"),
        **ground(plan.written),
        "properties": {
            "datetime": created,
            "created": created,
            "description": f"SAR scene prepared for model {plan.model.identity}; datetime is that of processing",
            **projection(plan.written),
            "processing:software": _software(),
            "processing:lineage": "; ".join(plan.steps),
            "overcast:steps": list(plan.steps),
            "overcast:notes": list(plan.notes),
            "overcast:scene_radiometry": plan.sensor.model_dump(mode="json"),
            "overcast:radar_azimuth": None if plan.radar is None else round(plan.radar.azimuth_deg, 3),
            "overcast:inputs": [_input(one, target, plan) for one in plan.paths],
        },
        "links": [
            {"rel": "derived_from", "href": relative(one, target), "title": file_name(one)} for one in plan.paths
        ],
        "assets": {"scene": {"href": relative(scene, target), "type": COG_TYPE, "roles": ["data"]}},
    }


def _software() -> dict[str, str]:
    return {
        "overcast": __version__,
        "rasterio": rasterio.__version__,
        "gdal": rasterio.__gdal_version__,
        "pyproj": pyproj.__version__,
        "proj": pyproj.proj_version_str,
        "numpy": np.__version__,
    }


def _input(path: Path, target: Path, plan: PreparationPlan) -> dict[str, object]:
    bands = {band.name: band.reader.band.index for band in plan.bands if band.reader.band.path == path}
    if is_remote(path):
        return {"href": relative(path, target), "bands": bands}
    known = {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
    return {"href": relative(path, target), **known, "bands": bands}
