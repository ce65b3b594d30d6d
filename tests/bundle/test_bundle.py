"""Bundles: what is saved is what is loaded, anything else is refused with a sentence, and nothing is unpickled."""

from __future__ import annotations

import hashlib
import json
import pickletools
import re
import resource
import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from method_cases import LITERATURE
from safetensors.torch import load_file, save_file
from torch import nn

from overcast.batch import Batch, Modality
from overcast.bundle.bundle import load_bundle, release_bundle, save_bundle
from overcast.bundle.record import BundleFacts, Kind
from overcast.choices import WeightStorage
from overcast.data.catalogs.folder import folder_catalog
from overcast.data.chips import Chip
from overcast.data.identity import chip_set_identity, training_data
from overcast.errors import BundleError
from overcast.methods.base import Method
from overcast.methods.options import CmhclOptions, MethodOptions, build_method
from overcast.methods.supervised import FusionOptions, OpticalOptions, SarOptions, SarTwinOptions
from overcast.models import branch
from overcast.models.encoders import build_encoder
from overcast.models.spec import NetworkSpec
from overcast.raster.radiometry import BandStatistics, RadarSide, Radiometry, SensorRadiometry, Statistics, Unit

SPEC = NetworkSpec(
    encoder="tu-test_resnet", pretrained=False, decoder_channels=(8,) * 5, fusion_channels=8, sar_bands=2
)
SAR = SensorRadiometry(bands=("HH", "HV"), unit=Unit.DECIBEL, gsd_m=0.5, radar_side=RadarSide.NORTH)
OPTICAL = SensorRadiometry(bands=("red", "green", "blue"), unit=Unit.DIGITAL_NUMBER, gsd_m=0.5)
STATISTICS = Statistics(
    sar=BandStatistics(mean=(20.0, 30.0), std=(4.0, 5.0)),
    optical=BandStatistics(mean=(90.0, 100.0, 95.0), std=(40.0, 41.0, 42.0)),
)
pytestmark = pytest.mark.usefixtures("one_thread")

METHODS: list[MethodOptions] = [
    CmhclOptions(),
    SarOptions(),
    SarTwinOptions(),
    OpticalOptions(),
    FusionOptions(),
    *LITERATURE,
]


@dataclass(frozen=True)
class Made:
    method: Method
    facts: BundleFacts


def _make(options: MethodOptions, tiny_folder: Path) -> Made:
    torch.manual_seed(3)
    method = build_method(options, SPEC, STATISTICS).eval()
    catalog = folder_catalog(tiny_folder)
    keys = tuple(chip.key for chip in catalog.chips)
    facts = BundleFacts(
        method=options,
        network=method.spec,
        radiometry=Radiometry(sar=SAR, optical=OPTICAL),
        statistics=STATISTICS,
        class_name="building",
        data=training_data(catalog, "by hand", keys[:3], keys[3:5], keys[5:]),
        metrics={"validation sar": {"iou": 0.5, "f1": 0.6667}},
        licence="CC-BY-4.0",
        seed=3,
        steps=10,
    )
    return Made(method, facts)


@pytest.fixture(scope="module")
def made(tiny_folder: Path) -> Made:
    return _make(CmhclOptions(), tiny_folder)


