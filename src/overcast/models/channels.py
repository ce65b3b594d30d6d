"""What a map is made from: the footprint, and where wanted the boundaries between buildings."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def footprint_and_boundaries(logits: Tensor) -> Tensor:
    """(B, 2, H, W) from logits (B, K, H, W) of several targets: the footprint, and the larger of edge and contact."""
    return torch.cat([logits[:, :1], logits[:, 1:].amax(1, keepdim=True)], dim=1)


class OutputChannels(nn.Module):
    """A network of several targets that gives the footprint alone, or footprint and boundaries."""

    def __init__(self, network: nn.Module, *, boundaries: bool) -> None:
        super().__init__()
        self.network, self.boundaries = network, boundaries

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, 1, H, W), or (B, 2, H, W) with boundaries."""
        logits: Tensor = self.network(x)
        return footprint_and_boundaries(logits) if self.boundaries else logits[:, :1]
