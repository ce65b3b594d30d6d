"""A scene that is mirrored or seen from the opposite side is turned on reading, its prediction back on writing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from overcast.raster.grid import HALF_TURN, Turn, Window
from overcast.raster.sources import Georeference, Pixels, RasterSink, RasterSource


class RotatedSource:
    """A source with one or both of its axes reversed; by 180 degrees its first pixel is the last of the original."""

    def __init__(self, source: RasterSource, turn: Turn = HALF_TURN) -> None:
        self._source, self._turn = source, turn

    @property
    def georeference(self) -> Georeference:
        """Grid of the turned pixels; each lies where it lay."""
        return self._source.georeference.turned(self._turn)

    @property
    def band_count(self) -> int:
        """Bands of the original."""
        return self._source.band_count

    def read(self, window: Window) -> Pixels:
        """Pixels of a window of the turned grid."""
        grid = self._source.georeference
        pixels = self._source.read(self._turn.window(window, grid.height, grid.width))
        return Pixels(self._turn.apply(pixels.values), self._turn.apply(pixels.valid))


class RotatedSink:
    """Takes windows of the turned grid and writes them where they belong in the original."""

    def __init__(self, sink: RasterSink, georeference: Georeference, turn: Turn = HALF_TURN) -> None:
        """Write to `sink`, whose grid is `georeference`."""
        self._sink, self._grid, self._turn = sink, georeference, turn

    def write(self, window: Window, values: NDArray[np.generic]) -> None:
        """Store (..., h, w) values of a window of the turned grid."""
        self._sink.write(self._turn.window(window, self._grid.height, self._grid.width), self._turn.apply(values))
