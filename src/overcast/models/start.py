"""Weights of one network as the start of another."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from overcast.models.encoders import fitted_bands


def take_over(source: nn.Module, target: nn.Module) -> None:
    """Give `target` every tensor of `source`, a module of the same design.

    A convolution over other bands is fitted as `fitted_bands` says. Raises ValueError where the designs differ.
    """
    own, given = target.state_dict(), source.state_dict()
    if own.keys() != given.keys():
        raise ValueError(f"the networks differ, first at {sorted(own.keys() ^ given.keys())[0]!r}")
    with torch.no_grad():
        for name, tensor in given.items():
            own[name].copy_(_fitted(name, tensor, own[name]))


def _fitted(name: str, tensor: Tensor, own: Tensor) -> Tensor:
    if tensor.shape == own.shape:
        return tensor
    if tensor.ndim != 4 or own.ndim != 4 or (tensor.shape[0], *tensor.shape[2:]) != (own.shape[0], *own.shape[2:]):
        raise ValueError(f"{name!r} has shape {list(tensor.shape)}, but {list(own.shape)} is needed")
    return fitted_bands(tensor, own.shape[1])
