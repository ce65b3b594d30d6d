"""A place as tiles: every pixel is in one of them, and each says what is known of its ground."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.warp import transform_bounds

from overcast.batch import Modality
from overcast.data.chips import Bounds, Chip, ChipArrays
from overcast.data.scenes.layers import Layer, Mosaic
from overcast.data.scenes.place import Place
from overcast.data.targets import Instances
from overcast.raster.georeference import Georeference, same_crs
from overcast.raster.grid import Window

PROBES = 8
"""Positions along each side of a tile at which images are asked for data."""
SMALLEST_REST = 0.25
"""A last row or column of tiles narrower than this share of a tile is joined to the one before it."""


@dataclass(frozen=True)
class Tile:
    """A window of a place, the pixels behind a chip."""

    of: Place
    row: int
    """Counted in tiles."""
    col: int
    window: Window
    side: int
    """Side of the data set's tiles in pixels; those at a border may be smaller or larger."""
    labelled: bool
    """True where the footprints of some of its ground are known to be complete."""
    valid_share: float
    """About which share of its pixels has data of some sensor."""

    def without_label(self) -> Tile:
        """This tile with nothing known of what is built there."""
        return replace(self, labelled=False)

    @property
    def grid(self) -> Georeference:
        """Grid of the tile's own pixels."""
        return self.of.grid.crop(self.window)

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that its place is read from."""
        return self.of.files

    @property
    def definition(self) -> str:
        """What beside the files decides its pixels."""
        return f"{self.of.definition} {self.window}"

    def read(self, modalities: AbstractSet[Modality], window: Window | None = None) -> ChipArrays:
        """Pixels of the tile, or of a window of it; see `Place.read`."""
        return self.of.read(self.at(window), modalities, labelled=self.labelled)

    def instances(self) -> Instances:
        """(h, w) buildings by number; those that the tile's border cuts keep their number beyond it."""
        return self.of.instances(self.window)

    def at(self, window: Window | None) -> Window:
        """A window of the tile in the place."""
        if window is None:
            return self.window
        return Window(self.window.row + window.row, self.window.col + window.col, window.height, window.width)


def tile_windows(height: int, width: int, side: int) -> Iterator[tuple[int, int, Window]]:
    """Row, column and window of each tile of a grid; every pixel is in exactly one.

    >>> [(row, col) for row, col, _ in tile_windows(64, 100, 48)]
    [(0, 0), (0, 1), (1, 0), (1, 1)]
    >>> [window.width for _, _, window in tile_windows(32, 100, 48)]
    [48, 52]
    """
    for row, (top, tall) in enumerate(_cuts(height, side)):
        for col, (left, wide) in enumerate(_cuts(width, side)):
            yield row, col, Window(top, left, tall, wide)


def _cuts(length: int, side: int) -> list[tuple[int, int]]:
    starts = list(range(0, length, side))
    if len(starts) > 1 and length - starts[-1] < SMALLEST_REST * side:
        starts.pop()
    return [(start, stop - start) for start, stop in zip(starts, [*starts[1:], length], strict=True)]


def chips_of(place: Place, side: int, crs: str) -> list[Chip]:
    """The tiles of a place that hold data, as chips.

    Args:
        place: The place.
        side: Of a tile in pixels.
        crs: Common coordinate system in which bounds are given, so that ground can be compared.
    """
    found = []
    for row, col, window in tile_windows(place.grid.height, place.grid.width, side):
        seen = {name: _share(image, window) for name, image in (("sar", place.sar), ("optical", place.optical))}
        if not any(seen.values()):
            continue
        labelled = place.footprints is not None and (place.area is None or place.area.meets(window))
        tile = Tile(place, row, col, window, side, labelled, max(seen.values()))
        found.append(
            Chip(
                key=f"{place.name}/r{row:03d}c{col:03d}",
                place=place.name,
                sar=place.sar.image.paths if place.sar and seen["sar"] else (),
                optical=_sheets(place.optical) if place.optical and seen["optical"] else (),
                bounds=_bounds(tile.grid, crs),
                scene=tile,
            )
        )
    return found


def _sheets(mosaic: Mosaic) -> tuple[Path, ...]:
    return tuple(path for layer in mosaic.layers for path in layer.image.paths)


def _share(image: Layer | Mosaic | None, window: Window) -> float:
    """About which share of a window's pixels has data."""
    if image is None:
        return 0.0
    rows, cols = (_spread(*side) for side in ((window.row, window.height), (window.col, window.width)))
    down, right = np.meshgrid(rows, cols, indexing="ij")
    return float(image.coverage(down, right).mean())


def _spread(start: int, length: int) -> NDArray[np.float64]:
    return np.asarray(start + (np.arange(PROBES) + 0.5) * length / PROBES)


def _bounds(grid: Georeference, crs: str) -> Bounds:
    """The envelope of a tile; of another coordinate system or turned against it, the box around it."""
    left, bottom, right, top = grid.extent
    if not same_crs(str(grid.crs), crs):
        left, bottom, right, top = transform_bounds(str(grid.crs), crs, left, bottom, right, top)
    return Bounds(left, bottom, right, top, crs)


def tiles_of(chips: Sequence[Chip]) -> list[Tile]:
    """The tiles behind chips of scenes."""
    return [chip.scene for chip in chips if isinstance(chip.scene, Tile)]
