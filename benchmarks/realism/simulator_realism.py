"""Distances between simulated and real imagery, band by band.

Run `python -m benchmarks.realism.simulator_realism --statistics spacenet6_satmae.json --native FOLDER [--places 32]`:
`--statistics` holds 500-bin histograms of SpaceNet 6; `--native` the single-look chips sar_{hh,hv,vh,vv}.tif (2.5 m)
and the scene sar_masked.tif (dB, 4.5 m). Either may be left out.

Histogram distance: earth mover's distance in dB after a free gain (equal means); each place is imaged by `--strips`
strips. Spectrum distance: mean difference in dB between the radial power spectra of dB images, each scaled to unit sum.
"""

from __future__ import annotations

import argparse
import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from benchmarks.limits import as_command, at_least, existing
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from overcast.simulator.city.plan import build_city
from overcast.simulator.options import Polarisation, SarOptions, SimulationOptions
from overcast.simulator.place import SimulatedPlace, place_bounds, place_ids, simulate_place
from overcast.simulator.radar.geometry import RadarFrame, radar_grid
from overcast.simulator.radar.image import draw_strip, form_image
from overcast.simulator.radar.scatter import expected_power
from overcast.simulator.radar.speckle import focused_fields, receiver
from overcast.simulator.scene import rasterize_city

BANDS: tuple[Polarisation, ...] = ("HH", "HV", "VH", "VV")
QUANTILES = np.linspace(0.001, 0.999, 999)
PAIRS = {"HH-VV": (0, 3), "HV-VH": (1, 2), "HH-HV": (0, 1), "HV-VV": (1, 3), "HH-VH": (0, 2)}
CHIP_STEP_PX, SCENE_STEP_PX = 5, 9
"""Pixels of 0.5 m between the pixels of the real chips (2.5 m) and of the real scene (4.5 m)."""
SCENE_LOOKS_AT = ((2, 2), (2, 6), (6, 2), (6, 6), (4, 4))
"""Single-look pixels averaged into one of the scene: five, as the real scene has on open water (5 to 6 looks)."""
SPECTRUM_BINS = 10
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Chip:
    """One simulated place as the real single-look chips and the real scene show it."""

    fields: NDArray[np.complex64]
    """(4, h, w) one look every 2.5 m."""
    scene_db: Values
    """(4, h', w') five looks every 4.5 m, dB."""


def real_quantiles(statistics: Path) -> list[tuple[float, float, Values]]:
    """Mean, deviation and quantiles of each band's valid pixels."""
    record = json.loads(statistics.read_text())["input_stats"]["image_sar"]
    edges = np.array(record["histogram_bins"])
    centres = (edges[1:] + edges[:-1]) / 2
    rows = []
    for histogram in record["histograms"]:
        share = np.array(histogram, float)
        share[0] = 0  # nodata
        share /= share.sum()
        mean = float(share @ centres)
        quantiles = np.interp(QUANTILES, np.cumsum(share), centres)
        rows.append((mean, float(np.sqrt(share @ (centres - mean) ** 2)), quantiles))
    return rows


def power_of(options: SimulationOptions, index: int) -> NDArray[np.float32]:
    """(3, R, A) expected power of place number `index`, as its radar sees it without faults."""
    place = place_ids(options)[index]
    city_seed, scatter_seed = np.random.SeedSequence([options.seed, place.index]).spawn(2)
    bounds = place_bounds(place, options)
    city = build_city(bounds, options.city, city_seed)
    look = draw_strip(options.sar, options.gsd_m, index, np.random.default_rng(0)).radar_side
    frame = RadarFrame(radar_grid(bounds, options.gsd_m, look, (0, 0)), options.sar.incidence_deg)
    scene = rasterize_city(city, frame.grid)
    return expected_power(city, scene, frame, options.sar, np.random.default_rng(scatter_seed))


def strip_images(options: SimulationOptions, index: int, strips: int) -> list[NDArray[np.float32]]:
    """(4, N) pixel values of a place imaged by several strips."""
    power, images = power_of(options, index), []
    for number in range(strips):
        rng = np.random.default_rng([options.seed, index, number])
        strip = draw_strip(options.sar, options.gsd_m, index, rng)
        image = 10 * np.log10(form_image(power, options.sar, strip, rng)).reshape(4, -1)
        offsets = np.array([options.sar.band_offset_db[band] for band in BANDS], np.float32)
        images.append(image + offsets[:, None])
    return images


def print_histograms(options: SimulationOptions, strips: int, statistics: Path) -> None:
    """Means, deviations and histogram distances of the radar bands."""
    images = [image for index in range(options.places) for image in strip_images(options, index, strips)]
    within = np.mean([image.std(1) for image in images], axis=0)
    bands = np.concatenate([image[:, ::7] for image in images], axis=1)
    print(f"{len(images)} strips over {options.places} places, seed {options.seed}")
    print("band   mean sim/real   deviation sim/real (within a place)   histogram distance, dB")
    for name, values, inside, (mean, deviation, real) in zip(
        BANDS, bands, within, real_quantiles(statistics), strict=True
    ):
        distance = np.abs(np.quantile(values - values.mean() + mean, QUANTILES) - real).mean()
        own = f"{values.mean():5.1f} / {mean:4.1f}     {values.std():5.2f} / {deviation:4.2f}  ({inside:4.2f})"
        print(f"{name}    {own}              {distance:4.2f}")


