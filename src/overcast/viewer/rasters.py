"""Tiles of a raster: a window of the nearest overview, brought to Web Mercator; never more pixels than a tile has."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import MaskFlags, Resampling
from rasterio.transform import from_bounds
from rasterio.warp import reproject
from rasterio.windows import Window

from overcast.errors import InputError
from overcast.outputs.cog import bounded_cache
from overcast.raster.files import grid_of, open_raster, reading
from overcast.raster.georeference import Georeference
from overcast.viewer.mercator import MERCATOR, Bounds, Projection, Tile

TILE_PX = 512
MOST_OPEN = 6
"""Data sets of a file that are kept open."""
MARGIN_PX = 2
"""Pixels around a window that the interpolation needs."""
MOST_UNREDUCED_PX = 4096
"""Side of a window that is read at once from a file without overviews."""
BORDER_POINTS = 9

OVERSAMPLING = 1.3
"""Pixels that are read for each pixel of a tile's side, before it is brought to its place."""
CACHE_BYTES = 160 * 2**20
"""GDAL's cache of blocks, for all rasters of the server together."""
_PLAIN = {MaskFlags.all_valid, MaskFlags.nodata}
"""Flags of bands whose values alone say where there are data."""

Stack = NDArray[np.float32]


class Raster:
    """A raster file that is read by windows from several threads."""

    def __init__(self, path: Path, *, virtual: bool = False, nodata: float | None = None) -> None:
        """Open the file. Raises InputError where it cannot be read or does not say where on Earth it lies.

        Args:
            path: A file of one of the kinds that are read.
            virtual: It may be a virtual raster, since the user named it.
            nodata: Value without data beside the one that the file names; NaN always is.
        """
        self.path, self._virtual = path, virtual
        self._idle: queue.LifoQueue[tuple[Any, ExitStack]] = queue.LifoQueue(MOST_OPEN)
        with self._opened() as dataset:
            self.grid: Georeference = grid_of(dataset)
            self.names = tuple(name or f"band {index}" for index, name in enumerate(dataset.descriptions, 1))
            self.dtypes: tuple[str, ...] = dataset.dtypes
            self.has_overviews = bool(dataset.overviews(1))
            self._without_data = {float(value) for value in (nodata, *dataset.nodatavals) if value is not None}
            self._plain = all(set(flags) <= _PLAIN for flags in dataset.mask_flag_enums)
        if self.grid.crs is None:
            raise InputError(f"{path} does not say where on Earth it lies; assign a coordinate system (gdal_edit.py).")
        self.projection = Projection.of(self.grid.crs)
        self._system = CRS.from_user_input(self.grid.crs)

    @property
    def bounds(self) -> Bounds:
        """West, south, east, north in degrees."""
        return self.projection.degrees(self.grid.extent)

    def tile(self, tile: Tile, bands: Sequence[int], *, side: int = TILE_PX, smooth: bool = True) -> Stack | None:
        """(C, side, side) values on the tile, NaN where there are no data; None where the tile lies beside the raster.

        Args:
            tile: Which square.
            bands: Numbers of bands, from 1.
            side: Pixels of the result.
            smooth: Interpolate between pixels.
        """
        return self.view(tile.bounds, bands, (side, side), smooth=smooth)

    def view(
        self, bounds: Bounds, bands: Sequence[int], shape: tuple[int, int], *, smooth: bool = True, whole: bool = False
    ) -> Stack | None:
        """As `tile`, (C, *shape), for any box of Web Mercator; `whole` reads far views without overviews too."""
        window = self._window(bounds)
        if window is None:
            return None
        wanted = max(shape)
        values, transform = self._read(window, bands, int(OVERSAMPLING * wanted), whole=whole)
        target = np.full((len(bands), *shape), np.nan, np.float32)
        reproject(
            values,
            target,
            src_transform=transform,
            src_crs=self._system,
            src_nodata=np.nan,
            dst_transform=from_bounds(*bounds, shape[1], shape[0]),
            dst_crs=MERCATOR,
            dst_nodata=np.nan,
            resampling=_resampling(values.shape[1:], shape) if smooth else Resampling.nearest,
        )
        return target

    def sample(self, bands: Sequence[int], windows: int = 5, side: int = 256) -> Stack:
        """(C, N) values with data from a grid of windows, spread over the raster."""
        parts = []
        for row in range(windows):
            for col in range(windows):
                top = int((self.grid.height - side) * (row + 0.5) / windows)
                left = int((self.grid.width - side) * (col + 0.5) / windows)
                window = self._clipped(left, top, left + side, top + side)
                assert window is not None, "the middle of a raster lies in it"
                parts.append(self._read(window, bands, side)[0].reshape(len(bands), -1))
        values = np.concatenate(parts, axis=1)
        return np.asarray(values[:, np.isfinite(values).all(axis=0)], np.float32)

    def value(self, x: float, y: float) -> list[float | None]:
        """The values of all bands at a place in metres of Web Mercator; None for each without data."""
        window = self._window((x, y, x, y), margin=0)
        if window is None:
            return []
        values, _ = self._read(window, range(1, len(self.names) + 1), 1)
        return [float(value) if np.isfinite(value) else None for value in values[:, 0, 0]]

    def _window(self, bounds: Bounds, margin: int = MARGIN_PX) -> Window | None:
        """The pixels that a box of Web Mercator needs; None where there are none."""
        left, bottom, right, top = bounds
        x, y = (axis.ravel() for axis in np.meshgrid(
            np.linspace(left, right, BORDER_POINTS), np.linspace(bottom, top, BORDER_POINTS)
        ))  # fmt: skip
        places = self.projection.back(np.stack([x, y], axis=1))
        places = places[np.isfinite(places).all(axis=1)]
        if not len(places):
            return None
        col, row = ~self.grid.transform * (places[:, 0], places[:, 1])
        low = np.floor([col.min(), row.min()]) - margin
        high = np.maximum(np.ceil([col.max(), row.max()]), low + 1) + margin
        return self._clipped(*low.tolist(), *high.tolist())

    def _clipped(self, left: float, top: float, right: float, bottom: float) -> Window | None:
        left, top = int(max(left, 0)), int(max(top, 0))
        right, bottom = int(min(right, self.grid.width)), int(min(bottom, self.grid.height))
        return Window(left, top, right - left, bottom - top) if right > left and bottom > top else None

    def _read(self, window: Window, bands: Sequence[int], most: int, *, whole: bool = False) -> tuple[Stack, Affine]:
        """(C, h, w) values of a window, NaN without data, thinned to at most `most` pixels a side; and their place."""
        height, width = min(int(window.height), most), min(int(window.width), most)
        if not (whole or self.has_overviews) and max(window.height, window.width) > MOST_UNREDUCED_PX:
            raise InputError(
                f"{self.path.name} has no overviews, so only near views of it can be drawn; "
                f"make a cloud-optimised copy: gdal_translate -of COG {self.path.name} cog.tif"
            )
        with self._opened() as dataset, reading(self.path):
            options: dict[str, Any] = {"window": window, "out_shape": (len(bands), height, width)}
            values = dataset.read(list(bands), resampling=Resampling.average, **options)
            hidden = None if self._plain else dataset.read_masks(list(bands), **options) == 0
        values = (np.abs(values) if np.iscomplexobj(values) else values).astype(np.float32)
        for value in self._without_data:
            values[values == np.float32(value)] = np.nan
        if hidden is not None:
            values[hidden] = np.nan
        scale = Affine.scale(window.width / width, window.height / height)
        return values, self.grid.transform * Affine.translation(window.col_off, window.row_off) * scale

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        """A data set that no other thread uses; it is kept for the next one unless something went wrong."""
        with bounded_cache(CACHE_BYTES):
            try:
                dataset, stack = self._idle.get_nowait()
            except queue.Empty:
                stack = ExitStack()
                dataset = stack.enter_context(open_raster(self.path, virtual=self._virtual))
            try:
                yield dataset
            except BaseException:
                stack.close()
                raise
        try:
            self._idle.put_nowait((dataset, stack))
        except queue.Full:
            stack.close()

    def close(self) -> None:
        """Close what no thread uses."""
        while True:
            try:
                self._idle.get_nowait()[1].close()
            except queue.Empty:
                return


def _resampling(found: tuple[int, ...], wanted: tuple[int, int]) -> Resampling:
    """Means where pixels become larger, else interpolation."""
    return Resampling.average if found[0] > 1.5 * wanted[0] or found[1] > 1.5 * wanted[1] else Resampling.bilinear
