"""Networks in 8 bits: what is quantised, what it loses, and what is refused."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from runtime_cases import deployable
from test_predict import SENSOR, probabilities, speckle, write_scene
from torch import nn
from typer.testing import CliRunner

from overcast.arithmetic import AUTO, Precision
from overcast.batch import Modality
from overcast.cli import app
from overcast.config import load_config
from overcast.errors import ConfigError
from overcast.raster.radiometry import BandStatistics
from overcast.raster.sources import RasterioSource
from overcast.runtime.exports import exported
from overcast.runtime.fitting import fitted
from overcast.runtime.int8 import Tiles, kept_in_float, points_lost, quantised, ranges_of
from overcast.runtime.options import Runtime, RuntimeOptions, TileShape
from overcast.runtime.prepare import prepare
from overcast.scenes.export_int8 import export_int8
from overcast.scenes.fitting_tiles import fitting_tiles
from overcast.scenes.job import PredictOptions
from overcast.scenes.model import SceneModel
from overcast.scenes.predict import predict_file
from overcast.scenes.scene import SceneOptions

pytestmark = pytest.mark.usefixtures("one_thread")

STATISTICS = BandStatistics(mean=(24.0, 24.0), std=(8.0, 8.0))
SHAPE = TileShape(1, 2, 64, 64)
OPTIONS = RuntimeOptions(Runtime.OPENVINO, Precision.INT8)


class Bright(nn.Module):
    """Three convolutions and a depthwise one that find what is bright."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(2, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1, groups=8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 1, 1),
        ).eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = 4 * x.mean(1, keepdim=True) + 0.1 * self.layers(x)
        return logits


class Loud(Bright):
    """One channel among eight is a thousand times as large as what decides: 8 bits cannot hold both."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = torch.cat([1000 + 500 * x[:, :1], x], 1)
        same, pick = torch.eye(3)[..., None, None], torch.tensor([0.0, 2.0, 2.0])[None, :, None, None]
        hidden = nn.functional.conv2d(nn.functional.conv2d(seen, same), same)
        logits: torch.Tensor = nn.functional.conv2d(hidden, pick)
        return logits


MODEL = SceneModel(Bright(), SENSOR, STATISTICS, Modality.SAR, "building", "city", "0" * 64, "CC0-1.0")


@pytest.fixture(autouse=True, scope="module")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Exports are made once for this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    values = speckle(320, 384)
    values[:, 200:260] = np.nan
    return write_scene(tmp_path_factory.mktemp("scene") / "scene.tif", values)


def tiles_of(scene: Path, side: int = 64) -> Tiles:
    with RasterioSource.open([scene], SENSOR) as source:
        return fitting_tiles(source, STATISTICS, scene.name, side=side)


def test_weights_are_bytes_but_where_they_would_spoil_the_result(scene: Path) -> None:
    exact = exported(Bright(), SHAPE, keep=True)
    tiles = tiles_of(scene)
    model = onnx.load_from_string(quantised(exact, ranges_of(exact, tiles.fitting)))
    sources = {name: node for node in model.graph.node for name in node.output}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    eight_bit = [sources.get(node.input[1], node).op_type == "DequantizeLinear" for node in convolutions]
    assert eight_bit == [False, False, True, True, False]  # the image's, the depthwise one, two, the logits'
    assert len(kept_in_float(onnx.load_from_string(exact))) < len(onnx.load_from_string(exact).graph.node)
    assert next(iter(onnx.load_from_string(exact).metadata_props)) in model.metadata_props


@pytest.mark.parametrize("runtime", [Runtime.OPENVINO, Runtime.ONNXRUNTIME])
def test_a_fitted_network_decides_as_the_exact_one_for_any_tile_size(scene: Path, runtime: Runtime) -> None:
    said: list[str] = []
    network, tiles = Bright(), tiles_of(scene)
    made = fitted(network, replace(OPTIONS, runtime=runtime), tiles, said.append)
    x = torch.randn(1, 2, 96, 160, generator=torch.Generator().manual_seed(2))
    copied = pickle.loads(pickle.dumps(made))
    with torch.inference_mode():
        found, again, expected = made(x), copied(x), network(x)
    assert found.equal(again)
    assert not found.equal(expected)
    assert ((found > 0) != (expected > 0)).float().mean() < 0.01
    assert len(said) == 1
    assert f"by {len(tiles.values) // 2} tiles of scene.tif" in said[0]


def test_a_network_that_loses_too_much_is_refused_with_the_figure(scene: Path) -> None:
    with pytest.raises(ConfigError, match=r"int8 would cost [1-9]\d*\.\d\d IoU points by .* more than 0\.2"):
        fitted(Loud(), OPTIONS, tiles_of(scene))


def test_the_loss_is_the_fall_of_the_expected_overlap() -> None:
    share = np.array([[[0.9, 0.8, 0.6, 0.1]]], np.float32)
    everywhere = np.ones(share.shape, bool)
    found = np.array([[[0.9, 0.8, 0.4, 0.1]]], np.float32)
    exact, fewer = 2.3 / (3 + 2.4 - 2.3), 1.7 / (2 + 2.4 - 1.7)
    assert points_lost(share, found, everywhere) == pytest.approx(100 * (exact - fewer), abs=1e-4)
    assert points_lost(share, found, everywhere & (share != np.float32(0.6))) == 0
    assert points_lost(share * 0, share * 0, everywhere) == 0


def test_tiles_have_data_and_are_always_the_same(scene: Path) -> None:
    first, second = tiles_of(scene), tiles_of(scene)
    assert np.array_equal(first.values, second.values)
    assert first.valid.mean((1, 2)).min() >= 0.5
    assert first.values.shape[1:] == (2, 64, 64)
    assert (first.values[~np.broadcast_to(first.valid[:, None], first.values.shape)] == 0).all()
    with pytest.raises(ConfigError, match="has data for 2 tiles only, int8 needs 4"):
        tiles_of(scene, side=192)


@pytest.fixture
def mapped(scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a scene is mapped in 8 bits, by tiles of 64 px."""
    monkeypatch.setattr("overcast.scenes.fitting_tiles.fitting_tiles.__kwdefaults__", {"side": 64, "count": 32})
    return tmp_path


