"""One band as its file holds it: which values are data, and what scale the file declares for them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overcast.data.addresses import address
from overcast.data.files import RasterFile, is_masked
from overcast.data.georeference import Georeference
from overcast.data.radar_geometry import refuse_radar_geometry
from overcast.data.units import Unit
from overcast.errors import InputError, RadiometryError
from overcast.grid import Window
from overcast.inference.declare import declared_beside
from overcast.preparation.bands import Band

_WORDS = {
    "db": Unit.DECIBEL,
    "decibel": Unit.DECIBEL,
    "decibels": Unit.DECIBEL,
    "amplitude": Unit.AMPLITUDE,
    "intensity": Unit.LINEAR_POWER,
    "power": Unit.LINEAR_POWER,
    "linear_power": Unit.LINEAR_POWER,
    "linear power": Unit.LINEAR_POWER,
}
"""What files call units."""


@dataclass(frozen=True)
class BandReader:
    """A band of an open file."""

    band: Band
    nodata: tuple[float, ...]
    """Values without data beside those that the file itself declares."""

    @cached_property
    def grid(self) -> Georeference:
        """Grid of the file."""
        return self.band.grid

    @cached_property
    def _file(self) -> RasterFile:
        band = self.band
        masked = is_masked(band.dataset, alpha_is_data=False)
        return RasterFile(band.path, band.dataset, (band.index,), masked, self.nodata)

    @cached_property
    def scale(self) -> tuple[float, float]:
        """Factor and offset that the file declares for its stored values."""
        index = self.band.index - 1
        return float(self.band.dataset.scales[index]), float(self.band.dataset.offsets[index])

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Values (h, w), real or complex, and (h, w) where they are data. Raises InputError for a damaged file."""
        bands, valid = self._file.read(window)
        return bands[0], valid & np.isfinite(bands[0])


def open_reader(band: Band, nodata: tuple[float, ...]) -> BandReader:
    """The reader of a band, with the nodata value that its declaration names.

    Raises InputError where the file does not say where it lies.
    """
    dataset, grid = band.dataset, band.grid
    refuse_radar_geometry(band.path, dataset)
    if grid.crs is None or grid.transform.determinant == 0 or grid.transform.is_identity:
        missing = "coordinate reference system" if grid.crs is None else "geotransform"
        raise InputError(
            f"{address(band.path)} has no {missing}, so nobody knows where it lies; assign it "
            "(gdal_edit.py -a_srs EPSG:... -a_ullr ...)."
        )
    declared = declared_beside(band.path).get("nodata")
    if isinstance(declared, int | float) and math.isfinite(declared):
        nodata = (*nodata, float(declared))
    return BandReader(band, nodata)


def unit_of(reader: BandReader, stated: Unit | None) -> Unit:
    """Unit of a band: stated, declared in or beside the file, the band's own unit, or the amplitude of complex values.

    Raises RadiometryError where nobody says, or the values are complex and the unit is not one of theirs.
    """
    band = reader.band
    declared: Mapping[str, object] = declared_beside(band.path)
    unit = stated or _as_unit(declared.get("unit")) or _as_unit(band.dataset.units[band.index - 1])
    if band.is_complex:
        if unit not in {None, Unit.AMPLITUDE, Unit.DIGITAL_NUMBER}:
            raise RadiometryError(
                f"{band.label} is complex, so its magnitude is an amplitude, not {unit}; leave --unit out."
            )
        return unit or Unit.AMPLITUDE
    if unit is None:
        raise RadiometryError(
            f"{band.label}: the unit of its values is not declared; give --unit dB, amplitude, linear_power or "
            "digital_number (with --calibration-factor-db)."
        )
    if unit is Unit.DIGITAL_NUMBER and reader.scale != (1.0, 0.0):
        raise RadiometryError(
            f"{band.label} declares a scale of {reader.scale[0]:g} and an offset of {reader.scale[1]:g}, so its values "
            "are no digital numbers; give the unit that they have with them, for example --unit dB."
        )
    return unit


def _as_unit(word: object) -> Unit | None:
    if word in set(Unit):
        return Unit(str(word))
    return _WORDS.get(str(word).strip().lower())
