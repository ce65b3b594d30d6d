"""Connected regions cut into touching buildings, each region in a window of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import rasterio.features
from affine import Affine
from numpy.typing import NDArray
from scipy import ndimage
from shapely.geometry import shape

from overcast.data.raster import RasterSource
from overcast.grid import Window
from overcast.inference.area import Polygons
from overcast.inference.outlines.drawn import Drawn
from overcast.inference.outlines.levels import Level, Outlines
from overcast.inference.outlines.partition import partition
from overcast.inference.regions import Tally
from overcast.inference.separate import SMALLEST_PART_PIXELS, Labels, separate

LARGEST_WINDOW_PIXELS = 4_000_000
"""Regions whose window is larger are left whole: what is that large is no block of houses."""


@dataclass(frozen=True)
class _Crop:
    """The window of a region with a margin of one pixel; beyond the scene there is no data."""

    row: int
    """Scene row of the first row; -1 at the scene's border."""
    col: int
    probability: NDArray[np.float32]
    valid: NDArray[np.bool_]


def split_blocks(drawn: Drawn, source: RasterSource, threshold: float, mode: Outlines) -> Drawn:
    """Whole regions as their touching buildings, which share walls bit for bit where outlines are regular.

    Args:
        drawn: One polygon for each region.
        source: The raster of probability that they come from.
        threshold: Smallest probability of a region.
        mode: How outlines are drawn.
    """
    stays, unsplit = np.ones(len(drawn), np.bool_), np.zeros(len(drawn), np.bool_)
    width = source.georeference.width
    parts: list[Drawn] = []
    for at in np.flatnonzero(drawn.tally.pixels >= 2 * SMALLEST_PART_PIXELS):
        crop = _read(source, drawn.bounds[at].astype(int))
        if crop is None:
            unsplit[at] = True
            continue
        row, col = divmod(int(drawn.block[at]), width)
        labels = _labels(crop, (row - crop.row, col - crop.col), threshold)
        if labels.max() > 1:
            stays[at] = False
            parts.append(_buildings(drawn.select(np.array([at])), crop, labels, width, mode))
    return Drawn.concatenate([replace(drawn, unsplit=unsplit).select(stays), *parts])


def _read(source: RasterSource, bounds: NDArray[np.int64]) -> _Crop | None:
    """The window of a region; None where it is too large."""
    left, top, right, bottom = (int(value) for value in bounds)
    if (right - left) * (bottom - top) > LARGEST_WINDOW_PIXELS:
        return None
    grid = source.georeference
    row, col = max(top - 1, 0), max(left - 1, 0)
    window = Window(row, col, min(bottom + 1, grid.height) - row, min(right + 1, grid.width) - col)
    pixels = source.read(window)
    after = ((row - top + 1, bottom + 1 - window.stop[0]), (col - left + 1, right + 1 - window.stop[1]))
    return _Crop(top - 1, left - 1, np.pad(pixels.values[0], after), np.pad(pixels.valid, after))


def _labels(crop: _Crop, first: tuple[int, int], threshold: float) -> Labels:
    """Parts of the region whose first pixel is given."""
    regions, _ = ndimage.label(crop.valid & (crop.probability >= threshold))
    return separate(crop.probability, regions == regions[first], threshold)


def _buildings(block: Drawn, crop: _Crop, labels: Labels, width: int, mode: Outlines) -> Drawn:
    """The parts of one region."""
    count = int(labels.max())
    pixels = _outlines(labels, crop)
    best, level = pixels, np.zeros(count, np.int8)
    if mode is not Outlines.OFF and block.level[0] > Level.PIXELS:
        cut = partition(block.best[0], pixels)
        if cut is not None:
            best, level = cut, np.repeat(block.level, count)
    tally = _tally(labels, crop, width, int(block.tally.near_gap[0]))
    whole = np.zeros(count, np.bool_)
    return Drawn(
        tally, np.repeat(block.block, count), np.repeat(block.bounds, count, axis=0), pixels, best, level, whole
    )


def _outlines(labels: Labels, crop: _Crop) -> Polygons:
    """(K,) each part along pixel edges."""
    place = Affine.translation(crop.col, crop.row)
    found = rasterio.features.shapes(labels, mask=labels > 0, connectivity=4, transform=place)
    by_number = {int(number): shape(geometry) for geometry, number in found}
    return np.array([by_number[number] for number in range(1, len(by_number) + 1)], object)


def _tally(labels: Labels, crop: _Crop, width: int, near_gap: int) -> Tally:
    count = int(labels.max()) + 1
    at = np.flatnonzero(labels)
    part = labels.ravel()[at]
    _, first = np.unique(part, return_index=True)
    row, col = np.divmod(at[first], labels.shape[1])
    gaps = np.zeros(count, np.int64)
    inner = labels[1:-1, 1:-1]
    for behind in (crop.valid[:-2, 1:-1], crop.valid[2:, 1:-1], crop.valid[1:-1, :-2], crop.valid[1:-1, 2:]):
        gaps += np.bincount(inner[~behind], minlength=count)
    return Tally(
        pixels=np.bincount(part, minlength=count)[1:],
        probability=np.bincount(part, crop.probability.ravel()[at], count)[1:],
        first=(row + crop.row) * width + col + crop.col,
        gap_edges=gaps[1:],
        near_gap=np.full(count - 1, near_gap),
    )
