"""From expected power to complex looks: mixed quad-pol covariance, Gaussian draw, noise, impulse response."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overcast.simulator.options import SarOptions
from overcast.simulator.radar.materials import COPOL_COHERENCE, HH_VV_HV, Mechanism

Layer = NDArray[np.float32]
Fields = NDArray[np.complex64]
BLOCK_ROWS = 128
"""Rows of speckle drawn at a time: bounds memory."""


@dataclass(frozen=True)
class Receiver:
    """Noise and leakage of one acquisition; powers on the scale of sigma nought."""

    co_noise: float
    """Thermal noise of HH and of VV."""
    cross_noise: float
    """Thermal noise of HV and of VH."""
    correlation: float
    """Correlation of the noise among HH, HV and VV, 0..1; that of VH is independent."""
    leak_hv: float
    """HV receives leak_hv HH + leak_hv e^(i phase) VV."""
    leak_vh: float
    """VH likewise."""
    leak_phase: tuple[float, float] = (0.0, np.pi)
    """Phase of VV against HH in the leakage into HV and into VH, radians."""


def receiver(
    options: SarOptions,
    noise_db: tuple[float, float] = (0.0, 0.0),
    leak_phase: tuple[float, float] = (0.0, np.pi),
) -> Receiver:
    """The receiver of a strip whose noise (co-polar, cross-polar) lies `noise_db` above that of the options."""
    co = 10 ** ((options.noise_floor_db + noise_db[0]) / 10)
    cross = 10 ** ((options.noise_floor_db + options.cross_noise_db + noise_db[1]) / 10)
    leaks = [_leak(options.hv_crosstalk_db), _leak(options.vh_crosstalk_db)]
    return Receiver(co, cross, options.noise_correlation, leaks[0], leaks[1], leak_phase)


def _leak(crosstalk_db: float) -> float:
    """Amplitude that each co-polar channel leaks; -80 dB is none at all."""
    return float(np.sqrt(10 ** (crosstalk_db / 10) / 2)) if crosstalk_db > -80 else 0.0


def focused(power: Layer, options: SarOptions, sensor: Receiver, rng: np.random.Generator) -> Iterator[Layer]:
    """Blocks (4, r, A) of multi-look power of HH, HV, VH, VV."""
    for looks in focused_fields(power, options, sensor, rng):
        yield np.asarray((looks.real**2 + looks.imag**2).mean(axis=0), np.float32)


def focused_fields(power: Layer, options: SarOptions, sensor: Receiver, rng: np.random.Generator) -> Iterator[Fields]:
    """Blocks (L, 4, r, A) of complex looks. The impulse response reaches across blocks and borders into more draws."""
    kernel = impulse_response(options.resolution_px, options.weighting)
    reach = len(kernel) // 2
    padded = np.pad(power, ((0, 0), (reach, reach), (reach, reach)), mode="edge")
    held: Fields | None = None
    for start in range(0, padded.shape[1], BLOCK_ROWS):
        drawn = draw_looks(padded[:, start : start + BLOCK_ROWS], options.looks, sensor, rng)
        field = drawn if held is None else np.concatenate([held, drawn], axis=2)
        held = field[:, :, max(0, field.shape[2] - 2 * reach) :]
        if field.shape[2] > 2 * reach:
            yield _blur(field, kernel)


def impulse_response(width_px: float, weighting: float = 0.54) -> NDArray[np.float32]:
    """Weighted sinc of the given -3 dB width in pixels, of unit energy; [1] for width 0.

    A weighting of 0.54 is that of Hamming; 1 leaves the sinc as it is, with side lobes of -13 dB.
    Unit energy keeps the expected power of a uniform field.
    """
    if width_px == 0:
        return np.ones(1, np.float32)
    reach = int(np.ceil(4 * width_px))
    widening = 1.3 - 0.414 * (weighting - 0.54) / 0.46  # the main lobe of a sinc is 0.886 wide, Hamming's 1.3
    x = np.arange(-reach, reach + 1) / width_px * widening
    kernel = weighting * np.sinc(x) + (1 - weighting) / 2 * (np.sinc(x - 1) + np.sinc(x + 1))
    return np.asarray(kernel / np.sqrt((kernel**2).sum()), np.float32)


@dataclass(frozen=True)
class Covariance:
    """Expected products of channels, (R, A) each, before leakage. All are real."""

    hh: Layer
    vv: Layer
    cross: Layer
    """|HV|^2 and |VH|^2 of the scene without noise: reciprocity makes HV = VH."""
    hh_vv: Layer
    sensor: Receiver

    @property
    def noisy_cross(self) -> Layer:
        """Power of HV and of VH."""
        return np.asarray(self.cross + np.float32(self.sensor.cross_noise))

    @property
    def shared_noise(self) -> float:
        """Expected product of the noise of HV with that of HH or VV."""
        return float(self.sensor.correlation * np.sqrt(self.sensor.co_noise * self.sensor.cross_noise))


def covariance(power: Layer, sensor: Receiver) -> Covariance:
    """Sum over mechanisms of power (3, R, A) times their normalised covariance, plus noise.

    Reflection symmetry: the scene correlates no co-polar with a cross-polar channel.
    """
    hh = np.full(power.shape[1:], sensor.co_noise, np.float32)
    vv, cross = hh.copy(), np.zeros_like(hh)
    hh_vv = np.full_like(hh, sensor.correlation * sensor.co_noise)
    for mechanism in Mechanism:
        share_hh, share_vv, share_hv = HH_VV_HV[mechanism]
        layer = power[mechanism]
        hh += np.float32(share_hh) * layer
        vv += np.float32(share_vv) * layer
        cross += np.float32(share_hv) * layer
        hh_vv += np.float32(COPOL_COHERENCE[mechanism] * np.sqrt(share_hh * share_vv)) * layer
    return Covariance(hh, vv, cross, hh_vv, sensor)


def cholesky_factors(c: Covariance) -> dict[str, Layer]:
    """Lower factors of the covariance in the order HH, VV, HV, VH, named by row and column; the others are 0."""
    tiny = np.float32(1e-12)
    l11 = np.sqrt(c.hh)
    l21 = c.hh_vv / np.maximum(l11, tiny)
    l22 = np.sqrt(np.maximum(c.vv - l21 * l21, 0))
    l31 = np.float32(c.shared_noise) / np.maximum(l11, tiny)
    l32 = (np.float32(c.shared_noise) - l21 * l31) / np.maximum(l22, tiny)
    l33 = np.sqrt(np.maximum(c.noisy_cross - l31 * l31 - l32 * l32, 0))
    l43 = c.cross / np.maximum(l33, tiny)
    l44 = np.sqrt(np.maximum(c.noisy_cross - l43 * l43, 0))
    return {"11": l11, "21": l21, "22": l22, "31": l31, "32": l32, "33": l33, "43": l43, "44": l44}


def draw_looks(power: Layer, looks: int, sensor: Receiver, rng: np.random.Generator) -> Fields:
    """(L, 4, r, A) looks of HH, HV, VH, VV: circular Gaussian, E|z|^2 = power, with thermal noise and crosstalk."""
    f = cholesky_factors(covariance(power, sensor))
    out = np.empty((looks, 4, *power.shape[1:]), np.complex64)
    for hh, hv, vh, vv in out:
        z1, z2, z3, z4 = (_circular(hh.shape, rng) for _ in range(4))
        hh[:] = f["11"] * z1
        vv[:] = f["21"] * z1 + f["22"] * z2
        hv[:] = f["31"] * z1 + f["32"] * z2 + f["33"] * z3
        vh[:] = f["43"] * z3 + f["44"] * z4
        for cross, leak, phase in zip((hv, vh), (sensor.leak_hv, sensor.leak_vh), sensor.leak_phase, strict=True):
            if leak:
                np.add(cross, np.complex64(leak) * (hh + np.complex64(np.exp(1j * phase)) * vv), out=cross)
    return out


def _circular(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.complex64]:
    """Circular complex Gaussian of unit power."""
    parts = rng.standard_normal((*shape, 2), np.float32)
    parts *= np.float32(np.sqrt(0.5))
    return parts.view(np.complex64)[..., 0]


def expectation(power: Layer, sensor: Receiver) -> Layer:
    """(4, R, A) expected power of HH, HV, VH, VV, for images without speckle."""
    c = covariance(power, sensor)
    noise = c.shared_noise
    cross = []
    for leak, phase, shared in (
        (sensor.leak_hv, sensor.leak_phase[0], noise),
        (sensor.leak_vh, sensor.leak_phase[1], 0.0),
    ):
        leaked = abs(leak) ** 2 * (c.hh + c.vv + 2 * np.cos(phase) * c.hh_vv)
        cross.append(c.noisy_cross + leaked + 2 * abs(leak) * shared * (1 + np.cos(phase)))
    return np.asarray(np.stack([c.hh, cross[0], cross[1], c.vv]), np.float32)


def _blur(field: Fields, kernel: NDArray[np.float32]) -> Fields:
    """(L, C, r, A) fields convolved along both image axes, without the border that the kernel does not cover."""
    reach = len(kernel) // 2
    if reach == 0:
        return field
    looks, channels, rows, columns = field.shape
    out = np.empty((looks, channels, rows - 2 * reach, columns - 2 * reach), np.complex64)
    for look in range(looks):
        for channel in range(channels):
            pairs = np.ascontiguousarray(field[look, channel]).view(np.float32)  # real and imaginary side by side
            along = _weighted(pairs, kernel, 1)
            out[look, channel] = np.ascontiguousarray(_weighted(along.T, kernel, 2).T).view(np.complex64)
    return out


def _weighted(values: Layer, kernel: NDArray[np.float32], step: int) -> Layer:
    """Sums of rows `step` apart with the weights of a symmetric kernel, where it fits."""
    reach = len(kernel) // 2
    count = len(values) - 2 * reach * step

    def shifted(taps: int) -> Layer:
        start = (reach + taps) * step
        return values[start : start + count]

    total: Layer = shifted(0) * kernel[reach]
    pair = np.empty_like(total)
    for taps in range(1, reach + 1):
        np.add(shifted(-taps), shifted(taps), out=pair)
        pair *= kernel[reach + taps]
        total += pair
    return total
