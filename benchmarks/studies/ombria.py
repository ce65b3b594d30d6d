"""All methods on OMBRIA (real Sentinel-1 + Sentinel-2, class flood) at the same budget; the table of EXPERIMENTS.md.

    python -m benchmarks.studies.ombria --data /path/to/ombria --output runs/ombria-cpu --size cpu --seeds 0
    python -m benchmarks.studies.ombria --data /path/to/ombria --output runs/ombria --size full --seeds 0 1 2

Interrupted, the same command goes on where it stopped. The test folder is looked at once, at the end of a seed.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from datetime import date
from pathlib import Path

from benchmarks.limits import as_command, at_least, existing

from overcast.batch import InputModalities
from overcast.config import load_config, train
from overcast.evaluation.machine import describe_machine
from overcast.experiments.compare import Request, compare_runs

METHODS = ("cmhcl", "sar", "sar_twin", "fusion", "optical")
CONFIGS = {"cpu": Path("configs/ombria-cpu.yaml"), "full": Path("configs/ombria.yaml")}
GIVEN = (
    InputModalities.SAR,
    InputModalities.BOTH,
    InputModalities.OPTICAL,
    InputModalities.BOTH_OPTICAL_ZERO,
    InputModalities.BOTH_OPTICAL_MEAN,
)


def main() -> None:
    arguments = parse_arguments()
    ious: dict[tuple[str, str], list[float]] = defaultdict(list)
    for seed in arguments.seeds:
        runs = [train_method(arguments, method, seed) for method in arguments.methods]
        command = f"python -m benchmarks.studies.ombria --data ombria --size {arguments.size} --seeds {seed}"
        request = Request(available=GIVEN, command=command, settings=(f"data.root={arguments.data}",))
        compared = compare_runs(runs, arguments.output / f"seed{seed}", request)
        for result in compared.results:
            ious[result.method, result.available.value].append(result.evaluation.pixels.iou)
        print(f"seed {seed}: {compared.report}")
    print_table(ious, arguments.seeds)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=existing, required=True, help="folder with train/ and test/")
    parser.add_argument("--output", type=Path, required=True, help="folder for runs and reports")
    parser.add_argument("--size", choices=sorted(CONFIGS), default="cpu")
    parser.add_argument("--seeds", type=at_least(0), nargs="+", default=[0])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), help="the first leads the report")
    parser.add_argument("--set", dest="sets", action="append", default=[], help="key=value for every method")
    return parser.parse_args()


def train_method(arguments: argparse.Namespace, method: str, seed: int) -> Path:
    """Train one method, or leave it as it is when it is finished; returns its run folder."""
    sets = [f"data.root={arguments.data}", f"method.name={method}", f"training.seed={seed}", *arguments.sets]
    folder: Path = arguments.output / f"seed{seed}" / "runs" / method
    train(load_config(CONFIGS[arguments.size], sets), folder)
    return folder


def print_table(ious: dict[tuple[str, str], list[float]], seeds: list[int]) -> None:
    print(f"\npooled IoU on the test folder; seeds {seeds}; {describe_machine()}; {date.today()}")
    print("| method | given | IoU | spread over seeds |\n|---|---|---|---|")
    for (method, given), values in sorted(ious.items(), key=lambda item: (item[0][1], -item[1][0])):
        spread = f"{min(values):.3f} .. {max(values):.3f}" if len(values) > 1 else "one seed"
        print(f"| {method} | {given} | {statistics.fmean(values):.3f} | {spread} |")


if __name__ == "__main__":
    as_command(main)
