"""The demo's picture: a part of a scene, its truth, and what models found in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize

from overcast.evaluation.panels import Captioned, SheetStyle, composite, contact_sheet, draw_rings
from overcast.raster.files import open_grid, open_raster
from overcast.raster.georeference import Georeference
from overcast.raster.vectors import read_shapes

PICTURE_PX = 288
"""Side of the part of the scene that is shown."""
OUTLINE = (255, 214, 10)
"""Colour of outlines: seen on dark and on light ground."""


def side_by_side(sar: Path, truth: Path, found: Mapping[str, Path], beside: shapely.Polygon) -> bytes:
    """PNG of the most built part of a scene east of `beside`: SAR, truth, and each map of footprints by its title."""
    grid = open_grid(sar)
    values, valid = _read(sar)
    first = int((beside.bounds[2] - grid.extent[0]) / grid.gsd_m) + 1
    built = drawn(read_shapes(truth).geometry, grid) == 1
    top, left = _most_built(built[:, first:] & valid[:, first:], PICTURE_PX)
    part = (slice(top, top + PICTURE_PX), slice(first + left, first + left + PICTURE_PX))
    radar = composite(values[:, *part], valid[part], (0, 1, 3))
    to_part = Affine.translation(-first - left, -top) * ~grid.transform
    outlined = {title: draw_rings(radar, _rings(path, to_part), OUTLINE) for title, path in found.items()}
    return contact_sheet(
        [
            [
                Captioned(radar, "SAR: all that a model sees here"),
                Captioned(draw_rings(radar, _rings(truth, to_part), OUTLINE), "truth"),
            ],
            [Captioned(picture, title) for title, picture in outlined.items()],
        ],
        SheetStyle(tile_px=2 * PICTURE_PX, text_px=22),
    )


def drawn(polygons: Iterable[shapely.Geometry], grid: Georeference) -> NDArray[np.uint8]:
    """(H, W) 1 where a pixel's centre lies in a polygon."""
    shape = (grid.height, grid.width)
    return np.asarray(rasterize(polygons, shape, transform=grid.transform, dtype=np.uint8))


def _rings(path: Path, to_pixels: Affine) -> Iterator[NDArray[np.float64]]:
    """Outlines and holes of polygons in columns and rows of a picture."""
    layer = read_shapes(path)
    for polygon in layer.geometry.affine_transform(to_pixels.to_shapely()).explode():
        for ring in (polygon.exterior, *polygon.interiors):
            yield np.asarray(ring.coords, np.float64)[:, :2]


def _read(path: Path) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    with open_raster(path) as dataset:
        return dataset.read(), dataset.dataset_mask() > 0


def _most_built(mask: NDArray[np.bool_], side: int) -> tuple[int, int]:
    """Upper left corner of the square of `side` pixels with the most footprint."""
    step = max(1, side // 4)
    sums = np.pad(mask, ((1, 0), (1, 0))).astype(np.int64).cumsum(0).cumsum(1)

    def inside(row: int, col: int) -> int:
        end_row, end_col = min(row + side, mask.shape[0]), min(col + side, mask.shape[1])
        return int(sums[end_row, end_col] - sums[row, end_col] - sums[end_row, col] + sums[row, col])

    rows, cols = (range(0, max(1, length - side + 1), step) for length in mask.shape)
    return max(((row, col) for row in rows for col in cols), key=lambda corner: inside(*corner))
