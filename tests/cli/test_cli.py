"""The commands end to end on tiny data: what they print, what they write, and how they fail."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import geopandas
import pytest
import rasterio
import yaml
from conftest import write_tiff
from typer.testing import CliRunner, Result
from where import FIXTURES

from overcast.choices import EvaluatedPart
from overcast.cli import app, main
from overcast.cli.console import Pace
from overcast.config import load_config
from overcast.config.data import build_data
from overcast.data.splits.file import read_split
from overcast.data.splits.parts import Part
from overcast.errors import OvercastError

TILES = FIXTURES / "spacenet6_tiles.csv"
COMMANDS = ["demo", "simulate", "train", "evaluate", "prepare", "predict", "describe", "check-leak"]


def overcast(*arguments: str | Path) -> Result:
    """Run a command in this process; errors that are not the user's are raised."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit | OvercastError):
        raise result.exception
    return result


Fails = Callable[..., str]


@pytest.fixture
def fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Fails:
    """Runs a command as the shell does; it must stop with exit code 2 and one sentence, which is returned."""

    def run(*arguments: str | Path) -> str:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["overcast", *(str(argument) for argument in arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert stopped.value.code == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
        assert len(lines) == 1
        return lines[0]

    return run


@pytest.fixture(scope="module")
def trained(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folders `cmhcl` and `sar`, trained for a few steps by the command itself."""
    root = tmp_path_factory.mktemp("trained")
    for method in ("cmhcl", "sar"):
        settings = [f"data.root={tiny_folder}", "data.split={by: places}", f"method.name={method}"]
        settings += [
            "network={preset: tiny, pretrained: false}",
            "training={steps: 4, round_steps: 2, batch_size: 4, crop: 64}",
        ]
        config = root / f"{method}.yaml"
        config.write_text(yaml.safe_dump({"data": {"root": str(tiny_folder)}}), encoding="utf-8")
        sets = [part for setting in settings for part in ("--set", setting)]
        assert overcast("train", config, "-o", root / method, *sets).exit_code == 0
    return root


def scene_of(tiny_folder: Path) -> Path:
    return sorted((tiny_folder / "sar").glob("*.tif"))[0]


def declared(*, bands: str = "HH,HV", unit: str = "dB") -> list[str]:
    return ["--bands", bands, "--unit", unit, "--nodata", "0"]


def test_help_imports_nothing_heavy() -> None:
    heavy = ("torch", "rasterio", "lightning", "numpy", "pystac")
    check = f"import sys, overcast.cli; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_part_to_evaluate_is_a_part_of_the_split() -> None:
    assert set(EvaluatedPart) < set(Part)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_has_an_example(command: str) -> None:
    assert f"overcast {command}" in " ".join(overcast(command, "--help").stdout.replace("│", " ").split())


@pytest.mark.parametrize(("side", "train", "test"), [("east", 2351, 705), ("north", 2470, 788)])
def test_splits_from_corners_alone(side: str, train: int, test: int) -> None:
    described = json.loads(overcast("splits", "spacenet6", "--tiles", TILES, "--split", side, "--json").stdout)
    assert (described["counts"]["train"], described["counts"]["test"]) == (train, test)
    assert described["shared_ground_m2"] == 0


def test_check_leak_reports_the_naive_split(tmp_path: Path, fails: Fails) -> None:
    naive = tmp_path / "naive.csv"
    overcast("splits", "spacenet6", "--tiles", TILES, "--split", "east", "--naive", "-o", naive)
    result = overcast("check-leak", naive, "--tiles", TILES, "--json")
    found = json.loads(result.stdout)["between"]["train and test"]
    assert found["tiles"] == 337
    assert found["shared_ground_km2"] == pytest.approx(3.08, abs=0.005)
    assert "337 of 2696" in fails("check-leak", naive, "--tiles", TILES)


def test_check_leak_passes_a_clean_split(tmp_path: Path) -> None:
    clean = tmp_path / "clean.json"
    overcast("splits", "spacenet6", "--tiles", TILES, "-o", clean)
    assert overcast("check-leak", clean, "--tiles", TILES).exit_code == 0


def test_folder_split_is_written_and_read_back(tiny_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "split.csv"
    shares = ["--test-share", "0.3", "--validation-share", "0.2"]
    assert overcast("splits", "folder", tiny_folder, "--block-m", "500", *shares, "-o", path).exit_code == 0
    assert overcast("check-leak", path, "--root", tiny_folder).exit_code == 0


def test_the_split_of_a_configuration_is_the_one_that_training_uses(tiny_folder: Path, tmp_path: Path) -> None:
    content = {"data": {"root": str(tiny_folder), "split": {"by": "places", "test_share": 0.25, "seed": 3}}}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(content))
    path = tmp_path / "split.json"
    overcast("splits", "config", tmp_path / "run.yaml", "--set", "data.split.validation_share=0.25", "-o", path)
    asked = load_config(tmp_path / "run.yaml", ["data.split.validation_share=0.25"])
    assert read_split(path).counts == build_data(asked.data)[1].counts
    assert read_split(path).test == build_data(asked.data)[1].test


def test_simulate_writes_a_folder_data_set_that_splits_read(tmp_path: Path) -> None:
    sets = ["--set", "place_m=64", "--set", "chip_px=64", "--set", "city.margin_m=16"]
    result = overcast("simulate", "-o", tmp_path / "city", "--preset", "demo", "--places", "2", "--scenes", "0", *sets,
                      "--workers", "1")  # fmt: skip
    assert result.exit_code == 0
    assert len(list((tmp_path / "city" / "sar").glob("*.tif"))) == 2
    assert yaml.safe_load((tmp_path / "city" / "dataset.yaml").read_text())["class_name"] == "building"


def test_train_then_evaluate_with_each_modality(trained: Path, tmp_path: Path) -> None:
    names = "sar,both,optical,both-optical-zero,both-optical-mean"
    output = tmp_path / "evaluation"
    result = overcast("evaluate", trained / "cmhcl", trained / "sar", "-o", output, "--modalities", names, "--json")
    rows = json.loads(result.stdout)
    assert [row["modalities"] for row in rows if row["method"] == "cmhcl"] == names.split(",")
    assert [row["modalities"] for row in rows if row["method"] == "sar"] == ["sar"]
    assert all(0 <= row["iou"] <= 1 for row in rows)
    page = (output / "report.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert not re.search(r"https?://(?!www\.w3\.org)", page)
    assert (output / "results.csv").read_text(encoding="utf-8").count("\n") == 1 + len(rows)
    tables = (output / "report.md").read_text(encoding="utf-8")
    difference = next(row["iou"] for row in rows if row["method"] == "cmhcl") - rows[-1]["iou"]
    assert f"| cmhcl minus sar | {difference:+.3f} |" in tables
    assert "sar cannot work from both, only from sar: left out" in tables
    assert (output / "tables.tex").read_text(encoding="utf-8").count("\\begin{tabular}") == tables.count("### ")


def test_evaluating_again_computes_nothing_anew(trained: Path, tmp_path: Path) -> None:
    overcast("evaluate", trained / "sar", "-o", tmp_path)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "results").iterdir()}
    overcast("evaluate", trained / "sar", "-o", tmp_path)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "results").iterdir()} == kept
    assert kept


def test_predict_writes_polygons_and_probability(trained: Path, tiny_folder: Path, tmp_path: Path) -> None:
    scene, polygons, raster = scene_of(tiny_folder), tmp_path / "a.gpkg", tmp_path / "a.tif"
    arguments: list[str | Path] = [
        scene,
        "--model",
        trained / "cmhcl",
        "-o",
        polygons,
        "-p",
        raster,
        "--threshold",
        "0.3",
        "--json",
    ]
    result = overcast("predict", *arguments, *declared())
    found = geopandas.read_file(polygons, layer="a")
    assert len(found) == json.loads(result.stdout)["footprint_count"]
    assert found.crs == "EPSG:32631"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gpkg", "a.qml", "a.stac.json", "a.tif"]
    with rasterio.open(raster) as written, rasterio.open(scene) as read:
        assert (written.transform, written.shape) == (read.transform, read.shape)


def test_predict_passes_the_options_of_outlines_on(trained: Path, tiny_folder: Path, tmp_path: Path) -> None:
    polygons = tmp_path / "a.geojson"
    arguments: list[str | Path] = [
        scene_of(tiny_folder),
        "-m",
        trained / "cmhcl",
        "-o",
        polygons,
        "--threshold",
        "0.3",
        "--set",
        "style=false",
    ]
    arguments += ["--outlines", "strict", "--set", "separate=watershed"]
    arguments += ["--set", "calibrated=false", "--set", "acquired=2019-08-04"]
    overcast("predict", *arguments, *declared())
    about = json.loads((tmp_path / "a.stac.json").read_text(encoding="utf-8"))["properties"]
    assert about["overcast:outlines"] == "strict"
    assert about["overcast:separate"] == "watershed"
    assert about["overcast:model"]["calibration_temperature"] is None
    assert about["datetime"] == "2019-08-04T00:00:00Z"
    assert not (tmp_path / "a.qml").exists()


def test_describe_counts_what_is_deployed(trained: Path) -> None:
    described = json.loads(overcast("describe", trained / "cmhcl", "--json").stdout)
    assert described["deployed"]["inputs"] == ["sar"]
    assert described["deployed"]["parameters"] < described["trained"]["parameters"]
    assert {branch["name"] for branch in described["branches"] if not branch["deployed"]}


def test_describe_works_from_a_configuration_without_data() -> None:
    described = json.loads(overcast("describe", "configs/spacenet6-east.yaml", "--json", "--size-px", "64").stdout)
    assert described["network"]["encoder"] == "resnet50"


# Bad input: one sentence, exit code 2, nothing written.


def test_bundle_for_other_bands_is_refused(trained: Path, tiny_folder: Path, tmp_path: Path, fails: Fails) -> None:
    scene = scene_of(tiny_folder)
    arguments = ["predict", scene, "-m", trained / "sar", "-o", tmp_path / "a.gpkg"]
    sentence = fails(*arguments, *declared(bands="VV,VH"))
    assert "[HH, HV]" in sentence
    assert "[VV, VH]" in sentence
    assert not list(tmp_path.iterdir())


def test_missing_band(trained: Path, tiny_folder: Path, tmp_path: Path, fails: Fails) -> None:
    with rasterio.open(scene_of(tiny_folder)) as dataset:
        write_tiff(tmp_path / "one.tif", dataset.read([1]))
    arguments: list[str | Path] = [
        "predict",
        tmp_path / "one.tif",
        "-m",
        trained / "sar",
        "-o",
        tmp_path / "a.gpkg",
        *declared(),
    ]
    assert "one.tif" in fails(*arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["one.tif"]


def test_truncated_scene(trained: Path, tiny_folder: Path, tmp_path: Path, fails: Fails) -> None:
    broken = tmp_path / "broken.tif"
    content = scene_of(tiny_folder).read_bytes()
    broken.write_bytes(content[: len(content) // 2])
    arguments = ["predict", broken, "-m", trained / "sar", "-o", tmp_path / "a.gpkg", *declared()]
    assert "broken.tif" in fails(*arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["broken.tif"]


def test_scene_without_crs(trained: Path, tiny_folder: Path, tmp_path: Path, fails: Fails) -> None:
    with rasterio.open(scene_of(tiny_folder)) as dataset:
        profile = {**dataset.profile, "crs": None}
        with rasterio.open(tmp_path / "nowhere.tif", "w", **profile) as copy:
            copy.write(dataset.read())
    arguments: list[str | Path] = [
        "predict",
        tmp_path / "nowhere.tif",
        "-m",
        trained / "sar",
        "-o",
        tmp_path / "a.gpkg",
    ]
    assert "coordinate reference system" in fails(*arguments, *declared(), "--set", "gsd_m=0.5")
    unnamed = overcast(*arguments[:-2], *declared(), "--set", "gsd_m=0.5")
    assert isinstance(unnamed.exception, OvercastError)
    assert "footprints go to" not in unnamed.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["nowhere.tif"]


def test_footprints_without_a_name_go_beside_the_scene(trained: Path, tiny_folder: Path, tmp_path: Path) -> None:
    scene = shutil.copy(scene_of(tiny_folder), tmp_path / "scene.tif")
    result = overcast("predict", scene, "-m", trained / "sar", *declared())
    assert result.exit_code == 0
    assert result.stderr.count(f"footprints go to {tmp_path / 'scene.footprints.gpkg'}\n") == 1
    assert (tmp_path / "scene.footprints.gpkg").is_file()


def test_scene_without_data_gives_valid_empty_output(trained: Path, tiny_folder: Path, tmp_path: Path) -> None:
    with rasterio.open(scene_of(tiny_folder)) as dataset:
        write_tiff(tmp_path / "empty.tif", dataset.read() * 0)
    result = overcast("predict", tmp_path / "empty.tif", "-m", trained / "sar", "-o", tmp_path / "a.gpkg", *declared())
    assert result.exit_code == 0
    assert "no data" in result.stdout
    found = geopandas.read_file(tmp_path / "a.gpkg", layer="a")
    assert len(found) == 0
    assert "confidence" in found.columns


def test_misspelt_key_names_the_nearest(tiny_folder: Path, tmp_path: Path, fails: Fails) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(f"data: {{root: {tiny_folder}}}\ntraining: {{stepz: 4}}\n", encoding="utf-8")
    sentence = fails("train", config, "-o", tmp_path / "run")
    assert "training.stepz" in sentence
    assert "training.steps" in sentence
    assert not (tmp_path / "run").exists()


def test_unknown_modality_names_the_choices(trained: Path, tmp_path: Path, fails: Fails) -> None:
    arguments = ["evaluate", trained / "sar", "-o", tmp_path / "e", "--modalities", "radar"]
    assert "both-optical-zero" in fails(*arguments)
    assert not (tmp_path / "e").exists()


@pytest.fixture
def damaged(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny data set, to be spoilt."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "data"))


def train_arguments(root: Path, output: Path) -> list[str | Path]:
    sets = [f"data.root={root}", "data.split={by: places}", "network={preset: tiny, pretrained: false}"]
    sets += ["training={steps: 2, round_steps: 2, batch_size: 4, crop: 64}"]
    return ["train", "configs/simulated.yaml", "-o", output, *(part for text in sets for part in ("--set", text))]


def test_mask_with_other_values(damaged: Path, tmp_path: Path, fails: Fails) -> None:
    for mask in (damaged / "masks").glob("*.tif"):
        with rasterio.open(mask, "r+") as dataset:
            dataset.write(dataset.read() * 7)
    sentence = fails(*train_arguments(damaged, tmp_path / "run"))
    assert "masks" in sentence
    assert "7" in sentence
    assert not (tmp_path / "run" / "checkpoints").exists()
    assert not (tmp_path / "run" / "bundle").exists()


def test_optical_and_sar_on_different_grids_offers_the_command(damaged: Path, tmp_path: Path, fails: Fails) -> None:
    optical = sorted((damaged / "optical").glob("*.tif"))[0]
    with rasterio.open(optical) as dataset:
        values = dataset.read()
    write_tiff(optical, values, left=590_003)
    sentence = fails(*train_arguments(damaged, tmp_path / "run"))
    assert "gdalwarp" in sentence
    assert optical.name in sentence
    assert not (tmp_path / "run").exists()


def test_time_left_is_that_of_the_stage() -> None:
    times = iter([0.0, 10.0, 20.0, 120.0])
    pace = Pace(lambda: next(times))
    assert pace.after_one("trials", 1) == "0:00:10 elapsed, about 0:00:10 left for the trials"
    assert pace.after_one("trials", 0) == "0:00:20 elapsed"
    assert pace.after_one("runs", 3) == "0:02:00 elapsed, about 0:05:00 left for the runs"
