"""Boundary IoU (Cheng et al., CVPR 2021) with a band in metres.

The paper's band of 2 % of the image diagonal is wider than a house at 0.5 m per pixel, where boundary IoU equals
mask IoU and says nothing about outlines.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overcast.batch import IGNORE_LABEL
from overcast.metrics.counts import Count, Sums, ratio


@dataclass(frozen=True, slots=True)
class BoundaryCounts(Sums):
    """Pixels in both bands and in either band. Counts add."""

    intersection: Count = 0
    union: Count = 0

    @property
    def iou(self) -> float:
        """Boundary IoU, 0 .. 1; 1 where neither mask has a boundary."""
        return ratio(self.intersection, self.union)


def band_width_px(band_m: float, gsd_m: float) -> float:
    """Width of the band in pixels: never thinner than one pixel, or coarse images would have no boundary.

    >>> band_width_px(1.0, 0.5), band_width_px(1.0, 10.0)
    (2.0, 1.0)
    """
    return max(band_m / gsd_m, 1.0)


def inner_band(mask: NDArray[np.bool_], valid: NDArray[np.bool_], width_px: float) -> NDArray[np.bool_]:
    """Pixels of `mask` (H, W) whose distance to its outline is at most `width_px`.

    The image border and the border of nodata cut masks, but are not outlines: only a valid pixel outside the mask
    makes a boundary.
    """
    radius = width_px + 0.5  # from the centre of the nearest outside pixel to the outline is half a pixel
    reach = int(radius)
    outside = np.pad(valid & ~mask, reach)
    height, width = mask.shape
    near = np.zeros_like(mask)
    for row in range(-reach, reach + 1):
        for col in range(-reach, reach + 1):
            if row * row + col * col <= radius * radius:
                near |= outside[reach + row : reach + row + height, reach + col : reach + col + width]
    band: NDArray[np.bool_] = mask & near
    return band


def count_boundary(
    prediction: NDArray[np.bool_], label: NDArray[np.integer], gsd_m: float, band_m: float = 1.0
) -> BoundaryCounts:
    """Counts of the inner bands of `prediction` (H, W) and `label` (H, W; 255 ignored).

    The band is `band_m` wide, or one pixel where that is wider.
    """
    valid = label != IGNORE_LABEL
    width_px = band_width_px(band_m, gsd_m)
    truth = inner_band(label == 1, valid, width_px)
    claim = inner_band(prediction & valid, valid, width_px)
    return BoundaryCounts(int((truth & claim).sum()), int((truth | claim).sum()))
