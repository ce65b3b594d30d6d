"""The report: one HTML file that needs nothing else. No script, no link, no font from elsewhere."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from overcast.atomic import write_atomic
from overcast.report.curves import curve_charts, legend, training_charts
from overcast.report.data import Origin, ReportData, Result
from overcast.report.findings import caveats, figures, recovery, sentences
from overcast.report.gallery import gallery
from overcast.report.tables import place_table, score_table

__all__ = ["Origin", "ReportData", "Result", "render_report", "write_report"]


def template(name: str) -> Template:
    """A page of the package; what is filled in is escaped, and nothing may be missing."""
    environment = Environment(
        loader=PackageLoader("overcast.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def render_report(data: ReportData) -> str:
    """The HTML text. Raises InputError for unreadable training curves, ConfigError for results of other places."""
    return template("report.html").render(
        data=data,
        figures=figures(data),
        sentences=sentences(data),
        scores=score_table(data),
        chips=gallery(data),
        legend=legend(data),
        curves=curve_charts(data),
        places=place_table(data),
        training=training_charts(data),
        recovery=recovery(data),
        caveats=caveats(data),
    )


def write_report(path: Path, data: ReportData) -> None:
    """Write the report to `path`, complete or not at all; its folder is made."""
    write_atomic(path, render_report(data))
