"""One stream: what a student learns of a finished model, what it costs, and what it says of its teacher."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import TINY_SETS
from interrupted import interrupted_at
from method_cases import SPEC, STATISTICS, STEPS, make, make_batch, same, state_of, total, train_step
from pydantic import ValidationError
from rich.console import Console
from test_benchmark import RUN
from torch import nn
from typer.testing import CliRunner

from overcast.bundle.bundle import CARD, load_bundle
from overcast.cli import app
from overcast.config import distil_config, load_config, train
from overcast.errors import BundleError, ConfigError, InputError
from overcast.experiments.benchmark.options import BenchmarkConfig
from overcast.experiments.benchmark.runner import prepare_data, run_benchmark
from overcast.experiments.benchmark.workers import Workers
from overcast.methods.collaborative import CollaborativeOptions
from overcast.methods.describe import describe
from overcast.methods.losses import segmentation_loss, soft_segmentation_loss
from overcast.methods.one_stream import OneStream, OneStreamOptions, SoftTeacher
from overcast.methods.options import build_deployable, build_method
from overcast.methods.supervised import SarOptions
from overcast.models.cost import cost
from overcast.raster.radiometry import BandStatistics

pytestmark = pytest.mark.usefixtures("one_thread")


def one_stream(teacher: nn.Module | None = None, **changes: Any) -> OneStream:
    method = make(OneStreamOptions.model_validate({"teacher": "teacher", **changes}))
    assert isinstance(method, OneStream)
    if teacher is not None:
        method.learn_from(SoftTeacher.of(teacher, STATISTICS.sar, STATISTICS.sar))
    return method


def cmhcl() -> nn.Module:
    torch.manual_seed(7)
    return build_deployable(CollaborativeOptions(), SPEC)


def test_the_losses_are_those_of_the_teachers_probabilities_and_of_the_labels() -> None:
    teacher = cmhcl()
    method, batch = one_stream(teacher, weight_soft=2.0, weight_hard=0.5).eval(), make_batch()
    losses = method.losses(batch, 0, STEPS)
    logits, taught = method.network(batch.require("sar")), teacher(batch.require("sar") * batch.require("sar_valid"))
    soft = soft_segmentation_loss(taught, logits, batch.sar_valid)
    torch.testing.assert_close(losses["soft"], 2 * soft)
    torch.testing.assert_close(losses["seg"], 0.5 * segmentation_loss(logits, batch.require("label"), batch.sar_valid))


def test_places_without_labels_teach_the_student() -> None:
    method, batch = one_stream().train(), replace(make_batch(), label=None)
    losses = method.losses(batch, 0, STEPS)
    assert set(losses) == {"soft"}
    total(losses).backward()
    assert all(parameter.grad is not None for parameter in method.network.parameters())
    together = one_stream().train().losses_of_parts((make_batch(), replace(make_batch(seed=1), label=None)), 0, STEPS)
    assert together["soft"] != one_stream().train().losses(make_batch(), 0, STEPS)["soft"]


def test_the_teacher_stays_the_same_to_the_bit_and_is_no_part_of_the_method() -> None:
    teacher = cmhcl()
    method = one_stream(teacher).train()
    before, student = state_of(teacher), state_of(method.network)
    for step in range(3):
        method.train()  # as a trainer does after validation
        train_step(method, step)
    assert same(before, state_of(teacher))
    assert not same(student, state_of(method.network))
    assert not any(module.training for module in teacher.modules())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert method.state_dict().keys() == make(SarOptions()).state_dict().keys()


def test_the_teacher_sees_images_by_its_own_statistics() -> None:
    raw = torch.rand(2, 2, 32, 32, generator=torch.Generator().manual_seed(3)) * 40
    own, given = BandStatistics(mean=(5.0, 9.0), std=(2.0, 7.0)), STATISTICS.sar
    valid = torch.ones(2, 1, 32, 32, dtype=torch.bool)
    valid[..., :4] = False
    known, seen = (
        (raw - torch.tensor(of.mean)[:, None, None]) / torch.tensor(of.std)[:, None, None] * valid
        for of in (own, given)
    )
    teacher = SoftTeacher.of(nn.Identity(), own, given)
    torch.testing.assert_close(teacher.logits(seen, valid), known, atol=1e-5, rtol=1e-5)
    assert SoftTeacher.of(nn.Identity(), given, given).logits(seen, valid).equal(seen)


def test_without_a_teacher_there_are_no_losses() -> None:
    with pytest.raises(ConfigError, match="without its teacher"):
        build_method(OneStreamOptions(teacher="t"), SPEC).losses(make_batch(), 0, STEPS)


def test_it_costs_what_sar_costs_and_half_of_its_teacher() -> None:
    student, sar, teacher = (
        cost(network, [(1, SPEC.sar_bands, 64, 64)])
        for network in (one_stream().deployable(), make(SarOptions()).deployable(), cmhcl())
    )
    assert student == sar
    assert teacher.multiply_adds > 1.9 * student.multiply_adds
    assert describe(one_stream(), 64)["deployed"] == describe(make(SarOptions()), 64)["deployed"]


def _train(run: Path, *sets: str) -> Path:
    train(load_config(None, sets), run, console=Console(file=io.StringIO()))
    return run


@pytest.fixture(scope="module")
def taught(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two steps of CMH-CL."""
    sets = [*TINY_SETS, f"data.root={tiny_folder}", "data.label_share=0.5", "method.name=cmhcl", "training.steps=2"]
    return _train(tmp_path_factory.mktemp("taught") / "cmhcl", *sets)


CPU = ["--set", "training.precision=fp32", "--set", "training.steps=4"]


