"""Clouds over test chips: which pixels of an optical image are taken away to see what a model makes of the rest."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from overcast.batch import Batch
from overcast.errors import ConfigError

SMOOTHNESS = (1 / 6, 1 / 16)
"""Sizes of the two generations of blobs, as shares of the longer side."""


def cloud_mask(shape: tuple[int, int], clear: float, seed: int) -> NDArray[np.bool_]:
    """(H, W) bool, True under cloud: the highest values of a smooth random field.

    Args:
        shape: Of the chip.
        clear: Share of pixels that stay, 0 .. 1, met to the pixel.
        seed: Of the field. Fields of one seed are nested: what is clear at a small share is clear at a larger one.
    """
    if not 0 <= clear <= 1:
        raise ConfigError(f"the share of valid optical pixels must lie in 0 .. 1, got {clear:g}.")
    generator = np.random.default_rng(seed)
    field = sum(_blobs(generator, shape, size * max(shape)) for size in SMOOTHNESS)
    order = np.argsort(np.asarray(field), axis=None, kind="stable")
    mask = np.ones(shape[0] * shape[1], bool)
    mask[order[: round(clear * mask.size)]] = False
    return mask.reshape(shape)


def _blobs(generator: np.random.Generator, shape: tuple[int, int], sigma: float) -> NDArray[np.float64]:
    smooth: NDArray[np.float64] = ndimage.gaussian_filter(generator.standard_normal(shape), sigma, mode="nearest")
    return smooth / max(float(smooth.std()), 1e-12)


def clouded(batch: Batch, clear: float) -> Batch:
    """The batch with clouds over its optical images, drawn by chip key: standardised values 0 and not valid there.

    Raises MissingModalityError where it carries no optical image.
    """
    optical = batch.require("optical")
    shape = (optical.shape[-2], optical.shape[-1])
    masks = np.stack([cloud_mask(shape, clear, _seed(key)) for key in batch.keys])
    hidden = torch.from_numpy(masks)[:, None].to(optical.device)
    seen = ~hidden if batch.optical_valid is None else batch.optical_valid & ~hidden
    return replace(batch, optical=optical.masked_fill(hidden, 0), optical_valid=seen)


def _seed(key: str) -> int:
    return int.from_bytes(sha256(key.encode()).digest()[:4], "big")
