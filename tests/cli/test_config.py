"""Configuration: what is written is read back, and every mistake is named with the key that was meant."""

from __future__ import annotations

from pathlib import Path
from typing import get_args, get_origin

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from overcast.config import RunConfig, build_plan, config_yaml, load_config
from overcast.errors import ConfigError
from overcast.models.spec import Preset
from overcast.settings import field_documentation
from overcast.training.options import OptimiserOptions, rate_factor

EXAMPLES = sorted(path for path in Path("configs").glob("*.yaml") if "dataset" not in path.name)
ROOT = "data={name: folder, root: data}"


def _error(*sets: str, path: Path | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path, sets)
    return str(caught.value)


@pytest.mark.parametrize(
    "sets",
    [
        [ROOT],
        [ROOT, "method.name=fusion", "network.preset=paper", "training.crop=null"],
        ["data={name: spacenet6, root: here, side: north}", "method={name: cmhcl, msal: false, lambda_mfa: 0.5}"],
        [ROOT, "data.split={by: file, path: 'with space: and colon.csv'}", "licence='yes'", "training.seed=3"],
    ],
)
def test_written_yaml_reads_back_equal(sets: list[str], tmp_path: Path) -> None:
    config = load_config(None, sets)
    path = tmp_path / "config.yaml"
    path.write_text(config_yaml(config), encoding="utf-8")
    assert load_config(path) == config
    assert yaml.safe_load(config_yaml(config)) == config.model_dump(mode="json")


@given(
    rate=st.floats(1e-7, 1), steps=st.integers(1, 10**6), name=st.sampled_from(["cmhcl", "sar", "sar_twin"]),
    licence=st.none() | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20),
)  # fmt: skip
def test_any_values_survive_yaml(rate: float, steps: int, name: str, licence: str | None) -> None:
    config = load_config(None, [ROOT, f"training.steps={steps}", f"method.name={name}"])
    optimiser = config.training.optimiser.model_copy(update={"learning_rate": rate})
    training = config.training.model_copy(update={"optimiser": optimiser})
    config = config.model_copy(update={"licence": licence, "training": training})
    assert RunConfig.model_validate(yaml.safe_load(config_yaml(config))) == config


def test_yaml_is_commented_with_the_documentation() -> None:
    text = config_yaml(load_config(None, [ROOT]))
    assert "    # Peak learning rate.\n    learning_rate: 0.0003\n" in text
    assert "  # tau, softening of both sides of an alignment.\n  temperature: 2.0\n" in text
    assert max(len(line) for line in text.splitlines() if line.lstrip().startswith("#")) <= 112


def test_every_key_is_documented() -> None:
    undocumented = [
        f"{model.__name__}.{name}"
        for model in _models(RunConfig)
        if model.__module__.startswith(("overcast.config", "overcast.training"))
        for name in model.model_fields
        if not field_documentation(model).get(name)
    ]
    assert undocumented == []


def test_every_number_is_bounded() -> None:
    unbounded = [
        f"{model.__name__}.{name}"
        for model in _models(RunConfig)
        if model.__module__.startswith(("overcast.config", "overcast.training"))
        for name, field in model.model_fields.items()
        if {int, float} & {field.annotation, *get_args(field.annotation)} and not _has_bounds(field.metadata)
    ]
    assert unbounded == []


def _has_bounds(metadata: list[object]) -> bool:
    return any(hasattr(item, "ge") or hasattr(item, "gt") for item in metadata)


def _models(annotation: object) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields.values()
        return {annotation}.union(*(_models(field.annotation) for field in fields))
    return set().union(*(_models(part) for part in get_args(annotation))) if get_origin(annotation) else set()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_valid(path: Path) -> None:
    assert load_config(path).data.root.is_absolute()


