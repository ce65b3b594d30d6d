"""Convolution blocks, heads and padding that every network shares."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

STRIDE = 32
"""Stride of the deepest encoder stage; inputs are padded to a multiple of it."""


class ConvBlock(nn.Sequential):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )
        _initialise(self)


class ResidualBlock(nn.Module):
    """conv3x3-BN-ReLU-conv3x3-BN + identity, ReLU.

    The weights (convolutions, scale and shift) can serve several domains; `norms` then gives the domain whose batch
    statistics normalise, see `domain_norms`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        _initialise(self)

    def forward(self, x: Tensor, norms: Sequence[nn.Module] | None = None) -> Tensor:
        """(B, C, h, w) to the same shape; `norms` as made by `domain_norms`, None for the block's own statistics."""
        first, second = (None, None) if norms is None else norms
        hidden = F.relu(_normalise(self.norm1, self.conv1(x), first))
        return F.relu(x + _normalise(self.norm2, self.conv2(hidden), second))

    def domain_norms(self) -> nn.ModuleList:
        """Batch statistics of a further domain: buffers only, no trainable parameter."""
        return nn.ModuleList(nn.BatchNorm2d(norm.num_features, affine=False) for norm in (self.norm1, self.norm2))


def _normalise(own: nn.BatchNorm2d, x: Tensor, statistics: nn.Module | None) -> Tensor:
    if statistics is None:
        result: Tensor = own(x)
        return result
    scale, shift = own.weight[:, None, None], own.bias[:, None, None]
    normalised: Tensor = statistics(x)
    return (normalised * scale + shift).to(x.dtype)


def logit_head(in_channels: int, logits: int, stride: int = 1) -> nn.Module:
    """1x1 convolution from features (B, D, H / stride, W / stride) to logits (B, K, H, W).

    With a stride each feature gives the logits of its stride x stride pixels (sub-pixel convolution, Shi et al., CVPR
    2016).
    """
    head = nn.Conv2d(in_channels, logits * stride**2, 1)
    nn.init.xavier_uniform_(head.weight)
    nn.init.zeros_(head.bias)  # type: ignore[arg-type]
    return head if stride == 1 else nn.Sequential(head, nn.PixelShuffle(stride))


def pad_to_stride(x: Tensor) -> Tensor:
    """(B, C, H, W) with border pixels repeated right and below until both sides are multiples of `STRIDE`."""
    bottom, right = -x.shape[-2] % STRIDE, -x.shape[-1] % STRIDE
    return F.pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x


def crop_like(logits: Tensor, reference: Tensor) -> Tensor:
    """`logits` cut back to the height and width of `reference`, undoing `pad_to_stride`."""
    return logits[..., : reference.shape[-2], : reference.shape[-1]]


def _initialise(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_uniform_(part.weight, mode="fan_in", nonlinearity="relu")
