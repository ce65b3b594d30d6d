"""Reading a scene as standardised tiles, tile row by tile row: a tile row is a row of tiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from overcast.raster.grid import Window
from overcast.raster.sources import RasterSource
from overcast.scenes.ground import Ground
from overcast.scenes.tiling import Axis


class TileStatistics(Protocol):
    """Makes of the pixels of a tile what the network takes."""

    def standardise(self, values: NDArray[np.floating], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        """(C, h, w) float32 of zero mean and unit deviation; 0 where there are no data."""
        ...


@dataclass(frozen=True)
class ScenePlan:
    """How a scene is cut. Nothing in it depends on who computes which tile row."""

    rows: Axis
    cols: Axis
    multiple: int
    """Tile sides that are no multiple of it are reflected up to the next one."""
    tiles_per_pass: int
    """Largest batch. A batch never leaves its tile row, so that a row computed alone is the same to the last bit."""
    ground: Ground | None = None
    """What is wanted of the scene; None: all of it."""

    @property
    def tile_row_count(self) -> int:
        """Rows of tiles."""
        return len(self.rows.starts)

    @property
    def tile_count(self) -> int:
        """All tiles."""
        return self.tile_row_count * len(self.cols.starts)

    @property
    def pixels(self) -> int:
        """All pixels that are wanted."""
        if self.ground is not None:
            return self.ground.window.height * self.ground.window.width
        return self.rows.length * self.cols.length

    @property
    def computed(self) -> int:
        """Pixels that pass the network where every tile has data: overlap and padding are counted too."""
        sides = [ceil(axis.tile / self.multiple) * self.multiple * len(axis.starts) for axis in (self.rows, self.cols)]
        return sides[0] * sides[1]


@dataclass(frozen=True)
class Tile:
    """One tile with data."""

    index: int
    """Column of tiles."""
    values: NDArray[np.float32]
    """(C, h, w) standardised and padded."""
    valid: NDArray[np.bool_]
    """(tile, tile) where there are data that are wanted."""


@dataclass(frozen=True)
class TileBatch:
    """Tiles of one tile row that go through the network together."""

    tile_row: int
    tiles: tuple[Tile, ...]
    done: int
    """Tiles of the requested tile rows, skipped ones included, up to the last of this batch."""
    last: bool
    """True where the tile row ends with this batch, which may be empty."""

    @property
    def values(self) -> NDArray[np.float32] | None:
        """(B, C, h, w); None without tiles."""
        if len(self.tiles) == 1:
            return self.tiles[0].values[None]
        return np.stack([tile.values for tile in self.tiles]) if self.tiles else None


def tile_batches(
    source: RasterSource, statistics: TileStatistics, plan: ScenePlan, tile_rows: Sequence[int], together: int = 1
) -> Iterator[TileBatch]:
    """The tiles with data of some tile rows; the last batch of each tile row is marked.

    Up to `together` neighbouring tile rows are read side by side, column by column, so that blocks of a file that two
    of them touch are decoded once while they are at hand. Only the order of the batches depends on it.
    """
    done = 0
    for group in _neighbours(tile_rows, together):
        pending: dict[int, list[Tile]] = {tile_row: [] for tile_row in group}
        for index in range(len(plan.cols.starts)):
            for tile_row in group:
                tile = _read_tile(source, statistics, plan, tile_row, index)
                if tile is not None and len(pending[tile_row]) == plan.tiles_per_pass:
                    yield TileBatch(tile_row, tuple(pending[tile_row]), done, last=False)
                    pending[tile_row] = []
                if tile is not None:
                    pending[tile_row].append(tile)
                done += 1
        for tile_row in group:
            yield TileBatch(tile_row, tuple(pending.pop(tile_row)), done, last=True)


def _neighbours(tile_rows: Sequence[int], most: int) -> Iterator[list[int]]:
    """Runs of up to `most` tile rows that follow each other.

    >>> list(_neighbours([0, 1, 2, 5, 6], 2))
    [[0, 1], [2], [5, 6]]
    """
    group: list[int] = []
    for tile_row in tile_rows:
        if group and (len(group) == most or tile_row != group[-1] + 1):
            yield group
            group = []
        group.append(tile_row)
    if group:
        yield group


def _read_tile(
    source: RasterSource, statistics: TileStatistics, plan: ScenePlan, tile_row: int, index: int
) -> Tile | None:
    """The standardised tile, or None where no pixel that it would decide has data and is wanted."""
    rows, cols = plan.rows, plan.cols
    window, used = (
        Window(rows.starts[tile_row], cols.starts[index], rows.tile, cols.tile),
        (rows.used(tile_row), cols.used(index)),
    )
    wanted = None if plan.ground is None else plan.ground.mask(window)
    if wanted is not None and not wanted[used].any():
        return None
    pixels = source.read(window)
    valid = pixels.valid if wanted is None else pixels.valid & wanted
    if not valid[used].any():
        return None
    values = statistics.standardise(pixels.values, pixels.valid)
    short = [-side % plan.multiple for side in valid.shape]
    if any(short):
        values = np.pad(values, ((0, 0), (0, short[0]), (0, short[1])), mode="reflect")
    return Tile(index, values, valid)
