"""Blocks of the prepared scene, computed from their plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overcast.data.plausible import SAMPLE_SIDE, sample_windows
from overcast.data.resample import Reach, Regridding
from overcast.grid import Window
from overcast.preparation.plan import BandPlan, Plan


@dataclass(frozen=True)
class Block:
    """Pixels of a window."""

    values: NDArray[np.float32]
    """(C, h, w) in the model's unit; NaN where a band has no data."""
    lost: int
    """Pixels with data that have no value in the model's unit: no positive power."""

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(h, w): True where every band has data."""
        return np.asarray(np.isfinite(self.values).all(axis=0))


def render(plan: Plan, window: Window) -> Block:
    """A window of the prepared scene. Raises InputError for a damaged file."""
    values = np.empty((len(plan.bands), window.height, window.width), np.float32)
    reaches: dict[int, Reach] = {}
    lost = 0
    for band, target in zip(plan.bands, values, strict=True):
        if band.regridding is not None and id(band.regridding) not in reaches:
            reaches[id(band.regridding)] = band.regridding.reach(window)
        found, valid = _band(band, band.regridding, reaches, window)
        target[:] = np.where(valid, found, np.nan)
        lost += int(np.count_nonzero(valid & ~np.isfinite(found)))
    return Block(values, lost)


def _band(
    band: BandPlan, regridding: Regridding | None, reaches: dict[int, Reach], window: Window
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    conversion = band.conversion

    def stored(part: Window) -> tuple[NDArray[np.float64] | NDArray[np.float32], NDArray[np.bool_]]:
        found, valid = band.reader.read(part)
        if band.copies:
            return found.astype(np.float32), valid
        return conversion.to_power(np.where(valid, found, 1)), valid

    if regridding is None:
        found, valid = stored(window)
    else:
        found, valid = regridding.values(reaches[id(regridding)], stored)
    return (found.astype(np.float32) if band.copies else conversion.from_power(found.astype(np.float64))), valid


def blocks(plan: Plan, largest: int) -> Iterator[Window]:
    """Windows that cover the output row by row; sides divide `largest`, smaller where the source is much finer."""
    side = _side(plan, largest)
    for row in range(0, plan.grid.height, side):
        for col in range(0, plan.grid.width, side):
            yield Window(row, col, min(side, plan.grid.height - row), min(side, plan.grid.width - col))


def sample_blocks(plan: Plan) -> Iterator[Block]:
    """Small blocks spread evenly over the prepared scene; all of it where it is small."""
    return (render(plan, window) for window in sample_windows(plan.grid, _side(plan, SAMPLE_SIDE)))


def _side(plan: Plan, largest: int) -> int:
    return min((band.regridding.block_side(largest) for band in plan.bands if band.regridding), default=largest)
