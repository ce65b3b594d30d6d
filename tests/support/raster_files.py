"""Small raster files for the tests of reading."""

from pathlib import Path
from typing import Any

import rasterio
from affine import Affine
from PIL import Image

UTM = "EPSG:32631"
NORTH_UP = Affine(0.5, 0.0, 593000.0, 0.0, -0.5, 5750000.0)
"""Pixels of half a metre."""


def write_tiff(path: Path, values: Any, transform: Affine = NORTH_UP, crs: str | None = UTM, **profile: Any) -> Path:
    """A GeoTIFF of (C, H, W) or (H, W) values."""
    stack = values[None] if values.ndim == 2 else values
    count, height, width = stack.shape
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = {"count": count, "height": height, "width": width, "dtype": stack.dtype}
    with rasterio.open(path, "w", driver="GTiff", transform=transform, crs=crs, **shape, **profile) as file:
        file.write(stack)
    return path


def write_png(path: Path, values: Any) -> Path:
    """A PNG of (H, W), or (H, W, C) with C 2 (grey and alpha), 3 or 4."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path
