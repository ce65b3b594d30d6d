"""Makes the model that is installed with Overcast: simulate, train, test once, pack in half precision.

    python -m tools.bundled_model --output runs/bundled
    python -m tools.bundled_model --output runs/bundled --controls sar_twin sar --install

Interrupted, the same command goes on where it stopped. `--install` replaces the model in src/overcast/weights.
"""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path

from benchmarks.limits import as_command, at_least, existing
from rich.progress import Progress

from overcast.batch import InputModalities
from overcast.bundle.bundle import BUNDLED, WEIGHTS, release_bundle
from overcast.choices import SimulationPreset
from overcast.config import load_config, train
from overcast.evaluation.machine import describe_machine
from overcast.experiments.compare import Comparison, Request, compare_runs
from overcast.settings import read_settings
from overcast.simulator.dataset.folder import simulate_dataset
from overcast.simulator.options import SimulationOptions, preset

CONFIGS = Path("configs/bundled")
METHOD = "cmhcl"


def main() -> None:
    arguments = parse_arguments()
    city = arguments.data or simulate(arguments.output / "city", arguments.workers)
    methods = [METHOD, *arguments.controls]
    runs = [train_method(arguments, city, method) for method in methods]
    command = f"python -m tools.bundled_model --output {arguments.output}"
    compared = compare_runs(runs, arguments.output, Request(title="The installed model", command=command))
    print_scores(compared)
    metrics = {"test sar": scores(compared, METHOD)}
    target = BUNDLED if arguments.install else arguments.output / BUNDLED.name
    release_bundle(runs[0] / "bundle", target, metrics)
    print(f"{target}: {(target / WEIGHTS).stat().st_size / 1e6:.1f} MB")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for places, runs and report")
    parser.add_argument("--data", type=existing, help="places that are there already, instead of simulating them")
    parser.add_argument("--controls", nargs="*", default=[], help="methods trained at the same budget, for comparison")
    parser.add_argument("--install", action="store_true", help="put the model into the package")
    parser.add_argument("--workers", type=at_least(1), default=2, help="processes of the simulator")
    parser.add_argument("--set", dest="sets", action="append", default=[], help="key=value for every training")
    return parser.parse_args()


def simulate(city: Path, workers: int) -> Path:
    base = preset(SimulationPreset.DEMO).model_dump(mode="json")
    options = read_settings(SimulationOptions, CONFIGS / "simulation.yaml", [f"workers={workers}"], base)
    with Progress() as progress:
        task = progress.add_task("places")
        return simulate_dataset(city, options, lambda done, n: progress.update(task, completed=done, total=n))


def train_method(arguments: argparse.Namespace, city: Path, method: str) -> Path:
    """Train one method, or leave it as it is when it is finished; returns its run folder."""
    folder: Path = arguments.output / "runs" / method
    train(load_config(CONFIGS / "train.yaml", [f"data.root={city}", f"method.name={method}", *arguments.sets]), folder)
    return folder


def scores(compared: Comparison, method: str) -> dict[str, float]:
    """Test scores of a method given SAR alone."""
    (result,) = (r for r in compared.results if r.method == method and r.available is InputModalities.SAR)
    pixels = result.evaluation.pixels
    return {"iou": pixels.iou, "f1": pixels.f1, "precision": pixels.precision, "recall": pixels.recall}


def print_scores(compared: Comparison) -> None:
    print(f"test places, SAR alone; {describe_machine()}; {date.today()}\n| method | IoU | interval over places | F1 |")
    print("|---|---|---|---|")
    for result in compared.results:
        interval = result.evaluation.iou_interval()
        spread = f"{interval.low:.3f} .. {interval.high:.3f}" if interval else ""
        pixels = result.evaluation.pixels
        print(f"| {result.method} | {pixels.iou:.3f} | {spread} | {pixels.f1:.3f} |")
    print(f"report: {compared.report}")


if __name__ == "__main__":
    as_command(main)
