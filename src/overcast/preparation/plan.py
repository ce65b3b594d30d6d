"""Everything that is decided before the first pixel is written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from overcast.data.compass import azimuth_of, nearest_side, side_of, up_azimuth
from overcast.data.degrees import place_of
from overcast.data.georeference import Georeference, same_grid
from overcast.data.radiometry import SensorRadiometry
from overcast.data.resample import Regridding
from overcast.data.units import Resampling, Unit
from overcast.errors import ConfigError, RadiometryError
from overcast.grid import Window
from overcast.inference.declare import declared_beside
from overcast.inference.ground import Ground, ground_of
from overcast.preparation.aim import Aim, ForTraining
from overcast.preparation.bands import find_bands, parse_input
from overcast.preparation.convert import Conversion
from overcast.preparation.found_look import declared_radar, metadata_radar, stated_radar, unknown_look
from overcast.preparation.look import Radar, require_side
from overcast.preparation.metadata import Document, documents, radar_facts, scale_factor
from overcast.preparation.options import PrepareOptions
from overcast.preparation.source import BandReader, open_reader, unit_of
from overcast.preparation.target import target_crs, target_grid

COARSE_INPUT = 1.5
"""Length of input pixels, in pixels of the model, from which on the user is told."""


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
        """As the model calls it."""
        return self.reader.band.name

    @property
    def copies(self) -> bool:
        """True where stored values come out as they are."""
        picks = self.regridding is None or self.regridding.kind is Resampling.NEAREST
        return picks and self.conversion.is_identity

    def brighter(self, by_db: float) -> BandPlan:
        """The same with its power raised by `by_db`."""
        how = f"{self.how}, raised by {by_db:.2f} dB to the level of the training data"
        return replace(self, conversion=self.conversion.brighter(by_db), how=how)


@dataclass(frozen=True)
class Plan:
    """How the output comes about."""

    bands: tuple[BandPlan, ...]
    grid: Georeference
    """Of all of the scene: an area of it changes no pixel inside."""
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
        return tuple(dict.fromkeys(band.reader.band.path for band in self.bands))

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
        origins = [(band.name, band.reader.band.path.name, band.reader.band.index, band.how) for band in self.bands]
        bands = [f"{name}: band {index} of {file}, {how}" for name, file, index, how in origins]
        missing = sorted({value for band in self.bands for value in band.reader.nodata})
        nodata = ["no data: NaN, what the files declare" + "".join(f", {value:g}" for value in missing)]
        return (*bands, *nodata, _grid_sentence(self), *_area_sentences(self), *_look_sentences(self))

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know before trusting a prediction."""
        longest = max((1 / min(band.regridding.footprint) for band in self.bands if band.regridding), default=1.0)
        told = (
            f"the input's pixels are {longest:.1f} times as long as the model's: what lies between them is "
            "interpolated, not seen, and the model was not trained on such images."
        )
        return (told,) if longest >= COARSE_INPUT else ()


def make_plan(inputs: Sequence[str | Path], aim: Aim | ForTraining, options: PrepareOptions, stack: ExitStack) -> Plan:
    """Decide everything, and refuse what cannot be decided without guessing; `stack` closes the input files.

    Raises:
        InputError: A file is missing or damaged, or does not say where it lies.
        RadiometryError: Bands, unit, calibration or radar side are unknown, or not what the model needs.
        ConfigError: Options contradict each other.
    """
    needed = None if isinstance(aim, ForTraining) else (aim.sensor.bands, aim.name)
    found = find_bands([parse_input(text) for text in inputs], needed, options.bands, stack)
    readers = [open_reader(band, options.nodata) for band in found]
    model = aim.aim(readers) if isinstance(aim, ForTraining) else aim
    wanted = model.sensor
    said = _documents(readers, options)
    first = readers[0]
    crs = target_crs(first.grid, options.crs, str(first.band.path))
    radar = _radar(first, said, model, options)
    grid = target_grid(first.grid, crs, wanted.gsd_m, _upwards(radar, model, options))
    if radar is not None:
        _require_look(radar, grid, model, str(first.band.path))

    @cache
    def regridding(source: Georeference) -> Regridding | None:
        return None if same_grid(source, grid) else Regridding(source, grid, options.resampling)

    bands = tuple(_band_plan(reader, regridding(reader.grid), model, options) for reader in readers)
    ground = None if options.area is None else ground_of(options.area, grid, first.band.path)
    return Plan(bands, grid, _declaration(wanted, radar, options), radar, model, options, ground)


