"""Heights as people write them: metres, feet, decimal commas, levels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

TALLEST_M = 900.0
"""Heights above are no metres; they count as missing."""
FOOT_M, INCH_M = 0.3048, 0.0254
_UNITS = {"": 1.0, "m": 1.0, "meter": 1.0, "meters": 1.0, "metre": 1.0, "metres": 1.0, "mtr": 1.0, "cm": 0.01}
_FEET = frozenset({"'", "\u2019", "\u2032", "ft", "feet", "foot"})
_NUMBER = re.compile(r"~?\s*([+-]?\d+(?:[.,]\d+)?)\s*([^\d\s.,]*)\.?\s*", re.IGNORECASE)
_INCHES = re.compile(r"(\d+(?:[.,]\d+)?)\s*(?:\"|''|\u201d|\u2033|in|inch|inches)?", re.IGNORECASE)
_LEVELS = re.compile(r"(^|[^a-z])(levels?|stor(e|ie)?ys?|stories|num_?floors|floors|etages|geschosse)$", re.IGNORECASE)


def is_levels(column: str) -> bool:
    """True where a column's name says that it counts levels.

    >>> is_levels("building:levels"), is_levels("num_floors"), is_levels("height")
    (True, True, False)
    """
    return _LEVELS.search(column) is not None


def usable(heights: NDArray[np.float64]) -> NDArray[np.bool_]:
    """True where a height in metres can be that of a building."""
    return np.isfinite(heights) & (heights > 0) & (heights <= TALLEST_M)


def metres(values: Sequence[object]) -> NDArray[np.float64]:
    """Heights in metres; NaN for what is not a single height.

    >>> metres([7, "12.3 m", "12,3", "40'", "6'6", "40 ft", "low", None, "3;4"]).round(2).tolist()
    [7.0, 12.3, 12.3, 12.19, 1.98, 12.19, nan, nan, nan]
    """
    return np.array([_metres(value) for value in values], np.float64)


def _metres(value: object) -> float:
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        return float(value)
    text = str(value).strip()
    with suppress(ValueError):
        return float(text)
    number = _NUMBER.match(text)
    if number is None:
        return np.nan
    size, unit, rest = _decimal(number[1]), number[2].lower(), text[number.end() :]
    if unit in _FEET:
        return size * FOOT_M + _inches(rest)
    return size * _UNITS[unit] if unit in _UNITS and not rest else np.nan


def _inches(text: str) -> float:
    """In metres; 0 for an empty text, NaN for any other that is not a number of inches."""
    inches = _INCHES.fullmatch(text)
    if inches is None:
        return np.nan if text else 0.0
    return _decimal(inches[1]) * INCH_M


def _decimal(text: str) -> float:
    return float(text.replace(",", "."))
