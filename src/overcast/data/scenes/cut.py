"""Scenes cut into chips: a folder data set that any tool can read."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import yaml
from numpy.typing import NDArray

from overcast.batch import IGNORE_LABEL, Modality
from overcast.data.catalog import Catalog
from overcast.data.catalogs.folder import DESCRIPTION_NAME
from overcast.data.chips import Chip
from overcast.data.scenes.catalog import scenes_catalog
from overcast.errors import InputError
from overcast.raster.georeference import Georeference
from overcast.raster.radiometry import SensorRadiometry
from overcast.raster.sources import NativePixels

SAR, OPTICAL, MASKS = "sar", "optical", "masks"
"""Sub-folders."""
PATTERN = r"^(?P<place>.+)_r\d+c\d+$"


def cut_scenes(
    path: Path,
    output: Path,
    tile_px: int,
    *,
    complete_only: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the tiles of scenes as chips with masks and a dataset.yaml; the folder appears whole or not at all.

    Masks hold 1 for the class, 0 for background and 255 where nobody knows. Pixels without data hold the declared
    nodata; where none is declared NaN in images of floating-point numbers, and 0 in others, whose zeros become 1.

    Args:
        path: Description of the scenes.
        output: Folder to write; new or empty.
        tile_px: Side of a chip; at the borders of a place chips may be smaller or larger.
        complete_only: Leave out tiles that lack labels, SAR or (where the data set has any) the optical image. Else
            what a tile lacks has no file.
        progress: Called with (chips written, chips in all).

    Returns:
        The number of chips.

    Raises:
        InputError: A file cannot be used, the output holds something, or no tile is complete.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InputError(f"{output} holds something already: remove it or choose another folder.")
    catalog = scenes_catalog(path, tile_px)
    chips = [chip for chip in catalog.chips if not complete_only or _complete(chip, catalog)]
    if not chips:
        raise InputError(f"{path}: no tile has labels and every image; give footprints, or cut all tiles with --all.")
    partial = output.with_name(output.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    nodata = {SAR: np.nan, OPTICAL: 0.0}
    for done, chip in enumerate(chips, start=1):
        nodata |= _write_chip(partial, chip, catalog)
        if progress is not None:
            progress(done, len(chips))
    text = yaml.safe_dump(_description(catalog, nodata), sort_keys=False)
    (partial / DESCRIPTION_NAME).write_text(text, encoding="utf-8")
    if output.exists():
        output.rmdir()
    partial.replace(output)
    return len(chips)


def _complete(chip: Chip, catalog: Catalog) -> bool:
    return chip.labelled and bool(chip.sar) and (bool(chip.optical) or catalog.radiometry.optical is None)


def _write_chip(root: Path, chip: Chip, catalog: Catalog) -> dict[str, float]:
    """Write the files of a chip; returns the nodata of each image."""
    assert chip.scene is not None, "every chip of scenes is a tile"
    arrays, grid = chip.scene.read(frozenset(Modality)), chip.scene.grid
    name = f"{chip.key.replace('/', '_')}.tif"
    used: dict[str, float] = {}
    layers = ((SAR, arrays.sar, catalog.radiometry.sar), (OPTICAL, arrays.optical, catalog.radiometry.optical))
    for folder, image, sensor in layers:
        if image is not None and sensor is not None and image.valid.any():
            values, used[folder] = _filled(image, sensor)
            _write(root / folder / name, values, grid, used[folder], sensor.bands)
    if arrays.label is not None:
        _write(root / MASKS / name, arrays.label[None], grid, None, (catalog.class_name,))
    return used


def _filled(image: NativePixels, sensor: SensorRadiometry) -> tuple[NDArray[Any], float]:
    """Values with nodata where there are none, and that nodata."""
    whole = np.issubdtype(image.values.dtype, np.integer)
    nodata = sensor.nodata if sensor.nodata is not None else (0.0 if whole else np.nan)
    values = image.values
    if sensor.nodata is None and whole:
        values = np.where((values == 0) & image.valid, values.dtype.type(1), values)
    return np.where(image.valid, values, values.dtype.type(nodata)), float(nodata)


def _write(path: Path, values: NDArray[Any], grid: Georeference, nodata: float | None, bands: tuple[str, ...]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "compress": "deflate", "crs": grid.crs, "transform": grid.transform}
    count, height, width = values.shape
    size = {"count": count, "height": height, "width": width, "dtype": values.dtype, "nodata": nodata}
    with rasterio.open(path, "w", **profile, **size) as dataset:
        dataset.write(values)
        dataset.descriptions = bands


def _description(catalog: Catalog, nodata: dict[str, float]) -> dict[str, Any]:
    sensors = {SAR: catalog.radiometry.sar, OPTICAL: catalog.radiometry.optical}
    images = {
        name: {"folders": [name], **sensor.model_dump(mode="json", exclude_none=True), "nodata": nodata[name]}
        for name, sensor in sensors.items()
        if sensor is not None
    }
    return {
        "name": catalog.name,
        "class_name": catalog.class_name,
        "licence": catalog.licence,
        "simulated": catalog.simulated,
        **images,
        "label": {"folder": MASKS, "foreground": 1, "background": 0, "ignore": IGNORE_LABEL},
        "place_pattern": PATTERN,
    }
