"""From a benchmark to its trainings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from overcast.config import RunConfig, load_config
from overcast.errors import ConfigError
from overcast.experiments.benchmark.options import BenchmarkConfig, DataSet, Entry, method_name


@dataclass(frozen=True)
class Job:
    """One training, and the evaluation that follows it."""

    dataset: str
    label: str
    sets: tuple[str, ...]
    """Changes to the data set's configuration that make the method, tuned settings included."""
    seed: int
    config: RunConfig
    folder: Path
    trial: int | None = None
    """Number of the candidate; None for a run that is tested."""
    teacher: Path | None = None
    """Run folder of the job whose model this one distils, which has to be finished before."""

    @property
    def run(self) -> Path:
        """Run folder of the training."""
        return self.folder / "run"

    @property
    def name(self) -> str:
        """For progress and errors."""
        what = f"seed {self.seed}" if self.trial is None else f"trial {self.trial + 1}"
        return f"{self.dataset}, {self.label}, {what}"


Choice = Mapping[tuple[str, str], tuple[str, ...]]
"""(data set, label) to the candidate that won."""


def base_config(dataset: DataSet) -> RunConfig:
    """The configuration that every method of a data set starts from."""
    return load_config(dataset.config, dataset.sets)


def trial_jobs(benchmark: BenchmarkConfig, output: Path) -> tuple[Job, ...]:
    """One training per data set and candidate."""
    tuning = benchmark.tuning
    return tuple(
        _job(benchmark, pair, output, (*candidate, *tuning.sets), tuning.seed, number)
        for pair in _pairs(benchmark)
        for number, candidate in enumerate(pair[1].candidates)
    )


def final_jobs(benchmark: BenchmarkConfig, output: Path, chosen: Choice) -> tuple[Job, ...]:
    """One training per data set, method and seed; seed by seed, so that every method has a row early."""
    seeds = sorted({seed for entry in benchmark.methods for seed in benchmark.seeds_of(entry)})
    return tuple(
        _job(benchmark, pair, output, chosen.get((pair[0], pair[1].tuned_as or pair[1].label), ()), seed, None)
        for seed in seeds
        for pair in _pairs(benchmark)
        if seed in benchmark.seeds_of(pair[1])
    )


def _pairs(benchmark: BenchmarkConfig) -> Iterator[tuple[str, Entry]]:
    return ((dataset, entry) for dataset in benchmark.datasets for entry in benchmark.methods)


def _job(
    benchmark: BenchmarkConfig,
    pair: tuple[str, Entry],
    output: Path,
    extra: tuple[str, ...],
    seed: int,
    trial: int | None,
) -> Job:
    name, entry = pair
    dataset = benchmark.datasets[name]
    sets = (*entry.sets, *extra)
    place = f"trial{trial}" if trial is not None else f"seed{seed}"
    teacher = None if entry.taught_by is None else output / name / entry.taught_by / place / "run"
    taught = () if teacher is None else (f"method.teacher={json.dumps(str(teacher))}",)
    config = load_config(dataset.config, (*dataset.sets, *sets, *taught, f"training.seed={seed}"))
    if config.method.name != method_name(sets):
        raise ConfigError(f"method {entry.label} does not say which method it is: add method.name=... to its sets.")
    return Job(name, entry.label, sets, seed, config, output / name / entry.label / place, trial, teacher)


def choose(benchmark: BenchmarkConfig, trials: Sequence[Job], scores: Sequence[float | None]) -> Choice:
    """The candidate with the best validation score of each method. Raises ConfigError where all of one failed."""
    best: dict[tuple[str, str], tuple[float, int]] = {}
    for job, score in zip(trials, scores, strict=True):
        assert job.trial is not None
        key = (job.dataset, job.label)
        if score is not None and (key not in best or score > best[key][0]):
            best[key] = (score, job.trial)
    for job in trials:
        if (job.dataset, job.label) not in best:
            raise ConfigError(f"every trial of {job.label} on {job.dataset} failed; see {job.folder.parent}.")
    found = {}
    for (dataset, label), (_, number) in best.items():
        entry = benchmark.entry(label)
        assert entry is not None
        found[dataset, label] = entry.candidates[number]
    return found


def describe_sets(sets: Sequence[str]) -> str:
    """Overrides as text, the name of the method left out.

    >>> describe_sets(["method.name=kd", "method.temperature=4"])
    'method.temperature=4'
    """
    return json.dumps([s for s in sets if not s.startswith("method.name=")])[1:-1].replace('"', "") or "defaults"
