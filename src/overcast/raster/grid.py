"""Windows on a pixel grid, tilings with overlap and blend weights: integers and NumPy only."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A rectangle of pixels. One that exists is valid: row, col >= 0 and height, width >= 1.

    >>> Window(0, 0, 4, 6).slices
    (slice(0, 4, None), slice(0, 6, None))
    """

    row: int
    col: int
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.row < 0 or self.col < 0 or self.height < 1 or self.width < 1:
            raise ValueError(f"not a window: {self}")

    @property
    def slices(self) -> tuple[slice, slice]:
        """Row and column slices into an array of the whole grid."""
        return slice(self.row, self.row + self.height), slice(self.col, self.col + self.width)

    @property
    def stop(self) -> tuple[int, int]:
        """One past the last row and column."""
        return self.row + self.height, self.col + self.width

    def intersect(self, other: "Window") -> "Window | None":
        """The shared rectangle, or None where the two do not meet."""
        row, col = max(self.row, other.row), max(self.col, other.col)
        height = min(self.stop[0], other.stop[0]) - row
        width = min(self.stop[1], other.stop[1]) - col
        return Window(row, col, height, width) if height > 0 and width > 0 else None

    def relative_to(self, other: "Window") -> "Window":
        """This window in the coordinates of an enclosing one."""
        return Window(self.row - other.row, self.col - other.col, self.height, self.width)


@dataclass(frozen=True, slots=True)
class Turn:
    """Axes of an image that are reversed: one of them mirrors it, both turn it by 180 degrees. True where any is."""

    rows: bool = False
    cols: bool = False

    def __bool__(self) -> bool:
        return self.rows or self.cols

    def then(self, other: "Turn") -> "Turn":
        """Both turns, one after the other.

        >>> Turn(rows=True).then(HALF_TURN)
        Turn(rows=False, cols=True)
        """
        return Turn(self.rows != other.rows, self.cols != other.cols)

    def apply(self, array: NDArray[Any]) -> NDArray[Any]:
        """(..., h, w) turned: the array itself where there is nothing to turn, else a copy."""
        if not self:
            return array
        return np.ascontiguousarray(array[..., :: -1 if self.rows else 1, :: -1 if self.cols else 1])

    def window(self, window: Window, height: int, width: int) -> Window:
        """The same pixels of a grid of `height` x `width` before, or after, it is turned."""
        stop_row, stop_col = window.stop
        row = height - stop_row if self.rows else window.row
        col = width - stop_col if self.cols else window.col
        return Window(row, col, window.height, window.width)


HALF_TURN = Turn(rows=True, cols=True)
"""A turn by 180 degrees."""


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """First pixels of tiles that cover `length` pixels with at least `overlap` shared; the last ends at the border.

    >>> tile_starts(10, 4, 1)
    [0, 3, 6]
    >>> tile_starts(3, 4, 1)
    [0]
    """
    if not 0 <= overlap < tile:
        raise ValueError(f"overlap must lie in 0 .. tile - 1, got {overlap} for tile {tile}")
    if length <= tile:
        return [0]
    step = tile - overlap
    starts = list(range(0, length - tile, step))
    return [*starts, length - tile]


def tiles(height: int, width: int, tile: int, overlap: int) -> Iterator[Window]:
    """Windows that cover a grid, row by row. A grid smaller than a tile gives one window of the grid's size."""
    for row in tile_starts(height, tile, overlap):
        for col in tile_starts(width, tile, overlap):
            yield Window(row, col, min(tile, height), min(tile, width))
