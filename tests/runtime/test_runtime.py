"""Runtimes compute what PyTorch computes; exports are kept, found again, and never trusted."""

from __future__ import annotations

import copy
import os
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from method_cases import SPEC
from runtime_cases import KINDS, Funnel, Moody, deployable, edges
from torch import nn
from where import IMPORTABLE

from overcast.arithmetic import Precision, capabilities
from overcast.errors import ConfigError
from overcast.runtime import cache, exports, prepare, subprocess_export
from overcast.runtime.cache import ExportCache, cache_folder
from overcast.runtime.exports import exported
from overcast.runtime.identity import export_key
from overcast.runtime.network import CompiledNetwork, ExportedNetwork, fast_network, release
from overcast.runtime.onnx_export import export_onnx, sealed
from overcast.runtime.options import Runtime, RuntimeOptions, RuntimeUnavailableError, TileShape
from overcast.runtime.resize import resized
from overcast.runtime.sessions import open_session
from overcast.runtime.subprocess_export import exported_in_subprocess
from overcast.scenes.model import Tempered

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = TileShape(1, 2, 64, 160)
SMALL = TileShape(1, 2, 32, 64)
LARGE_SCENE = prepare.EXPORT_PAYS_PIXELS


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache folder of this module's user."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_cache(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(kept))


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without any export."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "overcast" / "exports"


def tiles(shape: TileShape, count: int = 1, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, *shape.single[1:], generator=generator)


def made(network: nn.Module, runtime: Runtime, precision: Precision = Precision.FP32, shape: TileShape = SHAPE):
    return prepare.prepare(network, shape, 1, RuntimeOptions(runtime, precision))


def has_bfloat16() -> bool:
    """Of what PyTorch may use: OpenVINO's own answer does not know of ONEDNN_MAX_CPU_ISA, but its kernels do."""
    return capabilities().cpu_bf16


@pytest.mark.parametrize("kind", KINDS)
def test_every_deployable_network_is_the_same_on_every_runtime(kind: str):
    """Also checks the resizing of exports, by which all are made but that of an odd size, which the network pads."""
    network = deployable(kind)
    shape = TileShape(1, 2, 45, 70) if kind == "SarStreamNetwork" else SHAPE
    x = tiles(shape, 2)
    with torch.inference_mode():
        expected = network(x)
    largest = float(expected.abs().max())
    for runtime in (Runtime.ONNXRUNTIME, Runtime.OPENVINO):
        with torch.inference_mode():
            found = made(network, runtime, shape=shape).network(x.to(memory_format=torch.channels_last))
        # Sums of up to 2000 products in another order, and batch normalisation folded: 4e-6 measured.
        np.testing.assert_allclose(found, expected, atol=2e-5 * largest, rtol=0)
    if has_bfloat16():
        with torch.inference_mode():
            found = made(network, Runtime.OPENVINO, Precision.BF16, shape).network(x)
        change = (torch.sigmoid(found) - torch.sigmoid(expected)).abs()
        # Each of some 30 layers in a row rounds to 8 bits of mantissa, 2^-9; largest 0.008 and mean 0.001 measured.
        assert 0 < float(change.max()) < 0.02
        assert float(change.mean()) < 0.003


def test_a_network_of_half_resolution_is_exported_once_for_every_size(fresh: Path, monkeypatch: pytest.MonkeyPatch):
    network = deployable("SingleNetwork", SPEC.model_copy(update={"decoder_channels": (16, 8, 8, 8)}))
    for runtime in (Runtime.ONNXRUNTIME, Runtime.OPENVINO):
        for shape in (SMALL, TileShape(1, 2, 96, 32)):
            x = tiles(shape)
            with torch.inference_mode():
                found, expected = made(network, runtime, shape=shape).network(x), network(x)
            np.testing.assert_allclose(found, expected, atol=2e-5 * float(expected.abs().max()), rtol=0)
            monkeypatch.setattr(exports, "export_onnx", lambda *_: pytest.fail("exported again"))


def test_an_export_serves_every_tile_size(fresh: Path, monkeypatch: pytest.MonkeyPatch):
    network = Funnel().eval()
    shapes = (SMALL, TileShape(1, 2, 96, 32))
    made(network, Runtime.OPENVINO, shape=shapes[0])
    assert len(list(fresh.iterdir())) == 2
    monkeypatch.setattr(exports, "export_onnx", lambda *_: pytest.fail("exported again"))
    for shape in shapes:
        x = tiles(shape)
        with torch.inference_mode():
            np.testing.assert_allclose(made(network, Runtime.OPENVINO, shape=shape).network(x), network(x), atol=2e-5)
    assert len(list(fresh.iterdir())) == 3