def test_a_scene_is_mapped_in_int8_only_where_it_is_asked_for(scene: Path, mapped: Path) -> None:
    options = SceneOptions(tile=128, overlap=32, margin=8, precision=Precision.INT8, device=AUTO, runtime=Runtime.AUTO)
    notes: list[str] = []
    for name in ("a.tif", "b.tif"):
        summary = predict_file(
            [scene],
            MODEL,
            sensor=SENSOR,
            probability=mapped / name,
            options=PredictOptions(scene=options, style=False, stac=False),
            progress=lambda state: notes.append(state.note or ""),
        )
        assert summary.runtime.startswith("openvino")
        assert ", int8, cpu" in summary.runtime
    assert any("int8 costs about 0.0" in note for note in notes)
    found = probabilities(mapped / "a.tif")
    assert np.array_equal(found, probabilities(mapped / "b.tif"), equal_nan=True)
    predict_file(
        [scene],
        MODEL,
        sensor=SENSOR,
        probability=mapped / "exact.tif",
        options=PredictOptions(scene=replace(options, precision=Precision.FP32), style=False, stac=False),
    )
    exact = probabilities(mapped / "exact.tif")
    assert np.array_equal(np.isnan(found), np.isnan(exact))
    assert np.nanmean((found > 0.5) != (exact > 0.5)) < 0.01


def test_int8_is_refused_where_it_cannot_be(tiny_sets: list[str]) -> None:
    with pytest.raises(ConfigError, match="by the runtimes openvino and onnxruntime"):
        RuntimeOptions(Runtime.EAGER, Precision.INT8)
    with pytest.raises(ConfigError, match="by the runtimes openvino and onnxruntime"):
        RuntimeOptions(Runtime.AUTO, Precision.INT8, device="cuda")
    with pytest.raises(ConfigError, match="fitted to tiles of the scene"):
        prepare(Bright(), SHAPE, 1, OPTIONS)
    with pytest.raises(ConfigError, match="int8 is for mapping alone"):
        load_config(None, [*tiny_sets, "training.precision=int8"])


def test_an_export_in_int8_says_what_it_costs(scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    model = replace(MODEL, network=deployable("SingleNetwork"))
    scene.with_suffix(".yaml").write_text("bands: [HH, HV]\nunit: dB\n")
    made = export_int8(replace(model, network=Bright()), tmp_path / "small.onnx", [scene], tile=64)
    session = onnxruntime.InferenceSession(tmp_path / "small.onnx", providers=["CPUExecutionProvider"])
    facts = {key: json.loads(value) for key, value in session.get_modelmeta().custom_metadata_map.items()}
    assert facts["overcast_precision"] == "int8"
    assert facts["overcast_int8_points_lost"] == pytest.approx(made.points_lost, abs=1e-4)
    assert facts["overcast_int8_judged_by"] == f"{made.tiles} tiles of scene.tif"
    assert facts["tiles_size"] == 64
    monkeypatch.setattr(SceneModel, "of", lambda *_, **__: replace(model, network=Loud()))
    sets = ["export", "-o", str(tmp_path / "loud.onnx"), "--tile", "64"]
    result = CliRunner().invoke(app, [*sets, "--precision", "int8", "--calibrate", str(scene)])
    assert isinstance(result.exception, ConfigError)
    assert "IoU points" in str(result.exception)
    assert not (tmp_path / "loud.onnx").exists()
    result = CliRunner().invoke(app, [*sets, "--precision", "int8"])
    assert "belong together" in str(result.exception)
