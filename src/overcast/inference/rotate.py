"""A scene seen from the opposite side is turned by 180 degrees on reading, and its prediction back on writing."""

from __future__ import annotations

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from overcast.data.raster import Georeference, Pixels, RasterSink, RasterSource
from overcast.grid import Window


class RotatedSource:
    """A source turned by 180 degrees: its first pixel is the last of the original."""

    def __init__(self, source: RasterSource) -> None:
        self._source = source

    @property
    def georeference(self) -> Georeference:
        """Grid of the turned pixels; each lies where it lay."""
        grid = self._source.georeference
        t, (x, y) = grid.transform, grid.position(grid.width, grid.height)
        return Georeference(grid.height, grid.width, Affine(-t.a, -t.b, x, -t.d, -t.e, y), grid.crs)

    @property
    def band_count(self) -> int:
        """Bands of the original."""
        return self._source.band_count

    def read(self, window: Window) -> Pixels:
        """Pixels of a window of the turned grid."""
        pixels = self._source.read(_turned(window, self._source.georeference))
        return Pixels(
            np.ascontiguousarray(pixels.values[:, ::-1, ::-1]), np.ascontiguousarray(pixels.valid[::-1, ::-1])
        )


class RotatedSink:
    """Takes windows of the turned grid and writes them where they belong in the original."""

    def __init__(self, sink: RasterSink, georeference: Georeference) -> None:
        """Write to `sink`, whose grid is `georeference`."""
        self._sink, self._grid = sink, georeference

    def write(self, window: Window, values: NDArray[np.generic]) -> None:
        """Store (..., h, w) values of a window of the turned grid."""
        self._sink.write(_turned(window, self._grid), np.ascontiguousarray(values[..., ::-1, ::-1]))


def _turned(window: Window, grid: Georeference) -> Window:
    """The same pixels on the grid turned by 180 degrees."""
    row, col = window.stop
    return Window(grid.height - row, grid.width - col, window.height, window.width)
