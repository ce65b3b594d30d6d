"""Outlines that do not overlap: each is compared with those nearby, the same for any strips."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from overcast.polygons.outlines.drawn import Drawn
from overcast.polygons.outlines.levels import REACH_PX
from overcast.polygons.outlines.loops import Floats


class Neighbourhood:
    """Holds polygons back until everything near them is complete, and decides their outlines.

    A block gets its regular outlines where none of them overlaps any outline, regular or along pixel edges, of another
    block; else it keeps its pixel edges. So a decision depends on the block and those beside it, not on decisions
    about them, and no two polygons overlap: regular outlines were compared with both of the other's.
    """

    def __init__(self) -> None:
        self._held: Drawn | None = None
        self._passed: Drawn | None = None

    def add(self, drawn: Drawn, open_boxes: Floats, rows: float) -> Drawn:
        """Take complete polygons and give out those that are decided, in order of their block.

        Args:
            drawn: Complete polygons, whole blocks.
            open_boxes: (K, 4) of the regions that are not complete.
            rows: Rows of the scene that have been looked at; infinite after the last.
        """
        held = drawn if self._held is None else Drawn.concatenate([self._held, drawn])
        boxes = _boxes(held.bounds, 2 * REACH_PX)
        waits = held.bounds[:, 3] + 2 * REACH_PX >= rows
        waits[_touching(boxes, _boxes(open_boxes, 0))] = True
        known = held if self._passed is None else Drawn.concatenate([held, self._passed])
        clear = held.plain(np.isin(held.block, _overlapping(known)))
        self._held = held.select(waits)
        near = np.zeros(len(known), np.bool_)
        near[_touching(_boxes(known.bounds, 2 * REACH_PX), boxes[waits])] = True
        near[: len(held)] &= ~waits
        self._passed = known.select(near)
        decided = clear.select(~waits)
        return decided.select(np.argsort(decided.tally.first))


def _boxes(bounds: Floats, margin: float) -> NDArray[np.object_]:
    low, high = bounds[:, :2] - margin, bounds[:, 2:] + margin
    return np.asarray(shapely.box(low[:, 0], low[:, 1], high[:, 0], high[:, 1]), object)


def _touching(boxes: NDArray[np.object_], others: NDArray[np.object_]) -> NDArray[np.int64]:
    """Positions of the boxes that touch any of the others."""
    if not len(boxes) or not len(others):
        return np.zeros(0, np.int64)
    return np.unique(shapely.STRtree(others).query(boxes)[0])


def _overlapping(drawn: Drawn) -> NDArray[np.int64]:
    """Blocks of which a regular outline overlaps another block."""
    regular = np.flatnonzero(drawn.level > 0)
    one, other = shapely.STRtree(drawn.best).query(drawn.best[regular])
    more = shapely.STRtree(drawn.pixels).query(drawn.best[regular])
    pairs = [(drawn.best, regular[one], other), (drawn.pixels, regular[more[0]], more[1])]
    found = []
    for outlines, left, right in pairs:
        apart = drawn.block[left] != drawn.block[right]
        meets = shapely.relate_pattern(drawn.best[left[apart]], outlines[right[apart]], "T********")
        found.append(drawn.block[left[apart][meets]])
    return np.unique(np.concatenate(found))
