"""Pixels arrive and leave through two protocols; a NumPy array is a legal source and sink."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from overcast.grid import Window


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


@dataclass(frozen=True)
class Pixels:
    """What a source returns for a window."""

    values: NDArray[np.float32]
    """(C, h, w) in the declared unit; 0 where invalid."""
    valid: NDArray[np.bool_]
    """(h, w): True where every band has data."""


class RasterSource(Protocol):
    """A readable grid of C bands."""

    @property
    def georeference(self) -> Georeference:
        """Grid size and place."""
        ...

    @property
    def band_count(self) -> int:
        """C, the number of bands that `read` returns."""
        ...

    def read(self, window: Window) -> Pixels:
        """Pixels of a window that lies inside the grid."""
        ...


class RasterSink(Protocol):
    """A writable grid of one band."""

    def write(self, window: Window, values: NDArray[np.generic]) -> None:
        """Store (h, w) values at a window that lies inside the grid."""
        ...
