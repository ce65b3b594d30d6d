"""The export of a network for a tile shape, from the cache where there is one."""

from __future__ import annotations

import onnx
from torch import nn

from overcast.runtime.cache import ExportCache, cache_folder
from overcast.runtime.identity import export_key
from overcast.runtime.onnx_export import export_onnx, sealed
from overcast.runtime.options import TileShape
from overcast.runtime.resize import master_shape, resized


def exported(network: nn.Module, shape: TileShape, *, keep: bool) -> bytes:
    """The ONNX file of a network for tiles of one shape, with a sample of the network's own results.

    Args:
        network: Standardised (B, C, H, W) to logits (B, K, H, W), float32 on the CPU, in evaluation mode.
        shape: Of the tiles.
        keep: Look into the cache first and keep what is made: the export for this shape, and one of the network from
            which those for further shapes are made without exporting again.

    Raises:
        RuntimeUnavailableError: The network cannot be exported.
    """
    if not keep:
        return _made(network, shape)
    cache = ExportCache(cache_folder() / "exports")
    return cache.get(export_key(network, shape), lambda: _from_master(network, shape, cache) or _made(network, shape))


def kept_export(network: nn.Module, shape: TileShape) -> bytes | None:
    """The export of an earlier call of `exported` that kept it; None where there is none."""
    return ExportCache(cache_folder() / "exports").find(export_key(network, shape))


def _made(network: nn.Module, shape: TileShape) -> bytes:
    return sealed(export_onnx(network, shape), network, shape)


def _from_master(network: nn.Module, shape: TileShape, cache: ExportCache) -> bytes | None:
    small = master_shape(shape)
    if small is None:
        return None
    master = cache.get(export_key(network, small), lambda: _made(network, small))
    model = resized(onnx.load_from_string(master), shape)
    return None if model is None else sealed(model, network, shape)
