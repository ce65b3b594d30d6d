"""`overcast bench scene` and `overcast predict --set runtime=...`: what is measured, said and kept."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from hypothesis import given
from hypothesis import strategies as st
from known import known
from runtime_cases import Moody, edges
from test_predict import MODEL, OPTIONS, SENSOR, predict, probabilities, speckle, write_scene
from typer.testing import CliRunner

from overcast.arithmetic import Precision
from overcast.cli import app
from overcast.errors import ConfigError
from overcast.experiments.speed import measure, scene
from overcast.experiments.speed.measure import Case, Seconds
from overcast.experiments.speed.mosaic import Ground, make_ground, repeated
from overcast.experiments.speed.report import facts, text
from overcast.experiments.speed.scene import REFERENCE, Request, bench_scene, cases, compare
from overcast.progress import Progress
from overcast.raster.radiometry import SensorRadiometry, Unit
from overcast.runtime import exports, prepare
from overcast.runtime.options import Runtime, TileShape
from overcast.scenes.fitting_tiles import fitting_tiles
from overcast.scenes.model import SceneModel
from overcast.scenes.predict import PredictOptions

pytestmark = pytest.mark.usefixtures("one_thread")

CITY = replace(MODEL, network=edges())


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def on(runtime: Runtime, **changes: Any) -> PredictOptions:
    return replace(OPTIONS, stac=True, scene=replace(OPTIONS.scene, runtime=runtime, **changes), overwrite=True)


def test_scene_on_another_runtime_is_the_same_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write_scene(tmp_path / "scene.tif", speckle())
    eager = predict(tmp_path, path, bundle=CITY, options=on(Runtime.EAGER))
    expected = probabilities(tmp_path / "probability.tif")
    fast = predict(tmp_path, path, bundle=CITY, options=on(Runtime.OPENVINO))
    np.testing.assert_allclose(probabilities(tmp_path / "probability.tif"), expected, atol=1.01 / 254)
    assert fast.footprint_count == eager.footprint_count
    assert eager.runtime.startswith("eager (torch ")
    assert fast.runtime.startswith("openvino (openvino ")
    assert fast.runtime.endswith(", fp32, cpu")
    with rasterio.open(tmp_path / "probability.tif") as dataset:
        assert dataset.tags()["OVERCAST_RUNTIME"] == fast.runtime
    item = json.loads((tmp_path / "f.stac.json").read_text())
    assert item["properties"]["overcast:model"]["runtime"] == fast.runtime
    monkeypatch.setattr(exports, "export_onnx", lambda *_: pytest.fail("exported again"))
    assert predict(tmp_path, path, bundle=CITY, options=on(Runtime.OPENVINO)).runtime == fast.runtime


def test_auto_that_falls_back_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(prepare, "EXPORT_PAYS_PIXELS", 1)
    path = write_scene(tmp_path / "scene.tif", speckle())
    moody, told = replace(MODEL, network=Moody()), []
    made = predict(tmp_path, path, bundle=moody, options=on(Runtime.AUTO))
    assert made.runtime.startswith("eager")
    predict(tmp_path, path, bundle=moody, options=on(Runtime.AUTO), progress=lambda state: told.append(state.note))
    (logged,) = [record.message for record in caplog.records if record.name == "overcast"]
    assert told[0] == "computing in fp32 on cpu"
    assert told[1].startswith("getting the network ready on openvino")
    for line in (logged, told[3]):
        assert line.startswith("openvino does not work here: the network cannot be exported")
    with pytest.raises(ConfigError, match="cannot be exported"):
        predict(tmp_path, path, bundle=moody, options=on(Runtime.OPENVINO))


def test_unfinished_blocks_of_another_runtime_are_not_taken(tmp_path: Path):
    class StopError(Exception):
        pass

    def stop(state: Progress) -> None:
        if state.done > 0.5 * state.total:
            raise StopError

    path, notes = write_scene(tmp_path / "scene.tif", speckle()), []
    for runtime in (Runtime.EAGER, Runtime.ONNXRUNTIME):
        with pytest.raises(StopError):
            predict(tmp_path, path, bundle=CITY, options=on(runtime), progress=stop)
    for keep in (False, True):
        options = on(Runtime.ONNXRUNTIME, keep_exports=keep)
        predict(tmp_path, path, bundle=CITY, options=options, progress=lambda state: notes.append(state.note))
    assert any(note.startswith("going on with") for note in notes), notes
    with pytest.raises(StopError):
        predict(tmp_path, path, bundle=CITY, options=on(Runtime.EAGER), progress=stop)
    predict(tmp_path, path, bundle=CITY, options=on(Runtime.OPENVINO), progress=lambda state: notes.append(state.note))
    assert any("for another runtime" in note for note in notes), notes


@given(height=st.integers(1, 5), width=st.integers(1, 5), first=st.integers(0, 12), rows=st.integers(1, 9))
def test_repeated_rows_are_those_of_the_tiled_ground(height: int, width: int, first: int, rows: int):
    ground = np.arange(2 * height * width).reshape(2, height, width)
    whole = np.tile(ground, (1, 30, 30))
    np.testing.assert_array_equal(repeated(ground, first, rows, 17), whole[:, first : first + rows, :17])


def test_ground_is_simulated_for_radar_and_noise_for_the_rest(monkeypatch: pytest.MonkeyPatch):
    made = make_ground(MODEL, 0, places=4, place_px=96)
    assert made.values.shape == (2, 192, 192)
    assert made.label is not None
    assert 0.01 < made.label.mean() < 0.9
    np.testing.assert_array_equal(made.values, make_ground(MODEL, 0, places=4, place_px=96).values)
    for sensor in (
        SENSOR.model_copy(update={"gsd_m": 30.0}),
        SensorRadiometry(bands=("HH", "HV"), unit=Unit.DIGITAL_NUMBER, gsd_m=0.5),
        SensorRadiometry(bands=("VV", "VV later"), unit=Unit.DECIBEL, gsd_m=0.5),
    ):
        noise = make_ground(replace(MODEL, sensor=sensor), 0, place_px=96)
        assert noise.label is None
        np.testing.assert_allclose(noise.values.mean((1, 2)), MODEL.statistics.mean, atol=0.5)


def test_agreement_is_counted_over_the_scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Four columns of 3 pixels: probability 0 or 1 against truth, nodata in one; strips of two rows."""
    monkeypatch.setattr(scene, "_ROWS", 2)
    first = np.repeat(np.array([[0, 254, 254, 255]], np.uint8), 3, 0)
    second = np.repeat(np.array([[254, 254, 0, 255]], np.uint8), 3, 0)
    paths = []
    for name, values in (("first", first), ("second", second)):
        paths.append(write_scene(tmp_path / f"{name}.tif", values[None], nodata=255))
    ground = Ground(np.zeros((2, 1, 4), np.float32), np.array([[1, 1, 0, 1]], np.uint8))
    found = compare(paths[0], paths[1], ground)
    assert (found.iou, found.differing, found.largest) == (1.0, pytest.approx(2 / 3), 1.0)
    assert compare(paths[0], paths[0], ground).iou == pytest.approx(1 / 3)
    assert compare(paths[0], paths[0], replace(ground, label=None)).iou is None


