"""Clouds drawn over the optical images of training samples, so that a method sees partly missing ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

EDGE_SHARE = 0.2
"""Share of the draws that end along a straight line, as a sheet of imagery does, instead of under clouds."""
CELLS = (2, 8)
"""Smallest and largest number of blobs along a side."""
SHADOW = 0.2
"""Largest offset of the shadow along an axis, as a share of the longer side."""


@dataclass(frozen=True)
class CloudCover:
    """What clouds are drawn from."""

    share: float = 0.0
    """Share of the samples that get clouds; of these any part is hidden, from nothing to everything."""

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"the share of samples with clouds must lie in 0 .. 1: {self}")

    def draw(self, shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.bool_] | None:
        """(h, w) True where the image is hidden; None where nothing is.

        No number is drawn where no sample gets clouds.
        """
        if self.share == 0 or rng.random() >= self.share:
            return None
        hidden, edge = rng.uniform(-0.1, 1.1), rng.random() < EDGE_SHARE
        field = _slope(shape, rng) if edge else _blobs(shape, rng)
        mask = _lowest(field, float(np.clip(hidden, 0, 1)))
        return mask if edge else _with_shadow(mask, rng)


NO_CLOUDS = CloudCover()
"""Every optical image as it is."""


def _lowest(field: NDArray[np.float64], share: float) -> NDArray[np.bool_]:
    """True at the lowest values; everywhere at 1, nowhere at 0."""
    if share in (0.0, 1.0):
        return np.full(field.shape, bool(share))
    return np.asarray(field < np.quantile(field, share))


def _blobs(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """Smooth noise of two generations; the smaller one frays the borders of the larger."""
    cells = int(rng.integers(CELLS[0], CELLS[1] + 1))
    coarse, fine = (_noise(shape, count, rng) for count in (cells, 3 * cells))
    return coarse + rng.uniform(0.1, 0.5) * fine


def _noise(shape: tuple[int, int], cells: int, rng: np.random.Generator) -> NDArray[np.float64]:
    grid = rng.standard_normal((cells + 3, cells + 3))
    places = [np.linspace(1, cells + 1, side) for side in shape]
    smooth = ndimage.spline_filter(grid)
    at = np.meshgrid(*places, indexing="ij")
    return np.asarray(ndimage.map_coordinates(smooth, at, order=3, prefilter=False), np.float64)


def _slope(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """A plane that rises in a random direction."""
    angle = rng.uniform(0, 2 * np.pi)
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    return np.asarray(np.sin(angle) * rows + np.cos(angle) * cols, np.float64)


def _with_shadow(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """The mask and itself moved by the offset of its shadow; half of the time without one."""
    if rng.random() < 0.5:
        return mask
    longest = SHADOW * max(mask.shape)
    down, right = (int(step) for step in rng.uniform(-longest, longest, 2))
    shadow = ndimage.shift(mask.view(np.uint8), (down, right), order=0, mode="nearest")
    return np.asarray(mask | shadow.view(np.bool_))
