"""Probability rasters: written strip by strip, published as cloud-optimised GeoTIFF, read back as probabilities."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from zlib import crc32

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.windows import Window as RasterioWindow

from overcast.choices import Encoding
from overcast.outputs.encoding import NODATA_CODE, SCALE, decode, encode
from overcast.outputs.writable import writing
from overcast.raster.files import grid_of, reading
from overcast.raster.grid import Window
from overcast.raster.opening import in_rasterio, open_own
from overcast.raster.sources import Georeference, Pixels

BLOCK = 512
"""Side of the internal tiles."""
COMPARED_WIDTH = 4 * BLOCK
"""Columns of a copy that are compared at once."""
CACHE_BYTES = 48 * 2**20
"""GDAL's block cache while scenes are read and written: two tiles above each other of four float32 bands touch
twelve blocks of 512 px, 48 MiB. Its own default is a twentieth of the machine's memory."""


@contextmanager
def bounded_cache(size: int = CACHE_BYTES) -> Iterator[None]:
    """Bound GDAL's block cache, which is one for the process, to `size` bytes; servers that fail are asked again."""
    with rasterio.Env(GDAL_CACHEMAX=size, GDAL_HTTP_MAX_RETRY=4, GDAL_HTTP_RETRY_DELAY=0.5):
        yield


class ProbabilityWriter:
    """A RasterSink that writes probabilities into a tiled, uncompressed GeoTIFF; blocks without data take no space."""

    def __init__(self, path: Path, grid: Georeference, encoding: Encoding, tags: Mapping[str, str]) -> None:
        """Create the file.

        Args:
            path: Created or overwritten.
            grid: Any geotransform, rotated or mirrored too; the CRS may be missing.
            encoding: How probabilities are stored.
            tags: Written as GeoTIFF metadata; `DESCRIPTION` becomes the name of the band.
        """
        self._path, self._encoding = path, encoding
        self._written: list[tuple[Window, int]] = []
        self._dataset = _create(path, grid, encoding)
        self._dataset.update_tags(**{key: value for key, value in tags.items() if key != "DESCRIPTION"})
        self._dataset.set_band_description(1, tags.get("DESCRIPTION", "probability"))
        if encoding is Encoding.UINT8:
            self._dataset.scales = (SCALE,)

    def write(self, window: Window, values: NDArray[np.generic]) -> None:
        """Store (h, w) probabilities in 0..1; NaN means no data."""
        stored = np.ascontiguousarray(encode(values, self._encoding))
        with writing(self._path):
            self._dataset.write(stored, 1, window=in_rasterio(window))
        self._written.append((window, crc32(stored.data)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with writing(self._path):
            self._dataset.close()
            if kind is None:
                self._require_stored()

    def _require_stored(self) -> None:
        """Read everything back: errors while GDAL closes a file, as on a full disk, appear in its log only."""
        with open_own(self._path) as dataset:
            for window, checksum in self._written:
                if crc32(np.ascontiguousarray(dataset.read(1, window=in_rasterio(window))).data) != checksum:
                    raise OSError(f"rows {window.row} to {window.stop[0]} did not arrive")


def _create(path: Path, grid: Georeference, encoding: Encoding) -> Any:
    """An empty raster, open for writing."""
    with writing(path):
        return rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=grid.height,
            width=grid.width,
            count=1,
            dtype=encoding.value,
            crs=grid.crs,
            transform=grid.transform,
            nodata=NODATA_CODE if encoding is Encoding.UINT8 else np.nan,
            tiled=True,
            blockxsize=BLOCK,
            blockysize=BLOCK,
            sparse_ok=True,
            bigtiff="IF_SAFER",
        )


def write_cog(source: Path, target: Path) -> None:
    """Copy a raster as COG: DEFLATE, 512 px tiles, averaged overviews; tags, nodata and geotransform are kept.

    Probabilities lie near 0 and 1 mostly, and repeat: level 1 without a predictor is much faster than level 6 with one,
    and the files are hardly larger.
    GDAL builds the overviews in a file beside `target` and removes it.
    """
    with writing(target):
        rasterio.shutil.copy(
            source,
            target,
            driver="COG",
            compress="DEFLATE",
            predictor="NO",
            level=1,
            blocksize=BLOCK,
            overview_resampling="average",
            num_threads="ALL_CPUS",
            bigtiff="IF_SAFER",
        )
        _require_copied(source, target)


def _require_copied(source: Path, target: Path) -> None:
    """Compare every bit of a copy's pixels, in windows of bounded size whatever the width."""
    with open_own(source) as original, open_own(target) as copy:
        for row in range(0, original.height, BLOCK):
            for col in range(0, original.width, COMPARED_WIDTH):
                height, width = min(BLOCK, original.height - row), min(COMPARED_WIDTH, original.width - col)
                at = RasterioWindow(col, row, width, height)
                pairs = [dataset.read(1, window=at).view(np.uint8) for dataset in (original, copy)]
                if not np.array_equal(*pairs):  # NaN is NaN here, since its bits are copied
                    raise OSError(f"rows {row} to {row + BLOCK} did not arrive")


class ProbabilitySource:
    """A RasterSource of one band over a raster that `ProbabilityWriter` or `write_cog` wrote."""

    def __init__(self, path: Path, dataset: Any) -> None:
        """Use `open`."""
        self._path, self._dataset = path, dataset
        self._lock = threading.Lock()

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Self]:
        """The raster as probabilities. Raises InputError where it cannot be read."""
        with reading(path):
            dataset = open_own(path)
        with dataset:
            yield cls(path, dataset)

    @property
    def georeference(self) -> Georeference:
        """Grid size and place."""
        return grid_of(self._dataset)

    @property
    def band_count(self) -> int:
        """One: the probability."""
        return 1

    def read(self, window: Window) -> Pixels:
        """Probabilities (1, h, w) in 0..1, 0 where there is no data."""
        with self._lock, reading(self._path):
            stored = self._dataset.read(1, window=in_rasterio(window))
        values, valid = decode(stored)
        return Pixels(values[None], valid)
