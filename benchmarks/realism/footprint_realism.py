"""Distances between simulated and real footprints: size, shape, height, spacing, building share.

Run `python -m benchmarks.realism.footprint_realism [--cities FOLDER] [--chips FOLDER] [--statistics FILE] [--places
12]`. `--cities` holds athens_bldgs_clip.gpkg, tudcampus.geojson, delft.json and zurich_subset_lod2.json; `--chips`
masks of 0.5 m as NNN_mask.png. Masks merge houses that touch, so they are compared with connected components of
simulated masks of the same size, and footprints with footprints. The distance of a measure is the earth mover's
distance divided by the deviation of the real values, of the logarithm where the measure is marked "log".
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio
import shapely
from affine import Affine
from benchmarks.limits import as_command, at_least, existing
from numpy.typing import NDArray
from rasterio.features import shapes
from scipy.stats import wasserstein_distance
from shapely.geometry.base import BaseGeometry

from overcast.raster.sources import Georeference
from overcast.simulator.city.geometry import City, Extent, polygons
from overcast.simulator.city.plan import build_city
from overcast.simulator.options import CRS, CityOptions, FootprintOptions
from overcast.simulator.scene import label_mask
from overcast.simulator.town.given import read_town

CHIP_PX, CHIP_GSD_M = 224, 0.5
PLACE_M = 448.0
Shapes = Sequence[BaseGeometry] | NDArray[np.object_]
LOG = {"area_m2", "elongation", "gap_m", "height_m"}
SMALLEST_M2 = 5.0


def measures(outlines: Shapes, heights: Sequence[float] | None = None) -> pd.DataFrame:
    """One row per footprint of at least 5 m2."""
    shape = np.asarray(outlines, object)
    big = shapely.area(shape) >= SMALLEST_M2
    shape = shape[big]
    boxes = shapely.minimum_rotated_rectangle(shape)
    corners = np.stack([np.asarray(box.exterior.coords)[:3] for box in boxes])
    sides = np.hypot(*np.moveaxis(np.diff(corners, axis=1), -1, 0))
    tree = shapely.STRtree(shape)
    pairs, gap = tree.query_nearest(shape, exclusive=True, all_matches=False, return_distance=True)
    nearest = np.full(len(shape), np.nan)
    nearest[pairs[0]] = gap
    simple = shapely.simplify(shape, 0.3)
    table = pd.DataFrame(
        {
            "area_m2": shapely.area(shape),
            "elongation": sides.max(1) / np.maximum(sides.min(1), 0.1),
            "rectangularity": shapely.area(shape) / shapely.area(boxes),
            "vertices": shapely.get_num_points(shapely.get_exterior_ring(simple)) - 1,
            "gap_m": np.where(nearest > 0.05, nearest, np.nan),
            "touching": (nearest <= 0.05).astype(float),
        }
    )
    if heights is not None:
        height = np.asarray(heights, float)[big]
        table["height_m"] = np.where(height > 0, height, np.nan)
    return table


def simulated_cities(count: int, seed: int) -> list[City]:
    """Places of the default options."""
    bounds = Extent(0, 0, PLACE_M, PLACE_M, CRS)
    return [build_city(bounds, CityOptions(), np.random.SeedSequence([seed, i])) for i in range(count)]


def city_measures(cities: Iterable[City]) -> pd.DataFrame:
    """Footprints of simulated places."""
    tables = [measures(polygons([b.rings for b in c.buildings]), [b.height_m for b in c.buildings]) for c in cities]
    return pd.concat(tables)


def simulated_chips(cities: Iterable[City]) -> list[NDArray[np.bool_]]:
    """Masks of the size of the real ones."""
    side = round(PLACE_M / CHIP_GSD_M)
    grid = Georeference(side, side, Affine(CHIP_GSD_M, 0, 0, 0, -CHIP_GSD_M, PLACE_M), CRS)
    steps = range(0, side, CHIP_PX)
    masks = [label_mask(city, grid).astype(bool) for city in cities]
    return [mask[r : r + CHIP_PX, c : c + CHIP_PX] for mask in masks for r in steps for c in steps]


def real_chips(folder: Path) -> list[NDArray[np.bool_]]:
    """Masks of the real chips."""
    masks = []
    for path in sorted(folder.glob("*_mask.png")):
        with rasterio.open(path) as source:
            masks.append(source.read(1) > 127)
    return masks


def chip_measures(chips: Sequence[NDArray[np.bool_]]) -> pd.DataFrame:
    """Connected components of masks."""
    scale = Affine.scale(CHIP_GSD_M)
    tables = []
    for chip in chips:
        found = shapes(chip.astype(np.uint8), mask=chip, connectivity=8, transform=scale)
        outlines = [shapely.geometry.shape(geometry) for geometry, _ in found]
        if any(outline.area >= SMALLEST_M2 for outline in outlines):
            tables.append(measures(outlines).drop(columns=["vertices", "touching"]))
    return pd.concat(tables)


def real_footprints(folder: Path) -> dict[str, pd.DataFrame]:
    """Footprints of each real city in `folder`."""
    found: dict[str, pd.DataFrame] = {}
    for name, file, column in (
        ("athens", "athens_bldgs_clip.gpkg", "Height"),
        ("delft", "delft.json", None),
        ("zurich", "zurich_subset_lod2.json", None),
        ("tud campus", "tudcampus.geojson", None),
    ):
        unknown = 9.0 if name == "tud campus" else None
        town = read_town(FootprintOptions(file=str(folder / file), height=column, default_height_m=unknown))
        heights = None if unknown else [building.height_m for building in town.buildings]
        found[name] = measures([building.outline for building in town.buildings], heights)
        if name == "zurich":  # single buildings from all over the city
            found[name] = found[name].drop(columns=["gap_m", "touching"])
    return found


def distance(simulated: pd.Series, real: pd.Series) -> float:
    """Earth mover's distance in real deviations; for the share of touching buildings the difference."""
    if simulated.name == "touching":
        return float(abs(simulated.mean() - real.mean()))
    a, b = simulated.dropna().to_numpy(float), real.dropna().to_numpy(float)
    if simulated.name in LOG:
        a, b = np.log(a), np.log(b)
    return float(wasserstein_distance(a, b) / max(b.std(), 1e-9))


