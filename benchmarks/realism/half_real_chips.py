"""Real roofs under simulated radar: from an optical chip and its mask of buildings to the radar image that they return.

What is known of a chip is its picture and which pixels are building. The rest is assumed:

* Footprints: the mask is traced at its own pixels and simplified by 0.75 m; houses that touch stay one polygon; roofs
  are flat. Beyond the border of a chip the mask and the picture are mirrored over 32 m, so that layover and shadow
  enter from outside.
* Heights, by footprint area A and by fullness (A over the area of the convex hull): below 25 m2 sheds of 2.2 to 3.2 m;
  to 180 m2 houses of 1 to 3 storeys (4 to 9 m); above, fullness below 0.75 terraces and blocks of 2 to 4 storeys (6 to
  12 m); full ones to 800 m2 3 to 6 storeys (8 to 18 m); larger ones halls of 6 to 13 m. One uniform draw per polygon.
* Ground, by colour after smoothing by 1.5 m: green is vegetation, trees where it is dark or rough, else grass; dark,
  smooth and bluish over more than 300 m2 is water (green ponds are taken for grass); brown is soil; bright is paving;
  all else asphalt.
* Trees of 2 to 3.6 m crown radius, one on about 30 m2 of tree ground.
* Black pixels of the picture hold no ground truth: the radar has no data there either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import shapes
from scipy.ndimage import gaussian_filter, label, median_filter, sum_labels, uniform_filter
from shapely import Polygon
from shapely.geometry import shape

from overcast.raster.files import open_raster, reading
from overcast.simulator.city.geometry import City, Extent, Patch, Surface
from overcast.simulator.options import CRS, SarOptions
from overcast.simulator.radar.image import NODATA, draw_strip, simulate_sar
from overcast.simulator.town.footprints import city_of

REAL_GSD_M = 0.5
MARGIN_PX = 64
"""Mirrored ground around a chip, in its own pixels."""
LEFT_M, TOP_M = 500_000.0, 5_600_000.0
TREE_M2 = 30.0
MIN_PATCH_PX, MIN_WATER_PX = 80, 1200


@dataclass(frozen=True)
class RealChip:
    """A picture and its buildings."""

    name: str
    rgb: NDArray[np.uint8]
    """(3, H, W); 0 in all bands where there is no picture."""
    mask: NDArray[np.bool_]
    """(H, W)."""

    @property
    def seen(self) -> NDArray[np.bool_]:
        """(H, W) True where there is a picture."""
        return np.asarray(self.rgb.any(axis=0))


def real_chips(folder: Path) -> Iterator[RealChip]:
    """Chips `NNN_rgb.png` with `NNN_mask.png`, by name."""
    for path in sorted(folder.glob("*_rgb.png")):
        name = path.stem.removesuffix("_rgb")
        with open_raster(path) as source, reading(path):
            rgb = source.read((1, 2, 3))
        beside = path.with_name(f"{name}_mask.png")
        with open_raster(beside) as source, reading(beside):
            yield RealChip(name, rgb, source.read(1) > 0)


def city_under(chip: RealChip, rng: np.random.Generator) -> tuple[Extent, City]:
    """The ground of a chip, and the city that its picture and mask suggest, margin included."""
    height, width = chip.mask.shape
    bounds = Extent(LEFT_M, TOP_M - height * REAL_GSD_M, LEFT_M + width * REAL_GSD_M, TOP_M, CRS)
    around = ((MARGIN_PX, MARGIN_PX), (MARGIN_PX, MARGIN_PX))
    mask, rgb = np.pad(chip.mask, around, "reflect"), np.pad(chip.rgb, ((0, 0), *around), "reflect")
    margin_m = MARGIN_PX * REAL_GSD_M
    grid = Affine(REAL_GSD_M, 0, LEFT_M - margin_m, 0, -REAL_GSD_M, TOP_M + margin_m)
    footprints = outlines(mask, grid)
    city = city_of(bounds.grown(margin_m), footprints, [draw_height_m(each, rng) for each in footprints])
    surfaces, wood = ground_classes(rgb)
    patches = [*city.patches, *_patches(surfaces, grid)]
    trees = _trees(wood & ~mask, grid, rng)
    return bounds, replace(city, patches=tuple(patches), furniture=replace(city.furniture, trees=trees))


def outlines(mask: NDArray[np.bool_], grid: Affine) -> list[Polygon]:
    """Simplified outlines of connected buildings of at least 4 m2."""
    traced = (shape(each) for each, _ in shapes(mask.astype(np.uint8), mask=mask, transform=grid))
    simple = (each.simplify(0.75).buffer(0) for each in traced)
    return [each for each in simple if isinstance(each, Polygon) and each.area >= 4]


def draw_height_m(footprint: Polygon, rng: np.random.Generator) -> float:
    """A height by the rule above."""
    area, fullness = footprint.area, footprint.area / footprint.convex_hull.area
    if area < 25:
        low, high = 2.2, 3.2
    elif area < 180:
        low, high = 4.0, 9.0
    elif fullness < 0.75:
        low, high = 6.0, 12.0
    elif area < 800:
        low, high = 8.0, 18.0
    else:
        low, high = 6.0, 13.0
    return float(rng.uniform(low, high))


def ground_classes(rgb: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """(H, W) codes of `Surface` by colour, and where trees stand."""
    red, green, blue = (gaussian_filter(band.astype(np.float32), 1.5 / REAL_GSD_M / 2) for band in rgb)
    grey = rgb.astype(np.float32).mean(axis=0)
    bright = (red + green + blue) / 3
    rough = np.sqrt(np.maximum(uniform_filter(grey**2, 7) - uniform_filter(grey, 7) ** 2, 0))
    green_excess = 2 * green - red - blue
    out = np.full(bright.shape, Surface.ASPHALT, np.uint8)
    out[bright > 125] = Surface.PAVING
    out[(red - blue > 22) & (bright > 70)] = Surface.SOIL
    vegetation = green_excess > 16
    water = _large((blue > red + 4) & (bright < 95) & (gaussian_filter(rough, 3) < 5), MIN_WATER_PX)
    wood = vegetation & ((bright < 58) | (gaussian_filter(rough, 2) > 12)) & ~water
    out[vegetation] = Surface.GRASS
    out[water] = Surface.WATER
    return median_filter(out, 7), median_filter(wood, 7)


def _large(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """The connected parts of at least that many pixels."""
    parts, count = label(mask)
    sizes = np.concatenate([[0], sum_labels(mask, parts, np.arange(1, count + 1))])
    return np.asarray(sizes[parts] >= pixels)


def _patches(surfaces: NDArray[np.uint8], grid: Affine) -> list[Patch]:
    """Ground that is not asphalt, as outlines."""
    found = []
    for code in np.unique(surfaces):
        if code != Surface.ASPHALT:
            mask = _large(surfaces == code, MIN_PATCH_PX)
            found += [Patch(each, Surface(int(code))) for each in outlines(mask, grid)]
    return sorted(found, key=lambda patch: -patch.polygon.area)


def _trees(wood: NDArray[np.bool_], grid: Affine, rng: np.random.Generator) -> NDArray[np.float64]:
    """(N, 4) x, y, crown radius, height."""
    rows, cols = np.nonzero(wood)
    count = int(len(rows) * REAL_GSD_M**2 / TREE_M2)
    chosen = rng.choice(len(rows), count, replace=False) if count else np.empty(0, np.intp)
    col, row = cols[chosen] + rng.random(count), rows[chosen] + rng.random(count)
    x, y = grid.a * col + grid.b * row + grid.c, grid.d * col + grid.e * row + grid.f
    radius = rng.uniform(2.0, 3.6, count)
    return np.column_stack([x, y, radius, 1.5 + radius * rng.uniform(2.0, 3.2, count)])


@dataclass(frozen=True)
class Pair:
    """A chip of the half-real data set."""

    sar: NDArray[np.float32]
    """(4, h, w) in decibels as the simulator writes them, nodata 0."""
    optical: NDArray[np.uint8]
    """(3, h, w), nodata 0."""
    mask: NDArray[np.uint8]
    """(h, w): 1 building."""


def half_real_pair(chip: RealChip, gsd_m: float, options: SarOptions, seed: tuple[int, int]) -> Pair:
    """The radar image over a chip, with the chip itself, at `gsd_m`, a multiple of 0.5 m.

    The picture is averaged; a pixel is building where at least half of it is.
    """
    city_seed, strip_seed, sar_seed = np.random.SeedSequence(seed).spawn(3)
    bounds, city = city_under(chip, np.random.default_rng(city_seed))
    strip = draw_strip(options, gsd_m, seed[1], np.random.default_rng(strip_seed))
    sar = simulate_sar(city, bounds, gsd_m, options, strip, sar_seed)
    factor = round(gsd_m / REAL_GSD_M)
    seen = blocks(chip.seen, factor) == 1
    sar[:, ~seen] = NODATA
    optical = np.where(seen, np.maximum(np.rint(blocks(chip.rgb, factor)), 1), 0).astype(np.uint8)
    return Pair(sar, optical, (blocks(chip.mask, factor) >= 0.5).astype(np.uint8))


def blocks(values: NDArray[np.generic], factor: int) -> NDArray[np.float64]:
    """(..., h, w) means over squares of `factor` pixels."""
    *rest, height, width = values.shape
    cut = values.reshape(*rest, height // factor, factor, width // factor, factor)
    return np.asarray(cut.astype(np.float64).mean(axis=(-3, -1)))


def write_raster(path: Path, values: NDArray[np.generic], bands: Sequence[str], nodata: float | None) -> None:
    """Write (C, h, w) beside and rename; the real chips have no georeference, so there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.tmp")
    count, height, width = values.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": values.dtype}
    with rasterio.open(beside, "w", **profile, nodata=nodata, compress="deflate") as sink:
        sink.write(values)
        sink.descriptions = tuple(bands)
    beside.replace(path)
