"""Offsets between SAR, optical image and footprints of a place, by correlation of their edges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from overcast.batch import Modality
from overcast.data.scenes.place import Place
from overcast.data.scenes.tiles import tile_windows
from overcast.raster.grid import Window
from overcast.raster.units import Unit

REACH = 32
"""Largest shift that is looked for, in pixels."""
LARGEST_SIDE, SMALLEST_SIDE = 320, 96
"""Sides of the windows that are compared: at least about four of them in a place."""
MOST_WINDOWS = 16
"""Windows of a place that are compared, spread over its ground."""
SMOOTH_PX = {"sar": 1.5, "optical": 1.0, "footprints": 1.0}
"""Standard deviation of the smoothing before edges are taken; speckle asks for more."""
NEAR_PX = 2.0
"""Resampled shifts within this distance count as the same."""
RESAMPLES = 200
LEAST_SHARE = 0.5
"""Share of a window that must have data in both layers."""

Plane = NDArray[np.float64]
Edges = tuple[Plane, NDArray[np.bool_]]
"""Strength of edges (h, w), and where it is known."""


@dataclass(frozen=True)
class Offset:
    """The distance by which `layer` must be moved to lie on `reference`."""

    layer: str
    reference: str
    rows: float
    """Pixels downwards."""
    cols: float
    """Pixels to the right."""
    east_m: float
    north_m: float
    correlation: float
    """Correlation of the edges at that shift, -1 .. 1."""
    confidence: float
    """Share of resamples of the windows that give the same shift to within `NEAR_PX`, 0 .. 1."""

    @property
    def px(self) -> float:
        """Length in pixels."""
        return float(np.hypot(self.rows, self.cols))


def measure_offsets(place: Place) -> list[Offset]:
    """Offsets between each two layers of a place, most of them from windows spread over it.

    What stands high leans: towards the radar in SAR images, away from the nadir in optical ones. Both count as
    offsets of the layer. Empty where no window has enough data or edges.
    """
    layers = [name for name, there in _layers(place).items() if there]
    windows = list(_edges(place))
    found = (_offset(place, layer, reference, windows) for reference, layer in combinations(layers, 2))
    return [offset for offset in found if offset is not None]


def _layers(place: Place) -> dict[str, bool]:
    return {
        "sar": place.sar is not None,
        "optical": place.optical is not None,
        "footprints": place.footprints is not None,
    }


def _edges(place: Place) -> Iterator[dict[str, Edges]]:
    """Edges of each layer in the windows that are compared."""
    for window in compared_windows(place):
        arrays = place.read(window, frozenset(Modality))
        planes: dict[str, Edges] = {}
        if arrays.sar is not None:
            assert place.sar is not None
            planes["sar"] = _edges_of(_decibels(arrays.sar.values, place.sar.unit), arrays.sar.valid, "sar")
        if arrays.optical is not None:
            planes["optical"] = _edges_of(arrays.optical.values, arrays.optical.valid, "optical")
        if place.footprints is not None:
            label = place.label(window)
            planes["footprints"] = _edges_of((label == 1)[None], place.known(window), "footprints")
        yield planes


def compared_windows(place: Place) -> list[Window]:
    """Windows spread over a place; of a place with a labelled area those that meet it come first."""
    side = min(max(min(place.grid.height, place.grid.width) // 2, SMALLEST_SIDE), LARGEST_SIDE)
    every = [window for _, _, window in tile_windows(place.grid.height, place.grid.width, side)]
    if place.footprints is not None:
        every.sort(key=lambda window: place.area is not None and not place.area.meets(window))
    step = max(1, len(every) // MOST_WINDOWS)
    return every[::step][:MOST_WINDOWS]


def _decibels(values: NDArray[np.generic], unit: Unit | None) -> Plane:
    """Values on a scale on which speckle is as strong in bright as in dark ground."""
    plain = values.astype(np.float64)
    return plain if unit is Unit.DECIBEL else np.log10(np.maximum(plain, 1e-6))


def _edges_of(values: NDArray[np.generic], valid: NDArray[np.bool_], layer: str) -> Edges:
    """Length of the gradient of the mean of all bands, smoothed over pixels with data."""
    smooth = SMOOTH_PX[layer]
    weight = ndimage.gaussian_filter(valid.astype(np.float64), smooth)
    mean = np.where(valid, values.astype(np.float64).mean(axis=0), 0)
    plain = ndimage.gaussian_filter(mean, smooth) / np.maximum(weight, 1e-6)
    inside = ndimage.binary_erosion(valid, iterations=int(3 * smooth), border_value=1)
    return np.hypot(ndimage.sobel(plain, 0), ndimage.sobel(plain, 1)) * inside, inside


def _offset(place: Place, layer: str, reference: str, windows: Sequence[dict[str, Edges]]) -> Offset | None:
    pairs = [(planes[reference], planes[layer]) for planes in windows if reference in planes and layer in planes]
    surfaces = [surface for pair in pairs if (surface := _surface(*pair)) is not None]
    if not surfaces:
        return None
    every = np.stack(surfaces)
    rows, cols, correlation = _peak(every.mean(axis=0))
    rng = np.random.default_rng(0)
    chosen = rng.integers(0, len(every), (RESAMPLES, len(every)))
    shifts = np.array([_peak(every[pick].mean(axis=0))[:2] for pick in chosen])
    t = place.grid.transform
    return Offset(
        layer=layer,
        reference=reference,
        rows=rows,
        cols=cols,
        east_m=t.a * cols + t.b * rows,
        north_m=t.d * cols + t.e * rows,
        correlation=correlation,
        confidence=float((np.hypot(*(shifts - (rows, cols)).T) <= NEAR_PX).mean()) if len(every) > 1 else 0.0,
    )


def _surface(reference: Edges, layer: Edges) -> Plane | None:
    """(2 REACH + 1, 2 REACH + 1) correlation for each shift of the layer, over the pixels that both know.

    None where too little is known, or one has no edges.
    """
    (a, known_a), (b, known_b) = reference, layer
    if min(known_a.mean(), known_b.mean()) < LEAST_SHARE or not (a.any() and b.any()):
        return None
    size = [fft.next_fast_len(side + 2 * REACH, real=True) for side in a.shape]
    spectra = {
        name: fft.rfft2(plane, size)
        for name, plane in {
            "a": a, "aa": a * a, "ka": known_a.astype(float), "b": b, "bb": b * b, "kb": known_b.astype(float)
        }.items()
    }  # fmt: skip

    def summed(left: str, right: str) -> Plane:
        """Sum over pixels of left(p + shift) right(p)."""
        around = fft.irfft2(spectra[left] * np.conj(spectra[right]), size)
        return np.asarray(np.roll(around, (REACH, REACH), (0, 1))[: 2 * REACH + 1, : 2 * REACH + 1])

    count = np.maximum(summed("ka", "kb"), 1)
    mean_a, mean_b = summed("a", "kb") / count, summed("ka", "b") / count
    spread = (summed("aa", "kb") / count - mean_a**2) * (summed("ka", "bb") / count - mean_b**2)
    return np.asarray((summed("a", "b") / count - mean_a * mean_b) / np.sqrt(np.maximum(spread, 1e-12)))


def _peak(surface: Plane) -> tuple[float, float, float]:
    """Rows and columns of the highest correlation, between pixels by a parabola, and its value."""
    row, col = (int(index) for index in np.unravel_index(int(surface.argmax()), surface.shape))
    highest = float(surface[row, col])
    return _between(surface[:, col], row) - REACH, _between(surface[row], col) - REACH, highest


def _between(line: Plane, at: int) -> float:
    if not 0 < at < len(line) - 1:
        return float(at)
    before, here, after = line[at - 1 : at + 2]
    curve = before - 2 * here + after
    return float(at + 0.5 * (before - after) / curve) if curve < 0 else float(at)