def best_threshold(places: list[SimulatedPlace]) -> float:
    """Best intersection over union that one threshold on one band reaches."""
    label = np.concatenate([place.mask[place.sar[0] != 0] for place in places]).astype(bool)
    bands = np.concatenate([place.sar[:, place.sar[0] != 0] for place in places], axis=1)
    best = 0.0
    for values in (*bands, *-bands):
        for threshold in np.quantile(values, np.linspace(0, 1, 41)):
            found = values >= threshold
            best = max(best, (found & label).sum() / (found | label).sum())
    return best


def _smooth(values: NDArray[np.generic]) -> NDArray[np.generic]:
    return np.asarray(uniform_filter(values.real, 7) + 1j * uniform_filter(values.imag, 7))


def coherences(fields: NDArray[np.complexfloating]) -> list[float]:
    """Median 7 x 7 coherence of the PAIRS of channels."""
    fields = fields.astype(np.complex128)
    power = [np.abs(_smooth(np.abs(field) ** 2)) for field in fields]
    return [
        float(np.median(np.abs(_smooth(fields[i] * fields[j].conj())) / np.sqrt(power[i] * power[j])))
        for i, j in PAIRS.values()
    ]


def dark_coherences(fields: NDArray[np.complexfloating]) -> list[float]:
    """Coherence of the PAIRS over the darkest 5 % of 7 x 7 windows of HH together: what the noise shares."""
    fields = fields.astype(np.complex128)
    level = np.abs(_smooth(np.abs(fields[0]) ** 2))
    dark = fields[:, level <= np.quantile(level, 0.05)]
    table = np.abs(np.corrcoef(dark))
    return [float(table[i, j]) for i, j in PAIRS.values()]