@pytest.fixture(scope="module")
def saved(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "bundle"
    save_bundle(path, made.method, Kind.DEPLOYABLE, made.facts)
    return path


@pytest.fixture
def bundle(saved: Path, tmp_path: Path) -> Path:
    return shutil.copytree(saved, tmp_path / "bundle")


def _batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    sar, optical = (torch.randn(2, bands, 64, 64, generator=generator) for bands in (2, 3))
    valid = torch.ones(2, 1, 64, 64, dtype=torch.bool)
    return Batch(sar, valid, optical, valid, torch.zeros(2, 64, 64, dtype=torch.uint8), ("a", "b"))


def _edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    record = json.loads(path.read_text(encoding="utf-8"))
    change(record)
    path.write_text(json.dumps(record), encoding="utf-8")


@pytest.mark.parametrize("options", METHODS, ids=lambda options: options.name)
def test_both_kinds_predict_what_the_method_predicted(
    options: MethodOptions, tiny_folder: Path, tmp_path: Path
) -> None:
    made, batch = _make(options, tiny_folder), _batch()
    images = {Modality.SAR: batch.require("sar"), Modality.OPTICAL: batch.require("optical")}
    save_bundle(tmp_path / "deployable", made.method, Kind.DEPLOYABLE, made.facts)
    save_bundle(tmp_path / "full", made.method, Kind.FULL, made.facts)
    deployable, full = load_bundle(tmp_path / "deployable"), load_bundle(tmp_path / "full")
    assert full.method is not None
    assert deployable.method is None
    with torch.inference_mode():
        for way in made.method.available:
            assert torch.equal(full.method.predict(batch, way), made.method.predict(batch, way))
        inputs = [images[name] for name in deployable.info.inputs]
        expected = made.method.deployable().eval()(*inputs)
        assert torch.equal(deployable.standardised_network(*inputs), expected)
        assert torch.equal(full.standardised_network(*inputs), expected)
    assert not deployable.standardised_network.training
    assert not full.method.training


def test_release_is_half_the_size_and_predicts_the_same(bundle: Path, tmp_path: Path) -> None:
    info = release_bundle(bundle, tmp_path / "release", {"test sar": {"iou": 0.4}})
    assert (load_bundle(bundle).info.storage, info.storage) == (WeightStorage.FLOAT32, WeightStorage.FLOAT16)
    assert "weights in float16, sha256" in (tmp_path / "release" / "README.md").read_text(encoding="utf-8")
    assert info.metrics == {"validation sar": {"iou": 0.5, "f1": 0.6667}, "test sar": {"iou": 0.4}}
    before, after = load_bundle(bundle), load_bundle(tmp_path / "release")
    sizes = [(path / "model.safetensors").stat().st_size for path in (before.path, after.path)]
    assert 0.5 <= sizes[1] / sizes[0] < 0.56
    assert {tensor.dtype for tensor in after.standardised_network.state_dict().values()} <= {torch.float32, torch.int64}
    sar = _batch().require("sar")
    with torch.inference_mode():
        difference = (before.standardised_network(sar).sigmoid() - after.standardised_network(sar).sigmoid()).abs()
    assert 0 < difference.max() < 0.01


def test_release_in_single_precision_changes_no_bit(bundle: Path, tmp_path: Path) -> None:
    release_bundle(bundle, tmp_path / "release", {}, WeightStorage.FLOAT32)
    before, after = (load_file(path / "model.safetensors") for path in (bundle, tmp_path / "release"))
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("dtype", "storage", "meant"),
    [
        (torch.float64, "float32", "has numbers of type 'F64', expected F32"),
        (torch.float16, "float32", "has numbers of type 'F16', expected F32"),
        (torch.bfloat16, "float16", "has numbers of type 'BF16', expected F16"),
        (torch.int8, None, "has numbers of type 'I8', expected F16"),
    ],
)
def test_numbers_of_another_type_are_refused(bundle: Path, dtype: torch.dtype, storage: str | None, meant: str) -> None:
    weights = bundle / "model.safetensors"
    tensors = load_file(weights)
    name = next(name for name, tensor in sorted(tensors.items()) if tensor.ndim > 1)
    save_file(tensors | {name: tensors[name].to(dtype)}, weights)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    _edit(bundle / "bundle.json", lambda record: record.update(weights_sha256=digest, storage=storage))
    with pytest.raises(BundleError, match=meant):
        load_bundle(bundle)


def test_release_needs_a_deployable_bundle(made: Made, tmp_path: Path) -> None:
    save_bundle(tmp_path / "full", made.method, Kind.FULL, made.facts)
    with pytest.raises(BundleError, match="release the deployable bundle"):
        release_bundle(tmp_path / "full", tmp_path / "release", {})


def test_card_of_a_simulated_data_set_says_so_plainly(made: Made, tmp_path: Path) -> None:
    data = made.facts.data.model_copy(update={"simulated": True})
    for facts, said in ((made.facts, False), (made.facts.model_copy(update={"data": data}), True)):
        save_bundle(tmp_path / "b", made.method, Kind.DEPLOYABLE, facts)
        assert ("Trained on simulated radar" in (tmp_path / "b" / "README.md").read_text()) is said


