"""The one place that opens rasters for reading."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import Interleaving
from rasterio.env import getenv, hasenv
from rasterio.windows import Window as RasterioWindow

from overcast.errors import InputError
from overcast.raster.drivers import ENDINGS, Driver, local_driver
from overcast.raster.grid import Window
from overcast.raster.sides import is_side, require_no_pointer, side_driver, sides_of
from overcast.raster.virtual import checked_description, require_no_address

_NUMPY = {"complex_int16": "int32"}
"""Types of pixels that NumPy has no name for."""
MOST_BANDS = 1024
"""More than any sensor has. GDAL looks at each band several times."""
NETWORK_LIMITS: Mapping[str, str] = {
    "GDAL_HTTP_CONNECTTIMEOUT": "30",
    "GDAL_HTTP_LOW_SPEED_TIME": "30",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1",
    "GDAL_HTTP_TIMEOUT": "600",
}
"""Seconds until a server must have accepted, may send less than a byte a second, and must have answered a request.
What the environment sets counts instead."""
LARGEST_BLOCK_BYTES = 2**30
"""GDAL holds a whole block of a file to read one pixel of it, and a file of a few kB may claim a block of any size."""


def in_rasterio(window: Window) -> RasterioWindow:
    """A window in the words of rasterio."""
    return RasterioWindow(window.col, window.row, window.width, window.height)


def open_dataset(path: Path, *, remote_name: str | None, virtual: bool) -> Any:
    """The rasterio data set of a file.

    Args:
        path: A local file that exists, or what GDAL fetches.
        remote_name: File name in the address of the latter, else None. Nothing is looked for beside such a file.
        virtual: True where the user named the file, so that it may be a virtual raster with sources in its folder.

    Raises:
        InputError: The file is not what its name says, or would make GDAL open others.
        RasterioError: GDAL cannot read it.
    """
    if remote_name is not None:
        return _checked(path, str(path), _remote_driver(remote_name), "EMPTY_DIR")
    driver = local_driver(path)
    if driver is not Driver.VIRTUAL:
        for side in sides_of(path):
            _require_picture(side)
        return _checked(path, str(path.absolute()), driver, "TRUE")
    if not virtual:
        raise InputError(
            f"{path} is a virtual raster, which is read only where you name it yourself; write it as GeoTIFF."
        )
    description, sources = checked_description(path)
    for side in (file for folder in {one.parent for one in sources} for file in folder.iterdir() if is_side(file)):
        _require_picture(side)  # GDAL lists the folder of a source, and takes names in any case
    for source in sources:
        _checked(source, str(source), local_driver(source), "FALSE").close()
    return _checked(path, description, driver, "TRUE")


def open_own(path: Path) -> Any:
    """The rasterio data set of a GeoTIFF that this package just wrote, whatever its name. Raises RasterioError."""
    return _checked(path, str(path.absolute()), Driver.GEOTIFF, "EMPTY_DIR")


def open_description(path: Path, description: str) -> Any:
    """The rasterio data set of a virtual raster that this package wrote about a file. Raises RasterioError."""
    return _checked(path, description, Driver.VIRTUAL, "TRUE")


def _require_picture(side: Path) -> None:
    """Raise InputError where a file beside an image is no picture, or sends GDAL to other files in its turn."""
    driver = side_driver(side)
    if driver is not None:
        _checked(side, str(side.absolute()), driver, "FALSE").close()


def _checked(path: Path, name: str, driver: str, listing: str) -> Any:
    """`name` opened by `driver`; `listing` is GDAL's word for whether it lists the folder."""
    options = {**_unset_limits(), "GDAL_DISABLE_READDIR_ON_OPEN": listing}
    with rasterio.Env(**options):
        dataset = rasterio.open(name, driver=str(driver))
        try:
            _require_plausible(path, dataset)
        except BaseException:
            dataset.close()
            raise
    return dataset


def _require_plausible(path: Path, dataset: Any) -> None:
    if not 0 < dataset.count <= MOST_BANDS:
        raise InputError(f"{path} has {dataset.count} bands, and an image has 1 to {MOST_BANDS}; copy it again.")
    together = dataset.count if dataset.interleaving is Interleaving.pixel else 1
    block = max(height * width for height, width in dataset.block_shapes)
    block_bytes = block * together * max(np.dtype(_NUMPY.get(dtype, dtype)).itemsize for dtype in dataset.dtypes)
    if block_bytes > LARGEST_BLOCK_BYTES:
        raise InputError(
            f"{path} is stored in blocks of {block_bytes / 1e9:.1f} GB, of which each is read whole; store it in "
            f"tiles: gdal_translate -co TILED=YES {path.name} tiled.tif"
        )
    if not np.isfinite(dataset.transform).all():
        raise InputError(
            f"{path} lies nowhere: its geotransform holds what is no number; assign it (gdal_edit.py -a_ullr ...)."
        )
    require_no_pointer(path, dataset)
    if dataset.crs is not None:
        require_no_address(path, dataset.crs.to_wkt())


def _remote_driver(name: str) -> Driver:
    """Driver by the ending of the address; addresses of downloads may have none, and what they send is GeoTIFF."""
    driver = ENDINGS.get(Path(name).suffix.lower(), Driver.GEOTIFF)
    if driver in {Driver.VIRTUAL, Driver.ENVI}:
        raise InputError(f"{name} is made of several files, which are read from this machine only; copy them here.")
    return driver


def _unset_limits() -> dict[str, str]:
    """The limits that neither the environment nor the caller sets."""
    given = {*os.environ, *(getenv() if hasenv() else ())}
    return {name: value for name, value in NETWORK_LIMITS.items() if name not in given}
