"""Commands that compare: methods, data sets and seeds with each other, and footprints with reference footprints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from overcast.cli.console import ERROR_CONSOLE, Pace, counting_bar, print_json, print_table
from overcast.cli.groups import with_groups

if TYPE_CHECKING:
    from overcast.experiments.benchmark.jobs import Job
    from overcast.experiments.benchmark.work import Outcome


def benchmark(
    *,
    config: Annotated[Path, typer.Argument(help="YAML; see configs/benchmark/.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for runs, tables and report.")],
    at_once: Annotated[
        int | None, typer.Option(help="Trainings at once; default: one per GPU, one without a GPU.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster that runs the trainings: auto, host:port; see docs/cluster.md.")
    ] = None,
    gpus: Annotated[int | None, typer.Option(help="GPUs in use; default: those of this machine.")] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="key=value, for example seeds=[0].")] = None,
    report_only: Annotated[bool, typer.Option(help="Train nothing: tables and report of what is there.")] = False,
) -> None:
    """Train and test every method on every data set with every seed, and write one report.

    A row is written as each run ends. If it is interrupted, run the same command again to resume.

    Example: `overcast benchmark configs/benchmark/simulated-small.yaml --output runs/benchmark`
    """
    import torch

    from overcast.errors import InputError
    from overcast.experiments.benchmark.options import load_benchmark
    from overcast.experiments.benchmark.report import write_benchmark, write_results
    from overcast.experiments.benchmark.runner import kept, prepare_data, run_benchmark
    from overcast.experiments.benchmark.workers import Workers

    given = " ".join(f"--set {override}" for override in sets or ())
    command = f"overcast benchmark {config} --output {output} {given}".strip()
    wanted = load_benchmark(config, sets or ())
    found = torch.cuda.device_count() if gpus is None else gpus
    workers = Workers(at_once or max(1, found), found if address is None else min(1, found), address)
    pace = Pace()

    def on_job(job: Job, outcome: Outcome, done: int, jobs: int) -> None:
        """A line on the terminal, and the table brought up to date."""
        figures = ", ".join(f"{row.available.value} IoU {row.figures['iou']:.3f}" for row in outcome.rows)
        validation = "" if outcome.validation is None else f"validation IoU {outcome.validation:.3f}"
        said = outcome.error or figures or validation
        update(done, jobs, "trials and runs")
        part = "runs" if job.trial is None else "trials"
        line = f"{done}/{jobs} {part}  {job.name}: {said}; {pace.after_one(part, jobs - done)}"
        ERROR_CONSOLE.print(line, highlight=False, soft_wrap=True)
        if outcome.rows:
            write_results(output / "results.csv", [each for _, each in kept(wanted, output).runs])

    with counting_bar("simulating", "places") as update:
        options = prepare_data(wanted, lambda name, done, total: update(done, total, name))
    with counting_bar("trials and runs", "jobs") as update:
        finished = kept(wanted, output) if report_only else run_benchmark(wanted, output, options, workers, on_job)
    if not any(outcome.rows for _, outcome in finished.runs):
        raise InputError(f"no run in {output} has a result yet: run the benchmark without --report-only.")
    written = write_benchmark(wanted, finished, output, command)
    typer.echo(f"report: {written.html}\ntables: {written.markdown}, {written.latex}\nfigures: {written.csv}")
    failed = [job.name for job, outcome in (*finished.trials, *finished.runs) if outcome.error is not None]
    if failed:
        raise InputError(f"{len(failed)} runs failed ({'; '.join(failed[:3])}): {written.html} says why.")


@dataclass(frozen=True)
class Compared:
    """What is compared."""

    area: Annotated[Path | None, typer.Option(help="Polygons of the ground to compare on; default: all of it.")] = None
    min_area: Annotated[float, typer.Option(help="Leave out smaller footprints, m².")] = 20.0
    confidence: Annotated[str, typer.Option(help="Column of the predictions that orders them.")] = "confidence"


@with_groups
def score(
    *,
    predicted: Annotated[Path, typer.Argument(help="Footprints of a scene, by Overcast or any other tool.")],
    reference: Annotated[Path, typer.Argument(help="True footprints of the same ground.")],
    compared: Compared,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write what was matched, missed and invented: .gpkg, .parquet, .geojson."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output that exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Compare footprints of a whole scene with reference footprints, one by one.

    Each, by falling confidence, takes the free reference footprint that it shares most with, at IoU 0.5 or more.

    Example: `overcast score footprints.gpkg cadastre.gpkg --area survey.geojson -o compared.gpkg`
    """
    from overcast.metrics.footprints import FootprintOptions, match_files, scores_of
    from overcast.metrics.marked import require_free, write_marked

    if output is not None:
        require_free(output, overwrite=overwrite)
    files = match_files(predicted, reference, FootprintOptions(compared.min_area, compared.confidence, compared.area))
    scores = scores_of(files)
    found = scores.summary()
    if output is not None:
        write_marked(files, output)
        typer.echo(f"matched, missed and invented footprints in {output}", err=True)
    if as_json:
        print_json(found)
        return
    rows = [[name, f"{value:.4g}" if isinstance(value, float) else str(value)] for name, value in found.items()]
    print_table(("figure", "value"), rows)
    if scores.note is not None:
        typer.echo(f"note: {scores.note}")