def test_deployable_holds_no_optical_tensor(bundle: Path, made: Made, tmp_path: Path) -> None:
    names = set(load_file(bundle / "model.safetensors"))
    full = save_bundle(tmp_path / "full", made.method, Kind.FULL, made.facts)
    assert names
    assert not [name for name in names if "optical" in name]
    assert full.inputs == (Modality.SAR,)
    assert (tmp_path / "full" / "model.safetensors").stat().st_size > (bundle / "model.safetensors").stat().st_size


def test_record_is_complete_and_reads_back(bundle: Path, made: Made) -> None:
    info = load_bundle(bundle).info
    assert {name: getattr(info, name) for name in BundleFacts.model_fields} == dict(made.facts)
    assert info.data.train.chips == 3
    assert info.data.test.chips == 19


@pytest.mark.parametrize("options", [SarOptions(), FusionOptions()], ids=["one sensor", "two sensors"])
def test_item_of_the_model_has_what_stac_and_mlm_require(options: MethodOptions, tiny_folder: Path, tmp_path: Path):
    made = _make(options, tiny_folder)
    info = save_bundle(tmp_path / "b", made.method, Kind.DEPLOYABLE, made.facts)
    item = json.loads((tmp_path / "b" / "stac.json").read_text(encoding="utf-8"))
    required = {"type", "stac_version", "stac_extensions", "id", "geometry", "properties", "links", "assets"}
    assert set(item) == required  # and no bbox: there is no geometry
    assert (item["type"], item["stac_version"], item["geometry"]) == ("Feature", "1.1.0", None)
    assert all(link.keys() >= {"rel", "href"} and (tmp_path / "b" / link["href"]).is_file() for link in item["links"])
    properties = item["properties"]
    assert properties["datetime"] is None
    assert properties["start_datetime"] < properties["end_datetime"]  # required where there is no datetime
    assert properties["mlm:architecture"]
    assert properties["mlm:tasks"] == ["semantic-segmentation"]
    assert re.fullmatch("[a-zA-Z][a-zA-Z0-9_.-]+[a-zA-Z0-9]", properties["mlm:name"])
    assert properties["license"] == info.licence
    known = {band["name"] for band in properties["bands"]}
    for given, sensor in zip(properties["mlm:input"], info.inputs, strict=True):
        assert given["name"] == sensor
        assert len(given["input"]["shape"]) == len(given["input"]["dim_order"]) == 4
        assert given["input"]["shape"][1] == len(given["bands"]) == len(given["value_scaling"])
        assert set(given["bands"]) <= known
    radar = next(given for given in properties["mlm:input"] if given["name"] == "sar")
    assert radar["value_scaling"][0] == {"type": "z-score", "mean": 20, "stddev": 4}
    (output,) = properties["mlm:output"]
    assert output.keys() >= {"name", "tasks", "result"}
    assert output["result"]["shape"] == [-1, 1, -1, -1]
    (asset,) = item["assets"].values()
    weights = tmp_path / "b" / asset["href"]
    assert {"mlm:model", "mlm:weights"} <= set(asset["roles"])
    assert asset["file:size"] == weights.stat().st_size
    assert asset["file:checksum"] == "1220" + hashlib.sha256(weights.read_bytes()).hexdigest()


def test_nothing_is_pickled(bundle: Path) -> None:
    assert sorted(path.name for path in bundle.iterdir()) == [
        "README.md",
        "bundle.json",
        "model.safetensors",
        "stac.json",
    ]
    for path in bundle.iterdir():
        with path.open("rb") as file, pytest.raises(ValueError, match=r"."):
            list(pickletools.genops(file))


def test_loading_needs_no_pretrained_weights(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = made.facts.model_copy(update={"network": made.method.spec.model_copy(update={"pretrained": True})})
    save_bundle(tmp_path / "b", made.method, Kind.FULL, facts)
    asked: list[bool] = []

    def build(*args: Any, pretrained: bool, **given: Any) -> nn.Module:
        asked.append(pretrained)
        return build_encoder(*args, pretrained=pretrained, **given)

    monkeypatch.setattr(branch, "build_encoder", build)
    load_bundle(tmp_path / "b")
    assert asked
    assert not any(asked)


@pytest.mark.parametrize("name", ["model.safetensors", "bundle.json"])
def test_missing_file(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=f"not a complete bundle, {name} is missing"):
        load_bundle(bundle)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"nowhere.*is not a complete bundle"):
        load_bundle(tmp_path / "nowhere")


