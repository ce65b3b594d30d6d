"""Charts of the report: curves of every result, and of the training runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from overcast.batch import InputModalities
from overcast.report.charts import Axis, Series, axis_over, line_chart
from overcast.report.data import ReportData, Result
from overcast.report.history import Curve, History, read_history

AVAILABLE_ORDER = tuple(InputModalities)
"""Each availability has its dash pattern: SAR alone is drawn solid."""


@dataclass(frozen=True)
class Chart:
    """A figure with its caption."""

    title: str
    caption: str
    svg: Markup


@dataclass(frozen=True)
class Key:
    """An entry of the legend."""

    name: str
    colour: int
    dash: int


@dataclass(frozen=True)
class TrainingCharts:
    """Curves of the training runs."""

    shared: tuple[Chart, ...]
    """One line per method."""
    legend: tuple[Key, ...]
    terms: tuple[tuple[str, Chart, tuple[Key, ...]], ...]
    """(method, its loss terms, their legend)."""


def legend(data: ReportData) -> tuple[Key, ...]:
    """One entry per result."""
    return tuple(Key(result.name, *_style(data, result)) for result in data.results)


def _style(data: ReportData, result: Result) -> tuple[int, int]:
    return data.methods.index(result.method), AVAILABLE_ORDER.index(result.available)


def curve_charts(data: ReportData) -> tuple[Chart, ...]:
    """Precision-recall, IoU over the threshold and reliability, all results in each."""
    threshold = data.lead.evaluation.options.threshold
    iou = [_series(data, result, _iou_points(result)) for result in data.results]
    heights = [y for line in iou for _, y in line.points]
    return (
        Chart(
            "Precision and recall",
            "Each dot is a threshold; up and to the right is better.",
            line_chart(
                "Precision over recall",
                Axis("recall"),
                Axis("precision"),
                [_series(data, result, _precision_recall_points(result)) for result in data.results],
            ),
        ),
        Chart(
            "IoU over the threshold",
            f"The vertical line is the threshold used, {threshold:g}. A flat top means that the choice hardly matters.",
            line_chart("IoU over threshold", Axis("threshold"), axis_over("IoU", heights), iou, marked_x=threshold),
        ),
        Chart(
            "Reliability",
            "On the diagonal, a stated probability is the share that is true; below it the model is too sure.",
            line_chart(
                "Observed share over stated probability",
                Axis("stated probability"),
                Axis(f"share that is {data.class_name}"),
                [_series(data, result, _reliability_points(result)) for result in data.results],
                diagonal=True,
            ),
        ),
    )


def _series(data: ReportData, result: Result, points: list[tuple[float, float]]) -> Series:
    colour, dash = _style(data, result)
    return Series(result.name, points, colour, dash, markers=True)


def _precision_recall_points(result: Result) -> list[tuple[float, float]]:
    curve = result.evaluation.total.curve.curve
    return [(counts.recall, counts.precision) for _, counts in curve if counts.tp + counts.fp]


def _iou_points(result: Result) -> list[tuple[float, float]]:
    return [(threshold, counts.iou) for threshold, counts in result.evaluation.total.curve.curve]


def _reliability_points(result: Result) -> list[tuple[float, float]]:
    return [(stated, observed) for stated, observed, _ in result.evaluation.calibration.curve]


def training_charts(data: ReportData) -> TrainingCharts | None:
    """Curves from the CSV files; None without any."""
    if not data.training:
        return None
    runs = {method: read_history(path) for method, path in data.training.items()}
    losses = {method: curve for method, run in runs.items() if (curve := run.main_loss)}
    scores = {method: curve for method, run in runs.items() if (curve := run.main_score)}
    shared = []
    if losses:
        svg = _step_chart("Training loss over steps", "loss", _by_method(data, losses))
        shared.append(Chart("Training loss", "Smoothed; methods sum different terms, so only shapes compare.", svg))
    if scores:
        svg = _step_chart("Validation score over steps", "IoU", _by_method(data, scores))
        shared.append(Chart("Validation IoU", "On validation places, which choose the weights that are kept.", svg))
    keys = tuple(Key(method, data.methods.index(method), 0) for method in runs)
    terms = tuple((method, *_terms(method, run)) for method, run in runs.items() if len(run.losses) > 1)
    return TrainingCharts(tuple(shared), keys, terms)


def _by_method(data: ReportData, curves: Mapping[str, Curve]) -> list[Series]:
    return [Series(method, _smooth(curve), data.methods.index(method)) for method, curve in curves.items()]


def _terms(method: str, run: History) -> tuple[Chart, tuple[Key, ...]]:
    lines = [
        Series(name, _smooth(curve), index, index // 7)
        for index, (name, curve) in enumerate(sorted(run.losses.items()))
    ]
    chart = Chart(f"Loss terms of {method}", "Weighted, as they are summed.", _step_chart("Loss terms", "loss", lines))
    return chart, tuple(Key(line.name, line.colour, line.dash) for line in lines)


def _step_chart(title: str, label: str, lines: list[Series]) -> Markup:
    steps = [x for line in lines for x, _ in line.points]
    values = [y for line in lines for _, y in line.points]
    return line_chart(title, axis_over("step", steps), axis_over(label, values), lines)


def _smooth(curve: Curve, points: int = 60) -> Curve:
    """At most `points` means of neighbouring values: noise and file size stay small."""
    if len(curve) <= points:
        return curve
    size = -(-len(curve) // points)
    groups = [curve[start : start + size] for start in range(0, len(curve), size)]
    return tuple((sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups)
