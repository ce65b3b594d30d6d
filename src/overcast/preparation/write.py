"""The prepared scene as a file: written block by block, read back, published as cloud-optimised GeoTIFF."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self
from zlib import crc32

import numpy as np
import rasterio
from numpy.typing import NDArray

from overcast import __version__
from overcast.outputs.cog import BLOCK
from overcast.outputs.writable import writing
from overcast.preparation.plan import PreparationPlan
from overcast.raster.grid import Window
from overcast.raster.opening import in_rasterio, open_own
from overcast.scenes.declare import TAG


class SceneWriter:
    """A tiled, uncompressed float32 GeoTIFF that says what its numbers mean; blocks without data take no space."""

    def __init__(self, path: Path, plan: PreparationPlan) -> None:
        """Create the file."""
        self._path = path
        self._written: list[tuple[Window, int]] = []
        with writing(path):
            self._dataset = _create(path, plan)
            self._dataset.update_tags(**tags(plan))
            self._dataset.descriptions = plan.sensor.bands
            self._dataset.units = [plan.sensor.unit.value] * len(plan.sensor.bands)

    def write(self, window: Window, values: NDArray[np.float32]) -> None:
        """Store (C, h, w) values; NaN means no data."""
        if not np.isfinite(values).any():
            return
        with writing(self._path):
            self._dataset.write(values, window=in_rasterio(window))
        self._written.append((window, crc32(np.ascontiguousarray(values).data)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with writing(self._path):
            self._dataset.close()
        if kind is None:
            self.require_stored(self._path)

    def require_stored(self, path: Path) -> None:
        """Read everything back from this file or a copy of it.

        GDAL writes errors that occur while it closes a file, as on a full disk, to its log only. Raises InputError.
        """
        with writing(path), open_own(path) as dataset:
            for window, checksum in self._written:
                if crc32(np.ascontiguousarray(dataset.read(window=in_rasterio(window))).data) != checksum:
                    raise OSError(f"rows {window.row} to {window.stop[0]} did not arrive")


def tags(plan: PreparationPlan) -> dict[str, str]:
    """GeoTIFF metadata: the declaration that `overcast predict` reads, and how the scene came about."""
    return {
        TAG: plan.sensor.model_dump_json(),
        "OVERCAST_PREPARED": json.dumps(plan.steps),
        "OVERCAST_VERSION": __version__,
        "TIFFTAG_SOFTWARE": f"overcast {__version__}",
    }


def _create(path: Path, plan: PreparationPlan) -> Any:
    return rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=plan.window.height,
        width=plan.window.width,
        count=len(plan.bands),
        dtype="float32",
        crs=plan.grid.crs,
        transform=plan.written.transform,
        nodata=np.nan,
        tiled=True,
        blockxsize=BLOCK,
        blockysize=BLOCK,
        interleave="band",
        sparse_ok=True,
        bigtiff="IF_SAFER",
    )
