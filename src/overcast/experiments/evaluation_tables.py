"""What an evaluation leaves beside its report: figures as CSV, scores and paired differences as Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from overcast.atomic import write_atomic
from overcast.batch import InputModalities
from overcast.data.splits.parts import Part
from overcast.evaluation.comparison import paired_difference
from overcast.report.data import ReportData, Result, available_text
from overcast.report.text_tables import DASH, Table, interval_of, latex, markdown

FIGURES = {
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
    "boundary_iou": "boundary IoU",
    "instance_f1": "instance F1",
    "ap50": "AP50",
    "polis_m": "PoLiS, m",
    "ece": "ECE",
    "brier": "Brier",
}
"""Figures of a summary beside IoU, and the titles of their columns."""


@dataclass(frozen=True)
class Tables:
    """Where the figures of an evaluation lie."""

    csv: Path
    """A row for each result."""
    markdown: Path
    """Scores, and paired differences to the first run."""
    latex: Path
    """The same."""


def write_tables(output: Path, data: ReportData, seeds: Sequence[int], part: Part, left_out: Sequence[str]) -> Tables:
    """Write results.csv, report.md and tables.tex of a report's results, each whole or not at all.

    Args:
        output: Folder of the evaluation.
        data: Of the report.
        seeds: Of the run behind each result.
        part: Of the split that was evaluated.
        left_out: Sentences on what a method was not given.
    """
    files = Tables(output / "results.csv", output / "report.md", output / "tables.tex")
    tables = evaluation_tables(data.results, left_out)
    head = f"# {data.title}\n\n`{data.command}`; {data.machine}; {data.created}.\n"
    write_atomic(files.csv, _results_csv(data, seeds, part))
    write_atomic(files.markdown, "\n".join([head, *(markdown(table) for table in tables)]))
    write_atomic(files.latex, "\n".join(latex(table) for table in tables))
    return files


def today() -> str:
    """The date, for people."""
    return str(date.today())  # noqa: DTZ011  # a date for people


def evaluation_tables(results: Sequence[Result], left_out: Sequence[str]) -> list[Table]:
    """A table of scores and one of differences for each set of sensors given, then what was left out."""
    tables = []
    for available in dict.fromkeys(result.available for result in results):
        given = [result for result in results if result.available is available]
        tables.append(_scores(given, available))
        if len(given) > 1:
            tables.append(_differences(given, available))
    if left_out:
        tables.append(Table("Left out", ("what and why",), tuple((sentence,) for sentence in left_out)))
    return tables


def _scores(results: Sequence[Result], available: InputModalities) -> Table:
    summaries = [result.evaluation.summary() for result in results]
    known = {name: title for name, title in FIGURES.items() if any(name in summary for summary in summaries)}
    rows = tuple(
        (
            result.method,
            f"{summary['iou']:.3f}",
            _interval(summary),
            *(f"{summary[name]:.3f}" if name in summary else DASH for name in known),
        )
        for result, summary in zip(results, summaries, strict=True)
    )
    columns = ("method", "IoU", "95 % over places", *known.values())
    return Table(f"Scores, given {available_text(available)}", columns, rows)


def _interval(summary: dict[str, float]) -> str:
    low, high = summary.get("iou_low"), summary.get("iou_high")
    return DASH if low is None or high is None else f"{low:.3f} .. {high:.3f}"


def _differences(results: Sequence[Result], available: InputModalities) -> Table:
    first, *others = results
    rows = []
    for other in others:
        found = paired_difference(first.evaluation.pixels_by_place, other.evaluation.pixels_by_place)
        rows.append((f"{first.method} minus {other.method}", f"{found.value:+.3f}", interval_of(found, 3, signed=True)))
    note = "IoU of the first minus IoU of the second, on the same resamples of places."
    title = f"Paired differences to {first.method}, given {available_text(available)}"
    return Table(title, ("pair", "difference", "95 % over places"), tuple(rows), note)


def _results_csv(data: ReportData, seeds: Sequence[int], part: Part) -> str:
    """One row per result: method, what it was given, part, seed, machine, date and every figure of its summary."""
    origin = {"part": part.value, "machine": data.machine, "date": data.created}
    rows = [
        {"method": result.method, "modalities": result.available.value, "seed": seed}
        | origin
        | {name: f"{value:.6g}" for name, value in result.evaluation.summary().items()}
        for result, seed in zip(data.results, seeds, strict=True)
    ]
    text = io.StringIO()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
