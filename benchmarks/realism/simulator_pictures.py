"""Pictures for the eye: simulated beside real, at equal scale and stretched alike, and the panel of docs/simulator.md.

    python -m benchmarks.realism.simulator_pictures --data /path/to/data --output pictures
    python -m benchmarks.realism.simulator_pictures --output docs/images

With --data (its folders sn6_native and sn6_optical_labelled hold real imagery) three comparisons are written:
`single_look.png`, 500 m of single-look radar every 2.5 m; `scene.png`, radar in dB every 4.5 m; `optical.png`, chips of
112 m with their masks. They show real imagery and belong outside the repository. Without it only `simulator.png` is
written, which shows simulated places alone: each kind of district at 0.5 m, with the radar on both sides.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import rasterio
from benchmarks.limits import as_command, at_least, existing
from benchmarks.realism.half_real_chips import real_chips
from benchmarks.realism.simulator_realism import Chip, decibel, real_chip, simulated_chip
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import uniform_filter

from overcast.evaluation.panels import (
    Captioned,
    SheetStyle,
    contact_sheet,
    overlay_outlines,
    truth_map,
)
from overcast.raster.radiometry import RadarSide
from overcast.simulator.options import CityOptions, SarOptions, SimulationOptions
from overcast.simulator.place import SimulatedPlace, place_ids, simulate_place

DISTRICTS = {
    "row houses": "row_weight",
    "detached": "detached_weight",
    "courtyards": "courtyard_weight",
    "slabs and towers": "slab_weight",
    "industry": "industry_weight",
    "harbour": "harbour_weight",
}
"""The weight that alone is not zero."""
PANEL_M, TILE_PX = 160.0, 200
SEEDS, BUILT_SHARE = 24, 0.04
"""Of so many places that hold so much building, the one with the most buildings and structures is shown."""
SAR_RANGE = (-6.0, 12.0)
"""Decibels about the median of the picture that are drawn from black to white, the same everywhere."""
YELLOW = (255, 214, 10)
LEVELS = (2, 10, 25, 75, 90, 98)
"""Percentiles of brightness that are printed, in dB from the median, after averaging 3 x 3 looks."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=existing, help="folder with sn6_native/ and sn6_optical_labelled/")
    parser.add_argument("--output", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--seed", type=at_least(0), default=0, help="of the compared places")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    pictures = {"simulator.png": district_panel}
    if arguments.data is not None:
        native, labelled = arguments.data / "sn6_native", arguments.data / "sn6_optical_labelled"
        places = SimulationOptions(seed=arguments.seed, places=3, place_m=500, chip_px=1000)
        chips = [simulated_chip(places, index) for index in range(3)]
        print_levels(chips, real_chip(native))
        pictures |= {
            "single_look.png": lambda: single_looks(chips, real_chip(native)),
            "scene.png": lambda: scenes(chips, native),
            "optical.png": lambda: optical_pairs(labelled, arguments.seed),
        }
    for name, draw in pictures.items():
        (arguments.output / name).write_bytes(draw())
        print(arguments.output / name)


def grey(decibels: NDArray[np.floating]) -> NDArray[np.uint8]:
    """(H, W, 3) about the median, over the same range of dB for every picture; no data is black."""
    low, high = SAR_RANGE
    share = (decibels - np.nanmedian(decibels) - low) / (high - low)
    levels = np.clip(np.nan_to_num(share, nan=0.0), 0, 1) * 255
    return np.repeat(levels.astype(np.uint8)[..., None], 3, axis=-1)


def coloured(bands: NDArray[np.floating]) -> NDArray[np.uint8]:
    """(H, W, 3) of three bands, each as in `grey`."""
    return np.stack([grey(band)[..., 0] for band in bands], axis=-1)


def district_panel() -> bytes:
    """Six districts: optical, HH seen from the north and from the south, HV, colours of three bands, footprints."""
    rows = []
    for name, weight in DISTRICTS.items():
        seed = fullest(weight)
        north, south = (district(weight, seed, look) for look in (RadarSide.NORTH, RadarSide.SOUTH))
        sar = north.sar
        rows.append(
            [
                Captioned(tile(north.optical[:3].transpose(1, 2, 0), 24), f"{name}: optical"),
                Captioned(tile(grey(sar[0]), 12), "HH, radar in the north"),
                Captioned(tile(grey(south.sar[0]), 12), "HH, radar in the south"),
                Captioned(tile(grey(sar[1]), 12), "HV"),
                Captioned(tile(coloured(sar[[0, 1, 3]]), 8), "HH, HV, VV as red, green, blue"),
                Captioned(tile(truth_map(north.mask), 8), "footprints"),
            ]
        )
    return contact_sheet(rows, SheetStyle(tile_px=TILE_PX, gap_px=8, text_px=12))


def tile(picture: NDArray[np.uint8], levels: int) -> NDArray[np.uint8]:
    """The picture at the size of a tile, in few levels: speckle hardly compresses, and this lies in the repository."""
    small = Image.fromarray(np.ascontiguousarray(picture)).resize((TILE_PX, TILE_PX), Image.Resampling.LANCZOS)
    step = 255 / (levels - 1)
    return np.asarray(np.rint(np.rint(np.asarray(small) / step) * step), np.uint8)


def fullest(weight: str) -> int:
    """The seed of the place that is shown, found on coarse pixels: the ground does not depend on them."""
    places = {seed: district(weight, seed, RadarSide.NORTH, gsd_m=4.0) for seed in range(SEEDS)}
    return max(places, key=lambda seed: (places[seed].mask.mean() > BUILT_SHARE, things_on(places[seed])))


def things_on(place: SimulatedPlace) -> int:
    """Buildings and structures whose middle lies on the ground that is shown."""
    left, bottom, right, top = place.grid.extent
    outlines = [one.outline for one in place.city.buildings] + [one.outline for one in place.city.structures]
    return sum(left < x < right and bottom < y < top for x, y in (outline.mean(axis=0) for outline in outlines))


def district(weight: str, seed: int, look: RadarSide, gsd_m: float = 0.5) -> SimulatedPlace:
    """A place of one kind of district."""
    zero = {name: 0.0 for name in CityOptions.model_fields if name.endswith("_weight")}
    other = {"built_share": 0.95, "canal_probability": 0.0, "rail_probability": 0.0}
    city = CityOptions.model_validate(zero | {weight: 1.0} | other)
    sar = SarOptions(radar_side=look, wedge_share=0.0)
    options = SimulationOptions(
        seed=seed, places=1, place_m=PANEL_M, chip_px=round(PANEL_M / gsd_m), gsd_m=gsd_m, city=city, sar=sar
    )
    return simulate_place(place_ids(options)[0], options)


def print_levels(simulated: list[Chip], real: Chip) -> None:
    """Spread of brightness of the single-look chips; of the real one also of its northern half, which is land."""
    half = real.fields.shape[1] // 2
    rows = [("real", real.fields), ("real, northern half", real.fields[:, :half])]
    rows += [(f"simulated {index}", chip.fields) for index, chip in enumerate(simulated)]
    print("| chip | band | " + " | ".join(f"{level} %" for level in LEVELS) + " |")
    print("|---" * (len(LEVELS) + 2) + "|")
    for name, fields in rows:
        for band, label in ((0, "HH"), (1, "HV"), (3, "VV")):
            power = uniform_filter(np.abs(fields[band].astype(np.complex128)) ** 2, 3)[1::3, 1::3]
            decibels = 10 * np.log10(power)
            levels = np.percentile(decibels, LEVELS) - np.median(decibels)
            print(f"| {name} | {label} | " + " | ".join(f"{level:+.1f}" for level in levels) + " |")


def single_looks(simulated: list[Chip], real: Chip) -> bytes:
    """HH, HV and VV of the real single-look chip, and of simulated places, 500 m wide."""
    rows = []
    for name, chip in [("real", real), *((f"simulated {i}", chip) for i, chip in enumerate(simulated))]:
        bands = decibel(chip.fields)
        cells = [Captioned(grey(bands[band]), f"{name}: {label}") for band, label in ((0, "HH"), (1, "HV"), (3, "VV"))]
        rows.append([*cells, Captioned(coloured(bands[[0, 1, 3]]), f"{name}: HH, HV, VV")])
    return contact_sheet(rows, SheetStyle(tile_px=400))


def scenes(simulated: list[Chip], native: Path) -> bytes:
    """HH, HV and VV in dB every 4.5 m: a part of the real scene as large as the simulated ones."""
    with rasterio.open(native / "sar_masked.tif") as source:
        real = source.read().astype(np.float64)
    side = simulated[0].scene_db.shape[1]
    seen = np.isfinite(real).all(axis=0)
    corners = [(row, col) for row in range(0, 200 - side + 1, 4) for col in range(0, 200 - side + 1, 4)]
    row, col = max(corners, key=lambda at: seen[at[0] : at[0] + side, at[1] : at[1] + side].sum())
    real = real[:, row : row + side, col : col + side]
    rows = []
    for name, bands in [("real", real), *((f"simulated {i}", chip.scene_db) for i, chip in enumerate(simulated))]:
        cells = [Captioned(grey(bands[band]), f"{name}: {label}") for band, label in ((0, "HH"), (1, "HV"), (3, "VV"))]
        rows.append([*cells, Captioned(coloured(bands[[0, 1, 3]]), f"{name}: HH, HV, VV")])
    return contact_sheet(rows, SheetStyle(tile_px=400))


def optical_pairs(labelled: Path, seed: int) -> bytes:
    """Six real chips and six simulated ones, as they are and with outlines of their buildings."""
    built = [chip for chip in real_chips(labelled) if chip.seen.all() and chip.mask.mean() > 0.08]
    step = max(1, len(built) // 6)
    options = SimulationOptions(seed=seed, places=40, place_m=112, chip_px=224)
    places = (simulate_place(place, options) for place in place_ids(options))
    shown = [place for place in places if place.mask.mean() > 0.08][:6]
    real_row = [(chip.rgb, chip.mask) for chip in built[::step][:6]]
    simulated_row = [(place.optical[:3], place.mask == 1) for place in shown]
    rows = []
    for name, row in (("real", real_row), ("simulated", simulated_row)):
        plain = [np.ascontiguousarray(rgb.transpose(1, 2, 0)) for rgb, _ in row]
        rows.append([Captioned(picture, name) for picture in plain])
        outlined = [overlay_outlines(picture, mask, YELLOW) for picture, (_, mask) in zip(plain, row, strict=True)]
        rows.append([Captioned(picture, f"{name}, buildings") for picture in outlined])
    return contact_sheet(rows, SheetStyle(tile_px=300))


if __name__ == "__main__":
    as_command(main)
