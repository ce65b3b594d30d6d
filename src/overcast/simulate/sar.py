"""The radar image of a city: expected power, quad-pol covariance, speckle, faults, pixel values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d

from overcast.data.radiometry import LookDirection, Unit
from overcast.simulate.geometry import City, Extent
from overcast.simulate.options import SarOptions
from overcast.simulate.radar_geometry import QUARTER_TURNS, RadarFrame, radar_grid
from overcast.simulate.sar_materials import COPOL_COHERENCE, HH_VV_HV, Mechanism
from overcast.simulate.scatter import expected_power
from overcast.simulate.scene import rasterize_city

Layer = NDArray[np.float32]
Fields = NDArray[np.complex64]
CHANNELS = ("HH", "HV", "VH", "VV")
NODATA = 0.0
SMALLEST_VALUE = 0.01
"""Smallest pixel value with data: nodata is exactly 0."""
BLOCK_ROWS = 128
"""Rows of speckle drawn at a time: bounds memory."""


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
    city: City, bounds: Extent, gsd_m: float, options: SarOptions, strip: Strip, seed: np.random.SeedSequence
) -> Layer:
    """(P, H, W) float32 north-up image of `bounds` in the declared unit, nodata 0.

    Ground outside `bounds`, as far as the city is built, takes part in layover and shadow.
    """
    scatter_seed, speckle_seed = seed.spawn(2)
    margin = _margin_m(city, bounds, gsd_m)
    wide = bounds.grown(margin)
    frame = RadarFrame(radar_grid(wide, gsd_m, strip.look, strip.shift_m), options.incidence_deg)
    scene = rasterize_city(city, frame.grid)
    power = expected_power(city, scene, frame, options, np.random.default_rng(scatter_seed))
    del scene
    border = round(margin / gsd_m)
    rows, cols = power.shape[1] - 2 * border, power.shape[2] - 2 * border
    power = power[:, border : border + rows, border : border + cols]
    bands = form_image(power, options, strip, np.random.default_rng(speckle_seed))
    values = _pixel_values(bands, options)
    if strip.wedge is not None:
        values[:, _wedge(strip.wedge, values.shape[1:])] = NODATA
    return np.ascontiguousarray(np.rot90(values, -QUARTER_TURNS[strip.look], axes=(1, 2)))


def _margin_m(city: City, bounds: Extent, gsd_m: float) -> float:
    """Built ground around `bounds`, in whole pixels."""
    built = city.bounds
    margin = min(bounds.left - built.left, built.right - bounds.right, bounds.bottom - built.bottom)
    return max(0.0, float(np.floor(min(margin, built.top - bounds.top) / gsd_m)) * gsd_m)


def form_image(power: Layer, options: SarOptions, strip: Strip, rng: np.random.Generator) -> Layer:
    """(P, R, A) multi-look power of the requested channels from expected power by mechanism (3, R, A)."""
    chosen = [CHANNELS.index(name) for name in options.polarisations]
    out = np.empty((len(chosen), *power.shape[1:]), np.float32)
    starts = range(0, power.shape[1], BLOCK_ROWS)
    if options.speckle:
        looks = _focused(power, options, starts, rng)
    else:
        looks = (_expectation(copolar_factors(power[:, start : start + BLOCK_ROWS]), options) for start in starts)
    for start, block in zip(starts, looks, strict=True):
        out[:, start : start + BLOCK_ROWS] = block[chosen]
    gain = np.array(strip.gain_db, np.float32)[chosen]
    azimuth = np.linspace(0, 1, out.shape[2], dtype=np.float32)
    ripple = options.ripple_db * np.sin(2 * np.pi * (azimuth / strip.ripple[1] + strip.ripple[0]))
    out *= np.power(np.float32(10), (gain[:, None, None] + ripple.astype(np.float32)) / 10)
    return out


def _focused(power: Layer, options: SarOptions, starts: range, rng: np.random.Generator) -> Iterator[Layer]:
    """Blocks (4, r, A) of multi-look power. The impulse response reaches across blocks into the same draws."""
    kernel = impulse_response(options.resolution_px)
    reach = len(kernel) // 2
    stream = (_draw_looks(power[:, start : start + BLOCK_ROWS], options, rng) for start in starts)
    before: Fields | None = None
    current = next(stream)
    for _ in starts:
        after = next(stream, None)
        parts = [before[:, :, -reach:] if before is not None and reach else None, current]
        parts.append(after[:, :, :reach] if after is not None and reach else None)
        first = 0 if parts[0] is None else parts[0].shape[2]
        field = np.concatenate([part for part in parts if part is not None], axis=2)
        looks = _blur(field, kernel)[:, :, first : first + current.shape[2]]
        yield np.asarray((looks.real**2 + looks.imag**2).mean(axis=0), np.float32)
        if after is not None:
            before, current = current, after


def _draw_looks(power: Layer, options: SarOptions, rng: np.random.Generator) -> Fields:
    """(L, 4, r, A) complex looks of HH, HV, VH, VV."""
    factors = copolar_factors(power)
    return np.stack([np.stack(draw_fields(factors, options, rng)) for _ in range(options.looks)])


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
    c = np.sqrt(np.maximum(vv - b * b, np.float32(0)))
    return a, np.asarray(b, np.float32), np.asarray(c, np.float32), np.sqrt(hv)


def noise_power(options: SarOptions) -> tuple[float, float, float, float]:
    """Thermal noise of HH, HV, VH, VV."""
    co = 10 ** (options.noise_floor_db / 10)
    cross = co * 10 ** (options.cross_noise_db / 10)
    return co, cross, cross, co


def _leak(options: SarOptions) -> float:
    """Leaked share of co-polar power; -80 dB is none at all."""
    return 10 ** (options.crosstalk_db / 10) if options.crosstalk_db > -80 else 0.0


def draw_fields(
    factors: tuple[Layer, Layer, Layer, Layer], options: SarOptions, rng: np.random.Generator
) -> list[Fields]:
    """One look of HH, HV, VH, VV: circular Gaussian, E|z|^2 = power, plus crosstalk and thermal noise.

    HV takes leakage of HH + VV, VH of HH - VV: on surfaces, where both agree, HV suffers more, as in SpaceNet 6.
    """
    a, b, c, d = factors
    z1, z2, z3 = (_circular(a.shape, rng) for _ in range(3))
    hh, vv, hv = a * z1, b * z1 + c * z2, d * z3
    leak = np.float32(np.sqrt(_leak(options)) / 2)
    fields = [hh, hv + leak * (hh + vv), hv + leak * (hh - vv), vv]
    levels = np.sqrt(np.array(noise_power(options), np.float32))
    return [field + level * _circular(a.shape, rng) for field, level in zip(fields, levels, strict=True)]


def _circular(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.complex64]:
    """Circular complex Gaussian of unit power."""
    parts = rng.standard_normal((*shape, 2), np.float32)
    parts *= np.float32(np.sqrt(0.5))
    return parts.view(np.complex64)[..., 0]


def _expectation(factors: tuple[Layer, Layer, Layer, Layer], options: SarOptions) -> NDArray[np.float32]:
    """(4, R, A) expected power, for images without speckle."""
    a, b, c, d = factors
    leak = _leak(options) / 4
    hh, vv, cross = a**2, b**2 + c**2, a * b
    hv = d**2 + leak * (hh + vv + 2 * cross)
    vh = d**2 + leak * (hh + vv - 2 * cross)
    noise = np.array(noise_power(options), np.float32)[:, None, None]
    return np.asarray(np.stack([hh, hv, vh, vv]) + noise, np.float32)


def _blur(field: Fields, kernel: NDArray[np.float32]) -> Fields:
    """The fields convolved along both image axes."""
    if len(kernel) == 1:
        return field
    out = np.empty_like(field)
    for part in ("real", "imag"):
        along = convolve1d(getattr(field, part), kernel, axis=-2, mode="reflect")
        setattr(out, part, convolve1d(along, kernel, axis=-1, mode="reflect"))
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
