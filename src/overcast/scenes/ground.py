"""A part of a scene: what of it is wanted, in words, on the map and in pixels."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from overcast.data.scenes.burning import STEPS, ElsewhereError, Polygons, near, read_polygons
from overcast.data.scenes.description import VectorFile
from overcast.errors import ConfigError, InputError
from overcast.raster.addresses import address
from overcast.raster.georeference import Georeference
from overcast.raster.grid import Turn, Window
from overcast.raster.sources import RasterSink

UNTURNED = Turn()
LONLAT = "OGC:CRS84"
_NUMBERS = 4
_PIECES = 64
"""Parts of a side of a rectangle in another coordinate system, whose sides are curves in the scene's."""
_EXAMPLE = "xmin,ymin,xmax,ymax in the scene's coordinates, the same with @lonlat behind it, or a file of polygons"


class OutsideError(InputError):
    """The area is somewhere else than the scene."""


@dataclass(frozen=True)
class Area:
    """What is asked for: a rectangle, or the polygons of a file."""

    bounds: tuple[float, float, float, float] | None = None
    """xmin, ymin, xmax, ymax."""
    crs: str | None = None
    """CRS of the bounds; None: that of the scene."""
    file: Path | None = None
    """Vector file in any coordinate system, instead of bounds."""

    @property
    def text(self) -> str:
        """The area as it is written on the command line, without a password."""
        if self.bounds is None:
            return "" if self.file is None else self.file.name
        numbers = ",".join(f"{value:.12g}" for value in self.bounds)
        return numbers if self.crs is None else f"{numbers}@{'lonlat' if self.crs == LONLAT else self.crs}"


def area_of(given: str | Path | Sequence[float]) -> Area:
    """An area as the user gives it: four numbers, their text, or a file.

    Raises ConfigError where it is none of them, names no coordinate system or is empty.

    >>> area_of("7,50,7.5,50.5@lonlat").bounds
    (7.0, 50.0, 7.5, 50.5)
    """
    if not isinstance(given, str | Path):
        return _rectangle([*given], ",".join(map(str, given)), None)
    text = str(given)
    numbers, _, system = text.partition("@")
    parts = numbers.split(",")
    if Path(text).exists() or not all(map(_is_number, parts)):
        if len(parts) > 1 and not Path(text).suffix:
            raise ConfigError(f"area {text!r} is not four numbers; give {_EXAMPLE}.")
        if not Path(text).is_file():
            raise InputError(f"area {text} is not a file and not four numbers; give {_EXAMPLE}.")
        return Area(file=Path(text))
    return _rectangle([float(part) for part in parts], text, system or None)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _rectangle(values: list[float], text: str, system: str | None) -> Area:
    if len(values) != _NUMBERS or not all(math.isfinite(value) for value in values):
        raise ConfigError(f"area {text} has {len(values)} numbers, not four; give {_EXAMPLE}.")
    left, bottom, right, top = values
    if not (left < right and bottom < top):
        raise ConfigError(f"area {text} is empty: xmin must be smaller than xmax, and ymin than ymax.")
    crs = LONLAT if system is not None and system.lower() == "lonlat" else system
    try:
        CRS.from_user_input(crs or LONLAT)
    except CRSError as error:
        raise ConfigError(
            f"area {text} names no coordinate system; write @lonlat or @EPSG:<code> behind it."
        ) from error
    return Area((left, bottom, right, top), crs)


@dataclass(frozen=True)
class Ground:
    """What is wanted of a scene, in its pixels."""

    window: Window
    """Smallest window of the scene as it is stored that holds it."""
    shapes: Polygons | None
    """Pixels whose centres they hold are wanted; None: every pixel of the window."""
    size: tuple[int, int]
    """Height and width of the scene."""
    turn: Turn = UNTURNED
    """How the scene is turned before the network sees it."""

    @property
    def turned_window(self) -> Window:
        """The window in the scene as the network sees it."""
        return self.turn.window(self.window, *self.size)

    def turned(self, turn: Turn) -> Ground:
        """The ground of a scene that is turned."""
        return replace(self, turn=turn)

    def mask(self, window: Window) -> NDArray[np.bool_]:
        """(h, w) True where the pixels of a window of the turned scene are wanted."""
        stored = self.turn.window(window, *self.size)
        found = np.zeros((window.height, window.width), np.bool_)
        shared = stored.intersect(self.window)
        if shared is not None:
            inside = True if self.shapes is None else self.shapes.mask(shared)
            found[shared.relative_to(stored).slices] = inside
        return self.turn.apply(found)

    def facts(self) -> list[Any]:
        """What decides which pixels are wanted, for comparison: numbers and a digest."""
        window = [self.window.row, self.window.col, self.window.height, self.window.width]
        if self.shapes is None:
            return window
        return [*window, hashlib.sha256(b"".join(shapely.to_wkb(self.shapes.shapes))).hexdigest()]


