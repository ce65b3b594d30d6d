"""Units, radar sides, ways to resample: names alone, so that the command line can offer them without heavy imports."""

from __future__ import annotations

from enum import StrEnum


class Unit(StrEnum):
    """Unit of pixel values."""

    LINEAR_POWER = "linear_power"
    AMPLITUDE = "amplitude"
    DECIBEL = "dB"
    DIGITAL_NUMBER = "digital_number"


class Standardise(StrEnum):
    """Whose statistics pixels are standardised with."""

    DATASET = "dataset"
    """Statistics of the training data: the numbers of a scene must be calibrated as theirs were."""
    SCENE = "scene"
    """Logarithms of intensity by the scene's own median and spread: gain, calibration and unit do not matter."""


class RadarSide(StrEnum):
    """The side of the compass on which the radar stood (its shadows point the other way)."""

    NORTH = "north"
    EAST = "east"
    SOUTH = "south"
    WEST = "west"

    @property
    def opposite(self) -> RadarSide:
        """The side that a turn by 180 degrees exchanges it for."""
        order = list(RadarSide)
        return order[(order.index(self) + 2) % 4]


class Resampling(StrEnum):
    """How values between pixels are found. Where pixels become coarser, all but `nearest` take the mean."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    CUBIC = "cubic"
