"""Distances between simulated and real imagery, band by band.

Run `python benchmarks/simulator_realism.py --statistics spacenet6_satmae.json --complex FOLDER [--places 24]`:
`--statistics` holds 500-bin histograms of SpaceNet 6, `--complex` the single-look chips sar_{hh,hv,vh,vv}.tif. Either
may be left out. The histogram distance is the earth mover's distance in dB after a free gain (equal means).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from overcast.simulate.city import build_city
from overcast.simulate.options import SarOptions, SimulationOptions
from overcast.simulate.place import SimulatedPlace, place_bounds, place_ids, simulate_place
from overcast.simulate.radar_geometry import RadarFrame, radar_grid
from overcast.simulate.sar import draw_strip
from overcast.simulate.scatter import expected_power
from overcast.simulate.scene import rasterize_city
from overcast.simulate.speckle import focused_fields, receiver

BANDS = ("HH", "HV", "VH", "VV")
QUANTILES = np.linspace(0.001, 0.999, 999)
PAIRS = {"HH-VV": (0, 3), "HV-VH": (1, 2), "HH-HV": (0, 1), "HH-VH": (0, 2)}
Values = NDArray[np.float64]


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
        rows.append((mean, float(np.sqrt(share @ (centres - mean) ** 2)), _quantiles(share, centres)))
    return rows


def _quantiles(share: Values, centres: Values) -> Values:
    return np.asarray(np.interp(QUANTILES, np.cumsum(share), centres))


def print_histograms(places: list[SimulatedPlace], statistics: Path) -> None:
    """Means, deviations and histogram distances of the radar bands."""
    bands = np.concatenate([place.sar[:, place.sar[0] != 0] for place in places], axis=1)
    within = np.mean([place.sar[:, place.sar[0] != 0].std(1) for place in places], axis=0)
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


def coherences(fields: NDArray[np.complexfloating]) -> dict[str, float]:
    """Median 7 x 7 coherence of pairs of channels."""

    def smooth(values: NDArray[np.generic]) -> NDArray[np.generic]:
        return np.asarray(uniform_filter(values.real, 7) + 1j * uniform_filter(values.imag, 7))

    fields = fields.astype(np.complex128)
    power = [np.abs(smooth(np.abs(field) ** 2)) for field in fields]
    out = {}
    for name, (i, j) in PAIRS.items():
        out[name] = float(np.median(np.abs(smooth(fields[i] * fields[j].conj())) / np.sqrt(power[i] * power[j])))
    return out


def simulated_fields(options: SimulationOptions, index: int) -> NDArray[np.complex64]:
    """(4, h, w) one look of a place, sampled every 2.5 m as the real chips are."""
    place = place_ids(options)[index]
    seed = np.random.SeedSequence([options.seed, place.index]).spawn(2)
    bounds = place_bounds(place, options)
    city = build_city(bounds, options.city, seed[0])
    rng = np.random.default_rng(seed[1])
    strip = draw_strip(options.sar, options.gsd_m, place.index, rng)
    frame = RadarFrame(radar_grid(bounds, options.gsd_m, strip.look, (0, 0)), options.sar.incidence_deg)
    power = expected_power(city, rasterize_city(city, frame.grid), frame, options.sar, rng)
    single = options.sar.model_copy(update={"looks": 1})
    sensor = receiver(single, strip.noise_db, strip.leak_phase)
    fields = np.concatenate([block[0] for block in focused_fields(power, single, sensor, rng)], axis=1)
    step = round(2.5 / options.gsd_m)
    return fields[:, ::step, ::step]


def print_coherences(options: SimulationOptions, folder: Path) -> None:
    """Coherences of the real chips and of four simulated places."""
    real = []
    for band in BANDS:
        with rasterio.open(folder / f"sar_{band.lower()}.tif") as source:
            real.append(source.read(1))
    measured = [coherences(simulated_fields(options, index)) for index in range(min(4, options.places))]
    print("\npair    coherence simulated (places)   real")
    for name, value in coherences(np.stack(real)).items():
        print(f"{name}   {'  '.join(f'{each[name]:.2f}' for each in measured)}     {value:.2f}")


def main() -> None:
    """Print all distances."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--statistics", type=Path)
    parser.add_argument("--complex", type=Path)
    parser.add_argument("--places", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    size = {"places": arguments.places, "place_m": 256, "chip_px": 512, "seed": arguments.seed}
    options = SimulationOptions(**size, sar=SarOptions(wedge_share=0))
    places = [simulate_place(place, options) for place in place_ids(options)]
    if arguments.statistics:
        print_histograms(places, arguments.statistics)
    optical = np.concatenate([place.optical.reshape(4, -1) for place in places], axis=1)
    share = np.mean([place.mask.mean() for place in places])
    print(f"\noptical mean {optical.mean(1).round(1)}, deviation {optical.std(1).round(1)} (red, green, blue, nir)")
    print(f"building share {share:.3f}; best single threshold on a radar band: IoU {best_threshold(places):.3f}")
    if arguments.complex:
        print_coherences(options, arguments.complex)


if __name__ == "__main__":
    main()
