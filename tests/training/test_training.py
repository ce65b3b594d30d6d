"""Training: every method, exact resumption after SIGKILL, one folder per run, several processes."""

from __future__ import annotations

import csv
import io
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from interrupted import interrupted_at
from rich.console import Console
from torch import Tensor, nn
from where import SUPPORT

from overcast.batch import Batch, InputModalities
from overcast.bundle.bundle import load_bundle
from overcast.config import build_plan, load_config, open_run, train
from overcast.data.splits.by_ground import Part
from overcast.errors import ConfigError, InputError, LeakError
from overcast.methods.options import build_method
from overcast.metrics.pixel import PixelCounts, count_pixels
from overcast.processes import sole_user
from overcast.training.checkpoints import AtomicCheckpoints
from overcast.training.folder import RunFolder
from overcast.training.module import MethodModule
from overcast.training.plan import TrainResult
from overcast.training.run import train as train_plan

PROCESS = SUPPORT / "train_process.py"
TIMING = "chips_per_s"

pytestmark = pytest.mark.usefixtures("one_thread")


def _quiet() -> Console:
    return Console(file=io.StringIO())


def _train(sets: list[str], output: Path, **changes: bool) -> TrainResult:
    return train(load_config(None, sets), output, console=_quiet(), **changes)


def _curve(output: Path) -> list[dict[str, str]]:
    with (output / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return [{name: cell for name, cell in row.items() if name != TIMING} for row in csv.DictReader(file)]


def _losses(output: Path) -> list[float]:
    return [float(row["loss"]) for row in _curve(output)]


def _results(output: Path) -> list[bytes]:
    weights = [(output / name / "model.safetensors").read_bytes() for name in ("bundle", "full")]
    return [*weights, (output / "result.json").read_bytes()]


def _start(sets: list[str], output: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(PROCESS), str(output), *sets], stderr=subprocess.PIPE, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def _kill_when(process: subprocess.Popen[str], ready: Callable[[], bool]) -> None:
    while not ready():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors


@pytest.mark.parametrize(
    "name",
    ["cmhcl", "sar", "sar_twin", "optical", "fusion", "modality_dropout", "kd", "garcia", "disoptnet", "shaspec"],
)
def test_every_method_trains_into_two_bundles(name: str, tiny_sets: list[str], tmp_path: Path) -> None:
    sets = [*tiny_sets, "training.steps=2", "training.precision=bf16"]
    result = _train([override.replace("method.name=sar", f"method.name={name}") for override in sets], tmp_path)
    assert all(np.isfinite(_losses(tmp_path)))
    full = load_bundle(result.full)
    assert full.method is not None
    assert set(result.metrics) == {f"validation {way.value}" for way in full.method.available}
    assert full.info.metrics == result.metrics
    deployable = load_bundle(result.deployable)
    assert deployable.info.steps == result.best_step == 2
    assert deployable.info.calibration_temperature is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "bundle", "checkpoints", "config.yaml", "data.json", "full", "metrics.csv", "result.json", "split.json",
        "statistics.json", "tensorboard",
    ]  # fmt: skip


@pytest.mark.slow
def test_training_learns(tiny_sets: list[str], tmp_path: Path) -> None:
    budget = ["training={steps: 60, round_steps: 30, batch_size: 4, crop: 64, precision: fp32, accelerator: cpu}"]
    result = _train([*tiny_sets, *budget, "training.optimiser.learning_rate=3e-3"], tmp_path)
    assert result.metrics["validation sar"]["iou"] > 0.6  # squares 2 to 3 deviations above speckle


