"""The public door: quick to import, complete, and the same as the command line."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from raster_files import write_tiff
from where import ROOT

import overcast as oc
from overcast.errors import ConfigError, InputError, RadiometryError

README = ROOT / "README.md"
TRANSFORM = Affine(1.0, 0.0, 590_000.0, 0.0, -1.0, 5_750_000.0)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SAR image of a simulated dense place of 192 m at 1 m."""
    settings = ["seed=31", "places=0", "scenes=1", "scene_m=192", "gsd_m=1", "city.built_share=0.9"]
    return (
        oc.simulate(tmp_path_factory.mktemp("public") / "city", "demo", settings) / "scenes" / "scene0000" / "sar.tif"
    )


@pytest.fixture(scope="module")
def pixels(scene: Path) -> NDArray[np.float32]:
    """The same as an array (4, 192, 192), with a corner that has no data."""
    with rasterio.open(scene) as dataset:
        values: NDArray[np.float32] = dataset.read(out_dtype="float32")
    values[:, :10, :10] = np.nan
    return values


@pytest.fixture(scope="module")
def prediction(pixels: NDArray[np.float32]) -> oc.Prediction:
    return oc.predict(pixels, transform=TRANSFORM, crs="EPSG:32631")


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, overcast; print({'torch', 'numpy', 'rasterio', 'pydantic', 'pystac'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_every_public_name_exists_and_is_documented():
    assert dir(oc) == sorted(oc.__all__)
    for name in set(oc.__all__) - {"__version__"}:
        assert getattr(oc, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'predictions'"):
        _ = oc.predictions


def test_the_installed_model_says_what_it_needs():
    model = oc.load_model()
    assert model.class_name == "building"
    assert model.inputs[0].bands == ("HH", "HV", "VH", "VV")
    assert "Mapping *building*" in model.card
    assert model.metrics
    assert repr(model) == "Model('buildings-simulated-1m': building from HH, HV, VH, VV in dB at 1 m)"


def test_an_array_gives_probability_and_footprints(prediction: oc.Prediction, pixels: NDArray[np.float32]):
    assert prediction.probability.shape == pixels.shape[1:]
    np.testing.assert_array_equal(np.isnan(prediction.probability), np.isnan(pixels).any(0))
    assert prediction.transform == TRANSFORM
    assert len(prediction.footprints) == prediction.summary.footprint_count
    assert prediction.footprints.crs == prediction.crs == "EPSG:32631"


def test_a_file_gives_what_its_array_gives(prediction: oc.Prediction, pixels: NDArray[np.float32], tmp_path: Path):
    file = write_tiff(tmp_path / "scene.tif", pixels, transform=TRANSFORM)
    declared = {"bands": ["HH", "HV", "VH", "VV"], "unit": "dB", "radar_side": "north"}
    outputs = tmp_path / "map.gpkg", tmp_path / "map.tif"
    again = oc.predict(file, declared=declared, output=outputs)
    assert all(path.is_file() for path in outputs)
    np.testing.assert_array_equal(again.probability, prediction.probability)
    assert oc.score(outputs[0], outputs[0]).instances.f1 == 1


@pytest.mark.parametrize("ending", ["gpkg", "parquet", "geojson"])
def test_footprints_are_saved_in_every_format(prediction: oc.Prediction, tmp_path: Path, ending: str):
    saved = prediction.save(tmp_path / f"saved.{ending}")
    counts = oc.score(saved, prediction.save(tmp_path / "same.gpkg")).instances
    assert (counts.fp, counts.fn) == (0, 0)
    assert counts.tp > 0
    with pytest.raises(InputError, match="exists already"):
        prediction.save(saved)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({saved.name, "same.gpkg"})


def test_probability_is_saved_as_a_raster(prediction: oc.Prediction, tmp_path: Path):
    with rasterio.open(prediction.save(tmp_path / "saved.tif")) as dataset:
        assert dataset.crs == prediction.crs
        assert dataset.shape == prediction.probability.shape


def test_a_plot_shows_probability_and_outlines(prediction: oc.Prediction):
    mpl.use("agg")
    axes = prediction.plot()
    assert axes.images[0].get_extent() == [590_000, 590_192, 5_749_808, 5_750_000]
    assert len(axes.collections) == 1
    assert axes.get_title().startswith(f"{len(prediction.footprints)} footprints")


def test_a_map_to_explore_holds_the_footprints_and_no_folder(prediction: oc.Prediction, scene: Path):
    shown = prediction.explore(scene)._repr_html_()
    assert "map" in shown
    assert str(prediction.folder) not in shown
    assert str(scene.parent) not in shown


def test_an_array_without_a_coordinate_system_has_no_footprints(pixels: NDArray[np.float32]):
    prediction = oc.predict(pixels)
    assert prediction.probability.shape == (192, 192)
    with pytest.raises(InputError, match="no coordinate system"):
        _ = prediction.footprints


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"scene": np.zeros((2, 8, 8))}, RadiometryError, r"shape \(2, 8, 8\) is not \(bands, height, width\)"),
        ({"scene": "scene.tif", "crs": "EPSG:32631"}, ConfigError, "belong to arrays"),
        ({"scene": np.zeros((4, 8, 8)), "output": ["a.tif", "b.tif"]}, ConfigError, "ask for the same output"),
    ],
)
def test_wrong_arguments_are_explained(arguments: dict[str, Any], error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        oc.predict(**arguments)


def test_the_example_of_the_readme_runs(scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    for ending in (".tif", ".yaml"):
        shutil.copy(scene.with_suffix(ending), tmp_path / f"scene{ending}")
    monkeypatch.chdir(tmp_path)
    mpl.use("agg")
    exec(example, {})
    assert (tmp_path / "footprints.gpkg").is_file()
    assert (tmp_path / "map.png").is_file()