def simulated_chip(options: SimulationOptions, index: int) -> Chip:
    """A place as the real single-look chips and the real scene show it."""
    rng = np.random.default_rng([options.seed, index])
    strip = draw_strip(options.sar, options.gsd_m, index, rng)
    single = options.sar.model_copy(update={"looks": 1})
    sensor = receiver(single, strip.noise_db, strip.leak_phase)
    blocks = focused_fields(power_of(options, index), single, sensor, rng)
    fields = np.concatenate([block[0] for block in blocks], axis=1)
    rows, cols = (side // SCENE_STEP_PX * SCENE_STEP_PX for side in fields.shape[1:])
    looks = [fields[:, r:rows:SCENE_STEP_PX, c:cols:SCENE_STEP_PX] for r, c in SCENE_LOOKS_AT]
    scene = np.mean([np.abs(look.astype(np.complex128)) ** 2 for look in looks], axis=0)
    return Chip(fields[:, ::CHIP_STEP_PX, ::CHIP_STEP_PX], 10 * np.log10(scene))


def real_chip(folder: Path) -> Chip:
    """The real ones; of the scene the rows without nodata."""
    fields = []
    for band in BANDS:
        with rasterio.open(folder / f"sar_{band.lower()}.tif") as source:
            fields.append(source.read(1))
    with rasterio.open(folder / "sar_masked.tif") as source:
        scene = source.read().astype(np.float64)
    return Chip(np.stack(fields), scene[:, np.isfinite(scene).all((0, 2))])


def decibel(fields: NDArray[np.complexfloating]) -> Values:
    """Power in dB."""
    return np.asarray(20 * np.log10(np.abs(fields.astype(np.complex128)) + 1e-12))


def spectrum(image: Values) -> Values:
    """Radial power spectrum of one band in dB, unit sum, in bins of equal ratio up to half the sampling frequency."""
    window = np.hanning(image.shape[0])[:, None] * np.hanning(image.shape[1])
    power = np.abs(np.fft.fft2((image - image.mean()) * window)) ** 2
    radius = np.hypot(np.fft.fftfreq(image.shape[0])[:, None], np.fft.fftfreq(image.shape[1]))
    edges = np.geomspace(0.02, 0.5, SPECTRUM_BINS + 1)
    mean = np.array([power[(radius >= a) & (radius < b)].mean() for a, b in itertools.pairwise(edges)])
    return np.asarray(10 * np.log10(mean / mean.sum()))


def autocorrelation(image: Values, lag: int) -> float:
    """Mean over both axes of the correlation of a band with itself `lag` pixels away."""
    x = image - image.mean()
    both = [(x[lag:] * x[:-lag]).mean(), (x[:, lag:] * x[:, :-lag]).mean()]
    return float(np.mean(both) / x.var())


def uniform_looks(power: Values) -> float:
    """Equivalent looks, mean^2 / variance, of the most uniform 9 x 9 windows (90th percentile)."""
    mean, square = uniform_filter(power, 9), uniform_filter(power**2, 9)
    return float(np.quantile(mean**2 / np.maximum(square - mean**2, 1e-300), 0.9))


def texture_row(images: list[Values]) -> tuple[float, list[float], float, Values]:
    """Deviation (dB), autocorrelation at 1, 2, 4, 8 pixels, equivalent looks, spectrum: means over images of a band."""
    steps = [np.mean([autocorrelation(image, lag) for image in images]) for lag in (1, 2, 4, 8)]
    looks = np.mean([uniform_looks(10 ** (image / 10)) for image in images])
    deviation = np.mean([image.std() for image in images])
    return float(deviation), [float(step) for step in steps], float(looks), np.mean([spectrum(i) for i in images], 0)


def print_texture(name: str, simulated: list[Values], real: Values) -> None:
    """Texture of dB images (4, h, w) of one kind."""
    print(f"\n{name}, {len(simulated)} simulated places: simulated / real")
    print(
        "band   deviation, dB   autocorrelation at 1, 2, 4, 8 px                    looks         spectrum, dB (places)"
    )
    for k, band in enumerate(BANDS):
        ours, theirs = texture_row([image[k] for image in simulated]), texture_row([real[k]])
        spread = np.mean([np.abs(spectrum(image[k]) - ours[3]).mean() for image in simulated])
        steps = ", ".join(f"{a:.2f}/{b:.2f}" for a, b in zip(ours[1], theirs[1], strict=True))
        distance = np.abs(ours[3] - theirs[3]).mean()
        print(
            f"{band}     {ours[0]:.2f} / {theirs[0]:.2f}     {steps}     {ours[2]:.1f} / {theirs[2]:.1f}"
            f"     {distance:.2f} ({spread:.2f})"
        )


def correlations(image: Values) -> Values:
    """(4, 4) between the bands of an image (4, h, w)."""
    return np.asarray(np.corrcoef(image.reshape(4, -1)))


def print_correlations(simulated: list[Values], real: Values) -> None:
    """Correlations of dB values between bands of the scene."""
    tables, truth = [correlations(image) for image in simulated], correlations(real)
    cells = [f"{n} {np.mean([t[i, j] for t in tables]):.2f} / {truth[i, j]:.2f}" for n, (i, j) in PAIRS.items()]
    print(f"correlation of dB in the scene, simulated / real: {'; '.join(cells)}")


def print_native(options: SimulationOptions, folder: Path) -> None:
    """Coherences and texture against the real chips and the real scene."""
    chips, real = [simulated_chip(options, index) for index in range(options.places)], real_chip(folder)
    ours, theirs = np.array([coherences(chip.fields) for chip in chips]), coherences(real.fields)
    print("\npair    coherence simulated: mean (lowest to highest place)   real")
    for k, name in enumerate(PAIRS):
        print(
            f"{name}   {ours[:, k].mean():.2f} ({ours[:, k].min():.2f} to {ours[:, k].max():.2f})     {theirs[k]:.2f}"
        )
    dark = np.mean([dark_coherences(chip.fields) for chip in chips], axis=0)
    cells = [f"{n} {a:.2f} / {b:.2f}" for n, a, b in zip(PAIRS, dark, dark_coherences(real.fields), strict=True)]
    print(f"in the darkest 5 %, simulated / real: {'; '.join(cells)}")
    print_texture("single look at 2.5 m", [decibel(chip.fields) for chip in chips], decibel(real.fields))
    print_texture("five looks at 4.5 m", [chip.scene_db for chip in chips], real.scene_db)
    print_correlations([chip.scene_db for chip in chips], real.scene_db)


def main() -> None:
    """Print all distances."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--statistics", type=existing)
    parser.add_argument("--native", type=existing)
    parser.add_argument("--places", type=at_least(1), default=32)
    parser.add_argument("--strips", type=at_least(1), default=4)
    parser.add_argument("--native-places", type=at_least(1), default=12)
    parser.add_argument("--seed", type=at_least(0), default=0)
    arguments = parser.parse_args()
    size = {"place_m": 256, "chip_px": 512, "seed": arguments.seed, "sar": SarOptions(wedge_share=0)}
    options = SimulationOptions(places=arguments.places, **size)
    if arguments.statistics:
        print_histograms(options, arguments.strips, arguments.statistics)
    places = [simulate_place(place, options) for place in place_ids(options)]
    optical = np.concatenate([place.optical.reshape(4, -1) for place in places], axis=1)
    share = np.mean([place.mask.mean() for place in places])
    print(f"\noptical mean {optical.mean(1).round(1)}, deviation {optical.std(1).round(1)} (red, green, blue, nir)")
    print(f"building share {share:.3f}; best single threshold on a radar band: IoU {best_threshold(places):.3f}")
    if arguments.native:
        large = {"places": arguments.native_places, "place_m": 512, "chip_px": 1024}
        print_native(options.model_copy(update=large), arguments.native)


if __name__ == "__main__":
    as_command(main)