def test_misspelt_key_in_a_file_is_named_with_the_file_and_the_nearest_key(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("data: {name: folder, root: x}\ntraining: {stesp: 5}\n", encoding="utf-8")
    assert _error(path=path) == f"{path}: training.stesp is not a known key; did you mean training.steps?"


@pytest.mark.parametrize(
    ("override", "meant"),
    [
        ("training.optimiser.learning_rat=0.1", "did you mean training.optimiser.learning_rate?"),
        ("lambda_msa=0.1", "did you mean method.lambda_msa?"),
        ("method.lamda_msa=1", "did you mean method.lambda_msa?"),
        ("data.split.blok_m=3", "did you mean data.split.block_m?"),
        ("trainig.steps=3", "did you mean training?"),
        ("method={name: sar, lambda_msa: 1}", "method.lambda_msa is not a known key"),
        ("training.batch_size=0", "training.batch_size: input should be greater than or equal to 1 (got 0)"),
        (
            "training.precision=fp16",
            "training.precision: input should be 'auto', 'fp32', 'bf16' or 'int8' (got 'fp16')",
        ),
        ("method.name=cmhlc", "method.name: input should be one of 'cmhcl', 'sar'"),
        ("data.split.by=random", "data.split.by: input should be one of 'blocks', 'places'"),
        ("network.preset=huge", "network.preset: input should be 'tiny', 'thin', 'base' or 'paper' (got 'huge')"),
        ("network.encoder=mit_b0", "mit_b0"),
        ("training.optimiser.warmup_steps=20000", "warmup_steps must be below steps"),
        ("training.steps", "write it as key=value"),
        ("training..steps=1", "write it as key=value"),
        ("training.steps=[1", "not readable YAML"),
        ("training.steps=many", "training.steps: input should be a valid integer"),
    ],
)
def test_wrong_override_is_named(override: str, meant: str) -> None:
    message = _error(ROOT, override)
    assert message.startswith(f"--set {override}"), message
    assert meant in message, message
    assert "\n" not in message


def test_missing_key_is_named() -> None:
    assert _error("data.name=folder").startswith(
        "--set data.name=folder: data.root is missing"
    ) or "data.root" in _error("data.name=folder")
    assert "data is missing" in _error()


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("data: {name: folder, root: x}\ndata: {name: folder, root: y}\n", "key 'data' is given twice"),
        ("data: [\n", "not readable YAML"),
        ("- 1\n", "holds no keys"),
        ("data: 5\n", "data:"),
    ],
)
def test_unreadable_file_is_named(text: str, meant: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    message = _error(path=path)
    assert message.startswith(f"{path}")
    assert meant in message
    assert str(tmp_path / "none.yaml") in _error(path=tmp_path / "none.yaml")


def test_override_creates_and_keeps_sections() -> None:
    config = load_config(Path("configs/ombria.yaml"), ["training.optimiser.power=0.5", "training.steps=1e3"])
    assert config.training.optimiser.power == 0.5
    assert config.training.optimiser.learning_rate == 5e-4
    assert config.training.steps == 1000


def test_preset_fills_what_is_not_set() -> None:
    tiny = load_config(None, [ROOT, "network={preset: tiny, fusion_channels: 12}"]).network
    assert tiny.fusion_channels == 12
    assert (tiny.encoder_blocks, tiny.decoder_channels) == (1, (64, 48, 32, 24))
    assert tiny.preset is Preset.TINY
    assert load_config(None, [ROOT, "network.preset=paper"]).network.encoder == "resnet50"


def test_plan_takes_bands_from_the_data_set(tiny_sets: list[str]) -> None:
    plan = build_plan(load_config(None, tiny_sets))
    assert (plan.network.sar_bands, plan.network.optical_bands) == (2, 3)
    assert plan.licence == "CC0-1.0"
    assert set(plan.split.train).isdisjoint(plan.split.validation)


def test_rate_follows_the_polynomial() -> None:
    options = OptimiserOptions(power=0.9, warmup_steps=0)
    assert rate_factor(0, 100, options) == 1.0
    assert rate_factor(75, 100, options) == pytest.approx(0.25**0.9)
    assert rate_factor(100, 100, options) == 0.0
    warm = OptimiserOptions(power=0.0, warmup_steps=4)
    assert [rate_factor(step, 100, warm) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    share = OptimiserOptions(power=0.0)
    assert [rate_factor(step, 50, share) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
