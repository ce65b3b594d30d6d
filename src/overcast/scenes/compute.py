"""A scene as blocks on disk: computed in any order by anyone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from overcast.progress import Progress, ProgressStage
from overcast.runtime.network import release
from overcast.scenes.blockfile import BlockWriter
from overcast.scenes.memory import return_free_memory
from overcast.scenes.plan import PredictionPlan
from overcast.scenes.scene import StripPredictor


class Compute(Protocol):
    """Computes blocks of a scene, here or elsewhere."""

    def __call__(self, plan: PredictionPlan, strips: Sequence[int], passed: Callable[[int], None]) -> None:
        """Compute strips and record them; `passed` is told how many tiles of them are done so far."""
        ...


def compute_here(plan: PredictionPlan, strips: Sequence[int], passed: Callable[[int], None]) -> None:
    """Compute blocks in this process."""
    model, options, work, scene = plan.job.model, plan.job.options, plan.work, plan.scene
    predictor = StripPredictor(model.network, model.tile_statistics, options.scene, model.planes)
    writer = BlockWriter(work.path, plan.cut, options.encoding, work.record, work.title)
    try:
        predictor.run(scene.source, writer, strips, passed, plan.together, scene.ground)
    finally:
        writer.close()


def complete(plan: PredictionPlan, compute: Compute) -> None:
    """Compute the blocks that are missing, and let go of the network; the job's report is told."""
    work, report, cut = plan.work, plan.job.km2_report, plan.cut
    started, across, total = time.monotonic(), len(cut.cols.starts), cut.pixels
    missing = work.missing(cut.strip_count)
    resumed = (cut.strip_count - len(missing)) * across

    def tell(passed: int, note: str = "") -> None:
        if report is not None:
            done, earlier = (total * tiles // cut.tile_count for tiles in (resumed + passed, resumed))
            report(Progress(ProgressStage.PREDICT, done, total, time.monotonic() - started, earlier, note))

    if resumed or work.note:
        tell(0, work.note)
    if missing:
        compute(plan, missing, tell)
    release(plan.job.model.network)
    return_free_memory()
