"""A network that takes SAR and what there is of an optical image as one tensor, so that tiles pass it like any other.

Behind the bands of SAR lie those of the optical image and 1 where it shows the ground. A tile that it does not show at
all goes through the SAR-only network alone: no bit differs from a scene without an optical image, and no more time is
spent.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from overcast.batch import Batch
from overcast.choices import Mixing
from overcast.methods.base import Method

SHOWN = 0.999
"""Least value of the last band that means that the image shows a pixel: views of another scale average it."""
CERTAIN = 200.0
"""Logit of the plane that says where it does: its probability is 1 exactly, that of the negative one 0."""


class FromBoth(nn.Module):
    """Both sensors through the network of a method."""

    def __init__(self, method: Method, sar_bands: int, mixing: Mixing) -> None:
        super().__init__()
        self.method, self.sar_bands, self.mixing = method, sar_bands, mixing

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K, H, W) of stacked tiles (B, C, H, W)."""
        shown = shown_of(x)
        optical = x[:, self.sar_bands : -1].masked_fill(~shown, 0)
        batch = Batch(x[:, : self.sar_bands], None, optical, shown, None, ("",) * len(x))
        return self.method.predict_clouded(batch, self.mixing)


class TwoSensors(nn.Module):
    """SAR alone where a tile has nothing else, both sensors elsewhere; the last map says where the image shows."""

    def __init__(self, alone: nn.Module, both: nn.Module, sar_bands: int) -> None:
        super().__init__()
        self.alone, self.both, self.sar_bands = alone, both, sar_bands

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, M + 1, H, W) of stacked tiles (B, C, H, W)."""
        shown = shown_of(x)
        some = shown.flatten(1).any(1)
        if not some.any():
            maps = self.alone(self._radar(x))
        elif some.all():
            maps = self.both(x)
        else:
            maps = torch.where(some[:, None, None, None], self.both(x), self.alone(self._radar(x)))
        sight = torch.where(shown, CERTAIN, -CERTAIN).to(maps.device, maps.dtype)
        return torch.cat([maps, sight], dim=1)

    def _radar(self, x: Tensor) -> Tensor:
        """The bands of SAR in the memory order that they have in a scene without an optical image."""
        last = x.is_contiguous(memory_format=torch.channels_last)
        return x[:, : self.sar_bands].contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


def shown_of(x: Tensor) -> Tensor:
    """(B, 1, H, W) True where the optical image of stacked tiles shows the ground."""
    return x[:, -1:] > SHOWN


def with_parts(network: nn.Module, made: Callable[[nn.Module], nn.Module]) -> nn.Module:
    """A network made ready: of one of two sensors each of its parts, for tiles choose between them."""
    if isinstance(network, TwoSensors):
        return TwoSensors(made(network.alone), made(network.both), network.sar_bands)
    return made(network)
