"""From expected power to complex looks: mixed quad-pol covariance, Gaussian draw, noise, impulse response."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d

from overcast.simulate.options import SarOptions
from overcast.simulate.sar_materials import COPOL_COHERENCE, HH_VV_HV, Mechanism

Layer = NDArray[np.float32]
Fields = NDArray[np.complex64]
BLOCK_ROWS = 128
"""Rows of speckle drawn at a time: bounds memory."""


def focused(power: Layer, options: SarOptions, rng: np.random.Generator) -> Iterator[Layer]:
    """Blocks (4, r, A) of multi-look power of HH, HV, VH, VV."""
    for looks in focused_fields(power, options, rng):
        yield np.asarray((looks.real**2 + looks.imag**2).mean(axis=0), np.float32)


def focused_fields(power: Layer, options: SarOptions, rng: np.random.Generator) -> Iterator[Fields]:
    """Blocks (L, 4, r, A) of complex looks. The impulse response reaches across blocks into the same draws."""
    kernel = impulse_response(options.resolution_px)
    reach = len(kernel) // 2
    starts = range(0, power.shape[1], BLOCK_ROWS)
    stream = (_draw_looks(power[:, start : start + BLOCK_ROWS], options, rng) for start in starts)
    before: Fields | None = None
    current = next(stream)
    for _ in starts:
        after = next(stream, None)
        ahead = before[:, :, -reach:] if before is not None and reach else current[:, :, :0]
        behind = after[:, :, :reach] if after is not None else current[:, :, :0]
        field = np.concatenate([ahead, current, behind], axis=2)
        yield _blur(field, kernel)[:, :, ahead.shape[2] : ahead.shape[2] + current.shape[2]]
        if after is not None:
            before, current = current, after


def _draw_looks(power: Layer, options: SarOptions, rng: np.random.Generator) -> Fields:
    """(L, 4, r, A) independent looks."""
    return np.stack([draw_look(power, options, rng) for _ in range(options.looks)])


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


def copolar_factors(power: Layer, noise: float = 0.0) -> tuple[Layer, Layer, Layer, Layer]:
    """Cholesky factors of the mixed covariance: HH = a z1, VV = b z1 + c z2, HV = d z3 with independent unit z.

    The covariance of each cell is the sum over mechanisms of power (3, R, A) times its normalised matrix, plus thermal
    `noise` in HH and VV. Reflection symmetry: no correlation of co- and cross-polar channels.
    """
    hh = np.full(power.shape[1:], noise, np.float32)
    vv, hv, cross = hh.copy(), np.zeros_like(hh), np.zeros_like(hh)
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


def noise_power(options: SarOptions) -> tuple[float, float]:
    """Thermal noise of the co-polar and of the cross-polar channels."""
    co = 10 ** (options.noise_floor_db / 10)
    return co, co * 10 ** (options.cross_noise_db / 10)


def _leak(options: SarOptions) -> float:
    """Leaked share of co-polar power; -80 dB is none at all."""
    return 10 ** (options.crosstalk_db / 10) if options.crosstalk_db > -80 else 0.0


def draw_look(power: Layer, options: SarOptions, rng: np.random.Generator) -> Fields:
    """(4, r, A) one look of HH, HV, VH, VV: circular Gaussian, E|z|^2 = power, with crosstalk and thermal noise.

    HV takes leakage of HH + VV, VH of HH - VV: on surfaces, where both agree, HV suffers more, as in SpaceNet 6.
    """
    co_noise, cross_noise = noise_power(options)
    a, b, c, d = copolar_factors(power, co_noise)
    z1, z2, z3, z4, z5 = (_circular(a.shape, rng) for _ in range(5))
    hh, vv, cross = a * z1, b * z1 + c * z2, d * z3
    leak, level = np.float32(np.sqrt(_leak(options)) / 2), np.float32(np.sqrt(cross_noise))
    return np.stack([hh, cross + leak * (hh + vv) + level * z4, cross + leak * (hh - vv) + level * z5, vv])


def _circular(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.complex64]:
    """Circular complex Gaussian of unit power."""
    parts = rng.standard_normal((*shape, 2), np.float32)
    parts *= np.float32(np.sqrt(0.5))
    return parts.view(np.complex64)[..., 0]


def expectation(power: Layer, options: SarOptions) -> Layer:
    """(4, R, A) expected power of HH, HV, VH, VV, for images without speckle."""
    co_noise, cross_noise = noise_power(options)
    a, b, c, d = copolar_factors(power, co_noise)
    leak = _leak(options) / 4
    hh, vv, both = a**2, b**2 + c**2, 2 * a * b
    hv = d**2 + leak * (hh + vv + both) + cross_noise
    vh = d**2 + leak * (hh + vv - both) + cross_noise
    return np.asarray(np.stack([hh, hv, vh, vv]), np.float32)


def _blur(field: Fields, kernel: NDArray[np.float32]) -> Fields:
    """The fields convolved along both image axes."""
    if len(kernel) == 1:
        return field
    out = np.empty_like(field)
    for part in ("real", "imag"):
        along = convolve1d(getattr(field, part), kernel, axis=-2, mode="reflect")
        setattr(out, part, convolve1d(along, kernel, axis=-1, mode="reflect"))
    return out
