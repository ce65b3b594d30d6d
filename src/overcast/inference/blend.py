"""Overlapping tiles of probability become finished pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from overcast.data.raster import RasterSink
from overcast.errors import BundleError
from overcast.grid import Window
from overcast.inference.tiling import Axis


class TileBlender:
    """Sums weighted tiles, given in rows from the top left, and writes what no later tile touches.

    Holds one tile and, over the width of the scene, the rows that a row of tiles shares with the next.
    """

    def __init__(self, rows: Axis, cols: Axis, sink: RasterSink) -> None:
        self._rows, self._cols, self._sink = rows, cols, sink
        self._sum = np.zeros((rows.tile, cols.tile), np.float32)
        self._valid = np.zeros((rows.tile, cols.tile), np.bool_)
        shared = max((rows.tile - rows.step(strip) for strip in range(len(rows.starts))), default=0)
        self._sum_above = np.zeros((shared, cols.length), np.float32)
        self._valid_above = np.zeros((shared, cols.length), np.bool_)
        self._strip = self._index = self._shared = 0
        self._row_weights = rows.weights(0)[:, None]
        self._col_weights = [cols.weights(index) for index in range(len(cols.starts))]
        self.valid_pixels = 0
        """Pixels with data among those written so far."""

    def add(self, strip: int, index: int, probability: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
        """Add the tile of row `strip` and column `index`; `probability` and `valid` are (tile, tile).

        Tiles come in order; those left out count as being without data.
        """
        self._pass(strip, index)
        self._sum += probability * self._row_weights * self._col_weights[index]
        self._valid |= valid
        self._next()

    def finish(self) -> None:
        """Write what is left, after the last tile."""
        self._pass(len(self._rows.starts), 0)

    def _pass(self, strip: int, index: int) -> None:
        """Go on to a tile; those between have no data."""
        while (self._strip, self._index) < (strip, index):
            self._next()

    def _next(self) -> None:
        """Write the pixels that this tile is the last to touch, and keep what it shares with its neighbours."""
        height, width = self._rows.step(self._strip), self._cols.step(self._index)
        row, col = self._rows.starts[self._strip], self._cols.starts[self._index]
        columns = slice(col, col + width)
        total, valid = self._sum[:, :width], self._valid[:, :width]
        total[: self._shared] += self._sum_above[: self._shared, columns]
        valid[: self._shared] |= self._valid_above[: self._shared, columns]
        self._write(Window(row, col, height, width), total[:height], valid[:height])
        below = self._rows.tile - height
        self._sum_above[:below, columns] = total[height:]
        self._valid_above[:below, columns] = valid[height:]
        for buffer in (self._sum, self._valid):
            buffer[:, : self._cols.tile - width] = buffer[:, width:]  # NumPy copies where the two overlap
            buffer[:, self._cols.tile - width :] = 0
        self._index += 1
        if self._index == len(self._cols.starts):
            self._strip, self._index, self._shared = self._strip + 1, 0, below
            if self._strip < len(self._rows.starts):
                self._row_weights = self._rows.weights(self._strip)[:, None]

    def _write(self, window: Window, total: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
        """Hand finished pixels to the sink, NaN where there is no data."""
        if not np.isfinite(total).all():
            raise BundleError(
                f"The network returned values that are not numbers in {window}; "
                "run with full precision (fp32) or check the bundle."
            )
        self.valid_pixels += int(np.count_nonzero(valid))
        self._sink.write(window, np.where(valid, total, np.float32(np.nan)))
