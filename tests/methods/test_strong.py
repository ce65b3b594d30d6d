"""The strong recipe from one line in a configuration to training, bundle, evaluation and report."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from overcast.batch import InputModalities
from overcast.bundle.bundle import load_bundle
from overcast.choices import Separation, Tta
from overcast.cli import app
from overcast.config import RunConfig, config_yaml, load_config, open_run, train
from overcast.config.data import SpaceNet6Data
from overcast.config.recipe import Recipe
from overcast.data.splits.parts import Part
from overcast.data.targets import Target, Targets
from overcast.errors import ConfigError
from overcast.evaluation.result import Evaluation, EvaluationOptions
from overcast.experiments.benchmark.jobs import base_config
from overcast.experiments.benchmark.options import load_benchmark
from overcast.experiments.benchmark.runner import prepare_data
from overcast.experiments.compare import Request, compare_runs

pytestmark = pytest.mark.usefixtures("one_thread")
ROOT = "data={name: folder, root: data}"


def dumped(*sets: str) -> dict[str, object]:
    return load_config(None, [ROOT, *sets]).model_dump(mode="json")


def test_one_word_is_the_whole_recipe():
    config = load_config(None, [ROOT, "recipe=strong"])
    assert config.recipe is Recipe.STRONG
    assert config.targets == Targets(edge=True, contact=True)
    assert (config.augmentation.scale, config.augmentation.rotation_deg) == (0.2, 10.0)
    assert (config.evaluation.tta, config.evaluation.separate) == (Tta.FULL, Separation.WATERSHED)
    assert config.network_spec(4, 3).logits == 3


def test_what_is_set_wins_over_the_recipe_in_any_order(tmp_path: Path):
    sets = ["targets.contact=false", "augmentation={scale: 0.1, enabled: true}", "evaluation.tta=flip"]
    first, last = dumped("recipe=strong", *sets), dumped(*sets, "recipe=strong")
    assert first == last
    config = RunConfig.model_validate(first)
    assert config.targets.names == (Target.FOOTPRINT, Target.EDGE)
    assert (config.augmentation.scale, config.augmentation.rotation_deg) == (0.1, 10.0)
    assert (config.evaluation.tta, config.evaluation.separate) == (Tta.FLIP, Separation.WATERSHED)
    path = tmp_path / "config.yaml"
    path.write_text(config_yaml(config), encoding="utf-8")
    assert load_config(path) == config


@pytest.mark.parametrize(
    ("override", "meant"),
    [
        ("recipe=stron", "recipe: input should be 'plain' or 'strong' (got 'stron')"),
        ("targets.egde=true", "did you mean targets.edge?"),
        ("augmentation.rotation_deg=20", "less than or equal to 15"),
        ("targets=5", "targets"),
        ("evaluation.tta=mirror", "'off', 'flip' or 'full'"),
    ],
)
def test_mistakes_are_named(override: str, meant: str):
    with pytest.raises(ConfigError) as caught:
        load_config(None, [ROOT, "recipe=strong", override])
    assert meant in str(caught.value)


@pytest.mark.parametrize("side", ["east", "north"])
def test_every_method_of_the_spacenet6_benchmarks_has_the_recipe(side: str):
    benchmark = load_benchmark(Path(f"configs/benchmark/spacenet6-{side}.yaml"))
    (dataset,) = benchmark.datasets.values()
    base = base_config(dataset)
    assert base.recipe is Recipe.STRONG
    assert isinstance(base.data, SpaceNet6Data)
    assert base.data.side == side
    for entry in benchmark.methods:
        sets = (*dataset.sets, *entry.sets, *(entry.candidates[0] if entry.candidates else ()))
        config = load_config(dataset.config, sets)
        assert (config.targets, config.evaluation) == (base.targets, base.evaluation), entry.label
        assert config.augmentation == base.augmentation, entry.label


def test_the_bundle_says_what_its_maps_are(strong_run: Path):
    info = load_bundle(strong_run / "bundle").info
    assert info.outputs == (Target.FOOTPRINT, Target.EDGE, Target.CONTACT)
    assert info.network.targets == Targets(edge=True, contact=True)
    record = json.loads((strong_run / "bundle" / "bundle.json").read_text(encoding="utf-8"))
    assert record["outputs"] == ["footprint", "edge", "contact"]
    assert "3 logits (footprint, edge, contact)" in (strong_run / "bundle" / "README.md").read_text(encoding="utf-8")


def test_the_footprint_is_what_is_scored(strong_run: Path):
    """Validation metrics of the training equal those of the first map alone."""
    opened = open_run(strong_run)
    method = opened.bundle.method
    assert method is not None
    tp = union = 0
    for batch in opened.batches(Part.VALIDATION, (InputModalities.SAR,)):
        logits, label = method.predict(batch, InputModalities.SAR), batch.require("label").numpy()
        assert logits.shape[1] == 3
        predicted = logits[:, 0].detach().numpy() >= 0
        tp += int(np.count_nonzero(predicted & (label == 1)))
        union += int(np.count_nonzero((predicted | (label == 1)) & (label != 255)))
    assert opened.bundle.info.metrics["validation sar"]["iou"] == pytest.approx(tp / union)


def test_evaluation_follows_the_configuration_and_its_overrides(strong_run: Path, tmp_path: Path):
    as_configured = compare_runs([strong_run], tmp_path / "a").results[0].evaluation
    assert (as_configured.options.tta, as_configured.options.separate) == (Tta.FULL, Separation.WATERSHED)
    plain = (
        compare_runs([strong_run], tmp_path / "a", Request(tta=Tta.OFF, separate=Separation.OFF)).results[0].evaluation
    )
    assert (plain.options.tta, plain.options.separate) == (Tta.OFF, Separation.OFF)
    assert plain.total.curve != as_configured.total.curve
    flipped = (
        compare_runs([strong_run], tmp_path / "b", Request(tta=Tta.FLIP, separate=Separation.OFF)).results[0].evaluation
    )
    assert flipped.total.curve != plain.total.curve
    reports = [(tmp_path / name / "report.html").read_text(encoding="utf-8") for name in "ab"]
    assert "averaged over look-safe views (flip)" in reports[1]
    assert "look-safe" not in reports[0]  # of the plain evaluation, the last one written there
    assert "touching buildings separated" not in "".join(reports)


def test_the_command_line_chooses_views_and_separation(strong_run: Path, tmp_path: Path):
    arguments = ["evaluate", str(strong_run), "-o", str(tmp_path), "--tta", "flip", "--separate", "watershed", "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    (path,) = (tmp_path / "results").glob("*.json")
    options = Evaluation.read(path).options
    assert (options.tta, options.separate) == (Tta.FLIP, Separation.WATERSHED)
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "averaged over look-safe views (flip); touching buildings separated" in report
    assert "--tta flip --separate watershed" in report


def test_separation_without_learnt_walls_is_refused(tiny_sets: list[str], tmp_path: Path):
    sets = [*tiny_sets, "training.steps=1", "training.round_steps=1"]
    train(load_config(None, sets), tmp_path / "run", console=Console(file=io.StringIO()))
    with pytest.raises(ConfigError, match="has learnt neither edges nor contacts"):
        compare_runs([tmp_path / "run"], tmp_path / "out", Request(separate=Separation.WATERSHED))


def test_a_benchmark_takes_the_evaluation_of_its_data_set(tiny_folder: Path, tmp_path: Path):
    from conftest import TINY_SETS

    base = tmp_path / "base.yaml"
    base.write_text("data: {name: folder}\nrecipe: strong\n", encoding="utf-8")
    content = {
        "title": "t",
        "datasets": {"tiny": {"config": str(base), "sets": [*TINY_SETS, f"data.root={tiny_folder}"]}},
        "methods": ["sar"],
    }
    path = tmp_path / "benchmark.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    options: dict[str, EvaluationOptions] = prepare_data(load_benchmark(path), lambda *_: None)
    assert (options["tiny"].tta, options["tiny"].separate) == (Tta.FULL, Separation.WATERSHED)
