r"""What does each widening of the one-band training gain? One added at a time, at one short budget.

    python -m benchmarks.studies.one_band_ablation --half-real runs/half-hh/half_real --wide runs/one-band/places \
        --cities /path/to/cities --output runs/ablation

Each variant is trained on as many drawn places, with the settings of configs/bundled/one-band-train.yaml but for the
steps, and scored from SAR alone on the half-real chips (one_band_half_real.py) and on the test places of the installed
model's data set. Interrupted, the same command goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.limits import as_command, at_least, existing
from benchmarks.realism.one_band_half_real import half_real, scored
from tools.one_band import training_config
from tools.one_band_places import drawn_options, write_places

from overcast.bundle.bundle import load_bundle
from overcast.config import train
from overcast.config.data import build_data
from overcast.data.catalog import Catalog
from overcast.evaluation.machine import describe_machine
from overcast.simulator.variety import Variety

CONFIG = Path("configs/bundled/one-band-simulation.yaml")
RADAR = ("incidence_deg", "looks", "resolution_px", "weighting", "noise_floor_db", "misregistration_px")
GROUND = ("material_db", "band", "polarisation", "built_share", "trees")


@dataclass(frozen=True)
class Variant:
    """One training."""

    name: str
    varied: tuple[str, ...]
    """Parts of `Variety` that are drawn anew for each place."""
    standardise: str = "scene"
    towns: bool = False


VARIANTS = (
    Variant("one radar, statistics of the data set", (), standardise="dataset"),
    Variant("+ scenes standardised by themselves", ()),
    Variant("+ radars: incidence, looks, resolution, side lobes, noise, shift", RADAR),
    Variant("+ ground: materials, wavelength, HH or VV, density, trees", RADAR + GROUND),
    Variant("+ towns of real footprints", RADAR + GROUND, towns=True),
)


def main() -> None:
    arguments = parse_arguments()
    real, _ = half_real(arguments.half_real)
    wide = training_config(arguments.wide, [])
    wide_catalog, split = build_data(wide.data)
    print("| variant | half-real, all chips | unseen drawn places of all radars |\n|---|---|---|")
    for number in arguments.rows:
        variant = VARIANTS[number]
        run = trained(arguments, number, variant)
        bundle = load_bundle(run / "bundle")
        cells = []
        for name, catalog, keys in (
            ("half-real", real, tuple(chip.key for chip in real.chips)),
            ("wide", wide_catalog, split.test),
        ):
            asked = as_standardised(catalog, variant.standardise)
            found = scored(bundle, asked, keys, run.parent / f"{name}.json")
            interval = found.iou_interval()
            spread = f" ({interval.low:.3f} .. {interval.high:.3f})" if interval else ""
            cells.append(f"{found.pixels.iou:.3f}{spread}")
        print(f"| {variant.name} | {' | '.join(cells)} |", flush=True)
    print(f"{arguments.places} drawn places, {arguments.steps} steps; {describe_machine()}; {date.today()}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--half-real", type=existing, required=True, help="chips of half_real.py --bands HH")
    parser.add_argument("--wide", type=existing, required=True, help="places of one_band.py")
    parser.add_argument("--cities", type=existing, required=True, help="folder with the files of the towns")
    parser.add_argument("--output", type=Path, required=True, help="folder for places, runs and scores")
    parser.add_argument("--places", type=at_least(60), default=120, help="drawn places of each variant")
    parser.add_argument("--steps", type=at_least(1), default=400)
    rows = tuple(range(len(VARIANTS)))
    parser.add_argument("--rows", type=at_least(0), nargs="+", choices=rows, default=rows, help="rows of the table")
    return parser.parse_args()


def as_standardised(catalog: Catalog, how: str) -> Catalog:
    """The data set as a model of a variant takes it."""
    sar = catalog.radiometry.sar.model_copy(update={"standardise": how})
    return Catalog(**{**_fields(catalog), "radiometry": catalog.radiometry.model_copy(update={"sar": sar})})


def _fields(catalog: Catalog) -> Mapping[str, Any]:
    return {name: getattr(catalog, name) for name in Catalog.__dataclass_fields__}


def trained(arguments: argparse.Namespace, number: int, variant: Variant) -> Path:
    """The run of a variant: trained now, gone on with, or left as it is."""
    folder: Path = arguments.output / f"{number}"
    options = drawn_options(CONFIG, [f"places={arguments.places}", "workers=1"])
    assert options.variety is not None
    kept = {name: getattr(options.variety, name) for name in variant.varied}
    options = options.model_copy(update={"variety": Variety(**kept) if kept else None})
    ground = arguments.output / f"places-{len(variant.varied)}-{'towns' if variant.towns else 'drawn'}"
    places = write_places(ground, options, arguments.cities if variant.towns else None)
    steps = [f"training.steps={arguments.steps}", f"training.round_steps={arguments.steps}", "training.workers=0"]
    train(training_config(places, [f"data.standardise={variant.standardise}", *steps]), folder / "run")
    return folder / "run"


if __name__ == "__main__":
    as_command(main)