def test_a_run_is_distilled_into_an_ordinary_sar_bundle(taught: Path, tmp_path: Path) -> None:
    before = (taught / "bundle" / "model.safetensors").read_bytes()
    result = CliRunner().invoke(app, ["distil", str(taught), "-o", str(tmp_path / "one"), *CPU])
    assert result.exit_code == 0, result.output
    assert (taught / "bundle" / "model.safetensors").read_bytes() == before
    parent = load_bundle(taught / "bundle").info
    for name in ("bundle", "full"):
        info = load_bundle(tmp_path / "one" / name).info
        assert info.method == SarOptions()
        assert info.teacher is not None
        assert (info.teacher.name, info.teacher.sha256) == ("cmhcl", parent.weights_sha256)
        assert info.statistics == parent.statistics
    assert "Distilled from the model cmhcl" in (tmp_path / "one" / "bundle" / CARD).read_text()
    item = json.loads((tmp_path / "one" / "bundle" / "stac.json").read_text())
    assert item["properties"]["overcast:teacher"]["sha256"] == parent.weights_sha256
    header = (tmp_path / "one" / "metrics.csv").read_text().splitlines()[0]
    assert {"soft", "seg"} <= set(header.split(","))


def test_a_stopped_distillation_goes_on_to_the_same_bits(taught: Path, tmp_path: Path) -> None:
    config = distil_config(taught, ["training.precision=fp32", "training.steps=4"])
    quiet = Console(file=io.StringIO())
    train(config, tmp_path / "whole", console=quiet)
    with interrupted_at(3):
        train(config, tmp_path / "stopped", console=quiet)
    train(config, tmp_path / "stopped", console=quiet)
    whole, stopped = ((tmp_path / name / "bundle" / "model.safetensors").read_bytes() for name in ("whole", "stopped"))
    assert whole == stopped


def test_what_cannot_be_distilled_is_refused_in_a_sentence(taught: Path, tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a run folder"):
        distil_config(tmp_path)
    sets = [*TINY_SETS, f"data.root={tiny_folder}", "training.steps=2"]
    fusion = _train(tmp_path / "fusion", *sets, "method.name=fusion")
    quiet = Console(file=io.StringIO())
    with pytest.raises(BundleError, match="needs optical and sar images"):
        train(distil_config(fusion, ["training.precision=fp32"]), tmp_path / "a", console=quiet)
    with pytest.raises(BundleError, match=r"has targets .* this training"):
        train(distil_config(taught, ["targets.edge=true"]), tmp_path / "b", console=quiet)
    (fusion / "result.json").unlink()
    with pytest.raises(InputError, match="not finished"):
        distil_config(fusion)


def test_a_benchmark_distils_the_model_of_the_same_seed(tiny_folder: Path, tmp_path: Path) -> None:
    student = {"label": "one", "sets": ["method.name=one_stream"], "taught_by": "cmhcl"}
    split = {"by": "places", "test_share": 0.25, "validation_share": 0.25}
    run = tmp_path / "run.yaml"
    run.write_text(yaml.safe_dump({"data": {"root": str(tiny_folder), "split": split}, **RUN}))
    content = {"title": "t", "datasets": {"tiny": {"config": str(run)}}, "seeds": [3], "panels": 0}
    benchmark = BenchmarkConfig.model_validate(content | {"methods": [student, "cmhcl"], "available": ["sar"]})
    done: list[str] = []
    finished = run_benchmark(
        benchmark,
        tmp_path / "out",
        prepare_data(benchmark, lambda *_: None),
        Workers(),
        lambda job, outcome, *_: done.append(outcome.error or job.label),
    )
    assert done == ["cmhcl", "one"]
    one, teacher = (outcome.rows[0] for _, outcome in finished.runs)
    assert (one.method, one.settings, one.seed) == ("one_stream", "defaults", 3)
    assert teacher.multiply_adds > 1.9 * one.multiply_adds
    info = load_bundle(tmp_path / "out/tiny/one/seed3/run/bundle").info
    assert info.teacher is not None
    assert info.teacher.sha256 == load_bundle(tmp_path / "out/tiny/cmhcl/seed3/run/bundle").info.weights_sha256


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ([{"label": "one", "sets": ["method.name=one_stream"], "taught_by": "sar"}], "needs to be a method of this"),
        (["cmhcl", {"label": "one", "sets": [], "taught_by": "cmhcl", "candidates": [["a=1"]]}], "no candidates"),
        (
            [{"label": "cmhcl", "sets": [], "seeds": [0]}, {"label": "one", "sets": [], "taught_by": "cmhcl"}],
            "seed 1, 2",
        ),
    ],
)
def test_a_benchmark_without_the_teacher_is_refused(methods: list[object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        BenchmarkConfig.model_validate({"title": "t", "datasets": {"a": {"config": "a.yaml"}}, "methods": methods})


def test_another_teacher_than_the_run_began_with_is_refused(taught: Path, tiny_folder: Path, tmp_path: Path) -> None:
    config = distil_config(taught, ["training.precision=fp32", "training.steps=2"])
    quiet = Console(file=io.StringIO())
    train(config, tmp_path / "one", console=quiet)
    moved = shutil.copytree(taught / "bundle", tmp_path / "moved")
    elsewhere = distil_config(taught, ["training.precision=fp32", "training.steps=2", f"method.teacher={moved}"])
    assert train(elsewhere, tmp_path / "one", console=quiet).already_finished
    (tmp_path / "one" / "result.json").unlink()
    record = tmp_path / "one" / "teacher.json"
    record.write_text(record.read_text().replace(load_bundle(taught / "bundle").info.weights_sha256, "0" * 64))
    with pytest.raises(InputError, match=r"teaches the run .* has changed since it began"):
        train(config, tmp_path / "one", console=quiet)
