"""Images brought onto the grid of a place, window by window: what a pixel holds depends on its place alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, assert_never

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer

from overcast.data.scenes.handles import Image
from overcast.raster.georeference import Georeference, same_crs
from overcast.raster.grid import Window
from overcast.raster.resample import Read, Regridding
from overcast.raster.sources import NativePixels
from overcast.raster.units import Resampling, Unit

WHOLE_PX = 1e-3
"""Offset of two grids, in pixels, up to which one is a part of the other and nothing is resampled."""
LONGEST_SIDE = 1024
"""Largest side of the thinned image from which `coverage` is read."""


@dataclass(frozen=True)
class Layer:
    """One image, moved by a known shift, on the grid of a place."""

    image: Image
    source: Georeference
    """Grid of the image, shift included."""
    target: Georeference
    """Grid of the place."""
    unit: Unit | None = None
    """Unit whose power is averaged; None averages the values themselves."""

    @cached_property
    def _regridding(self) -> Regridding:
        return Regridding(self.source, self.target, Resampling.BILINEAR)

    @cached_property
    def _offset(self) -> tuple[int, int] | None:
        """Row and column of the place's first pixel in the image, where both have the same pixels."""
        return whole_offset(self.source, self.target)

    def read(self, window: Window) -> NativePixels:
        """Pixels of a window of the place, in the data type of the file.

        Where pixels become coarser each is the mean over its ground, else bilinear; pixels without data take no part.
        A pixel has data where at least half of the weight of its mean does.
        """
        return self._copied(window) if self._offset is not None else self._resampled(window)

    def _copied(self, window: Window) -> NativePixels:
        assert self._offset is not None, "asked for only where pixels are the same"
        source = self.image.open()
        top, left = window.row + self._offset[0], window.col + self._offset[1]
        rows = range(max(top, 0), min(top + window.height, source.georeference.height))
        cols = range(max(left, 0), min(left + window.width, source.georeference.width))
        if not rows or not cols:
            return self._nothing(window)
        found = source.read_native(Window(rows.start, cols.start, len(rows), len(cols)))
        if (len(rows), len(cols)) == (window.height, window.width):
            return found
        values = np.zeros((len(found.values), window.height, window.width), found.values.dtype)
        valid = np.zeros((window.height, window.width), np.bool_)
        inside = slice(rows.start - top, rows.stop - top), slice(cols.start - left, cols.stop - left)
        values[:, *inside], valid[inside] = found.values, found.valid
        return NativePixels(values, valid)

    def _resampled(self, window: Window) -> NativePixels:
        reach = self._regridding.reach(window)
        if reach.part is None:
            return self._nothing(window)
        found = self.image.open().read_native(reach.part)
        power, valid = self._regridding.values(reach, given((to_power(found.values, self.unit), found.valid)))
        values = from_power(power, self.unit)
        return NativePixels(_as_type(np.where(valid, values, 0), found.values.dtype), valid)

    def _nothing(self, window: Window) -> NativePixels:
        shape = window.height, window.width
        return NativePixels(np.zeros((len(self.image.sensor.bands), *shape), np.uint8), np.zeros(shape, np.bool_))

    def locate(
        self, rows: NDArray[np.float64], cols: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Row and column in the image of positions in the place's grid."""
        return self._regridding.project(rows, cols)

    def coverage(self, rows: NDArray[np.float64], cols: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Where the image has data, at positions of the place's grid of the shape of `rows`; from a thinned image."""
        row, col = self.locate(rows, cols)
        inside = (row >= 0) & (row < self.source.height) & (col >= 0) & (col < self.source.width)
        thin = self._thinned
        at = np.where(inside, row * thin.shape[0] / self.source.height, 0).astype(np.intp)
        across = np.where(inside, col * thin.shape[1] / self.source.width, 0).astype(np.intp)
        return inside & thin[at, across]

    @cached_property
    def _thinned(self) -> NDArray[np.bool_]:
        return self.image.open().thinned(LONGEST_SIDE).valid


@dataclass(frozen=True)
class Mosaic:
    """Several sheets as one image: of sheets that overlap the first with data counts."""

    layers: tuple[Layer, ...]

    def read(self, window: Window) -> NativePixels:
        """Read as `Layer.read` does."""
        first, *others = (layer.read(window) for layer in self.layers)
        for other in others:
            if first.valid.all():
                break
            fresh = other.valid & ~first.valid
            dtype = np.result_type(first.values, other.values)
            first = NativePixels(
                np.where(fresh, other.values, first.values).astype(dtype, copy=False), first.valid | fresh
            )
        return first

    def coverage(self, rows: NDArray[np.float64], cols: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Coverage as of `Layer.coverage`."""
        return np.asarray(np.logical_or.reduce([layer.coverage(rows, cols) for layer in self.layers]))


@dataclass(frozen=True)
class CloudMask:
    """Where a mask says that the optical image shows no ground."""

    image: Image
    source: Georeference
    target: Georeference
    values: tuple[int, ...] | None
    """Values that mean cloud; None: every value but 0."""

    @cached_property
    def _regridding(self) -> Regridding:
        return Regridding(self.source, self.target, Resampling.NEAREST)

    def read(self, window: Window) -> NDArray[np.bool_]:
        """(h, w) True under cloud; False outside of the mask."""
        reach = self._regridding.reach(window)
        if reach.part is None:
            return np.zeros((window.height, window.width), np.bool_)
        found = self.image.open().read_native(reach.part)
        mask = found.values[0]
        cloudy = (mask != 0) if self.values is None else np.isin(mask, self.values)
        nearest, _ = self._regridding.values(reach, given((cloudy, np.ones_like(cloudy))))
        return np.asarray(nearest > 0.5)


def given(pixels: tuple[NDArray[Any], NDArray[np.bool_]]) -> Read:
    """Pixels that have been read already, as a source."""
    return lambda _: pixels


def moved(grid: Georeference, shift_m: Sequence[float], crs: str) -> Georeference:
    """A grid moved by [east, north] metres of `crs`.

    Where the grid has another coordinate system its transform is adjusted at its centre, which is exact to
    millimetres for shifts of metres.
    """
    if not any(shift_m):
        return grid
    east, north = shift_m
    if grid.crs is not None and not same_crs(grid.crs, crs):
        to, back = (Transformer.from_crs(a, b, always_xy=True) for a, b in ((grid.crs, crs), (crs, grid.crs)))
        middle = grid.position(grid.width / 2, grid.height / 2)
        x, y = to.transform(*middle)
        new = back.transform(x + east, y + north)
        east, north = new[0] - middle[0], new[1] - middle[1]
    t = grid.transform
    return Georeference(grid.height, grid.width, Affine(t.a, t.b, t.c + east, t.d, t.e, t.f + north), grid.crs)


def whole_offset(source: Georeference, target: Georeference) -> tuple[int, int] | None:
    """Row and column of the target's first pixel in the source, where every pixel of both is the same ground."""
    if source.crs is None or target.crs is None or not same_crs(source.crs, target.crs):
        return None
    inverse = ~source.transform
    corners = [inverse * target.position(*corner) for corner in target.corners]
    (col, row), offsets = corners[0], []
    for (x, y), (right, down) in zip(corners, target.corners, strict=True):
        offsets.append(max(abs(x - right - round(col)), abs(y - down - round(row))))
    return (round(row), round(col)) if max(offsets) < WHOLE_PX else None


def to_power(values: NDArray[Any], unit: Unit | None) -> NDArray[np.float64]:
    """Values whose mean is meant: power for SAR (of digital numbers: their square), else the values."""
    plain = values.astype(np.float64)
    match unit:
        case Unit.DECIBEL:
            return np.asarray(10 ** (plain / 10))
        case Unit.AMPLITUDE | Unit.DIGITAL_NUMBER:
            return plain**2
        case Unit.LINEAR_POWER | None:
            return plain
        case _:
            assert_never(unit)


def from_power(power: NDArray[np.float64], unit: Unit | None) -> NDArray[np.float64]:
    """The inverse of `to_power`."""
    match unit:
        case Unit.DECIBEL:
            return 10 * np.log10(np.maximum(power, np.finfo(np.float64).tiny))
        case Unit.AMPLITUDE | Unit.DIGITAL_NUMBER:
            return np.sqrt(power)
        case Unit.LINEAR_POWER | None:
            return power
        case _:
            assert_never(unit)


def _as_type(values: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Rounded where the file holds whole numbers; its range holds every mean."""
    return (np.rint(values) if np.issubdtype(dtype, np.integer) else values).astype(dtype)
