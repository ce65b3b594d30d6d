"""What a user says about the input and wants of the output: plain values that the command line can offer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from overcast.errors import ConfigError
from overcast.raster.units import RadarSide, Resampling, Unit

if TYPE_CHECKING:
    from overcast.scenes.ground import Area

Report = Callable[[float, float, str], None]
"""Called with km^2 done, km^2 in all and what is being done."""


class Level(StrEnum):
    """What happens where the brightness of a scene is not that of the model's training data."""

    CHECK = "check"
    """Refuse it."""
    KEEP = "keep"
    """Leave it as it is."""
    MATCH = "match"
    """Shift each band by a constant, so that its mean is that of the training data."""


@dataclass(frozen=True)
class PrepareOptions:
    """How a scene is prepared. What is None is taken from the files, and refused where they do not say."""

    bands: tuple[str, ...] | None = None
    """Names of all bands of the input files without NAME=, in order."""
    unit: Unit | None = None
    nodata: tuple[float, ...] = ()
    """Further values without data; NaN and what the files declare always are."""
    calibration_db: Mapping[str, float] = field(default_factory=dict)
    """Band name, or "" for all others, to F: power is divided by 10^(F / 10)."""
    radar_side: RadarSide | None = None
    """Side of the ground on which the radar stood, by the compass."""
    look_azimuth_deg: float | None = None
    """Direction into which the radar looked, clockwise from north."""
    metadata: tuple[Path, ...] = ()
    """JSON or XML files about the scene, beside those that lie next to it."""
    gcps: bool = False
    """Place images in radar geometry by their ground control points, as on flat ground."""
    rotate: bool = False
    """Turn the grid so that the radar stands on the model's side of the image."""
    crs: str | None = None
    """CRS of the output; None: that of the input, or UTM where the input's is not in metres on the ground."""
    resampling: Resampling = Resampling.BILINEAR
    level: Level = Level.CHECK
    floor_db: float | None = None
    """Power below it, zero and negative power included, is set to it; without it what has no dB becomes nodata."""
    accept_values: bool = False
    """Believe what is stated even where the values look otherwise."""
    area: Area | None = None
    """The part of the scene that is prepared; None: all of it."""
    overwrite: bool = False
    stac: bool = True
    """Write a STAC item beside the scene."""

    def __post_init__(self) -> None:
        if self.look_azimuth_deg is not None and not abs(self.look_azimuth_deg) <= 360:
            raise ConfigError(f"--look-azimuth {self.look_azimuth_deg:g} is not a direction from -360 to 360 degrees.")
        if self.floor_db is not None and not math.isfinite(self.floor_db):
            raise ConfigError(f"--floor-db {self.floor_db:g} is not a number of decibels; write -30, for example.")


def calibration(factors_db: Sequence[str], lut: Sequence[str]) -> dict[str, float]:
    """Factors F in dB by band name ("" for all bands) from texts such as `71.3` or `HH=71.3`.

    Args:
        factors_db: F of power = DN^2 / 10^(F / 10).
        lut: A of power = DN^2 / A^2, as in the calibration tables of Sentinel-1.

    Raises ConfigError for a text that is no such number, or a band that is named twice.

    >>> calibration(["83"], ["HH=10"])
    {'': 83.0, 'HH': 20.0}
    """
    found: dict[str, float] = {}
    for option, texts in (("--calibration-factor-db", factors_db), ("--calibration-lut", lut)):
        for text in texts:
            name, _, number = text.upper().rpartition("=")
            value = _number(option, text, number)
            if option == "--calibration-lut" and value <= 0:
                raise ConfigError(f"{option} {text}: a divisor of digital numbers is positive; correct it.")
            if name in found:
                raise ConfigError(
                    f"{option} {text}: {name or 'every band'} has a calibration already; give one of them."
                )
            found[name] = 20 * math.log10(value) if option == "--calibration-lut" else value
    return found


def _number(option: str, text: str, number: str) -> float:
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError(f"{option} {text} is not a number; write 71.3 for every band or HH=71.3 for one.")
    return value
