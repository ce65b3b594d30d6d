"""A miniature of SpaceNet 6 in the true layout: file names, data types, nodata wedges, empty labels; 40 px tiles."""

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from raster_files import write_tiff
from rasterio.errors import NotGeoreferencedWarning

CRS, GSD_M, SIDE_PX = "EPSG:32631", 0.5, 40
AOI = "AOI_11_Rotterdam"
BUILDING = (4, 6, 10, 20)
"""Rows 4 to 10, columns 6 to 20 of every tile with a building: not symmetric, so that a rotation shows."""


@dataclass(frozen=True)
class Tile:
    strip: str
    number: int
    left: float
    top: float
    buildings: str = "one"
    """one | none (no features) | empty (one POLYGON EMPTY)"""

    @property
    def key(self) -> str:
        return f"{self.strip}_tile_{self.number}"


NORTH_STRIP, SOUTH_STRIP = "20190804111224_20190804111453", "20190804113605_20190804113825"
TILES = (
    Tile(NORTH_STRIP, 1, 593000.0, 5749000.0),
    Tile(NORTH_STRIP, 2, 593450.0, 5749000.0, "none"),
    Tile(SOUTH_STRIP, 3, 593010.0, 5749010.0),
    Tile(SOUTH_STRIP, 4, 595400.0, 5749000.0, "empty"),
)
FLAGS = {NORTH_STRIP: 0, SOUTH_STRIP: 1}


def write_train(root: Path, tiles: Sequence[Tile] = TILES, aoi: str = f"train/{AOI}") -> Path:
    """The training archive below `root`; returns the AOI folder."""
    folder = root / aoi
    rng = np.random.default_rng(6)
    for tile in tiles:
        _write_image(folder, "SAR-Intensity", tile, sar_of(tile, rng), nodata=0)
        _write_image(folder, "PAN", tile, rng.integers(1, 2048, (1, SIDE_PX, SIDE_PX), np.uint16))
        _write_image(folder, "PS-RGB", tile, rng.integers(1, 256, (3, SIDE_PX, SIDE_PX), np.uint8), nodata=0)
        _write_image(folder, "PS-RGBNIR", tile, rng.integers(1, 2048, (4, SIDE_PX, SIDE_PX), np.uint16), nodata=0)
        _write_image(folder, "RGBNIR", tile, rng.integers(1, 2048, (4, SIDE_PX // 4, SIDE_PX // 4), np.uint16), 2.0)
        _write_footprints(folder, tile)
    _write_summary(folder, tiles)
    return folder


def write_test_public(root: Path, tiles: Sequence[Tile] = TILES, aoi: str = f"test_public/{AOI}") -> Path:
    """SAR alone, without georeference."""
    folder, rng = root / aoi, np.random.default_rng(7)
    for tile in tiles:
        path = folder / "SAR-Intensity" / f"SN6_Test_Public_{AOI}_SAR-Intensity_{tile.key}.tif"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # which is the point
            write_tiff(path, sar_of(tile, rng), Affine.identity(), None, nodata=0)
    return folder


def sar_of(tile: Tile, rng: np.random.Generator) -> NDArray[np.float32]:
    """Log-scaled values with the building bright and a wedge of nodata in the upper right corner."""
    values = rng.uniform(10, 40, (4, SIDE_PX, SIDE_PX)).astype(np.float32)
    top, left, bottom, right = BUILDING
    if tile.buildings == "one":
        values[:, top:bottom, left:right] = 80
    values[:, np.triu(np.ones((SIDE_PX, SIDE_PX), bool), k=25)] = 0
    return values


def _write_image(
    folder: Path, layer: str, tile: Tile, values: NDArray[np.generic], gsd_m: float = GSD_M, **profile: float
) -> None:
    path = folder / layer / f"SN6_Train_{AOI}_{layer}_{tile.key}.tif"
    write_tiff(path, values, Affine(gsd_m, 0, tile.left, 0, -gsd_m, tile.top), CRS, **profile)


def _write_footprints(folder: Path, tile: Tile) -> None:
    top, left, bottom, right = BUILDING
    x0, x1 = tile.left + left * GSD_M, tile.left + right * GSD_M
    y0, y1 = tile.top - bottom * GSD_M, tile.top - top * GSD_M
    ring = [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]
    kinds: dict[str, list[Any]] = {"one": [[ring]], "none": [], "empty": [[]]}
    features = [
        {"type": "Feature", "properties": {"id": i}, "geometry": {"type": "Polygon", "coordinates": coordinates}}
        for i, coordinates in enumerate(kinds[tile.buildings])
    ]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32631"}}
    path = folder / "geojson_buildings" / f"SN6_Train_{AOI}_Buildings_{tile.key}.geojson"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}))


def _write_summary(folder: Path, tiles: Sequence[Tile]) -> None:
    summary = folder / "SummaryData"
    summary.mkdir()
    strips = sorted({tile.strip for tile in tiles})
    (summary / "SAR_orientations.txt").write_text("".join(f"{strip} {FLAGS[strip]}\n" for strip in strips))
    rows = ["ImageId,TileBuildingId,PolygonWKT_Pix,Mean_Building_Height\n"]
    rows += [f"{tile.key},-1,POLYGON EMPTY,\n" for tile in tiles if tile.buildings != "one"]
    (summary / f"SN6_Train_{AOI}_Buildings.csv").write_text("".join(rows))
