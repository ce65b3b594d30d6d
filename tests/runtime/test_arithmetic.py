"""`precision: auto` and `device: auto`: settled by what a machine declares, told, recorded and kept."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import rasterio
import yaml
from rich.console import Console
from runtime_cases import edges
from test_predict import MODEL, OPTIONS, predict, speckle, write_scene
from torch import Tensor

from overcast.arithmetic import (
    AUTO,
    WITHOUT_BF16,
    Capabilities,
    Precision,
    capabilities,
    precision_sentence,
    settled_device,
    settled_precision,
    usable_cpu_bf16,
)
from overcast.batch import Batch
from overcast.bundle.bundle import load_bundle
from overcast.config import load_config, train
from overcast.config import run as config_run
from overcast.errors import ConfigError
from overcast.experiments.speed.report import left_out
from overcast.experiments.speed.scene import Request, cases, measured_precisions
from overcast.progress import Progress
from overcast.runtime.options import Runtime
from overcast.scenes import ready
from overcast.scenes.job import PredictOptions
from overcast.scenes.scene import SceneOptions
from overcast.training import run as training_run
from overcast.training.folder import RunFolder
from overcast.training.module import MethodModule

OLD, NEW = Capabilities(), Capabilities(cpu_bf16=True)
GPU, OLD_GPU = Capabilities(gpu=True, gpu_bf16=True), Capabilities(cpu_bf16=True, gpu=True)


class StopError(Exception):
    pass


Machine = Callable[[Capabilities], None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Makes this machine another one."""

    def become(found: Capabilities) -> None:
        for module in (config_run, training_run, ready):
            monkeypatch.setattr(module, "capabilities", lambda: found)

    return become


@pytest.mark.parametrize(
    ("found", "device", "chosen", "precision"),
    [
        (OLD, AUTO, "cpu", Precision.FP32),
        (NEW, AUTO, "cpu", Precision.BF16),
        (GPU, AUTO, "cuda", Precision.BF16),
        (GPU, "cpu", "cpu", Precision.FP32),
        (GPU, "cuda:1", "cuda:1", Precision.BF16),
        (OLD_GPU, AUTO, "cuda", Precision.FP32),
        (OLD_GPU, "cpu", "cpu", Precision.BF16),
        (NEW, "mps", "mps", Precision.FP32),
    ],
)
def test_auto_is_what_the_machine_computes_itself(found, device, chosen, precision):
    assert settled_device(device, found) == chosen
    assert settled_precision(Precision.AUTO, chosen, found) is precision
    for forced in (Precision.FP32, Precision.BF16):
        assert settled_precision(forced, chosen, found) is forced


def test_emulated_bfloat16_is_told():
    assert "only emulates bfloat16" in precision_sentence(Precision.BF16, "cpu", OLD)
    assert precision_sentence(Precision.BF16, "cpu", NEW) == "computing in bf16 on cpu"
    assert precision_sentence(Precision.FP32, "cpu", OLD) == "computing in fp32 on cpu"


