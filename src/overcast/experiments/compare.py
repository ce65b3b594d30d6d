"""Finished runs, evaluated on the same chips and set side by side in one report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from overcast.batch import InputModalities
from overcast.choices import Separation, Tta
from overcast.config import FinishedRun, open_run
from overcast.config.predictor import cloud_predictor, predictor
from overcast.data.catalog import Catalog
from overcast.data.splits.parts import Part
from overcast.errors import ConfigError, InputError
from overcast.evaluation.machine import describe_machine
from overcast.evaluation.result import Evaluation, EvaluationOptions
from overcast.evaluation.run import evaluate
from overcast.experiments.evaluation_tables import Tables, today, write_tables
from overcast.report.data import Origin, ReportData, Result
from overcast.report.page import write_report
from overcast.simulator.dataset.folder import OPTIONS_FILE
from overcast.training.folder import RunFolder

COARSE_GSD_M = 3.0
"""From this ground sampling distance on, single footprints are not matched unless it is asked for."""

Progress = Callable[[str, int, int], None]
"""Called with (what is evaluated, chips done, chips in all)."""


@dataclass(frozen=True)
class Request:
    """What is evaluated."""

    part: Part = Part.TEST
    available: tuple[InputModalities, ...] | None = None
    """What the models are given; None is SAR alone where a method works from it, else all that it needs."""
    settings: tuple[str, ...] = ()
    """`key=value` changes of the runs' configurations, for example where the data lie now."""
    options: EvaluationOptions = field(default_factory=EvaluationOptions)
    instances: bool | None = None
    """Match single footprints; None does so for pixels below `COARSE_GSD_M`."""
    title: str | None = None
    command: str = "overcast evaluate"
    """Named in the report as what makes it again."""
    device: str = "cpu"
    tta: Tta | None = None
    """Test-time augmentation; None is what each run's configuration says."""
    separate: Separation | None = None
    """Whether touching buildings are separated; None is what each run's configuration says."""


@dataclass(frozen=True)
class Comparison:
    """Results and where they lie."""

    results: tuple[Result, ...]
    report: Path
    tables: Tables
    left_out: tuple[str, ...]
    """Sentences: what a method was not given, and why."""


def compare_runs(
    runs: Sequence[Path], output: Path, request: Request | None = None, progress: Progress | None = None
) -> Comparison:
    """Evaluate runs on the same part of their data set.

    Writes `report.html`, `report.md`, `tables.tex`, `results.csv` and a JSON per result.

    A result that is there already, of the same weights and the same options, is not computed again. The first run leads
    the report: its best and worst chips are shown for all.

    Args:
        runs: Folders of finished runs, trained on one data set and split.
        output: Folder to write to.
        request: What is evaluated.
        progress: Called with the runs done and in total.

    Raises:
        InputError: A run is not finished, or the runs do not share data set and split.
        ConfigError: No run can work from what it would be given.
    """
    request = request or Request()
    opened = [open_run(path, request.settings) for path in runs]
    if not opened:
        raise ConfigError("name at least one run folder to evaluate.")
    _require_same_ground(runs, opened, request.part)
    names = run_names(runs, opened)
    output.mkdir(parents=True, exist_ok=True)
    results: list[Result] = []
    seeds: list[int] = []
    for name, run in zip(names, opened, strict=True):
        for available in _given(run, request):
            options = _options(run, request, results)
            evaluation = evaluate_run(
                run,
                available,
                options,
                output / "results",
                part=request.part,
                device=request.device,
                report=_reporter(progress, name),
            )
            results.append(Result(name, available, evaluation))
            seeds.append(run.config.training.seed)
    if not results:
        raise ConfigError("none of these methods can work from the modalities asked for; choose others.")
    report = output / "report.html"
    training = {name: RunFolder(path).curves for name, path in zip(names, runs, strict=True)}
    data = report_data(opened[0], tuple(results), training, request.command, title=request.title, part=request.part)
    write_report(report, data)
    left_out = tuple(said for name, run in zip(names, opened, strict=True) for said in _left_out(name, run, request))
    tables = write_tables(output, data, seeds, request.part, left_out)
    return Comparison(tuple(results), report, tables, left_out)


def run_names(paths: Sequence[Path], runs: Sequence[FinishedRun]) -> list[str]:
    """Method of each run, or the folder's name where several runs are of one method."""
    methods = [run.config.method.name for run in runs]
    return [path.name if methods.count(method) > 1 else method for path, method in zip(paths, methods, strict=True)]


def _require_same_ground(paths: Sequence[Path], runs: Sequence[FinishedRun], part: Part) -> None:
    first = runs[0].split.keys(part)
    for path, run in zip(paths, runs, strict=True):
        if run.split.keys(part) != first or run.bundle.info.data.name != runs[0].bundle.info.data.name:
            raise InputError(
                f"{path} was trained on another data set or split than {paths[0]}: "
                "evaluate runs of one data set and split together."
            )
    if not first:
        raise InputError(f"the split of {paths[0]} has no {part} chips: choose another part with --part.")


