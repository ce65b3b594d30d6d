"""Variants of a method side by side on validation alone, several seeds each; test chips are never looked at.

    python -m benchmarks.studies.alignments configs/studies/alignments.yaml --output runs/alignments --at-once 2

The configuration is that of a benchmark in which every entry has one candidate; each is trained with the given seeds,
which should not be those that the methods are tested with. Interrupted, the same command goes on. Differences are those
to the control of the same seed. IoU is that of the best round from SAR alone; the same weights are given both sensors
as well.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import defaultdict
from datetime import date
from pathlib import Path
from statistics import mean

from benchmarks.limits import as_command, at_least, existing

from overcast.batch import InputModalities
from overcast.errors import ConfigError
from overcast.evaluation.machine import describe_machine
from overcast.experiments.benchmark.jobs import Job, trial_jobs
from overcast.experiments.benchmark.options import BenchmarkConfig, load_benchmark
from overcast.experiments.benchmark.runner import prepare_data
from overcast.experiments.benchmark.work import Outcome, Test, kept_outcome
from overcast.experiments.benchmark.workers import Workers, results

SEEDS = (1000, 1001)
Scores = dict[tuple[str, str, int], dict[str, float]]
"""(data set, label, seed) to validation IoU by what was given."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=existing, help="benchmark with one candidate per method")
    parser.add_argument("--output", type=Path, required=True, help="folder of the runs and the table")
    parser.add_argument("--seeds", type=at_least(0), nargs="+", default=SEEDS)
    parser.add_argument("--at-once", type=at_least(1), default=1, help="trainings at once")
    parser.add_argument("--datasets", nargs="+", metavar="NAME", help="these data sets alone")
    parser.add_argument("--only", nargs="+", metavar="LABEL", help="these variants alone")
    given = parser.parse_args()
    benchmark = load_benchmark(given.config)
    if given.datasets is not None:
        chosen = {name: benchmark.datasets[name] for name in given.datasets}
        benchmark = benchmark.model_copy(update={"datasets": chosen})
    jobs = jobs_of(benchmark, given.output, given.seeds, given.only)
    tests = {name: Test((), options) for name, options in prepare_data(benchmark, lambda *_: None).items()}
    waiting = [job for job in jobs if kept_outcome(job) is None]
    for done, (job, outcome) in enumerate(results(waiting, tests, Workers(given.at_once)), 1):
        print(
            f"{done}/{len(waiting)}  {job.dataset}, {job.label}, seed {job.seed}: {said(outcome)}",
            file=sys.stderr,
            flush=True,
        )
    every = jobs_of(benchmark, given.output, given.seeds, None)
    scores = {(job.dataset, job.label, job.seed): validation(job) for job in every if kept_outcome(job) is not None}
    write_rows(scores, given.output / "validation.csv")
    print(f"{describe_machine()}; {date.today()}")
    for name in benchmark.datasets:
        print_table({key: found for key, found in scores.items() if key[0] == name}, benchmark.control)


def jobs_of(benchmark: BenchmarkConfig, output: Path, seeds: list[int], only: list[str] | None) -> list[Job]:
    """Trainings seed by seed, so that every variant has a row early."""
    if any(len(entry.candidates) != 1 for entry in benchmark.methods):
        raise ConfigError("every method of a comparison of variants needs one candidate, for example [[]].")
    jobs: list[Job] = []
    for seed in seeds:
        tuning = benchmark.tuning.model_copy(update={"seed": seed})
        jobs += trial_jobs(benchmark.model_copy(update={"tuning": tuning}), output / f"seed{seed}")
    return [job for job in jobs if only is None or job.label in only]


def said(outcome: Outcome) -> str:
    return outcome.error or f"validation IoU {outcome.validation:.3f}"


def validation(job: Job) -> dict[str, float]:
    """Validation IoU of the weights that a run kept, by what was given."""
    metrics = json.loads((job.run / "result.json").read_text(encoding="utf-8"))["metrics"]
    return {name.removeprefix("validation "): figures["iou"] for name, figures in metrics.items()}


def write_rows(scores: Scores, path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["dataset", "label", "seed", "given", "validation_iou"])
        for (dataset, label, seed), found in scores.items():
            writer.writerows([dataset, label, seed, available, f"{iou:.6f}"] for available, iou in found.items())


def print_table(scores: Scores, control: str) -> None:
    """Of one data set."""
    if not scores:
        return
    name = next(iter(scores))[0]
    print(f"\n{name}\n")
    print("| variant | runs | IoU from SAR | over seeds | minus control, seed by seed | mean | IoU from both |")
    print("|---|---|---|---|---|---|---|")
    by_label: dict[str, list[int]] = defaultdict(list)
    for _, label, seed in scores:
        by_label[label].append(seed)
    for label, seeds in by_label.items():
        found = [scores[name, label, seed] for seed in seeds]
        sar = [one[InputModalities.SAR.value] for one in found if InputModalities.SAR.value in one]
        controls = [scores.get((name, control, seed)) for seed in seeds]
        gains = [
            own - other[InputModalities.SAR.value]
            for own, other in zip(sar, controls, strict=True)
            if other is not None and label != control
        ]
        both = [one[InputModalities.BOTH.value] for one in found if InputModalities.BOTH.value in one]
        cells = (
            f"`{label}`",
            str(len(seeds)),
            f"{mean(sar):.3f}",
            f"{min(sar):.3f} .. {max(sar):.3f}",
            " ".join(f"{gain:+.3f}" for gain in gains),
            f"{mean(gains):+.3f}" if gains else "",
            f"{mean(both):.3f}" if both else "",
        )
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    as_command(main)
