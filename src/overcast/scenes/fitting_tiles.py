"""Tiles of a scene that a network in 8 bits is fitted to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from overcast.raster.grid import Window
from overcast.raster.radiometry import BandStatistics
from overcast.raster.sources import RasterSource
from overcast.runtime.int8 import Tiles

TILE_PX, COUNT, CANDIDATES = 256, 32, 128
"""Side of the tiles, how many are taken, and how many are looked at."""
LEAST_VALID = 0.5
"""Share of a tile's pixels with data below which it is skipped."""


def fitting_tiles(
    source: RasterSource, statistics: BandStatistics, origin: str, *, side: int = TILE_PX, count: int = COUNT
) -> Tiles:
    """Up to `count` tiles with data, spread evenly over a scene; always the same ones.

    Args:
        source: The scene as the network sees it.
        statistics: That pixels are standardised with.
        origin: Name of the scene.
        side: Of the tiles, in pixels.
        count: Most tiles.

    Raises:
        ConfigError: The scene has too few of them.
    """
    grid = source.georeference
    windows = [
        Window(row, col, side, side)
        for row in range(0, grid.height - side + 1, side)
        for col in range(0, grid.width - side + 1, side)
    ]
    values: list[NDArray[np.float32]] = [np.empty((0, len(statistics.mean), side, side), np.float32)]
    valid: list[NDArray[np.bool_]] = [np.empty((0, side, side), np.bool_)]
    for window in _spread(windows):
        pixels = source.read(window)
        if len(values) <= count and pixels.valid.mean() >= LEAST_VALID:
            values.append(statistics.standardise(pixels.values, pixels.valid)[None])
            valid.append(pixels.valid[None])
    return Tiles(np.concatenate(values), np.concatenate(valid), origin)


def _spread(windows: list[Window]) -> list[Window]:
    """As many candidates as are read, in an order in which any first ones are spread over the scene."""
    if len(windows) > CANDIDATES:
        windows = [windows[at] for at in np.linspace(0, len(windows) - 1, CANDIDATES).astype(int)]
    return [windows[at] for at in np.random.default_rng(0).permutation(len(windows))]
