"""A request to map a scene: what is asked for, where it goes, and whether that can be done."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import numpy as np
from affine import Affine

from overcast import __version__
from overcast.arithmetic import AUTO, Precision
from overcast.choices import Encoding, Mixing
from overcast.data.scene_level import LevelledStatistics
from overcast.errors import ConfigError, InputError
from overcast.outputs.clock import fixed_now
from overcast.outputs.formats import require_openable, vector_format
from overcast.outputs.vector import BOTH_SENSORS, require_placeable
from overcast.outputs.writable import destination, require_space, require_writable, scratch_path
from overcast.polygons.footprints import PolygonOptions
from overcast.progress import Progress, Report
from overcast.raster.addresses import address, file_name
from overcast.raster.pixel_size import require_pixels
from overcast.raster.radiometry import SensorRadiometry
from overcast.raster.sources import Georeference
from overcast.scenes.ground import Area, Ground
from overcast.scenes.inputs import Identities
from overcast.scenes.model import SceneModel
from overcast.scenes.scene import SceneOptions
from overcast.scenes.sky import OpticalInput


class Page(Protocol):
    """A map to look at, drawn by the rooms above this one."""

    @property
    def path(self) -> Path:
        """The file that is written."""
        ...

    @property
    def reads(self) -> tuple[Path, ...]:
        """Files that it reads beside the scene and its optical image."""
        ...

    def write(self, target: Path, footprints: Path, grid: Georeference) -> None:
        """Draw the map of `footprints` into `target`; `grid` is that of the outputs."""
        ...


@dataclass(frozen=True)
class PredictOptions:
    """How a scene becomes files."""

    scene: SceneOptions = field(default_factory=lambda: SceneOptions(precision=Precision.AUTO, device=AUTO))
    polygons: PolygonOptions = field(default_factory=lambda: PolygonOptions(min_area_m2=10.0))
    encoding: Encoding = Encoding.UINT8
    overwrite: bool = False
    """Replace outputs that exist."""
    calibrated: bool = True
    """Divide logits by the temperature in the bundle, where there is one, so that probabilities are shares."""
    style: bool = True
    """Write a QGIS style beside the footprints and, as its default, into a GeoPackage."""
    stac: bool = True
    """Write a STAC item beside the outputs."""
    acquired: datetime | None = None
    """When the scene was taken; without a time zone it is UTC."""
    area: Area | None = None
    """The part of the scene that is mapped; None: all of it."""
    mixing: Mixing | None = None
    """How SAR and an optical image beside it become one map; None: by `blend`."""
    page: Page | None = None
    """A map of the footprints that is written with them; needs a file for the footprints."""


@dataclass(frozen=True)
class Job:
    """A request."""

    scene: tuple[Path, ...]
    model: SceneModel
    sensor: SensorRadiometry
    options: PredictOptions
    probability: Path | None
    footprints: Path | None
    report: Report | None
    optical: OpticalInput | None = None
    """The optical image beside the scene, for a model that takes what there is of one."""
    ground: Ground | None = None
    """The pixels of the area, once the scene's grid is known."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Every raster that is read."""
        return self.scene if self.optical is None else (*self.scene, *self.optical.paths)

    @property
    def provenance(self) -> str:
        """The sensors, as they are named in metadata."""
        return self.model.modality.value if self.optical is None else BOTH_SENSORS

    @property
    def polygons(self) -> PolygonOptions:
        """What becomes a footprint, with what depends on the model decided."""
        return self.options.polygons.settled(boundaries=self.model.channels > 1)

    @property
    def style(self) -> Path | None:
        """Where the QGIS style goes."""
        return self.footprints.with_suffix(".qml") if self.footprints is not None and self.options.style else None

    @property
    def item(self) -> Path | None:
        """Where the STAC item goes."""
        first = self.footprints or self.probability
        return first.with_suffix(".stac.json") if first is not None and self.options.stac else None

    @property
    def side_files(self) -> tuple[Path, ...]:
        """What lies beside the outputs."""
        page = None if self.options.page is None else self.options.page.path
        return tuple(path for path in (self.style, self.item, page) if path is not None)

    @property
    def targets(self) -> tuple[Path, ...]:
        """Every file that is written, the largest first."""
        return (*(path for path in (self.probability, self.footprints) if path is not None), *self.side_files)

    @property
    def acquired(self) -> datetime | None:
        """When the scene was taken, with a time zone."""
        moment = self.options.acquired
        return moment if moment is None or moment.tzinfo is not None else moment.replace(tzinfo=UTC)

    @property
    def pixel_km2(self) -> float:
        """Area of a pixel."""
        return self.sensor.gsd_m**2 / 1e6

    @property
    def km2_report(self) -> Report | None:
        """Passes states in pixels on in km^2."""
        report, factor = self.report, self.pixel_km2
        if report is None:
            return None

        def in_km2(state: Progress) -> None:
            report(replace(state, done=state.done * factor, total=state.total * factor, resumed=state.resumed * factor))

        return in_km2


