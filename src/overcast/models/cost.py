"""Parameters and multiply-adds of a network."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Cost:
    """What a network weighs and what one forward pass takes."""

    parameters: int
    multiply_adds: int
    """Of the convolutions and matrix products of one forward pass."""


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


def _without_data(module: nn.Module) -> nn.Module:
    """The same module tree on the meta device; the tensors of `module` are not copied."""
    shells: dict[int, object] = {id(p): nn.Parameter(p.detach().to("meta")) for p in module.parameters()}
    return copy.deepcopy(module, shells | {id(buffer): buffer.to("meta") for buffer in module.buffers()})


def parameter_count(module: nn.Module) -> int:
    """Trainable and frozen parameters, each once however often it is used."""
    return sum(parameter.numel() for parameter in module.parameters())
