"""One job: train, evaluate, keep the rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import fmean
from time import perf_counter

from rich.console import Console

from overcast.atomic import write_atomic
from overcast.batch import InputModalities, Modality
from overcast.bundle.bundle import load_bundle
from overcast.config import FinishedRun, build_plan, open_run
from overcast.errors import InputError, OvercastError
from overcast.evaluation.machine import describe_machine
from overcast.evaluation.result import Evaluation, EvaluationOptions
from overcast.evaluation.selection import PanelOptions
from overcast.experiments.benchmark.jobs import Job, describe_sets
from overcast.experiments.compare import evaluate_clouded, evaluate_run
from overcast.models.cost import Cost, cost, peak_bytes
from overcast.reading import read_record
from overcast.section import Section
from overcast.training.folder import RunFolder
from overcast.training.run import train

COST_PX = 512
"""Side of the image that multiply-adds are counted for."""


class Row(Section):
    """What one run reaches, given one set of sensors."""

    dataset: str
    label: str
    method: str
    settings: str
    seed: int
    available: InputModalities
    figures: dict[str, float]
    """Figures as of `Evaluation.summary`, and `s_per_km2`."""
    parameters: int
    """Parameters of what is deployed."""
    multiply_adds: int
    """Multiply-adds of what is deployed, for an image of `COST_PX` squared."""
    peak_bytes: int | None = None
    """Bytes of the tensors of what is deployed, for an image of `COST_PX` squared; None in rows of earlier versions."""
    steps: int
    best_step: int
    machine: str
    date: str


class Outcome(Section):
    """What became of a job."""

    validation: float | None = None
    """IoU on the validation chips: what candidates are chosen by."""
    rows: tuple[Row, ...] = ()
    error: str | None = None
    """Why there is no result."""
    seconds: float | None = None
    """Elapsed for training and evaluation, of a resumed run since it was resumed; None in those of earlier versions."""


@dataclass(frozen=True)
class Test:
    """What is evaluated once a run is trained."""

    available: tuple[InputModalities, ...]
    options: EvaluationOptions
    device: str = "cpu"
    optical_shares: tuple[float, ...] = ()
    """Shares of valid optical pixels at which methods that take both sensors are tested too."""


def kept_outcome(job: Job) -> Outcome | None:
    """The outcome of an earlier call; None where there is none, or it failed and is tried again.

    Raises ConfigError where the earlier run had other settings, InputError where its record is damaged.
    """
    path = job.folder / "outcome.json"
    if not path.is_file():
        return None
    remedy = "remove it, and the benchmark evaluates this run again"
    outcome = read_record(Outcome, path, InputError, remedy)
    if outcome.error is not None:
        return None
    RunFolder(job.run).check(job.config)
    return outcome


def carry_out(job: Job, test: Test, *, quiet: bool = False) -> Outcome:
    """Train (or go on), evaluate, and write `outcome.json` into the job's folder.

    An error ends the job, not the benchmark: it is the outcome. The checkpoint to resume from, several times the size
    of everything else, goes once there is nothing left to resume.
    """
    if (kept := kept_outcome(job)) is not None:
        return kept
    job.folder.mkdir(parents=True, exist_ok=True)
    start = perf_counter()
    try:
        outcome = _trained(job, test, quiet=quiet)
    except (OvercastError, RuntimeError) as error:
        outcome = Outcome(error=f"{type(error).__name__}: {' '.join(str(error).split())}"[:1000])
    outcome = outcome.model_copy(update={"seconds": round(perf_counter() - start, 2)})
    write_atomic(job.folder / "outcome.json", outcome.model_dump_json(indent=1) + "\n")
    if outcome.error is None:
        RunFolder(job.run).last.unlink(missing_ok=True)
    return outcome


def _trained(job: Job, test: Test, *, quiet: bool) -> Outcome:
    plan = build_plan(job.config, job.run)
    result = train(plan, job.run, console=Console(quiet=True) if quiet else None)
    validation = fmean(result.metrics[f"validation {way.value}"]["iou"] for way in plan.judged)
    if job.trial is not None:
        return Outcome(validation=validation)
    run = open_run(job.run)
    work, memory = deployed_cost(result.deployable)
    rows = []
    for available in [way for way in test.available if way in plan.facts.available]:
        evaluation = evaluate_run(run, available, test.options, job.folder / "evaluation", device=test.device)
        evaluation.write(job.folder / f"{available.value}.json")
        speed = {"s_per_km2": evaluation.timing.predict_s_per_km2(evaluation.gsd_m)}
        rows.append(
            Row(
                dataset=job.dataset,
                label=job.label,
                method=job.config.method.name,
                settings=describe_sets(job.sets),
                seed=job.seed,
                available=available,
                figures=evaluation.summary() | speed,
                parameters=work.parameters,
                multiply_adds=work.multiply_adds,
                peak_bytes=memory,
                steps=result.steps,
                best_step=result.best_step,
                machine=describe_machine(),
                date=str(date.today()),  # noqa: DTZ011  # a date for people
            )
        )
    if InputModalities.BOTH in plan.facts.available:
        _write_clouded(run, job, test)
    return Outcome(validation=validation, rows=tuple(rows))


def _write_clouded(run: FinishedRun, job: Job, test: Test) -> None:
    """An evaluation per share of valid optical pixels; pixels only."""
    options = test.options.model_copy(update={"instances": False, "panels": PanelOptions(count=0)})
    for share in test.optical_shares:
        kept = read_clouded(job, share)
        if kept is None or kept.options != options:
            evaluate_clouded(run, share, options, device=test.device).write(_clouded_file(job, share))


def _clouded_file(job: Job, share: float) -> Path:
    return job.folder / f"optical-{100 * share:g}.json"


def read_clouded(job: Job, share: float) -> Evaluation | None:
    """The evaluation of a finished job with this share of valid optical pixels, if there is one."""
    path = _clouded_file(job, share)
    return Evaluation.read(path) if path.is_file() else None


def deployed_cost(path: Path) -> tuple[Cost, int]:
    """Cost of a deployable bundle and the peak of its memory in bytes, for images of `COST_PX` squared."""
    bundle = load_bundle(path)
    spec = bundle.info.network
    bands = {Modality.SAR: spec.sar_bands, Modality.OPTICAL: spec.optical_bands}
    shapes = [(1, bands[modality], COST_PX, COST_PX) for modality in bundle.info.inputs]
    return cost(bundle.standardised_network, shapes), peak_bytes(bundle.standardised_network, shapes)


def completed(job: Job, outcome: Outcome) -> Outcome:
    """The outcome of a finished job with the figures that its version did not know yet, from what the job kept."""
    return outcome.model_copy(update={"rows": tuple(_completed_row(job, row) for row in outcome.rows)})


def _completed_row(job: Job, row: Row) -> Row:
    if row.peak_bytes is not None:
        return row
    evaluation, bundle = read_evaluation(job, row.available), RunFolder(job.run).deployable
    figures = row.figures if evaluation is None else evaluation.summary() | row.figures
    memory = deployed_cost(bundle)[1] if bundle.is_dir() else None
    return row.model_copy(update={"figures": figures, "peak_bytes": memory})


def read_evaluation(job: Job, available: InputModalities) -> Evaluation | None:
    """The evaluation of a finished job, if it was given these sensors."""
    path = job.folder / f"{available.value}.json"
    return Evaluation.read(path) if path.is_file() else None
