"""Training that starts from a bundle: what is taken over, which bands go where, lineage, and refusals by name."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TINY_SETS
from method_cases import SPEC, make
from rich.console import Console

from overcast.bundle.bundle import load_bundle
from overcast.config import load_config, train
from overcast.errors import BundleError
from overcast.methods.collaborative import CollaborativeOptions
from overcast.methods.options import MethodOptions, build_method
from overcast.methods.self_training import SelfTrainingOptions
from overcast.methods.supervised import SarTwinOptions
from overcast.models.encoders import fitted_bands
from overcast.raster.radiometry import Radiometry
from overcast.training.plan import TrainResult
from overcast.training.start import Start, start_from

pytestmark = pytest.mark.usefixtures("one_thread")


def trained(root: Path, output: Path, *more: str) -> tuple[TrainResult, str]:
    text = io.StringIO()
    sets = [*TINY_SETS, f"data.root={root}", "training.steps=1", "training.round_steps=1", *more]
    result = train(load_config(None, sets), output, console=Console(file=text, width=400))
    return result, text.getvalue()


@pytest.fixture(scope="module")
def parents(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, TrainResult]:
    root = tmp_path_factory.mktemp("parents")
    names = ("sar", "optical", "sar_twin", "fusion")
    return {name: trained(tiny_folder, root / name, f"method.name={name}")[0] for name in names}


def fresh(options: MethodOptions, result: TrainResult) -> tuple[Any, Radiometry]:
    info = load_bundle(result.full).info
    torch.manual_seed(1)
    return build_method(options, info.network, info.statistics), info.radiometry


def test_a_twin_starts_from_a_twin(parents: dict[str, TrainResult]) -> None:
    for options in (SarTwinOptions(), CollaborativeOptions(), SelfTrainingOptions()):
        method, radiometry = fresh(options, parents["sar_twin"])
        started = start_from(method, Start(parents["sar_twin"].deployable), radiometry, keep_statistics=True)
        expected = load_bundle(parents["sar_twin"].deployable).standardised_network.state_dict()
        assert all(tensor.equal(expected[name]) for name, tensor in method.startable().state_dict().items())
        assert started.parent.taken == ("all that is deployed",)
        assert started.sentence.endswith("same bands")


def test_both_streams_start_from_a_single_one(parents: dict[str, TrainResult]) -> None:
    method, radiometry = fresh(CollaborativeOptions(), parents["sar"])
    start_from(method, Start(parents["sar"].deployable), radiometry, keep_statistics=True)
    parent: Any = load_bundle(parents["sar"].deployable).standardised_network
    source = parent.branch.state_dict()
    for stream in (method.network.deployed.first, method.network.deployed.second):
        assert all(tensor.equal(source[name]) for name, tensor in stream.state_dict().items())


def test_the_teacher_starts_from_an_optical_network(parents: dict[str, TrainResult]) -> None:
    method, radiometry = fresh(CollaborativeOptions(), parents["optical"])
    before = {name: tensor.clone() for name, tensor in method.network.deployed.state_dict().items()}
    start_from(method, Start(parents["optical"].deployable), radiometry, keep_statistics=True)
    source: Any = load_bundle(parents["optical"].deployable).standardised_network
    own = method.network.optical.state_dict()
    assert all(own[name].equal(tensor) for name, tensor in source.branch.state_dict().items())
    assert method.network.optical_head.weight.equal(source.head.weight)
    assert all(tensor.equal(before[name]) for name, tensor in method.network.deployed.state_dict().items())


def test_statistics_are_forgotten_unless_they_are_to_stay(parents: dict[str, TrainResult]) -> None:
    method, radiometry = fresh(SarTwinOptions(), parents["sar_twin"])
    start_from(method, Start(parents["sar_twin"].deployable), radiometry, keep_statistics=False)
    state = method.startable().state_dict()
    assert all((tensor == 0).all() for name, tensor in state.items() if name.endswith("running_mean"))


def test_bands_are_mapped_by_name_and_the_rest_by_the_rule(parents: dict[str, TrainResult]) -> None:
    bundle = load_bundle(parents["sar"].full)
    radiometry = bundle.info.radiometry
    bands = radiometry.sar.bands
    parent: Any = bundle.standardised_network
    weight = parent.branch.encoder.state_dict()
    of = f"of {bands[0]}, {bands[1]}"
    first = next(name for name, tensor in weight.items() if tensor.ndim == 4)
    given = weight[first]
    for new, expected, said in (
        (bands[::-1], given.flip(1), f"bands {bands[1]}, {bands[0]} by name"),
        (
            ("XX", bands[1], "YY"),
            given[:, [0, 1, 0]] * (2 / 3),
            f"by name; bands XX, YY take the weights {of}",
        ),
        (("XX",), fitted_bands(given, 1), "bands XX take the weights of"),
    ):
        sensor = radiometry.sar.model_copy(update={"bands": new})
        spec = bundle.info.network.with_bands(len(new), 3)
        method: Any = build_method(bundle.info.method, spec)
        changed = radiometry.model_copy(update={"sar": sensor})
        started = start_from(method, Start(parents["sar"].full), changed, keep_statistics=True)
        assert torch.allclose(method.network.branch.encoder.state_dict()[first], expected)
        assert said in started.sentence


def test_what_does_not_fit_is_refused_by_name(parents: dict[str, TrainResult]) -> None:
    method, radiometry = fresh(SarTwinOptions(), parents["optical"])
    with pytest.raises(BundleError, match=r"'optical', optical\) has no part that method 'sar_twin' could start from"):
        start_from(method, Start(parents["optical"].deployable), radiometry, keep_statistics=True)
    other = make(SarTwinOptions())
    assert other.spec == SPEC
    with pytest.raises(BundleError, match=r"has encoder_blocks .* this training"):
        start_from(other, Start(parents["sar"].deployable), radiometry, keep_statistics=True)


def test_the_lineage_is_in_record_card_and_item(
    parents: dict[str, TrainResult], tiny_folder: Path, tmp_path: Path
) -> None:
    parent = parents["sar_twin"]
    result, said = trained(
        tiny_folder, tmp_path / "run", "method.name=sar_twin", f"start={{bundle: {parent.folder}, rate: 0.1}}"
    )
    info = load_bundle(result.deployable).info
    sha256 = load_bundle(parent.full).info.weights_sha256
    assert info.parent is not None
    assert (info.parent.sha256, info.parent.licence, info.parent.taken) == (sha256, "CC0-1.0", ("every branch",))
    assert "starting from sar_twin (sar_twin): every branch; same bands" in said
    card = (result.deployable / "README.md").read_text()
    assert f"weights sha256 `{sha256}`), of which it took over: every branch" in card
    item = json.loads((result.deployable / "stac.json").read_text())
    assert item["properties"]["overcast:parent"]["sha256"] == sha256
    groups = torch.load(result.folder / "checkpoints" / "last.ckpt", weights_only=True)["optimizer_states"][0]
    rates = {group["initial_lr"] for group in groups["param_groups"] if group["params"]}
    assert rates == {0.1 * 3e-4}  # a tenth of the default, since every parameter was taken over


def test_a_model_that_labels_make_worse_stays_as_it_came(
    parents: dict[str, TrainResult], tiny_folder: Path, tmp_path: Path
) -> None:
    """Here the rate is so high that two steps spoil it."""
    parent = parents["sar"].deployable
    sets = ["method.name=sar", "training.batch_norm=frozen", "training.steps=2", f"start.bundle={parent}"]
    sets += ["training.optimiser.learning_rate=0.5", "training.optimiser.warmup_steps=0"]
    result, said = trained(tiny_folder, tmp_path / "run", *sets)
    before = load_bundle(parent).standardised_network.state_dict()
    after = load_bundle(result.deployable)
    assert result.best_step == 0 == after.info.steps
    assert all(tensor.equal(before[name]) for name, tensor in after.standardised_network.state_dict().items())
    iou = result.metrics["validation sar"]["iou"]
    assert f" as it came: validation IoU {iou:.4f} (sar)" in said


def test_scenes_standardised_by_themselves_mean_to_the_start_what_they_meant(tiny_folder: Path, tmp_path: Path) -> None:
    """A model kept as it came has its own statistics, so that it gives what it gave."""
    scene = ["method.name=sar", "data.standardise=scene"]
    first, _ = trained(tiny_folder, tmp_path / "parent", *scene)
    record = next(path for path in first.deployable.glob("*.json") if "statistics" in json.loads(path.read_text()))
    changed = json.loads(record.read_text())
    own = changed["statistics"]["sar"] = {"mean": [0.25, -0.5], "std": [1.5, 0.75]}
    record.write_text(json.dumps(changed))
    sets = [*scene, f"start.bundle={first.deployable}"]
    result, _ = trained(tiny_folder, tmp_path / "run", *sets)
    found = load_bundle(result.deployable).info.statistics
    assert found.sar.model_dump(mode="json") == own
    assert found.optical == load_bundle(first.full).info.statistics.optical