def _given(run: FinishedRun, request: Request) -> list[InputModalities]:
    """What this run's method is given, in the order asked for."""
    assert run.bundle.method is not None
    can = run.bundle.method.available
    if request.available is not None:
        return [available for available in request.available if available in can]
    return [next(way for way in (InputModalities.SAR, InputModalities.BOTH, InputModalities.OPTICAL) if way in can)]


def _left_out(name: str, run: FinishedRun, request: Request) -> list[str]:
    """What of the modalities asked for this run's method cannot work from."""
    assert run.bundle.method is not None
    can = run.bundle.method.available
    works = ", ".join(way.value for way in InputModalities if way in can)
    asked = request.available or ()
    return [f"{name} cannot work from {way.value}, only from {works}: left out" for way in asked if way not in can]


def _options(run: FinishedRun, request: Request, before: Sequence[Result]) -> EvaluationOptions:
    """The options, showing the chips that the first result chose."""
    gsd_m = run.catalog.radiometry.sar.gsd_m
    instances = gsd_m < COARSE_GSD_M if request.instances is None else request.instances
    panels = request.options.panels
    if before:
        panels = panels.model_copy(update={"keys": before[0].evaluation.panel_keys})
    chosen = {
        "instances": instances,
        "panels": panels,
        "tta": run.config.evaluation.tta if request.tta is None else request.tta,
        "separate": run.config.evaluation.separate if request.separate is None else request.separate,
    }
    return request.options.model_copy(update=chosen)


def evaluate_run(
    run: FinishedRun,
    available: InputModalities,
    options: EvaluationOptions,
    folder: Path,
    *,
    part: Part = Part.TEST,
    device: str = "cpu",
    report: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Evaluate a run, or read from `folder` what an earlier call found for the same weights and options.

    `report` is called with (chips done, chips in all).
    """
    assert run.bundle.method is not None
    weights = run.bundle.info.weights_sha256[:12]
    kept = folder / f"{run.config.method.name}-{weights}-{available.value}-{part}.json"
    if kept.is_file() and (before := Evaluation.read(kept)).options == options:
        return before
    places = run.places(part)
    done = 0

    def count(chips: int) -> None:
        nonlocal done
        done += chips
        if report is not None:
            report(done, len(places))

    found = evaluate(
        predictor(run, available, device, options),
        run.batches(
            part,
            (available, InputModalities.BOTH) if _has_optical(run.catalog) else (available,),
            instances=options.separates,
        ),
        places,
        run.catalog.radiometry.sar.gsd_m,
        options,
        count,
    )
    folder.mkdir(parents=True, exist_ok=True)
    found.write(kept)
    return found


def evaluate_clouded(
    run: FinishedRun, clear: float, options: EvaluationOptions, *, part: Part = Part.TEST, device: str = "cpu"
) -> Evaluation:
    """Evaluate a method that takes both sensors with clouds over its optical images.

    `clear` is the share of each chip's pixels that they leave; see `Method.predict_clouded`.
    """
    return evaluate(
        cloud_predictor(run, clear, device, options),
        run.batches(part, (InputModalities.BOTH,)),
        run.places(part),
        run.catalog.radiometry.sar.gsd_m,
        options,
    )


def _has_optical(catalog: Catalog) -> bool:
    return catalog.radiometry.optical is not None and all(chip.optical for chip in catalog.chips)


def _reporter(progress: Progress | None, name: str) -> Callable[[int, int], None]:
    return (lambda done, total: progress(name, done, total)) if progress else (lambda _done, _total: None)


def report_data(
    run: FinishedRun,
    results: tuple[Result, ...],
    training: Mapping[str, Path],
    command: str,
    *,
    title: str | None = None,
    part: Part = Part.TEST,
) -> ReportData:
    """What a report says of results on the data set of `run`; `training` is the CSV of curves of each method."""
    info, config, split = run.bundle.info, run.config, run.split
    counts = split.counts
    simulated = run.catalog.simulated or (Path(config.data.root) / OPTIONS_FILE).is_file()
    return ReportData(
        title=title or f"{info.class_name} on {run.catalog.name}",
        class_name=info.class_name,
        data_set=f"{run.catalog.name}, {len(run.catalog.chips)} chips; licence {run.catalog.licence}",
        split=f"{split.definition} Chips: train {counts['train']}, validation {counts['validation']}, "
        f"test {counts['test']}. Evaluated: {part}.",
        model=f"{info.network.encoder}, decoder {list(info.network.decoder_channels)}, "
        f"{config.training.steps} steps of {config.training.batch_size} chips of "
        f"{config.training.crop or 'full'} px, seed {info.seed}{_looked_at(results)}",
        origin=Origin.SIMULATED if simulated else Origin.REAL,
        created=today(),
        machine=describe_machine(),
        command=command,
        results=results,
        training=training,
    )


def _looked_at(results: Sequence[Result]) -> str:
    """How chips were looked at, where that is not plain; names the results where they differ."""
    texts = {}
    for result in results:
        options = result.evaluation.options
        views = "" if options.tta is Tta.OFF else f"; averaged over look-safe views ({options.tta})"
        texts[result.name] = views + ("; touching buildings separated" if options.separates else "")
    if len(set(texts.values())) < 2:
        return next(iter(texts.values()))
    return "".join(f"; {name}{text or '; one view, touching buildings as one'}" for name, text in texts.items())
