"""Depthwise convolutions that train fast on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn


class DepthwiseConv2d(nn.Conv2d):
    """A depthwise convolution that computes in float32 while it trains under CPU autocast.

    The bfloat16 gradients of depthwise convolutions have no fast CPU kernel (5 to 100 times slower than float32,
    two thirds of the time of a training step). Weights and names stay those of the convolution replaced.
    """

    def __init__(self, replaced: nn.Conv2d, *, same: bool) -> None:
        super().__init__(
            replaced.in_channels,
            replaced.out_channels,
            replaced.kernel_size,  # type: ignore[arg-type]  # torch declares a tuple of any length
            replaced.stride,  # type: ignore[arg-type]
            replaced.padding,  # type: ignore[arg-type]
            replaced.dilation,  # type: ignore[arg-type]
            replaced.groups,
            bias=replaced.bias is not None,
            padding_mode=replaced.padding_mode,
            device="meta",
        )
        self.weight, self.bias = replaced.weight, replaced.bias
        self.same = same
        """TensorFlow's padding: as much as the stride needs, the odd pixel right and below."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H / stride, W / stride)."""
        if self.same:
            x = self._pad_same(x)
        if not (self.training and x.device.type == "cpu" and torch.is_autocast_enabled("cpu")):
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float()).to(torch.get_autocast_dtype("cpu"))

    def _pad_same(self, x: Tensor) -> Tensor:
        pads: list[int] = []
        for axis in (1, 0):
            kernel, stride, size = self.kernel_size[axis], self.stride[axis], x.shape[2 + axis]
            total = max((-(-size // stride) - 1) * stride + self.dilation[axis] * (kernel - 1) + 1 - size, 0)
            pads += [total // 2, total - total // 2]
        return F.pad(x, pads) if any(pads) else x


def with_fast_depthwise(encoder: nn.Module) -> nn.Module:
    """Replace, in place, every depthwise convolution of an encoder; its function and state dict stay the same."""
    for name, module in list(encoder.named_modules()):
        depthwise = isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1
        if depthwise and type(module) in (nn.Conv2d, Conv2dSame):
            encoder.set_submodule(name, DepthwiseConv2d(module, same=isinstance(module, Conv2dSame)))
    return encoder
