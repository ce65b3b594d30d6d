"""Footprints from a raster of probability: exact outlines along pixel edges, the same for any strip height."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy import ndimage

from overcast.data.raster import Georeference, RasterSource
from overcast.errors import ConfigError
from overcast.grid import Window
from overcast.inference.area import GeodesicArea, PlanarArea, Polygons, measure_area, to_map
from overcast.inference.progress import Progress, Report, Stage
from overcast.inference.regions import Regions, RegionTracer, Strip


@dataclass(frozen=True)
class PolygonOptions:
    """What becomes a footprint."""

    threshold: float = 0.5
    """Smallest probability of a footprint's pixels."""
    min_area_m2: float = 0.0
    """Smaller footprints are dropped."""
    simplify_m: float = 0.0
    """Tolerance of Douglas-Peucker in metres; 0 keeps the pixel edges."""
    strip_pixels: int = 4_000_000
    """Pixels that are looked at together; it bounds the memory and changes no footprint."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ConfigError(f"threshold must lie in 0 (exclusive) .. 1, got {self.threshold}.")
        if not (self.min_area_m2 >= 0 and self.simplify_m >= 0 and self.strip_pixels >= 1):
            raise ConfigError("min_area_m2 and simplify_m must be 0 or more, strip_pixels 1 or more.")


@dataclass(frozen=True)
class Footprints:
    """N footprints."""

    id: NDArray[np.int64]
    """Row-major number in the scene of the first pixel, counted from 0: unique, and the same for any tiling."""
    geometry: Polygons
    """(N,) valid polygons in the CRS of the scene; outlines counterclockwise."""
    area_m2: NDArray[np.float64]
    """Of the polygon, holes excluded."""
    confidence: NDArray[np.float64]
    """Mean probability of the footprint's pixels."""
    valid_share: NDArray[np.float64]
    """Share of the outline behind which there are data: 1 = seen whole, less = cut by a gap or the scene's border."""

    def __len__(self) -> int:
        return len(self.id)

    def select(self, keep: NDArray[np.bool_]) -> Footprints:
        """The footprints where `keep` is True."""
        return Footprints(
            self.id[keep], self.geometry[keep], self.area_m2[keep], self.confidence[keep], self.valid_share[keep]
        )


def vectorize(source: RasterSource, options: PolygonOptions, progress: Report | None = None) -> Iterator[Footprints]:
    """Footprints of a probability raster, in portions, each in order of their first pixel.

    A footprint is a set of valid pixels at or above the threshold that are connected through their sides
    (4-connected); holes are kept. Outlines follow pixel edges, every vertex is a turn, and the polygons are valid.
    With `simplify_m` the outline is simplified where it stays valid and cannot reach pixels without data.

    Args:
        source: One band of probabilities; its georeference must have a CRS. Read from top to bottom.
        options: What becomes a footprint.
        progress: Called after each strip, in pixels.
    """
    grid = source.georeference
    area = measure_area(grid)
    tolerance_px = options.simplify_m / area.pixel_m2**0.5
    started, tracer = time.monotonic(), RegionTracer(grid.width)
    height = max(1, options.strip_pixels // grid.width)
    for row in range(0, grid.height, height):
        rows = min(height, grid.height - row)
        regions = tracer.feed(_read(source, row, rows, options.threshold, math.ceil(tolerance_px)))
        if regions is not None:
            yield _footprints(regions, grid, area, options, tolerance_px)
        if progress is not None:
            done, total = (row + rows) * grid.width, grid.height * grid.width
            progress(Progress(Stage.POLYGONS, done, total, time.monotonic() - started))
    yield _footprints(tracer.finish(), grid, area, options, tolerance_px)


def _read(source: RasterSource, row: int, rows: int, threshold: float, reach: int) -> Strip:
    """A strip; with `reach` > 0 it also marks the pixels at most so far from pixels without data."""
    grid = source.georeference
    first, last = max(0, row - reach), min(grid.height, row + rows + reach)
    pixels = source.read(Window(first, 0, last - first, grid.width))
    inner = slice(row - first, row - first + rows)
    values, valid = pixels.values[0, inner], pixels.valid[inner]
    near = None
    if reach:
        gaps = (~pixels.valid).view(np.uint8)
        near = ndimage.maximum_filter(gaps, 2 * reach + 1, mode="constant", cval=1)[inner].view(np.bool_)
    return Strip(valid & (values >= threshold), values, valid, near)


def _footprints(
    regions: Regions, grid: Georeference, area: PlanarArea | GeodesicArea, options: PolygonOptions, tolerance_px: float
) -> Footprints:
    """Complete regions as footprints."""
    tally, rings = regions.tally, regions.rings
    vertices = np.stack([rings.col, rings.row], axis=1).astype(float)
    closed = np.asarray(shapely.linearrings(vertices, indices=rings.ring), object)
    outlines = np.asarray(shapely.polygons(closed, indices=rings.region), object)
    perimeter = np.bincount(rings.region, rings.perimeter, len(outlines))
    if tolerance_px > 0:
        outlines = _simplified(outlines, tolerance_px, tally.near_gap > 0)
    placed = to_map(outlines, grid)
    footprints = Footprints(
        id=tally.first,
        geometry=placed,
        area_m2=area(outlines, placed),
        confidence=tally.probability / tally.pixels,
        valid_share=1 - tally.gap_edges / perimeter,
    )
    return footprints.select(footprints.area_m2 >= options.min_area_m2)


def _simplified(outlines: Polygons, tolerance_px: float, keep: NDArray[np.bool_]) -> Polygons:
    """Simplified outlines, but the original where `keep` asks for it or the result is no valid polygon."""
    simple = np.asarray(shapely.simplify(outlines, tolerance_px), object)
    polygon = shapely.get_type_id(simple) == shapely.GeometryType.POLYGON
    good = polygon & shapely.is_valid(simple) & ~shapely.is_empty(simple) & ~keep
    return np.where(good, simple, outlines)
