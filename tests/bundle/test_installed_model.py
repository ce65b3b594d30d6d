"""The model that is installed with the package works right after installation, on ground that it never saw."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from typer.testing import CliRunner

from overcast.batch import IGNORE_LABEL
from overcast.bundle.bundle import BUNDLED, ITEM, WEIGHTS, load_bundle
from overcast.bundle.item import model_item
from overcast.choices import WeightStorage
from overcast.cli import app
from overcast.errors import InputError, RadiometryError
from overcast.metrics.pixel import PixelCounts, count_pixels
from overcast.simulator.dataset.folder import simulate_dataset
from overcast.simulator.options import CityOptions, SarOptions, SimulationOptions

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dense place of 384 m with the radar's default nuisances, without a nodata wedge."""
    options = SimulationOptions(
        seed=31,
        places=0,
        scenes=1,
        scene_m=384,
        gsd_m=1.0,
        city=CityOptions(built_share=0.9),
        sar=SarOptions(wedge_share=0),
    )
    return simulate_dataset(tmp_path_factory.mktemp("installed") / "city", options) / "scenes" / "scene0000"


def test_it_is_small_and_says_what_it_is() -> None:
    assert (BUNDLED / WEIGHTS).stat().st_size <= 20e6
    info = load_bundle(BUNDLED).info
    assert info.method.name == "cmhcl"
    assert info.inputs == ("sar",)
    assert info.data.simulated
    assert info.storage is WeightStorage.FLOAT16
    card = (BUNDLED / "README.md").read_text()
    assert "Trained on simulated radar" in card
    assert f"{info.metrics['test sar']['iou']:.4f}" in card
    item = model_item(info.model_dump(mode="json"), WEIGHTS, (BUNDLED / WEIGHTS).stat().st_size)
    assert json.loads((BUNDLED / ITEM).read_text()) == item


def test_predict_without_a_model_finds_buildings_on_unseen_ground(scene: Path, tmp_path: Path) -> None:
    probability = tmp_path / "probability.tif"
    command = ["predict", str(scene / "sar.tif"), "-p", str(probability), "-o", str(tmp_path / "footprints.gpkg")]
    result = CliRunner().invoke(app, command)
    assert result.exception is None, result.output
    assert "trained on simulated radar" in result.output
    with rasterio.open(probability) as found, rasterio.open(scene / "mask.tif") as truth:
        valid = found.dataset_mask() > 0
        values = found.read(1) * found.scales[0] + found.offsets[0]
        counts: PixelCounts = count_pixels(values, np.where(valid, truth.read(1), IGNORE_LABEL))
    assert counts.iou > 0.55


def test_coordinates_of_another_system_are_named(scene: Path, tmp_path: Path) -> None:
    with rasterio.open(scene / "sar.tif") as source, rasterio.open(
        tmp_path / "degrees.tif", "w", **(source.profile | {"crs": "EPSG:4326"})
    ) as sink:  # fmt: skip
        sink.write(source.read())
    command = ["predict", str(tmp_path / "degrees.tif"), "--bands", "HH,HV,VH,VV", "--unit", "dB", "-o", "f.gpkg"]
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, InputError)
    assert "coordinate reference system" in str(result.exception)


def test_other_radar_is_refused_by_name(scene: Path, tmp_path: Path) -> None:
    with rasterio.open(scene / "sar.tif") as source:
        profile = source.profile | {"count": 1}
        with rasterio.open(tmp_path / "hv.tif", "w", **profile) as sink:
            sink.write(source.read([2]))
    command = ["predict", str(tmp_path / "hv.tif"), "--bands", "HV", "--unit", "dB", "-o", str(tmp_path / "f.gpkg")]
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, RadiometryError)
    assert BUNDLED.name in str(result.exception)
