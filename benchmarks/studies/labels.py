"""What an optical teacher brings where labels are few: a benchmark per share of labelled places, one table and figure.

    python -m benchmarks.studies.labels configs/studies/labels.yaml --output runs/labels --at-once 2

Every run has the same images; at a share of 0.25 a quarter of the training places keeps its labels, chosen by the seed
of the run, the same places for every method. Candidates of a method are tried on validation at every share, or with
`--tune-at` at one share whose choice holds for all. Interrupted, the same command goes on. `results.csv` holds the IoU
on the test places from SAR alone (for a method that needs both sensors, from both), a row per run; `labels.png` the
difference to the best SAR-only method of the same seed and share, with the spread over seeds; `share14.3/report.md`
the tables of a share, with paired differences and intervals over places.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from statistics import mean

import matplotlib as mpl
from benchmarks import limits

from overcast.batch import InputModalities
from overcast.evaluation.machine import describe_machine
from overcast.experiments.benchmark.jobs import Job
from overcast.experiments.benchmark.options import BenchmarkConfig, load_benchmark
from overcast.experiments.benchmark.report import write_benchmark
from overcast.experiments.benchmark.runner import Finished, kept, prepare_data, run_benchmark
from overcast.experiments.benchmark.work import Outcome
from overcast.experiments.benchmark.workers import Workers

SHARES = (0.05, 0.10, 0.25, 0.50, 1.0)
SAR_ONLY = ("sar", "sar_twin", "self_training")
COLUMNS = ("dataset", "method", "seed", "label_share", "iou")
Scores = dict[tuple[str, str, int, float], float]
"""(data set, method, seed, share of labels) to the IoU on the test places."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="benchmark; the share of labels is added to its data sets")
    parser.add_argument("--output", type=Path, required=True, help="folder of the runs, the table and the figure")
    parser.add_argument(
        "--shares", type=limits.share, nargs="+", default=SHARES, help="of the training places with labels"
    )
    parser.add_argument(
        "--tune-at", type=limits.share, help="share at which candidates are tried for all shares; default: at every one"
    )
    parser.add_argument("--at-once", type=limits.at_least(1), default=1, help="trainings at once")
    parser.add_argument("--gpus", type=limits.at_least(0), default=0, help="GPUs of this machine")
    parser.add_argument("--set", dest="sets", action="append", default=[], help="key=value of the benchmark")
    given = parser.parse_args()
    benchmark = load_benchmark(given.config, given.sets)
    options = prepare_data(benchmark, lambda *_: None)
    command = f"python -m benchmarks.studies.labels {given.config} --output {given.output}"
    command += "" if given.tune_at is None else f" --tune-at {given.tune_at:g}"
    tuned = None
    for share in in_order(given.shares, given.tune_at):
        part = at_share(benchmark, share)
        folder = folder_of(given.output, share)
        finished = run_benchmark(part, folder, options, Workers(given.at_once, given.gpus), say, tuned)
        if share == given.tune_at:
            tuned = finished
        write_benchmark(part, finished, folder, command)
        scores = collected(benchmark, given.output, tuned)
        write_rows(scores, given.output / "results.csv")
        draw(scores, given.output)
    print(f"{describe_machine()}; {date.today()}")
    print_tables(scores)


def in_order(shares: Sequence[float], tune_at: float | None) -> list[float]:
    """The share at which candidates are tried comes first, asked for or not."""
    return list(shares) if tune_at is None else [tune_at, *(share for share in shares if share != tune_at)]


def at_share(benchmark: BenchmarkConfig, share: float) -> BenchmarkConfig:
    """The benchmark with labels on a share of the training places."""
    datasets = {
        name: dataset.model_copy(update={"sets": (*dataset.sets, f"data.label_share={share:g}")})
        for name, dataset in benchmark.datasets.items()
    }
    return benchmark.model_copy(update={"datasets": datasets})


def folder_of(output: Path, share: float) -> Path:
    return output / f"share{100 * share:g}"


def say(job: Job, outcome: Outcome, done: int, total: int) -> None:
    found = outcome.error or (f"validation IoU {outcome.validation:.3f}" if outcome.validation is not None else "done")
    print(f"{done}/{total}  {job.config.data.label_share:g}  {job.name}: {found}", file=sys.stderr, flush=True)


