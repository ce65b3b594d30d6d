"""Which footprints match the reference, for every threshold at once.

Predictions take turns by falling confidence, so leaving out the least sure ones changes nothing for the others: one
matching of all of them holds for every threshold.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

LEVELS = 1000
"""Confidence is compared in thousandths, rounded down."""
SMALL, INVENTED, MATCHED = 0, 1, 2
"""States of a prediction; small ones count on neither side."""
NEVER_MISSED = 2 * LEVELS
"""`found` of reference footprints that are too small to count."""
CURVE_STEPS = 101
"""Thresholds from 0 to 1 at which the figures are known."""


@dataclass(frozen=True)
class Figures:
    """What a threshold makes of the comparison."""

    found: int
    invented: int
    missed: int

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 1 where there is nothing on either side."""
        of = 2 * self.found + self.invented + self.missed
        return 2 * self.found / of if of else 1.0


@dataclass(frozen=True)
class Differences:
    """Differences of two files; arrays are in the order of their rows, and may end before rows that have no polygon."""

    states: NDArray[np.int64]
    """`SMALL`, `INVENTED` or `MATCHED` for each prediction."""
    found: NDArray[np.int64]
    """For each reference footprint the confidence of its match plus one, in thousandths: a threshold that is as large
    leaves the match out. 0 where there is no match at all, `NEVER_MISSED` where it does not count."""
    curve: tuple[Figures, ...]
    """At `CURVE_STEPS` evenly spaced thresholds from 0 to 1."""


def thousandths(confidence: NDArray[np.float64]) -> NDArray[np.int64]:
    """Confidences in thousandths, rounded down, so that comparing them with a threshold in thousandths is exact.

    >>> thousandths(np.array([0.0, 0.29, 0.5004, 1.0])).tolist()
    [0, 290, 500, 1000]
    """
    return np.floor(np.clip(confidence, 0, 1) * LEVELS + 1e-6).astype(np.int64)


def compare(predicted: Path, reference: Path) -> Differences:
    """Match two files as `overcast score` does. Parts of a multi-polygon speak for their row.

    Raises InputError where a file cannot be read or names no coordinate system, or the reference has no polygon.
    """
    from overcast.metrics.footprints import FootprintOptions, match_files

    files = match_files(predicted, reference, FootprintOptions())
    matching, level = files.matching, thousandths(files.confidence)
    states = np.full(len(files.claims), SMALL, np.int64)
    states[list(matching.predictions)] = INVENTED
    reached = np.full(len(files.truth), NEVER_MISSED, np.int64)
    reached[list(matching.truths)] = 0
    for match in matching.matches:
        states[match.prediction], reached[match.truth] = MATCHED, level[match.prediction] + 1
    return Differences(
        states=_of_rows(files.claims.index.to_numpy(), states, np.maximum, SMALL),
        found=_of_rows(files.truth.index.to_numpy(), reached, np.minimum, NEVER_MISSED),
        curve=tuple(_curve(states, level, len(matching.truths))),
    )


def compare_in_subprocess(predicted: Path, reference: Path) -> Differences:
    """Run `compare` in a process of its own: its memory is freed with it, and tiles are drawn meanwhile."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(compare, predicted, reference).result()


def _curve(states: Integers, level: Integers, truths: int) -> Iterator[Figures]:
    for step in range(CURVE_STEPS):
        kept = level >= step * LEVELS // (CURVE_STEPS - 1)
        found = int(np.count_nonzero(kept & (states == MATCHED)))
        yield Figures(found, int(np.count_nonzero(kept & (states == INVENTED))), truths - found)


def _of_rows(rows: Integers, values: Integers, choose: np.ufunc, missing: int) -> Integers:
    """One value for each row of a file whose polygons may have several parts."""
    result = np.full(int(rows.max(initial=-1)) + 1, missing, np.int64)
    choose.at(result, rows, values)
    return result
