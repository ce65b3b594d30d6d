"""Fusion of two decoded features."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from overcast.models.blocks import ConvBlock, logit_head


class Fused(NamedTuple):
    """What a fusion head returns."""

    features: Tensor
    """(B, F, h, w): F_de^OS or F_de^HS, of the size of the decoded features."""
    logits: Tensor
    """(B, K, H, W): z^OS or z^HS."""


class FusionHead(nn.Module):
    """ConvBlock(a), ConvBlock(b), concatenate, ConvBlock, logits."""

    def __init__(self, in_channels: int, channels: int, logits: int, stride: int = 1) -> None:
        super().__init__()
        self.first = ConvBlock(in_channels, channels)
        self.second = ConvBlock(in_channels, channels)
        self.joint = ConvBlock(2 * channels, channels)
        self.head = logit_head(channels, logits, stride)

    def forward(self, a: Tensor, b: Tensor) -> Fused:
        """Fuse decoded features (B, D, h, w) of two branches."""
        features = self.joint(torch.cat([self.first(a), self.second(b)], dim=1))
        return Fused(features, self.head(features))