def test_what_may_depend_on_the_size_is_not_resized():
    class Ramp(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ramp = nn.Buffer(torch.arange(128.0))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, :1] + self.ramp

    master = TileShape(1, 2, 96, 128)
    assert resized(export_onnx(edges(), master), SMALL) is not None
    assert resized(export_onnx(Ramp().eval(), master), SMALL) is None
    assert resized(export_onnx(nn.Upsample((192, 300)), master), SMALL) is None  # 300 is not a multiple of 128
    assert resized(export_onnx(nn.AvgPool2d((96, 128)), master), SMALL) is None


def test_sides_that_are_no_multiple_of_the_stride_are_exported_as_they_are():
    shape = TileShape(1, 2, 45, 33)
    network, x = edges(), tiles(shape)
    with torch.inference_mode():
        np.testing.assert_allclose(made(network, Runtime.ONNXRUNTIME, shape=shape).network(x), network(x), atol=1e-5)


def test_key_changes_with_whatever_could_change_the_export():
    network = Tempered(edges(), 2.0)
    keys = [export_key(network, SMALL), export_key(network, SHAPE)]
    keys += [export_key(Tempered(edges(), 2.5), SMALL), export_key(Tempered(edges(1), 2.0), SMALL)]
    reflecting = edges()
    reflecting.padding_mode = "reflect"
    wider = Tempered(reflecting, 2.0)
    keys.append(export_key(wider, SMALL))
    assert len(set(keys)) == 5
    moved = copy.deepcopy(network).to(memory_format=torch.channels_last)
    assert export_key(moved, replace(SMALL, batch=8)) == keys[0]


KEY = "0" * 64


def never() -> bytes:
    raise AssertionError("made although it was kept")


@settings(max_examples=40)
@given(content=st.binary(min_size=1, max_size=60), place=st.integers(0, 59), cut=st.booleans())
def test_damaged_export_is_made_anew(tmp_path_factory: pytest.TempPathFactory, content: bytes, place: int, cut: bool):
    kept = ExportCache(tmp_path_factory.mktemp("exports") / "deep" / "er")
    assert kept.get(KEY, lambda: content) == content
    assert kept.get(KEY, never) == content
    (path,) = kept.folder.iterdir()
    place %= len(content)
    damaged = content[:place] if cut else content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
    path.write_bytes(damaged)
    assert kept.get(KEY, lambda: b"another") == b"another"
    assert kept.get(KEY, never) == b"another"
    assert len(list(kept.folder.iterdir())) == 1


def test_folder_that_cannot_be_written_keeps_nothing(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    kept = ExportCache(tmp_path / "file" / "exports")
    assert kept.get(KEY, lambda: b"a") == b"a"
    assert kept.get(KEY, lambda: b"b") == b"b"


@pytest.mark.parametrize("home", ["nonexistent", "nonexistent/x"])
def test_home_that_does_not_exist_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / home))
    kept = ExportCache(cache_folder() / "exports")
    assert kept.get(KEY, lambda: b"a") == b"a"
    assert kept.get(KEY, lambda: b"b") == b"b"
    assert list(tmp_path.iterdir()) == []


def test_full_disk_leaves_no_half_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert ExportCache(tmp_path).get(KEY, lambda: b"a") == b"a"
    assert list(tmp_path.iterdir()) == []


def test_exports_used_longest_ago_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cache, "LARGEST_BYTES", 250)
    kept = ExportCache(tmp_path)
    keys = [digit * 64 for digit in "abc"]
    for age, key in enumerate(keys[:2]):
        kept.get(key, partial(bytes.ljust, key.encode(), 100))
        os.utime(next(tmp_path.glob(f"{key}*")), (1000 + age, 1000 + age))
    kept.get(keys[0], never)  # used: younger than the second now
    kept.get(keys[2], lambda: bytes(100))
    assert sorted(path.name[0] for path in tmp_path.iterdir()) == ["a", "c"]


def test_cache_folder_follows_the_platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "overcast"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, says the XDG specification
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder().is_relative_to(tmp_path / "home")


def test_nothing_is_kept_where_that_is_not_wanted(fresh: Path):
    options = RuntimeOptions(Runtime.OPENVINO, keep_exports=False)
    assert prepare.prepare(edges(), SMALL, 1, options).runtime is Runtime.OPENVINO
    assert not fresh.exists()


def test_onnxruntime_reports_to_nobody(kept: Path):
    """Its import would write a device number into the cache folder and send usage data."""
    made(edges(), Runtime.ONNXRUNTIME, shape=SMALL)
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
    assert not (kept / "Microsoft").exists()


