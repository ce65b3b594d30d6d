"""From values to brightness: radar in dB between percentiles, photographs as they are."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from overcast.raster.units import Unit

LOW_PERCENT, HIGH_PERCENT = 2.0, 98.0
"""Speckle has long tails: brightness spans what lies between."""
LOG_FACTORS = {Unit.LINEAR_POWER: 10.0, Unit.AMPLITUDE: 20.0, Unit.DIGITAL_NUMBER: 20.0}
"""dB = factor times the decimal logarithm."""
SMALLEST = 1e-10
"""Values that no radar measures: they would be -200 dB in amplitude."""
JPEG_QUALITY = 85
NO_DATA = -1000
"""What stands in tiles of probability where there are no data; elsewhere thousandths, 0 .. 1000."""
_SEA_LEVEL = 32768
"""Offset of the Terrarium encoding of heights: red * 256 + green is the height plus this."""

Stack = NDArray[np.float32]


@dataclass(frozen=True)
class Stretch:
    """How the values of some bands become brightness."""

    log_factor: float | None
    """Values are taken to dB with it first; None where they are shown as they are."""
    low: tuple[float, ...]
    """Value of each band that is black."""
    high: tuple[float, ...]
    """Value of each band that is white."""

    def bytes_of(self, values: Stack) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """(C, H, W) brightness, and (H, W) where all bands have data."""
        levels = decibels(values, self.log_factor)
        low, high = (np.array(side, np.float32)[:, None, None] for side in (self.low, self.high))
        valid = np.asarray(np.isfinite(levels).all(axis=0), np.bool_)
        share = np.nan_to_num((levels - low) / np.maximum(high - low, 1e-6))
        return (np.clip(share, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8), valid


def decibels(values: Stack, log_factor: float | None) -> Stack:
    """Values in dB; what has no logarithm becomes NaN."""
    if log_factor is None:
        return values
    with np.errstate(invalid="ignore"):
        return np.where(values > SMALLEST, log_factor * np.log10(np.maximum(values, SMALLEST)), np.nan).astype(
            np.float32
        )


def radar_stretch(sample: Stack, unit: Unit | None) -> Stretch:
    """For (C, N) values of radar: percentiles of each band in dB.

    Where the unit was not declared, values that are never negative and span more than a factor of 30 are taken for
    amplitudes; others are shown as they are. This decides about brightness alone, never about a measurement.
    """
    factor = LOG_FACTORS.get(unit) if unit is not None else 20.0 if _looks_linear(sample) else None
    return _percentiles(decibels(sample, factor), factor)


def photo_stretch(sample: Stack, dtype: str) -> Stretch:
    """For (C, N) values of a photograph: bytes as they are, other values between percentiles."""
    if dtype == "uint8":
        return Stretch(None, (0.0,) * len(sample), (255.0,) * len(sample))
    return _percentiles(sample, None)


def _looks_linear(sample: Stack) -> bool:
    if not sample.size or float(sample.min()) < 0:
        return False
    low, high = np.percentile(sample, [LOW_PERCENT, HIGH_PERCENT])
    return bool(high > 30 * max(float(low), SMALLEST))


def _percentiles(sample: Stack, factor: float | None) -> Stretch:
    bands = [band[np.isfinite(band)] for band in sample]
    limits = [np.percentile(band, [LOW_PERCENT, HIGH_PERCENT]) if band.size else (0.0, 1.0) for band in bands]
    return Stretch(factor, tuple(float(low) for low, _ in limits), tuple(float(high) for _, high in limits))


def picture(brightness: NDArray[np.uint8], valid: NDArray[np.bool_], *, small: bool = False) -> tuple[bytes, str]:
    """A tile of 1 or 3 bands and its media type: JPEG, or PNG where parts have no data.

    `small` takes WebP for the latter, which needs more time and less space.
    """
    grey = len(brightness) == 1
    pixels = brightness[0] if grey else np.moveaxis(brightness, 0, 2)
    content = io.BytesIO()
    if valid.all():
        Image.fromarray(pixels).save(content, "JPEG", quality=JPEG_QUALITY)
        return content.getvalue(), "image/jpeg"
    alpha = np.where(valid, 255, 0).astype(np.uint8)
    layers = Image.fromarray(np.dstack([pixels, alpha]))
    if small:
        layers.convert("RGBA").save(content, "WEBP", quality=80)
        return content.getvalue(), "image/webp"
    layers.save(content, "PNG", compress_level=1)
    return content.getvalue(), "image/png"


def probability_picture(probability: NDArray[np.float32]) -> tuple[bytes, str]:
    """(H, W) probabilities as PNG: in thousandths, as the heights of the Terrarium encoding, which browsers colour."""
    known = np.isfinite(probability)
    level = np.rint(np.clip(np.nan_to_num(probability), 0.0, 1.0) * 1000).astype(np.int32)
    code = np.where(known, level, NO_DATA) + _SEA_LEVEL
    content = io.BytesIO()
    pixels = np.dstack([code >> 8, code & 0xFF, np.zeros_like(code)]).astype(np.uint8)
    Image.fromarray(pixels).save(content, "PNG", compress_level=1)
    return content.getvalue(), "image/png"
