"""Corners of pixel outlines: where they are and how the edges between them run. NumPy only.

A grid vertex is a corner where the outline turns. On each horizontal grid line the corners, sorted, alternately begin
and end an edge; the same holds on each vertical line. So edges need no search: sorting pairs their ends. Where two
pixels of the mask touch diagonally (a saddle), the vertex holds two corners, one for each pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
LabelAt = Callable[[NDArray[np.int64], NDArray[np.int64]], Ids]

NW, NE, SW, SE = 1, 2, 4, 8
"""Bits of the four pixels around a vertex."""


@dataclass(frozen=True)
class Corners:
    """N corners in order of row, column and, at a saddle, left before right.

    N is even: corners 2k and 2k + 1 are the ends of one horizontal edge.
    """

    row: NDArray[np.int32]
    col: NDArray[np.int32]
    label: Ids
    """Label of the mask pixel whose outline turns here."""
    down: NDArray[np.bool_]
    """True where the vertical edge runs down from here, False where it runs up."""
    out: NDArray[np.bool_]
    """True where the outline, mask on its right, leaves along the horizontal edge; else along the vertical one."""
    saddle: NDArray[np.bool_]
    """True where the vertex holds two corners; the left one has an odd number, its partner follows."""

    def __len__(self) -> int:
        return len(self.row)

    def select(self, keep: NDArray[np.bool_]) -> Corners:
        """The corners where `keep` is True; a saddle of which only one remains is no saddle any more."""
        position = np.arange(len(self))
        both = keep & keep[np.clip(position + np.where(position % 2, 1, -1), 0, len(self) - 1)]
        saddle = self.saddle & both
        return Corners(self.row[keep], self.col[keep], self.label[keep], self.down[keep], self.out[keep], saddle[keep])

    def relabel(self, label: Ids) -> Corners:
        """These corners with `label[i]` for label i."""
        return Corners(self.row, self.col, label[self.label], self.down, self.out, self.saddle)

    @staticmethod
    def concatenate(parts: list[Corners]) -> Corners:
        """Corners of consecutive strips."""
        fields = ("row", "col", "label", "down", "out", "saddle")
        return Corners(*(np.concatenate([getattr(part, name) for part in parts]) for name in fields))


_COUNT = np.array([0, 1, 1, 0, 1, 0, 2, 1, 1, 2, 0, 1, 0, 1, 1, 0], np.uint8)
"""Corners at a vertex by the mask pixels around it."""

# The odd pixel out of a corner with one or three mask pixels says where its edges run: NW left and up, NE right and up,
# SW left and down, SE right and down. At a saddle the left corner belongs to the left mask pixel, and so on.
_ODD_LEFT = {1: NW, 4: SW, 2: NE, 8: SE, 14: NW, 13: NE, 11: SW, 7: SE, 9: NW, 6: SW}
_ODD_RIGHT = {**_ODD_LEFT, 9: SE, 6: NE}
_DOWN = np.array([[table.get(code, 0) in (SW, SE) for code in range(16)] for table in (_ODD_LEFT, _ODD_RIGHT)])
_OUT = np.array(
    [
        [(table.get(code, 0) in (NW, SE)) == (code in (1, 2, 4, 8, 6, 9)) and code in table for code in range(16)]
        for table in (_ODD_LEFT, _ODD_RIGHT)
    ]
)
# a mask pixel at the corner: the odd one if it is in the mask, else any of the other three
_PIXEL = np.array(
    [
        [odd if code & odd else next((bit for bit in (NW, NE, SW, SE) if code & bit), 0) for code, odd in pairs]
        for pairs in ([(code, table.get(code, 0)) for code in range(16)] for table in (_ODD_LEFT, _ODD_RIGHT))
    ]
)
_BELOW = (_PIXEL == SW) | (_PIXEL == SE)
_RIGHT = (_PIXEL == NE) | (_PIXEL == SE)


def find_corners(mask: NDArray[np.bool_], label_at: LabelAt, first_row: int) -> Corners:
    """Corners on the horizontal grid lines between consecutive rows of `mask`.

    Args:
        mask: (h + 1, W) mask pixels; h lines lie between its rows. Outside of its columns there is nothing.
        label_at: Labels of mask pixels, given rows and columns into `mask`.
        first_row: Number of the first of these lines.
    """
    bits = np.zeros((mask.shape[0], mask.shape[1] + 2), np.uint8)
    bits[:, 1:-1] = mask
    pair = bits[:, :-1] | bits[:, 1:] << 1
    code = (pair[:-1] | pair[1:] << 2).ravel()
    at = np.flatnonzero(_COUNT[code] > 0)
    at = np.repeat(at, _COUNT[code[at]])
    second = np.zeros(len(at), np.intp)
    second[1:] = at[1:] == at[:-1]
    kind = code[at]
    row, col = np.divmod(at, mask.shape[1] + 1)
    return Corners(
        row=(row + first_row).astype(np.int32),
        col=col.astype(np.int32),
        label=label_at(row + _BELOW[second, kind], col - 1 + _RIGHT[second, kind]),
        down=_DOWN[second, kind],
        out=_OUT[second, kind],
        saddle=_COUNT[kind] == 2,
    )


def pair_vertically(corners: Corners, first_id: int, open_ids: Ids) -> tuple[Ids, Ids]:
    """Ends of the vertical edges, paired, and the edges that continue below.

    Args:
        corners: Corners of a strip, numbered from `first_id`.
        first_id: Number of the first corner.
        open_ids: (W + 1,) for each vertical grid line the corner whose edge comes in from above, or -1.

    Returns:
        (P, 2) numbers of the upper and lower ends; (W + 1,) the edges open below the strip, or -1.
    """
    above = np.flatnonzero(open_ids >= 0)
    order = np.lexsort((corners.down, corners.row, corners.col))  # at a saddle the edge from above ends first
    col = np.concatenate([above, corners.col[order]])
    ids = np.concatenate([open_ids[above], order + first_id])
    by_col = np.argsort(col, kind="stable")  # what comes in from above stays ahead
    col, ids = col[by_col], ids[by_col]
    starts = np.flatnonzero(np.diff(col, prepend=-1))
    rank = np.arange(len(col)) - np.repeat(starts, np.diff(np.append(starts, len(col))))
    upper = np.flatnonzero(rank % 2 == 0)
    closed = np.zeros(len(upper), np.bool_)
    inside = upper + 1 < len(col)
    closed[inside] = col[upper[inside] + 1] == col[upper[inside]]
    below = np.full(len(open_ids), -1, np.int64)
    below[col[upper[~closed]]] = ids[upper[~closed]]
    ends = upper[closed]
    return np.stack([ids[ends], ids[ends + 1]], axis=1), below
