"""Everything that is decided before the first pixel is written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from overcast.errors import ConfigError, InputError, RadiometryError
from overcast.preparation import sentences
from overcast.preparation.aim import Aim, ForTraining
from overcast.preparation.bands import find_bands, unnamed_bands
from overcast.preparation.calibrated import scale_factor
from overcast.preparation.control_points import ByPoints, Placement
from overcast.preparation.convert import Conversion
from overcast.preparation.found_look import declared_radar, known, metadata_radar, stated_radar, unknown_look
from overcast.preparation.inputs import Asked
from overcast.preparation.look import Radar, require_side
from overcast.preparation.metadata import Document, documents, facts_of, radar_facts
from overcast.preparation.options import PrepareOptions
from overcast.preparation.questions import Questions
from overcast.preparation.source import BandReader, open_readers, unit_of
from overcast.preparation.target import target_crs, target_grid
from overcast.raster.addresses import file_name
from overcast.raster.compass import azimuth_of, nearest_side, up_azimuth
from overcast.raster.degrees import place_of
from overcast.raster.georeference import Georeference, same_grid
from overcast.raster.grid import Window
from overcast.raster.radiometry import SensorRadiometry
from overcast.raster.resample import Regridding
from overcast.raster.units import Resampling, Standardise, Unit
from overcast.scenes.declare import declared_in
from overcast.scenes.ground import Ground, ground_of


@dataclass(frozen=True)
class BandPlan:
    """How one band of the output comes about."""

    reader: BandReader
    conversion: Conversion
    regridding: Regridding | None
    """None where the input lies on the grid already."""
    how: str
    """Unit and calibration, for people."""

    @property
    def name(self) -> str:
        """Name of the band in the model."""
        return self.reader.band.name

    @property
    def copies(self) -> bool:
        """True where stored values come out as they are."""
        picks = self.regridding is None or self.regridding.kind is Resampling.NEAREST
        return picks and self.conversion.is_identity

    def brighter(self, by_db: float) -> BandPlan:
        """This band with its power raised by `by_db`."""
        how = f"{self.how}, raised by {by_db:.2f} dB to the level of the training data"
        return replace(self, conversion=self.conversion.brighter(by_db), how=how)


@dataclass(frozen=True)
class PreparationPlan:
    """How the output comes about."""

    bands: tuple[BandPlan, ...]
    grid: Georeference
    """Grid of the whole scene: an area of it changes no pixel inside."""
    sensor: SensorRadiometry
    """What the output declares of itself."""
    radar: Radar | None
    model: Aim
    options: PrepareOptions
    ground: Ground | None = None
    """What of the grid is wanted; None: all of it."""

    @property
    def window(self) -> Window:
        """What of the grid is written."""
        return self.grid.whole if self.ground is None else self.ground.window

    @property
    def written(self) -> Georeference:
        """Grid of the output."""
        return self.grid.crop(self.window)

    @property
    def paths(self) -> tuple[Path, ...]:
        """Input files, each once."""
        return tuple(dict.fromkeys(path for band in self.bands for path in band.reader.band.files))

    @property
    def scene(self) -> str:
        """Name of the scene, for people."""
        return str(self.paths[0])

    @property
    def pixel_km2(self) -> float:
        """Area of a pixel."""
        return self.sensor.gsd_m**2 / 1e6

    @property
    def steps(self) -> tuple[str, ...]:
        """What is done, one sentence each."""
        return sentences.steps(self)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know before trusting a prediction."""
        return sentences.notes(self)

    @property
    def placements(self) -> tuple[Placement, ...]:
        """Where control points place its bands; empty for images on a map."""
        found = [band.reader.placement for band in self.bands if band.reader.placement is not None]
        return tuple({id(one): one for one in found}.values())


