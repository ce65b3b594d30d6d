"""Tables of paired differences: both are resampled over the same places, so that easy and hard ones cancel."""

from __future__ import annotations

from overcast.batch import InputModalities
from overcast.evaluation.seeds import Runs, difference_over_seeds, iou_over_seeds
from overcast.experiments.benchmark.tables import Scores
from overcast.report.text_tables import DASH, Table, interval_of, spread_text

PAIRED = "over seeds", "95 % over places"


def comparison_tables(scores: Scores) -> list[Table]:
    """Comparison tables of a data set for which there are runs."""
    return [table for table in (difference_table(scores), drop_table(scores)) if table is not None]


def difference_table(scores: Scores) -> Table | None:
    """The pairs of `compare`, given SAR alone; None where no pair has runs."""
    pairs = {
        pair: tuple(scores.runs(label, InputModalities.SAR) for label in pair) for pair in scores.benchmark.compare
    }
    rows = [(f"{a} minus {b}", *_difference(first, second)) for (a, b), (first, second) in pairs.items()]
    if not any(first and second for first, second in pairs.values()):
        return None
    note = (
        "Mean IoU of the first minus mean IoU of the second, on the same resamples of places. Seeds pair up in their "
        "order, where both methods have as many."
    )
    columns = ("pair", "runs", "difference", *PAIRED)
    return Table(f"{scores.dataset}, paired differences, given SAR alone", columns, tuple(rows), note)


def drop_table(scores: Scores) -> Table | None:
    """What each method that takes both sensors loses without optical; None where there is no such method."""
    rows = []
    for entry in scores.benchmark.methods:
        both, alone = (scores.runs(entry.label, available) for available in (InputModalities.BOTH, InputModalities.SAR))
        if both and alone:
            full, rest = iou_over_seeds(both), iou_over_seeds(alone)
            rows.append((entry.label, f"{full.value:.3f}", f"{rest.value:.3f}", *_difference(both, alone)))
    if not rows:
        return None
    note = (
        "Mean IoU given both sensors minus mean IoU given SAR alone, of the same runs on the same resamples of places. "
        "A small drop is worth only as much as the IoU that it starts from."
    )
    columns = ("method", "IoU, both sensors", "IoU, SAR alone", "runs", "drop", *PAIRED)
    return Table(f"{scores.dataset}, drop from both sensors to SAR alone", columns, tuple(rows), note)


def _difference(a: Runs, b: Runs) -> tuple[str, str, str, str]:
    """Runs, mean, spread over seeds and interval over places; dashes where a side has no run."""
    paired = len(a) == len(b)
    runs = f"{len(a)}" if paired else f"{len(a)}, {len(b)}"
    if not a or not b:
        return runs, DASH, DASH, DASH
    found = difference_over_seeds(a, b)
    spread = spread_text(found, signed=True) if paired else DASH
    return runs, f"{found.value:+.3f}", spread, interval_of(found, 3, signed=True)
