"""Do values look like what they are declared to be? The one place where prepare, predict, train and evaluate ask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overcast.raster.georeference import Georeference
from overcast.raster.grid import Window
from overcast.raster.radiometry import BandStatistics, SensorRadiometry
from overcast.raster.units import Standardise, Unit

FILL_SHARE = 0.001
"""Share of values that are one and the same from which on it is suspected to mean 'no data'."""
FILL_PEAK = 3
"""The same: how much more frequent it has to be than any other value, because values may be stored in steps."""
FILL_GAP = 1 / 3
"""The same: the nearest other value is farther than this share of the way to the median. Values that were cut off at a
bound have neighbours there."""
FILL_MARGIN = 0.05
"""The same: or it lies so much of their spread (1 to 99 %) inside the others. 0 is suspected anywhere."""
NEGATIVE_POWER_SHARE = 0.2
"""Share of power below 0 that the subtraction of noise may leave."""
LINEAR_SPREAD = 5.0
"""Values from 0 to this are linear rather than decibels."""
PHOTOGRAPH_CORRELATION = 0.8
"""Least correlation of the bands of a photograph: light brightens all colours, speckle each polarisation by itself."""
LIMITS = {
    Unit.DECIBEL: (-100.0, 100.0),
    Unit.AMPLITUDE: (0.0, 1e9),
    Unit.LINEAR_POWER: (0.0, 5e9),
    Unit.DIGITAL_NUMBER: (0.0, 2e9),
}
"""A value beyond these that occurs again and again is no measurement but stands for 'no data'."""
FILLS = np.array([2147483647.0, 2147483648.0, 4294967295.0, 4294967296.0], np.float32)
"""Largest integers, which some programs write where there are no data."""
MOST_FILLS = 4
"""Different values that may stand for 'no data' in one file."""
LEVEL_DEVIATIONS = 2.0
"""Distance of a scene's mean from that of the training data, in its deviations, from which on a model is lost."""
LEAST_LEVELS = 16
"""Different values from which on an image is measured rather than drawn."""
LEAST_ALIKE = 256
"""Values from which on it is no chance that all are the same."""
SAMPLES, SAMPLE_SIDE = 8, 64
"""Sample windows per row and column of a scene, and their side."""


@dataclass(frozen=True)
class Advice:
    """How users of a command settle a doubt."""

    nodata: str
    unit: str
    accept: str
    scaling: tuple[tuple[float, float], ...] = ()
    """Factor and offset of each band that its file declares; nodata is declared as it is stored."""

    def of_band(self, index: int) -> Advice:
        """The same for one band, counted from 0."""
        return replace(self, scaling=self.scaling[index : index + 1])

    def missing(self, value: float) -> str:
        """What to do where a value means 'no data'."""
        factor, offset = self.scaling[0] if self.scaling else (1.0, 0.0)
        stored = value if (factor, offset) == (1.0, 0.0) else (value - offset) / factor
        whole = round(stored)
        scaled_back = stored != value and abs(stored - whole) < 1e-6 * abs(value / factor)  # of single precision
        return self.nodata.format(f"{whole if scaled_back else stored:.10g}")


SCENE = Advice("give --nodata={} if it means no data", "correct --unit", "or --accept-values if they are as stated")
DATASET = Advice(
    "declare nodata: {} if it means no data",
    "correct the declared unit",
    "or accept_values: true if they are as stated",
)


def sample_windows(grid: Georeference, side: int = SAMPLE_SIDE) -> Iterator[Window]:
    """Small windows spread evenly over a grid; all of it where it is small."""
    for row in _starts(grid.height, side):
        for col in _starts(grid.width, side):
            yield Window(row, col, min(side, grid.height - row), min(side, grid.width - col))


def _starts(length: int, side: int) -> list[int]:
    if length <= side * SAMPLES:
        return list(range(0, length, side))
    return [int(start) for start in np.linspace(0, length - side, SAMPLES)]


def fill_values(values: NDArray[Any], unit: Unit) -> list[float]:
    """Values beyond `LIMITS` that occur again and again while hardly any other does; cheap where there are none.

    Args:
        values: Of any shape, finite; what has no data may be 0.
        unit: What they are declared to be.
    """
    low, high = LIMITS[unit]
    least, greatest = values.min(), values.max()
    found: list[float] = []
    if least < low and np.count_nonzero(values == least) > 1:
        found += _few(values[values < low])
    if (greatest > high or np.float32(greatest) in FILLS) and np.count_nonzero(values == greatest) > 1:
        found += _few(values[values >= min(high, greatest)])
    return found


def fill_reason(values: NDArray[Any], unit: Unit, advice: Advice) -> str | None:
    """Which of the values, as for `fill_values`, stand for 'no data', and what to do; None where none does."""
    fills = fill_values(values, unit)
    if not fills:
        return None
    named = ", ".join(f"{value:.10g}" for value in fills)
    return f"{named} cannot be {unit.value}; {advice.missing(fills[0])}, {advice.accept}"


def _few(values: NDArray[Any]) -> list[float]:
    different = np.unique(values)
    return [] if len(different) > MOST_FILLS else [float(value) for value in different]


