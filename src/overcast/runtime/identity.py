"""The key of an export: weights, architecture, the code behind it, tile shape, versions."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

import overcast.models
from overcast import __version__
from overcast.runtime.options import TileShape

_LIBRARIES = ("torch", "timm", "segmentation-models-pytorch", "onnx", "onnxscript", "onnxruntime", "openvino")


def export_key(network: nn.Module, shape: TileShape) -> str:
    """64 hexadecimal digits that change with anything that could change the exported network."""
    versions = {"overcast": __version__, **{name: version(name) for name in _LIBRARIES}}
    facts = {
        "weights": weights_sha256(network),
        "architecture": _architecture(network),
        "code": _code_sha256(),
        "shape": shape.single,
        "versions": versions,
    }
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def weights_sha256(network: nn.Module) -> str:
    """Hash of every parameter and buffer: name, kind, shape and values."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _architecture(network: nn.Module) -> list[str]:
    """A line per module: name, class, and the settings that are no tensors."""
    return [
        f"{name} {type(part).__qualname__} {sorted((k, v) for k, v in vars(part).items() if _is_setting(v))}"
        for name, part in network.named_modules()
    ]


def _is_setting(value: object) -> bool:
    if isinstance(value, tuple):
        return all(_is_setting(part) for part in value)
    return isinstance(value, bool | int | float | str)


@cache
def _code_sha256() -> str:
    digest = hashlib.sha256()
    for folder in overcast.models.__path__:
        for path in sorted(Path(folder).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
