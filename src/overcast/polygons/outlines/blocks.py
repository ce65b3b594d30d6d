"""Connected regions cut into touching buildings, each region in a window of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from scipy import ndimage
from shapely.geometry import shape

from overcast.choices import Outlines
from overcast.polygons.area import Polygons
from overcast.polygons.columns import sums
from overcast.polygons.outlines.drawn import Drawn, clipped, polygons
from overcast.polygons.outlines.levels import REACH_PX, Level, regular_loops
from overcast.polygons.outlines.loops import Loops
from overcast.polygons.outlines.partition import LARGEST_AREA_CHANGE, partition
from overcast.polygons.regions import Tally
from overcast.polygons.separate import SMALLEST_PART_PIXELS, Labels, separate
from overcast.raster.grid import Window
from overcast.raster.sources import RasterSource

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
    walls: NDArray[np.float32] | None
    """Probability of edge or contact, where the model has learnt them."""
    seen: NDArray[np.float32] | None = None
    """Share to which the optical image decided each pixel."""


@dataclass(frozen=True)
class Beside:
    """Rasters on the grid of the probability that say more of its pixels; None for what there is not."""

    boundaries: RasterSource | None = None
    """Probability of edge or contact, by which touching buildings are separated."""
    seen: RasterSource | None = None
    """Share to which the optical image decided each pixel."""


NOTHING_BESIDE = Beside()


def split_blocks(
    drawn: Drawn, source: RasterSource, threshold: float, mode: Outlines, beside: Beside = NOTHING_BESIDE
) -> Drawn:
    """Whole regions as their touching buildings, which share walls bit for bit where outlines are regular.

    Args:
        drawn: One polygon for each region.
        source: The raster of probability that they come from.
        threshold: Smallest probability of a region.
        mode: How outlines are drawn.
        beside: The raster of walls between buildings, where the model has learnt them, and that of what the optical
            image shows.
    """
    stays, unsplit = np.ones(len(drawn), np.bool_), np.zeros(len(drawn), np.bool_)
    grid = source.georeference
    parts: list[Drawn] = []
    for at in np.flatnonzero(drawn.tally.pixels >= 2 * SMALLEST_PART_PIXELS):
        crop = _read(source, beside, drawn.bounds[at].astype(int))
        if crop is None:
            unsplit[at] = True
            continue
        row, col = divmod(int(drawn.block[at]), grid.width)
        labels = _labels(crop, (row - crop.row, col - crop.col), threshold)
        if labels.max() > 1:
            stays[at] = False
            parts.append(_buildings(drawn.select(np.array([at])), crop, labels, (grid.height, grid.width), mode))
    return Drawn.concatenate([replace(drawn, unsplit=unsplit).select(stays), *parts])


def _read(source: RasterSource, beside: Beside, bounds: NDArray[np.int64]) -> _Crop | None:
    """The window of a region; None where it is too large."""
    left, top, right, bottom = (int(value) for value in bounds)
    if (right - left) * (bottom - top) > LARGEST_WINDOW_PIXELS:
        return None
    grid = source.georeference
    row, col = max(top - 1, 0), max(left - 1, 0)
    window = Window(row, col, min(bottom + 1, grid.height) - row, min(right + 1, grid.width) - col)
    pixels = source.read(window)
    after = ((row - top + 1, bottom + 1 - window.stop[0]), (col - left + 1, right + 1 - window.stop[1]))
    walls, seen = (
        None if raster is None else np.pad(raster.read(window).values[0], after)
        for raster in (beside.boundaries, beside.seen)
    )
    return _Crop(top - 1, left - 1, np.pad(pixels.values[0], after), np.pad(pixels.valid, after), walls, seen)


def _labels(crop: _Crop, first: tuple[int, int], threshold: float) -> Labels:
    """Parts of the region whose first pixel is given."""
    regions, _ = ndimage.label(crop.valid & (crop.probability >= threshold))
    return separate(crop.probability, regions == regions[first], threshold, crop.walls)


def _buildings(block: Drawn, crop: _Crop, labels: Labels, scene: tuple[int, int], mode: Outlines) -> Drawn:
    """The parts of one region. Those of a region close to pixels without data keep their pixel edges."""
    count = int(labels.max())
    pixels = _outlines(labels, crop)
    best, level = pixels, np.zeros(count, np.int8)
    near_gap = int(block.tally.near_gap[0])
    if mode is not Outlines.OFF and not near_gap:
        cut, reached = _regular(labels, crop, scene, mode)
        if cut is not None and _close(cut, pixels):
            best, level = cut, np.full(count, reached, np.int8)
    same = block.select(np.zeros(count, np.int64))
    return replace(same, tally=_tally(labels, crop, scene[1], near_gap), pixels=pixels, best=best, level=level)


def _regular(labels: Labels, crop: _Crop, scene: tuple[int, int], mode: Outlines) -> tuple[Polygons | None, int]:
    """The parts as regular as fits the block that they make, and its level."""
    closed = _closed(labels)
    whole = _outlines((closed > 0).astype(np.int32), crop)
    parts = _outlines(closed, crop)
    if len(whole) != 1 or len(parts) != labels.max():
        return None, Level.PIXELS
    rings = shapely.get_rings(whole)
    regular, level = regular_loops(Loops.of(rings), np.zeros(len(rings), np.int64), mode)
    block = clipped(polygons(regular, np.zeros(len(rings), np.int64)), scene)[0]
    if level[0] == Level.PIXELS or block.geom_type != "Polygon" or not shapely.is_valid(block):
        return None, Level.PIXELS
    return partition(block, parts), int(level[0])


def _closed(labels: Labels) -> Labels:
    """Labels grown together over slits of up to two pixels, each pixel of which goes to the nearest part."""
    filled = ndimage.binary_closing(np.pad(labels > 0, 1), np.ones((3, 3)))[1:-1, 1:-1] | (labels > 0)
    rows, cols = ndimage.distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
    return np.where(filled, labels[rows, cols], 0).astype(np.int32)


def _close(cut: Polygons, pixels: Polygons) -> bool:
    """True where polygons keep the area of pixel polygons and stay near them."""
    before, after = shapely.area(pixels), shapely.area(cut)
    loops = Loops.of(shapely.get_exterior_ring(cut))
    far = shapely.distance(pixels[loops.loop], shapely.points(loops.xy)) > REACH_PX
    return bool((np.abs(after - before) <= LARGEST_AREA_CHANGE * before).all() and not far.any())


def _outlines(labels: Labels, crop: _Crop) -> Polygons:
    """Each part along pixel edges, in order of its number; more than one polygon where a part is in pieces."""
    place = Affine.translation(crop.col, crop.row)
    found = list(rasterio.features.shapes(labels, mask=labels > 0, connectivity=4, transform=place))
    found.sort(key=lambda pair: pair[1])
    return np.array([shape(geometry) for geometry, _ in found], object)


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
        probability=sums(part, crop.probability.ravel()[at], count)[1:],
        first=(row + crop.row) * width + col + crop.col,
        gap_edges=gaps[1:],
        near_gap=np.full(count - 1, near_gap),
        seen=np.zeros(count - 1) if crop.seen is None else sums(part, crop.seen.ravel()[at], count)[1:],
    )