def doubt(values: NDArray[Any], unit: Unit, advice: Advice, *, convert: bool = False) -> str | None:
    """Why the values (N,) of a band, those with data, can hardly be in `unit`, and what to do; None where they may be.

    Digital numbers that stay as they are may be anything but a value below 0 that is repeated; those that are to be
    converted to power (`convert`) are whole numbers.
    """
    if not values.size:
        return None
    filled = fill_reason(values, unit, advice)
    if filled is not None:
        return filled
    if unit is Unit.DIGITAL_NUMBER and not convert:
        return None
    fill = _standing_out(values)
    if fill is not None:
        return (
            f"{np.count_nonzero(values == fill) / values.size:.1%} of its values are exactly {fill:.6g}, which is "
            f"hardly a measurement; {advice.missing(fill)}, {advice.accept}"
        )
    if values.size >= LEAST_ALIKE and values.min() == values.max():
        return (
            f"all of its values are {values[0]:.6g}, which is hardly a measurement; "
            f"{advice.missing(float(values[0]))}, {advice.accept}"
        )
    return unit_doubt(values, unit, advice)


def _standing_out(values: NDArray[Any]) -> float | None:
    """The value that is far more frequent than any other, where it is 0, apart from the others or amid them."""
    ordered, run = np.sort(values), max(1, int(FILL_SHARE * values.size))
    if not (ordered[run:] == ordered[: values.size - run]).any():
        return None
    different, counts = np.unique(ordered, return_counts=True)
    top = int(counts.argmax())
    value, others = float(different[top]), np.delete(different, top)
    if counts[top] <= FILL_PEAK * np.delete(counts, top).max(initial=0):
        return None
    if value == 0 or others.size < LEAST_LEVELS:
        return 0.0 if value == 0 else None
    low, middle, high = np.percentile(ordered[ordered != value], [1, 50, 99])
    apart = np.abs(others - value).min() > FILL_GAP * abs(value - middle)
    margin = FILL_MARGIN * (high - low)
    return value if apart or low + margin < value < high - margin else None


def unit_doubt(values: NDArray[Any], unit: Unit, advice: Advice) -> str | None:
    """Why the values (N,), at least one, can hardly be in `unit`, whatever fills them; None where they may be."""
    low, high = np.percentile(values, [1, 99])
    negative = np.count_nonzero(values < 0) / values.size
    found = f"values from {low:.4g} to {high:.4g} (1 to 99 %)"
    match unit:
        case Unit.DECIBEL if low < LIMITS[unit][0] or high > LIMITS[unit][1]:
            return f"{found} are no dB; {advice.unit}, {advice.accept}"
        case Unit.DECIBEL if values.min() >= 0 and high < LINEAR_SPREAD:
            return f"{found}, none below 0, look linear, not like dB; {advice.unit}, {advice.accept}"
        case Unit.AMPLITUDE | Unit.DIGITAL_NUMBER if negative > 0:
            return f"{negative:.2%} of its values are below 0, which {unit.value} never is; {advice.unit} or the nodata"
        case Unit.LINEAR_POWER if negative > NEGATIVE_POWER_SHARE:
            return f"{negative:.1%} of its values are below 0, too many for power; {advice.unit}, {advice.accept}"
        case Unit.DIGITAL_NUMBER if np.count_nonzero(values != np.round(values)) > 0.01 * values.size:
            return f"{found} are no whole numbers, so no digital numbers; {advice.unit} (amplitude), {advice.accept}"
        case _:
            return None


def level_doubt(
    means: NDArray[np.float64], sensor: SensorRadiometry, statistics: BandStatistics, model: str
) -> str | None:
    """Which band's mean (C,) is far from what a model was trained on; None where none is.

    A model that standardises each scene by itself takes any level.
    """
    if sensor.standardise is Standardise.SCENE:
        return None
    off = (means - np.asarray(statistics.mean)) / np.asarray(statistics.std)
    worst = int(np.argmax(np.abs(off)))
    if abs(off[worst]) <= LEVEL_DEVIATIONS:
        return None
    return (
        f"{sensor.bands[worst]} has a mean of {means[worst]:.4g} {sensor.unit.value}, but model {model} was trained on "
        f"{statistics.mean[worst]:.4g} ({abs(off[worst]):.3g} deviations away)"
    )


def same_pixels(names: Sequence[str], bands: Sequence[NDArray[Any]]) -> str | None:
    """Which two polarisations hold the same pixels; None where all differ.

    HV may be given as VH (reciprocity), and bands of a few values only are not compared.
    """
    for (left, a), (right, b) in combinations(zip(names, bands, strict=True), 2):
        crossed = {left[:2].upper(), right[:2].upper()} == {"HV", "VH"}
        if not crossed and np.array_equal(a, b) and len(np.unique(a)) >= LEAST_LEVELS:
            return (
                f"{left} and {right} hold the same pixels, so one file was given for two polarisations; "
                "give the file of each"
            )
    return None


def photograph(values: NDArray[Any], unit: Unit) -> bool:
    """True where bands (3 or more, N) of an image that says that it is red, green and blue look like light.

    Such an image is no dB. Amplitudes, power and digital numbers may be shown as false colours: there the correlation
    of the bands decides.
    """
    if unit is Unit.DECIBEL or len(values) < 3:
        return unit is Unit.DECIBEL
    colours = values[:3].astype(np.float64)
    if colours.shape[1] < 2 or not (colours.std(axis=1) > 0).all():
        return False
    return bool(np.min(np.corrcoef(colours)) > PHOTOGRAPH_CORRELATION)
