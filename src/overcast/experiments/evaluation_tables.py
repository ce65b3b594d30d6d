"""The tables of an evaluation of several runs: scores, and paired differences to the first run."""

from __future__ import annotations

from collections.abc import Sequence

from overcast.batch import InputModalities
from overcast.evaluation.comparison import paired_difference
from overcast.report.data import Result, available_text
from overcast.report.text_tables import DASH, Table, interval_of

FIGURES = {
    "iou": "IoU",
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
"""Figures of a summary and the titles of their columns."""


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
            _interval(summary),
            *(f"{summary[name]:.3f}" if name in summary else DASH for name in known),
        )
        for result, summary in zip(results, summaries, strict=True)
    )
    columns = ("method", "IoU, 95 % over places", *known.values())
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
