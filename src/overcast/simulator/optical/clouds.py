"""Clouds over an optical image, their shadows, and the true mask of both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import zoom

from overcast.simulator.optical.light import azimuth_vector

Layer = NDArray[np.float32]
CLEAR, CLOUD, CLOUD_SHADOW = 0, 1, 2
"""Codes of the cloud mask."""
CLOUD_LIGHT = (0.52, 0.52, 0.53, 0.55)
"""Light reflected by a thick cloud in red, green, blue, near infrared."""
BASE_M = (300.0, 900.0)
"""Lowest and highest cloud base."""


@dataclass(frozen=True)
class Clouds:
    """Opacity of clouds and of their shadows over a grid, 0..1."""

    opacity: Layer
    shadow: Layer

    def mask(self) -> NDArray[np.uint8]:
        """(H, W) codes: CLOUD where more than a tenth is covered, else CLOUD_SHADOW where light is that much weaker."""
        out = np.where(self.shadow > 0.1, CLOUD_SHADOW, CLEAR).astype(np.uint8)
        out[self.opacity > 0.1] = CLOUD
        return out


def draw_clouds(
    shape: tuple[int, int], gsd_m: float, share: float, sun: tuple[float, float], rng: np.random.Generator
) -> Clouds:
    """Fractal clouds that cover `share` of the ground; `sun` is azimuth and elevation in degrees."""
    reach = int(np.ceil(BASE_M[1] / np.tan(np.radians(sun[1])) / gsd_m))
    field = fractal((shape[0] + 2 * reach, shape[1] + 2 * reach), 260.0 / gsd_m, rng)
    level = float(np.quantile(field[reach:-reach, reach:-reach], 1 - share))
    opacity = np.clip((field - level) / 0.35 + 0.1, 0, 1) * 0.97
    row, col = azimuth_vector(sun[0])
    distance = rng.uniform(*BASE_M) / np.tan(np.radians(sun[1])) / gsd_m
    r, c = round(row * distance), round(col * distance)  # the cloud that shades a pixel stands towards the sun
    rows, cols = shape
    shadow = opacity[reach + r : reach + r + rows, reach + c : reach + c + cols]
    return Clouds(opacity[reach : reach + rows, reach : reach + cols].astype(np.float32), shadow.astype(np.float32))


def fractal(shape: tuple[int, int], size_px: float, rng: np.random.Generator) -> Layer:
    """Smooth noise of unit deviation: octaves from `size_px` down to 4 pixels, each half as wide and 0.55 as strong."""
    total = np.zeros(shape, np.float32)
    strength = 1.0
    while size_px >= 4:
        coarse = rng.standard_normal((int(shape[0] / size_px) + 4, int(shape[1] / size_px) + 4), np.float32)
        fine = zoom(coarse, size_px, order=1)[: shape[0], : shape[1]]
        total += np.float32(strength) * fine
        size_px, strength = size_px / 2, strength * 0.55
    return np.asarray(total / total.std(), np.float32)
