"""A job in a process of its own: prepare the scene, then map it.

Says one JSON object a line on standard output: progress, and at last what came of it. Ends when its standard input
does, so that it does not outlive the server. Stopped and started again it goes on where it stopped, to the same bytes.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overcast.atomic import write_atomic
from overcast.errors import OvercastError, is_environment_error, remedy
from overcast.section import Section
from overcast.server.records import Inputs, load

if TYPE_CHECKING:  # the network is loaded when a job needs it
    from overcast.fleet.rays import Workers
    from overcast.raster.georeference import Georeference
    from overcast.scenes.job import PredictOptions
    from overcast.scenes.model import SceneModel
    from overcast.scenes.sky import OpticalInput

SCENE, FOOTPRINTS, PROBABILITY, AREA = "scene.tif", "footprints.gpkg", "probability.tif", "area.geojson"
MODEL = "model.txt"
"""Files of a job's folder."""
EVERY_S = 0.25
"""Seconds between two lines about progress."""

Say = Callable[[dict[str, Any]], None]


class Files(Section):
    """What the server has looked up for a job."""

    scene: Path
    model: Path | None = None
    """Bundle or run folder; None: the installed one that fits."""
    optical: tuple[Path, ...] = ()
    clouds: Path | None = None


def run(folder: Path, files: Files, device: str, address: str | None, say: Say) -> dict[str, Any]:
    """Carry a job out; returns what there is to say about the result. Raises what `prepare` and `predict` raise.

    Args:
        folder: Of the job.
        files: What it reads.
        device: Of this machine, or with an address of each worker.
        address: Of a Ray cluster that computes the rows of tiles; None: this process.
        say: Told how far it is.
    """
    from overcast.bundle.bundle import load_bundle
    from overcast.fleet.rays import computing
    from overcast.preparation.run import prepare_scene
    from overcast.scenes.declare import scene_radiometry
    from overcast.scenes.job import Job
    from overcast.scenes.predict import model_for, run_job

    inputs, prepared = load(folder).inputs, folder / SCENE
    bundle = load_bundle(kept_choice(folder, lambda: chosen(files, inputs)[0]))
    report = reporter(say)
    if not prepared.is_file():
        prepare_scene(
            [files.scene],
            bundle,
            prepared,
            prepare_options(inputs),
            progress=lambda done, total, _: report("prepare", done, total, None),
        )
    options, optical = predict_options(folder, inputs, device), optical_of(files, inputs)
    workers = None if address is None else workers_at(address, device)
    if workers is not None:
        options = replace(options, scene=replace(options.scene, threads=workers.threads))
    job = Job(
        scene=(prepared,),
        model=model_for(bundle, options, optical, boundaries=options.polygons.boundaries),
        sensor=scene_radiometry([prepared]),
        options=options,
        probability=folder / PROBABILITY,
        footprints=folder / FOOTPRINTS,
        report=lambda state: report(state.stage.value, state.done, state.total, state.remaining_s),
        optical=optical,
    )
    with computing(job.model, workers) as compute:
        summary = run_job(job, compute)
    return {"footprints": summary.footprint_count, "km2": summary.valid_km2, "optical_share": summary.optical_share}


def check(files: Files, inputs: Inputs) -> dict[str, Any]:
    """What would be done with a scene; raises the error whose sentence says what is missing."""
    from overcast.bundle.bundle import load_bundle
    from overcast.preparation.run import prepare_scene
    from overcast.scenes.job import PredictOptions
    from overcast.scenes.predict import model_for

    (place, sentence), optical = chosen(files, inputs), optical_of(files, inputs)
    model = model_for(load_bundle(place), PredictOptions(), optical, boundaries=False)
    with tempfile.TemporaryDirectory(prefix="overcast-") as folder:  # where nothing stands in the way
        summary = prepare_scene([files.scene], model, Path(folder) / SCENE, prepare_options(inputs), dry_run=True)
    note = None if optical is None else optical_note(optical, model, summary.plan.grid, files.scene)
    said = [one for one in (sentence, *summary.plan.steps, *summary.plan.notes, note) if one is not None]
    return {"steps": said, "km2": summary.km2}


def workers_at(address: str, device: str) -> Workers:
    """Workers of a cluster, each with one thread or one GPU."""
    from overcast.arithmetic import capabilities, settled_device
    from overcast.fleet.rays import Workers

    return Workers(1, address, 1, int(settled_device(device, capabilities()).startswith("cuda")))