@pytest.mark.parametrize("kept", [0, 4, 2000, -1])
def test_truncated_weights(bundle: Path, kept: int) -> None:
    weights = bundle / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    with pytest.raises(BundleError, match="truncated or damaged"):
        load_bundle(bundle)


def test_one_changed_byte(bundle: Path) -> None:
    weights = bundle / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-5] ^= 1
    weights.write_bytes(content)
    with pytest.raises(BundleError, match="sha256 differs"):
        load_bundle(bundle)


def test_temperature_is_kept_and_told_and_missing_in_old_bundles(bundle: Path, tmp_path: Path) -> None:
    _edit(bundle / "bundle.json", lambda record: record.update(calibration_temperature=1.75))
    release_bundle(bundle, tmp_path / "release", {})
    assert load_bundle(tmp_path / "release").info.calibration_temperature == 1.75
    assert "divided by 1.75, fitted on validation" in (tmp_path / "release" / "README.md").read_text(encoding="utf-8")
    _edit(bundle / "bundle.json", lambda record: record.pop("calibration_temperature"))
    assert load_bundle(bundle).info.calibration_temperature is None


def test_other_format_version(bundle: Path) -> None:
    _edit(bundle / "bundle.json", lambda record: record.update(format_version=99))
    with pytest.raises(BundleError, match=r"bundle format 99, but overcast .* reads format 1"):
        load_bundle(bundle)


@pytest.mark.parametrize(
    ("change", "meant"),
    [
        (lambda record: record.update(extra=1), "extra: Extra inputs"),
        (lambda record: record["network"].update(depth=3), "network.depth"),
        (lambda record: record.pop("statistics"), "statistics: Field required"),
        (lambda record: record["method"].update(name="magic"), "method"),
    ],
)
def test_edited_record(bundle: Path, change: Callable[[dict[str, Any]], object], meant: str) -> None:
    _edit(bundle / "bundle.json", change)
    with pytest.raises(BundleError) as caught:
        load_bundle(bundle)
    assert meant in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[]", "\xff"])
