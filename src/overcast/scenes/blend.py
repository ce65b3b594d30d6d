"""Overlapping tiles of probability become finished pixels: first along each row of tiles, then from row to row."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from overcast.errors import BundleError
from overcast.raster.grid import Window
from overcast.raster.sources import RasterSink
from overcast.scenes.tiling import Axis


class RowSink(Protocol):
    """Takes tile rows, blended along the row, column by column."""

    def column(self, tile_row: int, index: int, total: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
        """What no later tile of the tile row touches, from the start of tile `index` to that of the next.

        `total` (tile, w), or (M, tile, w) of several channels, is the weighted sum of probabilities, `valid` (tile, w)
        is True where there are data; both are only lent. Indexes come in order.
        """
        ...

    def end(self, tile_row: int, tiles: int, computed: int) -> None:
        """The tile row is complete: `tiles` of it went through the network, `computed` pixels with padding."""
        ...


class RowBlender:
    """Sums the weighted tiles of one tile row, given from the left, and hands on what no later tile touches."""

    def __init__(self, rows: Axis, cols: Axis, tile_row: int, sink: RowSink, channels: int = 1) -> None:
        self._cols, self._tile_row, self._sink = cols, tile_row, sink
        self._sum = np.zeros((*channel_axis(channels), rows.tile, cols.tile), np.float32)
        self._valid = np.zeros((rows.tile, cols.tile), np.bool_)
        self._row_weights = rows.weights(tile_row)[:, None]
        self._index = self._tiles = self._computed = 0

    def add(self, index: int, probability: NDArray[np.float32], valid: NDArray[np.bool_], computed: int) -> None:
        """Add the tile of column `index`: `probability` (tile, tile), or (M, tile, tile), and `valid` (tile, tile).

        Tiles come in order; those left out count as being without data. `computed` pixels went through the network.
        """
        self._pass(index)
        self._sum += probability * self._row_weights * self._cols.weights(index)
        self._valid |= valid
        self._tiles, self._computed = self._tiles + 1, self._computed + computed

    def finish(self) -> None:
        """Hand on what is left, after the last tile."""
        self._pass(len(self._cols.starts))
        self._sink.end(self._tile_row, self._tiles, self._computed)

    def _pass(self, index: int) -> None:
        """Hand on the columns up to a tile; those between have no data."""
        while self._index < index:
            width = self._cols.step(self._index)
            total, valid = self._sum[..., :width], self._valid[:, :width]
            if not np.isfinite(total).all():
                raise BundleError(
                    f"The network returned values that are not numbers in row {self._tile_row} of tiles, tile "
                    f"{self._index}; run with full precision (fp32) or check the bundle."
                )
            self._sink.column(self._tile_row, self._index, total, valid)
            for buffer in (self._sum, self._valid):
                buffer[..., : self._cols.tile - width] = buffer[..., width:]  # NumPy copies where the two overlap
                buffer[..., self._cols.tile - width :] = 0
            self._index += 1


class RowJoiner:
    """A RowSink that adds what tile rows share and writes every pixel once it is final, (M, h, w) of several channels.

    Holds, over the width of the scene, the rows that a tile row shares with the next. Tile rows come from the top.
    """

    def __init__(self, rows: Axis, cols: Axis, sink: RasterSink, channels: int = 1) -> None:
        self._rows, self._cols, self._sink = rows, cols, sink
        shared = max((rows.tile - rows.step(tile_row) for tile_row in range(len(rows.starts))), default=0)
        self._sum_above = np.zeros((*channel_axis(channels), shared, cols.length), np.float32)
        self._valid_above = np.zeros((shared, cols.length), np.bool_)
        self.valid_pixels = 0
        """Pixels with data among those written so far."""
        self.tiles = 0
        """Tiles that went through the network."""
        self.computed_pixels = 0
        """Pixels that went through the network, overlap and padding included."""

    def column(self, tile_row: int, index: int, total: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
        """Write the rows that no later tile row touches and keep the others."""
        height, above = self._rows.step(tile_row), shared_above(self._rows, tile_row)
        row, col, width = self._rows.starts[tile_row], self._cols.starts[index], total.shape[-1]
        columns = slice(col, col + width)
        total[..., :above, :] += self._sum_above[..., :above, columns]
        valid[:above] |= self._valid_above[:above, columns]
        self.valid_pixels += int(np.count_nonzero(valid[:height]))
        final = np.where(valid[:height], total[..., :height, :], np.float32(np.nan))
        self._sink.write(Window(row, col, height, width), final)
        below = self._rows.tile - height
        self._sum_above[..., :below, columns] = total[..., height:, :]
        self._valid_above[:below, columns] = valid[height:]

    def end(self, tile_row: int, tiles: int, computed: int) -> None:
        """Count."""
        del tile_row
        self.tiles, self.computed_pixels = self.tiles + tiles, self.computed_pixels + computed


def channel_axis(channels: int) -> tuple[int, ...]:
    """Leading shape of arrays of `channels` channels: none for a single one."""
    return () if channels == 1 else (channels,)


def shared_above(rows: Axis, tile_row: int) -> int:
    """Rows that a tile row shares with those above it.

    >>> shared_above(Axis(100, 40, (0, 30, 60), 10, 0), 1)
    10
    """
    return 0 if tile_row == 0 else rows.tile - rows.step(tile_row - 1)
