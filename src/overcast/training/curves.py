"""The loss curve: rows in memory, mirrored to CSV and TensorBoard at each round."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from lightning.pytorch.loggers import TensorBoardLogger

from overcast.atomic import write_atomic
from overcast.errors import InputError
from overcast.reading import first_line, read_table

STEP = "step"

Row = dict[str, float]


class Curves:
    """Rows of `step` and named values. The CSV is rewritten whole, so that a kill leaves no torn or doubled row."""

    def __init__(self, path: Path, tensorboard: TensorBoardLogger | None) -> None:
        self.rows: list[Row] = []
        self._path = path
        self._tensorboard = tensorboard

    def resume(self, step: int) -> None:
        """Take up the rows of a former process up to `step`; later ones will be made again."""
        if self._path.is_file():
            try:
                self.rows = [row for row in self._read() if row[STEP] <= step]
            except (ValueError, KeyError) as error:
                raise InputError(
                    f"{self._path} is not a table of numbers ({first_line(error)}); delete the file: the curve then "
                    "begins at this step."
                ) from error

    def _read(self) -> list[Row]:
        rows = read_table(self._path, InputError, (STEP,), "delete the file: the curve then begins at this step")
        return [{key: float(cell) for key, cell in row.cells.items() if cell} for row in rows]

    def add(self, step: int, values: Row) -> None:
        """Add values to the row of a step."""
        if not self.rows or self.rows[-1][STEP] != step:
            self.rows.append({STEP: step})
        self.rows[-1] |= values
        if self._tensorboard is not None:
            self._tensorboard.log_metrics(values, step)

    def write(self) -> None:
        """Bring the CSV up to date."""
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _cell(name, value) for name, value in row.items()} for row in self.rows)
        write_atomic(self._path, text.getvalue())


def _cell(name: str, value: float) -> str:
    return str(int(value)) if name == STEP else repr(float(value))
