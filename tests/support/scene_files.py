"""A miniature town for the tests of scenes: a radar image, an orthophoto in another system, footprints over a part."""

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import rasterio.features
import shapely
import yaml
from affine import Affine
from pyproj import Transformer
from raster_files import write_tiff

UTM, OTHER = "EPSG:32631", "EPSG:3035"
LEFT, TOP, GSD_M = 593000.0, 5750000.0, 1.0
SIDE = 160
"""Pixels of the radar image."""
ORTHO_GSD_M = 0.8


def houses(count: int = 60, seed: int = 3) -> list[shapely.Polygon]:
    """Turned rectangles in metres of `UTM`, all over the place."""
    rng = np.random.default_rng(seed)
    found: list[shapely.Polygon] = []
    for x, y, long, wide, angle in rng.uniform((4, 4, 6, 5, 0), (156, 156, 16, 12, 3), (count, 5)):
        box = shapely.box(-long / 2, -wide / 2, long / 2, wide / 2)
        turned = shapely.affinity.rotate(box, angle, use_radians=True)
        house = shapely.affinity.translate(turned, LEFT + x, TOP - y)
        if not any(house.distance(other) < 2 for other in found):
            found.append(house)
    return found


def write_vector(path: Path, shapes: Any, crs: str | None = UTM, **columns: Any) -> Path:
    """A vector file in the format of its ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = geopandas.GeoDataFrame(columns, geometry=list(shapes), crs=crs)
    if path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_file(path)
    return path


def radar(mask: np.ndarray, seed: int = 0) -> np.ndarray:
    """One look of speckle in amplitude, bright over `mask`."""
    rng = np.random.default_rng(seed)
    return (np.sqrt(rng.gamma(4, 0.25, mask.shape)) * np.where(mask, 300, 100)).astype(np.float32)


def burn(shapes: Any, height: int, width: int, transform: Affine) -> np.ndarray:
    """(H, W) bool, drawn in one go."""
    return rasterio.features.rasterize(shapes, (height, width), transform=transform).astype(bool)


def ortho(path: Path, shapes: list[shapely.Polygon], left: float, top: float, size: tuple[int, int]) -> Path:
    """An orthophoto in `OTHER`, houses red on green, with a smooth slope; corner and size of its own."""
    transform = Affine(ORTHO_GSD_M, 0, left, 0, -ORTHO_GSD_M, top)
    placed = geopandas.GeoSeries(shapes, crs=UTM).to_crs(OTHER)
    mask = burn(placed, *size, transform)
    slope = np.add.outer(np.arange(size[0]), np.arange(size[1])) % 64
    values = np.stack([np.where(mask, 200, 60), np.where(mask, 70, 120), 40 + slope]).astype(np.uint8)
    return write_tiff(path, values, transform, OTHER, nodata=0)


def write_town(root: Path, **changes: Any) -> Path:
    """The town's files and town.yaml; `changes` replace entries of the description."""
    shapes = houses()
    grid = Affine(GSD_M, 0, LEFT, 0, -GSD_M, TOP)
    write_tiff(root / "sar.tif", radar(burn(shapes, SIDE, SIDE, grid)), grid, UTM, nodata=0)
    x, y = Transformer.from_crs(UTM, OTHER, always_xy=True).transform(LEFT + 80, TOP - 80)
    ortho(root / "west.tif", shapes, x - 110, y + 110, (275, 150))
    ortho(root / "east.tif", shapes, x - 10, y + 110, (275, 150))
    write_vector(root / "houses.gpkg", shapes)
    write_vector(root / "checked.gpkg", [shapely.box(LEFT, TOP - SIDE, LEFT + 100, TOP)])
    description = {
        "name": "miniature",
        "licence": "CC0-1.0",
        "sar": {"bands": ["VV"], "unit": "amplitude", "nodata": 0, "radar_side": "west"},
        "optical": {"bands": ["red", "green", "blue"], "nodata": 0},
        "places": {
            "centre": {
                "sar": "sar.tif",
                "optical": ["west.tif", "east.tif"],
                "footprints": "houses.gpkg",
                "labelled_area": "checked.gpkg",
            }
        },
    }
    path = root / "town.yaml"
    path.write_text(yaml.safe_dump({**description, **changes}, sort_keys=False), encoding="utf-8")
    return path


def with_place(path: Path, name: str = "centre", **changes: Any) -> Path:
    """The description with other entries in a place; None removes one. Written beside the first."""
    description = yaml.safe_load(path.read_text(encoding="utf-8"))
    place = description["places"].get(name, {}) | changes
    description["places"][name] = {key: value for key, value in place.items() if value is not None}
    other = path.with_name("other.yaml")
    other.write_text(yaml.safe_dump(description, sort_keys=False), encoding="utf-8")
    return other
