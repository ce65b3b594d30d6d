"""How hard the simulated city is: every method at one small budget on unseen places, and harder nuisances.

    python -m benchmarks.realism.simulator_difficulty --output runs/difficulty --seeds 0 1 2 --size cpu

Three levels of nuisances on the same seeds: `none`, `default`, `hard` (see LEVELS). At the default level all methods
are trained, at the others `sar` and `fusion`. The test places are the same for all runs of a level. Interrupted, the
same command goes on with the next run; each run adds its row to OUTPUT/difficulty.csv when it ends.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from datetime import date
from pathlib import Path

from benchmarks.limits import at_least
from benchmarks.runs import Budget, add_row, best_threshold, counted_pixels, given, run_config, score, trained
from rich.console import Console
from rich.progress import Progress

from overcast.batch import InputModalities, Modality
from overcast.config.data import build_data
from overcast.data.splits.parts import Part
from overcast.evaluation.machine import describe_machine
from overcast.simulator.dataset.folder import simulate_dataset
from overcast.simulator.options import CityOptions, OpticalOptions, SarOptions, SimulationOptions

LEVELS = {
    "none": (
        CityOptions(trees=0, cars=0),
        OpticalOptions(off_nadir_deg=0, light_jitter_deg=0, exposure_jitter=0),
        SarOptions(
            looks=12,
            gain_drift_db=0,
            cross_drift_db=0,
            noise_drift_db=0,
            ripple_db=0,
            misregistration_px=0,
            wedge_share=0,
        ),
    ),
    "default": (CityOptions(), OpticalOptions(), SarOptions()),
    "hard": (
        CityOptions(trees=2, cars=2),
        OpticalOptions(off_nadir_deg=28, light_jitter_deg=20, exposure_jitter=0.15, cloud_share=0.3),
        SarOptions(
            looks=1,
            gain_drift_db=8,
            cross_drift_db=8,
            noise_drift_db=4,
            ripple_db=1.5,
            misregistration_px=2,
            wedge_share=0.2,
        ),
    ),
}
"""Nuisances: no trees, vehicles, drift, shift, wedges or oblique view and four times the looks; the defaults; twice the
trees and vehicles, one look, twice the drift, three times the shift, 28 degrees off nadir, a third under clouds."""
METHODS = {"none": ("sar", "fusion"), "default": ("sar", "sar_twin", "optical", "fusion"), "hard": ("sar", "fusion")}
BUDGETS = {"cpu": Budget(steps=250, batch=8, crop=96), "full": Budget(steps=4000, batch=16, crop=128)}
PLACES = {"cpu": 24, "full": 120}
SMOKE = Budget(steps=2, batch=2, crop=64)
TEST_SHARE, VALIDATION_SHARE = 0.25, 0.1
Scores = dict[tuple[str, str, str], list[float]]


def main() -> None:
    arguments = parse_arguments()
    scores: Scores = defaultdict(list)
    for level in arguments.levels:
        data = simulate(arguments, level)
        for seed in arguments.seeds:
            for method in METHODS[level]:
                if arguments.methods is None or method in arguments.methods:
                    run_once(arguments, level, data, (method, seed), scores)
        for name, iou in rules_of_one_number(data).items():
            scores[level, name, "sar"].append(iou)
    print_table(scores, arguments)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for data, runs and the table")
    parser.add_argument("--seeds", type=at_least(0), nargs="+", default=[0, 1, 2], help="of the trainings")
    parser.add_argument("--size", choices=sorted(BUDGETS), default="cpu")
    parser.add_argument("--levels", nargs="+", choices=list(LEVELS), default=["default", "none", "hard"])
    parser.add_argument("--methods", nargs="+", help="a choice of them")
    parser.add_argument("--workers", type=at_least(1), default=2, help="processes that simulate")
    parser.add_argument("--smoke", action="store_true", help="two steps on a few small places: does it run?")
    return parser.parse_args()


def options_of(level: str, arguments: argparse.Namespace) -> SimulationOptions:
    """Places of 384 m in 9 chips of 128 px at 1 m."""
    city, optical, sar = LEVELS[level]
    places, side_m = (5, 128.0) if arguments.smoke else (PLACES[arguments.size], 384.0)
    return SimulationOptions(
        name=f"simulated city, nuisances {level}",
        seed=77,
        places=places,
        place_m=side_m,
        chip_px=128,
        gsd_m=1.0,
        city=city,
        optical=optical,
        sar=sar,
        workers=arguments.workers,
    )


def simulate(arguments: argparse.Namespace, level: str) -> Path:
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(f"simulating {level}")
        return simulate_dataset(
            arguments.output / level / "data",
            options_of(level, arguments),
            lambda done, total: progress.update(task, completed=done, total=total),
        )


def run_once(arguments: argparse.Namespace, level: str, data: Path, which: tuple[str, int], scores: Scores) -> None:
    """Train and score one method with one seed; its row goes to the CSV file."""
    method, seed = which
    budget = SMOKE if arguments.smoke else BUDGETS[arguments.size]
    folder = arguments.output / level / f"{method}-seed{seed}"
    start = time.perf_counter()
    config = run_config(data, method, seed, budget, test_share=TEST_SHARE, validation_share=VALIDATION_SHARE)
    run = trained(config, folder)
    ways = [given(method), *([InputModalities.BOTH_OPTICAL_MEAN] if method == "fusion" else [])]
    for way in ways:
        evaluation = score(run, way, arguments.output / level / "scores" / f"{folder.name}-{way.value}.json")
        interval, iou = evaluation.iou_interval(), evaluation.pixels.iou
        scores[level, method, way.value].append(iou)
        row = {"size": "smoke" if arguments.smoke else arguments.size, "level": level, "method": method}
        row |= {"given": way.value, "seed": seed, "steps": budget.steps, "iou": f"{iou:.4f}"}
        row |= {"low": f"{interval.low:.4f}", "high": f"{interval.high:.4f}"} if interval else {"low": "", "high": ""}
        add_row(arguments.output / "difficulty.csv", row)
        bounds = f" ({interval.low:.3f} .. {interval.high:.3f} over places)" if interval else ""
        seconds = time.perf_counter() - start
        print(
            f"{level:>8} {method:>9} seed {seed} given {way.value}: IoU {iou:.3f}{bounds}, {seconds:.0f} s", flush=True
        )


def rules_of_one_number(data: Path) -> dict[str, float]:
    """IoU on the test places of the threshold that is best on the training places, and of calling all a building."""
    config = run_config(data, "sar", 0, SMOKE, test_share=TEST_SHARE, validation_share=VALIDATION_SHARE)
    catalog, split = build_data(config.data)
    rule = best_threshold(*counted_pixels(catalog, split.keys(Part.TRAIN), Modality.SAR))
    pixels, label = counted_pixels(catalog, split.keys(Part.TEST), Modality.SAR)
    return {"best threshold on one band": rule.iou(pixels, label), "everything a building": float(label.mean())}


def print_table(scores: Scores, arguments: argparse.Namespace) -> None:
    size = "smoke" if arguments.smoke else arguments.size
    print(f"\nIoU on unseen places; size {size}, seeds {arguments.seeds}; {describe_machine()}; {date.today()}")
    print("| nuisances | method | given | IoU, mean | over seeds |\n|---|---|---|---|---|")
    for (level, method, way), values in scores.items():
        spread = f"{min(values):.3f} .. {max(values):.3f}" if len(values) > 1 else "one value"
        print(f"| {level} | {method} | {way} | {statistics.fmean(values):.3f} | {spread} |")


if __name__ == "__main__":
    main()
