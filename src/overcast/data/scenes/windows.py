"""Training windows of scenes: drawn over the training ground, put together from its tiles and from nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overcast.batch import IGNORE_LABEL
from overcast.data.chips import Chip, ChipArrays
from overcast.data.scenes.tiles import Tile, tiles_of
from overcast.raster.grid import Window
from overcast.raster.sources import NativePixels

Kind = tuple[bool, bool, bool]
"""Whether there is a label, a SAR image and an optical image."""
ReadPart = Callable[[int, Window], ChipArrays]
"""Pixels of a window of the chip of that index."""


def kind_of(chip: Chip) -> Kind:
    """What a chip can be used for."""
    return chip.labelled, bool(chip.sar), bool(chip.optical)


@dataclass(frozen=True)
class PlacedWindow:
    """A window of a place."""

    place: str
    window: Window


@dataclass(frozen=True)
class _Ground:
    """The tiles of one kind."""

    chips: NDArray[np.intp]
    """Indexes."""
    until: NDArray[np.float64]
    """Valid ground of the windows up to each, added up."""
    buildings: tuple[NDArray[np.intp], NDArray[np.float64]]
    """Index of the tile of each footprint (N,), and its row and column in the place (N, 2)."""


class TrainingGround:
    """The ground that training may see.

    A window is a function of the random numbers that it is drawn with. Where it reaches beyond the tiles of the
    training part it holds no data there, so that no pixel of validation or test ground is ever read.
    """

    def __init__(self, chips: Sequence[Chip], around_footprints: float) -> None:
        """Every chip is a tile of a scene; a share of the windows lies around footprints."""
        self._tiles = tiles_of(chips)
        self._kinds = [kind_of(chip) for chip in chips]
        self._share = around_footprints
        self._at = {(tile.of.name, tile.row, tile.col): index for index, tile in enumerate(self._tiles)}

    @cached_property
    def _grounds(self) -> dict[Kind, _Ground]:
        return {kind: self._ground(kind) for kind in set(self._kinds)}

    def _ground(self, kind: Kind) -> _Ground:
        chips = np.array([index for index, of in enumerate(self._kinds) if of == kind], np.intp)
        tiles = [self._tiles[index] for index in chips]
        areas = [tile.valid_share * tile.window.height * tile.window.width for tile in tiles]
        centres = [_centres_in(tile) for tile in tiles]
        owners = np.repeat(chips, [len(found) for found in centres])
        return _Ground(chips, np.cumsum(areas), (owners, np.concatenate(centres)))

    def draw(self, index: int, rng: np.random.Generator, side: int) -> PlacedWindow:
        """A window of `side` pixels (less where the place is smaller), on ground of the same kind as the chip `index`.

        Uniform over the valid ground of that kind; a share of the windows holds a footprint drawn from all of them.
        """
        ground = self._grounds[self._kinds[index]]
        pick, *offset = rng.random(3)
        around = rng.random() < self._share and len(ground.buildings[0]) > 0
        if around:
            number = int(pick * len(ground.buildings[0]))
            tile = self._tiles[ground.buildings[0][number]]
            row, col = ground.buildings[1][number] + (np.array(offset) - 0.5) * side / 2
        else:
            chosen = int(np.searchsorted(ground.until, pick * ground.until[-1], side="right"))
            tile = self._tiles[ground.chips[min(chosen, len(ground.chips) - 1)]]
            row = tile.window.row + offset[0] * tile.window.height
            col = tile.window.col + offset[1] * tile.window.width
        grid = tile.of.grid
        (top, tall), (left, wide) = (
            _fitted(at, side, length) for at, length in ((row, grid.height), (col, grid.width))
        )
        return PlacedWindow(tile.of.name, Window(top, left, tall, wide))

    def read(self, index: int, placed: PlacedWindow, part: ReadPart, whole: Callable[[int], bool]) -> ChipArrays:
        """The window from the tiles that it meets; without data where it meets none of the training part.

        It carries a label where the chip `index` does, 255 on ground without one. `whole` says of a chip that its tile
        is kept or needed as a whole: `part` is then asked for its own pixels, else it may be asked for those beside it.
        """
        labelled = self._kinds[index][0]
        canvas = _Canvas(placed.window)
        for other, shared in self._pieces(placed, whole):
            canvas.put(shared, part(other, shared.relative_to(self._tiles[other].window)), labelled=labelled)
        return canvas.arrays(labelled=labelled)

    def _pieces(self, placed: PlacedWindow, whole: Callable[[int], bool]) -> list[tuple[int, Window]]:
        """Chips, and the pixels of the window that each is asked for: all of it at once where tiles do not matter.

        The first chip then holds the window's first pixel.
        """
        window = placed.window
        met = [(other, shared) for other, tile in self._met(placed) if (shared := window.intersect(tile.window))]
        covered = sum(shared.height * shared.width for _, shared in met) == window.height * window.width
        alike = len({self._kinds[other] for other, _ in met}) == 1
        if covered and alike and not any(whole(other) for other, _ in met):
            return [(met[0][0], window)]
        return met

    def _met(self, placed: PlacedWindow) -> list[tuple[int, Tile]]:
        """Training tiles of the place that may meet the window."""
        window, side = placed.window, self._tiles[0].side
        rows = range(window.row // side - 1, window.stop[0] // side + 1)
        cols = range(window.col // side - 1, window.stop[1] // side + 1)
        keys = [(placed.place, row, col) for row in rows for col in cols]
        return [(self._at[key], self._tiles[self._at[key]]) for key in keys if key in self._at]


def _centres_in(tile: Tile) -> NDArray[np.float64]:
    """(N, 2) rows and columns of the footprints that have their centre in a labelled tile."""
    polygons = tile.of.footprints
    if polygons is None or not tile.labelled:
        return np.empty((0, 2))
    window = tile.window
    centres = polygons.centres[polygons.near(window)]
    inside = ((centres >= (window.row, window.col)) & (centres < window.stop)).all(axis=1)
    return np.asarray(centres[inside])


def _fitted(at: float, side: int, length: int) -> tuple[int, int]:
    """Start and length of a window around a position, moved into a grid."""
    size = min(side, length)
    return int(np.clip(int(at) - side // 2, 0, length - size)), size


class _Canvas:
    """A window that is put together from parts."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._planes: dict[str, NDArray[Any]] = {}

    def put(self, at: Window, part: ChipArrays, *, labelled: bool) -> None:
        """Add a part."""
        inside = at.relative_to(self._window).slices
        for name, image in (("sar", part.sar), ("optical", part.optical)):
            if image is not None:
                self._plane(name, image.values, 0)[..., *inside] = image.values
                self._plane(f"{name}_valid", image.valid, False)[inside] = image.valid
        if labelled and part.label is not None:
            self._plane("label", part.label, IGNORE_LABEL)[inside] = part.label
        for name, truth in (("targets", part.targets), ("instances", part.instances)):
            if truth is not None:
                self._plane(name, truth, 0)[..., *inside] = truth

    def _plane(self, name: str, like: NDArray[Any], fill: float) -> NDArray[Any]:
        """The plane of that name, of a data type that holds the new part too."""
        size = self._window.height, self._window.width
        plane = self._planes.get(name)
        if plane is None:
            plane = np.full((*like.shape[:-2], *size), fill, like.dtype)
        self._planes[name] = plane.astype(np.result_type(plane, like), copy=False)
        return self._planes[name]

    def arrays(self, *, labelled: bool) -> ChipArrays:
        """What was put together."""
        size = self._window.height, self._window.width
        label = self._planes.get("label", np.full(size, IGNORE_LABEL, np.uint8)) if labelled else None
        targets, instances = self._planes.get("targets"), self._planes.get("instances")
        return ChipArrays(self._image("sar"), self._image("optical"), label, targets, instances)

    def _image(self, name: str) -> NativePixels | None:
        return NativePixels(self._planes[name], self._planes[f"{name}_valid"]) if name in self._planes else None