@pytest.mark.parametrize("limit", sorted(WITHOUT_BF16))
def test_an_older_processor_can_be_imitated(limit: str):
    assert not usable_cpu_bf16(True, "AVX512", {"ONEDNN_MAX_CPU_ISA": limit.lower()})
    assert not usable_cpu_bf16(True, "AVX512", {"DNNL_MAX_CPU_ISA": limit})
    assert usable_cpu_bf16(True, "AVX512", {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16", "DNNL_MAX_CPU_ISA": limit})


def test_instructions_of_both_libraries_are_needed():
    assert usable_cpu_bf16(True, "AVX512", {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_AMX"})
    assert usable_cpu_bf16(True, "AMX", {})
    assert not usable_cpu_bf16(True, "AVX2", {})
    assert not usable_cpu_bf16(False, "AVX512", {})


def test_capabilities_of_this_machine_obey_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert not capabilities().cpu_bf16


def _run(sets: list[str], output: Path, precision: str = "auto", *, resume: bool = True) -> str:
    """Trains and returns what was printed."""
    said = io.StringIO()
    config = load_config(None, [*sets, "training.steps=2", "training.round_steps=1", f"training.precision={precision}"])
    train(config, output, resume=resume, console=Console(file=said))
    return said.getvalue()


def _recorded(output: Path) -> str:
    assert load_bundle(output / "bundle").info.precision == load_bundle(output / "full").info.precision
    written = yaml.safe_load((output / "config.yaml").read_text())["training"]["precision"]
    assert load_bundle(output / "bundle").info.precision == written
    return written


@pytest.mark.parametrize(("begun", "later", "precision"), [(NEW, OLD, "bf16"), (OLD, NEW, "fp32")])
def test_a_run_keeps_its_precision_on_another_machine(
    begun: Capabilities,
    later: Capabilities,
    precision: str,
    tiny_sets: list[str],
    tmp_path: Path,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
):
    output, step = tmp_path / "run", MethodModule.training_step

    def stop_in_the_second_round(self: MethodModule, batch: tuple[Batch, ...], batch_idx: int) -> Tensor:
        if self.global_step == 1:
            raise StopError
        return step(self, batch, batch_idx)

    machine(begun)
    with monkeypatch.context() as patch:
        patch.setattr(MethodModule, "training_step", stop_in_the_second_round)
        with pytest.raises(StopError):
            _run(tiny_sets, output)
    machine(later)
    said = _run(tiny_sets, output)
    assert "resuming at step 1/2" in said
    assert f"computing in {precision} on cpu" in said
    assert ("only emulates" in said) == (later == OLD)
    assert _recorded(output) == precision
    other = "fp32" if precision == "bf16" else "bf16"
    with pytest.raises(ConfigError, match=r"other settings \(training.precision\)"):
        _run(tiny_sets, output, other)
    assert f"{output}: this run is finished" in _run(tiny_sets, output, precision)
    steps = ["training.steps=2", "training.round_steps=1", "training.precision=auto"]
    RunFolder(output).check(load_config(None, [*tiny_sets, *steps]))
    assert f"computing in {other} on cpu" in _run(tiny_sets, output, resume=False)
    assert _recorded(output) == other


def _stop(state: Progress) -> None:
    if state.done > 0.5 * state.total:
        raise StopError


AUTOMATIC = replace(OPTIONS, scene=replace(OPTIONS.scene, precision=Precision.AUTO, device=AUTO), stac=True)
CITY = replace(MODEL, network=edges())


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("begun", "later", "precision"), [(NEW, OLD, "bf16"), (OLD, NEW, "fp32")])
def test_a_half_mapped_scene_keeps_its_precision_on_another_machine(
    begun: Capabilities, later: Capabilities, precision: str, tmp_path: Path, machine: Machine
):
    path, notes = write_scene(tmp_path / "scene.tif", speckle()), list[str]()
    machine(begun)
    with pytest.raises(StopError):
        predict(tmp_path, path, bundle=CITY, options=AUTOMATIC, progress=_stop)
    machine(later)
    made = predict(tmp_path, path, bundle=CITY, options=AUTOMATIC, progress=lambda state: notes.append(state.note))
    assert any(note.startswith("going on with") for note in notes), notes
    assert any(note.startswith(f"computing in {precision} on cpu") for note in notes), notes
    assert made.runtime.endswith(f", {precision}, cpu")
    with rasterio.open(tmp_path / "probability.tif") as dataset:
        assert dataset.tags()["OVERCAST_PRECISION"] == precision
    assert json.loads((tmp_path / "f.stac.json").read_text())["properties"]["overcast:precision"] == precision
    again = predict(tmp_path, path, bundle=CITY, options=replace(AUTOMATIC, overwrite=True))
    assert again.runtime.endswith(f", {'fp32' if precision == 'bf16' else 'bf16'}, cpu")


@pytest.mark.usefixtures("one_thread")
def test_blocks_that_this_machine_cannot_continue_are_begun_anew(
    tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
):
    """A scene half mapped on a GPU goes on where there is none: from the beginning, and it says so."""
    path, notes = write_scene(tmp_path / "scene.tif", speckle()), list[str]()
    machine(NEW)
    with pytest.raises(StopError):
        predict(tmp_path, path, bundle=CITY, options=AUTOMATIC, progress=_stop)
    (request,) = tmp_path.rglob("request.json")
    found = json.loads(request.read_text())
    found["options"]["device"], found["runtime"] = "cuda", "eager (torch 9), bf16, cuda"
    request.write_text(json.dumps(found))
    machine(OLD)
    made = predict(tmp_path, path, bundle=CITY, options=AUTOMATIC, progress=lambda state: notes.append(state.note))
    assert made.runtime.endswith(", fp32, cpu")
    assert any("for another runtime" in note for note in notes), notes


def test_predict_is_automatic_unless_told_otherwise():
    assert PredictOptions().scene.precision is Precision.AUTO
    assert PredictOptions().scene.device == AUTO
    automatic = SceneOptions(precision=Precision.AUTO, device=AUTO)
    chosen = ready.settled(replace(automatic, runtime=Runtime.ONNXRUNTIME), replace(GPU, cpu_bf16=True))
    assert (chosen.device, chosen.precision) == ("cpu", Precision.FP32)
    chosen = ready.settled(replace(automatic, runtime=Runtime.OPENVINO), replace(GPU, cpu_bf16=True))
    assert (chosen.device, chosen.precision) == ("cpu", Precision.BF16)
    assert ready.chosen_device(replace(automatic, runtime=Runtime.OPENVINO), GPU) == "cpu"
    assert ready.chosen_device(automatic, GPU) == "cuda"


def test_bench_leaves_out_what_is_only_emulated_and_says_so(monkeypatch: pytest.MonkeyPatch):
    assert measured_precisions((), "cpu", NEW) == (Precision.FP32, Precision.BF16)
    assert measured_precisions((), "cpu", OLD) == (Precision.FP32,)
    assert measured_precisions((Precision.BF16,), "cpu", OLD) == (Precision.BF16,)
    assert measured_precisions((Precision.AUTO,), "cpu", OLD) == (Precision.FP32,)
    request = Request(Path("model"), precisions=measured_precisions((), "cpu", OLD))
    assert {case.precision for case in cases(request)} == {Precision.FP32}
    (said,) = left_out(request, OLD)
    assert "bf16 was left out" in said
    assert "--precision bf16" in said
    assert left_out(request, NEW) == []
    assert left_out(replace(request, precisions=(Precision.BF16,)), OLD) == []
