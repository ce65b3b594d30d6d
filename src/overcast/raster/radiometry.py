"""The radiometry contract: what the numbers of each sensor mean is declared, never guessed.

The contract travels with the data set, the model bundle and every output; where two disagree, `check_same`
names both sides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from overcast.errors import RadiometryError
from overcast.raster.units import RadarSide, Standardise, Unit
from overcast.section import Section

__all__ = [
    "BandStatistics",
    "RadarSide",
    "Radiometry",
    "SensorRadiometry",
    "Standardise",
    "Statistics",
    "Unit",
    "check_same",
    "contradicted",
    "require_names",
    "require_same_standardise",
    "uncalibrated_pair",
]


class SensorRadiometry(Section):
    """Meaning of one sensor's pixels."""

    bands: tuple[Annotated[str, Field(min_length=1, max_length=100)], ...] = Field(min_length=1, max_length=1000)
    """Names in file order; for SAR the polarisations (HH, HV, VH, VV), or polarisation and date. `HH|VV` is a band that
    is HH in some images and VV in others; a model of it takes either."""
    unit: Unit
    nodata: float | None = None
    """Value that means 'no data'; NaN always does."""
    gsd_m: float = Field(gt=0, le=1e6)
    """Ground sampling distance in metres per pixel."""
    radar_side: RadarSide | None = None
    """SAR only: the side of the compass on which the radar stood, whatever the image's upper side is; None when it is
    unknown or mixed. Of a model: that side on images whose upper side is north."""
    radar_azimuth_deg: float | None = Field(default=None, ge=0, lt=360)
    """SAR only: the exact azimuth of the radar as seen from the scene, clockwise from north, where it is known. It
    counts instead of `radar_side`, which must be the side of the compass next to it."""

    standardise: Standardise = Standardise.DATASET
    """SAR only: `scene` standardises each image by the median and the spread of its own logarithmic intensity, so that
    gain, calibration and unit do not matter; of what a scene declares it counts nothing, the model decides."""

    accept_values: bool = False
    """True: the values are as declared, even where a sample of them looks otherwise."""

    @model_validator(mode="before")
    @classmethod
    def _refuse_look_direction(cls, given: Any) -> Any:
        if isinstance(given, dict) and "look_direction" in given:
            raise ValueError(
                "look_direction is called radar_side: the side on which the radar stood, which is the opposite of "
                "the direction in which it looked"
            )
        return given

    @model_validator(mode="after")
    def _has_decibels(self) -> SensorRadiometry:
        if self.standardise is Standardise.SCENE and self.unit is Unit.DIGITAL_NUMBER:
            raise ValueError("standardise: scene needs a unit with decibels: amplitude, linear_power or dB")
        return self

    @model_validator(mode="after")
    def _azimuth_is_at_the_side(self) -> SensorRadiometry:
        if self.radar_azimuth_deg is not None:
            side = None if self.radar_side is None else 90.0 * list(RadarSide).index(self.radar_side)
            if side is None or abs((self.radar_azimuth_deg - side + 180.0) % 360.0 - 180.0) > 45.0:
                raise ValueError(
                    f"radar_azimuth_deg {self.radar_azimuth_deg:g} needs the radar_side next to it, not "
                    f"{self.radar_side}"
                )
        return self

    @field_validator("bands")
    @classmethod
    def _distinct(cls, bands: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(bands)) != len(bands):
            raise ValueError(f"band names must differ, got {list(bands)}")
        return bands

    def valid(self, values: NDArray[np.floating] | NDArray[np.integer]) -> NDArray[np.bool_]:
        """(H, W) bool, True where every band of `values` (C, H, W) has data: neither NaN, infinite nor nodata."""
        good: NDArray[np.bool_] = np.isfinite(values).all(axis=0)
        if self.nodata is not None and not np.isnan(self.nodata):
            good &= (values != self.nodata).all(axis=0)
        return good


def contradicted(declared: Sequence[str], described: Sequence[str | None]) -> bool:
    """True where files call all of their bands polarisations, and others than declared. HV may be VH (reciprocity).

    >>> contradicted(("HH", "VV"), ("VV", "HH")), contradicted(("HH", "VV"), ("band 1", "band 2"))
    (True, False)
    >>> contradicted(("HH|VV",), ("VV",)), contradicted(("HH|VV",), ("HV",))
    (False, True)
    """
    said = [str(name).strip().upper() for name in described]
    ours, theirs = ([name.upper().replace("VH", "HV") for name in names] for names in (declared, said))
    polarised = len(said) == len(declared) and {"HH", "HV", "VH", "VV"} >= {*said}
    return polarised and any(its not in mine.split("|") for mine, its in zip(ours, theirs, strict=True))


def require_names(file: str, described: Sequence[str | None], sensor: SensorRadiometry) -> None:
    """Raise RadiometryError where a file calls its bands otherwise than declared."""
    if not sensor.accept_values and contradicted(sensor.bands, described):
        raise RadiometryError(
            f"{file} calls its bands {', '.join(map(str, described))}, but {', '.join(sensor.bands)} are declared; "
            "correct the declaration, or declare accept_values (--accept-values) if the names in the file are wrong."
        )


class Radiometry(Section):
    """The contract of a data set or a model."""

    sar: SensorRadiometry
    optical: SensorRadiometry | None = None


