"""`--area` and `--optical` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from raster_files import write_tiff
from typer.testing import CliRunner

from overcast.cli import app

CRS = "EPSG:32631"
GRID = Affine(1, 0, 593000, 0, -1, 5750000)
SAID = ["--bands", "HH,HV,VH,VV", "--unit", "dB", "--radar-side", "north", "--set", "threads=1"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Speckle with bright blocks, for the installed model."""
    rng = np.random.default_rng(0)
    values = rng.normal(-14, 3, (4, 130, 150))
    for row, col in rng.integers(0, 100, (8, 2)):
        values[:, row : row + 20, col : col + 25] += 12
    return write_tiff(tmp_path_factory.mktemp("scene") / "scene.tif", values.astype(np.float32), GRID, CRS)


def overcast(*arguments: object) -> tuple[int, str]:
    found = CliRunner().invoke(app, [str(one) for one in arguments])
    return found.exit_code, found.output + (str(found.exception) if found.exception else "")


def test_an_area_of_one_scene_and_of_many(scene: Path, tmp_path: Path) -> None:
    code, said = overcast("predict", scene, *SAID, "-p", tmp_path / "whole.tif", "--set", "stac=false")
    assert code == 0, said
    area = "593020,5749920,593100,5749990"
    code, said = overcast("predict", scene, *SAID, "-p", tmp_path / "part.tif", "--area", area, "--json")
    assert code == 0, said
    with rasterio.open(tmp_path / "whole.tif") as whole, rasterio.open(tmp_path / "part.tif") as part:
        np.testing.assert_array_equal(part.read(1), whole.read(1)[10:80, 20:100])
    folder = tmp_path / "scenes"
    folder.mkdir()
    (folder / "here.tif").write_bytes(scene.read_bytes())
    write_tiff(folder / "far.tif", np.ones((4, 8, 8), np.float32), GRID @ Affine.translation(9000, 0), CRS)
    code, said = overcast("map", folder, *SAID, "-o", tmp_path / "maps", "--area", area)
    assert code == 0, said
    assert "far is left out: it does not meet the area" in said
    assert "1 scenes do not meet the area" in said
    assert json.loads((tmp_path / "maps" / "here.stac.json").read_text())["properties"]["overcast:area"] == area


def test_an_area_is_prepared(scene: Path, tmp_path: Path) -> None:
    said = ["--bands", "HH,HV,VH,VV", "--unit", "dB", "--radar-side", "north", "--level", "keep"]
    code, told = overcast(
        "prepare", scene, *said, "-o", tmp_path / "part.tif", "--area", "593020,5749920,593100,5749990"
    )
    assert code == 0, told
    assert "area 593020,5749920,593100,5749990: from row 10 and column 20" in told
    with rasterio.open(scene) as whole, rasterio.open(tmp_path / "part.tif") as part:
        np.testing.assert_array_equal(part.read(), whole.read()[:, 10:80, 20:100])


@pytest.mark.parametrize(
    ("options", "meant"),
    [
        (["--area", "1,2,3"], "has 3 numbers, not four"),
        (["--area", "0,0,1,1"], "lies outside of"),
        (["--optical", "image.tif"], "has no optical branch"),
        (["--clouds", "mask.tif"], "no optical image"),
        (["--optical", "image.tif", "--set", "cloud_values=[3]"], "no cloud mask"),
        (["--optical", "image.tif", "--clouds", "m.tif", "--set", "cloud_values=[a]"], "valid integer"),
        (["--set", "mixing=blend"], "name it with --optical"),
    ],
)
def test_mistakes_are_one_sentence(scene: Path, tmp_path: Path, options: list[str], meant: str) -> None:
    code, said = overcast("predict", scene, *SAID, "-p", tmp_path / "p.tif", *options)
    assert code != 0
    assert meant in " ".join(said.split())


def test_an_optical_image_of_one_scene_and_of_many(cmhcl_run: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    grid = GRID @ Affine.scale(0.5)
    scene = write_tiff(tmp_path / "radar" / "a.tif", rng.normal(25, 6, (2, 64, 96)).astype(np.float32), grid, CRS)
    image = write_tiff(tmp_path / "ortho" / "a.tif", rng.integers(60, 140, (3, 64, 96)).astype(np.uint8), grid, CRS)
    mask = write_tiff(
        tmp_path / "mask" / "a.tif", np.repeat(np.array([[0, 9]], np.uint8), 48, 1).repeat(64, 0), grid, CRS
    )
    said = ["--model", cmhcl_run, "--bands", "HH,HV", "--unit", "dB", "--radar-side", "north", "--set", "threads=1"]
    said += ["--clouds", mask.parent, "--set", "cloud_values=[9]"]
    one = ["--clouds", mask, "--set", "cloud_values=[9]", "--optical", image, "-o", tmp_path / "f.gpkg", "--json"]
    code, told = overcast("predict", scene, *said[:-4], *one, "--set", "mixing=features", "--threshold", "0.01")
    assert code == 0, told
    assert json.loads(told[told.index("{") :])["optical_share"] == 0.5
    assert "optical_share" in gpd.read_file(tmp_path / "f.gpkg", layer="f").columns
    many = ["-o", tmp_path / "maps", "--optical", image.parent]
    code, told = overcast("map", scene.parent, *said, *many)
    assert code == 0, told
    properties = json.loads((tmp_path / "maps" / "a.stac.json").read_text())["properties"]
    assert properties["overcast:optical_share"] == 0.5
    assert properties["overcast:mixing"] == "blend"
