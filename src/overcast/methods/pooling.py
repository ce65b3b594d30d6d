"""Sums over a global batch that several processes share, so that a loss does not depend on their number."""

from __future__ import annotations

import torch
from torch import Tensor, distributed


def pooled(total: Tensor) -> Tensor:
    """Sum of `total` over all processes; the same tensor in one process or without gradient.

    Differentiable: every process computes the loss of the whole batch, its gradient comes back times the number of
    processes, and the mean that DDP takes over processes is then the gradient of one process with the whole batch.
    """
    if not (torch.is_grad_enabled() and distributed.is_available() and distributed.is_initialized()):
        return total
    summed: Tensor = _PooledSum.apply(total)
    return summed


class _PooledSum(torch.autograd.Function):
    """all_reduce whose backward is all_reduce."""

    @staticmethod
    def forward(ctx: object, total: Tensor) -> Tensor:  # noqa: ARG004  # nothing to remember
        summed = total.clone()
        distributed.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:  # noqa: ARG004
        summed = gradient.clone()
        distributed.all_reduce(summed)
        return summed
