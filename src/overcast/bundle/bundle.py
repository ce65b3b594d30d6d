"""The model bundle: a folder of safetensors weights and a JSON record, from which a network is rebuilt without pickle.

model.safetensors   weights: those of the deployable network, or of every branch (`kind: full`)
bundle.json         what the weights are, on which pixels they work and where they come from (see `record`)
README.md           model card
stac.json           STAC item of the model, by the machine learning model extension
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from overcast import __version__
from overcast.batch import Modality
from overcast.bundle import contract
from overcast.bundle.card import model_card
from overcast.bundle.item import model_item
from overcast.bundle.record import FORMAT_VERSION, BundleFacts, BundleInfo, Kind
from overcast.choices import WeightStorage
from overcast.errors import BundleError, ConfigError
from overcast.methods.base import Method
from overcast.methods.options import build_deployable, build_method
from overcast.models.direct import Sight, probability
from overcast.reading import explained, file_sha256, first_line, quoted, read_json

WEIGHTS, RECORD, CARD, ITEM = contract.WEIGHTS, contract.RECORD, contract.CARD, contract.ITEM

BUNDLED = contract.INSTALLED
"""The model that is installed with the package: buildings from four X-band polarisations at 1 m, trained on simulated
places (see its README.md and MODEL_CHANGELOG.md)."""


@dataclass(frozen=True)
class Bundle:
    """A loaded model."""

    path: Path
    info: BundleInfo
    standardised_network: nn.Module
    """For those who standardise themselves: images (B, C, H, W) of `info.inputs`, of zero mean and unit deviation by
    `info.statistics` and 0 without data, to logits (B, K, H, W), see `info.outputs`; in evaluation mode."""
    method: Method | None
    """Every branch in evaluation mode; None for a deployable bundle."""

    @property
    def name(self) -> str:
        """Name of the bundle's folder, or of the run that it is a result of."""
        return contract.bundle_name(self.path)

    def probability(self, *images: NDArray[np.generic], nodata: float | None = None) -> NDArray[np.float32]:
        """Probability of the class (H, W), 0..1, of pixels as they are; NaN where an image has no data.

        For chips that fit into memory at once; `overcast.scenes.predict.predict_file` maps scenes of any size.

        Args:
            images: (C, H, W) of each sensor in `info.inputs`, in the bands and the unit of `info.radiometry`.
            nodata: A further value that means 'no data', beside NaN, infinity and what `info.radiometry` declares.

        Raises:
            InputError: An image is missing or has another shape.
            RadiometryError: A value that is no measurement occurs again and again: nodata that nobody declared.
        """
        radiometry, statistics = self.info.radiometry, self.info.statistics
        sensors = {Modality.SAR: (radiometry.sar, statistics.sar)}
        if radiometry.optical is not None and statistics.optical is not None:
            sensors[Modality.OPTICAL] = (radiometry.optical, statistics.optical)
        sights = [Sight(*sensors[name]) for name in self.info.inputs]
        values = [np.asarray(image, np.float32) for image in images]
        if nodata is not None:
            values = [np.where(image == np.float32(nodata), np.float32(np.nan), image) for image in values]
        return probability(self.standardised_network, sights, values, self.info.calibration_temperature)


def save_bundle(path: Path, method: Method, kind: Kind, facts: BundleFacts) -> BundleInfo:
    """Write a bundle beside `path` and rename it into place, replacing a bundle that is there.

    Raises BundleError where `path` is something else.
    """
    module: nn.Module = method.deployable() if kind is Kind.DEPLOYABLE else method
    return _write_bundle(
        path, _Contents(plain_tensors(module), kind, method.deployed_inputs, WeightStorage.FLOAT32), facts
    )


def release_bundle(
    source: Path, target: Path, metrics: dict[str, dict[str, float]], storage: WeightStorage = WeightStorage.FLOAT16
) -> BundleInfo:
    """Write a deployable bundle again for others, with further `metrics`.

    Args:
        source: The bundle.
        target: Folder of the new one.
        metrics: Added to those in the record.
        storage: Half precision is half the size; `load_bundle` computes in single precision all the same.

    Raises BundleError where the bundle holds every branch, or `target` is something else than a bundle.
    """
    bundle = load_bundle(source)
    if bundle.info.kind is not Kind.DEPLOYABLE:
        raise BundleError(f"{source} holds every branch: release the deployable bundle beside it.")
    tensors = plain_tensors(bundle.standardised_network)
    if storage is WeightStorage.FLOAT16:
        tensors = {name: tensor.half() if _is_matrix(tensor) else tensor for name, tensor in tensors.items()}
    facts = BundleFacts(**{name: getattr(bundle.info, name) for name in BundleFacts.model_fields})
    facts = facts.model_copy(update={"metrics": facts.metrics | metrics})
    return _write_bundle(target, _Contents(tensors, bundle.info.kind, bundle.info.inputs, storage), facts)


