"""Depthwise convolutions that train fast on a CPU."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn
from torch.nn.grad import conv2d_input

SMALL_MAP_PX = 8
"""Largest side of the maps whose weights' gradient is summed offset by offset."""


class _SmallDepthwise(torch.autograd.Function):
    """Depthwise convolution without bias whose weights' gradient does not come from the library.

    On maps of a few pixels the library needs 20 to 50 times as long for it as for the convolution itself; there it is
    summed here, one offset of the kernel after the other.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, None, stride, padding, 1, len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        """Gradients of image and weights."""
        x, weight = ctx.saved_tensors
        (gradient,) = gradients
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            of_x = conv2d_input(x.shape, weight, gradient, ctx.stride, ctx.padding, 1, len(weight))
        if ctx.needs_input_grad[1]:
            of_weight = _gradient_of_weight(x, gradient, weight.shape, ctx.stride, ctx.padding)
        return of_x, of_weight, None, None


def _gradient_of_weight(
    x: Tensor, gradient: Tensor, shape: torch.Size, stride: tuple[int, int], padding: tuple[int, int]
) -> Tensor:
    """Gradient (C, 1, k, k) of depthwise weights: for each offset, the sum over all places that see it.

    Args:
        x: (B, C, H, W) input.
        gradient: (B, C, h, w) gradient of the output.
        shape: Of the weights.
        stride: Of the convolution, down and across.
        padding: Of the convolution, down and across.
    """
    inputs, outputs = x.permute(0, 2, 3, 1), gradient.permute(0, 2, 3, 1)
    sums = x.new_zeros(shape[2], shape[3], shape[0])
    for row in range(shape[2]):
        for col in range(shape[3]):
            (seen_rows, at_rows), (seen_cols, at_cols) = (
                _overlap(offset - padding[axis], stride[axis], x.shape[2 + axis], gradient.shape[2 + axis])
                for axis, offset in enumerate((row, col))
            )
            sums[row, col] = (inputs[:, seen_rows, seen_cols] * outputs[:, at_rows, at_cols]).sum((0, 1, 2))
    return sums.permute(2, 0, 1)[:, None].contiguous()


def _overlap(offset: int, stride: int, length: int, count: int) -> tuple[slice, slice]:
    """Input places `place * stride + offset` that lie in 0 .. length - 1, and their output places, of 0 .. count - 1.

    >>> _overlap(-2, 1, 2, 2), _overlap(-1, 2, 4, 2)
    ((slice(0, 0, 1), slice(2, 2, None)), (slice(1, 2, 2), slice(1, 2, None)))
    """
    first = max(0, -(offset // stride))
    stop = max(first, min(count, (length - 1 - offset) // stride + 1))
    start = first * stride + offset
    return slice(start, start + max(0, (stop - first - 1) * stride + (stop > first)), stride), slice(first, stop)


class DepthwiseConv2d(nn.Conv2d):
    """A depthwise convolution that trains fast on a CPU.

    It computes in float32 under autocast, and gradients on small maps by `_SmallDepthwise`.

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
        if not (self.training and x.device.type == "cpu"):
            return super().forward(x)
        wanted = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        with torch.autocast("cpu", enabled=False):
            return self._on_cpu(x.float()).to(wanted)

    def _on_cpu(self, x: Tensor) -> Tensor:
        if max(x.shape[2:]) > SMALL_MAP_PX or self.dilation != (1, 1) or self.padding_mode != "zeros":
            return super().forward(x)
        assert isinstance(self.padding, tuple)
        y: Tensor = _SmallDepthwise.apply(x, self.weight, self.stride, self.padding)
        return y if self.bias is None else y + self.bias[:, None, None]

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