def test_every_case_that_is_possible_is_measured_after_the_reference():
    both = Request(Path("model"), runtimes=tuple(Runtime))
    names = [case.name for case in cases(both)]
    assert names[0] == REFERENCE.name == "eager fp32"
    assert len(names) == len(set(names)) == 7
    assert "onnxruntime bf16" not in names
    on_gpu = [case.runtime for case in cases(replace(both, device="cuda"))]
    assert set(on_gpu) == {Runtime.EAGER, Runtime.COMPILED}


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Request:
    """A bench of one convolution, in this process, on small places."""
    model = replace(MODEL, sensor=SENSOR.model_copy(update={"radar_side": None}), network=edges())
    monkeypatch.setattr(SceneModel, "of", lambda *_, **__: model)
    monkeypatch.setattr(scene, "load_bundle", lambda path: path)
    monkeypatch.setattr(measure, "load_bundle", lambda path: path)
    small = make_ground(model, 0, places=1, place_px=96)
    monkeypatch.setattr(scene, "make_ground", lambda *_: small)
    request = Request(Path("city"), 130, (Runtime.OPENVINO, Runtime.COMPILED), (Precision.FP32,), 96, rounds=2)

    def broken(*_: object, **__: object):
        raise RuntimeError("no compiler here")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: broken)
    return request