def print_table(title: str, simulated: pd.DataFrame, real: dict[str, pd.DataFrame]) -> None:
    """Quantiles 10, 50, 90 % and distances."""
    print(f"\n{title}: 10, 50, 90 % quantiles (distance to simulated)")
    for name in simulated.columns:
        row = [f"simulated {_quantiles(simulated[name])}"]
        for city, table in real.items():
            if name in table and table[name].notna().any():
                row.append(f"{city} {_quantiles(table[name])} ({distance(simulated[name], table[name]):.2f})")
        print(f"  {name + (' log' if name in LOG else ''):18s} " + "; ".join(row))


def _quantiles(values: pd.Series) -> str:
    if values.name == "touching":
        return f"{values.mean():.2f}"
    return ", ".join(f"{q:.3g}" for q in values.dropna().quantile([0.1, 0.5, 0.9]))


def print_shares(simulated: Sequence[NDArray[np.bool_]], real: Sequence[NDArray[np.bool_]]) -> None:
    """Building share over all chips and over those that hold a building."""
    for name, chips in (("simulated", simulated), ("real", real)):
        share = np.array([chip.mean() for chip in chips])
        built = share[share > 0.005]
        quantiles = ", ".join(f"{q:.3f}" for q in np.quantile(built, [0.1, 0.5, 0.9]))
        text = f"{share.mean():.3f} of all pixels; {len(built) / len(share):.2f} of the chips hold more than 0.5 %,"
        print(f"  {name:9s} {text} in these mean {built.mean():.3f}, quantiles {quantiles}")


def plot(path: Path, simulated: pd.DataFrame, real: dict[str, pd.DataFrame]) -> None:
    """Cumulative distributions side by side."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(simulated.columns), figsize=(4 * len(simulated.columns), 3.5))
    for axis, name in zip(axes, simulated.columns, strict=True):
        for label, table in {"simulated": simulated, **real}.items():
            if name in table and table[name].notna().any():
                values = np.sort(table[name].dropna())
                axis.plot(values, np.linspace(0, 1, len(values)), label=label)
        axis.set(title=name, xscale="log" if name in LOG else "linear")
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=80)


def main() -> None:
    """Print all distances."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cities", type=existing)
    parser.add_argument("--chips", type=existing)
    parser.add_argument("--statistics", type=existing, help="JSON with the pixel counts of nodata, ground and building")
    parser.add_argument("--places", type=at_least(1), default=12)
    parser.add_argument("--seed", type=at_least(0), default=0)
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    cities = simulated_cities(arguments.places, arguments.seed)
    simulated = city_measures(cities)
    real = real_footprints(arguments.cities) if arguments.cities else {}
    print_table("footprints", simulated, real)
    if arguments.chips:
        ours, theirs = simulated_chips(cities), real_chips(arguments.chips)
        print_table("components of masks", chip_measures(ours), {"real": chip_measures(theirs)})
        print_shares(ours, theirs)
    if arguments.statistics:
        counts = json.loads(arguments.statistics.read_text())["target_stats"]["pixel_counts"]
        print(f"  real      {counts[2] / (counts[1] + counts[2]):.3f} of the valid pixels of all samples")
    if arguments.plot:
        plot(arguments.plot, simulated, real)


if __name__ == "__main__":
    as_command(main)
