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
from overcast.scenes.scene import RowPredictor


class Compute(Protocol):
    """Computes blocks of a scene, here or elsewhere."""

    def __call__(self, plan: PredictionPlan, tile_rows: Sequence[int], on_tiles: Callable[[int], None]) -> None:
        """Compute tile rows and record them; `on_tiles` is called with the number of tiles done so far."""
        ...


def compute_here(plan: PredictionPlan, tile_rows: Sequence[int], on_tiles: Callable[[int], None]) -> None:
    """Compute blocks in this process."""
    model, options, work, scene = plan.job.model, plan.job.options, plan.work, plan.scene
    predictor = RowPredictor(model.network, model.tile_statistics, options.scene, model.planes)
    writer = BlockWriter(work.path, plan.cut, options.encoding, work.record, work.title)
    try:
        predictor.run(scene.source, writer, tile_rows, on_tiles, plan.together, scene.ground)
    finally:
        writer.close()


def complete(plan: PredictionPlan, compute: Compute) -> None:
    """Compute the blocks that are missing, and let go of the network."""
    work, report, cut = plan.work, plan.job.km2_report, plan.cut
    started, across, total = time.monotonic(), len(cut.cols.starts), cut.pixels
    missing = work.missing(cut.tile_row_count)
    resumed = (cut.tile_row_count - len(missing)) * across

    def on_tiles(finished: int, note: str = "") -> None:
        if report is not None:
            done, earlier = (total * tiles // cut.tile_count for tiles in (resumed + finished, resumed))
            report(Progress(ProgressStage.PREDICT, done, total, time.monotonic() - started, earlier, note))

    if resumed or work.note:
        on_tiles(0, work.note)
    if missing:
        compute(plan, missing, on_tiles)
    release(plan.job.model.network)
    return_free_memory()
