"""The Processing script for QGIS: its command line without QGIS, a run by `qgis_process` where that is installed."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import geopandas as gpd
import numpy as np
import pytest
import typer
from affine import Affine
from raster_files import write_tiff

import overcast
from overcast.choices import Outlines
from overcast.cli import app
from overcast.lifesigns import State
from overcast.progress import ProgressStage
from overcast.raster.units import RadarSide, Unit

SCRIPT = Path(__file__).parents[1] / "integrations" / "qgis" / "overcast_predict.py"
QGIS_PROCESS = shutil.which("qgis_process.bin") or shutil.which("qgis_process")
"""Debian's `qgis_process` hands on an option that the program does not know; `.bin` is the program."""


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, with something that stands for QGIS."""
    core = MagicMock(QgsProcessingAlgorithm=object, QgsProcessingLayerPostProcessorInterface=object)
    monkeypatch.setitem(sys.modules, "qgis", MagicMock(core=core))
    spec = importlib.util.spec_from_file_location("overcast_predict", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def understood(command: list[str]) -> dict[str, Any]:
    """What `overcast` makes of a command line."""
    group: Any = typer.main.get_command(app)
    with group.commands[command[1]].make_context("predict", command[2:]) as context:
        return {name: value for name, value in context.params.items() if value not in (None, False, [], ())}


def test_the_command_line_is_one_that_overcast_understands(script: ModuleType) -> None:
    request = script.Request(
        scene="-odd name.tif",
        footprints="out/town.gpkg",
        probability="out/town.tif",
        model="runs/town",
        area="-71.5,-33,-71,-32.5",
        optical=("west.tif", "east one.tif"),
        clouds="clouds.tif",
        bands="HH,HV",
        unit="dB",
        radar_side="east",
        threshold=0.25,
        min_area_m2=4,
        outlines="off",
        further="--device cpu --set 'acquired=2026-01-02 03:04' --set tile=512",
    )
    assert understood(script.command_line("overcast", request)) == {
        "scene": ["-odd name.tif"],
        "output": Path("out/town.gpkg"),
        "probability": Path("out/town.tif"),
        "model": "runs/town",
        "area": "-71.5,-33,-71,-32.5",
        "optical": ["west.tif", "east one.tif"],
        "clouds": "clouds.tif",
        "bands": "HH,HV",
        "unit": Unit.DECIBEL,
        "radar_side": RadarSide.EAST,
        "threshold": 0.25,
        "min_area_m2": 4.0,
        "outlines": Outlines.OFF,
        "overwrite": True,
        "device": "cpu",
        "sets": ["acquired=2026-01-02 03:04", "tile=512"],
    }


def test_what_is_not_said_is_left_to_overcast(script: ModuleType) -> None:
    command = script.command_line("overcast", script.Request("scene.tif", "town.gpkg", model="", unit=""))
    assert [word.partition("=")[0] for word in command if word.startswith("--")] == [
        "--output", "--threshold", "--min-area-m2", "--outlines", "--overwrite", "--"
    ]  # fmt: skip


def test_choices_are_those_of_overcast(script: ModuleType) -> None:
    assert set(script.UNITS) == set(Unit)
    assert set(script.SIDES) == set(RadarSide)
    assert set(script.OUTLINES) == set(Outlines)
    assert set(script.STAGES) == set(ProgressStage)


def test_lines_of_progress_are_understood(script: ModuleType) -> None:
    percent = [script.percent_of(State(stage, "km²", 1.5, 3.0).line(9.0)) for stage in ProgressStage]
    assert percent == sorted(percent)
    assert percent[0] == pytest.approx(42.5)
    assert script.percent_of("581 footprints in town.gpkg") is None
    assert script.percent_of(State("predict", "km²").line(9.0)) is None


def test_errors_are_the_sentence_of_overcast(script: ModuleType) -> None:
    assert script.complaint(["model x", "error: no such file; copy it.", ""], 2) == "no such file; copy it."
    box = ["Usage: overcast", "╭─ Error ──╮", "│ No such option: --x │", "╰──────╯"]
    assert script.complaint(box, 2) == "overcast ended with code 2: No such option: --x"
    assert script.complaint([], -9) == "overcast ended with code -9: it said nothing"


def test_variables_of_qgis_do_not_reach_overcast(script: ModuleType) -> None:
    found = script.own_environment({"PYTHONHOME": "/qgis", "PROJ_LIB": "/qgis/proj", "HOME": "/home/me"})
    assert (found["HOME"], "PYTHONHOME" in found, "PROJ_LIB" in found) == ("/home/me", False, False)


def test_lines_are_handed_on_and_a_cancelled_process_ends(script: ModuleType) -> None:
    lines: list[str] = []
    program = "print('error: größer'); raise SystemExit(2)"
    assert script.run_overcast([sys.executable, "-c", program], lines.append, lambda: False) == (2, lines)
    assert lines == ["error: größer"]
    lines.clear()
    program = "import time; print('begun'); time.sleep(600)"
    code, said = script.run_overcast([sys.executable, "-c", program], lines.append, lambda: bool(lines))
    assert code != 0
    assert said == lines == ["begun"]
    with pytest.raises(OSError, match="nowhere"):
        script.run_overcast(["/nowhere/overcast"], lines.append, lambda: False)


@pytest.fixture
def town(tmp_path: Path) -> Path:
    """A scene of 96 m for the installed model: noise with bright blocks."""
    values = np.random.default_rng(0).normal((30, 35, 32, 29), 8, (96, 96, 4)).transpose(2, 0, 1)
    values[:, 30:50, 30:60] += 18
    place = Affine(1, 0, 593000, 0, -1, 5750000)
    scene = write_tiff(tmp_path / "scene one.tif", values.astype(np.float32), place)
    scene.with_suffix(".yaml").write_text("{bands: [HH, HV, VH, VV], unit: dB, gsd_m: 1.0, radar_side: north}\n")
    return scene


def in_qgis(folder: Path, *parameters: str) -> subprocess.CompletedProcess[str]:
    """Run the script by `qgis_process` with a profile of its own."""
    scripts = folder / "profile" / "profiles" / "default" / "processing" / "scripts"
    scripts.mkdir(parents=True, exist_ok=True)
    shutil.copy(SCRIPT, scripts)
    command = folder / "overcast"
    package = Path(overcast.__file__).parents[1]
    command.write_text(f'#!/bin/sh\nPYTHONPATH="{package}" exec "{sys.executable}" -m overcast "$@"\n')
    command.chmod(0o755)
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700, exist_ok=True)
    own = {"QT_QPA_PLATFORM": "offscreen", "XDG_RUNTIME_DIR": str(runtime), "OVERCAST": str(command)}
    own |= {"QGIS_CUSTOM_CONFIG_PATH": str(folder / "profile"), "XDG_CACHE_HOME": str(folder / "cache")}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    words = [str(QGIS_PROCESS), "run", "script:overcast_predict", "--", *parameters]
    return subprocess.run(words, env=kept | own, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.skipif(QGIS_PROCESS is None, reason="QGIS is not installed")
def test_qgis_process_maps_a_scene_and_tells_errors(town: Path, tmp_path: Path) -> None:
    made = tmp_path / "made.gpkg"
    scene, extent = f"SCENE={town}", "EXTENT=593000,593064,5749936,5750000 [EPSG:32631]"
    done = in_qgis(tmp_path, scene, extent, f"FOOTPRINTS={made}", "THRESHOLD=0.01", "MIN_AREA_M2=0", "RADAR_SIDE=north")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d+ footprints in .*made\.gpkg", done.stdout + done.stderr)
    found = gpd.read_file(made, layer="made")
    assert found.crs == "EPSG:32631"
    assert len(found) > 0
    assert found.total_bounds[2] <= 593064
    failed = in_qgis(tmp_path, scene, f"FOOTPRINTS={made}", f"MODEL={tmp_path / 'none'}")
    assert failed.returncode != 0
    assert "none is neither a folder nor an installed model" in failed.stdout + failed.stderr
