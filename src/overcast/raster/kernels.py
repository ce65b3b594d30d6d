"""Weighted means of pixels around positions: which source pixels, with which weights, and nothing where data lack."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overcast.raster.grid import Window

TINY = 1e-9
"""Weight up to which there is nothing to divide by."""

ROWS_AT_ONCE = 32
"""Rows of the target that are summed together, so that what they need stays in the processor's cache."""

Coordinates = NDArray[np.float64]


@dataclass(frozen=True)
class Taps:
    """Source pixels of each target pixel along one axis."""

    first: NDArray[np.int64]
    """(h, w) index of the first one; the others follow it. It may lie outside of the source."""
    weights: NDArray[np.float64]
    """(K, h, w), summing to 1 over the K pixels."""

    @property
    def count(self) -> int:
        """K."""
        return len(self.weights)

    def span(self, length: int) -> tuple[int, int] | None:
        """(first, past the last) of the pixels of a source of this length that are touched; None where none is."""
        inside = self.first[(self.first > -self.count) & (self.first < length)]
        if not inside.size:
            return None
        return max(int(inside.min()), 0), min(int(inside.max()) + self.count, length)


def nearest_taps(position: Coordinates) -> Taps:
    """The pixel that holds the position."""
    return Taps(np.floor(position).astype(np.int64), np.ones((1, *position.shape)))


def box_taps(position: Coordinates, width: float) -> Taps:
    """Mean over `width` >= 1 pixels around the position; a width of 1 is linear interpolation."""
    start = position - width / 2
    first = np.floor(start)
    edges = first + np.arange(int(np.ceil(width)) + 1)[:, None, None]
    overlap = np.minimum(edges + 1, start + width)
    overlap -= np.maximum(edges, start, out=edges)
    np.maximum(overlap, 0, out=overlap)
    overlap /= width
    return Taps(first.astype(np.int64), overlap)


def cubic_taps(position: Coordinates) -> Taps:
    """Cubic convolution with a = -1/2 (Keys, IEEE ASSP 29, 1981)."""
    shifted = position - 0.5
    first = np.floor(shifted).astype(np.int64) - 1
    t = np.abs(shifted - first - np.arange(4)[:, None, None])
    near = (1.5 * t - 2.5) * t**2 + 1
    far = ((-0.5 * t + 2.5) * t - 4) * t + 2
    return Taps(first, np.where(t <= 1, near, np.where(t < 2, far, 0)))


def weighted_mean(
    values: NDArray[Any], valid: NDArray[np.bool_], rows: Taps, cols: Taps, part: Window
) -> tuple[Coordinates, NDArray[np.float64]]:
    """Means over taps, missing pixels left out.

    Args:
        values: (..., H, W) of the window `part` of the source; those that are not valid are never used.
        valid: (H, W)
        rows: Along rows, in pixels of the whole source.
        cols: Along columns.
        part: Where `values` lie.

    Returns (..., h, w) float64 means, 0 where there is no data, and (h, w) the share of weight that lies on data.
    """
    # one frame of missing pixels as wide as the taps, so that what lies outside needs no test
    down, right = rows.count, cols.count
    known = _framed(np.where(valid, values, 0), down, right)
    good = _framed(valid, down, right)
    stride = part.width + 2 * right
    top = np.clip(rows.first - part.row, -down, part.height) + down
    left = np.clip(cols.first - part.col, -right, part.width) + right
    base = top * stride + left
    whole = bool(valid.all()) and _within(rows, part.row, part.height) and _within(cols, part.col, part.width)
    total, weight = np.zeros((*values.shape[:-2], *base.shape)), np.zeros(base.shape)
    for start in range(0, len(base), ROWS_AT_ONCE):
        at = slice(start, start + ROWS_AT_ONCE)
        for k, m in itertools.product(range(down), range(right)):
            taken = base[at] + (k * stride + m)
            share = rows.weights[k, at] * cols.weights[m, at]
            total[..., at, :] += share * known.take(taken, axis=-1)
            weight[at] += share if whole else share * good.take(taken)
    return np.divide(total, weight, out=np.zeros_like(total), where=weight > TINY), weight


def _within(taps: Taps, start: int, length: int) -> bool:
    """True where every tap lies on one of `length` pixels from `start` on."""
    first = taps.first
    return bool(first.size) and int(first.min()) >= start and int(first.max()) + taps.count <= start + length


def _framed(pixels: NDArray[Any], down: int, right: int) -> NDArray[np.float64]:
    """(..., H, W) within a frame of zeros, flat along rows and columns."""
    *bands, height, width = pixels.shape
    framed = np.zeros((*bands, height + 2 * down, width + 2 * right))
    framed[..., down : down + height, right : right + width] = pixels
    return framed.reshape(*bands, -1)
