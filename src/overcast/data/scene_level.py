"""The level of a scene: median and spread of its logarithmic intensity, by which it is standardised by itself.

A calibration constant or a gain adds the same number of decibels to every pixel, and amplitude and power have the same
decibels. After the median is taken away, none of these is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overcast.raster.plausible import sample_windows
from overcast.raster.radiometry import BandStatistics
from overcast.raster.sources import RasterSource
from overcast.raster.units import Unit

SAMPLE_SIDE = 128
"""Side in pixels of the windows, 8 by 8, of which a large scene's level is taken; a smaller one is read whole."""
NORMAL_SPREAD = 1.349
"""Distance of the quartiles of a normal distribution, in standard deviations."""
LEAST_SPREAD_DB = 0.5
"""Smallest spread: an image of one value becomes 0, not noise."""
LOWEST, HIGHEST = -6.0, 12.0
"""Bounds of what is standardised: intensity of exactly 0 has no logarithm, and single reflectors know no limit."""


def decibels(values: NDArray[np.floating], unit: Unit) -> NDArray[np.float32]:
    """Intensity of values (...) in 10 log10, float32; -inf where it is 0 or less.

    Raises ValueError for digital numbers, whose relation to intensity nobody knows.
    """
    given = values.astype(np.float32, copy=False)
    with np.errstate(divide="ignore", invalid="ignore"):
        match unit:
            case Unit.DECIBEL:
                return given
            case Unit.LINEAR_POWER:
                return np.asarray(np.where(given > 0, 10 * np.log10(given), -np.inf), np.float32)
            case Unit.AMPLITUDE:
                return np.asarray(np.where(given > 0, 20 * np.log10(given), -np.inf), np.float32)
            case Unit.DIGITAL_NUMBER:
                raise ValueError("digital numbers have no decibels")


@dataclass(frozen=True)
class SceneLevel:
    """Median and spread of a scene, per band, in dB."""

    unit: Unit
    """Unit of the scene's pixels as they are read."""
    median_db: tuple[float, ...]
    spread_db: tuple[float, ...]
    """Distance of the quartiles, in units of a normal distribution's standard deviation."""

    @classmethod
    def of(cls, values: NDArray[np.floating], unit: Unit) -> SceneLevel:
        """The level of pixels (C, N) that have data; 0 dB and the least spread where a band has none."""
        medians, spreads = [], []
        for band in decibels(values, unit):
            seen = band[np.isfinite(band)]
            low, middle, high = np.percentile(seen, [25, 50, 75]) if seen.size else (0.0, 0.0, 0.0)
            medians.append(float(middle))
            spreads.append(max(float(high - low) / NORMAL_SPREAD, LEAST_SPREAD_DB))
        return cls(unit, tuple(medians), tuple(spreads))

    @property
    def sentence(self) -> str:
        """In words, for metadata."""
        bands = zip(self.median_db, self.spread_db, strict=True)
        return ", ".join(f"median {median:.4f} dB, spread {spread:.4f} dB" for median, spread in bands)

    def apply(self, values: NDArray[np.floating], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        """(C, H, W) standardised logarithms between `LOWEST` and `HIGHEST`; 0 where `valid` (H, W) is False."""
        median, spread = (np.asarray(part, np.float32)[:, None, None] for part in (self.median_db, self.spread_db))
        scaled = decibels(values, self.unit) - median
        scaled /= spread
        np.clip(scaled, LOWEST, HIGHEST, out=scaled)
        np.copyto(scaled, np.float32(0), where=~valid)
        return scaled


class LevelledStatistics(BandStatistics):
    """Statistics of training pixels, for pixels that are standardised by a scene's own level before."""

    level: SceneLevel

    @classmethod
    def at(cls, statistics: BandStatistics, level: SceneLevel) -> LevelledStatistics:
        """The statistics of a training for a scene of this level."""
        return cls(mean=statistics.mean, std=statistics.std, level=level)

    def standardise(self, values: NDArray[np.floating], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        """(C, H, W) float32 of pixels in the scene's unit; 0 where `valid` (H, W) is False."""
        return super().standardise(self.level.apply(values, valid), valid)


def level_of(source: RasterSource, unit: Unit) -> SceneLevel:
    """The level of a whole scene: of all of a small one, else of windows spread evenly, at full resolution.

    Overviews would not do: they average speckle away, and with it most of the spread. The result depends on the
    pixels alone, so it is the same for tiles, parts and a run that goes on.
    """
    found = (source.read(window) for window in sample_windows(source.georeference, SAMPLE_SIDE))
    return SceneLevel.of(np.concatenate([pixels.values[:, pixels.valid] for pixels in found], axis=1), unit)
