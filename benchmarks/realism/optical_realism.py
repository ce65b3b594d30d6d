"""Distances between simulated and real optical images: means, deviations, histograms, texture spectrum.

Run `python -m benchmarks.realism.optical_realism [--chips FOLDER] [--tile FILE] [--statistics FILE] [--places 10]`.
`--chips` holds NNN_rgb.png and NNN_mask.png of 224 px at 0.5 m, `--tile` is one 8-bit RGB image of 0.5 m,
`--statistics` 16-bit histograms of red, green, blue, near infrared. Images without buildings are left out (the real
chips hold much open water). The histogram distance is the earth mover's distance in digital numbers. The spectrum is
the radial mean of the power of green under a Hann window: slope of its logarithm, and level against the real one.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from benchmarks.limits import as_command, at_least, existing
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance

from overcast.raster.sources import Georeference
from overcast.simulator.city.plan import build_city
from overcast.simulator.optical.image import draw_exposure, simulate_optical
from overcast.simulator.options import SimulationOptions
from overcast.simulator.place import place_bounds, place_ids
from overcast.simulator.scene import label_mask

CHIP_PX, GSD_M = 224, 0.5
BUILT_SHARE = 0.005
BANDS = ("red", "green", "blue")
RANGES = ((2, 8), (8, 28), (28, 60), (60, 110))
"""Cycles per chip: structures of 56 to 14 m, 14 to 4 m, 4 to 1.9 m, 1.9 to 1.02 m."""
Chip = NDArray[np.uint8]


@dataclass(frozen=True)
class Images:
    """Chips of one origin: (H, W, 3 or 4) uint8, 0 is nodata."""

    name: str
    chips: Sequence[Chip]

    def pixels(self) -> NDArray[np.uint8]:
        """(N, bands) valid pixels."""
        flat = np.concatenate([chip.reshape(-1, chip.shape[-1]) for chip in self.chips])
        return flat[flat.any(axis=1)]

    def spectrum(self) -> NDArray[np.float64]:
        """Radial mean of the power of green, over chips without nodata."""
        whole = [radial_power(chip[..., 1]) for chip in self.chips if chip.any(axis=-1).all()]
        return np.asarray(np.mean(whole, axis=0))


def radial_power(values: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Power by radial frequency in cycles per chip."""
    side = len(values)
    window = np.hanning(side)
    centred = (values - values.mean()) * window[:, None] * window
    power = np.abs(np.fft.fftshift(np.fft.fft2(centred))) ** 2
    rows, cols = np.indices(power.shape) - side // 2
    radius = np.hypot(rows, cols).astype(int).ravel()
    return np.asarray((np.bincount(radius, power.ravel()) / np.bincount(radius))[: side // 2 + 1])


def simulated(places: int, seed: int) -> Images:
    """Chips of the default options."""
    options = SimulationOptions(places=places, place_m=4 * CHIP_PX * GSD_M, chip_px=CHIP_PX, gsd_m=GSD_M, seed=seed)
    chips: list[Chip] = []
    for place in place_ids(options):
        bounds = place_bounds(place, options)
        seeds = np.random.SeedSequence([seed, place.index]).spawn(5)
        city = build_city(bounds, options.city, seeds[0])
        exposure = draw_exposure(options.optical, np.random.default_rng(seeds[3]))
        image = np.moveaxis(simulate_optical(city, bounds, GSD_M, options.optical, exposure, seeds[4]).values, 0, -1)
        transform = Affine(GSD_M, 0, bounds.left, 0, -GSD_M, bounds.top)
        mask = label_mask(city, Georeference(place.size_px, place.size_px, transform, bounds.crs))
        chips += _built(_cut(image), _cut(mask))
    return Images("simulated", chips)


def _cut(image: Chip) -> list[Chip]:
    steps = range(0, len(image) - CHIP_PX + 1, CHIP_PX)
    return [image[r : r + CHIP_PX, c : c + CHIP_PX] for r in steps for c in steps]


def _built(chips: Sequence[Chip], masks: Sequence[Chip]) -> list[Chip]:
    return [chip for chip, mask in zip(chips, masks, strict=True) if (mask > 0).mean() > BUILT_SHARE]


def real_chips(folder: Path) -> Images:
    """Labelled chips with buildings."""
    masks = sorted(folder.glob("*_mask.png"))
    images = [path.with_name(path.name.replace("_mask", "_rgb")) for path in masks]
    return Images("real chips", _built([_read(path) for path in images], [_read(path) for path in masks]))


def _read(path: Path) -> Chip:
    with rasterio.open(path) as source:
        return np.moveaxis(source.read(), 0, -1)


def print_bands(ours: Images, real: Sequence[Images]) -> None:
    """Means, deviations, quantiles and histogram distances."""
    values = {images.name: images.pixels() for images in (ours, *real)}
    for index, band in enumerate(BANDS):
        for name, pixels in values.items():
            one = pixels[:, index].astype(float)
            spread = ", ".join(f"{q:.0f}" for q in np.quantile(one, [0.05, 0.25, 0.5, 0.75, 0.95]))
            distance = wasserstein_distance(one[::37], values[ours.name][::37, index])
            text = f"mean {one.mean():5.1f}, deviation {one.std():4.1f}, quantiles 5 25 50 75 95 %: {spread}"
            print(f"{band:6s} {name:11s} {text}; histogram distance to simulated {distance:.1f}")


def print_spectra(ours: Images, real: Sequence[Images]) -> None:
    """Slopes of the spectrum, and its level relative to the real one."""
    own = ours.spectrum()
    for images in real:
        theirs = images.spectrum()
        for low, high in RANGES:
            size = f"{CHIP_PX * GSD_M / low:4.1f} to {CHIP_PX * GSD_M / high:4.1f} m"
            slopes = [np.polyfit(np.log(np.arange(low, high)), np.log(s[low:high]), 1)[0] for s in (own, theirs)]
            level = 10 * np.log10(own[low:high].sum() / theirs[low:high].sum())
            print(f"{size}: slope simulated {slopes[0]:.2f}, {images.name} {slopes[1]:.2f}; level {level:+.1f} dB")


def print_statistics(ours: Images, path: Path) -> None:
    """Deviation relative to the mean, which needs no common gain."""
    record = json.loads(path.read_text())["input_stats"]["image_rgbn"]
    centres = np.convolve(record["histogram_bins"], [0.5, 0.5], "valid")
    shares = np.array(record["histograms"], float)
    shares[:, 0] = 0  # nodata
    shares /= shares.sum(1, keepdims=True)
    mean = shares @ centres
    deviation = np.sqrt((shares * (centres - mean[:, None]) ** 2).sum(1))
    pixels = ours.pixels()
    print(f"deviation / mean of red, green, blue, near infrared: simulated {(pixels.std(0) / pixels.mean(0)).round(2)}")
    print(f"                                       16-bit real, with its haze {(deviation / mean).round(2)}")


def main() -> None:
    """Print all distances."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chips", type=existing)
    parser.add_argument("--tile", type=existing)
    parser.add_argument("--statistics", type=existing)
    parser.add_argument("--places", type=at_least(1), default=10)
    parser.add_argument("--seed", type=at_least(0), default=0)
    arguments = parser.parse_args()
    ours = simulated(arguments.places, arguments.seed)
    real = [real_chips(arguments.chips)] if arguments.chips else []
    if arguments.tile:
        real.append(Images("real tile", _cut(_read(arguments.tile))))
    print_bands(ours, real)
    print_spectra(ours, real)
    if arguments.statistics:
        print_statistics(ours, arguments.statistics)


if __name__ == "__main__":
    as_command(main)
