"""Static quantisation: weights and activations of an exported network in 8 bits, with ranges seen on real tiles.

Weights are quantised symmetrically per output channel, activations per tensor (ONNX QDQ, which ONNX Runtime and
OpenVINO both compute in integers). Half of the tiles give the ranges, the other half says what is lost.

The loss needs no labels. With the float32 network's probabilities p taken for shares of truth, a map M has the expected
overlap sum(p M) and the expected union sum(M) + sum(p) - sum(p M); the loss is by how much their ratio falls.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from overcast.errors import ConfigError
from overcast.runtime.onnx_export import INPUT, Floats

LARGEST_LOSS_POINTS = 0.2
"""IoU points (hundredths) that int8 may cost."""
FEWEST_TILES = 4
"""Real tiles without which nothing is quantised."""
QUANTISED = ("Add", "AveragePool", "Clip", "Concat", "Conv", "GlobalAveragePool", "MaxPool", "Relu", "Resize")
"""Types of nodes that are computed in 8 bits."""

Ranges = Mapping[str, tuple[float, float]]
"""Least and largest value of each tensor of an export."""


@dataclass(frozen=True)
class Tiles:
    """Real tiles of one size that int8 is fitted to and judged by."""

    values: Floats
    """(N, C, h, w) standardised, 0 where there is no data."""
    valid: NDArray[np.bool_]
    """(N, h, w)"""
    origin: str
    """Where they come from, in words."""

    def __post_init__(self) -> None:
        if len(self.values) < FEWEST_TILES:
            raise ConfigError(
                f"{self.origin} has data for {len(self.values)} tiles only, int8 needs {FEWEST_TILES} to be fitted and "
                "judged: name larger images, or take fp32 or bf16."
            )

    @property
    def fitting(self) -> Floats:
        """Every other tile, for the ranges."""
        return self.values[::2]

    @property
    def judging(self) -> tuple[Floats, NDArray[np.bool_]]:
        """The others, with their validity, for the loss."""
        return self.values[1::2], self.valid[1::2]


def ranges_of(content: bytes, tiles: Floats) -> Ranges:
    """What the tensors of an export hold on tiles of its size.

    Args:
        content: As made by `exported`.
        tiles: (N, C, h, w) standardised.
    """
    with _quantiser() as (quantisation, folder):
        path = folder / "network.onnx"
        path.write_bytes(content)
        calibrator = quantisation.create_calibrator(path, augmented_model_path=str(folder / "watched.onnx"))
        calibrator.collect_data(_Reader(tiles))
        found = calibrator.compute_data()
        pairs = ((name, tensor.range_value) for name, tensor in found.items())
        return {name: (float(np.min(low)), float(np.max(high))) for name, (low, high) in pairs}


def quantised(content: bytes, ranges: Ranges) -> bytes:
    """An export in 8 bits, for the tile size that it was made for; what it carries beside the network stays.

    Args:
        content: As made by `exported`, of the network that the ranges are of.
        ranges: By `ranges_of`; the size of the tiles there does not matter.
    """
    with _quantiser() as (quantisation, _):
        library = quantisation.module
        bounds = {name: tuple(np.float32(value) for value in pair) for name, pair in ranges.items()}
        model = onnx.shape_inference.infer_shapes(onnx.load_from_string(content))
        quantiser = library.QDQQuantizer(
            model,
            per_channel=True,
            reduce_range=False,
            weight_qType=library.QuantType.QInt8,
            activation_qType=library.QuantType.QUInt8,
            tensors_range=quantisation.tensors(bounds),
            nodes_to_quantize=[],
            nodes_to_exclude=sorted(kept_in_float(model)),
            op_types_to_quantize=list(QUANTISED),
            extra_options={},
        )
        quantiser.quantize_model()
        made: onnx.ModelProto = quantiser.model.model
        return bytes(made.SerializeToString())


def kept_in_float(model: onnx.ModelProto) -> set[str]:
    """Names of the nodes that 8 bits would spoil: up to the first convolutions, depthwise ones, from the last one on.

    A depthwise convolution has few weights to average rounding errors away: with them in 8 bits the installed model
    loses 0.2 points of IoU, without them nothing that can be measured, for a quarter more time.
    """
    nodes = list(model.graph.node)
    last = max((at for at, node in enumerate(nodes) if node.op_type == "Conv"), default=-1)
    kept: set[str] = set()
    seen: set[str] = set()
    for at, node in enumerate(nodes):
        behind = not seen.isdisjoint(node.input)
        if behind or node.op_type == "Conv":
            seen.update(node.output)
        groups = [attribute.i for attribute in node.attribute if attribute.name == "group"]
        if not behind or at >= last or groups[:1] > [1]:
            kept.add(node.name)
    return kept


def points_lost(expected: Floats, found: Floats, valid: NDArray[np.bool_]) -> float:
    """IoU points that the decisions of `found` are expected to lose against those of `expected`.

    Args:
        expected: (N, h, w) probability of the footprint in float32.
        found: The same in 8 bits.
        valid: (N, h, w) True where there is data.

    >>> sure = np.array([[[1.0, 1.0, 0.0, 0.0]]], np.float32)
    >>> everywhere = np.ones(sure.shape, bool)
    >>> [points_lost(sure, found, everywhere) for found in (sure, sure[..., ::-1], sure * [1, 0, 0, 0])]
    [0.0, 100.0, 50.0]
    """
    share = expected[valid].astype(np.float64)
    return 100 * (_expected_iou(share, share > 0.5) - _expected_iou(share, found[valid] > 0.5))


def require_small(points: float, tiles: Tiles) -> None:
    """Raise ConfigError where int8 loses too much."""
    if not points <= LARGEST_LOSS_POINTS:
        raise ConfigError(
            f"int8 would cost {points:.2f} IoU points by {len(tiles.judging[0])} tiles of {tiles.origin}, more than "
            f"{LARGEST_LOSS_POINTS}: take bf16 or fp32."
        )


def _expected_iou(share: NDArray[np.float64], decided: NDArray[np.bool_]) -> float:
    overlap = float(share[decided].sum())
    union = float(decided.sum()) + float(share.sum()) - overlap
    return overlap / union if union else 1.0


class _Reader:
    """Tiles one by one, as ONNX Runtime asks for them."""

    def __init__(self, tiles: Floats) -> None:
        self._tiles = iter(tiles)

    def get_next(self) -> dict[str, Floats] | None:
        tile = next(self._tiles, None)
        return None if tile is None else {INPUT: np.ascontiguousarray(tile[None], np.float32)}


@dataclass(frozen=True)
class _Quantisation:
    """The parts of ONNX Runtime that quantise."""

    module: Any
    calibrate: Any

    def create_calibrator(self, path: Path, **options: object) -> Any:
        """What watches the smallest and largest values: their mean over tiles, which no single bright pixel moves."""
        return self.calibrate.create_calibrator(
            path, list(QUANTISED), extra_options={"moving_average": True}, **options
        )

    def tensors(self, bounds: Mapping[str, tuple[np.float32, ...]]) -> Any:
        """Ranges as the quantiser takes them."""
        return self.calibrate.TensorsData(self.module.CalibrationMethod.MinMax, dict(bounds))


@contextmanager
def _quantiser() -> Iterator[tuple[_Quantisation, Path]]:
    """ONNX Runtime's quantisation without its advice, and a folder that goes again."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    from onnxruntime import quantization
    from onnxruntime.quantization import calibrate

    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with tempfile.TemporaryDirectory(prefix="overcast-int8-") as folder:
            yield _Quantisation(quantization, calibrate), Path(folder)
    finally:
        root.setLevel(level)
