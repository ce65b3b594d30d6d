"""A scene as blocks on disk: computed in any order by anyone, then joined from the first to the last."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Protocol

import torch

from overcast import __version__
from overcast.choices import Encoding
from overcast.data.scene_level import LevelledStatistics
from overcast.progress import Progress, ProgressStage, Report
from overcast.raster.grid import Turn
from overcast.raster.sources import Georeference, RasterSink, RasterSource
from overcast.scenes.blend import RowJoiner
from overcast.scenes.blockfile import BlockWriter, read_block
from overcast.scenes.ground import Ground
from overcast.scenes.inputs import Identities, lasting
from overcast.scenes.job import Job
from overcast.scenes.scene import RowPredictor, SceneSummary, plan_scene, summarise
from overcast.scenes.tiles import ScenePlan
from overcast.scenes.work import Facts, WorkFolder

FORMAT = 5
"""Version of the blocks; raised when they can no longer be read, or when the same request computes other bits."""


def request_facts(job: Job, scene: Identities, grid: Georeference, *, turn: Turn) -> Facts:
    """What decides the bits of a block. Blocks of a request that differs in any of it are of no use.

    `scene` holds the files that are read, as they were before the first of them was opened to be mapped. The number of
    threads is what torch is set to now.
    """
    options = asdict(job.options.scene)
    beside: dict[str, object] = {}
    if job.optical is not None and job.model.optical is not None:
        given, part = job.optical, job.model.optical
        beside["optical"] = [given.names, given.cloud_values, given.nodata, part.mixing.value, part.sensor.nodata]
    if job.ground is not None:
        beside["area"] = job.ground.facts()
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
        "scene": lasting(scene),
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


@dataclass(frozen=True)
class SceneWork:
    """A scene whose blocks are computed."""

    job: Job
    grid: Georeference
    """Grid of the scene as it is stored."""
    source: RasterSource
    """Turned, where the scene is mirrored or was seen from the other side."""
    turn: Turn
    work: WorkFolder
    """Where finished blocks go."""
    together: int = 1
    """Neighbouring blocks that one process computes side by side."""

    @property
    def ground(self) -> Ground | None:
        """What of the turned scene is wanted; None: all of it."""
        return None if self.job.ground is None else self.job.ground.turned(self.turn)

    @property
    def plan(self) -> ScenePlan:
        """How the turned scene is cut."""
        return plan_scene(self.source.georeference, self.job.options.scene, self.ground)


class Compute(Protocol):
    """Computes blocks of a scene, here or elsewhere."""

    def __call__(self, scene: SceneWork, tile_rows: Sequence[int], on_tiles: Callable[[int], None]) -> None:
        """Compute tile rows and record them; `on_tiles` is called with the number of tiles done so far."""
        ...


def compute_here(scene: SceneWork, tile_rows: Sequence[int], on_tiles: Callable[[int], None]) -> None:
    """Compute blocks in this process."""
    model, options, work = scene.job.model, scene.job.options, scene.work
    predictor = RowPredictor(model.network, model.tile_statistics, options.scene, model.planes)
    writer = BlockWriter(work.path, scene.plan, options.encoding, work.record, work.title)
    try:
        predictor.run(scene.source, writer, tile_rows, on_tiles, scene.together, scene.ground)
    finally:
        writer.close()


def complete(scene: SceneWork, plan: ScenePlan, compute: Compute) -> None:
    """Compute the blocks that are missing, and call the job's report with the progress."""
    work, report = scene.work, scene.job.km2_report
    started, across, total = time.monotonic(), len(plan.cols.starts), plan.pixels
    missing = work.missing(plan.tile_row_count)
    resumed = (plan.tile_row_count - len(missing)) * across

    def on_tiles(done_now: int, note: str = "") -> None:
        if report is not None:
            done, earlier = (total * tiles // plan.tile_count for tiles in (resumed + done_now, resumed))
            report(Progress(ProgressStage.PREDICT, done, total, time.monotonic() - started, earlier, note))

    if resumed or work.note:
        on_tiles(0, work.note)
    if missing:
        compute(scene, missing, on_tiles)


def join(
    work: WorkFolder, plan: ScenePlan, encoding: Encoding, sink: RasterSink, report: Report | None, channels: int = 1
) -> SceneSummary:
    """Write every pixel of every map from the finished blocks, from the first row to the last."""
    started, joiner = time.monotonic(), RowJoiner(plan.rows, plan.cols, sink, channels)
    for tile_row in range(plan.tile_row_count):
        read_block(work.path, work.blocks[tile_row], plan, encoding, joiner, channels)
        if report is not None:
            done = plan.pixels * (tile_row + 1) // plan.tile_row_count
            report(Progress(ProgressStage.JOIN, done, plan.pixels, time.monotonic() - started))
    return summarise(plan, joiner, time.monotonic() - started)
