"""`overcast export`: a file that other programs can feed, and that computes what the model computes."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from runtime_cases import Moody, edges
from typer.testing import CliRunner

from overcast.batch import Modality
from overcast.choices import ImageKind
from overcast.cli import app
from overcast.errors import ConfigError, InputError, OvercastError
from overcast.models.blocks import STRIDE
from overcast.raster.radiometry import BandStatistics, SensorRadiometry, Unit
from overcast.runtime.onnx_export import export_onnx
from overcast.scenes import export
from overcast.scenes.export import ByteRange, export_model
from overcast.scenes.model import SceneModel

pytestmark = pytest.mark.usefixtures("one_thread")

SENSOR = SensorRadiometry(bands=("HH", "HV"), unit=Unit.DECIBEL, nodata=0, gsd_m=0.5)
STATISTICS = BandStatistics(mean=(28.0, 20.0), std=(8.0, 4.0))
MODEL = SceneModel(edges(), SENSOR, STATISTICS, Modality.SAR, "building", "city", "0" * 64, "CC0-1.0")
TILE = 64


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[ImageKind, Path]:
    """An export of each kind."""
    folder = tmp_path_factory.mktemp("exports")
    files = {kind: folder / f"{kind}.onnx" for kind in ImageKind}
    for kind, path in files.items():
        assert export_model(MODEL, path, tile=TILE, kind=kind) < 1e-5
    assert sorted(folder.iterdir()) == sorted(files.values())
    return files


def session(path: Path):
    import onnxruntime

    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def metadata(path: Path) -> dict[str, object]:
    return {key: json.loads(value) for key, value in session(path).get_modelmeta().custom_metadata_map.items()}


def answer(path: Path, image: np.ndarray) -> np.ndarray:
    opened = session(path)
    return opened.run(None, {opened.get_inputs()[0].name: image[None].astype(np.float32)})[0][0, 0]


def expected(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """What scene prediction gives the network, and what it makes of the answer."""
    with torch.inference_mode():
        logits = MODEL.network(torch.from_numpy(STATISTICS.standardise(values, valid))[None])
    return torch.sigmoid(logits[0, 0]).numpy()


def scene() -> tuple[np.ndarray, np.ndarray]:
    values = np.random.default_rng(0).normal(24, 8, (2, TILE, TILE)).astype(np.float32)
    values[:, :10] = 0
    values[1, 20:30, 5:9] = np.nan
    values[0, 40, 40] = np.inf
    return values, SENSOR.valid(values)


def test_pixels_in_the_model_s_unit_give_its_probability(written: dict[ImageKind, Path]):
    values, valid = scene()
    np.testing.assert_allclose(answer(written[ImageKind.UNIT], values), expected(values, valid), atol=1e-5)


def test_bytes_give_its_probability(written: dict[ImageKind, Path]):
    """As Deepness feeds them: divided by 255; compared with the values that the metadata says they stand for."""
    values, valid = scene()
    image = ByteRange.of(MODEL).encode(values, valid)
    facts = metadata(written[ImageKind.BYTES])
    low, high = (np.array(facts[f"overcast_byte_{byte}"])[:, None, None] for byte in (1, 255))
    meant = low + (image.astype(np.float64) - 1) / 254 * (high - low)
    found = answer(written[ImageKind.BYTES], image / 255)
    np.testing.assert_allclose(found, expected(meant.astype(np.float32), valid), atol=1e-5)
    inside = valid & (values > low).all(0) & (values < high).all(0)
    assert np.abs(meant - values)[:, inside].max() <= ((high - low) / 254 / 2).max() * 1.001
    assert (image[:, ~valid] == 0).all()
    assert (image[:, valid] > 0).all()


@example(mean=2.0078125, std=0.5, nodata=0.0, value=0.0)  # nodata less than half a byte below the range
@given(
    mean=st.floats(-30, 60),
    std=st.floats(0.5, 12),
    nodata=st.sampled_from([None, 0.0, -9999.0, 9999.0, np.nan]),
    value=st.floats(-60, 120),
)
def test_bytes_of_gdal_are_those_of_the_export(mean: float, std: float, nodata: float | None, value: float):
    """GDAL scales linearly, rounds, and cuts to 0 .. 255: nodata below the range becomes 0."""
    sensor = SENSOR.model_copy(update={"bands": ("HH",), "nodata": nodata})
    scale = ByteRange.of(replace(MODEL, sensor=sensor, statistics=BandStatistics(mean=(mean,), std=(std,))))
    parts = shlex.split(scale.command())
    low, high, first, last = (float(part) for part in parts[parts.index("-scale_1") + 1 :][:4])

    def gdal(x: float) -> int:
        return int(np.clip(np.rint(first + (x - low) / (high - low) * (last - first)), 0, 255))

    if low <= value <= high:
        ours = scale.encode(np.full((1, 1, 1), value, np.float32), np.ones((1, 1), bool))[0, 0, 0]
        assert abs(gdal(value) - int(ours)) <= 1  # six digits in the command
    if nodata is not None and nodata < mean:
        assert gdal(nodata) == 0


def test_file_follows_the_conventions_of_deepness(written: dict[ImageKind, Path]):
    for path in written.values():
        opened = session(path)
        (given_,), (returned,) = opened.get_inputs(), opened.get_outputs()
        assert (given_.shape, given_.type) == ([1, 2, TILE, TILE], "tensor(float)")
        assert returned.shape == [1, 1, TILE, TILE]
        facts = metadata(path)
        assert facts["model_type"] == "Segmentor"
        assert facts["class_names"] == {"0": "building"}
        assert facts["resolution"] == 50  # cm per pixel
        assert facts["tiles_size"] == facts["tile_size"] == TILE
        assert facts["overcast_bands"] == ["HH", "HV"]
        assert (facts["overcast_mean"], facts["overcast_std"]) == ([28, 20], [8, 4])
        assert (facts["overcast_unit"], facts["overcast_nodata"], facts["overcast_weights_sha256"]) == (
            "dB",
            0,
            "0" * 64,
        )


def test_deepness_can_load_the_file_and_leaves_the_footprints_as_they_are(written: dict[ImageKind, Path]):
    """Its ONNX Runtime 1.17 reads version 9 at most; by default it would smooth over 9 px and shift the grid."""
    for path in written.values():
        assert onnx.load(path).ir_version == 9
        facts = metadata(path)
        assert facts["seg_small_segment"] == 0
        assert (512 - 512 * int(str(facts["tiles_overlap"])) // 100) % STRIDE == 0


def test_impossible_exports_are_refused(tmp_path: Path, written: dict[ImageKind, Path]):
    with pytest.raises(InputError, match="exists; name another file"):
        export_model(MODEL, written[ImageKind.UNIT], tile=TILE)
    with pytest.raises(InputError, match=r"does not end in \.onnx"):
        export_model(MODEL, tmp_path / "model.bin", tile=TILE)
    with pytest.raises(ConfigError, match="multiple of 32"):
        export_model(MODEL, tmp_path / "model.onnx", tile=100)
    with pytest.raises(ConfigError, match=r"model city cannot be exported: .* cannot be exported to ONNX"):
        export_model(replace(MODEL, network=Moody()), tmp_path / "model.onnx", tile=TILE)
    assert list(tmp_path.iterdir()) == []


def test_file_that_computes_something_else_does_not_appear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    other = replace(MODEL, network=edges(1))
    monkeypatch.setattr(
        export, "export_onnx", lambda _, shape, x: export_onnx(export.FromImage(other, ImageKind.UNIT), shape, x)
    )
    with pytest.raises(InputError, match="was not written: its probabilities differ"):
        export_model(MODEL, tmp_path / "model.onnx", tile=TILE, kind=ImageKind.UNIT)
    assert list(tmp_path.iterdir()) == []


def test_command_writes_the_file_and_says_how_to_feed_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(SceneModel, "of", lambda *_, **__: MODEL)
    result = CliRunner().invoke(app, ["export", "-o", str(tmp_path / "city.onnx"), "--tile", "32"])
    assert not isinstance(result.exception, OvercastError), result.exception
    assert result.exit_code == 0
    assert "differ from PyTorch's by at most" in result.stdout
    assert ByteRange.of(MODEL).command() in result.stdout
    assert metadata(tmp_path / "city.onnx")["tiles_size"] == 32