def collected(benchmark: BenchmarkConfig, output: Path, tuned: Finished | None) -> Scores:
    """What is finished at every share that was begun, in earlier calls too."""
    scores: Scores = {}
    for folder in sorted(output.glob("share*"), key=lambda path: float(path.name.removeprefix("share"))):
        share = float(folder.name.removeprefix("share")) / 100
        scores |= scores_of(kept(at_share(benchmark, share), folder, tuned), share)
    return scores


def scores_of(finished: Finished, share: float) -> Scores:
    """From SAR alone where the method works from it, else from both."""
    scores: Scores = {}
    for job, outcome in finished.runs:
        rows = {row.available: row for row in outcome.rows}
        row = rows.get(InputModalities.SAR) or rows.get(InputModalities.BOTH)
        if row is not None:
            scores[job.dataset, job.label, job.seed, share] = row.figures["iou"]
    return scores


def write_rows(scores: Scores, path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([*run, f"{share:g}", f"{iou:.6f}"] for (*run, share), iou in scores.items())


def gains(scores: Scores, dataset: str) -> dict[tuple[str, float], list[float]]:
    """(method, share) to its difference to the best SAR-only method of the same seed, seed by seed.

    The best is chosen by its mean over the seeds of the share, not seed by seed.
    """
    shares = sorted({share for name, _, _, share in scores if name == dataset})
    found: dict[tuple[str, float], list[float]] = defaultdict(list)
    for share in shares:
        means = {
            control: mean(values)
            for control in SAR_ONLY
            if (values := [v for (d, m, _, s), v in scores.items() if (d, m, s) == (dataset, control, share)])
        }
        if not means:
            continue
        best = max(means, key=means.__getitem__)
        for (name, method, seed, at), iou in scores.items():
            if (name, at) == (dataset, share) and (dataset, best, seed, share) in scores:
                found[method, share].append(iou - scores[dataset, best, seed, share])
    return found


def draw(scores: Scores, output: Path) -> None:
    """A figure per data set."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    for dataset in sorted({key[0] for key in scores}):
        found = gains(scores, dataset)
        figure, axes = plt.subplots(figsize=(7, 4.5))
        for method in dict.fromkeys(method for method, _ in found):
            points = sorted((share, values) for (name, share), values in found.items() if name == method)
            xs = [100 * share for share, _ in points]
            (line,) = axes.plot(xs, [mean(values) for _, values in points], marker="o", label=method)
            low, high = [min(values) for _, values in points], [max(values) for _, values in points]
            axes.fill_between(xs, low, high, alpha=0.12, color=line.get_color())
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set(xscale="log", xlabel="training places with labels, %", ylabel="IoU minus best SAR-only method")
        shares = sorted({100 * share for _, share in found})
        axes.set_xticks(shares, [f"{share:.3g}" for share in shares])
        axes.minorticks_off()
        axes.legend(fontsize=7)
        figure.tight_layout()
        figure.savefig(output / f"labels-{dataset}.png", dpi=150)
        plt.close(figure)


def print_tables(scores: Scores) -> None:
    """Per data set the IoU, and its difference to the best SAR-only method."""
    for name in dict.fromkeys(dataset for dataset, *_ in scores):
        found = defaultdict(list)
        for (dataset, method, _, share), iou in scores.items():
            if dataset == name:
                found[method, share].append(iou)
        print_table(f"{name}: IoU on the test places, mean over seeds (least .. most, how many)", found, "")
        print_table(f"{name}: minus the best SAR-only method, seed by seed", gains(scores, name), "+")


def print_table(title: str, found: Mapping[tuple[str, float], list[float]], sign: str) -> None:
    shares = sorted({share for _, share in found})
    print(f"\n{title}\n\n| method | {' | '.join(f'{100 * share:g} %' for share in shares)} |")
    print("|---" * (len(shares) + 1) + "|")
    for method in dict.fromkeys(method for method, _ in found):
        cells = (found.get((method, share)) for share in shares)
        texts = (
            f"{mean(v):{sign}.3f} ({min(v):{sign}.3f} .. {max(v):{sign}.3f}, {len(v)})" if v else "" for v in cells
        )
        print(f"| `{method}` | {' | '.join(texts)} |")


if __name__ == "__main__":
    limits.as_command(main)
