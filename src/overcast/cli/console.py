"""What the commands share: progress bars, JSON and tables on the terminal."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from time import perf_counter
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from overcast.lifesigns import Update, shown

ERROR_CONSOLE = Console(stderr=True, markup=False)
"""Progress goes to standard error, results to standard output. Names of files and data sets may hold brackets, so that
no text of ours is read as markup."""


def counting_bar(title: str, unit: str) -> AbstractContextManager[Update]:
    """Shows work on standard error; the function to call with (done, total) and, optionally, what is done."""
    return shown(title, unit, ERROR_CONSOLE)


class Pace:
    """Time elapsed and an estimate of the rest, for work that reports its pieces line by line.

    The pieces of one stage are taken to be equally long; what was done by an earlier call does not count.
    """

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self._begun = self._last = self._stage_begun = clock()
        self._stage, self._done = "", 0

    def after_one(self, stage: str, left: int) -> str:
        """What to say after another piece of a stage, where `left` remain."""
        if stage != self._stage:
            self._stage, self._done, self._stage_begun = stage, 0, self._last
        self._done, self._last = self._done + 1, self._clock()
        elapsed = f"{timedelta(seconds=round(self._last - self._begun))} elapsed"
        if not left:
            return elapsed
        rest = (self._last - self._stage_begun) / self._done * left
        return f"{elapsed}, about {timedelta(seconds=round(rest))} left for the {stage}"


def print_json(value: Any) -> None:
    """JSON on standard output."""
    typer.echo(json.dumps(value, indent=2))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None) -> None:
    """A table on standard output; all columns but the first to the right."""
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    for row in rows:
        table.add_row(*row)
    Console(markup=False).print(table)
