"""Scale and rotation jitter: a small similarity about a sample's centre, the same for both sensors and every label.

Images are interpolated bilinearly over pixels with data, everything else takes the nearest pixel, and so does the
validity: what has a label has a value. What falls outside of the chip is invalid.

A turn also turns the direction in which buildings lean towards the radar. It stays within `LOOK_TOLERANCE_DEG` of the
declared one: layover and shadow keep their side, and a scene is seen at angles at which other passes see it too.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, cos, log1p, radians, sin

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from overcast.batch import IGNORE_LABEL
from overcast.data.chips import ChipArrays
from overcast.raster.sources import NativePixels

LOOK_TOLERANCE_DEG = 15.0
"""The farthest that a sample may be turned: the direction of layover then changes by at most this angle."""
LARGEST_SCALE = 0.5
"""The largest share by which a sample may be enlarged or reduced."""


@dataclass(frozen=True)
class Warp:
    """One draw."""

    factor: float
    """Above 1 enlarges what is seen."""
    angle_deg: float
    """Turn, clockwise as displayed (rows down)."""

    def source_side(self, side: int) -> int:
        """Side in pixels of the square that holds everything that a sample of `side` shows.

        >>> Warp(2.0, 0.0).source_side(64), Warp(0.5, 0.0).source_side(64)
        (33, 129)
        """
        angle = abs(radians(self.angle_deg))
        return ceil(side * (cos(angle) + sin(angle)) / self.factor) + 1

    def apply(self, arrays: ChipArrays, size: tuple[int, int]) -> ChipArrays:
        """Arrays of `size`, their centre being that of `arrays`; images in float32, the label 255 outside."""
        grid = self._grid(arrays.shape, size)
        inside = _nearest(np.ones((1, *arrays.shape), np.float32), grid)[0] > 0
        label = None
        if arrays.label is not None:
            label = np.where(inside, _nearest(arrays.label[None], grid)[0], IGNORE_LABEL).astype(np.uint8)
        return ChipArrays(
            None if arrays.sar is None else _image(arrays.sar, grid),
            None if arrays.optical is None else _image(arrays.optical, grid),
            label,
            None if arrays.targets is None else _nearest(arrays.targets, grid).astype(np.uint8),
            None if arrays.instances is None else _nearest(arrays.instances[None], grid)[0].astype(np.int32),
        )

    def _grid(self, source: tuple[int, int], size: tuple[int, int]) -> Tensor:
        """(1, h, w, 2) where each pixel of the sample comes from; -1 and 1 are the borders of the source."""
        angle = radians(self.angle_deg)
        rows, cols = (torch.arange(side, dtype=torch.float64) + 0.5 - side / 2 for side in size)
        down, right = torch.meshgrid(rows, cols, indexing="ij")
        x = (cos(angle) * right + sin(angle) * down) / self.factor
        y = (cos(angle) * down - sin(angle) * right) / self.factor
        return torch.stack([2 * x / source[1], 2 * y / source[0]], dim=-1)[None].float()


@dataclass(frozen=True)
class WarpRange:
    """What warps are drawn from."""

    scale: float = 0.0
    """Factors lie between 1 / (1 + scale) and 1 + scale, uniformly in their logarithm."""
    rotation_deg: float = 0.0
    """Turns lie within this angle, uniformly."""

    def __post_init__(self) -> None:
        if not (0 <= self.scale <= LARGEST_SCALE and 0 <= self.rotation_deg <= LOOK_TOLERANCE_DEG):
            raise ValueError(
                f"scale must lie in 0 .. {LARGEST_SCALE} and rotation_deg in 0 .. {LOOK_TOLERANCE_DEG}: {self}"
            )

    def draw(self, rng: np.random.Generator) -> Warp | None:
        """One of them; None, and no number drawn, where nothing changes."""
        if self.scale == 0 and self.rotation_deg == 0:
            return None
        scale, turn = rng.uniform(-1, 1, 2)
        return Warp(float(np.exp(scale * log1p(self.scale))), float(turn * self.rotation_deg))


NO_WARP = WarpRange()
"""Samples stay as they are."""


def _nearest(planes: NDArray[np.generic], grid: Tensor) -> NDArray[np.float32]:
    """(C, h, w) of the nearest pixels of (C, H, W), 0 outside."""
    return _sampled(planes, grid, "nearest")


def _image(image: NativePixels, grid: Tensor) -> NativePixels:
    """Bilinear means over the pixels with data; with data where the nearest pixel has some."""
    share = _sampled(image.valid[None], grid, "bilinear")
    valid = _nearest(image.valid[None], grid)[0] > 0
    values = _sampled(image.values, grid, "bilinear") / np.where(valid, share, 1)
    return NativePixels(np.where(valid, values, 0).astype(np.float32), valid)


def _sampled(planes: NDArray[np.generic], grid: Tensor, mode: str) -> NDArray[np.float32]:
    source = torch.from_numpy(np.ascontiguousarray(planes, np.float32))[None]
    sampled = F.grid_sample(source, grid, mode=mode, padding_mode="zeros", align_corners=False)
    result: NDArray[np.float32] = sampled[0].numpy()
    return result
