"""A model as one ONNX file for other programs: normalisation inside, conventions of QGIS's Deepness plugin outside."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from overcast import __version__
from overcast.arithmetic import Precision
from overcast.choices import ImageKind
from overcast.errors import ConfigError, InputError
from overcast.models.blocks import STRIDE
from overcast.outputs.staging import recover_publication, staged
from overcast.outputs.writable import require_writable, writing
from overcast.raster.units import Standardise
from overcast.runtime.onnx_export import export_onnx
from overcast.runtime.options import Runtime, RuntimeUnavailableError, TileShape
from overcast.runtime.sessions import open_unchecked
from overcast.scenes.model import SceneModel

DEVIATIONS = 4.0
"""Bytes cover so many standard deviations of each band on both sides of its mean."""
LARGEST_DIFFERENCE = 1e-3
"""Largest difference of a probability from PyTorch's on the file that was written."""
OVERLAP_PERCENT = 25
"""Overlap of Deepness's tiles: their stride stays a multiple of the network's, so that they agree with larger ones."""
IR_VERSION = 9
"""The first that can hold opset 20, and the last that the ONNX Runtime reads which Deepness installs."""
STANDARDISED = (
    "(d - median) / (0.7413 * (upper quartile - lower quartile)), d = 10 log10 intensity, median and quartiles of the "
    "whole scene; from -6 to 12"
)
"""Unit of the images that an export is given of a model that standardises each scene by itself."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class ByteRange:
    """Values of each band, in the model's unit, that the bytes 1 and 255 stand for."""

    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def of(cls, model: SceneModel) -> ByteRange:
        """The range that an export of this model expects."""
        nodata = _nodata(model)
        low, high = [], []
        for mean, std in zip(model.statistics.mean, model.statistics.std, strict=True):
            high.append(mean + DEVIATIONS * std)
            low.append(mean - DEVIATIONS * std)
            if nodata is not None and nodata < mean:
                low[-1] = max(low[-1], nodata + (high[-1] - nodata) / 254)  # so that nodata becomes byte 0
        return cls(tuple(low), tuple(high))

    def encode(self, values: Floats, valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """(C, H, W) in the model's unit to bytes; 0 where `valid` (H, W) is False."""
        low, high = (np.array(part, np.float32)[:, None, None] for part in (self.low, self.high))
        steps = np.clip((np.where(valid, values, low) - low) / (high - low), 0, 1)
        return np.where(valid, np.rint(1 + 254 * steps), 0).astype(np.uint8)

    def command(self) -> str:
        """What turns a scene in the model's unit into bytes with GDAL; what is darker than the range gets no data."""
        scales = (
            f"-scale_{i} {a:.6g} {b:.6g} 1 255" for i, (a, b) in enumerate(zip(self.low, self.high, strict=True), 1)
        )
        return f"gdal_translate -ot Byte -a_nodata 0 {' '.join(scales)} scene.tif bytes.tif"


class FromImage(nn.Module):
    """Image (1, C, H, W) to probability (1, 1, H, W); standardises, sets pixels without data to 0."""

    def __init__(self, model: SceneModel, kind: ImageKind) -> None:
        super().__init__()
        self.network, self.kind, self.nodata = model.network, kind, _nodata(model)
        slope, offset = _scaling(model, kind)
        self.register_buffer("slope", torch.tensor(slope)[:, None, None])
        self.register_buffer("offset", torch.tensor(offset)[:, None, None])

    def forward(self, image: Tensor) -> Tensor:
        """Probability of the class."""
        good = self._good(image).float().amin(1, keepdim=True) > 0
        slope, offset = self.get_buffer("slope"), self.get_buffer("offset")
        x = torch.where(good, image, 0.0) * slope + offset
        return torch.sigmoid(self.network(torch.where(good, x, 0.0)))

    def _good(self, image: Tensor) -> Tensor:
        match self.kind:
            case ImageKind.BYTES:
                return image > 0
            case ImageKind.UNIT:
                finite = (image - image) == 0  # neither NaN nor infinite
                given = self.nodata is not None and not np.isnan(self.nodata)
                return finite & (image != self.nodata) if given else finite
            case never:
                assert_never(never)


def export_model(
    model: SceneModel, target: Path, *, tile: int = 512, kind: ImageKind = ImageKind.BYTES, overwrite: bool = False
) -> float:
    """Write the model as ONNX for square tiles, read it back, run it and compare it with PyTorch.

    Returns the largest difference of a probability. The file appears only when it is right.

    Raises:
        ConfigError: The tile is not a multiple of 32, or the network cannot be exported.
        InputError: The file exists, does not end in .onnx, cannot be written, or does not compute what PyTorch does.
    """
    require_target(target, tile, overwrite=overwrite)
    proto = translated(model, kind, tile)
    onnx.helper.set_model_props(proto, metadata(model, kind, tile))
    content = proto.SerializeToString()
    difference = checked_difference(content, model, kind, tile, target)
    write_export(target, content, overwrite=overwrite)
    return difference


def require_target(target: Path, tile: int, *, overwrite: bool) -> None:
    """Raise an error where tiles have an impossible side or the file has a wrong name or cannot be written."""
    if tile < STRIDE or tile % STRIDE:
        raise ConfigError(f"the tile size must be a multiple of {STRIDE}, got {tile}.")
    if target.suffix.lower() != ".onnx":
        raise InputError(f"{target.name} does not end in .onnx; rename it.")
    recover_publication([target])
    require_writable(target, overwrite=overwrite)


def translated(model: SceneModel, kind: ImageKind, tile: int) -> onnx.ModelProto:
    """The model from image to probability in float32; raises ConfigError where it cannot be exported."""
    shape = TileShape(1, len(model.statistics.mean), tile, tile)
    image = torch.from_numpy(sample_image(model, kind, tile))
    try:
        proto = export_onnx(FromImage(model, kind).eval(), shape, image)
    except RuntimeUnavailableError as error:
        raise ConfigError(f"model {model.name} cannot be exported: {error}") from error
    proto.ir_version = IR_VERSION
    return proto


def checked_difference(content: bytes, model: SceneModel, kind: ImageKind, tile: int, target: Path) -> float:
    """Largest difference of a probability of an export in float32 to PyTorch's; InputError where it is too large."""
    session = open_unchecked(Runtime.ONNXRUNTIME, Precision.FP32, content, torch.get_num_threads())
    image = sample_image(model, kind, tile)
    with torch.inference_mode():
        expected = FromImage(model, kind).eval()(torch.from_numpy(image)).numpy()
    difference = float(np.abs(session(image) - expected).max())
    if not difference <= LARGEST_DIFFERENCE:
        raise InputError(
            f"{target.name} was not written: its probabilities differ by up to {difference:.3g} from PyTorch's; "
            "please report this model."
        )
    return difference


def write_export(target: Path, content: bytes, *, overwrite: bool) -> None:
    """The file, whole or not at all."""
    with staged([target], overwrite=overwrite) as staging, writing(target):
        staging.path(target).write_bytes(content)
        staging.publish()


def metadata(model: SceneModel, kind: ImageKind, tile: int) -> dict[str, str]:
    """Keys that Deepness reads, as JSON, and under `overcast_` everything needed to feed the network right."""
    sensor, scale = model.sensor, ByteRange.of(model)
    values: dict[str, object] = {
        "model_type": "Segmentor",
        "class_names": {"0": model.class_name},
        "resolution": 100 * sensor.gsd_m,
        "tiles_size": tile,
        "tile_size": tile,
        "tiles_overlap": OVERLAP_PERCENT,
        "seg_thresh": 0.5,
        "seg_small_segment": 0,  # no smoothing, which would swallow small footprints
        "overcast_input": kind.value,
        "overcast_output": "probability",
        "overcast_bands": sensor.bands,
        "overcast_unit": STANDARDISED if sensor.standardise is Standardise.SCENE else sensor.unit.value,
        "overcast_standardise": sensor.standardise.value,
        "overcast_nodata": 0 if kind is ImageKind.BYTES else _nodata(model),
        "overcast_gsd_m": sensor.gsd_m,
        "overcast_radar_side": sensor.radar_side,
        "overcast_mean": model.statistics.mean,
        "overcast_std": model.statistics.std,
        "overcast_calibration_temperature": model.calibration_temperature,
        "overcast_model": model.name,
        "overcast_weights_sha256": model.sha256,
        "overcast_licence": model.licence,
        "overcast_version": __version__,
    }
    if kind is ImageKind.BYTES:
        values |= {"overcast_byte_1": scale.low, "overcast_byte_255": scale.high, "overcast_to_bytes": scale.command()}
    return {key: json.dumps(value) for key, value in values.items()}


def sample_image(model: SceneModel, kind: ImageKind, tile: int) -> Floats:
    """(1, C, tile, tile) as an export expects it: noise by the model's statistics, without data in a corner."""
    generator = np.random.default_rng(0)
    mean, std = (np.array(part, np.float32)[:, None, None] for part in (model.statistics.mean, model.statistics.std))
    values = mean + std * generator.standard_normal((len(mean), tile, tile), np.float32)
    valid = np.ones((tile, tile), np.bool_)
    valid[: tile // 4, : tile // 4] = False
    if kind is ImageKind.UNIT:
        values[:, ~valid] = np.nan
        return values[None].astype(np.float32)
    return (ByteRange.of(model).encode(values, valid)[None] / np.float32(255)).astype(np.float32)


def _nodata(model: SceneModel) -> float | None:
    """What means 'no data' beside NaN; nothing else among values that are standardised already."""
    return None if model.sensor.standardise is Standardise.SCENE else model.sensor.nodata


def _scaling(model: SceneModel, kind: ImageKind) -> tuple[list[float], list[float]]:
    """Per band: standardised value = slope * given value + offset."""
    mean, std = (np.array(part) for part in (model.statistics.mean, model.statistics.std))
    if kind is ImageKind.UNIT:
        return (1 / std).tolist(), (-mean / std).tolist()
    low, high = (np.array(part) for part in (ByteRange.of(model).low, ByteRange.of(model).high))
    per_byte = (high - low) / 254
    return (255 * per_byte / std).tolist(), ((low - per_byte - mean) / std).tolist()
