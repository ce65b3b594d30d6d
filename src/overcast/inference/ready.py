"""A job whose network has been made ready on a runtime."""

from __future__ import annotations

import logging
from dataclasses import replace

import torch

from overcast.data.raster import Georeference
from overcast.inference.blockwise import torch_threads
from overcast.inference.job import Job
from overcast.inference.scene import SceneOptions
from overcast.inference.tiling import split_axis
from overcast.runtime.options import RuntimeOptions, TileShape
from overcast.runtime.prepare import prepare


def ready(job: Job, grid: Georeference) -> Job:
    """The job with its runtime chosen and its network exported or compiled for the tiles of a scene.

    Where `auto` passes over a runtime, one line of the log says why. Raises ConfigError where the runtime that was
    asked for does not work.
    """
    options = job.options.scene
    wanted = RuntimeOptions(options.runtime, options.precision, options.device, options.keep_exports)
    shape = tile_shape(grid, len(job.model.statistics.mean), options)
    with torch_threads(options.threads or torch.get_num_threads()):
        made = prepare(job.model.network, shape, grid.height * grid.width, wanted)
    if made.note is not None:
        logging.getLogger("overcast").warning(made.note)
    return replace(
        job,
        model=replace(job.model, network=made.network, runtime=made.label),
        options=replace(job.options, scene=replace(options, runtime=made.runtime)),
    )


def tile_shape(grid: Georeference, bands: int, options: SceneOptions) -> TileShape:
    """What the network gets at once from a scene."""
    cut = (options.tile, options.overlap, options.margin, options.multiple)
    sides = (split_axis(side, *cut).tile for side in (grid.height, grid.width))
    height, width = (-(-side // options.multiple) * options.multiple for side in sides)
    return TileShape(options.tiles_per_pass, bands, height, width)
