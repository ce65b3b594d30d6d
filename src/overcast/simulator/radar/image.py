"""The radar image of a city: expected power, quad-pol covariance, speckle, faults, pixel values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overcast.raster.radiometry import RadarSide, Unit
from overcast.raster.sources import Georeference
from overcast.simulator.city.geometry import City, Extent
from overcast.simulator.options import SarOptions
from overcast.simulator.radar.geometry import QUARTER_TURNS, RadarFrame, onto_map, radar_grid
from overcast.simulator.radar.scatter import expected_power
from overcast.simulator.radar.speckle import expectation, focused, receiver
from overcast.simulator.sampling import block_mean, finer, supersampling
from overcast.simulator.scene import rasterize_city

Layer = NDArray[np.float32]
CHANNELS = ("HH", "HV", "VH", "VV")
NODATA = 0.0
SMALLEST_VALUE = 0.01
"""Pixels with data keep this distance from 0, which is nodata."""


@dataclass(frozen=True)
class Strip:
    """Faults of one acquisition."""

    radar_side: RadarSide
    shift_m: tuple[float, float]
    """Shift of the image against the map, east and north."""
    gain_db: tuple[float, float, float, float]
    """Gain of HH, HV, VH, VV."""
    ripple: tuple[float, float]
    """Phase and wavelength (shares of the strip) of the gain along azimuth."""
    wedge: tuple[float, float] | None
    """Nodata: share of the height at the middle column (negative: from the far side), and slope."""
    noise_db: tuple[float, float] = (0.0, 0.0)
    """Thermal noise above that of the options: co-polar, cross-polar channels."""
    leak_phase: tuple[float, float] = (0.0, np.pi)
    """Phase of VV against HH in the leakage into HV and into VH, radians."""


def draw_strip(options: SarOptions, gsd_m: float, place: int, rng: np.random.Generator) -> Strip:
    """The faults of the strip that images place number `place`."""
    look = options.radar_side
    if look == "mixed":
        look = RadarSide.NORTH if place % 2 == 0 else RadarSide.SOUTH
    shift = rng.normal(0, options.misregistration_px * gsd_m, 2)
    common = rng.normal(0, options.gain_drift_db)
    gains = common + rng.normal(0, options.gain_drift_db / 2, 4)
    gains[1:3] += rng.normal(0, options.cross_drift_db)
    ripple = (float(rng.uniform(0, 1)), float(rng.uniform(0.4, 1.5)))
    cut = rng.random() < 2.5 * options.wedge_share
    depth = float(rng.uniform(0, 0.8)) * float(rng.choice([-1.0, 1.0]))
    wedge = (depth, float(rng.uniform(-0.12, 0.12))) if cut else None
    noise, phase = rng.normal(0, options.noise_drift_db, 2), rng.uniform(-np.pi, np.pi, 2)
    return Strip(
        RadarSide(look),
        (float(shift[0]), float(shift[1])),
        (float(gains[0]), float(gains[1]), float(gains[2]), float(gains[3])),
        ripple,
        wedge,
        (float(noise[0]), float(noise[1])),
        (float(phase[0]), float(phase[1])),
    )


def simulate_sar(
    city: City, bounds: Extent, gsd_m: float, options: SarOptions, strip: Strip, seed: np.random.SeedSequence
) -> Layer:
    """(P, H, W) float32 north-up image of `bounds` in the declared unit, nodata 0.

    Ground outside `bounds`, as far as the city is built, takes part in layover and shadow.
    """
    scatter_seed, speckle_seed = seed.spawn(2)
    border, fine = _margin_px(city, bounds, gsd_m), supersampling(gsd_m)
    image_grid = radar_grid(bounds, gsd_m, strip.radar_side, strip.shift_m, options.look_offset_deg)
    frame = RadarFrame(finer(image_grid, border, fine), options.incidence_deg)
    scene = rasterize_city(city, frame.grid)
    power = expected_power(city, scene, frame, options, np.random.default_rng(scatter_seed))
    del scene
    inner = slice(border * fine, power.shape[1] - border * fine), slice(border * fine, power.shape[2] - border * fine)
    bands = form_image(block_mean(power[:, *inner], fine), options, strip, np.random.default_rng(speckle_seed))
    del power
    empty = np.zeros(bands.shape[1:], bool) if strip.wedge is None else _wedge(strip.wedge, bands.shape[1:])
    bands, empty = _north_up(bands, empty, image_grid, bounds, (options.look_offset_deg, strip))
    values = _pixel_values(bands, options)
    values[:, empty] = NODATA
    return np.ascontiguousarray(values)


def _north_up(
    bands: Layer, empty: NDArray[np.bool_], grid: Georeference, bounds: Extent, turned: tuple[float, Strip]
) -> tuple[Layer, NDArray[np.bool_]]:
    """Multi-look power and the wedge on the map: turned by quarters, or interpolated where the radar stands askew."""
    offset_deg, strip = turned
    if offset_deg == 0:
        quarters = -QUARTER_TURNS[strip.radar_side]
        return np.rot90(bands, quarters, axes=(1, 2)), np.rot90(empty, quarters)
    ground = radar_grid(bounds, grid.gsd_m, RadarSide.NORTH, strip.shift_m)
    held = onto_map(empty[None].astype(np.float32), grid, ground, order=0)[0] > 0
    return onto_map(bands, grid, ground, order=1), held


def _margin_px(city: City, bounds: Extent, gsd_m: float) -> int:
    """Built ground around `bounds`, in whole pixels."""
    built = city.bounds
    margin = min(bounds.left - built.left, built.right - bounds.right, bounds.bottom - built.bottom)
    return max(0, int(np.floor(min(margin, built.top - bounds.top) / gsd_m)))


def form_image(power: Layer, options: SarOptions, strip: Strip, rng: np.random.Generator) -> Layer:
    """(P, R, A) multi-look power of the requested channels from expected power by mechanism (3, R, A)."""
    chosen = [CHANNELS.index(name) for name in options.polarisations]
    out = np.empty((len(chosen), *power.shape[1:]), np.float32)
    sensor = receiver(options, strip.noise_db, strip.leak_phase)
    if options.speckle:
        row = 0
        for block in focused(power, options, sensor, rng):
            out[:, row : row + block.shape[1]] = block[chosen]
            row += block.shape[1]
    else:
        out[:] = expectation(power, sensor)[chosen]
    gain = np.array(strip.gain_db, np.float32)[chosen]
    azimuth = np.linspace(0, 1, out.shape[2], dtype=np.float32)
    ripple = options.ripple_db * np.sin(2 * np.pi * (azimuth / strip.ripple[1] + strip.ripple[0]))
    out *= np.power(np.float32(10), (gain[:, None, None] + ripple.astype(np.float32)) / 10)
    return out


def _pixel_values(bands: Layer, options: SarOptions) -> Layer:
    """Power in the declared unit. Decibels carry the band offsets and keep off nodata."""
    match options.unit:
        case Unit.LINEAR_POWER:
            return np.maximum(bands, np.float32(1e-9))
        case Unit.AMPLITUDE:
            return np.sqrt(np.maximum(bands, np.float32(1e-9)))
        case Unit.DECIBEL:
            offsets = np.array([options.band_offset_db[name] for name in options.polarisations], np.float32)
            values = 10 * np.log10(np.maximum(bands, np.float32(1e-12))) + offsets[:, None, None]
            values[np.abs(values) < SMALLEST_VALUE] = SMALLEST_VALUE
            return np.asarray(values, np.float32)


def _wedge(wedge: tuple[float, float], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """(R, A) True beyond the border of the strip: a straight line at a small angle to azimuth."""
    depth, slope = wedge
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    line = abs(depth) * shape[0] + slope * (cols - shape[1] / 2)
    return np.asarray(rows < line if depth > 0 else rows > shape[0] - line)
