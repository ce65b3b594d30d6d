"""Runs the jobs of a benchmark, as many at once as asked for, and writes tables as they end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from overcast.batch import InputModalities
from overcast.config.data import FolderData, build_data
from overcast.data.catalog import Catalog
from overcast.data.splits.leaks import require_clean_split
from overcast.data.splits.parts import Split
from overcast.errors import ConfigError
from overcast.evaluation.result import EvaluationOptions
from overcast.evaluation.selection import PanelKind, PanelOptions
from overcast.experiments.benchmark.jobs import Choice, Job, base_config, choose, final_jobs, trial_jobs
from overcast.experiments.benchmark.options import BenchmarkConfig
from overcast.experiments.benchmark.work import Outcome, Test, kept_outcome
from overcast.experiments.benchmark.workers import Workers, results
from overcast.experiments.compare import COARSE_GSD_M
from overcast.settings import read_settings
from overcast.simulator.dataset.folder import simulate_dataset
from overcast.simulator.options import SimulationOptions

OnJob = Callable[[Job, Outcome, int, int], None]
"""Called with (job, its outcome, jobs done, jobs in all)."""


Outcomes = tuple[tuple[Job, Outcome], ...]


@dataclass(frozen=True)
class Finished:
    """All jobs of a benchmark with their outcomes, in order."""

    trials: Outcomes
    runs: Outcomes
    chosen: Choice


def prepare_data(benchmark: BenchmarkConfig, progress: Callable[[str, int, int], None]) -> dict[str, EvaluationOptions]:
    """Simulate what is missing, refuse leaking splits, and fix what is evaluated of each data set.

    Raises:
        LeakError: Training, validation and test of a data set share ground, an image or a place.
        InputError: A data set cannot be read.
    """
    options = {}
    for name, dataset in benchmark.datasets.items():
        config = base_config(dataset)
        if dataset.simulation is not None:
            if not isinstance(config.data, FolderData):
                raise ConfigError(f"data set {name} is simulated: its configuration must read a folder.")
            simulation = read_settings(SimulationOptions, dataset.simulation)
            simulate_dataset(config.data.root, simulation, partial(progress, name))
        catalog, split = build_data(config.data)
        require_clean_split(split, catalog.chips)
        found = _evaluation_options(catalog, split, benchmark.panels)
        options[name] = found.model_copy(update=dict(config.evaluation))
    return options


def _evaluation_options(catalog: Catalog, split: Split, panels: int) -> EvaluationOptions:
    """The same test chips are shown for all methods: drawn among those with a georeference or not, by seed 0."""
    if not split.test:
        raise ConfigError(f"the split leaves no test chips of {catalog.name}: enlarge their share.")
    count = min(panels, len(split.test))
    drawn = np.random.default_rng(0).choice(len(split.test), count, replace=False)
    keys = {sorted(split.test)[index]: PanelKind.RANDOM for index in sorted(drawn.tolist())}
    return EvaluationOptions(
        instances=catalog.radiometry.sar.gsd_m < COARSE_GSD_M, panels=PanelOptions(count=count, keys=keys)
    )


def run_benchmark(
    benchmark: BenchmarkConfig,
    output: Path,
    options: dict[str, EvaluationOptions],
    workers: Workers,
    on_job: OnJob,
    tuned: Finished | None = None,
) -> Finished:
    """Run what is missing: trials first, then every method with every seed. A failed job does not stop the others.

    With `tuned`, a benchmark of the same data sets and methods, its trials and choices are taken over.
    """
    tests = {
        name: Test(benchmark.available, each, workers.device, benchmark.optical_shares)
        for name, each in options.items()
    }
    if tuned is None:
        tried = _run_all(trial_jobs(benchmark, output), tests, workers, on_job)
        tuned = Finished(tried, (), _best(benchmark, tried))
    runs = _run_all(final_jobs(benchmark, output, tuned.chosen), tests, workers, on_job)
    return replace(tuned, runs=runs)


def kept(benchmark: BenchmarkConfig, output: Path, tuned: Finished | None = None) -> Finished:
    """What earlier calls finished; jobs that are missing are left out. `tuned` as in `run_benchmark`."""
    if tuned is None:
        tried = _kept(trial_jobs(benchmark, output))
        tuned = Finished(tried, (), _best(benchmark, tried))
    return replace(tuned, runs=_kept(final_jobs(benchmark, output, tuned.chosen)))


def _kept(jobs: Sequence[Job]) -> Outcomes:
    return tuple((job, outcome) for job in jobs if (outcome := kept_outcome(job)) is not None)


def _best(benchmark: BenchmarkConfig, tried: Outcomes) -> Choice:
    return choose(benchmark, [job for job, _ in tried], [outcome.validation for _, outcome in tried])


def _run_all(jobs: Sequence[Job], tests: dict[str, Test], workers: Workers, on_job: OnJob) -> Outcomes:
    found = {job.folder: kept for job in jobs if (kept := kept_outcome(job)) is not None}
    waiting = [job for job in jobs if job.folder not in found]
    for taught in (False, True):  # a teacher is finished before those that learn from it begin
        wave = [job for job in waiting if (job.teacher is not None) is taught]
        for job, outcome in results(wave, tests, workers):
            found[job.folder] = outcome
            on_job(job, outcome, len(found), len(jobs))
    return tuple((job, found[job.folder]) for job in jobs)


def evaluated(finished: Finished, dataset: str, label: str, available: InputModalities) -> list[Job]:
    """Jobs of a method on a data set that were given these sensors, by seed."""
    return [
        job
        for job, outcome in finished.runs
        if (job.dataset, job.label) == (dataset, label) and any(row.available is available for row in outcome.rows)
    ]
