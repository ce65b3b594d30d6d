"""A network in 8 bits: fitted to real tiles, judged on others, refused where it loses too much."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from overcast.arithmetic import Precision
from overcast.runtime.int8 import Tiles, points_lost, ranges_of, require_small
from overcast.runtime.network import ExportedNetwork
from overcast.runtime.onnx_export import Floats
from overcast.runtime.options import RuntimeOptions, TileShape
from overcast.runtime.subprocess_export import exported_in_subprocess


def fitted(
    network: nn.Module, options: RuntimeOptions, tiles: Tiles, on_note: Callable[[str], None] | None = None
) -> ExportedNetwork:
    """The network in 8 bits on a runtime; the same tiles give the same network.

    Args:
        network: Standardised x (B, C, H, W) to logits (B, K, H, W), in evaluation mode.
        options: INT8 on ONNXRUNTIME or OPENVINO.
        tiles: What it is fitted to and judged by; it runs for tiles of any size.
        on_note: Called with a sentence that says what is lost.

    Raises:
        ConfigError: More is lost than `LARGEST_LOSS_POINTS`; the message has the figure.
        RuntimeUnavailableError: The runtime cannot run the network.
    """
    shape = TileShape(1, *tiles.values.shape[1:])
    ranges = ranges_of(exported_in_subprocess(network, shape, keep=options.keep_exports), tiles.fitting)
    made = ExportedNetwork(network, options, ranges)
    exact = ExportedNetwork(network, replace(options, precision=Precision.FP32))
    values, valid = tiles.judging
    lost = points_lost(_footprint(exact, values), _footprint(made, values), valid)
    require_small(lost, tiles)
    if on_note is not None:
        on_note(f"int8 costs about {max(lost, 0):.2f} IoU points, by {len(values)} tiles of {tiles.origin}")
    made.close()  # the tiles that are mapped have another size
    return made


def _footprint(network: nn.Module, tiles: Floats) -> Floats:
    """(N, h, w) probability of the footprint."""
    with torch.inference_mode():
        maps: Floats = torch.sigmoid(network(torch.from_numpy(np.ascontiguousarray(tiles)))[:, 0]).numpy()
    return maps
