"""Polygons drawn window by window, found through a spatial index and kept in pixels of a place's grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from shapely.affinity import translate

from overcast.data.scenes.description import VectorFile
from overcast.errors import InputError
from overcast.raster.degrees import nearest_turn, turn_of
from overcast.raster.georeference import Georeference
from overcast.raster.grid import Window

if TYPE_CHECKING:
    import geopandas

Shapes = NDArray[np.object_]

_PIECES = 64
"""Parts of a side as long as the grid, of shapes in another CRS."""
STEPS = 2.0**20
"""Corners are rounded to 1 / STEPS px, so that a window's own origin is subtracted from them without rounding."""


class ElsewhereError(InputError):
    """Shapes are far from an image, and nothing says that it is a mistake in how they are written."""


@dataclass(frozen=True)
class Polygons:
    """Polygons in pixels of a grid: x is the column, y the row."""

    shapes: Shapes
    """(N,) valid polygons and multipolygons, in the order of their file."""

    @cached_property
    def _tree(self) -> shapely.STRtree:
        return shapely.STRtree(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def near(self, window: Window) -> NDArray[np.intp]:
        """Numbers of the polygons whose envelope meets a window, in their order."""
        box = shapely.box(window.col, window.row, window.stop[1], window.stop[0])
        return np.sort(self._tree.query(box))

    def meets(self, window: Window) -> bool:
        """True where a polygon shares ground with the window, not an edge alone."""
        box = shapely.box(window.col, window.row, window.stop[1], window.stop[0])
        found = self.shapes[self._tree.query(box, predicate="intersects")]
        return bool(len(found)) and bool((shapely.area(shapely.intersection(found, box)) > 0).any())

    def number(self, window: Window) -> NDArray[np.int32]:
        """(h, w) 1 + number of the last polygon that holds a pixel's centre; 0 for none."""
        chosen = self.near(window)
        if not len(chosen):
            return np.zeros((window.height, window.width), np.int32)
        drawn: NDArray[np.int32] = rasterio.features.rasterize(
            zip(self.shapes[chosen], (chosen + 1).tolist(), strict=True),
            out_shape=(window.height, window.width),
            transform=Affine.translation(window.col, window.row),
            dtype="int32",
        )
        return drawn

    def mask(self, window: Window) -> NDArray[np.bool_]:
        """(h, w) True where a pixel's centre lies in a polygon."""
        return self.number(window) > 0

    @cached_property
    def centres(self) -> NDArray[np.float64]:
        """(N, 2) row and column of a point inside of each."""
        points = shapely.point_on_surface(self.shapes)
        return np.column_stack([shapely.get_y(points), shapely.get_x(points)])


def read_polygons(
    path: Path, chosen: VectorFile, grid: Georeference, shift_m: tuple[float, float] = (0.0, 0.0)
) -> Polygons:
    """Polygons of a vector file in pixels of a grid, those far from it left out.

    Args:
        path: The file that `chosen` names.
        chosen: Layer and condition.
        grid: A grid with a CRS in metres.
        shift_m: Metres to the east and north by which the polygons are moved.

    Raises:
        InputError: The file cannot be read, has no CRS or shapes other than polygons, or none lies on the grid.
    """
    from overcast.raster.vectors import (
        read_shapes,  # and with it geopandas: a second that commands without polygons save
    )

    table = read_shapes(path, chosen.layer, chosen.where)
    table = table[~(table.geometry.isna() | table.geometry.is_empty)]
    if table.empty:
        raise InputError(f"{path} holds no polygon{_condition(chosen)}; leave it out, or give one that does.")
    types = sorted(set(table.geom_type) - {"Polygon", "MultiPolygon"})
    if types:
        raise InputError(f"{path} holds {', '.join(types)}, but only polygons have an area; remove the others.")
    if table.crs is None:
        raise InputError(
            f"{path} has no coordinate reference system; assign it: "
            f"ogr2ogr -a_srs EPSG:<code> {path.stem}_placed.gpkg {path}"
        )
    close = near(np.asarray(table.geometry), table.crs, grid)
    table = table.set_geometry(close).set_crs(table.crs, allow_override=True)[~shapely.is_empty(close)]
    placed = shapely.force_2d(np.asarray(table.geometry.to_crs(grid.crs)))
    placed = shapely.transform(placed, lambda xy: xy + np.asarray(shift_m))
    inside = shapely.intersects(placed, _ground(grid)) if np.isfinite(shapely.total_bounds(placed)).all() else None
    if inside is None or not inside.any():
        raise _elsewhere(path, table, placed, grid)
    t = ~grid.transform
    matrix, origin = np.array([[t.a, t.b], [t.d, t.e]]), np.array([t.c, t.f])
    pixels = shapely.transform(placed[inside], lambda xy: np.round((xy @ matrix.T + origin) * STEPS) / STEPS)
    return Polygons(np.asarray(shapely.make_valid(pixels)))


def near(shapes: Shapes, crs: Any, grid: Georeference) -> Shapes:
    """What of polygons in another CRS lies near a grid, to be brought into the grid's: one, maybe empty, for each.

    A shape that reaches far beyond the grid may have corners where the grid's CRS has no place, and long sides that are
    curves in it: it is cut near the grid, and its sides are divided. All as they are where none is near.
    """
    if grid.crs is None or CRS.from_user_input(crs) == CRS.from_user_input(grid.crs):
        return shapes
    ground = _ground(grid)
    outline = shapely.get_coordinates(shapely.segmentize(ground, ground.length / (4 * _PIECES)))
    x, y = Transformer.from_crs(grid.crs, crs, always_xy=True).transform(*outline.T)
    if not np.isfinite([x, y]).all():
        return shapes
    turn = turn_of(CRS.from_user_input(crs).to_wkt())
    x = x if turn is None else nearest_turn(x, float(x[0]), turn)
    size = float(max(np.ptp(x), np.ptp(y)))
    box = shapely.box(x.min() - size, y.min() - size, x.max() + size, y.max() + size)
    around = box if turn is None else shapely.union_all([translate(box, xoff=times * turn) for times in (-1, 0, 1)])
    there = shapely.intersects(shapes, around)
    if not there.any():
        return shapes
    left, bottom, right, top = shapely.bounds(shapes).T
    large = there & (np.maximum(right - left, top - bottom) > size / 4)
    found: Shapes = shapes.copy()
    found[~there] = shapely.Polygon()
    cut = shapely.intersection(shapely.make_valid(shapely.force_2d(shapes[large])), around)
    found[large] = shapely.segmentize(cut, size / _PIECES)
    return found


def _condition(chosen: VectorFile) -> str:
    return f" where {chosen.where}" if chosen.where else ""


def _ground(grid: Georeference) -> shapely.Polygon:
    corners = [(0, 0), (grid.width, 0), (grid.width, grid.height), (0, grid.height)]
    return shapely.Polygon([grid.position(*corner) for corner in corners])


def _elsewhere(path: Path, table: geopandas.GeoDataFrame, placed: Shapes, grid: Georeference) -> InputError:
    """What is wrong with polygons of which none lies on the grid."""
    crs = table.crs.to_string()
    swapped = table.set_geometry(shapely.transform(np.asarray(table.geometry), lambda xy: xy[:, ::-1]))
    turned = np.asarray(swapped.set_crs(table.crs, allow_override=True).geometry.to_crs(grid.crs))
    if np.isfinite(shapely.total_bounds(turned)).all() and shapely.intersects(turned, _ground(grid)).any():
        return InputError(
            f"{path} has its axes swapped: with x and y exchanged its shapes lie on the image; exchange them "
            "(ogr2ogr -s_coord_trans_order, or QGIS: Swap X and Y coordinates)."
        )
    if not np.isfinite(shapely.total_bounds(placed)).all():
        return InputError(
            f"{path} holds coordinates that its coordinate reference system ({crs}) cannot have; write the right one."
        )
    away_km = float(shapely.distance(placed, _ground(grid)).min()) / 1000
    return ElsewhereError(
        f"{path} lies elsewhere: its nearest shape is {away_km:.3g} km from the image; give the footprints of this "
        f"place, or correct the coordinate reference system of the file ({crs})."
    )