@pytest.mark.slow
def test_killed_run_resumes_to_the_same_bits(tiny_sets: list[str], tmp_path: Path) -> None:
    # Killed three times: before the first checkpoint, right after one, and a moment later, in the middle of a round.
    sets = [*tiny_sets, "method.name=cmhcl", "training.steps=9", "training.round_steps=2", "training.workers=2"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    uninterrupted = _train(sets, whole)
    last, curve = RunFolder(broken).last, RunFolder(broken).curves
    _kill_when(_start(sets, broken), (broken / "statistics.json").is_file)
    _kill_when(_start(sets, broken), last.is_file)
    first = last.stat().st_mtime_ns
    _kill_when(_start(sets, broken), lambda: last.stat().st_mtime_ns != first and "4," in curve.read_text())
    resumed = _train(sets, broken)
    assert _results(broken) == _results(whole)
    assert _curve(broken) == _curve(whole)
    assert replace(resumed, folder=whole, deployable=whole / "bundle", full=whole / "full") == uninterrupted
    assert [int(row["step"]) for row in _curve(whole)] == list(range(1, 10))
    assert not list(broken.rglob("*.tmp-*"))


def test_same_seed_same_weights_other_seed_others(tiny_sets: list[str], tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        _train([*tiny_sets, "training.steps=2", f"training.seed={seed}"], tmp_path / name)
    assert _results(tmp_path / "a") == _results(tmp_path / "b")
    assert _results(tmp_path / "a")[0] != _results(tmp_path / "c")[0]


def test_threads_do_not_change_the_weights(tiny_sets: list[str], tmp_path: Path) -> None:
    for name, workers in (("none", 0), ("three", 3)):
        _train([*tiny_sets, "training.steps=2", f"training.workers={workers}", "training.cache_gb=0"], tmp_path / name)
    assert _results(tmp_path / "none") == _results(tmp_path / "three")


def test_finished_run_is_left_alone_and_says_so(tiny_sets: list[str], tmp_path: Path) -> None:
    first = _train(tiny_sets, tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    console = _quiet()
    again = train(load_config(None, tiny_sets), tmp_path / "run", console=console)
    assert again == replace(first, already_finished=True)
    assert "this run is finished; nothing to do" in console.file.getvalue()  # type: ignore[attr-defined]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")} == before


def test_a_finished_run_is_lengthened(tiny_sets: list[str], tmp_path: Path) -> None:
    constant = [*tiny_sets, "training.round_steps=2", "training.optimiser.power=0", "training.optimiser.warmup_steps=0"]
    whole = _train([*constant, "training.steps=6"], tmp_path / "whole")
    _train([*constant, "training.steps=4"], tmp_path / "run")
    console = _quiet()
    longer = train(load_config(None, [*constant, "training.steps=6"]), tmp_path / "run", console=console)
    assert "finished with 4 steps, going on to 6" in console.file.getvalue()  # type: ignore[attr-defined]
    assert (longer.steps, longer.already_finished) == (6, False)
    assert _results(tmp_path / "run") == _results(whole.folder)  # on a constant rate nothing differs
    assert _curve(tmp_path / "run") == _curve(whole.folder)
    assert load_config(tmp_path / "run" / "config.yaml").training.steps == 6


def test_the_first_step_of_a_longer_run_changes_weights(tiny_sets: list[str], tmp_path: Path) -> None:
    """The checkpoint of a finished run holds a learning rate of 0."""
    sets = [*tiny_sets, "training.round_steps=2"]
    _train([*sets, "training.steps=2"], tmp_path)
    before = AtomicCheckpoints().load_checkpoint(RunFolder(tmp_path).last)["state_dict"]
    _train([*sets, "training.steps=3"], tmp_path)
    after = AtomicCheckpoints().load_checkpoint(RunFolder(tmp_path).last)["state_dict"]
    weights = [name for name in before if name.endswith("conv1.weight")]
    assert weights
    assert not any(torch.equal(before[name], after[name]) for name in weights)


@pytest.mark.parametrize(
    ("changes", "damage", "meant"),
    [
        (["training.steps=2"], None, "to 2: that is less"),
        (["training.steps=8", "method.name=kd"], None, r"stages \(teacher and student\)"),
        (["training.steps=8"], "last.ckpt", "kept no checkpoint"),
        (["training.steps=8", "training.round_steps=3"], None, "within a round of 3 steps"),
    ],
)
def test_a_run_that_cannot_be_lengthened_says_why(
    changes: list[str], damage: str | None, meant: str, tiny_sets: list[str], tmp_path: Path
) -> None:
    sets = [*tiny_sets, "training.round_steps=2", *changes]
    _train([*sets, "training.steps=4"], tmp_path)
    if damage is not None:
        (tmp_path / "checkpoints" / damage).unlink()
    before = _results(tmp_path)
    with pytest.raises(ConfigError, match=meant):
        _train(sets, tmp_path)
    assert _results(tmp_path) == before


def test_a_second_process_is_refused_and_the_run_goes_on_once_it_is_gone(tiny_sets: list[str], tmp_path: Path) -> None:
    output = tmp_path / "run"
    output.mkdir()
    with sole_user(output), pytest.raises(ConfigError, match="another process"):
        _train(tiny_sets, output)
    assert list(output.iterdir()) == []
    assert _train(tiny_sets, output).steps


def test_other_settings_are_refused_by_name(tiny_sets: list[str], tmp_path: Path) -> None:
    _train(tiny_sets, tmp_path)
    with pytest.raises(ConfigError, match=r"other settings \(training\.batch_size, training\.optimiser\.power\)"):
        _train([*tiny_sets, "training.batch_size=2", "training.optimiser.power=1"], tmp_path)
    assert _train([*tiny_sets, "training.workers=0", "training.cache_gb=1"], tmp_path).already_finished
    afresh = _train([*tiny_sets, "training.batch_size=2"], tmp_path, resume=False)
    assert not afresh.already_finished
    assert load_config(tmp_path / "config.yaml").training.batch_size == 2


def test_a_run_from_before_an_option_existed_goes_on_with_its_default(tiny_sets: list[str], tmp_path: Path) -> None:
    _train(tiny_sets, tmp_path)
    config = tmp_path / "config.yaml"
    lines = config.read_text().splitlines(keepends=True)
    config.write_text("".join(line for line in lines if not line.startswith("  unlabelled_share:")))
    assert _train(tiny_sets, tmp_path).already_finished
    with pytest.raises(ConfigError, match=r"other settings \(training\.unlabelled_share\)"):
        _train([*tiny_sets, "training.unlabelled_share=0.25"], tmp_path)


def test_folder_of_something_else_is_refused_and_kept(tiny_sets: list[str], tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "config.yaml").write_text("theirs: true\n", encoding="utf-8")
    for resume in (True, False):
        with pytest.raises(ConfigError, match="not empty and holds no run"):
            _train(tiny_sets, tmp_path, resume=resume)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "config.yaml"]
    with pytest.raises(ConfigError, match="is a file"):
        _train(tiny_sets, tmp_path / "config.yaml")


def test_torn_checkpoint_is_never_picked_up(
    tiny_sets: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    _train(tiny_sets, whole)
    rename, renamed = Path.replace, []

    def fail_second(self: Path, target: Path) -> Path:
        renamed.extend([target] if target.name == "last.ckpt" else [])
        if len(renamed) == 2:
            raise OSError(28, "No space left on device")
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail_second)
        with pytest.raises(OSError, match="No space left"):
            _train(tiny_sets, torn)
    leftover = torn / "checkpoints" / ".last.ckpt.tmp-1"
    leftover.write_bytes(b"half")
    assert AtomicCheckpoints().load_checkpoint(RunFolder(torn).last)["global_step"] == 2
    _train(tiny_sets, torn)
    assert _results(torn) == _results(whole)
    assert not leftover.exists()


def test_damaged_checkpoint_is_named(tiny_sets: list[str], tmp_path: Path) -> None:
    _train(tiny_sets, tmp_path)
    (tmp_path / "result.json").unlink()
    last = RunFolder(tmp_path).last
    last.write_bytes(last.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"last\.ckpt is damaged: delete it"):
        _train(tiny_sets, tmp_path)


def test_write_that_fails_is_an_environment_error_and_keeps_the_old_checkpoint(tmp_path: Path) -> None:
    path, limits = tmp_path / "last.ckpt", resource.getrlimit(resource.RLIMIT_FSIZE)
    AtomicCheckpoints().save_checkpoint({"global_step": 1}, path)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        with pytest.raises(OSError, match="File too large"):
            AtomicCheckpoints().save_checkpoint({"global_step": 2, "weights": torch.zeros(10**6)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert AtomicCheckpoints().load_checkpoint(path) == {"global_step": 1}
    assert [item.name for item in tmp_path.iterdir()] == ["last.ckpt"]


def test_checkpoint_executes_nothing(tmp_path: Path) -> None:
    torch.save({"global_step": 1, "hook": nn.Linear(1, 1)}, tmp_path / "evil.ckpt")
    with pytest.raises(InputError, match="is damaged"):
        AtomicCheckpoints().load_checkpoint(tmp_path / "evil.ckpt")


def test_changed_data_set_is_noticed(tiny_sets: list[str], tmp_path: Path) -> None:
    plan = build_plan(load_config(None, tiny_sets))
    train_plan(plan, tmp_path, console=_quiet())
    (tmp_path / "result.json").unlink()
    first, *others = plan.catalog.chips
    other = tmp_path / "other.tif"
    other.write_bytes(first.sar[0].read_bytes() + b" ")
    changed = replace(plan.catalog, chips=(replace(first, sar=(other,)), *others))
    with pytest.raises(InputError, match="has changed since the run"):
        train_plan(replace(plan, catalog=changed), tmp_path, console=_quiet())


def test_leaking_split_is_refused(tiny_sets: list[str], tmp_path: Path) -> None:
    plan = build_plan(load_config(None, tiny_sets))
    first, second, *others = plan.split.train
    twin = replace(plan.catalog[first], key="twin")
    catalog = replace(plan.catalog, chips=(*plan.catalog.chips, twin))
    leaking = replace(plan, catalog=catalog, split=replace(plan.split, train=(first, second), test=("twin", *others)))
    with pytest.raises(LeakError, match=r"1 of 2 train chips share"):
        train_plan(leaking, tmp_path / "run", console=_quiet())
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_diverging_loss_stops_with_its_name_and_keeps_the_checkpoint(
    tiny_sets: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverging(*args: object) -> nn.Module:
        method = build_method(*args)  # type: ignore[arg-type]
        losses = method.losses

        def wrapped(batch: Batch, step: int, steps: int) -> dict[str, Tensor]:
            named = losses(batch, step, steps)
            return {name: value * (float("nan") if step >= 2 else 1.0) for name, value in named.items()}

        monkeypatch.setattr(method, "losses", wrapped)
        return method

    monkeypatch.setattr("overcast.training.module.build_method", diverging)
    with pytest.raises(ConfigError, match=r"diverged: loss is nan in steps 3 \.\. 3; lower training\.optimiser"):
        _train(tiny_sets, tmp_path)
    kept = AtomicCheckpoints().load_checkpoint(RunFolder(tmp_path).last)
    assert kept["global_step"] == 2
    assert all(torch.isfinite(value).all() for value in kept["state_dict"].values() if value.is_floating_point()
               and not value.isnan().all())  # fmt: skip
    assert not (tmp_path / "result.json").exists()


def test_split_without_validation_is_refused(tiny_sets: list[str]) -> None:
    plan = build_plan(load_config(None, tiny_sets))
    with pytest.raises(ConfigError, match="leaves no validation chips"):
        replace(plan, split=replace(plan.split, validation=()))


@pytest.mark.parametrize(("kept", "best_step"), [("deployed", 2), ("any_sky", 4)])
def test_the_round_that_is_kept_is_best_from_sar_alone_or_on_the_mean_of_both_ways(
    kept: str, best_step: int, tiny_sets: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {2: iter((90, 10)), 4: iter((80, 60)), 6: iter((85, 50))}  # IoU in percent, from SAR alone and from both

    def scripted(_: PixelCounts, module: MethodModule) -> PixelCounts:
        percent = next(found[module.global_step])
        return PixelCounts(percent, 100 - percent, 0, 0)

    monkeypatch.setattr("overcast.training.module.pooled", scripted)
    sets = [*tiny_sets, "training.steps=6", "method.name=modality_dropout", f"training.keep_best={kept}"]
    assert _train(sets, tmp_path).best_step == best_step
    from_both = [float(row["validation_both_iou"]) for row in _curve(tmp_path) if row.get("validation_both_iou")]
    assert from_both == {"deployed": [], "any_sky": [0.1, 0.6, 0.5]}[kept]


def test_a_method_that_has_one_way_to_work_cannot_be_judged_under_any_sky(tiny_sets: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="from SAR alone and from both sensors, which 'sar' does not"):
        _train([*tiny_sets, "training.keep_best=any_sky"], tmp_path)
    assert not list(tmp_path.rglob("*.yaml"))


def test_best_round_is_kept_and_recomputed_from_its_bundle(tiny_sets: list[str], tmp_path: Path) -> None:
    result = _train([*tiny_sets, "training.steps=6", "training.optimiser.learning_rate=1e-2"], tmp_path)
    scores = {int(row["step"]): float(row["validation_iou"]) for row in _curve(tmp_path) if row["validation_iou"]}
    assert list(scores) == [2, 4, 6]
    assert result.best_step == max(scores, key=lambda step: scores[step])
    assert result.metrics["validation sar"]["iou"] == scores[result.best_step]
    run = open_run(tmp_path)
    counts = PixelCounts()
    with torch.inference_mode():
        for batch in run.batches(Part.VALIDATION, (InputModalities.SAR,)):
            counts += count_pixels(
                run.bundle.standardised_network(batch.require("sar")), batch.require("label"), threshold=0.0
            )
    # Inference runs in another memory layout: sums of floats differ in the last bit, few pixels flip.
    assert counts.iou == pytest.approx(scores[result.best_step], abs=1e-3)
    assert set(run.places(Part.TEST)) == set(run.split.test)


def test_open_run_reads_what_an_evaluation_needs(tiny_sets: list[str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a run folder"):
        open_run(tmp_path)
    _train([*tiny_sets, "method.name=fusion", "training.steps=2"], tmp_path)
    run = open_run(tmp_path)
    (batch,) = run.batches(Part.TEST, (InputModalities.BOTH,), batch_size=6)
    assert batch.keys == run.split.test
    assert batch.require("optical").shape == (6, 3, 64, 64)
    (tmp_path / "result.json").unlink()
    with pytest.raises(InputError, match="is not finished"):
        open_run(tmp_path)


def test_frozen_normalisation_keeps_its_statistics(tiny_sets: list[str], tmp_path: Path) -> None:
    _train([*tiny_sets, "training.batch_norm=frozen"], tmp_path)
    state = AtomicCheckpoints().load_checkpoint(RunFolder(tmp_path).last)["state_dict"]
    means = [value for name, value in state.items() if name.endswith("running_mean")]
    assert means
    assert all((mean == 0).all() for mean in means)


def test_optical_method_needs_optical_bands(tiny_sets: list[str], tmp_path: Path) -> None:
    plan = build_plan(load_config(None, [*tiny_sets, "method.name=cmhcl"]))
    blind = replace(plan, network=plan.network.with_bands(2, 0))
    with pytest.raises(ConfigError, match="optical"):
        train_plan(blind, tmp_path, console=_quiet())


def test_interrupt_leaves_as_an_interrupt(tiny_sets: list[str], tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    _train(tiny_sets, whole)
    before = signal.getsignal(signal.SIGINT)
    with interrupted_at(4):
        _train(tiny_sets, stopped)
    assert signal.getsignal(signal.SIGINT) == before
    _train(tiny_sets, stopped)
    assert _results(stopped) == _results(whole)


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("garcia", 6),
        ("garcia", 8),
        ("self_training", 6),
        ("modality_dropout", 6),
        ("translation", 6),
    ],
)
def test_stages_and_draws_resume_to_the_same_bits(name: str, steps: int, tiny_sets: list[str], tmp_path: Path) -> None:
    """Stopped in the second stage: the checkpoint was written at its begin (6 steps) or in its middle (8 steps)."""
    sets = [*tiny_sets, f"method.name={name}", f"training.steps={steps}", "training.round_steps=2"]
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    _train(sets, whole)
    with interrupted_at(steps - 2):
        _train(sets, stopped)
    _train(sets, stopped)
    assert _results(stopped) == _results(whole)


def test_each_stage_runs_through_the_learning_rates(tiny_sets: list[str], tmp_path: Path) -> None:
    sets = ["method.name=garcia", "training.steps=10", "training.round_steps=5", "training.log_steps=1"]
    _train([*tiny_sets, *sets, "training.optimiser={learning_rate: 1e-3, power: 1.0}"], tmp_path)
    rates = [float(row["learning_rate"]) for row in _curve(tmp_path) if row["learning_rate"]]
    falling = [1e-3, 7.5e-4, 5e-4, 2.5e-4]
    assert rates == pytest.approx([*falling, *falling, 1e-4, 5e-5])


@pytest.mark.parametrize(("clip_norm", "calls"), [(0.5, 2), (0, 0)])
def test_the_gradient_is_clipped_once_a_step(
    clip_norm: float, calls: int, tiny_sets: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms: list[float] = []
    original = torch.nn.utils.clip_grad_norm_

    def clip(parameters: Iterable[torch.Tensor], norm: float) -> torch.Tensor:
        norms.append(norm)
        return original(parameters, norm)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", clip)
    _train([*tiny_sets, "training.steps=2", f"training.optimiser.clip_norm={clip_norm}"], tmp_path)
    assert norms == [clip_norm] * calls


def test_global_state_is_given_back(tiny_sets: list[str], tmp_path: Path) -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    _train([*tiny_sets, "training.steps=1"], tmp_path)
    assert torch.equal(torch.rand(3), expected)
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["frozen", "local"])
def test_two_processes_follow_the_curve_of_one(norm: str, tiny_sets: list[str], tmp_path: Path) -> None:
    sets = [*tiny_sets, "training.steps=8", "training.round_steps=4", f"training.batch_norm={norm}"]
    _train(sets, tmp_path / "one")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(PROCESS)]
    done = subprocess.run(
        [*command, str(tmp_path / "two"), *sets], capture_output=True, text=True, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = np.array(_losses(tmp_path / "one")), np.array(_losses(tmp_path / "two"))
    # Frozen: the same sums in another order. Local: each process normalises with the statistics of half the batch.
    np.testing.assert_allclose(two, one, rtol=1e-5 if norm == "frozen" else 0.04)


def test_batch_that_cannot_be_shared_is_refused(tiny_sets: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="3 chips cannot be shared evenly by 2 processes; choose a multiple of 2"):
        _train([*tiny_sets, "training.batch_size=3", "training.devices=2"], tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("training={accelerator: auto, batch_norm: synced}", "batch_norm=synced needs GPUs"),
        ("training.accelerator=gpu", "no GPU can be used"),
    ],
)
def test_devices_that_are_not_there_are_refused(
    override: str, sentence: str, tiny_sets: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=sentence):
        _train([*tiny_sets, override], tmp_path)
