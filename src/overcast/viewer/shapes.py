"""What the map asks of a file of polygons: those in a box, and all that is known about one of them."""

from __future__ import annotations

import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray

from overcast.errors import InputError
from overcast.raster.vectors import ENDINGS, VectorKind, read_shapes, vector_name
from overcast.viewer.mercator import Bounds

CONFIDENCE = "confidence"
"""Column that the colours and the threshold use; where a file has none, all its polygons are sure."""


@dataclass(frozen=True)
class Portion:
    """Polygons of a box; all arrays have N entries."""

    geometry: NDArray[np.object_]
    """In the coordinates of the file."""
    id: NDArray[np.int64]
    """Number by which `attributes` finds a polygon again."""
    confidence: NDArray[np.float64]
    """0 .. 1."""


@dataclass(frozen=True)
class Thinning:
    """Draws only the surest of the polygons whose lower left corners share a cell."""

    cell: float
    """Side in the units of the file."""
    most: int
    """Nothing is left out of a box that holds no more polygons."""


class Shapes(Protocol):
    """A file of polygons that is read by boxes."""

    @property
    def path(self) -> Path:
        """The file that is read: a copy where the original has no index."""
        ...

    @property
    def crs(self) -> str:
        """Coordinate system: code or WKT."""
        ...

    @property
    def count(self) -> int:
        """Number of polygons."""
        ...

    @property
    def bounds(self) -> Bounds | None:
        """Bounds of all polygons, in the coordinates of the file; None without any."""
        ...

    @property
    def has_confidence(self) -> bool:
        """False where all polygons count as sure."""
        ...

    def within(self, bounds: Bounds, thinning: Thinning) -> Portion:
        """The polygons whose boxes meet `bounds`, in the coordinates of the file."""
        ...

    def attributes(self, number: int) -> dict[str, Any] | None:
        """All columns of one polygon but its geometry; None where there is no such polygon."""
        ...

    def ids(self) -> NDArray[np.int64]:
        """The id of every polygon, in the order in which the file is read."""
        ...


def open_shapes(path: Path) -> Shapes:
    """A GeoPackage or a GeoParquet file as it is; other files by a copy with an index, in a temporary folder.

    Raises InputError where the file cannot be read, or names no coordinate system.
    """
    from overcast.viewer.geopackage import GeoPackage, has_index
    from overcast.viewer.geoparquet import GeoParquet, has_boxes

    with vector_name(path):  # the file is what its name says
        kind = ENDINGS[path.suffix.lower()]
    if kind is VectorKind.GEOPACKAGE and has_index(path):
        return GeoPackage(path)
    if kind is VectorKind.GEOPARQUET and has_boxes(path):
        return GeoParquet(path)
    folder = Path(tempfile.mkdtemp(prefix="overcast-view-"))
    shapes = GeoPackage(_indexed(path, folder / "shapes.gpkg"))
    weakref.finalize(shapes, _remove, folder)
    return shapes


def whole_bounds(bounds: tuple[float | None, ...]) -> Bounds | None:
    """Four numbers as bounds; None where there are none, or not finite ones."""
    numbers = [np.nan if value is None else float(value) for value in bounds]
    if not np.isfinite(numbers).all():
        return None
    left, bottom, right, top = numbers
    return left, bottom, right, top


def _indexed(path: Path, copy: Path) -> Path:
    """A copy as GeoPackage, which has an index."""
    table = read_shapes(path)
    if table.crs is None:
        raise InputError(f"{path} names no coordinate system: save it with one.")
    table = table[~(table.geometry.isna() | table.geometry.is_empty)]
    flat = table.set_geometry(shapely.force_2d(table.geometry.to_numpy())).set_crs(table.crs, allow_override=True)
    spare = [name for name in flat.columns if name.lower() == "fid"]  # names of the key are taken
    pyogrio.write_dataframe(
        flat.drop(columns=spare), copy, layer="shapes", driver="GPKG", geometry_type="Unknown", SPATIAL_INDEX="YES"
    )
    return copy


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
