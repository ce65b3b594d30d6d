"""A network as ONNX for one tile shape, with a sample of its own results to check every runtime against."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from overcast.reading import first_line
from overcast.runtime.options import RuntimeUnavailableError, TileShape

Floats = NDArray[np.float32]

INPUT, OUTPUT = "input", "output"
_PROBE = "overcast_probe"
_PROBE_COUNT = 257
"""Logits in the sample, spread over the tile."""


@dataclass(frozen=True)
class Probe:
    """A tile of noise and what the network says of it."""

    tile: Floats
    """(1, C, h, w)."""
    logits: Floats
    """(_PROBE_COUNT,) or all logits of a smaller tile."""

    def difference(self, found: Floats) -> Floats:
        """Absolute difference of logits (1, K, h, w) to the sample, per sampled pixel."""
        difference: Floats = np.abs(_sampled(found) - self.logits)
        return difference


def export_onnx(network: nn.Module, shape: TileShape, example: Tensor | None = None) -> onnx.ModelProto:
    """The network with everything that depends on the tile's size worked out, batch normalisation folded.

    Args:
        network: Standardised (B, C, H, W) to logits (B, K, H, W), float32 on the CPU, in evaluation mode.
        shape: Of the tile; one tile at a time whatever its batch.
        example: An input to follow through the network; noise by default.

    Raises:
        RuntimeUnavailableError: The exporter cannot translate the network.
    """
    try:
        with _plain_arithmetic():
            model = _translated(network, torch.from_numpy(probe_tile(shape)) if example is None else example)
        onnx.checker.check_model(model)
    except Exception as error:  # exporters raise what they like
        raise RuntimeUnavailableError(
            f"the network cannot be exported to ONNX ({failure(error)}); take the runtime eager."
        ) from error
    return model


def sealed(model: onnx.ModelProto, network: nn.Module, shape: TileShape) -> bytes:
    """The file of an export, with a sample of what the network itself computes."""
    with _plain_arithmetic():
        logits: Floats = network(torch.from_numpy(probe_tile(shape))).numpy()
    sample = json.dumps([float(value) for value in _sampled(logits)])
    onnx.helper.set_model_props(model, {_PROBE: sample})
    return bytes(model.SerializeToString())


@contextmanager
def _plain_arithmetic() -> Iterator[None]:
    """float32 without gradients, whatever surrounds the call."""
    with torch.inference_mode(mode=False), torch.no_grad(), torch.autocast("cpu", enabled=False):
        yield


def failure(error: BaseException) -> str:
    """Kind and first line of an error, for a sentence."""
    return f"{type(error).__name__}: {first_line(error, 200)}"


def probe_tile(shape: TileShape) -> Floats:
    """(1, C, h, w) standard normal noise, always the same."""
    return np.random.default_rng(0).standard_normal(shape.single, dtype=np.float32)


def probe_of(content: bytes, shape: TileShape) -> Probe:
    """The sample that an export carries."""
    properties = {entry.key: entry.value for entry in onnx.load_from_string(content).metadata_props}
    return Probe(probe_tile(shape), np.array(json.loads(properties[_PROBE]), np.float32))


def _sampled(logits: Floats) -> Floats:
    flat = logits.reshape(-1)
    count = min(_PROBE_COUNT, flat.size)
    return flat[np.linspace(0, flat.size - 1, count).astype(np.intp)]


def _translated(network: nn.Module, example: Tensor) -> onnx.ModelProto:
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations inside the exporter
            program = torch.export.export(network, (example,), strict=False)
            onnx_program = torch.onnx.export(
                program, (), dynamo=True, verbose=False, input_names=[INPUT], output_names=[OUTPUT]
            )
    finally:
        log.setLevel(level)
    assert onnx_program is not None
    model: onnx.ModelProto = onnx_program.model_proto
    for node in model.graph.node:
        del node.metadata_props[:]  # stack traces, with the folders of this machine
    return model