def test_unreadable_record(bundle: Path, text: str) -> None:
    (bundle / "bundle.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(BundleError, match=r"bundle\.json"):
        load_bundle(bundle)


@pytest.mark.parametrize(
    ("change", "meant"),
    [
        (lambda tensors: tensors.pop(sorted(tensors)[0]), "1 tensors missing, 0 unknown"),
        (lambda tensors: tensors.update(stranger=torch.zeros(1)), "0 tensors missing, 1 unknown, first 'stranger'"),
        (lambda tensors: tensors.update({sorted(tensors)[0]: torch.zeros(1, 2, 3)}), "has shape"),
    ],
)
def test_weights_of_another_architecture(
    bundle: Path, change: Callable[[dict[str, torch.Tensor]], object], meant: str
) -> None:
    weights = bundle / "model.safetensors"
    tensors = load_file(weights)
    change(tensors)
    save_file(tensors, weights)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    _edit(bundle / "bundle.json", lambda record: record.update(weights_sha256=digest))
    with pytest.raises(BundleError, match=meant):
        load_bundle(bundle)


def test_saving_replaces_a_bundle_and_nothing_else(bundle: Path, made: Made, tmp_path: Path) -> None:
    save_bundle(bundle, made.method, Kind.FULL, made.facts)
    assert load_bundle(bundle).info.kind is Kind.FULL
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    other = tmp_path / "photos"
    other.mkdir()
    with pytest.raises(BundleError, match="is not a bundle: choose another folder"):
        save_bundle(other, made.method, Kind.FULL, made.facts)


def test_failed_saving_leaves_the_old_bundle(
    bundle: Path, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(record: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("overcast.bundle.bundle.model_card", fail)
    before = load_bundle(bundle).info
    with pytest.raises(OSError, match="No space left"):
        save_bundle(bundle, made.method, Kind.FULL, made.facts)
    assert load_bundle(bundle).info == before
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_card_has_front_matter_radiometry_and_scores(bundle: Path, made: Made, tmp_path: Path) -> None:
    card = (bundle / "README.md").read_text(encoding="utf-8")
    _, front, body = card.split("---\n", 2)
    assert yaml.safe_load(front)["license"] == "cc-by-4.0"
    assert "sar" in yaml.safe_load(front)["tags"]
    (index,) = yaml.safe_load(front)["model-index"]
    assert index["results"][0]["metrics"] == [{"type": "f1", "value": 0.6667}, {"type": "iou", "value": 0.5}]
    assert "| SAR | HH, HV | dB | 0.5 m | north |" in body
    assert "| validation sar | 0.6667 | 0.5000 |" in body
    facts = made.facts.model_copy(update={"licence": "ask: the owner"})
    save_bundle(tmp_path / "b", made.method, Kind.FULL, facts)
    front = (tmp_path / "b" / "README.md").read_text(encoding="utf-8").split("---\n", 2)[1]
    assert yaml.safe_load(front) | {"tags": []} == {
        "license": "other", "library_name": "overcast", "pipeline_tag": "image-segmentation", "tags": [],
        "license_name": "ask: the owner", "metrics": ["f1", "iou"], "model-index": [index],
    }  # fmt: skip


def test_identity_changes_with_the_data(tiny_folder: Path, tmp_path: Path) -> None:
    chips = folder_catalog(tiny_folder).chips
    image = tmp_path / "image.tif"
    image.write_bytes(b"12")
    extra = Chip(key="x", place="x", sar=(image,), optical=())
    first = chip_set_identity((*chips, extra))
    assert chip_set_identity((extra, *chips)) == first
    image.write_bytes(b"123")
    assert chip_set_identity((*chips, extra)) != first
    assert chip_set_identity(chips[1:]).chips == len(chips) - 1


@pytest.mark.parametrize(
    "encoder",
    ["tu-hf_hub:owner/model", "tu-local-dir:/etc", "tu-hf-hub:a/b", "../x", "http://127.0.0.1/x", "a b", "", "x" * 200],
)
def test_no_encoder_name_asks_the_network_or_opens_a_folder(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, encoder: str
) -> None:
    asked: list[object] = []

    def no_address(*given: object, **_: object) -> list[object]:
        asked.append(given)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", no_address)
    monkeypatch.setattr(socket.socket, "connect", lambda _self, address: asked.append(address))
    _edit(bundle / "bundle.json", lambda record: record["network"].update(encoder=encoder))
    with pytest.raises(BundleError, match=r"network\.encoder: encoder") as caught:
        load_bundle(bundle)
    assert asked == []
    assert len(str(caught.value).replace(str(bundle), "")) < 300


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"decoder_channels": [8192] * 5}, "does not fit the architecture"),
        ({"decoder_channels": [10**6] * 5}, "needs 4 or 5 widths from 1 to 8192"),
        ({"num_classes": 1000}, "does not fit the architecture"),
        ({"num_classes": 10**9}, "num_classes"),
        ({"shared_channels": 8192}, "does not fit the architecture"),
        ({"fusion_channels": 10**5}, "fusion_channels"),
        ({"sar_bands": 10**6}, "sar_bands"),
        ({"encoder": "tu-vit_giant_patch14_224"}, "describes no network that can be built"),
    ],
)
def test_a_record_that_asks_for_gigabytes_allocates_nothing(bundle: Path, change: dict[str, Any], reason: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _edit(bundle / "bundle.json", lambda record: record["network"].update(change))
    with pytest.raises(BundleError, match=reason):
        load_bundle(bundle)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB


@pytest.mark.parametrize("name", ["model.safetensors", "bundle.json"])
def test_parts_that_are_links_out_of_the_bundle_are_refused(bundle: Path, tmp_path: Path, name: str) -> None:
    (bundle / name).rename(tmp_path / "elsewhere")
    (bundle / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match=rf"{name} is a link out of its bundle"):
        load_bundle(bundle)


def test_statistics_of_other_bands_are_refused(bundle: Path) -> None:
    _edit(bundle / "bundle.json", lambda record: record["statistics"]["sar"].update(mean=[1.0], std=[1.0]))
    with pytest.raises(BundleError, match="statistics of 1 bands for 2 bands"):
        load_bundle(bundle)
