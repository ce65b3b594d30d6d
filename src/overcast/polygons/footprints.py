"""Footprints from a raster of probability, the same for any strip height."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy import ndimage

from overcast.choices import Outlines, Separate
from overcast.errors import ConfigError
from overcast.polygons.area import Polygons, measure_area, to_map
from overcast.polygons.columns import rows
from overcast.polygons.outlines.blocks import NOTHING_BESIDE, Beside, split_blocks
from overcast.polygons.outlines.drawn import draw
from overcast.polygons.outlines.levels import REACH_PX
from overcast.polygons.outlines.neighbours import Neighbourhood
from overcast.polygons.regions import Regions, RegionTracer, Strip
from overcast.progress import Progress, ProgressStage, Report
from overcast.raster.grid import Window
from overcast.raster.sources import RasterSource


@dataclass(frozen=True)
class PolygonOptions:
    """What becomes a footprint."""

    threshold: float = 0.5
    """Smallest probability of a footprint's pixels."""
    min_area_m2: float = 0.0
    """Footprints of fewer pixels are dropped."""
    outlines: Outlines = Outlines.GENTLE
    """How outlines are drawn."""
    separate: Separate = Separate.AUTO
    """Whether touching buildings become polygons of their own."""
    strip_pixels: int = 2_000_000
    """Pixels that are looked at together; it bounds the memory and changes no footprint."""

    @property
    def boundaries(self) -> bool:
        """True where boundaries that a model has learnt are of use."""
        return self.separate is not Separate.OFF

    def settled(self, *, boundaries: bool) -> PolygonOptions:
        """The same once it is known whether there are learnt boundaries to separate touching buildings by."""
        return replace(self, separate=self.separate.settled(boundaries=boundaries))

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ConfigError(f"threshold must lie in 0 (exclusive) .. 1, got {self.threshold}.")
        if not (0 <= self.min_area_m2 < math.inf and self.strip_pixels >= 1):
            raise ConfigError("min_area_m2 must be a number of 0 or more, strip_pixels 1 or more.")


@dataclass(frozen=True)
class Footprints:
    """N footprints."""

    id: NDArray[np.int64]
    """Row-major number in the scene of the first pixel, counted from 0: unique, and the same for any tiling."""
    geometry: Polygons
    """(N,) valid polygons in the CRS of the scene; outlines counterclockwise."""
    area_m2: NDArray[np.float64]
    """Area of the polygon in square metres, holes excluded."""
    confidence: NDArray[np.float64]
    """Mean probability of the footprint's pixels."""
    valid_share: NDArray[np.float64]
    """Share of the outline behind which there are data: 1 = seen whole, less = cut by a gap or the scene's border."""

    level: NDArray[np.int8]
    """How regular each outline is, a `Level`."""
    unsplit: NDArray[np.bool_]
    """True where touching buildings were to be separated, but the region they make is too large for it."""
    optical_share: NDArray[np.float64]
    """Share of the footprint's pixels that an optical image beside the radar shows; 0 without one."""

    def __len__(self) -> int:
        return len(self.id)

    def select(self, at: NDArray[np.generic]) -> Footprints:
        """The footprints at an index or mask."""
        return rows(self, at)


