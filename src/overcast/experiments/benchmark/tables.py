"""The tables of a benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from overcast.batch import InputModalities
from overcast.evaluation.seeds import (
    Runs,
    SeedEstimate,
    difference_over_seeds,
    iou_over_seeds,
    recovery_over_seeds,
)
from overcast.experiments.benchmark.options import BenchmarkConfig
from overcast.experiments.benchmark.runner import Finished, evaluated
from overcast.experiments.benchmark.work import Row, read_clouded, read_evaluation
from overcast.report.data import available_text
from overcast.report.text_tables import DASH, Table, interval_of, spread_text


@dataclass(frozen=True)
class Figure:
    """A column of means over seeds."""

    title: str
    name: str
    form: str = ".3f"

    def text(self, rows: Sequence[Row]) -> str:
        """Mean over the rows that have the figure; a dash where none has it."""
        values = [row.figures[self.name] for row in rows if self.name in row.figures]
        return f"{np.mean(values):{self.form}}" if values else DASH


FIGURES = (
    Figure("F1", "f1"),
    Figure("instance F1", "instance_f1"),
    Figure("AP", "ap"),
    Figure("boundary IoU", "boundary_iou"),
    Figure("match rate", "instance_recall"),
    Figure("PoLiS (m)", "polis_m", ".2f"),
    Figure("ECE", "ece"),
    Figure("Brier", "brier"),
    Figure("polygon ECE", "instance_ece"),
    Figure("s/km²", "s_per_km2", ".2g"),
)


@dataclass(frozen=True)
class Scores:
    """Everything that the tables of one data set are made from."""

    benchmark: BenchmarkConfig
    dataset: str
    finished: Finished

    def runs(self, label: str, available: InputModalities) -> Runs:
        """Counts by place of each seed."""
        jobs = evaluated(self.finished, self.dataset, label, available)
        found = (read_evaluation(job, available) for job in jobs)
        return [evaluation.pixels_by_place for evaluation in found if evaluation is not None]

    def rows(self, label: str, available: InputModalities) -> list[Row]:
        """Rows of each seed."""
        return [
            row
            for job, outcome in self.finished.runs
            for row in outcome.rows
            if (job.dataset, job.label, row.available) == (self.dataset, label, available)
        ]

    def validation(self, label: str, available: InputModalities) -> float | None:
        """Mean validation IoU over seeds; None but for the sensors that the method is chosen by, its first ones."""
        outcomes = [outcome for job, outcome in self.finished.runs if (job.dataset, job.label) == (self.dataset, label)]
        found = [o.validation for o in outcomes if o.rows and o.rows[0].available is available]
        return float(np.mean([value for value in found if value is not None])) if found else None

    def clouded_runs(self, label: str, share: float) -> Runs:
        """Counts by place of each seed with this share of valid optical pixels."""
        jobs = evaluated(self.finished, self.dataset, label, InputModalities.BOTH)
        found = (read_clouded(job, share) for job in jobs)
        return [evaluation.pixels_by_place for evaluation in found if evaluation is not None]

    def clouded(self, label: str) -> dict[float, SeedEstimate]:
        """IoU by share of valid optical pixels; empty where the method was not tested under clouds."""
        shares = sorted(self.benchmark.optical_shares)
        return {share: iou_over_seeds(runs) for share in shares if (runs := self.clouded_runs(label, share))}


def score_tables(scores: Scores) -> list[Table]:
    """One table for each set of sensors that was given."""
    tables = []
    for available in scores.benchmark.available:
        labels = [entry.label for entry in scores.benchmark.methods if scores.runs(entry.label, available)]
        if labels:
            tables.append(_score_table(scores, available, labels))
    under_clouds = clouded_table(scores)
    return tables if under_clouds is None else [*tables, under_clouds]


def clouded_table(scores: Scores) -> Table | None:
    """IoU over the share of valid optical pixels; None where none was tested."""
    shares = sorted(scores.benchmark.optical_shares)
    found = {entry.label: scores.clouded(entry.label) for entry in scores.benchmark.methods}
    rows = [
        (label, *(f"{curve[share].value:.3f}" if share in curve else DASH for share in shares))
        for label, curve in found.items()
        if curve
    ]
    if not rows:
        return None
    note = (
        "Mean IoU over seeds. Clouds, the same for every method, hide the rest of each optical image. Where it is "
        "hidden, a method that works from SAR alone does so; any other takes the training mean for it."
    )
    columns = ("method", *(f"{100 * share:g} %" for share in shares))
    return Table(f"{scores.dataset}, share of valid optical pixels", columns, tuple(rows), note)


def _score_table(scores: Scores, available: InputModalities, labels: Sequence[str]) -> Table:
    compared = available is InputModalities.SAR
    columns = ["method", "runs", "validation IoU", "IoU", "over seeds", "95 % over places"]
    if compared:
        columns += [f"minus {scores.benchmark.control}", "recovery ratio"]
    columns += [figure.title for figure in FIGURES] + ["M param.", "GMAC", "MB"]
    rows = [_score_row(scores, label, available, compared=compared) for label in labels]
    note = _undefined_note(scores) if compared else ""
    return Table(f"{scores.dataset}, given {available_text(available)}", tuple(columns), tuple(rows), note)


def _undefined_note(scores: Scores) -> str:
    """How often places are drawn that leave nothing to recover; empty where they never are."""
    benchmark = scores.benchmark
    recovered = _recovery(scores, scores.runs(benchmark.ceiling, InputModalities.BOTH))
    if recovered is None or recovered.undefined == 0:
        return ""
    return (
        f"In {100 * recovered.undefined:.2g} % of the resamples of places {benchmark.ceiling} is not above "
        f"{benchmark.control}; the recovery ratio is unbounded there, ∞ for a method above the control and -∞ for one "
        "below, so that an interval may be open. Its lower end is above 0 only for a method that is above the control "
        "in 97.5 % of all resamples."
    )


def _recovery(scores: Scores, runs: Runs) -> SeedEstimate | None:
    """Recovery ratio; None without control or ceiling, or where there is nothing to recover."""
    control = scores.runs(scores.benchmark.control, InputModalities.SAR)
    ceiling = scores.runs(scores.benchmark.ceiling, InputModalities.BOTH)
    return recovery_over_seeds(runs, control, ceiling) if runs and control and ceiling else None


def _score_row(scores: Scores, label: str, available: InputModalities, *, compared: bool) -> tuple[str, ...]:
    runs, rows = scores.runs(label, available), scores.rows(label, available)
    iou = iou_over_seeds(runs)
    tuned_on = scores.validation(label, available)
    cells = [
        label,
        str(iou.seeds),
        DASH if tuned_on is None else f"{tuned_on:.3f}",
        f"{iou.value:.3f}",
        spread_text(iou),
        interval_of(iou, 3),
    ]
    if compared:
        cells += _compared(scores, label, runs)
    return (
        *cells,
        *(figure.text(rows) for figure in FIGURES),
        f"{rows[0].parameters / 1e6:.2f}",
        f"{rows[0].multiply_adds / 1e9:.2f}",
        DASH if rows[0].peak_bytes is None else f"{rows[0].peak_bytes / 1e6:.0f}",
    )


def _compared(scores: Scores, label: str, runs: Runs) -> list[str]:
    """Difference to the control and recovery ratio, with their intervals."""
    control = scores.runs(scores.benchmark.control, InputModalities.SAR)
    if label == scores.benchmark.control or not control:
        return [DASH, DASH]
    gain, share = difference_over_seeds(runs, control), _recovery(scores, runs)
    recovered = DASH if share is None else f"{share.value:.2f} ({interval_of(share, 2)})"
    return [f"{gain.value:+.3f} ({interval_of(gain, 3, signed=True)})", recovered]


def tuning_table(benchmark: BenchmarkConfig, finished: Finished) -> Table | None:
    """Every trial with its validation IoU; None without any."""
    if not finished.trials:
        return None
    rows = []
    for job, outcome in finished.trials:
        entry = benchmark.entry(job.label)
        assert entry is not None
        assert job.trial is not None
        candidate = entry.candidates[job.trial]
        won = "taken" if finished.chosen[job.dataset, job.label] == candidate else ""
        score = DASH if outcome.validation is None else f"{outcome.validation:.3f}"
        rows.append((job.dataset, job.label, " ".join(candidate) or "defaults", score, won))
    note = f"Validation IoU of one training each, seed {benchmark.tuning.seed}; test chips were not looked at."
    return Table("Tuning", ("data set", "method", "candidate", "validation IoU", ""), tuple(rows), note)


def failure_table(finished: Finished) -> Table | None:
    """Jobs without a result; None where all have one."""
    jobs = (*finished.trials, *finished.runs)
    rows = tuple((job.name, outcome.error) for job, outcome in jobs if outcome.error is not None)
    return Table("Failed", ("run", "why"), rows) if rows else None
