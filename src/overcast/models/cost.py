"""Parameters, multiply-adds and memory of a network."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Cost:
    """What a network weighs and what one forward pass takes."""

    parameters: int
    multiply_adds: int
    """Multiply-adds of the convolutions and matrix products of one forward pass."""


def cost(module: nn.Module, input_shapes: Sequence[tuple[int, ...]]) -> Cost:
    """Cost of `module` on inputs of the given shapes (B, C, H, W); nothing is computed, no weight is touched."""
    return Cost(parameter_count(module), sum(leaf_multiply_adds(module, input_shapes).values()))


def leaf_multiply_adds(module: nn.Module, input_shapes: Sequence[tuple[int, ...]]) -> dict[str, int]:
    """Multiply-adds of one forward pass by name of the submodule that did them ("" for `module` itself)."""
    on_meta = _without_data(module).eval()
    inputs = [torch.empty(shape, device="meta") for shape in input_shapes]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        on_meta(*inputs)
    counts = {path: sum(by_operator.values()) // 2 for path, by_operator in counter.get_flop_counts().items()}
    root = type(module).__name__
    return {
        name: counts.get(f"{root}.{name}" if name else root, 0)  # it counts a multiply-add as two operations
        for name, part in on_meta.named_modules()
        if not any(part.children())
    }


def peak_bytes(module: nn.Module, input_shapes: Sequence[tuple[int, ...]]) -> int:
    """The most bytes of tensors at one moment of a forward pass without gradients: weights, inputs and features.

    Each operator in turn, as PyTorch runs them one by one on float32 inputs of the given shapes (B, C, H, W); a tensor
    counts until its last user is done. Workspace that libraries take inside an operator comes on top. Nothing is
    computed, so the figure does not depend on a machine.
    """
    on_meta = _without_data(module).eval()
    inputs = [torch.empty(shape, device="meta") for shape in input_shapes]
    memory = _LiveBytes([*on_meta.parameters(), *on_meta.buffers(), *inputs])
    with torch.no_grad(), memory:
        on_meta(*inputs)
    return memory.peak


class _LiveBytes(TorchDispatchMode):
    """Counts the memory of tensors that are alive after each operator."""

    def __init__(self, held: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._live: dict[StorageWeakRef, int] = {}
        self._count(held)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self._count(leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor))
        return result

    def _count(self, tensors: Iterable[Tensor]) -> None:
        for tensor in tensors:
            storage = tensor.untyped_storage()
            self._live[StorageWeakRef(storage)] = storage.nbytes()
        self._live = {storage: size for storage, size in self._live.items() if not storage.expired()}
        self.peak = max(self.peak, sum(self._live.values()))


def _without_data(module: nn.Module) -> nn.Module:
    """The module tree on the meta device; the tensors of `module` are not copied."""
    shells: dict[int, object] = {id(p): nn.Parameter(p.detach().to("meta")) for p in module.parameters()}
    return copy.deepcopy(module, shells | {id(buffer): buffer.to("meta") for buffer in module.buffers()})


def parameter_count(module: nn.Module) -> int:
    """Trainable and frozen parameters, each once however often it is used."""
    return sum(parameter.numel() for parameter in module.parameters())
