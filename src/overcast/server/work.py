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
from pathlib import Path
from typing import Any

from overcast.atomic import write_atomic
from overcast.errors import OvercastError, is_environment_error, remedy
from overcast.server.records import Inputs, load

SCENE, FOOTPRINTS, PROBABILITY, AREA = "scene.tif", "footprints.gpkg", "probability.tif", "area.geojson"
MODEL = "model.txt"
"""Files of a job's folder."""
EVERY_S = 0.25
"""Seconds between two lines about progress."""

Say = Callable[[dict[str, Any]], None]


def run(folder: Path, scene: Path, model: Path | None, device: str, say: Say) -> dict[str, Any]:
    """Carry a job out; returns what there is to say about the result. Raises what `prepare` and `predict` raise."""
    from overcast.bundle.bundle import load_bundle
    from overcast.preparation.run import prepare_scene
    from overcast.scenes.declare import scene_radiometry
    from overcast.scenes.predict import predict_file

    record, prepared = load(folder), folder / SCENE
    bundle = load_bundle(kept_choice(folder, lambda: chosen(model, record.inputs, scene)[0]))
    tell = teller(say)
    if not prepared.is_file():
        prepare_scene(
            [scene],
            bundle,
            prepared,
            prepare_options(record.inputs),
            progress=lambda done, total, _: tell("prepare", done, total, None),
        )
    summary = predict_file(
        [prepared],
        bundle,
        sensor=scene_radiometry([prepared]),
        footprints=folder / FOOTPRINTS,
        probability=folder / PROBABILITY,
        options=predict_options(folder, record.inputs, device),
        progress=lambda state: tell(state.stage.value, state.done, state.total, state.remaining_s),
    )
    return {"footprints": summary.footprint_count, "km2": summary.valid_km2}


def check(inputs: Inputs, scene: Path, model: Path | None) -> dict[str, Any]:
    """What would be done with a scene; raises the error whose sentence says what is missing."""
    from overcast.bundle.bundle import load_bundle
    from overcast.preparation.run import prepare_scene

    place, sentence = chosen(model, inputs, scene)
    bundle = load_bundle(place)
    with tempfile.TemporaryDirectory(prefix="overcast-") as folder:  # where nothing stands in the way
        summary = prepare_scene([scene], bundle, Path(folder) / SCENE, prepare_options(inputs), dry_run=True)
    said = [] if sentence is None else [sentence]
    return {"steps": [*said, *summary.plan.steps, *summary.plan.notes], "km2": summary.km2}


def kept_choice(folder: Path, choose: Callable[[], Path]) -> Path:
    """The bundle of a job, chosen when it first began: models that are added later do not change it."""
    noted = folder / MODEL
    if not noted.is_file():
        write_atomic(noted, str(choose()))
    return Path(noted.read_text(encoding="utf-8"))


def chosen(model: Path | None, inputs: Inputs, scene: Path) -> tuple[Path, str | None]:
    """The bundle of a model, and why that one where nobody named it: the installed one that fits.

    Raises RadiometryError where none does.
    """
    from overcast.bundle.contract import bundle_folder
    from overcast.installed.scenes import model_to_prepare_for

    if model is not None:
        return bundle_folder(model), None
    choice = model_to_prepare_for([scene], prepare_options(inputs).bands)
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


def predict_options(folder: Path, inputs: Inputs, device: str) -> Any:
    """The options of `predict` that a job asks for."""
    from overcast.polygons.footprints import PolygonOptions
    from overcast.scenes.ground import area_of
    from overcast.scenes.predict import PredictOptions
    from overcast.scenes.scene import SceneOptions

    if inputs.area is not None:
        (folder / AREA).write_text(inputs.area.model_dump_json(), encoding="utf-8")
    return PredictOptions(
        scene=SceneOptions(device=device),
        polygons=PolygonOptions(threshold=inputs.threshold, min_area_m2=inputs.min_area_m2),
        area=None if inputs.area is None else area_of(folder / AREA),
        overwrite=True,  # results of a job whose server was killed before it noted them
    )


def teller(say: Say) -> Callable[[str, float, float, float | None], None]:
    """Says how far a stage is, not too often: the last state of each stage always."""
    last = {"at": -EVERY_S}

    def tell(stage: str, done: float, total: float, remaining_s: float | None) -> None:
        now_s = time.monotonic()
        if done >= total or now_s - last["at"] >= EVERY_S:
            last["at"] = now_s
            say({"stage": stage, "done": done, "total": total, "remaining_s": remaining_s})

    return tell


def end_with_server() -> None:
    """End this process in the middle of what it does as soon as the other end of standard input is closed."""

    def watch() -> None:
        sys.stdin.buffer.read()
        os.kill(os.getpid(), signal.SIGKILL)  # what is done is on disk, and goes on from there

    threading.Thread(target=watch, daemon=True).start()


def main(arguments: list[str]) -> int:
    """`FOLDER SCENE MODEL DEVICE`, or `check INPUTS SCENE MODEL`; an empty MODEL is the installed one that fits."""

    def say(value: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(value) + "\n")
        sys.stdout.flush()

    first, second, third, fourth = arguments
    try:
        if first == "check":
            say({"ready": check(Inputs.model_validate_json(second), Path(third), Path(fourth) if fourth else None)})
        else:
            end_with_server()
            say({"result": run(Path(first), Path(second), Path(third) if third else None, fourth, say)})
    except (OvercastError, OSError) as error:
        if not isinstance(error, OvercastError) and not is_environment_error(error):
            raise
        hint = "" if isinstance(error, OvercastError) else f"; {remedy(error)}." if isinstance(error, OSError) else ""
        say({"error": f"{error}{hint}"})
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