def _is_matrix(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.ndim > 1


@dataclass(frozen=True)
class _Contents:
    """What a file of weights holds."""

    tensors: dict[str, Tensor]
    kind: Kind
    inputs: tuple[Modality, ...]
    storage: WeightStorage


def _write_bundle(path: Path, contents: _Contents, facts: BundleFacts) -> BundleInfo:
    if path.exists() and not (path / RECORD).is_file():
        raise BundleError(f"{path} exists and is not a bundle: choose another folder.")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{path.name}.tmp-", dir=path.parent))
    try:
        folder = beside / "new"
        folder.mkdir()
        (folder / WEIGHTS).write_bytes(save(contents.tensors))
        info = BundleInfo(
            **{name: getattr(facts, name) for name in BundleFacts.model_fields},
            kind=contents.kind,
            inputs=contents.inputs,
            outputs=facts.network.targets.names,
            weights_sha256=file_sha256(folder / WEIGHTS),
            storage=contents.storage,
        )
        (folder / RECORD).write_text(info.model_dump_json(indent=2) + "\n", encoding="utf-8")
        describe_bundle(folder, info)
        if path.exists():
            path.rename(beside / "old")
        try:
            folder.rename(path)
        except BaseException:
            if (beside / "old").exists():
                (beside / "old").rename(path)
            raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return info


def describe_bundle(folder: Path, info: BundleInfo) -> None:
    """Write the model card and the STAC item of a bundle beside its weights."""
    record = info.model_dump(mode="json")
    (folder / CARD).write_text(model_card(record), encoding="utf-8")
    item = model_item(record, WEIGHTS, (folder / WEIGHTS).stat().st_size)
    (folder / ITEM).write_text(json.dumps(item, indent=2) + "\n", encoding="utf-8")


def load_bundle(path: Path) -> Bundle:
    """Rebuild the network of a bundle and load its weights strictly; needs no pretrained weights and no network.

    Raises BundleError where a file is missing, damaged, changed, of another format or for another architecture.
    """
    for name in (RECORD, WEIGHTS):
        if not (path / name).is_file():
            raise BundleError(f"{path} is not a complete bundle, {name} is missing: copy the whole folder again.")
        if (path / name).resolve().parent != path.resolve():
            raise BundleError(f"{path / name} is a link out of its bundle: copy the file itself.")
    info = _read_info(path / RECORD)
    _require_shapes(info, path)
    module = _untrained(info)
    _load(module, path / WEIGHTS, info.weights_sha256)
    if isinstance(module, Method):
        return Bundle(path, info, module.deployable().eval(), module.eval())
    return Bundle(path, info, module.eval(), None)


def _untrained(info: BundleInfo) -> nn.Module:
    """What the weights belong to, without ImageNet weights: a method where the bundle holds every branch."""
    match info.kind:
        case Kind.FULL:
            return build_method(info.method, info.network.untrained(), info.statistics)
        case Kind.DEPLOYABLE:
            return build_deployable(info.method, info.network)
        case _:
            assert_never(info.kind)


def plain_tensors(module: nn.Module) -> dict[str, Tensor]:
    """State of a module as contiguous CPU tensors that share no memory (safetensors stores each name by itself)."""
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in module.state_dict().items()}


def _read_info(path: Path) -> BundleInfo:
    record = read_json(path, BundleError, "copy the bundle again", contract.LARGEST_RECORD_BYTES)
    version = record.get("format_version") if isinstance(record, dict) else None
    if version != FORMAT_VERSION:
        raise BundleError(
            f"{path} has bundle format {quoted(version)}, but overcast {__version__} reads format {FORMAT_VERSION}: "
            "install the version of overcast that made it, or train again."
        )
    try:
        return BundleInfo.model_validate(record)
    except ValidationError as error:
        raise BundleError(
            f"{path}: {explained(error)}; it was edited or made by another version of overcast "
            f"(made by {quoted(record.get('overcast_version'), 30)}, this is {__version__})."
        ) from error


def _require_shapes(info: BundleInfo, path: Path) -> None:
    """Raise BundleError where a tensor of the architecture is missing, left over or of another shape.

    Shapes are those of the weights' header and of a network without memory: a record that asks for more than the file
    holds allocates nothing.
    """
    found = _header(path / WEIGHTS)
    try:
        with torch.device("meta"):
            expected = {name: _entry(tensor) for name, tensor in _untrained(info).state_dict().items()}
    except (ConfigError, RuntimeError, ValueError) as error:
        reason = first_line(error)
        raise BundleError(
            f"{path / RECORD} describes no network that can be built ({reason}): copy it again."
        ) from error
    message = f"{path / WEIGHTS} does not fit the architecture in {RECORD}"
    missing, left_over = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing or left_over:
        first = quoted((missing + left_over)[0])
        counts = f"{len(missing)} tensors missing, {len(left_over)} unknown, first {first}"
        raise BundleError(f"{message}: {counts}; train or copy again.")
    for name, (shape, dtype) in expected.items():
        if shape != found[name][0]:
            differing = f"{quoted(name)} has shape {quoted(found[name][0])}, expected {quoted(shape)}"
            raise BundleError(f"{message}: {differing}; train or copy again.")
        stored = "F16" if info.storage is not WeightStorage.FLOAT32 and dtype == "F32" and len(shape) > 1 else dtype
        if found[name][1] not in {dtype, stored}:
            differing = f"{quoted(name)} has numbers of type {quoted(found[name][1])}, expected {stored}"
            raise BundleError(f"{message}: {differing}; train or copy again.")


_Entry = tuple[list[int], str]
"""Shape, and type of the numbers as safetensors calls it."""


def _entry(tensor: Tensor) -> _Entry:
    return list(tensor.shape), {torch.float32: "F32", torch.int64: "I64"}.get(tensor.dtype, str(tensor.dtype))


def _header(path: Path) -> dict[str, _Entry]:
    """What the header of a file of weights says of each tensor."""
    try:
        with safe_open(path, "pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  # no mapping
            return {name: (list(part.get_shape()), str(part.get_dtype())) for name, part in slices.items()}
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{path} is truncated or damaged ({first_line(error)}): copy the bundle again.") from error


def _load(module: nn.Module, path: Path, sha256: str) -> None:
    """Load weights whose names and shapes fit."""
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except SafetensorError as error:
        raise BundleError(f"{path} is truncated or damaged ({first_line(error)}): copy the bundle again.") from error
    if file_sha256(path) != sha256:
        raise BundleError(f"{path} is not the file that {RECORD} describes (sha256 differs): copy the bundle again.")
    module.load_state_dict(tensors, strict=True)
