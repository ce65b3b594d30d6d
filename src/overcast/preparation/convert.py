"""Units of brightness: from what a file holds to power, in which pixels are averaged, and on to the model's unit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from overcast.raster.units import Unit

Values = NDArray[Any]
Power = NDArray[np.float64]


@dataclass(frozen=True)
class Conversion:
    """From the unit of a band to the model's, over power / 10^(factor_db / 10).

    Digital numbers that stay digital numbers have no known power; they stay as they are.
    """

    source: Unit
    target: Unit
    factor_db: float = 0.0
    floor_db: float | None = None
    """Least power that comes out."""

    @property
    def is_identity(self) -> bool:
        """True where values may be copied."""
        return self.source is self.target and self.factor_db == 0 and self.floor_db is None

    @property
    def knows_power(self) -> bool:
        """False for digital numbers without calibration."""
        return self.target is not Unit.DIGITAL_NUMBER

    def brighter(self, by_db: float) -> Conversion:
        """This conversion with all power raised by `by_db`."""
        return replace(self, factor_db=self.factor_db - by_db)

    def to_power(self, values: Values) -> Power:
        """Power, float64, of values in the source unit; the squared magnitude of complex ones."""
        if not self.knows_power:
            return values.astype(np.float64)
        match self.source:
            case Unit.LINEAR_POWER:
                power = values.astype(np.float64)
            case Unit.AMPLITUDE | Unit.DIGITAL_NUMBER:
                power = squared(values)
            case Unit.DECIBEL:
                power = 10 ** (values.astype(np.float64) / 10)
            case _:
                assert_never(self.source)
        return power if self.factor_db == 0 else power * 10 ** (-self.factor_db / 10)

    def from_power(self, power: Power) -> NDArray[np.float32]:
        """Values in the target unit, float32; NaN where power has none (dB and amplitude of power below 0)."""
        if self.floor_db is not None:
            power = np.maximum(power, 10 ** (self.floor_db / 10))
        match self.target:
            case Unit.LINEAR_POWER | Unit.DIGITAL_NUMBER:
                return power.astype(np.float32)
            case Unit.AMPLITUDE:
                return np.sqrt(np.where(power >= 0, power, np.nan)).astype(np.float32)
            case Unit.DECIBEL:
                positive = power > 0
                db = 10 * np.log10(np.where(positive, power, 1))
                return np.where(positive, db, np.nan).astype(np.float32)
            case _:
                assert_never(self.target)


def squared(values: Values) -> Power:
    """|z|^2 of real or complex values, float64."""
    if np.iscomplexobj(values):
        return values.real.astype(np.float64) ** 2 + values.imag.astype(np.float64) ** 2
    return values.astype(np.float64) ** 2


def shift_db(mean: float, wanted: float, unit: Unit) -> float:
    """Decibels by which power has to rise so that a mean in `unit` becomes the wanted one.

    >>> shift_db(-11.0, 29.0, Unit.DECIBEL)
    40.0
    """
    match unit:
        case Unit.DECIBEL:
            return wanted - mean
        case Unit.AMPLITUDE:
            return float(20 * np.log10(wanted / mean))
        case Unit.LINEAR_POWER:
            return float(10 * np.log10(wanted / mean))
        case Unit.DIGITAL_NUMBER:
            raise ValueError("the power of digital numbers is not known")
        case _:
            assert_never(unit)