def check_outputs(job: Job) -> None:
    """Raise an error where an output has a wrong name or cannot be written."""
    footprints, probability = job.footprints, job.probability
    if footprints is None and probability is None:
        raise ConfigError("nothing to write: name a file for the footprints, for the probability, or both.")
    if footprints is None and job.options.page is not None:
        raise ConfigError(f"{job.options.page.path.name} shows footprints: name a file for them too.")
    if footprints is not None:
        vector_format(footprints)
    if probability is not None and probability.suffix.lower() not in {".tif", ".tiff"}:
        raise InputError(f"{probability.name} does not end in .tif: the probability is written as GeoTIFF; rename it.")
    fixed_now()  # raises where SOURCE_DATE_EPOCH is no time
    kept = job.inputs if job.options.page is None else (*job.inputs, *job.options.page.reads)
    for target in job.targets:
        if destination(target) in {path.resolve() for path in kept}:
            raise InputError(f"{target} is the scene itself, its optical image or its reference; write elsewhere.")
        require_writable(target, overwrite=job.options.overwrite)
    if footprints is not None:
        final = destination(footprints)
        require_openable(scratch_path(final) / "out" / final.name)


def check_apart(job: Job, inputs: Identities) -> None:
    """Raise an error where an output is one of the files that the scene is read from."""
    for target in job.targets:
        if str(destination(target)) in inputs:
            raise InputError(f"{target} is a part of the scene; write elsewhere.")


def check_grid(job: Job, grid: Georeference) -> None:
    """Raise an error where CRS, ground sampling distance or free space do not do."""
    name = address(job.scene[0])
    if job.footprints is not None and (grid.crs is None or grid.transform == Affine.identity()):
        missing = "coordinate reference system" if grid.crs is None else "geotransform"
        raise InputError(
            f"{name} has no {missing}, which footprints need; assign it (gdal_edit.py -a_srs EPSG:... -a_ullr ...), "
            "or ask for the probability only."
        )
    if job.footprints is not None:
        require_placeable(job.footprints, grid)
    require_pixels(grid, job.sensor.gsd_m, name)
    stored = grid.height * grid.width * np.dtype(job.options.encoding.value).itemsize
    copies = 2.8 if job.probability is None else 4.2  # at worst: blocks, joined raster; compressed, with overviews
    copies += 2.8 * (job.model.planes - 1)  # boundaries have blocks and a raster of their own
    require_space(job.targets[0], int(copies * stored) + 2**20)


def tags(job: Job) -> dict[str, str]:
    """GeoTIFF metadata: which model saw what."""
    temperature = job.model.calibration_temperature
    beside: dict[str, str] = {}
    if job.optical is not None and job.model.optical is not None:
        beside["OVERCAST_OPTICAL"] = ", ".join(job.optical.names)
        beside["OVERCAST_MIXING"] = job.model.optical.mixing.value
    if job.optical is not None and job.optical.clouds is not None:
        beside["OVERCAST_CLOUDS"] = file_name(job.optical.clouds)
    if isinstance(job.model.statistics, LevelledStatistics):
        beside["OVERCAST_SCENE_LEVEL"] = job.model.statistics.level.sentence
    if job.options.area is not None:
        beside["OVERCAST_AREA"] = job.options.area.text
    return {
        "DESCRIPTION": f"probability of {job.model.class_name}",
        "TIFFTAG_SOFTWARE": f"overcast {__version__}",
        "OVERCAST_VERSION": __version__,
        "OVERCAST_CLASS": job.model.class_name,
        "OVERCAST_MODEL": job.model.name,
        "OVERCAST_MODEL_SHA256": job.model.sha256,
        "OVERCAST_MODEL_LICENCE": job.model.licence,
        "OVERCAST_CALIBRATION_TEMPERATURE": "none" if temperature is None else f"{temperature:.6g}",
        "OVERCAST_PROVENANCE": job.provenance,
        "OVERCAST_RUNTIME": job.model.runtime,
        "OVERCAST_PRECISION": job.options.scene.precision.value,
        "OVERCAST_TTA": job.options.scene.tta.value,
        "OVERCAST_SCENE": ", ".join(file_name(path) for path in job.scene),
        "OVERCAST_SCENE_RADIOMETRY": job.sensor.model_dump_json(),
        **beside,
    }
