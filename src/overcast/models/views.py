"""Look-safe test-time augmentation: what a network says of a few views of an image, averaged as probabilities.

A view is a flip along the flight direction of the radar, a scale, or both. Flips across it would move layover and
shadow to the wrong side: no view has one, and where no radar side is declared there are no flips at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from overcast.choices import Tta
from overcast.data.augment import safe_geometry
from overcast.raster.radiometry import RadarSide

SCALES = (1.0, 0.8, 1.25)
"""Sizes that `Tta.FULL` looks at; the first is the image as it is."""
LARGEST_PROBABILITY = 1 - 1e-7
"""Averages are kept below it and above the rest to 1, so that their logits are finite."""


@dataclass(frozen=True)
class View:
    """One way of looking at an image."""

    flip_rows: bool = False
    flip_cols: bool = False
    scale: float = 1.0
    """Above 1 shows the network a larger image."""

    def apply(self, image: Tensor) -> Tensor:
        """The view of (B, C, H, W): bilinear for numbers, the nearest pixel for booleans."""
        return self._flipped(self._resized(image, self.size_of(image)))

    def undo(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """Maps (B, K, h, w) of the view brought back to an image of `size`."""
        return self._resized(self._flipped(maps), size)

    def size_of(self, image: Tensor) -> tuple[int, int]:
        """Height and width of the view."""
        height, width = (max(1, round(side * self.scale)) for side in image.shape[-2:])
        return height, width

    def _flipped(self, image: Tensor) -> Tensor:
        sides = [side for side, wanted in ((-2, self.flip_rows), (-1, self.flip_cols)) if wanted]
        return image.flip(sides) if sides else image

    def _resized(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        if tuple(image.shape[-2:]) == size:
            return image
        if image.dtype == torch.bool:
            return F.interpolate(image.float(), size, mode="nearest-exact") > 0
        return F.interpolate(image, size, mode="bilinear", antialias=True)


def views_of(tta: Tta, look: RadarSide | None) -> tuple[View, ...]:
    """The views for images seen from a side, the image itself first.

    >>> [(view.flip_cols, view.scale) for view in views_of(Tta.FLIP, RadarSide.NORTH)]
    [(False, 1.0), (True, 1.0)]
    """
    if tta is Tta.OFF:
        return (View(),)
    flips = [View()]
    if look is not None:
        flips = [View(s.flip_rows, s.flip_cols) for s in safe_geometry(look).symmetries]
    scales = SCALES if tta is Tta.FULL else SCALES[:1]
    return tuple(View(flip.flip_rows, flip.flip_cols, scale) for scale in scales for flip in flips)


def averaged(logits_of: Callable[[View], Tensor], views: Sequence[View], size: tuple[int, int]) -> Tensor:
    """Logits (B, K, H, W) of the mean probability over views, each logit taken for itself.

    Args:
        logits_of: A view to the network's logits (B, K, h, w) of it.
        views: A single one is returned unchanged.
        size: (H, W) of the image.
    """
    if len(views) == 1:
        return logits_of(views[0])
    total = sum(view.undo(torch.sigmoid(logits_of(view).float()), size) for view in views)
    assert isinstance(total, Tensor)
    return torch.logit(total / len(views), eps=1 - LARGEST_PROBABILITY)


def with_views(network: nn.Module, tta: Tta, look: RadarSide | None) -> nn.Module:
    """A network of one image that looks at the views of it; the network itself where there is one view."""
    views = views_of(tta, look)
    return network if len(views) == 1 else Averaged(network, views)


class Averaged(nn.Module):
    """A network that looks at several views of its one image."""

    def __init__(self, network: nn.Module, views: Sequence[View]) -> None:
        super().__init__()
        self.network, self.views = network, tuple(views)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K, H, W) of the mean probability."""
        height, width = x.shape[-2:]
        return averaged(lambda view: self.network(view.apply(x)), self.views, (height, width))
