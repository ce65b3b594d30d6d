"""Sentinel-1's table of divisors: power is (digital number / A)^2, with A by line and pixel.

`calibrationVector` elements with `line`, `pixel` and `sigmaNought`, between which A is interpolated bilinearly:
Sentinel-1 Product Specification (ESA, S1-RS-MDA-52-7441) and "Radiometric Calibration of S-1 Level-1 Products"
(ESA-EOPG-CSCOP-TN-0002).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overcast.errors import InputError
from overcast.products.entries import content_of
from overcast.raster.addresses import address, file_name
from overcast.raster.grid import Window
from overcast.reading import parse_xml

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CalibrationTable:
    """Divisors of digital numbers that give the square root of sigma nought."""

    name: str
    lines: Values
    """(L,) in rising order."""
    pixels: tuple[Values, ...]
    """Pixels of each line, in rising order."""
    divisors: tuple[Values, ...]

    def at(self, window: Window) -> Values:
        """(h, w) divisors of a window; beyond the table those of its edge."""
        rows = np.arange(window.row, window.row + window.height, dtype=np.float64)
        cols = np.arange(window.col, window.col + window.width, dtype=np.float64)
        if len(self.lines) == 1:
            return np.broadcast_to(np.interp(cols, self.pixels[0], self.divisors[0]), (len(rows), len(cols))).copy()
        below = np.clip(np.searchsorted(self.lines, rows, side="right") - 1, 0, len(self.lines) - 2)
        share = np.clip((rows - self.lines[below]) / (self.lines[below + 1] - self.lines[below]), 0, 1)[:, None]
        known = {int(k): np.interp(cols, self.pixels[k], self.divisors[k]) for k in {*below, *(below + 1)}}
        first, second = (np.stack([known[int(k)] for k in side]) for side in (below, below + 1))
        return np.asarray(first * (1 - share) + second * share, np.float64)


def read_table(path: Path) -> CalibrationTable:
    """The table in a calibration annotation. Raises InputError where it is damaged or holds nothing of use."""
    remedy = "copy the product again, or give --calibration-lut"
    root = parse_xml(content_of(path, remedy), address(path), InputError, remedy)
    try:
        vectors = sorted(
            (float(one.findtext("line", "")), _numbers(one.findtext("pixel")), _numbers(one.findtext("sigmaNought")))
            for one in root.iter("calibrationVector")
        )
        lines = np.array([line for line, _, _ in vectors], np.float64)
        good = len(lines) > 0 and all(_rises(row) for row in [lines.tolist(), *(pixels for _, pixels, _ in vectors)])
        good = good and all(len(pixels) == len(row) and min(row, default=0) > 0 for _, pixels, row in vectors)
    except ValueError:
        good = False
    if not good:
        raise InputError(f"{address(path)} holds no table of calibration; {remedy}.")
    pixels, divisors = (tuple(np.array(vector[k], np.float64) for vector in vectors) for k in (1, 2))
    return CalibrationTable(file_name(path), lines, pixels, divisors)


def _rises(values: Sequence[float]) -> bool:
    return bool((np.diff(values) > 0).all())


def _numbers(text: str | None) -> list[float]:
    return [float(word) for word in (text or "").split()]
