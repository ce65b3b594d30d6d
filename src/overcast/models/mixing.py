"""Features and logits of two sources mixed by how far the better one can be trusted at a place.

A pixel near a cloud is seen through a receptive field that the cloud is a part of. The weight of the optical side
therefore is 0 where the image has no data, rises over a few pixels inside of what it shows, and is 1 beyond: no border
is drawn along the cloud. How many: a network that was trained on images with gaps is right up to their edges, and what
is given away there is lost; one that was not is wrong there (see EXPERIMENTS.md, any sky).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from overcast.choices import Mixing

REACH_PX = 16
"""Distance to the nearest pixel without data from which on the optical side counts alone; at most the margin of the
tiles of a scene, or a tiled scene would differ from a whole one."""
NEAR_PX = 4
"""The reach of a network that was trained on images with gaps."""


def optical_weight(valid: Tensor, reach_px: int = REACH_PX) -> Tensor:
    """(B, 1, H, W) float32 weight in 0 .. 1 of the optical side from its validity (B, 1, H, W).

    It is 0 exactly where the image has no data, and 1 exactly from `reach_px` pixels, an even number, off such places
    on. What lies beyond the border of the tile does not count.
    """
    half, missing = reach_px // 2, (~valid).float()
    inside = 1 - F.max_pool2d(missing, 2 * half + 1, stride=1, padding=half)
    mean = F.avg_pool2d(inside, 2 * half + 1, stride=1, padding=half, count_include_pad=False)
    return (mean * (1 + 1e-5)).clamp(max=1) * valid


def mixed(optical: Tensor, other: Tensor, weight: Tensor) -> Tensor:
    """`optical` (B, C, h, w) by its weight (B, 1, H, W), averaged over the area of a cell, and `other` by the rest."""
    share = cell_means(weight, optical.shape[-2:]).to(optical.dtype)
    return share * optical + (1 - share) * other


def mixed_features(optical: Sequence[Tensor], other: Sequence[Tensor], weight: Tensor) -> list[Tensor]:
    """Features of several scales mixed, scale by scale."""
    return [mixed(one, two, weight) for one, two in zip(optical, other, strict=True)]


def cell_means(weight: Tensor, size: Sequence[int]) -> Tensor:
    """(B, 1, h, w) means of a weight (B, 1, H, W) over cells; the sides are whole multiples of h and w."""
    down, right = weight.shape[-2] // size[0], weight.shape[-1] // size[1]
    return weight if down == right == 1 else F.avg_pool2d(weight, (down, right))


def chosen(both: Tensor, alone: Tensor, valid: Tensor, mixing: Mixing, reach_px: int = REACH_PX) -> Tensor:
    """Logits (B, K, H, W) from both sensors and from SAR alone made one; `reach_px` is that of `optical_weight`."""
    if mixing is Mixing.CHOICE:
        return torch.where(valid, both, alone)
    return mixed(both, alone, optical_weight(valid, reach_px))
