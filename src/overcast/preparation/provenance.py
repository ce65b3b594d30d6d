"""A STAC item beside the prepared scene: inputs with their hashes, steps, versions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyproj
import rasterio
from pystac import Asset, MediaType

from overcast import __version__
from overcast.preparation.plan import PreparationPlan
from overcast.raster.addresses import is_remote
from overcast.reading import file_sha256
from overcast.scenes.stac import item_about, made_at, relative, save, source_link, utc_text


def write_item(path: Path, target: Path, scene: Path, plan: PreparationPlan) -> None:
    """Write the item of `target` (its final place) about `scene` to `path`.

    Its `datetime` is that of processing: files do not say reliably when a scene was taken.
    """
    created = made_at()
    item = item_about(
        plan.written,
        target,
        created,
        {
            "created": utc_text(created),
            "description": f"SAR scene prepared for model {plan.model.identity}; datetime is that of processing",
            "processing:software": _software(),
            "processing:lineage": "; ".join(plan.steps),
            "overcast:steps": list(plan.steps),
            "overcast:notes": list(plan.notes),
            "overcast:scene_radiometry": plan.sensor.model_dump(mode="json"),
            "overcast:radar_azimuth": None if plan.radar is None else round(plan.radar.azimuth_deg, 3),
            "overcast:inputs": [_input(one, target, plan) for one in plan.paths],
        },
    )
    item.add_links([source_link(one, target) for one in plan.paths])
    item.add_asset("scene", Asset(relative(scene, target), media_type=MediaType.COG, roles=["data"]))
    save(path, item)


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
