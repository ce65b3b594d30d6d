"""What a map is made from: the footprint, and where wanted the walls between buildings."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def footprint_and_walls(logits: Tensor) -> Tensor:
    """(B, 2, H, W) from logits (B, K, H, W) of several targets: the footprint, and the larger of edge and contact."""
    return torch.cat([logits[:, :1], logits[:, 1:].amax(1, keepdim=True)], dim=1)


class Maps(nn.Module):
    """A network of several targets that gives the footprint alone, or footprint and walls."""

    def __init__(self, network: nn.Module, *, walls: bool) -> None:
        super().__init__()
        self.network, self.walls = network, walls

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, 1, H, W), or (B, 2, H, W) with walls."""
        logits: Tensor = self.network(x)
        return footprint_and_walls(logits) if self.walls else logits[:, :1]
