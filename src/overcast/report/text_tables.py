"""Tables of plain text: one structure, written as Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from overcast.evaluation.seeds import SeedEstimate

DASH = "–"


@dataclass(frozen=True)
class Table:
    """Cells as plain text."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def spread_text(estimate: SeedEstimate, *, signed: bool = False) -> str:
    """Lowest and highest seed."""
    form = "+.3f" if signed else ".3f"
    return f"{estimate.lowest:{form}} .. {estimate.highest:{form}}" if estimate.seeds > 1 else "one seed"


def interval_of(estimate: SeedEstimate, digits: int, *, signed: bool = False) -> str:
    """Interval over places; a dash where there is none."""
    return DASH if estimate.interval is None else estimate.interval.text(digits, " .. ", signed=signed)


def markdown(table: Table) -> str:
    """A table of Markdown, with its title above and its note below."""
    lines = [f"### {table.title}", "", _line(table.columns), "|---" * len(table.columns) + "|"]
    lines += [_line(row) for row in table.rows]
    return "\n".join([*lines, "", table.note, ""] if table.note else [*lines, ""])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


TEX: Mapping[str, str] = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "_": r"\_",
    "#": r"\#",
    "$": r"\$",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "²": r"$^2$",
    "∞": r"$\infty$",
    DASH: "--",
}


def latex(table: Table) -> str:
    """A `tabular` with booktabs rules."""
    head = f"% {table.title}\n\\begin{{tabular}}{{{'l' + 'r' * (len(table.columns) - 1)}}}\n\\toprule\n"
    body = " \\\\\n".join(" & ".join(_tex(cell) for cell in row) for row in table.rows)
    columns = " & ".join(_tex(column) for column in table.columns)
    return f"{head}{columns} \\\\\n\\midrule\n{body} \\\\\n\\bottomrule\n\\end{{tabular}}\n"


def _tex(text: str) -> str:
    r"""Escaped for LaTeX.

    >>> _tex("95 %")
    '95 \\%'
    """
    return "".join(TEX.get(character, character) for character in text.replace(" .. ", " to "))
