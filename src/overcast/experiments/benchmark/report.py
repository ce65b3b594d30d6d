"""What a benchmark leaves behind: results.csv, report.md, report.html, tables.tex, and a detailed page per data set."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from markupsafe import Markup

from overcast.atomic import write_atomic
from overcast.batch import InputModalities
from overcast.config import open_run
from overcast.evaluation.machine import describe_machine
from overcast.evaluation.seeds import SeedEstimate, iou_over_seeds
from overcast.experiments.benchmark.comparisons import comparison_tables
from overcast.experiments.benchmark.options import BenchmarkConfig
from overcast.experiments.benchmark.runner import Finished, evaluated
from overcast.experiments.benchmark.tables import Scores, failure_table, score_tables, tuning_table
from overcast.experiments.benchmark.work import Outcome, completed, read_evaluation
from overcast.experiments.compare import report_data
from overcast.report.charts import COLOURS, Axis, Series, axis_over, line_chart
from overcast.report.curves import Key
from overcast.report.data import Result
from overcast.report.page import template, write_report
from overcast.report.text_tables import Table, interval_of, latex, markdown, spread_text
from overcast.training.folder import RunFolder

COLUMNS = ("dataset", "label", "method", "settings", "seed", "available")
"""First columns of results.csv; the figures follow."""
RECORD = {"parameters", "multiply_adds", "peak_bytes", "steps", "best_step", "machine", "date"}
"""Its last columns."""


@dataclass(frozen=True)
class Report:
    """Where the results lie."""

    html: Path
    markdown: Path
    csv: Path
    latex: Path
    pages: tuple[Path, ...]


def write_results(path: Path, outcomes: Sequence[Outcome]) -> None:
    """results.csv: one row per run and set of sensors given, complete or not at all."""
    rows = [
        {name: str(getattr(row, name)) for name in COLUMNS}
        | {name: f"{value:.6g}" for name, value in row.figures.items()}
        | row.model_dump(mode="json", include=RECORD)
        for outcome in outcomes
        for row in outcome.rows
    ]
    text = io.StringIO()
    columns = list(dict.fromkeys(name for row in rows for name in row)) or list(COLUMNS)
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text.getvalue())


def write_benchmark(benchmark: BenchmarkConfig, finished: Finished, output: Path, command: str) -> Report:
    """Write every table and page. Needs at least one run with a result."""
    runs = tuple((job, completed(job, outcome)) for job, outcome in finished.runs)
    finished = replace(finished, runs=runs)
    every_scores = [Scores(benchmark, name, finished) for name in benchmark.datasets]
    tables = [table for scores in every_scores for table in (*score_tables(scores), *comparison_tables(scores))]
    further = [table for table in (tuning_table(benchmark, finished), failure_table(finished)) if table is not None]
    pages = tuple(
        page for name in benchmark.datasets if (page := _page(benchmark, finished, output, name, command)) is not None
    )
    every = tables + further
    head = f"# {benchmark.title}\n\n{_origin(command, finished)}\n\n{READING}\n"
    write_results(output / "results.csv", [outcome for _, outcome in finished.runs])
    write_atomic(output / "report.md", "\n".join([head, *(markdown(table) for table in every)]))
    write_atomic(output / "tables.tex", "\n".join(latex(table) for table in every))
    write_atomic(output / "report.html", _html(benchmark, finished, every, pages, command))
    return Report(output / "report.html", output / "report.md", output / "results.csv", output / "tables.tex", pages)


READING = (
    "IoU pools all valid pixels of the test chips and divides once; it is averaged over seeds. `validation IoU` is "
    "the one by which the best round of a run is chosen. `over seeds` is the lowest and the highest seed; the 95 % "
    "interval resamples places, the same ones for every method. The recovery ratio is (IoU - IoU of the control) / "
    "(IoU of the ceiling given both sensors - IoU of the control): the share of the missing optical information that "
    "came back; an end of its interval is open (∞) where too many resamples have the ceiling not above the control. "
    "Match rate: share of the true footprints that were matched, the only ones that PoLiS is over. Brier: mean "
    "squared error of the probability of pixels; ECE: their expected calibration error; polygon ECE: that of a "
    "predicted footprint's confidence against the share that match a true one. s/km²: prediction alone, on the "
    "machine of the run. Of what is deployed, M param.: millions of parameters; GMAC: 10⁹ multiply-adds for 512 x 512 "
    "px; MB: the most memory (10⁶ bytes) that weights, input and features take at one moment of these, operator by "
    "operator in float32, without the workspace inside an operator."
)


def _origin(command: str, finished: Finished) -> str:
    outcomes = [outcome for _, outcome in (*finished.trials, *finished.runs)]
    hours = sum(outcome.seconds or 0 for outcome in outcomes) / 3600
    when = date.today()  # noqa: DTZ011  # a date for people
    work = f"{len(finished.trials)} trials and {len(finished.runs)} runs"
    known = all(outcome.seconds is not None for outcome in outcomes)
    took = f", {hours:.2f} hours when added up, whether side by side or not" if known else ""
    return f"`{command}`; {describe_machine()}; {when}. {work}{took}."


def _page(benchmark: BenchmarkConfig, finished: Finished, output: Path, dataset: str, command: str) -> Path | None:
    """Curves and pictures of the first seed of every method."""
    results, training = [], {}
    first = None
    for available in benchmark.available:
        for entry in benchmark.methods:
            for job in evaluated(finished, dataset, entry.label, available)[:1]:
                evaluation = read_evaluation(job, available)
                if evaluation is not None:
                    first = first or job
                    results.append(Result(entry.label, available, evaluation))
                    training[entry.label] = RunFolder(job.run).curves
    if first is None:
        return None
    title = f"{benchmark.title}: {dataset}"
    data = report_data(open_run(first.run), tuple(results), training, command, title=title)
    page = output / f"{dataset}.html"
    write_report(page, data)
    return page


@dataclass(frozen=True)
class BarChart:
    """Methods of a data set on one axis."""

    low: float
    high: float
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Bar:
    """One method."""

    label: str
    text: str
    svg: Markup


def _html(
    benchmark: BenchmarkConfig, finished: Finished, tables: Sequence[Table], pages: Sequence[Path], command: str
) -> str:
    skies = {name: _clouded_chart(Scores(benchmark, name, finished)) for name in benchmark.datasets}
    charts = {name: _chart(Scores(benchmark, name, finished)) for name in benchmark.datasets}
    return template("benchmark.html").render(
        title=benchmark.title,
        origin=_origin(command, finished).replace("`", ""),
        reading=READING.replace("`", ""),
        charts={name: chart for name, chart in charts.items() if chart.bars},
        skies={name: sky for name, sky in skies.items() if sky.legend},
        tables=tables,
        pages=[page.name for page in pages],
    )


@dataclass(frozen=True)
class CloudedChart:
    """IoU over the share of valid optical pixels."""

    legend: tuple[Key, ...]
    svg: Markup


def _clouded_chart(scores: Scores) -> CloudedChart:
    curves = {entry.label: scores.clouded(entry.label) for entry in scores.benchmark.methods}
    lines = [
        Series(
            label, [(share, iou.value) for share, iou in curve.items()], turn % COLOURS, turn // COLOURS, markers=True
        )
        for turn, (label, curve) in enumerate((label, curve) for label, curve in curves.items() if curve)
    ]
    heights = [y for line in lines for _, y in line.points]
    title = "IoU over the share of valid optical pixels"
    axis = axis_over("IoU", heights, from_zero=False)
    svg = line_chart(title, Axis("share of valid optical pixels"), axis, lines)
    return CloudedChart(tuple(Key(line.name, line.colour, line.dash) for line in lines), svg)


def _chart(scores: Scores) -> BarChart:
    """Every method given SAR alone, and the ceiling given both, on one axis."""
    benchmark = scores.benchmark
    wanted = [(entry.label, InputModalities.SAR, entry.label) for entry in benchmark.methods]
    wanted.append((benchmark.ceiling, InputModalities.BOTH, f"{benchmark.ceiling}, both sensors"))
    found = [(name, iou_over_seeds(runs)) for label, way, name in wanted if (runs := scores.runs(label, way))]
    axis = axis_over("IoU", [value for _, iou in found for value in _ends(iou)], from_zero=False)
    return BarChart(axis.low, axis.high, tuple(_bar(name, iou, axis) for name, iou in found))


def _bar(name: str, iou: SeedEstimate, axis: Axis) -> Bar:
    text = f"{iou.value:.3f}; seeds {spread_text(iou)}; places {interval_of(iou, 3)}"
    return Bar(name, text, _strip(iou, axis.low, axis.high))


def _ends(iou: SeedEstimate) -> list[float]:
    limits = [] if iou.interval is None else [iou.interval.low, iou.interval.high]
    return [iou.lowest, iou.highest, *limits]


def _strip(iou: SeedEstimate, low: float, high: float, width: int = 420) -> Markup:
    """Interval over places as a bar, seeds from lowest to highest as a line, their mean as a dot."""

    def across(value: float) -> float:
        return 6 + (value - low) / (high - low) * (width - 12)

    bar = Markup("")
    if iou.interval is not None:
        start, end = across(iou.interval.low), across(iou.interval.high)
        bar = Markup('<rect x="{:.1f}" y="4" width="{:.1f}" height="12" rx="3"/>').format(start, max(end - start, 1))
    return Markup(
        '<svg viewBox="0 0 {0} 20" width="{0}" height="20" aria-hidden="true">{1}'
        '<line x1="{2:.1f}" x2="{3:.1f}" y1="10" y2="10"/><circle cx="{4:.1f}" cy="10" r="4.5"/></svg>'
    ).format(width, bar, across(iou.lowest), across(iou.highest), across(iou.value))
