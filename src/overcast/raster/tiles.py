"""Whether images are tiles of one scene: on one grid of pixels, beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

ALIGNED_PX = 0.1
"""Displacement against a common grid of pixels up to which tiles are joined as they are."""
LARGEST_GAP = 1.0
"""Empty ground between tiles, in areas of all of them together, up to which they count as one scene."""


def beside_each_other(datasets: Sequence[Any]) -> bool:
    """True where open images are tiles of one scene: one CRS and pixel grid, the same bands, hardly overlapping."""
    first = datasets[0]
    if first.crs is None or first.transform.determinant == 0:
        return False
    if any((one.crs, one.count, one.dtypes) != (first.crs, first.count, first.dtypes) for one in datasets[1:]):
        return False
    boxes = [box_in(one, first) for one in datasets]
    if any(box is None for box in boxes):
        return False
    known = np.array(boxes, np.float64)
    areas = (known[:, 2] - known[:, 0]) * (known[:, 3] - known[:, 1])
    whole = (known[:, 2].max() - known[:, 0].min()) * (known[:, 3].max() - known[:, 1].min())
    if whole > (1 + LARGEST_GAP) * areas.sum():
        return False
    for index, one in enumerate(known):
        rows = np.minimum(one[2], known[:, 2]) - np.maximum(one[0], known[:, 0])
        cols = np.minimum(one[3], known[:, 3]) - np.maximum(one[1], known[:, 1])
        shared = np.maximum(rows, 0) * np.maximum(cols, 0)
        shared[index] = 0
        if (shared > np.minimum(areas, areas[index]) / 2).any():
            return False
    return True


def box_in(tile: Any, first: Any) -> tuple[int, int, int, int] | None:
    """Top, left, bottom, right in pixels of the first tile; None where the tile is on another grid of pixels."""
    relative = ~first.transform @ tile.transform
    corners = np.array([relative @ (0.0, 0.0), relative @ (float(tile.width), float(tile.height))])
    whole = np.round(corners)
    size = whole[1] - whole[0]
    if np.abs(corners - whole).max() > ALIGNED_PX or tuple(size) != (tile.width, tile.height):
        return None
    (left, top), (right, bottom) = whole.astype(int).tolist()
    return top, left, bottom, right
