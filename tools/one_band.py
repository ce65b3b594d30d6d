"""Makes the installed model of one band: places, training, test once, packing in half precision.

    python -m tools.one_band --output runs/one-band --cities /path/to/cities
    python -m tools.one_band --output runs/one-band --cities /path/to/cities --install

CITIES holds delft.json, rotterdam_subset.json, zurich_subset_lod2.json (CityJSON, MIT) and tudcampus.geojson (Dutch
BAG, public domain); without it the drawn places are all. Interrupted, the same command goes on where it stopped.
`--install` replaces the model in src/overcast/weights.
"""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path

from benchmarks.limits import as_command, at_least, existing
from benchmarks.runs import score
from tools.one_band_places import drawn_options, write_places

from overcast.batch import InputModalities
from overcast.bundle.bundle import BUNDLED, WEIGHTS, release_bundle
from overcast.config import RunConfig, load_config, train
from overcast.evaluation.machine import describe_machine
from overcast.evaluation.result import Evaluation

CONFIGS = Path("configs/bundled")
NAME = "one-band-simulated-1m"


def main() -> None:
    arguments = parse_arguments()
    drawn = drawn_options(arguments.simulation, [f"workers={arguments.workers}", *arguments.places])
    places = write_places(arguments.output, drawn, arguments.cities)
    if arguments.data_only:
        print(places)
        return
    run = arguments.output / "run"
    train(training_config(places, arguments.sets), run)
    found = score(run, InputModalities.SAR, arguments.output / "test.json")
    print_score(found)
    target = (BUNDLED.parent if arguments.install else arguments.output) / NAME
    release_bundle(run / "bundle", target, {"test sar": figures(found)})
    print(f"{target}: {(target / WEIGHTS).stat().st_size / 1e6:.1f} MB")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for places, run and test")
    parser.add_argument("--cities", type=existing, help="folder with the files of the towns")
    parser.add_argument("--simulation", type=existing, default=CONFIGS / "one-band-simulation.yaml")
    parser.add_argument("--places", action="append", default=[], help="key=value for the simulation")
    parser.add_argument("--set", dest="sets", action="append", default=[], help="key=value for the training")
    parser.add_argument("--workers", type=at_least(1), default=2, help="processes of the simulator")
    parser.add_argument("--data-only", action="store_true", help="write the places and stop")
    parser.add_argument("--install", action="store_true", help="put the model into the package")
    return parser.parse_args()


def training_config(places: Path, sets: list[str]) -> RunConfig:
    """The training on the joined places."""
    own = [f"data.root={places}", f"data.split.path={places / 'split.csv'}"]
    return load_config(CONFIGS / "one-band-train.yaml", [*own, *sets])


def figures(found: Evaluation) -> dict[str, float]:
    pixels = found.pixels
    return {"iou": pixels.iou, "f1": pixels.f1, "precision": pixels.precision, "recall": pixels.recall}


def print_score(found: Evaluation) -> None:
    interval = found.iou_interval()
    spread = f" ({interval.low:.3f} .. {interval.high:.3f} over places)" if interval else ""
    values = ", ".join(f"{name} {value:.3f}" for name, value in figures(found).items())
    print(f"drawn places never trained on: {values}{spread}; {describe_machine()}; {date.today()}")


if __name__ == "__main__":
    as_command(main)
