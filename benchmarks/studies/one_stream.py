"""Is one distilled stream as good as the two that taught it? The study, its differences and a verdict.

    python -m benchmarks.studies.one_stream configs/studies/one-stream.yaml --output runs/one-stream

Interrupted, the same command goes on. Asked for, on every data set and given SAR alone: mean IoU over seeds at most
0.005 below the teacher's and above that of `sar`, and the multiply-adds of `sar`. The exit code is 1 where one fails.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from benchmarks import limits

from overcast.batch import InputModalities
from overcast.errors import ConfigError
from overcast.evaluation.machine import describe_machine
from overcast.evaluation.seeds import difference_over_seeds, iou_over_seeds
from overcast.experiments.benchmark.jobs import Job
from overcast.experiments.benchmark.options import BenchmarkConfig, load_benchmark
from overcast.experiments.benchmark.runner import prepare_data, run_benchmark
from overcast.experiments.benchmark.tables import Scores
from overcast.experiments.benchmark.work import Outcome
from overcast.experiments.benchmark.workers import Workers
from overcast.report.text_tables import interval_of

LARGEST_LOSS = 0.005
"""IoU of the one stream below that of its teacher, at most."""
STUDENT, LABELS = "one_stream", "sar"


@dataclass(frozen=True)
class Verdict:
    """Of one data set."""

    near_teacher: bool
    above_labels: bool
    cost_ratio: float

    @property
    def holds(self) -> bool:
        """True where all that is asked for is there."""
        return self.near_teacher and self.above_labels and self.cost_ratio == 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="benchmark with the methods one_stream, its teacher and sar")
    parser.add_argument("--output", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--at-once", type=limits.at_least(1), default=1, help="trainings at once")
    parser.add_argument("--gpus", type=limits.at_least(0), default=0, help="GPUs of this machine")
    parser.add_argument("--set", dest="sets", action="append", default=[], help="key=value of the benchmark")
    given = parser.parse_args()
    benchmark = load_benchmark(given.config, given.sets)
    teacher = teacher_of(benchmark)
    options = prepare_data(benchmark, lambda *_: None)
    finished = run_benchmark(benchmark, given.output, options, Workers(given.at_once, given.gpus), say)
    verdicts = [judged(Scores(benchmark, name, finished), teacher) for name in benchmark.datasets]
    print(f"\n{describe_machine()}; {date.today()}")
    sys.exit(0 if all(verdict.holds for verdict in verdicts) else 1)


def teacher_of(benchmark: BenchmarkConfig) -> str:
    entry = benchmark.entry(STUDENT)
    if entry is None or entry.taught_by is None or benchmark.entry(LABELS) is None:
        raise ConfigError(f"the benchmark needs the methods {LABELS} and {STUDENT}, which another one has taught.")
    return entry.taught_by


def say(job: Job, outcome: Outcome, done: int, total: int) -> None:
    found = outcome.error or f"validation IoU {outcome.validation or 0:.3f}"
    print(f"{done}/{total}  {job.name}: {found}", file=sys.stderr, flush=True)


def judged(scores: Scores, teacher: str) -> Verdict:
    """Print the figures of a data set and judge them."""
    print(
        f"\n{scores.dataset}, given SAR alone\n\n| method | IoU, mean over seeds | 10^9 multiply-adds |\n|---|---|---|"
    )
    for entry in scores.benchmark.methods:
        runs, rows = scores.runs(entry.label, InputModalities.SAR), scores.rows(entry.label, InputModalities.SAR)
        if runs:
            print(f"| `{entry.label}` | {iou_over_seeds(runs).value:.4f} | {rows[0].multiply_adds / 1e9:.2f} |")
    below, above = (_difference(scores, other) for other in (teacher, LABELS))
    student, plain = (scores.rows(label, InputModalities.SAR)[0].multiply_adds for label in (STUDENT, LABELS))
    verdict = Verdict(below >= -LARGEST_LOSS, above > 0, student / plain)
    print(f"\nat most {LARGEST_LOSS} below {teacher}: {_said(verdict.near_teacher)}; ", end="")
    print(f"above {LABELS}: {_said(verdict.above_labels)}; multiply-adds of {LABELS}: {verdict.cost_ratio:.3f} x")
    return verdict


def _difference(scores: Scores, other: str) -> float:
    """Mean IoU of the student minus that of another method; printed with spread and interval."""
    pair = [scores.runs(label, InputModalities.SAR) for label in (STUDENT, other)]
    if not all(pair):
        raise ConfigError(f"{scores.dataset} has no finished run of {STUDENT} or {other}: see the errors above.")
    found = difference_over_seeds(*pair)
    spread = f"{found.lowest:+.4f} .. {found.highest:+.4f} over {found.seeds} seeds"
    interval = interval_of(found, 4, signed=True)
    figures = f"{found.value:+.4f} ({spread}; 95 % over places {interval})"
    print(f"\n{STUDENT} minus {other}: {figures}")
    return found.value


def _said(holds: bool) -> str:
    return "yes" if holds else "NO"


if __name__ == "__main__":
    limits.as_command(main)
