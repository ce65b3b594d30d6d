"""Tiles along the two sides of a scene and the weights that blend them: integers and NumPy only.

Tile weights are the product of one weight per row and one per column, and along each side the weights of all tiles
sum to one at every pixel. Blending is therefore a plain weighted sum that never needs a second buffer to divide by.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field, replace
from math import ceil

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Axis:
    """Equal tiles that cover one side of a scene, spread evenly."""

    length: int
    """Pixels of the side."""
    tile: int
    """Pixels of every tile, at most `length`."""
    starts: tuple[int, ...]
    """First pixel of each tile, ascending; the first is 0, the last ends at `length`."""
    overlap: int
    """Pixels that neighbours share at least."""
    margin: int
    """Pixels at a tile's inner ends that are computed for context only and carry no weight."""
    among: tuple[int, ...] = field(default=(), repr=False)
    """Starts of all tiles of the side, where only some of them are meant; empty where all are."""

    def weights(self, index: int) -> NDArray[np.float32]:
        """(tile,) weights in 0..1 of one tile; over all tiles they sum to 1 at each pixel of the side."""
        start, every = self.starts[index], self.among or self.starts
        total = np.zeros(self.tile)
        meets = range(bisect_right(every, start - self.tile), bisect_left(every, start + self.tile))
        for other in meets:
            shift = every[other] - start
            low, high = max(0, shift), min(self.tile, self.tile + shift)
            total[low:high] += self._ramp(every[other])[low - shift : high - shift]
        return (self._ramp(start) / total).astype(np.float32)

    def part(self, first: int, stop: int) -> Axis:
        """The tiles that decide pixels `first` to `stop` - 1, with the weights that they have among all.

        >>> split_axis(4000, 1024, 64, 16, multiple=32).part(900, 1600).starts
        (800, 1568)
        """
        kept = []
        for index, start in enumerate(self.starts):
            used = self.used(index)
            if start + used.start < stop and first < start + used.stop:
                kept.append(start)
        return replace(self, starts=tuple(kept), among=self.among or self.starts)

    def step(self, index: int) -> int:
        """Pixels from the start of one tile to that of the next; all of the last tile."""
        last = index + 1 == len(self.starts)
        return self.tile if last else self.starts[index + 1] - self.starts[index]

    def used(self, index: int) -> slice:
        """Pixels of one tile, relative to its start, that carry weight."""
        start = self.starts[index]
        first = self.margin if start > 0 else 0
        return slice(first, self.tile - (self.margin if start + self.tile < self.length else 0))

    def _ramp(self, start: int) -> NDArray[np.float64]:
        """(tile,) weights before they are made to sum to one: 0 in the margin, then a linear ramp, then 1."""
        steps = np.arange(self.tile)
        width = self.overlap - 2 * self.margin + 1
        ramp = np.ones(self.tile)
        if start > 0:
            ramp = np.minimum(ramp, np.clip((steps - self.margin + 1) / width, 0, 1))
        if start + self.tile < self.length:
            ramp = np.minimum(ramp, np.clip((steps[::-1] - self.margin + 1) / width, 0, 1))
        return ramp


def split_axis(length: int, tile: int, overlap: int, margin: int, multiple: int = 1) -> Axis:
    """The fewest tiles of at most `tile` pixels, then the smallest size that still covers with so many.

    Sizes are rounded up to `multiple` (which divides `tile`), so that little is computed twice: 4000 pixels in tiles
    of up to 1024 become five tiles of 864, not of 1024. A side that fits one tile is one tile of its own length.
    Starts are multiples of `multiple` where the overlap leaves room for it, so that a network of that stride pools the
    pixels that it would pool in the whole scene; the last tile ends with the scene.

    >>> split_axis(4000, 1024, 64, 16, multiple=32)
    Axis(length=4000, tile=864, starts=(0, 800, 1568, 2368, 3136), overlap=64, margin=16)
    >>> split_axis(300, 1024, 64, 16).starts
    (0,)
    """
    if not 0 <= 2 * margin <= overlap < tile or tile % multiple:
        raise ValueError(
            f"need 0 <= 2 * margin <= overlap < tile and a tile that is a multiple of {multiple}, "
            f"got tile {tile}, overlap {overlap}, margin {margin}"
        )
    if length <= tile:
        return Axis(length, length, (0,), overlap, margin)
    count = ceil((length - overlap) / (tile - overlap))
    size = ceil((length + (count - 1) * overlap) / count / multiple) * multiple
    return Axis(length, size, _spread(count, length - size, size - overlap, multiple), overlap, margin)


def _spread(count: int, last: int, step: int, multiple: int) -> tuple[int, ...]:
    """`count` starts from 0 to `last`, at most `step` apart, evenly but for the rounding up to `multiple`."""
    starts = [0]
    for index in range(1, count - 1):
        even = ceil(index * last / (count - 1) / multiple) * multiple
        reached = (starts[-1] + step) // multiple * multiple
        starts.append(max(min(even, reached), last - (count - 1 - index) * step))
    return (*starts, last)
