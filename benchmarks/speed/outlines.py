"""Outlines against the truth of a simulated town, and their cost.

    python -m benchmarks.speed.outlines                     # quality of every mode, at 0.5 and 1 m
    python -m benchmarks.speed.outlines --cost 20000        # time and memory of polygons of a 20 000 x 20 000 raster

Quality: a simulated town is burnt as label; the label is blurred by one pixel and correlated noise is added to its
logit, as networks blur and wobble. For the separation of touching buildings they are first drawn 1.5 pixels apart, as
networks show them that were trained on labels of single buildings. What comes out is compared with the true outlines of
connected buildings (of single buildings where touching ones are separated): mean IoU and mean PoLiS distance of pairs
with an IoU over 0.5, the share of true outlines that such a pair has, corners per polygon. Cost: a raster in which one
piece of such a town repeats.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import resource
import time
from dataclasses import dataclass

import numpy as np
import shapely
from affine import Affine
from benchmarks.limits import as_command, at_least, not_negative
from numpy.typing import NDArray
from rasterio.features import rasterize
from scipy import ndimage
from shapely import Polygon

from overcast.choices import Outlines, Separate
from overcast.metrics.polis import polis
from overcast.polygons.footprints import Footprints, PolygonOptions, vectorize
from overcast.polygons.outlines.levels import Level
from overcast.raster.grid import Window
from overcast.raster.sources import Georeference, Pixels
from overcast.simulator.city.geometry import Extent, polygons
from overcast.simulator.city.plan import build_city
from overcast.simulator.options import CRS, CityOptions
from overcast.simulator.scene import label_mask

LEFT, BOTTOM = 500_000.0, 5_600_000.0
BLUR_PX, SLOPE, WOBBLE_PX = 1.0, 12.0, 1.5
MODES = [(mode, Separate.OFF) for mode in Outlines] + [(mode, Separate.WATERSHED) for mode in Outlines]


@dataclass(frozen=True)
class Repeated:
    """A RasterSource in which a piece of probability repeats."""

    piece: NDArray[np.float32]
    georeference: Georeference
    band_count: int = 1

    def read(self, window: Window) -> Pixels:
        """Probabilities of a window."""
        rows = np.arange(window.row, window.row + window.height) % self.piece.shape[0]
        cols = np.arange(window.col, window.col + window.width) % self.piece.shape[1]
        values = self.piece[rows[:, None], cols[None]]
        return Pixels(values[None], np.ones(values.shape, np.bool_))


def town(
    size_px: int, gsd_m: float, noise: float, seed: int, *, apart_px: float = 0.0
) -> tuple[NDArray[np.float32], Georeference, list[Polygon]]:
    """Probability, its grid, and the true buildings, between which `apart_px` are no building."""
    side = size_px * gsd_m
    bounds = Extent(LEFT, BOTTOM, LEFT + side, BOTTOM + side, CRS)
    city = build_city(bounds, CityOptions(), np.random.SeedSequence(seed))
    grid = Georeference(size_px, size_px, Affine(gsd_m, 0, LEFT, 0, -gsd_m, BOTTOM + side), CRS)
    true = polygons([building.rings for building in city.buildings])
    label = label_mask(city, grid) if apart_px == 0 else burnt(shapely.buffer(true, -apart_px * gsd_m / 2), grid)
    blurred = ndimage.gaussian_filter(label.astype(np.float32), BLUR_PX)
    wobble = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=blurred.shape), WOBBLE_PX) * noise * 6
    probability = 1 / (1 + np.exp(-(SLOPE * (blurred - 0.45) + wobble)))
    inside = shapely.box(bounds.left + 5, bounds.bottom + 5, bounds.right - 5, bounds.top - 5)
    return probability.astype(np.float32), grid, [one for one in true if inside.contains(one)]


def burnt(shapes: NDArray[np.object_], grid: Georeference) -> NDArray[np.float64]:
    """Share of each pixel inside of shapes, 0 to 1 in steps of 1/16."""
    fine = grid.transform * Affine.scale(0.25)
    shapes = shapes[~shapely.is_empty(shapes)]
    inside = rasterize(shapes, (4 * grid.height, 4 * grid.width), transform=fine, dtype="uint8")
    return np.asarray(inside.reshape(grid.height, 4, grid.width, 4).mean(axis=(1, 3)))


def quality(found: Footprints, true: NDArray[np.object_]) -> list[float]:
    """IoU, PoLiS in metres, share of true outlines matched, corners per polygon, shares squared and smoothed."""
    at, of = shapely.STRtree(true).query(found.geometry)
    shared = shapely.area(shapely.intersection(found.geometry[at], true[of]))
    iou = shared / (shapely.area(found.geometry[at]) + shapely.area(true[of]) - shared)
    good = iou > 0.5  # at most one pair for each outline
    pairs = zip(found.geometry[at[good]], true[of[good]], strict=True)
    corners = shapely.get_num_coordinates(found.geometry) - 1 - shapely.get_num_interior_rings(found.geometry)
    return [
        float(iou[good].mean()),
        float(np.mean([polis(one, other) for one, other in pairs])),
        float(good.sum() / len(true)),
        float(corners.mean()),
        float((found.level == Level.SQUARED).mean()),
        float((found.level == Level.SMOOTHED).mean()),
    ]


def blocks(true: list[Polygon]) -> NDArray[np.object_]:
    """True buildings joined where they touch."""
    joined = shapely.get_parts(shapely.union_all(shapely.set_precision(np.array(true, object), 0.01)))
    return np.asarray(joined, object)


def compare(size_px: int, gsd_m: float, noise: float, seed: int, apart_px: float) -> None:
    """Print a table."""
    probability, grid, true = town(size_px, gsd_m, noise, seed, apart_px=apart_px)
    source = Repeated(probability, grid)
    joined = blocks(true)
    print(
        f"\n{gsd_m:g} m, noise {noise:g}, {apart_px:g} px between touching buildings: {len(true)} buildings, "
        f"{len(joined)} where touching ones count as one\n"
    )
    print("| outlines | separate | polygons | IoU | PoLiS, m | found | corners | squared | smoothed | s |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for mode, separate in MODES[3:] if apart_px else MODES[:3]:
        start = time.process_time()
        parts = list(vectorize(source, PolygonOptions(outlines=mode, separate=separate, min_area_m2=10)))
        seconds = time.process_time() - start
        at = int(np.argmax([len(part) for part in parts]))
        truth = joined if separate is Separate.OFF else np.array(true, object)
        iou, distance, share, corners, squared, smoothed = quality(parts[at], truth)
        print(
            f"| {mode} | {separate} | {len(parts[at])} | {iou:.3f} | {distance:.2f} | {share:.2f} | {corners:.1f} "
            f"| {squared:.2f} | {smoothed:.2f} | {seconds:.1f} |"
        )


def cost(size_px: int, piece_px: int, *, apart: bool) -> None:
    """Print seconds and memory of each mode on a large raster."""
    piece, _, _ = town(piece_px, 1.0, 0.3, 0)
    grid = Georeference(size_px, size_px, Affine(1, 0, LEFT, 0, -1, BOTTOM), CRS)
    print(f"\n{size_px} x {size_px} px of a town repeated every {piece_px} px\n")
    print("| outlines | separate | polygons | elapsed s | processor s | peak GB of the process so far |")
    print("|---|---|---|---|---|---|")
    for mode, separate in [MODES[4]] if apart else MODES[:3]:
        started, busy = time.monotonic(), time.process_time()
        options = PolygonOptions(outlines=mode, separate=separate, min_area_m2=10)
        count = sum(len(part) for part in vectorize(Repeated(piece, grid), options))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        elapsed, busy = time.monotonic() - started, time.process_time() - busy
        print(f"| {mode} | {separate} | {count} | {elapsed:.0f} | {busy:.0f} | {peak:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=at_least(256), default=1500, help="side of the town in pixels")
    parser.add_argument("--noise", type=not_negative, nargs="+", default=[0.0, 0.3])
    parser.add_argument("--seed", type=at_least(0), default=0)
    parser.add_argument("--cost", type=at_least(64), help="side of the raster whose polygons are timed")
    parser.add_argument("--watershed", action="store_true", help="time the separation of touching buildings instead")
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, {dt.date.today()}, seed {arguments.seed}")
    if arguments.cost:
        cost(arguments.cost, 2000, apart=arguments.watershed)
        return
    for gsd_m in (0.5, 1.0):
        for noise in arguments.noise:
            compare(arguments.size, gsd_m, noise, arguments.seed, 0.0)
        compare(arguments.size, gsd_m, arguments.noise[-1], arguments.seed, 1.5)


if __name__ == "__main__":
    as_command(main)
