"""Coarse images are formed from a finer grid: geometry needs cells smaller than a house."""

from __future__ import annotations

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from overcast.raster.sources import Georeference

FINEST_NEEDED_M = 2.0
"""Largest cell on which buildings are rasterised; coarser images are means over blocks of such cells."""


def supersampling(gsd_m: float) -> int:
    """Cells per pixel side: 1 up to 2 m, 5 at 10 m."""
    return max(1, int(np.ceil(gsd_m / FINEST_NEEDED_M - 1e-9)))


def finer(grid: Georeference, border_px: int, factor: int) -> Georeference:
    """The grid grown by `border_px` pixels on each side and cut into `factor` x `factor` cells per pixel."""
    transform = grid.transform @ Affine.translation(-border_px, -border_px) @ Affine.scale(1 / factor)
    rows, cols = ((side + 2 * border_px) * factor for side in (grid.height, grid.width))
    return Georeference(rows, cols, transform, grid.crs)


def block_mean(values: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """(..., H, W) means over blocks of `factor` x `factor` cells of the last two axes."""
    if factor == 1:
        return values
    *rest, rows, cols = values.shape
    blocks = values.reshape(*rest, rows // factor, factor, cols // factor, factor)
    return np.asarray(blocks.mean(axis=(-3, -1)), np.float32)


def between_nodes(nodes: NDArray[np.float32], step: float, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """(H, W) linear interpolation of values at nodes `step` cells apart."""
    near, share = [], []
    for side in shape:
        at = np.arange(side, dtype=np.float32) / np.float32(step)
        near.append(at.astype(np.intp))
        share.append(at - near[-1].astype(np.float32))
    rows = nodes[near[0]]
    rows += (nodes[near[0] + 1] - rows) * share[0][:, None]
    slope = np.diff(rows, axis=1)
    out: NDArray[np.float32] = np.take(slope, near[1], axis=1)
    out *= share[1]
    out += np.take(rows, near[1], axis=1)
    return out
