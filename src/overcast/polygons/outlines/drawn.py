"""Polygons before it is decided which of their two outlines they get."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from overcast.choices import Outlines
from overcast.polygons.area import Polygons
from overcast.polygons.outlines.levels import Level, regular_loops
from overcast.polygons.outlines.loops import Floats, Ids, Loops
from overcast.polygons.regions import Regions, Tally


@dataclass(frozen=True)
class Drawn:
    """N polygons in pixels (column, row). Those of one connected region, a block, may share walls."""

    tally: Tally
    """Sums over the pixels of each."""
    block: Ids
    """(N,) first pixel of the region."""
    bounds: Floats
    """(N, 4) of the region's pixels: smallest column and row, largest column and row."""
    pixels: Polygons
    """(N,) along pixel edges."""
    best: Polygons
    """(N,) as regular as fits by itself."""
    level: NDArray[np.int8]
    """(N,) `Level` of `best`."""
    unsplit: NDArray[np.bool_]
    """(N,) True where touching buildings were to be separated but the region is too large."""

    def __len__(self) -> int:
        return len(self.block)

    def select(self, at: NDArray[np.generic]) -> Drawn:
        """The polygons at an index or mask."""
        parts = (self.block, self.bounds, self.pixels, self.best, self.level, self.unsplit)
        return Drawn(self.tally.select(at), *(part[at] for part in parts))

    def plain(self, where: NDArray[np.bool_]) -> Drawn:
        """These outlines with pixel edges where `where` is True."""
        level = np.where(where, Level.PIXELS, self.level).astype(np.int8)
        best = np.where(where, self.pixels, self.best)
        return Drawn(self.tally, self.block, self.bounds, self.pixels, best, level, self.unsplit)

    @staticmethod
    def concatenate(parts: list[Drawn]) -> Drawn:
        """One after the other."""
        names = ("block", "bounds", "pixels", "best", "level", "unsplit")
        tally = Tally.concatenate([part.tally for part in parts])
        return Drawn(tally, *(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def draw(regions: Regions, mode: Outlines, shape: tuple[int, int]) -> Drawn:
    """Each region as one polygon. What comes close to pixels without data keeps its pixel edges.

    Args:
        regions: N complete regions.
        mode: How outlines are drawn.
        shape: Height and width of the scene, which no outline leaves.
    """
    rings, count = regions.rings, len(regions.tally.first)
    vertices = np.stack([rings.col, rings.row], axis=1).astype(float)
    loops = Loops(vertices, rings.ring, len(rings.region))
    pixels = polygons(loops, rings.region)
    regular, level_of_ring = regular_loops(loops, rings.region, mode)
    shell = np.searchsorted(rings.region, np.arange(count))
    drawn = Drawn(
        tally=regions.tally,
        block=regions.tally.first,
        bounds=np.asarray(shapely.bounds(pixels), np.float64).reshape(count, 4),
        pixels=pixels,
        best=clipped(polygons(regular, rings.region), shape) if mode is not Outlines.OFF else pixels,
        level=level_of_ring[shell],
        unsplit=np.zeros(count, np.bool_),
    )
    single = shapely.get_type_id(drawn.best) == shapely.GeometryType.POLYGON
    good = single & shapely.is_valid(drawn.best) & ~shapely.is_empty(drawn.best)
    return drawn.plain(~good | (regions.tally.near_gap > 0))


def clipped(outlines: Polygons, shape: tuple[int, int]) -> Polygons:
    """Polygons without what lies outside of a scene (height, width); it may leave a polygon in pieces."""
    bounds, (height, width) = shapely.bounds(outlines), shape
    outside = (bounds[:, :2] < 0).any(axis=1) | (bounds[:, 2] > width) | (bounds[:, 3] > height)
    found = outlines.copy()
    valid = outside & shapely.is_valid(outlines)
    found[valid] = shapely.intersection(outlines[valid], shapely.box(0, 0, width, height))
    return found


def polygons(loops: Loops, region: Ids) -> Polygons:
    """(N,) polygons of N regions, of which each loop's region is given, ascending; the first loop is the outline."""
    if not loops.count:
        return np.zeros(0, object)
    rings = np.asarray(shapely.linearrings(loops.xy, indices=loops.loop), object)
    return np.asarray(shapely.polygons(rings, indices=region), object)
