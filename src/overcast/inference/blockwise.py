"""A scene as blocks on disk: computed in any order by anyone, then joined from the first to the last."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

import torch

from overcast import __version__
from overcast.data.raster import Georeference, RasterSink, RasterSource
from overcast.inference.blend import StripJoiner
from overcast.inference.blockfile import BlockWriter, read_block
from overcast.inference.encoding import Encoding
from overcast.inference.job import Job, PredictOptions
from overcast.inference.model import SceneModel
from overcast.inference.progress import Progress, Report, Stage
from overcast.inference.scene import SceneSummary, StripPredictor, plan_scene, summarise
from overcast.inference.tiles import Plan
from overcast.inference.work import Facts, WorkFolder

FORMAT = 1
"""Of blocks; raised when they can no longer be read."""


def request_facts(job: Job, grid: Georeference, *, rotate: bool) -> Facts:
    """What decides the bits of a block. Blocks of a request that differs in any of it are of no use.

    The number of threads is what torch is set to now.
    """
    options = asdict(job.options.scene)
    del options["queue_batches"], options["threads"], options["keep_exports"]
    return {
        "format": FORMAT,
        "versions": {"overcast": __version__, "torch": torch.__version__},
        "model": [job.model.sha256, job.model.class_name, job.model.modality.value, job.model.temperature],
        "runtime": job.model.runtime,
        "options": options,
        "encoding": job.options.encoding.value,
        "radiometry": [job.sensor.model_dump(mode="json"), rotate],
        "scene": [_identity(path) for path in job.scene],
        "grid": [grid.height, grid.width, list(grid.transform)[:6], grid.crs],
        "threads": torch.get_num_threads(),
    }


def _identity(path: Path) -> list[object]:
    """By which a file is known again."""
    status = path.stat()
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Compute with `count` threads, where that is known: another number changes the last bits in float32."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Blocks(Protocol):
    """Computes the missing blocks of a scene."""

    def __call__(self, strips: Sequence[int], passed: Callable[[int], None]) -> None:
        """Compute strips and record them; `passed` is told how many tiles of them are done so far."""
        ...


def compute_here(source: RasterSource, model: SceneModel, options: PredictOptions, work: WorkFolder) -> Blocks:
    """Computes blocks in this process."""

    def compute(strips: Sequence[int], passed: Callable[[int], None]) -> None:
        plan = plan_scene(source.georeference, options.scene)
        predictor = StripPredictor(model.network, model.statistics, options.scene)
        writer = BlockWriter(work.path, plan, options.encoding, work.record, work.title)
        try:
            predictor.run(source, writer, strips, passed)
        finally:
            writer.close()

    return compute


def complete(work: WorkFolder, plan: Plan, compute: Blocks, report: Report | None) -> None:
    """Compute the blocks that are missing; `report` is told pixels."""
    started, across, total = time.monotonic(), len(plan.cols.starts), plan.pixels
    missing = work.missing(plan.strip_count)
    resumed = (plan.strip_count - len(missing)) * across

    def tell(passed: int, note: str = "") -> None:
        if report is not None:
            done, earlier = (total * tiles // plan.tile_count for tiles in (resumed + passed, resumed))
            report(Progress(Stage.PREDICT, done, total, time.monotonic() - started, earlier, note))

    if resumed or work.note:
        tell(0, work.note)
    if missing:
        compute(missing, tell)


def join(work: WorkFolder, plan: Plan, encoding: Encoding, sink: RasterSink, report: Report | None) -> SceneSummary:
    """Write every pixel from the finished blocks, from the first row to the last."""
    started, joiner = time.monotonic(), StripJoiner(plan.rows, plan.cols, sink)
    for strip in range(plan.strip_count):
        read_block(work.path, work.blocks[strip], plan, encoding, joiner)
        if report is not None:
            done = plan.pixels * (strip + 1) // plan.strip_count
            report(Progress(Stage.JOIN, done, plan.pixels, time.monotonic() - started))
    return summarise(plan, joiner, time.monotonic() - started)
