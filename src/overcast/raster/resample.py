"""From one grid to another, in such a way that no block and no missing value changes a pixel's neighbours.

Each pixel of the target is a weighted mean of source pixels with data. Its weights depend on its place alone: the same
bits come out for any division into blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer
from pyproj.exceptions import ProjError

from overcast.errors import InputError
from overcast.raster.degrees import nearest_turn, turn_of
from overcast.raster.georeference import Georeference, same_crs
from overcast.raster.grid import Window
from overcast.raster.kernels import TINY, Coordinates, Taps, box_taps, cubic_taps, nearest_taps, weighted_mean
from overcast.raster.units import Resampling

LATTICE = 32
"""Target pixels between places that are projected exactly; between them positions are interpolated."""
COARSER = 1.1
"""Source pixels per target pixel, in either direction, from which on the mean over the target pixel is taken."""
STEPS = 2.0**24
"""Positions are rounded to 1 / STEPS px, so that grids that fit give the values themselves."""
NOWHERE = -1e9
"""Position of what the CRS of the source cannot hold."""
HALF = 0.5 - 1e-6
"""Least share of weight on data that makes a value."""
LARGEST_PART = 4_000_000
"""Pixels of the source that are held at once."""

Read = Callable[[Window], tuple[NDArray[Any], NDArray[np.bool_]]]
"""Values (..., H, W) and validity (H, W) of a window of the source."""


@dataclass(frozen=True)
class Reach:
    """What the pixels of a window are made of."""

    rows: Taps
    cols: Taps
    plain: tuple[Taps, Taps]
    """Linear interpolation, for places where cubic convolution lacks data or leaves the range."""
    part: Window | None
    """Part of the source; None where the window lies beside it."""


@dataclass(frozen=True)
class Regridding:
    """How the pixels of `target` are found in `source`; both grids have a CRS."""

    source: Georeference
    target: Georeference
    kind: Resampling

    @cached_property
    def _transformer(self) -> Transformer | None:
        if same_crs(str(self.source.crs), str(self.target.crs)):
            return None
        try:
            return Transformer.from_crs(self.target.crs, self.source.crs, always_xy=True)
        except ProjError as error:
            raise InputError(
                f"nothing leads from {self.source.crs} to {self.target.crs}; assign the coordinate system that the "
                "image is in (gdal_edit.py -a_srs EPSG:...)."
            ) from error

    @cached_property
    def _turn(self) -> float | None:
        return turn_of(str(self.source.crs))

    @cached_property
    def footprint(self) -> tuple[float, float]:
        """Rows and columns of the source under a target pixel in the middle of the scene.

        Of a pixel that is turned against the source: of the box along the source's axes with the same variance.
        """
        row, col = self.target.height / 2, self.target.width / 2
        rows, cols = self.project(np.array([row, row, row + 1]), np.array([col, col + 1, col]))
        down, right = (float(np.hypot(axis[1] - axis[0], axis[2] - axis[0])) for axis in (rows, cols))
        return down, right

    @property
    def averages(self) -> bool:
        """True where pixels become coarser and the mean over each is taken."""
        return self.kind is not Resampling.NEAREST and max(self.footprint) > COARSER

    def block_side(self, largest: int) -> int:
        """Side of target blocks, at most `largest`, whose source fits into `LARGEST_PART`."""
        fitting = int((LARGEST_PART / (2 * self.footprint[0] * self.footprint[1])) ** 0.5)
        return min(largest, max(16, fitting // 16 * 16))

    def positions(self, window: Window) -> tuple[Coordinates, Coordinates]:
        """(h, w) row and column in the source of the centres of a window's pixels; whole numbers are pixel edges."""
        rows, cols = (_nodes(first, last) for first, last in zip((window.row, window.col), window.stop, strict=True))
        at = self.project(*(axis.astype(np.float64) for axis in np.meshgrid(rows, cols, indexing="ij")))
        down = np.arange(window.row, window.stop[0], dtype=np.float64) + 0.5
        right = np.arange(window.col, window.stop[1], dtype=np.float64) + 0.5
        row, col = (_between(_between(axis, rows, down).T, cols, right).T for axis in at)
        return _rounded(row), _rounded(col)

    def project(self, rows: Coordinates, cols: Coordinates) -> tuple[Coordinates, Coordinates]:
        """Target pixel positions to source pixel positions."""
        t = self.target.transform
        x, y = t.a * cols + t.b * rows + t.c, t.d * cols + t.e * rows + t.f
        if self._transformer is not None:
            x, y = self._transformer.transform(x, y)
            if self._turn is not None:  # the source may count on past 180 degrees, or from 0 to 360
                middle = self.source.position(self.source.width / 2, self.source.height / 2)
                x = nearest_turn(np.asarray(x), middle[0], self._turn)
        s = ~self.source.transform
        at = s.d * x + s.e * y + s.f, s.a * x + s.b * y + s.c
        row, col = (np.asarray(np.where(np.isfinite(axis), axis, NOWHERE), np.float64) for axis in at)
        return row, col

    def reach(self, window: Window) -> Reach:
        """Source pixels and weights of a window of the target."""
        row, col = self.positions(window)
        plain = box_taps(row, max(self.footprint[0], 1)), box_taps(col, max(self.footprint[1], 1))
        rows, cols = plain
        if not self.averages:
            match self.kind:
                case Resampling.NEAREST:
                    rows, cols = nearest_taps(row), nearest_taps(col)
                case Resampling.BILINEAR:
                    rows, cols = plain = box_taps(row, 1), box_taps(col, 1)
                case Resampling.CUBIC:
                    rows, cols, plain = cubic_taps(row), cubic_taps(col), (box_taps(row, 1), box_taps(col, 1))
                case _:
                    assert_never(self.kind)
        spans = rows.span(self.source.height), cols.span(self.source.width)
        part = None
        if spans[0] is not None and spans[1] is not None:
            (top, bottom), (left, right) = spans[0], spans[1]
            part = Window(top, left, bottom - top, right - left)
        return Reach(rows, cols, plain, part)

    def values(self, reach: Reach, read: Read) -> tuple[Coordinates, NDArray[np.bool_]]:
        """(..., h, w) float64 values of the window of `reach`, and (h, w) True where they mean something."""
        if reach.part is None:
            shape = reach.rows.first.shape
            return np.zeros(shape), np.zeros(shape, np.bool_)
        found, valid = read(reach.part)
        mean, weight = weighted_mean(found, valid, reach.rows, reach.cols, reach.part)
        if self.averages or self.kind is not Resampling.CUBIC:
            return mean, weight >= HALF
        # cubic convolution: no neighbour missing, and no power below 0 made up beside bright ones
        plain, plain_weight = weighted_mean(found, valid, *reach.plain, reach.part)
        whole = _all_known(valid, reach) & (mean > 0)
        return np.where(whole, mean, plain), plain_weight >= HALF


def _all_known(valid: NDArray[np.bool_], reach: Reach) -> NDArray[np.bool_]:
    """(h, w) True where every pixel that is touched has data."""
    rows, cols = (Taps(taps.first, np.full_like(taps.weights, 1 / taps.count)) for taps in (reach.rows, reach.cols))
    assert reach.part is not None
    _, share = weighted_mean(valid, valid, rows, cols, reach.part)
    return share > 1 - TINY


def _rounded(position: Coordinates) -> Coordinates:
    return np.asarray(np.round(position * STEPS) / STEPS, np.float64)


def _nodes(start: int, stop: int) -> NDArray[np.int64]:
    """Multiples of LATTICE around the pixels from `start` to `stop`."""
    return np.arange(start // LATTICE, -(-stop // LATTICE) + 1) * LATTICE


def _between(values: Coordinates, nodes: NDArray[np.int64], at: Coordinates) -> Coordinates:
    """(len(at), n) rows between the (len(nodes), n) rows `values`, by linear interpolation."""
    place = (at - nodes[0]) / LATTICE
    below = place.astype(np.int64)
    share = (place - below)[:, None]
    return np.asarray(values[below] * (1 - share) + values[below + 1] * share)
