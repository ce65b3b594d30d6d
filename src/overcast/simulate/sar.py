"""The radar image of a city: expected power, quad-pol covariance, speckle, faults, pixel values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d

from overcast.data.chips import Bounds
from overcast.data.radiometry import LookDirection, Unit
from overcast.simulate.geometry import City
from overcast.simulate.options import SarOptions
from overcast.simulate.radar_geometry import QUARTER_TURNS, RadarFrame, radar_grid
from overcast.simulate.sar_materials import COPOL_COHERENCE, HH_VV_HV, Mechanism
from overcast.simulate.scatter import expected_power
from overcast.simulate.scene import rasterize_city

Layer = NDArray[np.float32]
CHANNELS = ("HH", "HV", "VH", "VV")
NODATA = 0.0
SMALLEST_VALUE = 0.01
"""Smallest pixel value with data: nodata is exactly 0."""
BLOCK_ROWS = 256


@dataclass(frozen=True)
class Strip:
    """Faults of one acquisition."""

    look: LookDirection
    shift_m: tuple[float, float]
    """Shift of the image against the map, east and north."""
    gain_db: tuple[float, float, float, float]
    """Gain of HH, HV, VH, VV."""
    ripple: tuple[float, float]
    """Phase and wavelength (shares of the strip) of the gain along azimuth."""
    wedge: tuple[float, float] | None
    """Nodata: share of the height at the middle column (negative: from the far side), and slope."""


def draw_strip(options: SarOptions, gsd_m: float, place: int, rng: np.random.Generator) -> Strip:
    """The faults of the strip that images place number `place`."""
    look = options.look
    if look == "mixed":
        look = LookDirection.NORTH if place % 2 == 0 else LookDirection.SOUTH
    shift = rng.normal(0, options.misregistration_px * gsd_m, 2)
    common = rng.normal(0, options.gain_drift_db)
    gains = common + rng.normal(0, options.gain_drift_db / 3, 4)
    ripple = (float(rng.uniform(0, 1)), float(rng.uniform(0.4, 1.5)))
    cut = rng.random() < 2.5 * options.wedge_share
    depth = float(rng.uniform(0, 0.8)) * float(rng.choice([-1.0, 1.0]))
    wedge = (depth, float(rng.uniform(-0.12, 0.12))) if cut else None
    return Strip(
        LookDirection(look),
        (float(shift[0]), float(shift[1])),
        (float(gains[0]), float(gains[1]), float(gains[2]), float(gains[3])),
        ripple,
        wedge,
    )


def simulate_sar(
    city: City, bounds: Bounds, gsd_m: float, options: SarOptions, strip: Strip, seed: np.random.SeedSequence
) -> Layer:
    """(P, H, W) float32 north-up image of `bounds` in the declared unit, nodata 0.

    Ground outside `bounds`, as far as the city is built, takes part in layover and shadow.
    """
    scatter_seed, speckle_seed = seed.spawn(2)
    margin = _margin_m(city, bounds, gsd_m)
    wide = Bounds(bounds.left - margin, bounds.bottom - margin, bounds.right + margin, bounds.top + margin, bounds.crs)
    frame = RadarFrame(radar_grid(wide, gsd_m, strip.look, strip.shift_m), options.incidence_deg)
    scene = rasterize_city(city, frame.grid)
    power = expected_power(city, scene, frame, options, np.random.default_rng(scatter_seed))
    del scene
    border = round(margin / gsd_m)
    rows, cols = power.shape[1] - 2 * border, power.shape[2] - 2 * border
    power = power[:, border : border + rows, border : border + cols]
    bands = _image(power, options, strip, np.random.default_rng(speckle_seed))
    values = _pixel_values(bands, options)
    if strip.wedge is not None:
        values[:, _wedge(strip.wedge, values.shape[1:])] = NODATA
    return np.ascontiguousarray(np.rot90(values, -QUARTER_TURNS[strip.look], axes=(1, 2)))


def _margin_m(city: City, bounds: Bounds, gsd_m: float) -> float:
    """Built ground around `bounds`, in whole pixels."""
    built = city.bounds
    margin = min(bounds.left - built.left, built.right - bounds.right, bounds.bottom - built.bottom)
    return max(0.0, np.floor(min(margin, built.top - bounds.top) / gsd_m) * gsd_m)


def _image(power: Layer, options: SarOptions, strip: Strip, rng: np.random.Generator) -> Layer:
    """(P, R, A) multi-look power of the requested channels, with noise and gains. Blocks overlap by the response."""
    kernel = impulse_response(options.resolution_px)
    reach = len(kernel) // 2
    chosen = [CHANNELS.index(name) for name in options.polarisations]
    out = np.empty((len(chosen), *power.shape[1:]), np.float32)
    for start in range(0, power.shape[1], BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, power.shape[1])
        top, bottom = min(reach, start), min(reach, power.shape[1] - stop)
        block = power[:, start - top : stop + bottom]
        looks = _multilook(block, options, kernel, rng)
        out[:, start:stop] = looks[chosen, top : top + stop - start]
    gain = np.array(strip.gain_db, np.float32)[chosen]
    azimuth = np.linspace(0, 1, out.shape[2], dtype=np.float32)
    ripple = options.ripple_db * np.sin(2 * np.pi * (azimuth / strip.ripple[1] + strip.ripple[0]))
    out *= 10 ** ((gain[:, None, None] + ripple) / 10)
    return out


def impulse_response(width_px: float) -> NDArray[np.float32]:
    """Hamming-weighted sinc of the given -3 dB width in pixels, of unit energy; [1] for width 0.

    Unit energy keeps the expected power of a uniform field.
    """
    if width_px == 0:
        return np.ones(1, np.float32)
    reach = int(np.ceil(4 * width_px))
    x = np.arange(-reach, reach + 1) / width_px * 1.3
    kernel = 0.54 * np.sinc(x) + 0.23 * (np.sinc(x - 1) + np.sinc(x + 1))
    return np.asarray(kernel / np.sqrt((kernel**2).sum()), np.float32)


def _multilook(
    power: Layer, options: SarOptions, kernel: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """(4, R, A) mean power of the looks of HH, HV, VH, VV."""
    noise = np.float32(10 ** (options.noise_floor_db / 10))
    factors = copolar_factors(power)
    if not options.speckle:
        return _expectation(power, noise, options)
    total = np.zeros((4, *power.shape[1:]), np.float32)
    for _ in range(options.looks):
        fields = draw_fields(factors, noise, options.crosstalk_db, rng)
        for channel, field in enumerate(fields):
            blurred = _blur(field, kernel)
            total[channel] += blurred.real**2 + blurred.imag**2
    return total / np.float32(options.looks)


def copolar_factors(power: Layer) -> tuple[Layer, Layer, Layer, Layer]:
    """Cholesky factors of the mixed covariance: HH = a z1, VV = b z1 + c z2, HV = d z3 with independent unit z.

    The covariance of each cell is the sum over mechanisms of power times its normalised matrix. Reflection symmetry:
    no correlation of co- and cross-polar channels.
    """
    hh = np.zeros(power.shape[1:], np.float32)
    vv, hv, cross = np.zeros_like(hh), np.zeros_like(hh), np.zeros_like(hh)
    for mechanism in Mechanism:
        share_hh, share_vv, share_hv = HH_VV_HV[mechanism]
        layer = power[mechanism]
        hh += share_hh * layer
        vv += share_vv * layer
        hv += share_hv * layer
        cross += np.float32(COPOL_COHERENCE[mechanism] * np.sqrt(share_hh * share_vv)) * layer
    a = np.sqrt(hh)
    b = cross / np.maximum(a, np.float32(1e-12))
    c = np.sqrt(np.maximum(vv - b * b, 0))
    return a, b, c, np.sqrt(hv)


def draw_fields(
    factors: tuple[Layer, Layer, Layer, Layer], noise: np.float32, crosstalk_db: float, rng: np.random.Generator
) -> list[NDArray[np.complex64]]:
    """One look of HH, HV, VH, VV: circular Gaussian, E|z|^2 = power, thermal noise of power `noise` in each."""
    a, b, c, d = factors
    z1, z2, z3 = (_circular(a.shape, rng) for _ in range(3))
    hh, vv, hv = a * z1, b * z1 + c * z2, d * z3
    leak = np.float32(10 ** (crosstalk_db / 20)) if crosstalk_db > -80 else np.float32(0)
    level = np.sqrt(noise)
    fields = [hh, hv + leak * (hh + vv) / 2, hv + leak * (hh - vv) / 2 * np.complex64(1j), vv]
    return [field + level * _circular(a.shape, rng) for field in fields]


def _circular(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.complex64]:
    """Circular complex Gaussian of unit power."""
    parts = rng.standard_normal((*shape, 2), np.float32)
    parts *= np.float32(np.sqrt(0.5))
    return parts.view(np.complex64)[..., 0]


def _expectation(power: Layer, noise: np.float32, options: SarOptions) -> NDArray[np.float32]:
    """(4, R, A) expected power, for images without speckle."""
    a, b, c, d = copolar_factors(power)
    leak = 10 ** (options.crosstalk_db / 10) if options.crosstalk_db > -80 else 0.0
    hh, vv, cross = a**2, b**2 + c**2, a * b
    hv = d**2 + leak * (hh + vv + 2 * cross) / 4
    vh = d**2 + leak * (hh + vv - 2 * cross) / 4
    return np.stack([hh, hv, vh, vv]) + noise


def _blur(field: NDArray[np.complex64], kernel: NDArray[np.float32]) -> NDArray[np.complex64]:
    if len(kernel) == 1:
        return field
    out = np.empty_like(field)
    for part in ("real", "imag"):
        along = convolve1d(getattr(field, part), kernel, axis=0, mode="constant")
        setattr(out, part, convolve1d(along, kernel, axis=1, mode="constant"))
    return out


def _pixel_values(bands: Layer, options: SarOptions) -> Layer:
    """Power in the declared unit. Decibels carry the band offsets and stay above nodata."""
    match options.unit:
        case Unit.LINEAR_POWER:
            return np.maximum(bands, np.float32(1e-9))
        case Unit.AMPLITUDE:
            return np.sqrt(np.maximum(bands, np.float32(1e-9)))
        case Unit.DECIBEL:
            offsets = np.array([options.band_offset_db[name] for name in options.polarisations], np.float32)
            values = 10 * np.log10(np.maximum(bands, np.float32(1e-12))) + offsets[:, None, None]
            return np.maximum(values, np.float32(SMALLEST_VALUE)).astype(np.float32)


def _wedge(wedge: tuple[float, float], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """(R, A) True beyond the border of the strip: a straight line at a small angle to azimuth."""
    depth, slope = wedge
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    line = abs(depth) * shape[0] + slope * (cols - shape[1] / 2)
    return np.asarray(rows < line if depth > 0 else rows > shape[0] - line)
