"""From pixels as they are declared to probability, for small images that fit into memory at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from overcast.data.scene_level import LevelledStatistics, SceneLevel
from overcast.errors import InputError
from overcast.raster.checked import require_no_fill
from overcast.raster.plausible import DATASET
from overcast.raster.radiometry import BandStatistics, SensorRadiometry, Standardise

MULTIPLE = 32
"""Sides are reflected up to the next multiple of it."""


@dataclass(frozen=True)
class Sight:
    """One sensor of a network: what its pixels mean, and how they are standardised."""

    sensor: SensorRadiometry
    statistics: BandStatistics

    def standardise(self, image: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        """(C, H, W) standardised; by the image's own level where the network takes it so."""
        statistics = self.statistics
        if self.sensor.standardise is Standardise.SCENE:
            statistics = LevelledStatistics.at(statistics, SceneLevel.of(image[:, valid], self.sensor.unit))
        return statistics.standardise(image, valid)


def probability(
    network: nn.Module, sights: Sequence[Sight], images: Sequence[NDArray[np.float32]], temperature: float | None
) -> NDArray[np.float32]:
    """(H, W) probability of the class, 0..1; NaN where an image has no data.

    Args:
        network: Standardised images (1, C, H, W) to logits (1, K, H, W), the footprint first; in evaluation mode.
        sights: The sensors, in the order of the network's arguments.
        images: (C, H, W) pixels of each, in its declared unit; NaN, infinity and the declared nodata are no data.
        temperature: Logits are divided by it; None leaves them as they are.

    Raises:
        InputError: An image is missing or has another shape.
        RadiometryError: A value that is no measurement occurs again and again: nodata that nobody declared.
    """
    shapes = [image.shape for image in images]
    wanted = [len(sight.sensor.bands) for sight in sights]
    if len({shape[1:] for shape in shapes}) != 1 or [shape[0] for shape in shapes if len(shape) == 3] != wanted:
        bands = " and ".join(f"(bands {', '.join(sight.sensor.bands)}; height; width)" for sight in sights)
        raise InputError(f"the model takes images {bands} of one size, but got the shapes {shapes}; reorder the axes.")
    inputs: list[Tensor] = []
    seen: NDArray[np.bool_] = np.ones(images[0].shape[1:], np.bool_)
    for sight, image in zip(sights, images, strict=True):
        valid = sight.sensor.valid(image)
        require_no_fill(np.where(valid, image, 0), sight.sensor, "the image", DATASET)
        standard = sight.standardise(image, valid)
        pads = [(0, 0), *((0, -side % MULTIPLE) for side in valid.shape)]
        inputs.append(torch.from_numpy(np.pad(standard, pads, mode="reflect"))[None])
        seen &= valid
    with torch.inference_mode():
        logits: Tensor = network(*inputs)
        found = torch.sigmoid(logits[0, 0].float() / (temperature or 1.0)).numpy()
    height, width = seen.shape
    return np.where(seen, found[:height, :width], np.float32(np.nan))
