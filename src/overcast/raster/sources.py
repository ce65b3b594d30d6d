"""Pixels arrive and leave through two protocols; a NumPy array is a legal source and sink."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from overcast.errors import InputError
from overcast.raster.files import (
    RasterFile,
    choose_bands,
    grid_of,
    open_grid,
    open_raster,
    require_complete,
    require_readable,
)
from overcast.raster.georeference import Georeference, require_same_grid
from overcast.raster.grid import Window
from overcast.raster.radiometry import SensorRadiometry

__all__ = [
    "ArraySource",
    "Georeference",
    "NativePixels",
    "Pixels",
    "RasterSink",
    "RasterSource",
    "RasterioSource",
    "open_grid",
    "open_raster",
]


OVERVIEW_SIDE = 512
"""Longest side of the overview that is looked at before a scene is mapped."""


@dataclass(frozen=True)
class Pixels:
    """What a source returns for a window."""

    values: NDArray[np.float32]
    """(C, h, w) in the declared unit; 0 where invalid."""
    valid: NDArray[np.bool_]
    """(h, w): True where every band has data."""


@dataclass(frozen=True)
class NativePixels:
    """Pixels in the data type of the file, so that 8-bit images stay small in memory.

    Where a file declares a scale or an offset, these are applied, and values are float32.
    """

    values: NDArray[Any]
    """(C, h, w) in the declared unit; 0 where invalid."""
    valid: NDArray[np.bool_]
    """(h, w): True where every band has data."""


class RasterSource(Protocol):
    """A readable grid of C bands."""

    @property
    def georeference(self) -> Georeference:
        """Grid size and place."""
        ...

    @property
    def band_count(self) -> int:
        """C, the number of bands that `read` returns."""
        ...

    def read(self, window: Window) -> Pixels:
        """Pixels of a window that lies inside the grid."""
        ...


class RasterSink(Protocol):
    """A writable grid of one band."""

    def write(self, window: Window, values: NDArray[np.generic]) -> None:
        """Store (h, w) values at a window that lies inside the grid."""
        ...


class ArraySource:
    """A RasterSource over an array in memory."""

    def __init__(
        self, values: NDArray[Any], sensor: SensorRadiometry, georeference: Georeference | None = None
    ) -> None:
        """Wrap (C, H, W) `values`; without a georeference the grid is that of the pixels."""
        if values.ndim != 3 or values.shape[0] != len(sensor.bands):
            raise InputError(
                f"an array of shape {values.shape} is not (bands, height, width) with the declared bands "
                f"{list(sensor.bands)}; reorder its axes or correct the declaration."
            )
        height, width = values.shape[1:]
        self._values, self._sensor = values, sensor
        self.georeference = georeference or Georeference(height, width, Affine.identity(), None)
        """Grid size and place."""
        if (self.georeference.height, self.georeference.width) != (height, width):
            raise ValueError(f"georeference {self.georeference} is not that of an array of {height} x {width}")

    @property
    def band_count(self) -> int:
        """Number of declared bands."""
        return len(self._sensor.bands)

    def read(self, window: Window) -> Pixels:
        """Pixels of a window that lies inside the grid."""
        _require_inside(window, self.georeference)
        values = self._values[:, *window.slices]
        valid = self._sensor.valid(values)
        return Pixels(np.where(valid, values, 0).astype(np.float32, copy=False), valid)


class RasterioSource:
    """A RasterSource over one or several files on one grid; their bands, stacked in order, are the declared ones.

    A scale and an offset that a file declares are applied. A pixel is invalid where any band is NaN or infinite, as
    stored has the declared or the file's own nodata value, or is masked by the file's mask or alpha band. Reads are
    serialised by a lock: a GDAL data set is not to be shared between threads.
    """

    def __init__(self, files: Sequence[RasterFile], sensor: SensorRadiometry, stack: ExitStack) -> None:
        """Use `open`: the files must have been checked. `stack` closes them."""
        self._files, self._sensor, self._stack = tuple(files), sensor, stack
        self._lock = threading.Lock()
        self.georeference = grid_of(self._files[0].dataset)
        """Grid size and place."""

    @classmethod
    def open(cls, paths: Sequence[Path], sensor: SensorRadiometry, *, virtual: bool = False) -> Self:
        """Open and check the files. `virtual`: the user named them, so they may be virtual rasters.

        Raises:
            InputError: A file is missing, damaged or complex; the number of bands is not the declared one; the files
                lie on different grids.
        """
        if not paths:
            raise InputError(f"no file was given for the bands {list(sensor.bands)}; name at least one.")
        with ExitStack() as stack:
            opened = [stack.enter_context(open_raster(path, virtual=virtual)) for path in paths]
            files = choose_bands(paths, opened, sensor)
            for file in files[1:]:
                require_same_grid(
                    grid_of(files[0].dataset),
                    grid_of(file.dataset),
                    reference_path=files[0].path,
                    other_path=file.path,
                    resampling="bilinear",
                )
            for file in files:
                require_complete(file.path, file.dataset)
            kept = stack.pop_all()
        return cls(files, sensor, kept)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; reading afterwards is an error."""
        self._stack.close()

    @property
    def band_count(self) -> int:
        """Number of declared bands."""
        return len(self._sensor.bands)

    @property
    def datasets(self) -> tuple[Any, ...]:
        """The open rasterio data sets, one a file."""
        return tuple(file.dataset for file in self._files)

    @property
    def scaling(self) -> tuple[tuple[float, float], ...]:
        """Factor and offset of each band, as its file declares them."""
        return tuple(pair for file in self._files for pair in file.scaling_pairs)

    def overview(self) -> Pixels | None:
        """All of the image, at most `OVERVIEW_SIDE` pixels along a side; None where a file has no overviews."""
        if not all(
            dataset.overviews(file.indexes[0]) for file, dataset in zip(self._files, self.datasets, strict=True)
        ):
            return None
        grid = self.georeference
        step = max(1.0, max(grid.height, grid.width) / OVERVIEW_SIDE)
        native = self._read(grid.whole, (max(1, int(grid.height / step)), max(1, int(grid.width / step))))
        return Pixels(native.values.astype(np.float32, copy=False), native.valid)

    def read(self, window: Window) -> Pixels:
        """Pixels of a window that lies inside the grid. Raises InputError for a damaged file."""
        native = self.read_native(window)
        return Pixels(native.values.astype(np.float32, copy=False), native.valid)

    def read_native(self, window: Window) -> NativePixels:
        """The pixels in the files' own data type (the common one of several files)."""
        _require_inside(window, self.georeference)
        require_readable(self._files[0].path, window.height, window.width)
        return self._read(window, None)

    def _read(self, window: Window, shape: tuple[int, int] | None) -> NativePixels:
        with self._lock:
            parts = [file.read(window, shape) for file in self._files]
        values = parts[0][0] if len(parts) == 1 else np.concatenate([part for part, _ in parts])
        valid = np.logical_and.reduce([mask for _, mask in parts]) & np.isfinite(values).all(axis=0)
        if not valid.all():
            values[:, ~valid] = 0
        return NativePixels(values, valid)

    def thinned(self, longest_side: int) -> NativePixels:
        """The whole grid with rows and columns left out so that no side is longer; overviews are used."""
        grid = self.georeference
        scale = max(1.0, max(grid.height, grid.width) / longest_side)
        return self._read(grid.whole, (max(1, round(grid.height / scale)), max(1, round(grid.width / scale))))


def _require_inside(window: Window, grid: Georeference) -> None:
    if window.intersect(grid.whole) != window:
        raise ValueError(f"{window} is not inside a grid of {grid.height} x {grid.width}")
