"""Weights of one network as the start of another of the same design."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from overcast.models.encoders import fitted_bands


def take_over(source: nn.Module, target: nn.Module, bands: Sequence[int] | None = None) -> None:
    """Give `target` every tensor of `source`, a module of the same design.

    Args:
        source: Where the weights come from.
        target: Where they go.
        bands: Of each band of the target's images the band of the source's; None: in order. Convolutions over the
            image are fitted with the response kept in size, as `fitted_bands` does.

    Raises:
        ValueError: The designs differ.
    """
    own, given = target.state_dict(), source.state_dict()
    if own.keys() != given.keys():
        raise ValueError(f"first at {sorted(own.keys() ^ given.keys())[0]!r}")
    firsts = first_convolutions(source)
    with torch.no_grad():
        for name, tensor in given.items():
            fitted = _fitted(tensor, own[name].shape[1], bands) if name in firsts else tensor
            if fitted.shape != own[name].shape:
                raise ValueError(f"{name!r} has shape {list(fitted.shape)}, but {list(own[name].shape)} is needed")
            own[name].copy_(fitted)


def first_convolutions(module: nn.Module) -> frozenset[str]:
    """Names of the weights that see an image: of the first convolution of each encoder."""
    encoders = [(f"{name}." if name else "", part) for name, part in module.named_modules() if _is_encoder(name)]
    firsts = []
    for prefix, encoder in encoders:
        inside = (name for name, part in encoder.named_modules() if isinstance(part, nn.Conv2d))
        firsts += [f"{prefix}{name}.weight" for name in list(inside)[:1]]
    return frozenset(firsts)


def forget_statistics(module: nn.Module) -> None:
    """Reset running averages of batch normalisation, so that training estimates them from its own images."""
    for part in module.modules():
        if isinstance(part, _BatchNorm):
            part.reset_running_stats()


def _is_encoder(name: str) -> bool:
    return name.rpartition(".")[2] == "encoder"


def _fitted(weight: Tensor, count: int, bands: Sequence[int] | None) -> Tensor:
    if bands is None:
        return weight if weight.shape[1] == count else fitted_bands(weight, count)
    return weight[:, list(bands)] * (weight.shape[1] / count)
