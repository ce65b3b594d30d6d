"""CSV tables: in UTF-8, quotes closed, cells of a bounded size."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from overcast.errors import OvercastError
from overcast.reading.files import LARGEST_BYTES, named, read_text
from overcast.reading.words import first_line

SAVE = "save it as CSV in UTF-8"


@dataclass(frozen=True)
class Row:
    """A row of a table with named columns."""

    line: int
    """Line in the file, from 1."""
    cells: dict[str, str]
    """Text by column; empty where the row is too short."""

    def __getitem__(self, column: str) -> str:
        return self.cells[column]


def read_rows(path: Path, error: type[OvercastError], limit: int = LARGEST_BYTES) -> list[tuple[int, list[str]]]:
    """(line, cells) of every row of a table that holds anything."""
    text = read_text(path, error, SAVE, limit)
    return list(_rows(text, path, error))


def read_table(path: Path, error: type[OvercastError], columns: Collection[str], remedy: str) -> list[Row]:
    """The rows of a table whose first line names `columns` and perhaps others.

    Rows that are empty are left out. `remedy` ends the sentence where a column is missing.
    """
    rows = read_rows(path, error)
    header = rows[0][1] if rows else []
    if not set(columns) <= set(header):
        raise error(f"{named(path)} lacks the columns {','.join(columns)}{_why(header, columns)}; {remedy}.")
    for line, cells in rows[1:]:
        if any(cell.strip() for cell in cells[len(header) :]):
            raise error(f"{named(path)} line {line} has more cells than the first line names columns; {SAVE}.")
    empty = dict.fromkeys(header, "")
    return [Row(line, {**empty, **dict(zip(header, cells, strict=False))}) for line, cells in rows[1:]]


def _why(header: list[str], columns: Collection[str]) -> str:
    """What a spreadsheet may have done to the first line; nothing where it looks like nothing of the kind."""
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(header) == 1 and separator in header[0]:
            return f" (its cells are separated by {name}, not by commas)"
    small = {cell.strip().lower(): cell for cell in header}
    others = [small[column.lower()] for column in columns if column not in header and column.lower() in small]
    return f" (it has {', '.join(map(repr, others))}: names count letter by letter)" if others else ""


def _rows(text: str, path: Path, error: type[OvercastError]) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, cells
    except csv.Error as problem:
        reason = first_line(problem)
        raise error(f"{named(path)} line {reader.line_num} is not a row of a table ({reason}); {SAVE}.") from problem
