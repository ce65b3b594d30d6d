"""Tiles of the web: which square of Web Mercator a tile is, and map coordinates there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer
from pyproj.exceptions import ProjError

from overcast.errors import InputError
from overcast.raster.degrees import DEGREES
from overcast.reading import first_line

MERCATOR = "EPSG:3857"
HALF_M = float(np.pi * 6_378_137.0)
"""Half the side of the world's square."""
DEEPEST_ZOOM = 26
"""Pixels of a few millimetres; deeper tiles are refused."""
LARGEST_LATITUDE = 85.051129
"""Where the square of Web Mercator ends."""

Bounds = tuple[float, float, float, float]
"""West or left, south or bottom, east or right, north or top."""


@dataclass(frozen=True)
class Tile:
    """A square of the XYZ scheme: column `x` from the west, row `y` from the north, of 2^z by 2^z."""

    z: int
    x: int
    y: int

    def __post_init__(self) -> None:
        if not (0 <= self.z <= DEEPEST_ZOOM and 0 <= self.x < 2**self.z and 0 <= self.y < 2**self.z):
            raise InputError(
                f"there is no tile {self.z}/{self.x}/{self.y}: zoom is 0 to {DEEPEST_ZOOM}, x and y are below 2^zoom."
            )

    @property
    def side_m(self) -> float:
        """Side in metres of Web Mercator."""
        return float(2 * HALF_M / 2**self.z)

    @property
    def bounds(self) -> Bounds:
        """Left, bottom, right, top in metres of Web Mercator.

        >>> Tile(1, 1, 0).bounds == (0.0, 0.0, HALF_M, HALF_M)
        True
        """
        left, top = self.x * self.side_m - HALF_M, HALF_M - self.y * self.side_m
        return left, top - self.side_m, left + self.side_m, top

    def grown(self, share: float) -> Bounds:
        """The bounds with a margin of a share of the side."""
        left, bottom, right, top = self.bounds
        margin = share * self.side_m
        return left - margin, bottom - margin, right + margin, top + margin


@dataclass(frozen=True)
class Projection:
    """Between the coordinates of a file and Web Mercator."""

    crs: str

    @classmethod
    @lru_cache(maxsize=64)
    def of(cls, crs: str) -> Self:
        """The projection of a coordinate system. Raises InputError where it does not say where on Earth it lies."""
        try:
            _transformer(crs, MERCATOR)
        except ProjError as error:
            raise InputError(
                f"the coordinate system {crs[:80]!r} cannot be shown on a map ({first_line(error)}); "
                "assign another one by its code (EPSG:...)."
            ) from error
        return cls(crs)

    def to_mercator(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, 2) metres of Web Mercator; not finite where a place has none."""
        return np.stack(_transformer(self.crs, MERCATOR).transform(xy[:, 0], xy[:, 1]), axis=1)

    def back(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, 2) coordinates of the file; not finite where a place has none."""
        return np.stack(_transformer(MERCATOR, self.crs).transform(xy[:, 0], xy[:, 1]), axis=1)

    def from_mercator(self, bounds: Bounds) -> Bounds:
        """The box in the file's coordinates around a box of Web Mercator."""
        left, bottom, right, top = _transformer(MERCATOR, self.crs).transform_bounds(*bounds, densify_pts=9)
        return float(left), float(bottom), float(right), float(top)

    def degrees(self, bounds: Bounds) -> Bounds:
        """West, south, east, north of a box in the file's coordinates, within what a map of the web can show."""
        west, south, east, north = _transformer(self.crs, DEGREES).transform_bounds(*bounds, densify_pts=9)
        if not np.isfinite([west, south, east, north]).all():
            raise InputError("the data lie where their coordinate system has no longitude and latitude; correct it.")
        return float(west), max(float(south), -LARGEST_LATITUDE), float(east), min(float(north), LARGEST_LATITUDE)


def transformed(source: str, target: str, xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2) coordinates in another system; not finite where a place has none there."""
    return np.stack(_transformer(source, target).transform(xy[:, 0], xy[:, 1]), axis=1)


@lru_cache(maxsize=128)
def _transformer(source: str, target: str) -> Transformer:
    return Transformer.from_crs(source, target, always_xy=True)
