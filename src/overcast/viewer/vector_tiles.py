"""A tile of polygons: those of a box, brought to the tile, thinned and simplified where they are small."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from overcast.viewer.differences import thousandths
from overcast.viewer.mercator import Projection, Tile
from overcast.viewer.mvt import BUFFER, EXTENT, TileShapes, encode_layer
from overcast.viewer.shapes import Shapes, Thinning

MOST_SHAPES = 4_000
"""Largest number of shapes of a tile; where there are more, one is drawn for each cell of the screen."""
CELL_SHARE = 1 / 64
"""Side of such a cell, of the tile's: 8 pixels."""
TOLERANCE = EXTENT / 512 / 2
"""Outlines may move by half a pixel."""
DETAILED_ZOOM = 17
"""From here on outlines are drawn as they are: a pixel is less than a metre."""


@dataclass(frozen=True)
class RowValues:
    """A whole number for each row of a file, by the id of the row."""

    ids: NDArray[np.int64]
    """Rising."""
    values: NDArray[np.int64]
    """In the same order; it may end early."""
    missing: int

    def of(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers of some ids."""
        place = np.searchsorted(self.ids, ids)
        known = place < self.values.size
        return np.where(known, self.values[np.where(known, place, 0)] if self.values.size else 0, self.missing)


def vector_tile(name: str, shapes: Shapes, tile: Tile, columns: Mapping[str, RowValues]) -> bytes:
    """One layer: `c`, the confidence in thousandths, and the columns; ids are those of the file."""
    projection = Projection.of(shapes.crs)
    bounds = projection.from_mercator(tile.grown(BUFFER / EXTENT))
    if not np.isfinite(bounds).all():
        return b""
    width = bounds[2] - bounds[0]
    portion = shapes.within(bounds, Thinning(max(width * CELL_SHARE, 1e-9), MOST_SHAPES))
    if not portion.id.size:
        return b""
    geometry = _on_tile(portion.geometry, tile, projection)
    if tile.z < DETAILED_ZOOM:
        geometry = _visible(geometry)
    whole = ~(shapely.is_missing(geometry) | shapely.is_empty(geometry)) & (portion.id >= 0)
    values = {"c": thousandths(portion.confidence[whole])}
    values |= {key: column.of(portion.id[whole]) for key, column in columns.items()}
    return encode_layer(name, TileShapes(geometry[whole], portion.id[whole], values))


def _on_tile(geometry: NDArray[np.object_], tile: Tile, projection: Projection) -> NDArray[np.object_]:
    """The shapes in units of the tile. What has no place on the map becomes empty."""
    left, _, _, top = tile.bounds
    scale = EXTENT / tile.side_m

    def move(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        mercator = projection.to_mercator(xy)
        return np.stack([(mercator[:, 0] - left) * scale, (top - mercator[:, 1]) * scale], axis=1)

    moved = np.asarray(shapely.transform(shapely.force_2d(geometry), move), object)
    moved[~np.isfinite(shapely.bounds(moved)).all(axis=1)] = shapely.Polygon()
    return moved


def _visible(geometry: NDArray[np.object_]) -> NDArray[np.object_]:
    """Simplified shapes; those smaller than a pixel become a square of one, so that towns do not vanish from afar."""
    left, top, right, bottom = shapely.bounds(geometry).T
    pixel = 2 * TOLERANCE
    small = (right - left < pixel) & (bottom - top < pixel)
    simple = np.empty_like(geometry)
    simple[~small] = shapely.simplify(geometry[~small], TOLERANCE, preserve_topology=True)
    simple[small] = shapely.box(left[small], top[small], left[small] + pixel, top[small] + pixel)
    return simple
