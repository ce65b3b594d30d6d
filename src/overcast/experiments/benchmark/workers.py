"""Where jobs run: in this process, in processes of this machine, or on a Ray cluster."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.queues import Queue
from typing import Any

from overcast.errors import ConfigError
from overcast.experiments.benchmark.jobs import Job
from overcast.experiments.benchmark.work import Outcome, Test, carry_out
from overcast.processes import end_with_parent
from overcast.reading import first_line

DIED = "the process died, for want of memory perhaps: run the benchmark again, fewer at once"


@dataclass(frozen=True)
class Workers:
    """Where jobs run."""

    at_once: int = 1
    """Jobs at once on this machine; more than one run in processes of their own."""
    gpus: int = 0
    """GPUs of this machine, shared out among the jobs, one each; on a cluster, GPUs that a job asks for."""
    address: str | None = None
    """Ray cluster (`auto`, `host:port`, `local` for one on this machine); None: this machine, without Ray. All its
    machines must see the data and the output folder under the same paths."""
    cpus_per_job: int = 2
    """Cores that a job asks for on a cluster."""

    @property
    def device(self) -> str:
        """Device of the evaluation."""
        return "cuda" if self.gpus else "cpu"


def results(jobs: Sequence[Job], tests: Mapping[str, Test], workers: Workers) -> Iterator[tuple[Job, Outcome]]:
    """Carry out jobs, each as soon as there is room; pairs come as jobs end.

    A job whose process dies is a failed outcome and stops no other.

    Args:
        jobs: What to do.
        tests: What is evaluated, by data set.
        workers: Where.

    Raises:
        ConfigError: There is no such cluster, or Ray is not installed.
    """
    if workers.address is not None and jobs:
        yield from _on_cluster(jobs, tests, workers)
    elif workers.at_once == 1 or len(jobs) <= 1:
        for job in jobs:
            yield job, carry_out(job, tests[job.dataset])
    else:
        yield from _in_processes(jobs, tests, workers)


def _in_processes(jobs: Sequence[Job], tests: Mapping[str, Test], workers: Workers) -> Iterator[tuple[Job, Outcome]]:
    context = multiprocessing.get_context("spawn")
    slots: Queue[int] = context.Queue()
    for slot in range(workers.at_once):
        slots.put(slot)
    start = (slots, workers.at_once, workers.gpus)
    with ProcessPoolExecutor(workers.at_once, context, _start_worker, start) as pool:
        futures = {pool.submit(carry_out, job, tests[job.dataset], quiet=True): job for job in jobs}
        try:
            for future in as_completed(futures):
                yield futures[future], _outcome_of(future.result)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _outcome_of(result: Callable[[], Outcome]) -> Outcome:
    try:
        return result()
    except BrokenProcessPool:
        return Outcome(error=DIED)


def _start_worker(slots: Queue[int], at_once: int, gpus: int) -> None:
    """Give a worker its GPU, or its share of the cores, before torch is first used there."""
    end_with_parent()
    slot = slots.get()
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(slot % gpus)
        return
    _set_threads(max(1, (os.cpu_count() or 1) // at_once))


def _set_threads(count: int) -> None:
    import torch

    torch.set_num_threads(count)


def _on_cluster(jobs: Sequence[Job], tests: Mapping[str, Test], workers: Workers) -> Iterator[tuple[Job, Outcome]]:
    """Ray starts a job where there is room for it; a lost machine costs its jobs, which are tried once more."""
    ray = _connected(workers.address)
    try:
        carry = ray.remote(num_cpus=workers.cpus_per_job, num_gpus=workers.gpus, max_retries=1)(_carry_out_remotely)
        waiting = {carry.remote(job, tests[job.dataset], workers.cpus_per_job): job for job in jobs}
        while waiting:
            (ready,), _ = ray.wait(list(waiting))
            job = waiting.pop(ready)
            try:
                yield job, ray.get(ready)
            except ray.exceptions.RayError as error:
                yield job, Outcome(error=f"{DIED} ({type(error).__name__})")
    finally:
        ray.shutdown()


def _connected(address: str | None) -> Any:
    """Ray, with a connection to the cluster."""
    try:
        import ray
    except ImportError:
        raise ConfigError("--address needs Ray: pip install 'overcast[cluster]'.") from None
    try:
        ray.init(address=address, log_to_driver=False, configure_logging=False, include_dashboard=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = first_line(error)
        raise ConfigError(f"no Ray cluster at {address!r} ({reason}); start one with: ray start --head.") from error
    return ray


def _carry_out_remotely(job: Job, test: Test, threads: int) -> Outcome:
    _set_threads(threads)
    return carry_out(job, test, quiet=True)