def make_plan(asked: Asked, aim: Aim | ForTraining, options: PrepareOptions, stack: ExitStack) -> PreparationPlan:
    """Decide everything, and refuse what cannot be decided without guessing; `stack` closes the input files.

    Raises:
        InputError: A file is missing or damaged, or does not say where it lies.
        RadiometryError: Bands, unit, calibration or radar side are unknown, or not what the model needs.
        ConfigError: Options contradict each other.
    """
    needed = None if isinstance(aim, ForTraining) else (aim.sensor.bands, aim.name)
    questions = Questions()
    found = questions.answer(lambda: find_bands(asked.inputs, needed, options.bands, stack))
    readers = open_readers(found or unnamed_bands(asked.inputs, stack), options)
    model = _aim(aim, readers)
    said, first = _documents(readers, asked, options), readers[0]
    radar = questions.answer(lambda: _radar(first, said, model, options))
    for reader in readers:
        if questions.answer(lambda reader=reader: decided(reader, model, options)) is None:  # type: ignore[misc]
            break
    questions.settle()
    crs = target_crs(first.ground, options.crs, str(first.band.path))
    grid = target_grid(first.ground, crs, model.sensor.gsd_m, _upwards(radar, model, options))
    if radar is not None:
        _require_look(radar, grid, model, str(first.band.path))

    @cache
    def regridding(source: Georeference, placed: Placement | None) -> Regridding | None:
        """How a file's pixels reach the grid; None where they lie on it."""
        if placed is None and same_grid(source, grid):
            return None
        kind = options.resampling
        found = Regridding(source, grid, kind) if placed is None else ByPoints(source, grid, kind, placed)
        if not all(0 < length < math.inf for length in found.footprint):
            raise InputError(f"{first.band.path} has pixels without any area on the ground; correct its geotransform.")
        return found

    bands = tuple(_band_plan(reader, regridding(reader.grid, reader.placement), model, options) for reader in readers)
    ground = None if options.area is None else ground_of(options.area, grid, first.band.path)
    declared = _declaration(model.sensor, tuple(band.name for band in bands), radar, options)
    return PreparationPlan(bands, grid, declared, radar, model, options, ground)


def _aim(aim: Aim | ForTraining, readers: Sequence[BandReader]) -> Aim:
    return aim.aim(readers) if isinstance(aim, ForTraining) else aim


def _declaration(
    wanted: SensorRadiometry, names: tuple[str, ...], radar: Radar | None, options: PrepareOptions
) -> SensorRadiometry:
    """What the output says of itself: the radar by the compass, its azimuth where no word of the compass says it."""
    side = None if radar is None else nearest_side(radar.azimuth_deg)
    exact = None if radar is None or side is None else round(radar.azimuth_deg % 360.0, 9) % 360.0
    return SensorRadiometry(
        bands=names,
        unit=wanted.unit,
        nodata=None,
        gsd_m=wanted.gsd_m,
        radar_side=side,
        radar_azimuth_deg=None if side is None or exact == azimuth_of(side) else exact,
        accept_values=options.accept_values,
    )


def _documents(readers: Sequence[BandReader], asked: Asked, options: PrepareOptions) -> list[Document]:
    files = {reader.band.path: reader.band.dataset.tags() for reader in readers}
    found = documents(list(files), list(files.values()), options.metadata, asked.documents)
    return [*found, *([facts_of(asked.inputs[0].path, asked.facts)] if asked.facts else [])]


def _radar(first: BandReader, said: list[Document], model: Aim, options: PrepareOptions) -> Radar | None:
    """Where the radar stood; None where nobody says and the model does not need it."""
    path, wanted = first.band.path, model.sensor.radar_side
    radar = stated_radar(options)
    if radar is None:
        radar = declared_radar(declared_in(path, first.band.dataset), str(path))
    if radar is not None:
        return radar
    facts = radar_facts(said, str(path))
    radar = metadata_radar(facts, place_of(first.ground)[1], _names(path), str(path))
    if radar is None and wanted is not None:
        raise unknown_look(str(path), model.name, wanted, known(facts, options.metadata))
    return radar


def _names(path: Path) -> list[str]:
    """Name of a file, and of the folders that may be called as the product is."""
    return [file_name(path), *path.parts[-3:-1]]


def _upwards(radar: Radar | None, model: Aim, options: PrepareOptions) -> float | None:
    """Azimuth that the upper side of the image shall have."""
    if not options.rotate:
        return None
    side = model.sensor.radar_side
    if side is None or radar is None:
        raise ConfigError(f"--rotate: model {model.name} was trained on no radar side of its own; leave it out.")
    return (radar.azimuth_deg - azimuth_of(side)) % 360.0


