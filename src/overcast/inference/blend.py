"""Overlapping tiles of probability become finished rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from overcast.data.raster import RasterSink
from overcast.errors import BundleError
from overcast.grid import Window
from overcast.inference.tiling import Axis


class StripBlender:
    """Sums weighted tiles, given row of tiles by row of tiles, and writes the rows that no later tile touches.

    Holds one row of tiles (tile height x scene width), whatever the height of the scene.
    """

    def __init__(self, rows: Axis, cols: Axis, sink: RasterSink) -> None:
        self._rows, self._cols, self._sink = rows, cols, sink
        self._sum = np.zeros((rows.tile, cols.length), np.float32)
        self._valid = np.zeros((rows.tile, cols.length), np.bool_)
        self._strip = 0
        self._row_weights = rows.weights(0)[:, None]
        self._col_weights = [cols.weights(index) for index in range(len(cols.starts))]
        self.valid_pixels = 0
        """Pixels with data among the rows written so far."""

    def add(self, strip: int, index: int, probability: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
        """Add the tile of row `strip` and column `index`; `probability` and `valid` are (tile, tile). Rows ascend."""
        self.advance(strip)
        start = self._cols.starts[index]
        columns = slice(start, start + self._cols.tile)
        self._sum[:, columns] += probability * self._row_weights * self._col_weights[index]
        self._valid[:, columns] |= valid

    def advance(self, strip: int) -> None:
        """Write the rows that lie above the tiles of row `strip`; the number of rows of tiles writes all."""
        while self._strip < strip:
            start = self._rows.starts[self._strip]
            last = self._strip + 1 == len(self._rows.starts)
            height = (self._rows.length if last else self._rows.starts[self._strip + 1]) - start
            self._write(start, height)
            self._shift(height)
            self._strip += 1
            if not last:
                self._row_weights = self._rows.weights(self._strip)[:, None]

    def _write(self, row: int, height: int) -> None:
        """Hand `height` finished rows to the sink, NaN where there is no data."""
        done, valid = self._sum[:height], self._valid[:height]
        if not np.isfinite(done).all():
            raise BundleError(
                f"The network returned values that are not numbers at rows {row} to {row + height}; "
                "run with full precision (fp32) or check the bundle."
            )
        self.valid_pixels += int(np.count_nonzero(valid))
        window = Window(row, 0, height, self._cols.length)
        self._sink.write(window, np.where(valid, done, np.float32(np.nan)))

    def _shift(self, height: int) -> None:
        """Move the unfinished rows to the top and clear the rest."""
        for buffer in (self._sum, self._valid):
            keep = buffer.shape[0] - height
            buffer[:keep] = buffer[height:]  # NumPy copies where the two overlap
            buffer[keep:] = 0
