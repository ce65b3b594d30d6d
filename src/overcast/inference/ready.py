"""A job whose network has been made ready on a runtime."""

from __future__ import annotations

import logging
from dataclasses import replace

from overcast.data.raster import Georeference
from overcast.inference.job import Job
from overcast.inference.progress import Progress, Stage
from overcast.inference.scene import SceneOptions
from overcast.inference.tiling import split_axis
from overcast.models.views import with_views
from overcast.runtime.options import Runtime, RuntimeOptions, TileShape
from overcast.runtime.prepare import prepare


def ready(job: Job, grid: Georeference) -> Job:
    """The job with its runtime chosen and its network exported or compiled for the tiles of a scene.

    The job's progress is told that this takes a while and, where `auto` passes over a runtime, why; without progress
    the latter goes to the log. Raises ConfigError where the runtime that was asked for does not work.
    """

    def tell(note: str) -> None:
        if job.report is not None:
            total = grid.height * grid.width * job.pixel_km2
            job.report(Progress(Stage.PREDICT, 0, total, 0, note=note))

    options = job.options.scene
    wanted = RuntimeOptions(options.runtime, options.precision, options.device, options.keep_exports)
    shape = tile_shape(grid, len(job.model.statistics.mean), options)
    made = prepare(job.model.network, shape, grid.height * grid.width, wanted, tell)
    if made.note is not None and job.report is None:
        logging.getLogger("overcast").warning(made.note)
    elif made.note is not None:
        tell(made.note)
    network = with_views(made.network, options.tta, job.model.sensor.radar_side)
    return replace(
        job,
        model=replace(job.model, network=network, runtime=made.label),
        options=replace(job.options, scene=for_runtime(options, made.runtime)),
    )


def for_runtime(options: SceneOptions, runtime: Runtime) -> SceneOptions:
    """The options with a chosen runtime; what runs exports takes tiles band by band."""
    plain = options.channels_last and runtime in (Runtime.EAGER, Runtime.COMPILED)
    return replace(options, runtime=runtime, channels_last=plain)


def tile_shape(grid: Georeference, bands: int, options: SceneOptions) -> TileShape:
    """What the network gets at once from a scene."""
    cut = (options.tile, options.overlap, options.margin, options.multiple)
    sides = (split_axis(side, *cut).tile for side in (grid.height, grid.width))
    height, width = (-(-side // options.multiple) * options.multiple for side in sides)
    return TileShape(options.tiles_per_pass, bands, height, width)
