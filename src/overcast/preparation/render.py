"""Blocks of the prepared scene, computed from their plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overcast.preparation.plan import BandPlan, PreparationPlan
from overcast.raster.grid import Window
from overcast.raster.plausible import SAMPLE_SIDE, sample_windows
from overcast.raster.resample import Reach, Regridding


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


def render(plan: PreparationPlan, window: Window, *, within: bool = True) -> Block:
    """A window of the grid; what of it is not wanted has no data, unless `within` is False.

    Raises InputError for a damaged file.
    """
    values = np.empty((len(plan.bands), window.height, window.width), np.float32)
    wanted = True if plan.ground is None or not within else plan.ground.mask(window)
    reaches: dict[int, Reach] = {}
    lost = 0
    for band, target in zip(plan.bands, values, strict=True):
        if band.regridding is not None and id(band.regridding) not in reaches:
            reaches[id(band.regridding)] = band.regridding.reach(window)
        found, valid = _band(band, band.regridding, reaches, window)
        target[:] = np.where(valid & wanted, found, np.nan)
        lost += int(np.count_nonzero(valid & wanted & ~np.isfinite(found)))
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


def blocks(plan: PreparationPlan, largest: int) -> Iterator[Window]:
    """Windows of the grid that cover the output row by row; sides divide `largest`.

    They are smaller where the source is much finer.
    """
    side, (bottom, right) = _side(plan, largest), plan.window.stop
    for row in range(plan.window.row, bottom, side):
        for col in range(plan.window.col, right, side):
            yield Window(row, col, min(side, bottom - row), min(side, right - col))


def sample_blocks(plan: PreparationPlan) -> Iterator[Block]:
    """Small blocks spread evenly over the scene, whatever of it is wanted; all of it where it is small."""
    return (render(plan, window, within=False) for window in sample_windows(plan.grid, _side(plan, SAMPLE_SIDE)))


def _side(plan: PreparationPlan, largest: int) -> int:
    return min((band.regridding.block_side(largest) for band in plan.bands if band.regridding), default=largest)