def test_large_networks_are_exported_by_a_process_of_their_own(fresh: Path, monkeypatch: pytest.MonkeyPatch):
    """Once it is kept, no process is started. What cannot be sent there is exported here."""
    network, here = edges(), exported(edges(), SMALL, keep=False)
    assert exported_in_subprocess(network, SMALL, keep=False) == here
    monkeypatch.setattr(subprocess_export, "SUBPROCESS_PARAMETERS", 0)
    with monkeypatch.context() as patched:
        patched.setattr(subprocess_export, "exported", lambda *_, **__: pytest.fail("exported here"))
        assert exported_in_subprocess(network, SMALL, keep=False) == here
        kept = exported_in_subprocess(network, SMALL, keep=True)
        patched.setattr(subprocess, "run", lambda *_, **__: pytest.fail("started again"))
        assert exported_in_subprocess(network, SMALL, keep=True) == kept

    class Local(nn.Conv2d):
        """Cannot be pickled."""

    assert exported_in_subprocess(Local(2, 1, 1).eval(), SMALL, keep=False)


def test_export_names_no_folder_of_this_machine():
    content = exported(edges(), SMALL, keep=False)
    assert str(Path(torch.__file__).parent).encode() not in content
    assert b"site-packages" not in content
    assert b"stack_trace" not in content


def test_auto_takes_the_fastest_runtime_where_it_pays():
    options = RuntimeOptions(Runtime.AUTO)
    small = prepare.prepare(edges(), SMALL, LARGE_SCENE - 1, options)
    assert small.runtime is Runtime.EAGER
    assert small.label == f"eager (torch {version('torch')}), fp32, cpu"
    large = prepare.prepare(edges(), SMALL, LARGE_SCENE, options)
    assert (large.runtime, large.note) == (Runtime.OPENVINO, None)
    assert large.label.startswith("openvino (openvino 20")


def test_auto_falls_back_and_says_why_in_one_line():
    ready = prepare.prepare(Moody(), SMALL, LARGE_SCENE, RuntimeOptions(Runtime.AUTO))
    assert ready.runtime is Runtime.EAGER
    assert ready.note is not None
    assert ready.note.startswith("openvino does not work here: the network cannot be exported to ONNX (")
    assert "\n" not in ready.note
    assert ready.network(tiles(SMALL)).shape == (1, 1, 32, 64)


@pytest.mark.parametrize("runtime", [Runtime.OPENVINO, Runtime.ONNXRUNTIME])
def test_runtime_that_was_asked_for_does_not_fall_back(runtime: Runtime):
    with pytest.raises(ConfigError, match=r"cannot be exported to ONNX .*; take the runtime eager"):
        made(Moody(), runtime, shape=SMALL)


def test_impossible_combinations_are_refused():
    with pytest.raises(ConfigError, match="onnxruntime computes in fp32"):
        RuntimeOptions(Runtime.ONNXRUNTIME, Precision.BF16)
    with pytest.raises(ConfigError, match="openvino computes on the CPU"):
        RuntimeOptions(Runtime.OPENVINO, device="cuda")
    with pytest.raises(ConfigError, match="device 'cuda:77' cannot be used"):
        prepare.prepare(edges(), SMALL, 1, RuntimeOptions(Runtime.COMPILED, device="cuda:77"))


@pytest.mark.parametrize("runtime", [Runtime.OPENVINO, Runtime.ONNXRUNTIME])
def test_runtime_that_computes_something_else_is_refused(runtime: Runtime):
    model = export_onnx(edges(), SMALL)
    with pytest.raises(RuntimeUnavailableError, match=f"{runtime} fp32 computes something else than PyTorch"):
        open_session(runtime, Precision.FP32, sealed(model, edges(1), SMALL), SMALL, 1)


def test_file_that_is_no_network_is_refused():
    model = onnx.helper.make_model(onnx.helper.make_graph([], "empty", [], []))
    content = sealed(model, edges(), SMALL)
    with pytest.raises(RuntimeUnavailableError, match="openvino cannot run the exported network"):
        open_session(Runtime.OPENVINO, Precision.FP32, content, SMALL, 1)


def test_prepared_network_can_be_sent_to_another_process(monkeypatch: pytest.MonkeyPatch):
    network, x = edges(), tiles(SMALL)
    ready = made(network, Runtime.OPENVINO, shape=SMALL)
    assert isinstance(ready.network, ExportedNetwork)
    sent = pickle.loads(pickle.dumps(ready.network))
    monkeypatch.setattr(exports, "export_onnx", lambda *_: pytest.fail("exported again"))
    with torch.inference_mode():
        assert torch.equal(sent(x), ready.network(x))


def test_session_is_opened_anew_for_another_number_of_threads():
    ready = made(edges(), Runtime.OPENVINO, shape=SMALL)
    first = ready.network(tiles(SMALL))
    torch.set_num_threads(2)
    np.testing.assert_allclose(ready.network(tiles(SMALL)), first, atol=1e-5)
    assert len(ready.network._sessions) == 2