def _declaration(wanted: SensorRadiometry, radar: Radar | None, options: PrepareOptions) -> SensorRadiometry:
    """What the output says of itself: the radar by the compass, its azimuth where no word of the compass says it."""
    side = None if radar is None else nearest_side(radar.azimuth_deg)
    exact = None if radar is None or side is None else round(radar.azimuth_deg % 360.0, 9) % 360.0
    return SensorRadiometry(
        bands=wanted.bands,
        unit=wanted.unit,
        nodata=None,
        gsd_m=wanted.gsd_m,
        radar_side=side,
        radar_azimuth_deg=None if side is None or exact == azimuth_of(side) else exact,
        accept_values=options.accept_values,
    )


def _documents(readers: Sequence[BandReader], options: PrepareOptions) -> list[Document]:
    files = {reader.band.path: reader.band.dataset.tags() for reader in readers}
    return documents(list(files), list(files.values()), options.metadata)


def _radar(first: BandReader, said: list[Document], model: Aim, options: PrepareOptions) -> Radar | None:
    """Where the radar stood; None where nobody says and the model does not need it."""
    path, wanted = first.band.path, model.sensor.radar_side
    radar = stated_radar(options)
    if radar is None:
        radar = declared_radar(declared_beside(path), str(path))
    if radar is None:
        facts = radar_facts(said, str(path))
        radar = metadata_radar(facts, place_of(first.grid)[1], [path.name], str(path))
    if radar is None and wanted is not None:
        raise unknown_look(str(path), model.name, wanted)
    return radar


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


def _band_plan(reader: BandReader, regridding: Regridding | None, model: Aim, options: PrepareOptions) -> BandPlan:
    band, target = reader.band, model.sensor.unit
    unit = unit_of(reader, options.unit)
    factor_db, source = _calibration(reader, unit, options)
    if target is Unit.DIGITAL_NUMBER:
        _require_unconverted(reader, unit, factor_db, regridding, model)
        return BandPlan(reader, Conversion(unit, target), regridding, "digital numbers as they are")
    if unit is Unit.DIGITAL_NUMBER and factor_db is None:
        raise RadiometryError(
            f"{band.label} holds digital numbers without a calibration; give F of power = DN^2 / 10^(F/10) with "
            "--calibration-factor-db F, or A of DN^2 / A^2 with --calibration-lut A."
        )
    conversion = Conversion(unit, target, factor_db or 0.0, options.floor_db)
    how = f"magnitude of complex {unit.value}" if band.is_complex else unit.value
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
        found = scale_factor(documents([band.path], [band.dataset.tags()], []))
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


def _grid_sentence(plan: Plan) -> str:
    grid, first = plan.written, plan.bands[0].regridding
    size = f"{grid.height} x {grid.width} pixels of {plan.sensor.gsd_m:g} m in {grid.crs}"
    if all(band.regridding is None for band in plan.bands) or first is None:
        return f"grid kept: {size}"
    turned = "north up" if grid.north_up else f"upper side at {up_azimuth(grid):.1f} degrees from north"
    rows, cols = first.footprint
    how = f"mean of power over {rows:.3g} x {cols:.3g} pixels" if first.averages else first.kind.value
    return f"grid: {size}, {turned}; {how}"


def _area_sentences(plan: Plan) -> list[str]:
    if plan.ground is None or plan.options.area is None:
        return []
    row, col = plan.window.row, plan.window.col
    return [f"area {plan.options.area.text}: from row {row} and column {col} of the whole grid, whose pixels are kept"]


def _look_sentences(plan: Plan) -> list[str]:
    if plan.radar is None:
        return []
    side = side_of(plan.radar.azimuth_deg, up_azimuth(plan.grid))
    where = f"radar at {plan.radar.azimuth_deg:.1f} degrees from north ({plan.radar.source})"
    return [f"{where}: the image's {side.value if side else 'unknown'} side"]
