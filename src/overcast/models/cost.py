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
    on_meta = copy.deepcopy(module).to("meta").eval()
    inputs = [torch.empty(shape, device="meta") for shape in input_shapes]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        on_meta(*inputs)
    return Cost(parameter_count(module), counter.get_total_flops() // 2)  # it counts a multiply-add as two


def parameter_count(module: nn.Module) -> int:
    """Trainable and frozen parameters, each once however often it is used."""
    return sum(parameter.numel() for parameter in module.parameters())
