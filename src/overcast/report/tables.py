"""Tables of the report: scores of every result, and scores by place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup

from overcast.evaluation.result import Evaluation
from overcast.metrics.bootstrap import Interval
from overcast.metrics.pixel import PixelCounts
from overcast.report.charts import Axis, axis_over
from overcast.report.data import ReportData, Result, available_text

MAX_PLACES = 24
"""More places are cut to the lowest and the highest halves of this."""
STRIP_WIDTH = 132
"""Width of a drawn interval in pixels."""


@dataclass(frozen=True)
class Column:
    """A figure of the score table."""

    title: str
    value: Callable[[Evaluation], float | None]
    """None where the evaluation has no such figure."""
    digits: int = 3
    higher_is_better: bool | None = True
    """None marks no best."""


def _instance_f1(evaluation: Evaluation) -> float | None:
    return evaluation.total.instances.f1 if evaluation.options.instances else None


def _match_rate(evaluation: Evaluation) -> float | None:
    """What PoLiS is meaningless without: a method that finds only the easy buildings outlines them well."""
    return evaluation.total.instances.recall if evaluation.options.instances else None


COLUMNS = (
    Column("F1", lambda e: e.pixels.f1),
    Column("Precision", lambda e: e.pixels.precision),
    Column("Recall", lambda e: e.pixels.recall),
    Column("Instance F1", _instance_f1),
    Column("AP", lambda e: e.detections.ap if e.options.instances else None),
    Column("Boundary IoU", lambda e: e.total.boundary.iou),
    Column("Match rate", _match_rate),
    Column("PoLiS (m)", lambda e: e.polis.mean_m, digits=2, higher_is_better=False),
    Column("ECE", lambda e: e.calibration.ece, higher_is_better=False),
    Column("Polygon ECE", lambda e: e.instance_ece, higher_is_better=False),
    Column("s / km²", lambda e: e.timing.predict_s_per_km2(e.gsd_m), digits=2, higher_is_better=None),
)
IOU = Column("IoU", lambda e: e.pixels.iou)


@dataclass(frozen=True)
class Cell:
    """Text of a figure."""

    text: str
    best: bool
    """The best of its group, where the group has several."""


@dataclass(frozen=True)
class ScoreRow:
    """One result."""

    method: str
    colour: int
    iou: Cell
    interval: str
    """Printed interval, or a dash."""
    strip: Markup
    """The interval drawn."""
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class ScoreGroup:
    """Results that were given the same."""

    title: str
    rows: tuple[ScoreRow, ...]


@dataclass(frozen=True)
class ScoreTable:
    """All results."""

    columns: tuple[str, ...]
    groups: tuple[ScoreGroup, ...]
    axis: Axis
    """Ends of the drawn intervals."""


def interval_text(interval: Interval | None) -> str:
    """Printed interval; a dash where there is none.

    >>> interval_text(Interval(0.1, 0.25))
    '0.100 to 0.250'
    """
    return "–" if interval is None else interval.text(3)


def score_table(data: ReportData) -> ScoreTable:
    """Rows grouped by what the model was given, in the order of the results."""
    values = [result.evaluation.pixels.iou for result in data.results]
    for result in data.results:
        if interval := result.evaluation.iou_interval():
            values += [interval.low, interval.high]
    axis = axis_over("IoU", values, from_zero=False)
    groups = []
    for available in dict.fromkeys(result.available for result in data.results):
        members = [result for result in data.results if result.available is available]
        rows = tuple(_row(data, result, members, axis) for result in members)
        groups.append(ScoreGroup(f"Given {available_text(available)}", rows))
    return ScoreTable(tuple(column.title for column in COLUMNS), tuple(groups), axis)


def _row(data: ReportData, result: Result, group: list[Result], axis: Axis) -> ScoreRow:
    interval = result.evaluation.iou_interval()
    colour = data.methods.index(result.method)
    return ScoreRow(
        method=result.method,
        colour=colour,
        iou=_cell(IOU, result, group),
        interval=interval_text(interval),
        strip=_strip(result.evaluation.pixels.iou, interval, axis, colour),
        cells=tuple(_cell(column, result, group) for column in COLUMNS),
    )


def _cell(column: Column, result: Result, group: list[Result]) -> Cell:
    value = column.value(result.evaluation)
    if value is None:
        return Cell("–", best=False)
    shown = f"{value:.{column.digits}f}"
    if column.higher_is_better is None or len(group) == 1:
        return Cell(shown, best=False)
    others = [other for member in group if (other := column.value(member.evaluation)) is not None]
    best = max(others) if column.higher_is_better else min(others)
    return Cell(shown, best=shown == f"{best:.{column.digits}f}")


def _strip(value: float, interval: Interval | None, axis: Axis, colour: int) -> Markup:
    """The interval as a bar and the value as a dot."""

    def across(iou: float) -> float:
        return 5 + (iou - axis.low) / (axis.high - axis.low) * (STRIP_WIDTH - 10)

    bar = Markup("")
    if interval is not None:
        bar = Markup('<rect class="c{}" x="{:.1f}" y="5.5" width="{:.1f}" height="7" rx="2"/>').format(
            colour, across(interval.low), max(across(interval.high) - across(interval.low), 1)
        )
    return Markup(
        '<svg class="strip" viewBox="0 0 {0} 18" width="{0}" height="18" aria-hidden="true">'
        '<line class="track" x1="5" x2="{1}" y1="9" y2="9"/>{2}'
        '<circle class="dot c{3}" cx="{4:.1f}" cy="9" r="4"/></svg>'
    ).format(STRIP_WIDTH, STRIP_WIDTH - 5, bar, colour, across(value))


@dataclass(frozen=True)
class PlaceDot:
    """Another result at the same place."""

    name: str
    colour: int
    iou: float


@dataclass(frozen=True)
class PlaceRow:
    """One place: a bar for the leading result, dots for the others of the same availability."""

    place: str
    iou: float
    share: float
    """Share of the valid pixels that is the class."""
    dots: tuple[PlaceDot, ...]


@dataclass(frozen=True)
class PlaceTable:
    """IoU by place, lowest first."""

    rows: tuple[PlaceRow, ...]
    left_out: int
    """Places between the lowest and the highest that are not listed."""
    empty: int
    """Places without the class, where IoU says nothing."""
    colour: int


def place_table(data: ReportData) -> PlaceTable:
    """Places with the class by rising IoU of the leading result."""
    lead = data.lead
    counts = lead.evaluation.pixels_by_place
    filled = sorted((place for place in counts if counts[place].positives), key=lambda place: counts[place].iou)
    shown = filled if len(filled) <= MAX_PLACES else filled[: MAX_PLACES // 2] + filled[-MAX_PLACES // 2 :]
    others = [
        (result, result.evaluation.pixels_by_place) for result in data.results[1:] if result.available is lead.available
    ]
    return PlaceTable(
        rows=tuple(_place_row(data, place, counts[place], others) for place in shown),
        left_out=len(filled) - len(shown),
        empty=len(counts) - len(filled),
        colour=data.methods.index(lead.method),
    )


def _place_row(
    data: ReportData, place: str, counts: PixelCounts, others: list[tuple[Result, dict[str, PixelCounts]]]
) -> PlaceRow:
    dots = tuple(
        PlaceDot(result.name, data.methods.index(result.method), table[place].iou)
        for result, table in others
        if place in table
    )
    return PlaceRow(place, counts.iou, counts.positives / counts.pixels, dots)