def test_released_network_gives_its_sessions_back_and_works_on():
    ready = made(edges(), Runtime.OPENVINO, shape=SMALL)
    wrapped = nn.Sequential(ready.network)
    first = wrapped(tiles(SMALL))
    release(wrapped)
    assert ready.network._sessions == {}
    assert torch.equal(wrapped(tiles(SMALL)), first)


def in_new_process(code: str, *arguments: str) -> int:
    """The exit status of a process that runs `code`."""
    places = (*IMPORTABLE, Path(cache.__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places))}
    return subprocess.run([sys.executable, "-c", code, *arguments], env=environment, check=False).returncode


BOUND = """
import os, sys
import numpy as np
from runtime_cases import edges
from overcast.runtime.exports import exported
from overcast.arithmetic import Precision
from overcast.runtime.options import Runtime, TileShape
from overcast.runtime.sessions import open_session

shape = TileShape(1, 2, 32, 64)
session = open_session(Runtime(sys.argv[1]), Precision.FP32, exported(edges(), shape, keep=False), shape, 2)
session(np.zeros(shape.single, np.float32))
cores = {frozenset(os.sched_getaffinity(int(thread))) for thread in os.listdir("/proc/self/task")}
sys.exit(0 if cores == {frozenset(os.sched_getaffinity(0))} else 1)
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="reads the threads of a process from /proc")
@pytest.mark.parametrize("runtime", [Runtime.OPENVINO, Runtime.ONNXRUNTIME])
def test_threads_are_not_bound_to_cores(runtime: Runtime):
    """Else several workers on a machine would all compute on its first cores."""
    assert in_new_process(BOUND, runtime) == 0


SIGNALLED = """
import signal, sys, threading
from runtime_cases import edges
from overcast.runtime.exports import exported
from overcast.arithmetic import Precision
from overcast.runtime.options import Runtime, TileShape
from overcast.runtime.sessions import open_session

shape = TileShape(1, 2, 32, 64)
sessions = [open_session(Runtime.OPENVINO, Precision.FP32, exported(edges(), shape, keep=False), shape, 1)]
other = threading.Thread(target=sessions.clear)
other.start()
other.join()
signal.signal(signal.SIGINT, lambda *_: sys.exit(7))
signal.raise_signal(signal.SIGINT)
"""


def test_signals_are_handled_after_another_thread_has_dropped_a_session():
    assert in_new_process(SIGNALLED) == 7


needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")


def test_compiled_code_of_other_instructions_is_not_taken(monkeypatch):
    tags = set()
    for limit in ("AVX2", "AVX512_CORE"):
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
        fast_network(nn.Conv2d(1, 1, 1), RuntimeOptions(Runtime.COMPILED))
        tags.add(torch.compiler.config.cache_key_tag)
    assert len(tags) == 2


@needs_compiler
def test_compiled_network_is_the_same_and_smaller_batches_are_filled_up():
    network, x = edges(), tiles(SMALL, 3)
    ready = prepare.prepare(network, replace(SMALL, batch=3), 1, RuntimeOptions(Runtime.COMPILED))
    assert isinstance(ready.network, CompiledNetwork)
    with torch.inference_mode():
        for count in (3, 2, 1):
            np.testing.assert_allclose(ready.network(x[:count]), network(x[:count]), atol=1e-5)
    assert pickle.loads(pickle.dumps(ready.network)).options == RuntimeOptions(Runtime.COMPILED)


def test_network_that_cannot_be_compiled_is_told(monkeypatch: pytest.MonkeyPatch):
    def broken(function: object, **_: object):
        def run(x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no compiler\nsecond line")

        return run

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(ConfigError, match=r"cannot compile the network here \(RuntimeError: no compiler\)"):
        made(edges(), Runtime.COMPILED)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize(("precision", "bound"), [(Precision.FP32, 2e-3), (Precision.BF16, 0.05)])
def test_compiled_network_on_a_gpu(precision: Precision, bound: float):
    network, x = deployable("HallucinationNetwork"), tiles(SHAPE, 4)
    with torch.inference_mode():
        expected = torch.sigmoid(network(x))
        options = RuntimeOptions(Runtime.COMPILED, precision, "cuda")
        ready = prepare.prepare(network, replace(SHAPE, batch=4), 1, options)
        with torch.autocast("cuda", torch.bfloat16, enabled=precision is Precision.BF16):
            for count in (4, 4, 1):
                found = torch.sigmoid(ready.network(x[:count].cuda()).float()).cpu()
                np.testing.assert_allclose(found, expected[:count], atol=bound)