def uncalibrated_pair(gsd_m: float) -> Radiometry:
    """Radiometry of data sets that publish one SAR band beside red, green and blue, all as digital numbers.

    The band is called SAR because its polarisation is not published or not the same throughout; nor is the side from
    which it was seen.
    """
    colours = ("red", "green", "blue")
    return Radiometry(
        sar=SensorRadiometry(bands=("SAR",), unit=Unit.DIGITAL_NUMBER, gsd_m=gsd_m),
        optical=SensorRadiometry(bands=colours, unit=Unit.DIGITAL_NUMBER, gsd_m=gsd_m),
    )


class BandStatistics(Section):
    """Per-band mean and standard deviation over the valid pixels of a training set, in the declared unit."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @field_validator("std")
    @classmethod
    def _positive(cls, std: tuple[float, ...]) -> tuple[float, ...]:
        if not all(value > 0 for value in std):
            raise ValueError(f"standard deviations must be positive, got {list(std)}")
        return std

    @model_validator(mode="after")
    def _of_each_band(self) -> Self:
        if len(self.mean) != len(self.std) or not np.isfinite([*self.mean, *self.std]).all():
            raise ValueError("every band needs a finite mean and a finite standard deviation")
        return self

    def standardise(self, values: NDArray[np.floating], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        """(C, H, W) float32 of zero mean and unit deviation; 0 where `valid` (H, W) is False."""
        mean = np.asarray(self.mean, np.float32)[:, None, None]
        std = np.asarray(self.std, np.float32)[:, None, None]
        scaled: NDArray[np.float32] = values.astype(np.float32, copy=False) - mean
        scaled /= std  # in place: the pixels of a large tile are held no more often than needed
        np.copyto(scaled, np.float32(0), where=~valid)
        return scaled


class Statistics(Section):
    """Band statistics of each sensor."""

    sar: BandStatistics
    optical: BandStatistics | None = None


GSD_TOLERANCE = 0.1
"""Relative difference of ground sampling distance that a model accepts."""


def check_same(expected: SensorRadiometry, found: SensorRadiometry, *, expected_name: str, found_name: str) -> None:
    """Raise RadiometryError, naming both sides and all of it, where bands, unit, pixel size or radar side differ.

    Nodata may differ: it is translated into the validity mask on reading. A radar side of None is not compared, nor
    are units where each scene is standardised by itself.
    """
    differences: list[tuple[str, object, object, str]] = []
    if not _takes(expected.bands, found.bands):
        same = sorted(map(_polarisation, expected.bands)) == sorted(map(_polarisation, found.bands))
        hint = "choose the same bands in the same order"
        hint = "overcast prepare gives them these names and this order" if same else hint
        differences.append(("bands", _said(expected.bands), _said(found.bands), hint))
    by_itself = expected.standardise is Standardise.SCENE and found.unit is not Unit.DIGITAL_NUMBER
    if expected.unit is not found.unit and not by_itself:
        hint = "convert the image, as overcast prepare does, or declare its unit correctly"
        units = [unit.value for unit in Unit if unit is not Unit.DIGITAL_NUMBER]
        wanted_unit = " or ".join(units) if expected.standardise is Standardise.SCENE else expected.unit.value
        differences.append(("unit", wanted_unit, found.unit.value, hint))
    if abs(found.gsd_m / expected.gsd_m - 1) > GSD_TOLERANCE:
        hint = "resample the image with overcast prepare (SAR) or gdalwarp -tr"
        differences.append(("pixels of", f"{expected.gsd_m:g} m", f"{found.gsd_m:g} m", hint))
    wanted, given = expected.radar_side, found.radar_side
    if wanted is not None and given is not None and wanted is not given:
        hint = "rotate the image to the model's radar side, for example with overcast prepare --rotate"
        differences.append(("radar side", wanted.value, given.value, hint))
    if differences:
        theirs = ", ".join(f"{what} {right}" for what, _, right, _ in differences)
        ours = ", ".join(str(left) if len(differences) == 1 else f"{what} {left}" for what, left, _, _ in differences)
        hints = "; ".join(hint for *_, hint in differences)
        raise RadiometryError(f"{found_name} has {theirs}, but {expected_name} has {ours}; {hints}.")


def _said(bands: tuple[str, ...]) -> str:
    """Bands in words.

    >>> _said(("HH|VV",)), _said(("HH", "HV"))
    ('[HH or VV]', '[HH, HV]')
    """
    return f"[{', '.join(band.replace('|', ' or ') for band in bands)}]"


def _takes(expected: tuple[str, ...], found: tuple[str, ...]) -> bool:
    """True where each band is the expected one, or one of those that it may be.

    >>> _takes(("HH|VV",), ("VV",)), _takes(("HH|VV",), ("HV",))
    (True, False)
    """
    pairs = zip(expected, found, strict=False)
    return len(expected) == len(found) and all(mine == its or its in mine.split("|") for mine, its in pairs)


def require_same_standardise(model: SensorRadiometry, data: SensorRadiometry, model_name: str) -> None:
    """Raise RadiometryError where training data are not standardised as a model's that training starts from."""
    if model.standardise is not data.standardise:
        raise RadiometryError(
            f"model {model_name} takes images standardised by {model.standardise.value}, but the training data are "
            f"standardised by {data.standardise.value}; set data.standardise={model.standardise.value}."
        )


def _polarisation(name: str) -> str:
    """The polarisation that stands alone in a band's name, else the name.

    >>> _polarisation("Sigma0_VH_db")
    'VH'
    """
    words = {word for word in re.split(r"[^A-Z0-9]+", name.upper()) if word in {"HH", "HV", "VH", "VV"}}
    return words.pop() if len(words) == 1 else name