def test_bench_measures_compares_and_reports(bench: Request):
    told: list[Case] = []
    found = bench_scene(bench, isolate=False, on_row=lambda row: told.append(row.case))
    assert [row.case for row in found.rows] == told == list(cases(bench))
    eager, openvino, compiled = found.rows
    assert found.km2 == pytest.approx(130**2 * 0.25e-6)
    for row in (eager, openvino):
        assert row.measured is not None
        assert row.agreement is not None
        assert row.agreement.iou == pytest.approx(known(eager.agreement).iou, abs=0.002)
        assert row.agreement.largest <= 1.01 / 254
        for seconds in (row.measured.scene, row.measured.bare, row.measured.ready, row.first_ready):
            assert isinstance(seconds, Seconds)
            assert seconds.elapsed > 0
        peak_mb, bare_mb = row.measured.peak_mb, row.measured.bare_mb
        assert peak_mb is None or (bare_mb is not None and peak_mb >= bare_mb > 10)
    assert "no compiler here" in (compiled.failure or "")
    assert found.fastest_bare.elapsed == min(known(row.measured).bare.elapsed for row in (eager, openvino))
    said = text(found, facts(1))
    assert "fastest: " in said
    assert "compiled fp32 could not be measured: torch.compile cannot compile" in said
    assert known(openvino.measured).reading.processor > 0
    assert ", reading alone " in said
    assert max(len(line) for line in said.split("\n\n")[1].splitlines()) <= 80
    assert found.computed == pytest.approx((3 * 96 / 130) ** 2)
    assert "overlap makes the network compute 390.8% more" in said
    rate = min(known(row.measured).scene.elapsed for row in (eager, openvino)) / found.km2
    assert f"pixels of 0.5 m; of 0.5 m: {rate:.3g} s/km2" in said
    assert f"of 0.5 m: {4 * rate:.3g} s/km2" in text(replace(found, gsd_m=1.0), facts(1))


def test_int8_is_measured_on_tiles_of_the_scene(bench: Request, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(measure, "fitting_tiles", partial(fitting_tiles, side=64))
    asked = replace(bench, size_px=320, runtimes=(Runtime.OPENVINO,), precisions=(Precision.INT8,), rounds=1)
    eager, small = bench_scene(asked, isolate=False).rows
    assert eager.case == REFERENCE
    assert small.failure is None
    assert small.measured is not None
    assert ", int8, cpu" in small.measured.label
    assert small.agreement is not None
    assert small.agreement.differing < 0.01


def test_command_prints_json(bench: Request, monkeypatch: pytest.MonkeyPatch):
    real = scene.bench_scene
    monkeypatch.setattr(scene, "bench_scene", lambda request, **given: real(request, isolate=False, **given))
    command = "bench scene --size 100 --tile 96 --runtime eager --precision fp32 --rounds 1 --threads 1 --seed 3 --json"
    command += " --stored none"
    result = CliRunner().invoke(app, command.split())
    assert result.exit_code == 0, result.exception
    found = json.loads(result.stdout)
    assert found["request"]["seed"] == 3
    assert found["request"]["storage"] == "none"
    assert found["date"].endswith(" UTC")
    assert "1 threads used" in found["machine"]
    assert [row["case"] for row in found["rows"]] == [{"runtime": "eager", "precision": "fp32"}]
    assert found["rows"][0]["agreement"]["differing"] == 0


def test_impossible_tiles_are_told(bench: Request):
    with pytest.raises(ConfigError, match="do not fit together"):
        bench_scene(replace(bench, tile=64), isolate=False)


def test_each_case_is_measured_in_a_process_of_its_own():
    assert scene._isolated(os.getpid) != os.getpid()
    with pytest.raises(ConfigError, match="ended by the system"):
        scene._isolated(os._exit, 9)


def test_bare_network_counts_each_pixel_once(monkeypatch: pytest.MonkeyPatch):
    """Of a scene 1.5 times as large as a tile the network sees two tiles, and three quarters of their time count."""
    calls: list[int] = []

    class Counted(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            calls.append(x.numel())
            return x

    monkeypatch.setattr(measure.Clock, "read", lambda _: Seconds(4.0, 8.0))
    shape = TileShape(1, 2, 32, 32)
    found = measure._bare(Counted(), shape, 32 * 48, OPTIONS.scene)
    assert found == Seconds(3.0, 6.0)
    assert calls == [2 * 32 * 32] * 3
