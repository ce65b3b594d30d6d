"""`overcast map`: many scenes, on this machine or on a cluster."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import torch
import typer

from overcast.arithmetic import capabilities
from overcast.bundle.bundle import Bundle
from overcast.cli.console import counting_bar, print_json
from overcast.errors import ConfigError, InputError
from overcast.fleet.manifest import NAME
from overcast.fleet.optical import require_some
from overcast.fleet.rays import Workers, computing
from overcast.fleet.run import FleetRequest, FleetSummary, map_scenes
from overcast.fleet.scenes import SceneSpec
from overcast.progress import Progress
from overcast.scenes.job import PredictOptions
from overcast.scenes.predict import model_for
from overcast.scenes.ready import chosen_device
from overcast.scenes.sky import OpticalInput

VECTORS = ("gpkg", "parquet", "geojson")
SHOWN_FAILURES = 3


@dataclass(frozen=True)
class ManyOptions:
    """What the command line says of many scenes."""

    scenes: list[SceneSpec]
    output: Path
    write: str
    workers: int | None
    address: str | None
    optical: OpticalInput | None = None
    """Optical images beside the scenes."""

    def endings(self) -> tuple[str | None, str | None]:
        """Endings of footprints and of probability. Raises ConfigError for others."""
        asked = [part.strip().lower().removeprefix(".") for part in self.write.split(",") if part.strip()]
        vectors, rasters = [one for one in asked if one in VECTORS], [one for one in asked if one in {"tif", "tiff"}]
        if not asked or len(vectors) + len(rasters) < len(asked) or len(vectors) > 1 or len(rasters) > 1:
            raise ConfigError(
                f"--write {self.write!r}: name one of {', '.join(VECTORS)}, or tif, or both, with a comma."
            )
        return (f".{vectors[0]}" if vectors else None), (f".{rasters[0]}" if rasters else None)

    def folder(self) -> Path:
        """Where outputs go; made where it is not there yet. Raises InputError where it cannot be."""
        if not self.output.parent.is_dir():
            raise InputError(f"{self.output.parent} is not a folder; create it, or write elsewhere.")
        self.output.mkdir(exist_ok=True)
        return self.output


def map_many(
    many: ManyOptions, bundle: Bundle, declared: Mapping[str, object], options: PredictOptions, *, as_json: bool
) -> None:
    """Map scenes and print what has become of them; failed ones end the command with an error."""
    (footprints, probability), folder = many.endings(), many.folder()
    boundaries = footprints is not None and options.polygons.boundaries
    model = model_for(bundle, options, many.optical, boundaries=boundaries)
    options = replace(options, scene=replace(options.scene, device=chosen_device(options.scene, capabilities())))
    scenes = many.scenes
    if many.optical is not None:
        require_some(scenes, many.optical)
    typer.echo(f"{len(scenes)} scenes", err=True)
    workers = _workers(many, options)
    if workers is not None:
        options = replace(options, scene=replace(options.scene, threads=workers.threads))
    request = FleetRequest(scenes, folder, model, declared, options, footprints, probability, many.optical)
    with counting_bar("mapping", "km²") as update, computing(model, workers) as compute:

        def report(state: Progress) -> None:
            if state.note:
                typer.echo(state.note, err=True)
            update(state.done, max(state.total, state.done), "mapping")

        summary = map_scenes(request, compute, 1 if workers is None else 2, report)
    _show(summary, folder, as_json=as_json)


def _workers(many: ManyOptions, options: PredictOptions) -> Workers | None:
    """Ray's workers; None where one process does all: nothing was asked for, and there is one device at most."""
    on_gpu = options.scene.device.startswith("cuda")
    gpus = torch.cuda.device_count() if on_gpu else 0
    count = many.workers or (gpus if gpus > 1 and options.scene.device == "cuda" else 1)
    unasked = many.workers is None and find_spec("ray") is None
    if many.address is None and (count == 1 or unasked):
        return None
    cores = os.cpu_count() or 1
    threads = options.scene.threads or (1 if many.address is not None else max(1, cores // count))
    return Workers(count, many.address, threads, int(on_gpu))


def _show(summary: FleetSummary, folder: Path, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "done": list(summary.done),
                "skipped": list(summary.skipped),
                "failed": dict(summary.failed),
                "outside": list(summary.outside),
                "footprints": summary.footprints,
                "km2": summary.km2,
                "valid_km2": summary.valid_km2,
                "elapsed_s": summary.elapsed_s,
            }
        )
    else:
        earlier = f", {len(summary.skipped)} were done before" if summary.skipped else ""
        typer.echo(f"{len(summary.done)} scenes mapped{earlier}: {summary.footprints} footprints in {folder}")
        if summary.outside:
            typer.echo(f"{len(summary.outside)} scenes do not meet the area")
        area = f"{summary.valid_km2:.4g} of {summary.km2:.4g} km2 hold data"
        typer.echo(f"{area}; {summary.elapsed_s:.1f} s; see {folder / NAME}")
    if summary.failed:
        count = len(summary.done) + len(summary.skipped) + len(summary.failed)
        shown = [f"{name} ({reason})" for name, reason in list(summary.failed.items())[:SHOWN_FAILURES]]
        more = f" and {len(summary.failed) - SHOWN_FAILURES} more" if len(summary.failed) > SHOWN_FAILURES else ""
        raise InputError(
            f"{len(summary.failed)} of {count} scenes failed: {'; '.join(shown)}{more}. All stand in {folder / NAME}; "
            "mend them and run the same command again: what is done is not done again."
        )