def vectorize(
    source: RasterSource, options: PolygonOptions, progress: Report | None = None, beside: Beside = NOTHING_BESIDE
) -> Iterator[Footprints]:
    """Footprints of a probability raster, in portions, each in order of their first pixel.

    A region is a set of valid pixels at or above the threshold that are connected through their sides (4-connected);
    holes are kept. It becomes one footprint, or several where touching buildings are separated. Outlines are valid,
    overlap nowhere and cannot reach pixels without data; along pixel edges every vertex is a turn. They are the same,
    to the last bit, whatever strips the raster is read in.

    Args:
        source: One band of probabilities; its georeference must have a CRS. Read from top to bottom, and again in
            windows of regions where touching buildings are separated.
        options: What becomes a footprint.
        progress: Called after each strip, in pixels.
        beside: Rasters of one band on the same grid: the probability of edge or contact, what touching buildings are
            separated by, where the model has learnt it; and what an optical image shows.
    """
    grid = source.georeference
    started, tracer, drawer = time.monotonic(), RegionTracer(grid.width), _Drawer(source, options, beside)
    height = max(1, options.strip_pixels // grid.width)
    for row in range(0, grid.height, height):
        count = min(height, grid.height - row)
        regions = tracer.feed(_read(source, row, count, options, beside.seen))
        if regions is not None:
            yield drawer.footprints(regions, tracer.open_boxes(), tracer.rows)
        if progress is not None:
            done, total = (row + count) * grid.width, grid.height * grid.width
            progress(Progress(ProgressStage.POLYGONS, done, total, time.monotonic() - started))
    yield drawer.footprints(tracer.finish(), np.zeros((0, 4)), math.inf)


def _read(source: RasterSource, row: int, count: int, options: PolygonOptions, optical: RasterSource | None) -> Strip:
    """A strip; where outlines leave the pixel edges it also marks the pixels close to pixels without data."""
    reach = 0 if options.outlines is Outlines.OFF else REACH_PX + 1
    grid = source.georeference
    first, last = max(0, row - reach), min(grid.height, row + count + reach)
    pixels = source.read(Window(first, 0, last - first, grid.width))
    inner = slice(row - first, row - first + count)
    values, valid = pixels.values[0, inner], pixels.valid[inner]
    near = None
    if reach:
        near = _near_gap(pixels.valid, reach)[inner]
    seen = None if optical is None else optical.read(Window(row, 0, count, grid.width)).values[0]
    return Strip(valid & (values >= options.threshold), values, valid, near, seen)


def _near_gap(valid: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """True at most `reach` pixels from a pixel without data."""
    if valid.all():
        return np.zeros_like(valid)
    near = ndimage.maximum_filter((~valid).view(np.uint8), 2 * reach + 1, mode="constant")
    return np.asarray(near.view(np.bool_))


class _Drawer:
    """Makes footprints of complete regions."""

    def __init__(self, source: RasterSource, options: PolygonOptions, beside: Beside) -> None:
        self._source, self._options, self._beside = (
            source,
            options.settled(boundaries=beside.boundaries is not None),
            beside,
        )
        self._area = measure_area(source.georeference)
        self._neighbourhood = Neighbourhood()

    def footprints(self, regions: Regions, open_boxes: NDArray[np.float64], seen: float) -> Footprints:
        """Footprints that are decided once these regions are known; the rest follows later.

        Args:
            regions: Regions that are complete since the last call.
            open_boxes: (K, 4) of the regions that are not.
            seen: Rows seen so far; infinite after the last.
        """
        options, grid = self._options, self._source.georeference
        drawn = draw(regions, options.outlines, (grid.height, grid.width))
        if options.separate is Separate.WATERSHED:
            drawn = split_blocks(drawn, self._source, options.threshold, options.outlines, self._beside)
        drawn = drawn.select(self._area(drawn.pixels, to_map(drawn.pixels, grid)) >= options.min_area_m2)
        if options.outlines is not Outlines.OFF:
            drawn = self._neighbourhood.add(drawn, open_boxes, seen)
        tally, placed = drawn.tally, to_map(drawn.best, grid)
        order = np.argsort(tally.first)
        found = Footprints(
            id=tally.first,
            geometry=placed,
            area_m2=self._area(drawn.best, placed),
            confidence=tally.probability / tally.pixels,
            valid_share=1 - tally.gap_edges / np.maximum(shapely.length(drawn.pixels), 1),
            level=drawn.level,
            unsplit=drawn.unsplit,
            optical_share=tally.seen / tally.pixels,
        )
        return found.select(order)
