"""One band as its file holds it: which values are data, and what scale the file declares for them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overcast.errors import InputError, RadiometryError
from overcast.preparation.bands import Band
from overcast.preparation.calibrated import scale_factor
from overcast.preparation.control_points import Placement, placement
from overcast.preparation.metadata import documents
from overcast.preparation.options import PrepareOptions
from overcast.products.calibration_table import CalibrationTable, read_table
from overcast.raster.addresses import address
from overcast.raster.files import RasterFile, is_masked, opaque_bands
from overcast.raster.georeference import Georeference
from overcast.raster.grid import Window
from overcast.raster.measurements import require_measurements
from overcast.raster.radar_geometry import in_radar_geometry, refuse_radar_geometry
from overcast.raster.units import Unit
from overcast.scenes.declare import declared_in

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
    placement: Placement | None = None
    """Where control points place it; None where it lies on a map."""
    table: CalibrationTable | None = None
    """Divisors of its digital numbers; None where nothing is divided by a table."""

    @cached_property
    def grid(self) -> Georeference:
        """Grid of the file; of one that control points place only the size is that of its pixels."""
        found = self.band.grid
        ground = None if self.placement is None else self.placement.grid
        return found if ground is None else Georeference(found.height, found.width, ground.transform, ground.crs)

    @property
    def ground(self) -> Georeference:
        """A grid in a CRS over everything that the file shows."""
        return self.grid if self.placement is None else self.placement.grid

    @cached_property
    def _file(self) -> RasterFile:
        band = self.band
        masked = is_masked(band.dataset, alpha_is_data=opaque_bands(band.dataset) == band.dataset.indexes)
        return RasterFile(band.path, band.dataset, (band.index,), masked, self.nodata)

    @cached_property
    def scale(self) -> tuple[float, float]:
        """Factor and offset that the file declares for its stored values."""
        index = self.band.index - 1
        return float(self.band.dataset.scales[index]), float(self.band.dataset.offsets[index])

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Values (h, w), real or complex, and (h, w) where they are data. Raises InputError for a damaged file."""
        bands, valid = self._file.read(window)
        values = bands[0] if self.table is None else bands[0] / self.table.at(window)
        return values, valid & np.isfinite(values)


def open_readers(bands: Sequence[Band], options: PrepareOptions) -> list[BandReader]:
    """The readers of bands, with the nodata values that their declarations and products name.

    Raises InputError where a file does not say where it lies, or a table of calibration is damaged.
    """
    placements: dict[object, Placement] = {}
    tables: dict[Path, CalibrationTable] = {}
    readers = []
    for band in bands:
        found, path = None, band.stated.calibration
        if options.gcps and in_radar_geometry(band.dataset):
            key = (band.dataset.shape, *((one.row, one.col, one.x, one.y) for one in band.dataset.gcps[0]))
            found = placements[key] = placements.get(key) or placement(band, options.crs)
        else:
            _require_place(band)
        require_measurements(band.path, band.dataset)
        if path is not None and not options.calibration_db and options.unit is None:
            tables[path] = tables.get(path) or read_table(path)
        nodata = (*options.nodata, *_declared_nodata(band), *band.stated.nodata)
        readers.append(BandReader(band, nodata, found, tables.get(path) if path is not None else None))
    return readers


def _declared_nodata(band: Band) -> tuple[float, ...]:
    declared = declared_in(band.path, band.dataset).get("nodata")
    return (float(declared),) if isinstance(declared, int | float) and math.isfinite(declared) else ()


def _require_place(band: Band) -> None:
    grid = band.grid
    refuse_radar_geometry(band.path, band.dataset)
    if grid.crs is None or grid.transform.determinant == 0 or grid.transform.is_identity:
        missing = "coordinate reference system" if grid.crs is None else "geotransform"
        raise InputError(
            f"{address(band.path)} has no {missing}, so nobody knows where it lies; assign it "
            "(gdal_edit.py -a_srs EPSG:... -a_ullr ...)."
        )


def unit_of(reader: BandReader, stated: Unit | None) -> Unit:
    """Unit of a band: stated, declared in or beside the file, the band's own unit, or the amplitude of complex values.

    Raises RadiometryError where nobody says, or the values are complex and the unit is not one of theirs.
    """
    band = reader.band
    if reader.table is not None:
        return Unit.AMPLITUDE
    declared: Mapping[str, object] = declared_in(band.path, band.dataset)
    unit = stated or _as_unit(declared.get("unit")) or _as_unit(band.dataset.units[band.index - 1]) or band.stated.unit
    if band.is_complex:
        if unit not in {None, Unit.AMPLITUDE, Unit.DIGITAL_NUMBER}:
            raise RadiometryError(
                f"{band.label} is complex, so its magnitude is an amplitude, not {unit}; leave --unit out."
            )
        return unit or Unit.AMPLITUDE
    if unit is None and "int" in band.dataset.dtypes[band.index - 1]:
        said = scale_factor(documents([band.path], [band.dataset.tags()], []))
        unit = None if said is None else Unit.DIGITAL_NUMBER
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
