"""How a request is carried out, decided once: runtime, device and precision, threads, cuts, and what is left to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch

from overcast import __version__
from overcast.data.scene_level import LevelledStatistics
from overcast.outputs.cog import BLOCK, CACHE_BYTES, bounded_cache
from overcast.outputs.staging import Staging, staged
from overcast.outputs.writable import termination_as_interrupt
from overcast.raster.addresses import file_name
from overcast.raster.files import open_raster
from overcast.scenes.check import CheckedScene
from overcast.scenes.fitting_tiles import fitting_tiles
from overcast.scenes.inputs import lasting
from overcast.scenes.job import Job
from overcast.scenes.memory import return_large_blocks
from overcast.scenes.ready import ready
from overcast.scenes.rotate import RotatedSource
from overcast.scenes.scene import plan_scene
from overcast.scenes.tiles import ScenePlan
from overcast.scenes.work import Facts, WorkFolder, earlier_run, open_work

LARGEST_CACHE_BYTES = 512 * 2**20
"""Bound of the block cache for scenes stored in rows as wide as the scene."""
TOGETHER = 2
"""Tile rows that are computed side by side, where blocks of the scene that both touch can be kept."""
FORMAT = 5
"""Version of the blocks; raised when they can no longer be read, or when the same request computes other bits."""


@dataclass(frozen=True)
class PredictionPlan:
    """All that is decided of a prediction before its first pixel is computed."""

    job: Job
    """The request, nothing in it left to `auto`, and its network ready."""
    scene: CheckedScene
    staging: Staging
    """Where outputs grow."""
    work: WorkFolder
    """Where finished blocks go."""
    together: int
    """Neighbouring blocks that one process computes side by side."""

    @cached_property
    def cut(self) -> ScenePlan:
        """How the turned scene is cut."""
        return plan_scene(self.scene.source.georeference, self.job.options.scene, self.scene.ground)


def plan(job: Job, scene: CheckedScene, stack: ExitStack) -> PredictionPlan:
    """Decide what a request leaves open, and take hold of its outputs until the stack is closed."""
    return_large_blocks()
    options, row_bytes = job.options, sum(map(_row_bytes, job.inputs))
    stack.enter_context(termination_as_interrupt())
    stack.enter_context(bounded_cache(_cache_bytes(job, scene, row_bytes)))
    staging = stack.enter_context(staged(job.targets, overwrite=options.overwrite))
    earlier = earlier_run(staging.blocks)
    stack.enter_context(torch_threads(options.scene.threads or earlier.threads))
    job = replace(job, model=job.model.at_level_of(scene.radar, job.sensor))
    seen_by_radar = RotatedSource(scene.radar, scene.turn)
    tiles = partial(fitting_tiles, seen_by_radar, job.model.statistics, file_name(job.scene[0]))
    job = ready(job, scene.grid, earlier, tiles)
    work = open_work(staging.blocks, request_facts(job, scene))
    return PredictionPlan(job, scene, staging, work, 1 if row_bytes else TOGETHER)


def request_facts(job: Job, scene: CheckedScene) -> Facts:
    """What decides the bits of a block. Blocks of a request that differs in any of it are of no use.

    The number of threads is what torch is set to now.
    """
    options, grid, turn = asdict(job.options.scene), scene.grid, scene.turn
    beside: dict[str, object] = {}
    if job.optical is not None and job.model.optical is not None:
        given, part = job.optical, job.model.optical
        beside["optical"] = [given.names, given.cloud_values, given.nodata, part.mixing.value, part.sensor.nodata]
    if scene.ground is not None:
        beside["area"] = scene.ground.facts()
    if isinstance(job.model.statistics, LevelledStatistics):
        beside["level"] = asdict(job.model.statistics.level)
    del options["queue_batches"], options["threads"], options["keep_exports"]
    return {
        "format": FORMAT,
        "versions": {"overcast": __version__, "torch": torch.__version__},
        "model": [job.model.sha256, job.model.class_name, job.model.modality.value, job.model.calibration_temperature],
        "channels": job.model.channels,
        "runtime": job.model.runtime,
        "options": options,
        "encoding": job.options.encoding.value,
        "radiometry": [job.sensor.model_dump(mode="json"), turn.rows, turn.cols],
        "scene": lasting(scene.inputs),
        "grid": [grid.height, grid.width, list(grid.transform)[:6], grid.crs],
        "threads": torch.get_num_threads(),
        **beside,
    }


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Compute with `count` threads, where that is known: another number changes the last bits in float32."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _row_bytes(path: Path) -> int:
    """Bytes of a row of pixels in a file that is stored in whole rows; 0 for one stored in blocks."""
    with open_raster(path, virtual=True) as dataset:
        striped = any(block_width >= dataset.width for _, block_width in dataset.block_shapes)
        return dataset.width * sum(np.dtype(dtype).itemsize for dtype in dataset.dtypes) if striped else 0


def _cache_bytes(job: Job, scene: CheckedScene, row_bytes: int) -> int:
    """Block cache so that input stored in whole rows is decoded once a tile row, and output blocks fill up."""
    pixel_bytes = np.dtype(job.options.encoding.value).itemsize
    wide = BLOCK * scene.grid.width * pixel_bytes + job.options.scene.tile * row_bytes
    return min(CACHE_BYTES + wide, LARGEST_CACHE_BYTES)
