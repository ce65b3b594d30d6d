"""Blocks go out to workers and come back; who the workers are is behind a protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Protocol

import torch

from overcast.errors import OvercastError
from overcast.fleet.worker import BlockTask, Outcome
from overcast.scenes.compute import Compute
from overcast.scenes.plan import PredictionPlan
from overcast.scenes.work import store_block

LISTEN_S = 2.0
"""Seconds after which the report is asked again, though no block has come."""


class Backend(Protocol):
    """Workers that have the model."""

    @property
    def slots(self) -> int:
        """Blocks to keep asked for, so that no worker waits."""
        ...

    def submit(self, task: BlockTask) -> Future[Outcome]:
        """Have a block computed; a block whose worker dies is computed again by another.

        The future raises ClusterError where that has been tried often enough.
        """
        ...


def compute_on(backend: Backend) -> Compute:
    """Computes the blocks of a scene on a backend and writes what comes back."""

    def compute(plan: PredictionPlan, tile_rows: Sequence[int], on_tiles: Callable[[int], None]) -> None:
        """Keep every worker busy until all tile rows are stored."""
        threads = plan.job.options.scene.threads or torch.get_num_threads()
        across = len(plan.cut.cols.starts)
        todo = list(reversed(tile_rows))
        waiting: set[Future[Outcome]] = set()
        done = 0
        try:
            while todo or waiting:
                while todo and len(waiting) < backend.slots:
                    waiting.add(backend.submit(task_of(plan, todo.pop(), threads)))
                finished, waiting = wait(waiting, LISTEN_S, return_when=FIRST_COMPLETED)
                for future in finished:
                    _store(plan, future.result())
                done += len(finished)
                on_tiles(done * across)  # also without news: the report may want to stop
        finally:
            for future in waiting:
                future.cancel()

    return compute


def task_of(plan: PredictionPlan, tile_row: int, threads: int) -> BlockTask:
    """What a worker needs for a block."""
    job, scene = plan.job, plan.scene
    return BlockTask(
        scene=job.scene,
        sensor=job.sensor,
        turn=scene.turn,
        options=job.options.scene,
        encoding=job.options.encoding,
        tile_row=tile_row,
        threads=threads,
        title=plan.work.title,
        optical=job.optical,
        ground=scene.ground,
    )


def _store(plan: PredictionPlan, outcome: Outcome) -> None:
    if isinstance(outcome, OvercastError):
        raise outcome
    store_block(plan.work, outcome.block, outcome.content)
