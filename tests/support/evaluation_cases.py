"""A small made-up city for the evaluation tests: chips with buildings, a predictor of chosen quality."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from overcast.batch import Batch

PLACES = ("harbour", "old town", "hill", "mill")


def chip_arrays(seed: int, size: int = 64) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """SAR (4, H, W), its validity (H, W), optical (3, H, W) and label (H, W; 255 under nodata)."""
    generator = np.random.default_rng(seed)
    label = np.zeros((size, size), np.uint8)
    for _ in range(size // 6):
        height, width = generator.integers(size // 16 + 2, size // 7 + 3, 2)
        row, col = generator.integers(0, size - height), generator.integers(0, size - width)
        label[row : row + height, col : col + width] = 1
    smooth = ndimage.gaussian_filter(generator.normal(size=(3, size, size)), (0, 5, 5)) * 8
    optical = 0.3 * smooth + label * np.array([1.2, 0.9, 0.7])[:, None, None] + generator.normal(0, 0.1, smooth.shape)
    edge = label & ~ndimage.binary_erosion(label, iterations=1)
    power = 0.3 + 0.5 * label + 2.5 * edge
    sar = np.log(power * generator.gamma(2, 0.5, (4, size, size)))
    valid = np.add.outer(np.arange(size), np.arange(size)) >= size // 3 if seed % 3 == 0 else np.ones_like(label, bool)
    label[~valid] = 255
    return np.where(valid, sar, 0).astype(np.float32), valid, optical.astype(np.float32), label


def make_batch(seeds: Sequence[int], size: int = 64, *, optical: bool = True) -> Batch:
    """Chips `chip-<seed>` in one batch."""
    arrays = [chip_arrays(seed, size) for seed in seeds]
    sar, valid, colour, label = (torch.from_numpy(np.stack(parts)) for parts in zip(*arrays, strict=True))
    return Batch(
        sar=sar,
        sar_valid=valid[:, None],
        optical=colour if optical else None,
        optical_valid=torch.ones_like(valid[:, None]) if optical else None,
        label=label,
        keys=tuple(f"chip-{seed}" for seed in seeds),
    )


def place_table(seeds: Sequence[int]) -> dict[str, str]:
    """Place of each chip."""
    return {f"chip-{seed}": PLACES[seed % len(PLACES)] for seed in seeds}


def predictor(noise: float, seed: int = 0) -> Callable[[Batch], Tensor]:
    """Logits from the label and smooth noise: 0 is perfect, 3 is bad."""

    def predict(batch: Batch) -> Tensor:
        label = batch.require("label").numpy()
        generator = np.random.default_rng([seed, len(batch), int(batch.keys[0].split("-")[1])])
        disturbance = ndimage.gaussian_filter(generator.normal(size=label.shape), (0, 2, 2)) * 14
        logits = 4.0 * (label == 1) - 2.0 + noise * disturbance
        return torch.from_numpy(logits[:, None].astype(np.float32))

    return predict
