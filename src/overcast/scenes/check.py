"""Whether a request can be carried out: outputs, scene and optical image are looked at before anything is decided."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from overcast.batch import Modality
from overcast.errors import ConfigError, InputError
from overcast.outputs.clock import fixed_now
from overcast.outputs.cog import bounded_cache
from overcast.outputs.formats import require_openable
from overcast.outputs.staging import recover_publication
from overcast.outputs.vector import require_placeable
from overcast.outputs.writable import destination, require_space, require_writable, scratch_path
from overcast.progress import Progress, ProgressStage
from overcast.raster.addresses import address, file_name
from overcast.raster.checked import CheckedSource, require_plausible
from overcast.raster.grid import Turn
from overcast.raster.pixel_size import require_pixels
from overcast.raster.plausible import SCENE, level_doubt
from overcast.raster.radiometry import SensorRadiometry
from overcast.raster.sources import Georeference, RasterioSource, RasterSource
from overcast.scenes.ground import Ground, ground_of
from overcast.scenes.inputs import Identities, input_identities
from overcast.scenes.job import Job
from overcast.scenes.rotate import RotatedSource
from overcast.scenes.sky import open_sky


@dataclass(frozen=True)
class CheckedScene:
    """The scene of a request, open, and found to be what the model takes."""

    inputs: Identities
    """The files that are read, as they were before the first of them was opened."""
    radar: RasterSource
    """As it is stored; its tiles are checked as they are read."""
    turn: Turn
    """How it is turned for the network: it may be mirrored, or seen from the other side."""
    ground: Ground | None
    """What of the turned scene is wanted; None: all of it."""
    source: RasterSource
    """What the network sees: turned, with the optical image behind its bands where there is one."""

    @property
    def grid(self) -> Georeference:
        """Of the scene as it is stored."""
        return self.radar.georeference

    @property
    def output_grid(self) -> Georeference:
        """Of what is written: the scene's, or that of the part that is wanted."""
        return self.grid if self.ground is None else self.grid.crop(self.ground.window)


def check(job: Job, stack: ExitStack) -> CheckedScene:
    """The scene of a request, open until the stack is closed. Raises what `predict_file` raises."""
    recover_publication(job.targets)
    _check_outputs(job)
    stack.enter_context(bounded_cache())
    inputs = input_identities(job.inputs)
    _check_apart(job, inputs)
    stored = stack.enter_context(RasterioSource.open(job.scene, job.sensor, virtual=True))
    grid, name = stored.georeference, file_name(job.scene[0])
    turn = job.model.turn_for(job.sensor, grid, name)
    area = job.options.area
    ground = None if area is None else ground_of(area, grid, job.scene[0]).turned(turn)
    _check_grid(job, grid if ground is None else grid.crop(ground.window))
    if job.model.modality is Modality.SAR:
        values = require_plausible(stored, job.sensor, name, SCENE)
        _tell_level(job, grid, name, values)
    radar = tile_checked(stored, job.sensor, job.model.modality, name)
    return CheckedScene(inputs, radar, turn, ground, RotatedSource(_sky_behind(job, radar, stack), turn))


def _tell_level(job: Job, grid: Georeference, name: str, values: NDArray[np.float32] | None) -> None:
    """Say where a sample (C, N) is far brighter or darker than what the model knows; water may be."""
    if values is None or not values.shape[1]:
        return
    reason = level_doubt(values.mean(axis=1, dtype=np.float64), job.model.sensor, job.model.statistics, job.model.name)
    if reason is not None:
        _tell(
            job,
            grid,
            f"{name}: {reason}: unless it shows little but water, correct --unit or the calibration, or shift it with "
            "overcast prepare --level match",
        )


def _tell(job: Job, grid: Georeference, note: str) -> None:
    """Say something before the work begins; without progress it goes to the log."""
    if job.report is None:
        logging.getLogger("overcast").warning(note)
    else:
        job.report(Progress(ProgressStage.PREDICT, 0, grid.height * grid.width * job.pixel_km2, 0, note=note))


def tile_checked(source: RasterioSource, sensor: SensorRadiometry, modality: Modality, name: str) -> RasterSource:
    """The scene, its tiles checked as they are read; an optical one as it is."""
    if modality is not Modality.SAR:
        return source
    return CheckedSource(source, sensor, name, replace(SCENE, scaling=source.scaling))


def _check_outputs(job: Job) -> None:
    """Raise an error where an output has a wrong name or cannot be written."""
    footprints, probability, kind = job.footprints, job.probability, job.vector_format
    if footprints is None and probability is None:
        raise ConfigError("nothing to write: name a file for the footprints, for the probability, or both.")
    if footprints is None and job.options.page is not None:
        raise ConfigError(f"{job.options.page.path.name} shows footprints: name a file for them too.")
    if probability is not None and probability.suffix.lower() not in {".tif", ".tiff"}:
        raise InputError(f"{probability.name} does not end in .tif: the probability is written as GeoTIFF; rename it.")
    fixed_now()  # raises where SOURCE_DATE_EPOCH is no time
    kept = job.inputs if job.options.page is None else (*job.inputs, *job.options.page.reads)
    for target in job.targets:
        if destination(target) in {path.resolve() for path in kept}:
            raise InputError(f"{target} is the scene itself, its optical image or its reference; write elsewhere.")
        require_writable(target, overwrite=job.options.overwrite)
    if footprints is not None and kind is not None:
        final = destination(footprints)
        require_openable(scratch_path(final) / "out" / final.name, kind)


def _check_apart(job: Job, inputs: Identities) -> None:
    """Raise an error where an output is one of the files that the scene is read from."""
    for target in job.targets:
        if str(destination(target)) in inputs:
            raise InputError(f"{target} is a part of the scene; write elsewhere.")


def _check_grid(job: Job, grid: Georeference) -> None:
    """Raise an error where CRS, ground sampling distance or free space do not do."""
    name = address(job.scene[0])
    if job.vector_format is not None:
        if grid.crs is None or grid.transform == Affine.identity():
            missing = "coordinate reference system" if grid.crs is None else "geotransform"
            raise InputError(
                f"{name} has no {missing}, which footprints need; assign it (gdal_edit.py -a_srs EPSG:... -a_ullr "
                "...), or ask for the probability only."
            )
        require_placeable(job.vector_format, grid)
    require_pixels(grid, job.sensor.gsd_m, name)
    stored = grid.height * grid.width * np.dtype(job.options.encoding.value).itemsize
    copies = 2.8 if job.probability is None else 4.2  # at worst: blocks, joined raster; compressed, with overviews
    copies += 2.8 * (job.model.planes - 1)  # boundaries have blocks and a raster of their own
    require_space(job.targets[0], int(copies * stored) + 2**20)


def _sky_behind(job: Job, scene: RasterSource, stack: ExitStack) -> RasterSource:
    """The scene with the optical image behind it, where there is one."""
    part, name = job.model.optical, address(job.scene[0])
    if job.optical is None or part is None:
        return scene
    grid, names = scene.georeference, ", ".join(job.optical.names)
    sky = stack.enter_context(open_sky(job.optical, part.sensor, grid, job.scene[0]))
    note = sky.note_on(part.statistics, grid, names, name)
    if note is not None:
        _tell(job, grid, note)
    return sky.behind(scene)