def _require_look(radar: Radar, grid: Georeference, model: Aim, scene: str) -> None:
    """Raise RadiometryError where the radar's side of the image is neither the model's nor the opposite one."""
    side, wanted = require_side(radar, up_azimuth(grid), scene), model.sensor.radar_side
    if wanted is not None and side not in {wanted, wanted.opposite}:
        raise RadiometryError(
            f"{scene}: the radar stood in the {side.value} ({radar.azimuth_deg:.0f} degrees, {radar.source}), but "
            f"model {model.name} was trained on {wanted.value} and only half turns are undone when mapping; "
            "turn the scene with --rotate."
        )


def decided(reader: BandReader, model: Aim, options: PrepareOptions) -> tuple[Unit, float | None, str]:
    """Unit of a band, factor of its calibration in dB, and who gives it.

    Raises RadiometryError where one is needed and nobody says it.
    """
    unit = unit_of(reader, options.unit)
    factor_db, source = _calibration(reader, unit, options)
    by_itself = model.sensor.standardise is Standardise.SCENE  # then the constant does not matter
    if unit is Unit.DIGITAL_NUMBER and factor_db is None and model.sensor.unit is not Unit.DIGITAL_NUMBER:
        raise RadiometryError(
            f"{reader.band.label} holds digital numbers without a calibration; give F of power = DN^2 / 10^(F/10) with "
            "--calibration-factor-db F, or A of DN^2 / A^2 with --calibration-lut A"
            f"{', or say that they are amplitude with --unit' if by_itself else ''}."
        )
    return unit, factor_db, source


def _band_plan(reader: BandReader, regridding: Regridding | None, model: Aim, options: PrepareOptions) -> BandPlan:
    band, target = reader.band, model.sensor.unit
    unit, factor_db, source = decided(reader, model, options)
    if target is Unit.DIGITAL_NUMBER:
        _require_unconverted(reader, unit, factor_db, regridding, model)
        return BandPlan(reader, Conversion(unit, target), regridding, "digital numbers as they are")
    conversion = Conversion(unit, target, factor_db or 0.0, options.floor_db)
    how = f"magnitude of complex {unit.value}" if band.is_complex else unit.value
    if reader.table is not None:
        how = f"digital numbers divided by {reader.table.name} (sigma nought)"
    if factor_db:
        how += f", power divided by {factor_db:.4g} dB ({source})"
    how += "" if conversion.target is unit and not band.is_complex else f", to {target.value}"
    return BandPlan(reader, conversion, regridding, how)


def _calibration(reader: BandReader, unit: Unit, options: PrepareOptions) -> tuple[float | None, str]:
    """Factor in dB and who gives it: the user, or for digital numbers and complex values Capella's metadata."""
    band = reader.band
    for name in (band.name.upper(), ""):
        if name in options.calibration_db:
            return options.calibration_db[name], "given"
    if unit is Unit.DIGITAL_NUMBER or band.is_complex:
        found = scale_factor(documents([band.path], [band.dataset.tags()], [], options.metadata))
        if found is not None:
            return -20 * math.log10(found[0]), f"scale factor in {found[1]}"
    return None, ""


def _require_unconverted(
    reader: BandReader, unit: Unit, factor_db: float | None, regridding: Regridding | None, model: Aim
) -> None:
    """Raise RadiometryError where digital numbers for a model of digital numbers would have to be computed with."""
    label = reader.band.label
    if unit is not Unit.DIGITAL_NUMBER or factor_db is not None:
        raise RadiometryError(
            f"{label} is {unit.value}{' with a calibration' if factor_db is not None else ''}, but model {model.name} "
            "takes the digital numbers of its own data set, which nothing converts to; give files of that product, or "
            "take a model of calibrated values."
        )
    if regridding is not None and regridding.kind is not Resampling.NEAREST:
        raise RadiometryError(
            f"{label} is not on the grid that model {model.name} needs, and digital numbers of unknown power have no "
            "mean; pick pixels with --resampling nearest."
        )
