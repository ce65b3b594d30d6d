"""Workers of a Ray cluster: of this machine, or of many."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from overcast.errors import ClusterError, ConfigError
from overcast.fleet.backend import Backend, compute_on
from overcast.fleet.worker import BlockTask, BlockWorker, Outcome
from overcast.reading import first_line
from overcast.scenes.compute import Compute, compute_here
from overcast.scenes.model import SceneModel

RETRIES = 3
"""Times that a block is computed again after its worker or its machine was lost."""


@dataclass(frozen=True)
class Workers:
    """What is asked of Ray."""

    count: int
    """Workers of a cluster on this machine."""
    address: str | None
    """Address of a running cluster: `auto`, or host:port; None for one on this machine, which ends with the command."""
    threads: int
    """CPU threads, and cores asked for, of each worker."""
    gpus: int
    """GPUs of each worker."""


@contextmanager
def computing(model: SceneModel, workers: Workers | None) -> Iterator[Compute]:
    """What computes rows of tiles: workers of Ray, or this process. Raises what `ray_backend` raises."""
    if workers is None:
        yield compute_here
        return
    with ray_backend(model, workers) as backend:
        yield compute_on(backend)


@contextmanager
def ray_backend(model: SceneModel, workers: Workers) -> Iterator[Backend]:
    """Connect to Ray and give its workers the model.

    Raises ConfigError where Ray is not installed or there is no such cluster, ClusterError where it does not start.
    """
    ray = _connected(workers)
    try:
        yield _RayBackend(ray, model, workers)
    finally:
        ray.shutdown()


class _RayBackend:
    def __init__(self, ray: Any, model: SceneModel, workers: Workers) -> None:
        self._ray, self._key, self._model = ray, uuid4().hex, ray.put(model)
        self._remote = ray.remote(num_cpus=workers.threads, num_gpus=workers.gpus, max_retries=RETRIES)(_compute)
        self._workers = workers

    @property
    def slots(self) -> int:
        """Twice the workers that the cluster has room for now; it may grow."""
        room = self._ray.cluster_resources()
        fits = [room.get("CPU", 1) // self._workers.threads]
        if self._workers.gpus:
            fits.append(room.get("GPU", 0) // self._workers.gpus)
        return max(2, 2 * int(min(fits)))

    def submit(self, task: BlockTask) -> Future[Outcome]:
        """Ask Ray; what it says when it gives up becomes a ClusterError."""
        answer: Future[Outcome] = Future()
        answer.set_running_or_notify_cancel()
        reference = self._remote.remote([self._model], self._key, task)
        reference.future().add_done_callback(lambda done: _pass_on(done, answer, task))
        return answer


def _pass_on(done: Future[Outcome], answer: Future[Outcome], task: BlockTask) -> None:
    error = done.exception()
    if error is None:
        answer.set_result(done.result())
        return
    bug = getattr(error, "cause", None)  # of a RayTaskError: what the worker raised
    if isinstance(bug, Exception):
        answer.set_exception(bug)
        return
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")
    failure = ClusterError(
        f"block {task.tile_row} of {task.title} could not be computed by any worker ({type(error).__name__}: "
        f"{reason.rstrip('.')}); look at the workers' memory and logs, and run the same command again to resume."
    )
    failure.__cause__ = error
    answer.set_exception(failure)


_WORKERS: dict[str, BlockWorker] = {}
"""Workers of this process, by command: Ray keeps processes from task to task."""


def _compute(model: list[Any], key: str, task: BlockTask) -> Outcome:
    """In a worker. The model is fetched once a process; in a list, or Ray would fetch it for every task."""
    if key not in _WORKERS:
        import ray

        _WORKERS.clear()
        _WORKERS[key] = BlockWorker(ray.get(model[0]))
    return _WORKERS[key].compute(task)


def _connected(workers: Workers) -> Any:
    """Ray, connected. Nothing is reported to Ray's makers."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError:
        raise ConfigError("--workers and --address need Ray: pip install 'overcast[cluster]'.") from None
    asked: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    if workers.address is None:
        asked |= {
            "address": "local",
            "num_cpus": workers.count * workers.threads,
            "num_gpus": workers.count * workers.gpus,
            "include_dashboard": False,
        }
    else:
        asked["address"] = workers.address
    try:
        ray.init(**asked)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = first_line(error)
        where = workers.address or "this machine"
        raise ConfigError(f"no Ray cluster at {where} ({reason}); start one with: ray start --head.") from error
    except Exception as error:
        if type(error) is not Exception:
            raise
        reason = str(error).split(". ")[0].rstrip(".")  # Ray raises Exception itself where a node needs over 30 s
        raise ClusterError(
            f"Ray did not start on this machine ({reason}); run the same command again when it is less busy, "
            "or without --workers."
        ) from error
    return ray
