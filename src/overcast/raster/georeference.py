"""Where a pixel grid lies, and what to do when two grids are not the same."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from affine import Affine
from rasterio.crs import CRS

from overcast.errors import InputError
from overcast.raster.grid import Turn, Window

GRID_TOLERANCE_PX = 0.1
"""Displacement of corners up to which two grids count as one; a pixel-centre convention error is 0.5."""
WEB_MERCATOR = 3857
"""Its metres are 1.6 too long at 52 degrees north."""


@dataclass(frozen=True)
class Georeference:
    """Where a pixel grid lies."""

    height: int
    width: int
    transform: Affine
    """Pixel (col, row) to map (x, y); may be rotated."""
    crs: str | None
    """WKT or authority code (`EPSG:32631`); None when the file has none."""

    @property
    def gsd_m(self) -> float:
        """Side in CRS units of a square pixel of the same area."""
        return float(abs(self.transform.determinant) ** 0.5)

    @property
    def placed(self) -> bool:
        """False for files that carry neither a geotransform nor a CRS, such as most PNG."""
        return self.crs is not None or self.transform != Affine.identity()

    @property
    def whole(self) -> Window:
        """The window of every pixel."""
        return Window(0, 0, self.height, self.width)

    @property
    def north_up(self) -> bool:
        """True where rows run due south and columns due east."""
        t = self.transform
        return t.b == 0 and t.d == 0 and t.a > 0 and t.e < 0

    def position(self, col: float, row: float) -> tuple[float, float]:
        """Map (x, y) of a pixel position; (0, 0) is the outer corner of the first pixel."""
        t = self.transform
        return t.a * col + t.b * row + t.c, t.d * col + t.e * row + t.f

    @property
    def corners(self) -> tuple[tuple[int, int], ...]:
        """The four (col, row) of the outer corners."""
        return tuple((col, row) for col in (0, self.width) for row in (0, self.height))

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """(left, bottom, right, top) of the four corners in CRS units."""
        xs, ys = zip(*(self.position(*corner) for corner in self.corners), strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    def crop(self, window: Window) -> Georeference:
        """The grid of a window."""
        t = self.transform
        x, y = self.position(window.col, window.row)
        return Georeference(window.height, window.width, Affine(t.a, t.b, x, t.d, t.e, y), self.crs)

    def turned(self, turn: Turn) -> Georeference:
        """The grid of the turned pixels; each lies where it lay."""
        t = self.transform
        x, y = self.position(self.width if turn.cols else 0, self.height if turn.rows else 0)
        right, down = (-1 if turn.cols else 1), (-1 if turn.rows else 1)
        moved = Affine(right * t.a, down * t.b, x, right * t.d, down * t.e, y)
        return Georeference(self.height, self.width, moved, self.crs)


@lru_cache(maxsize=256)
def same_crs(left: str, right: str) -> bool:
    """True where both texts name one coordinate reference system."""
    return left == right or bool(CRS.from_user_input(left) == CRS.from_user_input(right))


@lru_cache(maxsize=256)
def is_metric(crs: str) -> bool:
    """True for a projected CRS whose unit is the metre on the ground (web Mercator's is not)."""
    system = CRS.from_user_input(crs)
    return bool(system.is_projected and system.linear_units_factor[1] == 1.0 and system.to_epsg() != WEB_MERCATOR)


def same_grid(left: Georeference, right: Georeference) -> bool:
    """True where both have one size and, if both are placed, one CRS and corners within `GRID_TOLERANCE_PX`."""
    if (left.height, left.width) != (right.height, right.width):
        return False
    if not (left.placed and right.placed) or left == right:
        return True
    if left.crs is not None and right.crs is not None and not same_crs(left.crs, right.crs):
        return False
    tolerance = GRID_TOLERANCE_PX * left.gsd_m
    pairs = [(left.position(*corner), right.position(*corner)) for corner in left.corners]
    return all(math.dist(a, b) <= tolerance for a, b in pairs)


def require_same_grid(
    reference: Georeference, other: Georeference, *, reference_path: Path, other_path: Path, resampling: str
) -> None:
    """Raise InputError with the resampling command where the two files are not on one grid.

    Args:
        reference: Grid that the other file should lie on.
        other: Grid of the other file.
        reference_path: Named in the message.
        other_path: Named in the message.
        resampling: GDAL's name: `bilinear` for images, `near` for masks.
    """
    if same_grid(reference, other):
        return
    raise InputError(
        f"{other_path} ({_describe(other)}) is not on the grid of {reference_path} ({_describe(reference)}); "
        f"resample it with: {_resampling_command(reference, other, reference_path, other_path, resampling)}"
    )


def _describe(grid: Georeference) -> str:
    place = (
        "" if not grid.placed else f", {grid.crs or 'no CRS'}, corner {grid.transform.c:.10g} {grid.transform.f:.10g}"
    )
    mirrored = grid.placed and not grid.north_up and grid.crs is not None and grid.transform.determinant > 0
    turned = "" if not grid.placed or grid.north_up else ", mirrored" if mirrored else ", rotated"
    return f"{grid.height} x {grid.width} pixels{place}{turned}"


def _resampling_command(
    reference: Georeference, other: Georeference, reference_path: Path, other_path: Path, resampling: str
) -> str:
    if not (reference.crs and other.crs):
        size = ["-outsize", str(reference.width), str(reference.height)]
        return shlex.join(["gdal_translate", *size, "-r", resampling, str(other_path), _beside(other_path)])
    if reference.north_up:
        return _warp_command(reference, other_path, resampling)
    if other.north_up:
        return _warp_command(other, reference_path, "bilinear")
    both = " && ".join(
        shlex.join(["gdalwarp", "-t_srs", reference.crs, "-r", "bilinear", str(path), _beside(path)])
        for path in (reference_path, other_path)
    )
    return f"{both} and then the second onto the first"


def _warp_command(grid: Georeference, path: Path, resampling: str) -> str:
    """The gdalwarp call that puts a file onto a north-up grid."""
    extent = [repr(float(value)) for value in grid.extent]
    size = [str(grid.width), str(grid.height)]
    target = ["-t_srs", str(grid.crs), "-te", *extent, "-ts", *size, "-r", resampling]
    return shlex.join(["gdalwarp", *target, str(path), _beside(path)])


def _beside(path: Path) -> str:
    return str(path.with_name(f"{path.stem}_aligned.tif"))