def optical_of(files: Files, inputs: Inputs) -> OpticalInput | None:
    """The optical image of a job; None without one. Raises ConfigError for parts of it that do not fit together."""
    from overcast.scenes.sky import optical_input

    given = inputs.optical
    return None if given is None else optical_input(files.optical, files.clouds, given.cloud_values, given.nodata)


def optical_note(optical: OpticalInput, model: SceneModel, grid: Georeference, scene: Path) -> str | None:
    """What the user should know of an optical image.

    Raises InputError or RadiometryError where it cannot be used with the model.
    """
    from overcast.scenes.sky import open_sky

    assert model.optical is not None
    with open_sky(optical, model.optical.sensor, grid, scene) as sky:
        return sky.note_on(model.optical.statistics, grid, ", ".join(optical.names), scene.name)


def kept_choice(folder: Path, choose: Callable[[], Path]) -> Path:
    """The bundle of a job, chosen when it first began: models that are added later do not change it."""
    noted = folder / MODEL
    if not noted.is_file():
        write_atomic(noted, str(choose()))
    return Path(noted.read_text(encoding="utf-8"))


def chosen(files: Files, inputs: Inputs) -> tuple[Path, str | None]:
    """The bundle of a model, and why that one where nobody named it: the installed one that fits.

    With an optical image it is the bundle of every branch. Raises RadiometryError where none fits.
    """
    from overcast.bundle.contract import bundle_folder
    from overcast.installed.scenes import model_to_prepare_for

    every_branch = inputs.optical is not None
    if files.model is not None:
        return bundle_folder(files.model, full=every_branch), None
    choice = model_to_prepare_for([files.scene], prepare_options(inputs).bands, every_branch=every_branch)
    return choice.model.folder, choice.sentence


def prepare_options(inputs: Inputs) -> Any:
    """The options of `prepare` that a job asks for."""
    from overcast.preparation.options import PrepareOptions

    return PrepareOptions(
        bands=None if inputs.bands is None else tuple(band.strip().upper() for band in inputs.bands),
        unit=inputs.unit,
        nodata=() if inputs.nodata is None else (inputs.nodata,),
        radar_side=inputs.radar_side,
        level=inputs.level,
        stac=False,
    )


def predict_options(folder: Path, inputs: Inputs, device: str) -> PredictOptions:
    """The options of `predict` that a job asks for."""
    from overcast.polygons.footprints import PolygonOptions
    from overcast.scenes.ground import area_of
    from overcast.scenes.job import PredictOptions
    from overcast.scenes.scene import SceneOptions

    if inputs.area is not None:
        (folder / AREA).write_text(inputs.area.model_dump_json(), encoding="utf-8")
    return PredictOptions(
        scene=SceneOptions(device=device),
        polygons=PolygonOptions(threshold=inputs.threshold, min_area_m2=inputs.min_area_m2),
        area=None if inputs.area is None else area_of(folder / AREA),
        overwrite=True,  # results of a job whose server was killed before it noted them
    )


def reporter(say: Say) -> Callable[[str, float, float, float | None], None]:
    """Says how far a stage is, not too often: the last state of each stage always."""
    last = {"at": -EVERY_S}

    def report(stage: str, done: float, total: float, remaining_s: float | None) -> None:
        now_s = time.monotonic()
        if done >= total or now_s - last["at"] >= EVERY_S:
            last["at"] = now_s
            say({"stage": stage, "done": done, "total": total, "remaining_s": remaining_s})

    return report


def end_with_server() -> None:
    """End this process in the middle of what it does as soon as the other end of standard input is closed."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 2**12):  # sys.stdin would be locked when the interpreter ends
            pass
        os.kill(os.getpid(), signal.SIGKILL)  # what is done is on disk, and goes on from there

    threading.Thread(target=watch, daemon=True).start()


def main(arguments: list[str]) -> int:
    """`run FILES FOLDER DEVICE [ADDRESS]`, or `check FILES INPUTS`: FILES and INPUTS are JSON."""

    def say(value: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(value) + "\n")
        sys.stdout.flush()

    order, files, *rest = arguments
    found = Files.model_validate_json(files)
    try:
        if order == "check":
            say({"ready": check(found, Inputs.model_validate_json(rest[0]))})
        else:
            end_with_server()
            folder, device, *address = rest
            say({"result": run(Path(folder), found, device, address[0] if address else None, say)})
    except (OvercastError, OSError) as error:
        if not isinstance(error, OvercastError) and not is_environment_error(error):
            raise
        hint = "" if isinstance(error, OvercastError) else f"; {remedy(error)}." if isinstance(error, OSError) else ""
        say({"error": f"{error}{hint}"})
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
