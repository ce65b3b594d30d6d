"""One sample, and samples stacked to a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from overcast.batch import IGNORE_LABEL, Batch


@dataclass(frozen=True)
class Sample:
    """One sample before it is stacked: the fields of `Batch` without the batch axis."""

    key: str
    sar: NDArray[np.float32] | None
    """(C_s, h, w), standardised, 0 where invalid."""
    sar_valid: NDArray[np.bool_] | None
    """(h, w)."""
    optical: NDArray[np.float32] | None
    """(C_o, h, w), standardised, 0 where invalid."""
    optical_valid: NDArray[np.bool_] | None
    """(h, w)."""
    label: NDArray[np.uint8] | None
    """(h, w)."""
    targets: NDArray[np.uint8] | None = None
    """(T, h, w)."""
    instances: NDArray[np.int32] | None = None
    """(h, w)."""

    @property
    def shape(self) -> tuple[int, int]:
        """(h, w)."""
        valid = self.sar_valid if self.sar_valid is not None else self.optical_valid
        assert valid is not None, "a sample holds at least one image"
        height, width = valid.shape
        return height, width


def pad(array: NDArray[Any], size: tuple[int, int], fill: float) -> NDArray[Any]:
    """A contiguous (..., h, w) array grown at the bottom and right to `size`; a copy only where needed."""
    height, width = array.shape[-2:]
    if (height, width) == size:
        return np.ascontiguousarray(array)
    padded = np.full((*array.shape[:-2], *size), fill, array.dtype)
    padded[..., :height, :width] = array
    return padded


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples; smaller ones are padded to the largest with invalid pixels of label 255.

    A sample without label among labelled ones counts nowhere: its label is 255 throughout.
    """
    heights, widths = zip(*(sample.shape for sample in samples), strict=True)
    size = (max(heights), max(widths))

    return Batch(
        sar=_stack([sample.sar for sample in samples], size, 0),
        sar_valid=_stack_masks([sample.sar_valid for sample in samples], size),
        optical=_stack([sample.optical for sample in samples], size, 0),
        optical_valid=_stack_masks([sample.optical_valid for sample in samples], size),
        label=_stack([sample.label for sample in samples], size, IGNORE_LABEL),
        keys=tuple(sample.key for sample in samples),
        targets=_stack([sample.targets for sample in samples], size, 0),
        instances=_stack([sample.instances for sample in samples], size, 0),
    )


def _stack(arrays: Sequence[NDArray[Any] | None], size: tuple[int, int], fill: float) -> Tensor | None:
    """(B, ..., h, w), `fill` where an array is smaller or missing; None where all are missing."""
    present = [array for array in arrays if array is not None]
    if not present:
        return None
    missing = np.full((*present[0].shape[:-2], *size), fill, present[0].dtype)
    return torch.from_numpy(np.stack([missing if array is None else pad(array, size, fill) for array in arrays]))


def _stack_masks(arrays: Sequence[NDArray[np.bool_] | None], size: tuple[int, int]) -> Tensor | None:
    """(B, 1, h, w) bool, False where padded."""
    stacked = _stack(arrays, size, False)
    return None if stacked is None else stacked[:, None]