def ground_of(area: Area, grid: Georeference, scene: Path) -> Ground:
    """The pixels of an area: those whose centres lie in it.

    Args:
        area: What is asked for.
        grid: Of the scene as it is stored.
        scene: For messages.

    Raises:
        OutsideError: The area lies outside of the scene.
        InputError: It holds no pixel, or cannot be placed.
    """
    if area.file is not None:
        shapes = _from_file(area, area.file, grid, scene)
    else:
        assert area.bounds is not None, "an area has bounds or a file"
        shapes = _from_bounds(area, area.bounds, grid, scene)
    left, top, right, bottom = shapely.total_bounds(shapes.shapes)
    rows = range(max(0, math.ceil(top - 0.5)), min(grid.height, math.ceil(bottom - 0.5)))
    cols = range(max(0, math.ceil(left - 0.5)), min(grid.width, math.ceil(right - 0.5)))
    if not rows or not cols:
        if bottom <= 0 or right <= 0 or top >= grid.height or left >= grid.width:
            raise _outside(area, grid, scene)
        raise InputError(f"area {area.text} holds no pixel of {address(scene)}; give a larger one.")
    window = Window(rows.start, cols.start, len(rows), len(cols))
    whole = len(shapes) == 1 and bool(shapely.equals(shapes.shapes[0], shapely.envelope(shapes.shapes[0])))
    return Ground(window, None if whole else shapes, (grid.height, grid.width))


def _extent(grid: Georeference) -> str:
    left, bottom, right, top = grid.extent
    return f"{left:.10g},{bottom:.10g} to {right:.10g},{top:.10g}"


def _outside(area: Area, grid: Georeference, scene: Path) -> OutsideError:
    return OutsideError(
        f"area {area.text} lies outside of {address(scene)}, which reaches from {_extent(grid)}; give another area."
    )


def _from_file(area: Area, file: Path, grid: Georeference, scene: Path) -> Polygons:
    if grid.crs is None:
        raise InputError(
            f"{address(scene)} has no coordinate reference system, so polygons cannot be placed on it; assign it "
            "(gdal_edit.py -a_srs EPSG:...), or give the area as four numbers."
        )
    try:
        return read_polygons(file, VectorFile(file=str(file)), grid)
    except ElsewhereError as error:
        raise _outside(area, grid, scene) from error


def _from_bounds(area: Area, bounds: tuple[float, float, float, float], grid: Georeference, scene: Path) -> Polygons:
    box = shapely.box(*bounds)
    if area.crs is not None:
        if grid.crs is None:
            raise InputError(
                f"{address(scene)} has no coordinate reference system; give the area in its own coordinates, without @."
            )
        across = Transformer.from_crs(area.crs, grid.crs, always_xy=True)
        box = near(np.array([box], object), area.crs, grid)[0]
        box = shapely.segmentize(box, max(bounds[2] - bounds[0], bounds[3] - bounds[1]) / _PIECES)
        box = shapely.transform(box, lambda xy: np.column_stack(across.transform(xy[:, 0], xy[:, 1])))
    if not np.isfinite(shapely.bounds(box)).all():
        raise InputError(
            f"area {area.text} lies where the coordinate system of {address(scene)} has none; give another."
        )
    t = ~grid.transform
    matrix, origin = np.array([[t.a, t.b], [t.d, t.e]]), np.array([t.c, t.f])
    pixels = shapely.transform(box, lambda xy: np.round((xy @ matrix.T + origin) * STEPS) / STEPS)
    return Polygons(np.array([pixels], object))


class PartSink:
    """Takes windows of a whole grid and writes what of them lies in a part, in the part's own pixels."""

    def __init__(self, sink: RasterSink, part: Window) -> None:
        """Write to `sink`, whose grid is the part."""
        self._sink, self._part = sink, part

    def write(self, window: Window, values: NDArray[np.generic]) -> None:
        """Store (..., h, w) values of a window of the whole grid."""
        shared = window.intersect(self._part)
        if shared is not None:
            inside = values[(..., *shared.relative_to(window).slices)]
            self._sink.write(shared.relative_to(self._part), inside)
