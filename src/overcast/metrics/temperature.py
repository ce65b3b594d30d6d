"""Temperature scaling (Guo et al., ICML 2017) from a histogram of logits: a set of any size in constant memory."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from overcast.batch import IGNORE_LABEL

LIMIT = 24.0
"""Logits beyond it count as this large: their probability differs from 0 or 1 by less than 1e-10."""
BINS_PER_UNIT = 32
BINS = int(2 * LIMIT * BINS_PER_UNIT)
SMALLEST, LARGEST = 0.05, 20.0
"""Temperatures are looked for between these."""


def count_logits(logits: Tensor, label: Tensor) -> Tensor:
    """(2, BINS) int64 counts of the logits (B, 1, H, W) of valid pixels, by label (B, H, W) 0 or 1; they add."""
    valid = label != IGNORE_LABEL
    values = logits.float()[:, 0][valid]
    at = ((values.clamp(-LIMIT, LIMIT) + LIMIT) * BINS_PER_UNIT).long().clamp(max=BINS - 1)
    is_class = (label[valid] == 1).long()
    return torch.bincount(is_class * BINS + at, minlength=2 * BINS).reshape(2, BINS)


def fit_temperature(counts: NDArray[np.integer]) -> float | None:
    """The T > 0 whose sigmoid(logit / T) has the smallest negative log-likelihood; None unless both labels occur.

    The likelihood is convex in 1 / T; its slope is bisected. Where it falls on and on the limit is returned.

    Args:
        counts: (2, BINS) of `count_logits`.
    """
    if not counts.sum(axis=1).all():
        return None
    logit = (np.arange(BINS) + 0.5) / BINS_PER_UNIT - LIMIT
    total, positives = counts.sum(axis=0), counts[1]
    low, high = 1 / LARGEST, 1 / SMALLEST
    for _ in range(60):
        middle = (low + high) / 2
        slope = float(((total / (1 + np.exp(-middle * logit)) - positives) * logit).sum())
        low, high = (middle, high) if slope < 0 else (low, middle)
    return 2 / (low + high)
