"""Separates touching buildings along the edges and contacts that a model has learnt, by a watershed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

Labels = NDArray[np.int32]
"""(h, w) parts, numbered from 1; 0 outside."""

BOUNDARY = 0.5
"""Probability from which a pixel is edge or contact, and no seed of a building."""
FAR_PIXELS, SMALL = 32, 1 / 512
"""Where boundaries are equally high, what is nearer to a seed is flooded first: neighbours meet half way. The term is
less than a step of the 8-bit encoding."""
SMALLEST_SEED_PIXELS = 4
"""Smaller seeds are noise; a region that has no other stays whole."""


def separate_by_boundaries(inside: NDArray[np.bool_], boundaries: NDArray[np.floating]) -> Labels:
    """Parts of `inside`, each connected through the sides of its pixels, in order of their first pixel.

    Seeds are the pixels that are footprint and neither edge nor contact; they are flooded into the rest of their
    connected region, lowest boundaries first. What a part becomes depends on its region alone.

    Args:
        inside: (h, w) True in footprints.
        boundaries: (h, w) the larger of the probabilities of edge and contact.
    """
    regions, _ = ndimage.label(inside)
    parts, after = np.zeros(inside.shape, np.int32), 1
    for number, box in enumerate(ndimage.find_objects(regions), start=1):
        region = regions[box] == number
        cut = _cut(region, boundaries[box])
        parts[box][region] = cut[region] + after
        after += int(cut.max()) + 1
    return in_order(parts)


def _cut(region: NDArray[np.bool_], boundaries: NDArray[np.floating]) -> Labels:
    """Parts of one region, in its bounding box: on plateaus a watershed depends on everything that it looks at."""
    seeds, count = ndimage.label(region & (boundaries < BOUNDARY))
    large = np.bincount(seeds.ravel(), minlength=count + 1) >= SMALLEST_SEED_PIXELS
    large[0] = False
    if np.count_nonzero(large) < 2:
        return region.astype(np.int32)
    seeds = np.where(large[seeds], seeds, 0)
    away = np.minimum(ndimage.distance_transform_edt(seeds == 0), FAR_PIXELS) / FAR_PIXELS
    parts: Labels = watershed(boundaries + SMALL * away, seeds, mask=region)  # type: ignore[no-untyped-call]
    return parts


def in_order(parts: Labels) -> Labels:
    """Parts renumbered from 1 in order of their first pixel; 0 stays."""
    found, first = np.unique(parts, return_index=True)
    order = found[np.argsort(first)]
    order = order[order > 0]
    number = np.zeros(int(found.max()) + 1, np.int32)
    number[order] = np.arange(1, len(order) + 1)
    return number[parts]
