"""A network that runs on a fast runtime and otherwise behaves like the one it was made from."""

from __future__ import annotations

from typing import Any, assert_never

import numpy as np
import torch
from torch import Tensor, nn

from overcast.arithmetic import instruction_sets
from overcast.runtime.int8 import Ranges, quantised
from overcast.runtime.onnx_export import failure
from overcast.runtime.options import Runtime, RuntimeOptions, RuntimeUnavailableError, TileShape
from overcast.runtime.sessions import Session, open_session
from overcast.runtime.subprocess_export import exported_in_subprocess


def fast_network(network: nn.Module, options: RuntimeOptions) -> nn.Module:
    """The network on a runtime; nothing is exported or compiled before the first tile of each shape.

    INT8 needs real tiles, see `overcast.runtime.fitting`.
    """
    match options.runtime:
        case Runtime.EAGER:
            return network
        case Runtime.COMPILED:
            return CompiledNetwork(network, options)
        case Runtime.ONNXRUNTIME | Runtime.OPENVINO:
            return ExportedNetwork(network, options)
        case Runtime.AUTO:
            raise ValueError("auto has to be resolved first")
        case _:
            assert_never(options.runtime)


def release(network: nn.Module) -> None:
    """Close what a network has opened on its runtime; it is opened anew where the network is used again."""
    for part in network.modules():
        if isinstance(part, ExportedNetwork):
            part.close()


class ExportedNetwork(nn.Module):
    """A network whose exports for the tile shapes that come by are run, tile by tile, by ONNX Runtime or OpenVINO.

    It can be pickled: sessions stay behind and are opened anew, from the cache where it is kept.
    """

    def __init__(self, network: nn.Module, options: RuntimeOptions, ranges: Ranges | None = None) -> None:
        """Nothing is exported yet.

        Args:
            network: Standardised (B, C, H, W) to logits (B, K, H, W).
            options: ONNXRUNTIME or OPENVINO.
            ranges: Of the tensors of the network's exports, for INT8.
        """
        super().__init__()
        self.network, self.options, self.ranges = network, options, ranges
        self._sessions: dict[tuple[TileShape, int], Session] = {}

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K, H, W), float32, of standardised tiles (B, C, H, W) on the CPU."""
        session = self._session(TileShape(1, *x.shape[1:]))
        tiles = np.ascontiguousarray(x.numpy(), np.float32)
        return torch.from_numpy(np.concatenate([session(tile[None]) for tile in tiles]))

    def close(self) -> None:
        """Give back the memory of the sessions, 0.15 GB for the installed model; the next tile opens them anew."""
        self._sessions.clear()

    def _session(self, shape: TileShape) -> Session:
        threads = torch.get_num_threads()
        if (shape, threads) not in self._sessions:
            options = self.options
            content = exported_in_subprocess(self.network, shape, keep=options.keep_exports)
            content = content if self.ranges is None else quantised(content, self.ranges)
            session = open_session(options.runtime, options.precision, content, shape, threads)
            self._sessions[shape, threads] = session
        return self._sessions[shape, threads]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_sessions": {}}


class CompiledNetwork(nn.Module):
    """A network compiled by torch.compile for the batch that comes first; smaller ones are filled up."""

    def __init__(self, network: nn.Module, options: RuntimeOptions) -> None:
        super().__init__()
        self.network, self.options = network, options
        self._largest_batch = 0
        self._compile()

    def _compile(self) -> None:
        def run(x: Tensor) -> Tensor:
            logits: Tensor = self.network(x)
            return logits

        # PyTorch's cache does not ask for instruction sets: code of another run's computes rubbish
        torch.compiler.config.cache_key_tag = instruction_sets()
        mode = "reduce-overhead" if torch.device(self.options.device).type == "cuda" else "default"
        self._compiled = torch.compile(run, dynamic=False, mode=mode)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K, H, W) of standardised tiles (B, C, H, W)."""
        count, self._largest_batch = len(x), max(len(x), self._largest_batch)
        missing = self._largest_batch - count
        filled = torch.cat([x, x[-1:].expand(missing, *x.shape[1:])]) if missing else x
        try:
            logits: Tensor = self._compiled(filled)
        except Exception as error:  # compilers raise what they like
            raise RuntimeUnavailableError(
                f"torch.compile cannot compile the network here ({failure(error)}); take the runtime eager."
            ) from error
        return logits[:count]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_compiled"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._compile()
