"""Augmentation: paired geometry that respects the radar's radar side, and drift of each sensor's radiometry.

Radar shadow and layover point away from and towards the sensor. A flip along the flight direction keeps that true; a
flip across it or a quarter turn shows the network scenes that cannot occur and was found to hurt on SpaceNet 6.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from overcast.data.cloud_cover import NO_CLOUDS, CloudCover
from overcast.data.warp import NO_WARP, WarpRange
from overcast.raster.radiometry import RadarSide, Radiometry


@dataclass(frozen=True)
class Symmetry:
    """One of the eight symmetries of a square: an optional transposition, then optional flips."""

    transpose: bool = False
    flip_rows: bool = False
    flip_cols: bool = False

    def apply(self, array: NDArray[Any]) -> NDArray[Any]:
        """A view of (..., h, w) turned; (..., w, h) where transposed."""
        turned = array.swapaxes(-1, -2) if self.transpose else array
        return turned[..., :: -1 if self.flip_rows else 1, :: -1 if self.flip_cols else 1]

    @property
    def inverse(self) -> Symmetry:
        """The symmetry that undoes this one."""
        return Symmetry(True, self.flip_cols, self.flip_rows) if self.transpose else self


class Geometry(StrEnum):
    """A group of symmetries to draw from."""

    NONE = "none"
    FLIP_LEFT_RIGHT = "flip_left_right"
    """Safe for a radar that looks from the north or the south."""
    FLIP_UP_DOWN = "flip_up_down"
    """Safe for a radar that looks from the east or the west."""
    DIHEDRAL = "dihedral"
    """All eight; for data without one radar side."""

    @property
    def symmetries(self) -> tuple[Symmetry, ...]:
        """The members of the group, the identity first."""
        match self:
            case Geometry.NONE:
                return (Symmetry(),)
            case Geometry.FLIP_LEFT_RIGHT:
                return Symmetry(), Symmetry(flip_cols=True)
            case Geometry.FLIP_UP_DOWN:
                return Symmetry(), Symmetry(flip_rows=True)
            case Geometry.DIHEDRAL:
                both = (False, True)
                return tuple(Symmetry(t, r, c) for t in both for r in both for c in both)
            case _:
                assert_never(self)


def safe_geometry(look: RadarSide | None) -> Geometry:
    """The largest group that keeps radar shadows on their side; every symmetry where no direction is declared."""
    match look:
        case RadarSide.NORTH | RadarSide.SOUTH:
            return Geometry.FLIP_LEFT_RIGHT
        case RadarSide.EAST | RadarSide.WEST:
            return Geometry.FLIP_UP_DOWN
        case None:
            return Geometry.DIHEDRAL
        case _:
            assert_never(look)


@dataclass(frozen=True)
class Jitter:
    """Half-widths of uniform draws, in standardised units: value * (1 + gain) + offset, once per sample.

    The common part moves all bands together (brightness, contrast, drift between strips); the band part moves each
    by itself (colour, imbalance between polarisations).
    """

    common_gain: float = 0.0
    common_offset: float = 0.0
    band_gain: float = 0.0
    band_offset: float = 0.0

    def __post_init__(self) -> None:
        if min(self.common_gain, self.common_offset, self.band_gain, self.band_offset) < 0:
            raise ValueError(f"jitter cannot be negative: {self}")
        if self.common_gain + self.band_gain >= 1:
            raise ValueError(f"gains of 1 or more would invert the image: {self}")

    def draw(self, bands: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Gains and offsets (bands, 1, 1) of one sample. Takes the same number of draws for every setting."""
        common, band = rng.uniform(-1, 1, 2), rng.uniform(-1, 1, (2, bands, 1, 1))
        gain = 1 + self.common_gain * common[0] + self.band_gain * band[0]
        offset = self.common_offset * common[1] + self.band_offset * band[1]
        return gain.astype(np.float32), offset.astype(np.float32)

    def apply(
        self, values: NDArray[np.float32], valid: NDArray[np.bool_], rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """Standardised (C, h, w) with one draw applied; 0 stays where `valid` (h, w) is False."""
        gain, offset = self.draw(len(values), rng)
        return values * gain + offset * valid


SAR_JITTER = Jitter(common_gain=0.05, common_offset=0.1, band_gain=0.03, band_offset=0.05)
"""About 1 dB of drift between strips where one standard deviation is 8 dB, and half of it between polarisations."""
OPTICAL_JITTER = Jitter(common_gain=0.15, common_offset=0.15, band_gain=0.05, band_offset=0.05)
"""Sun height and haze move all bands; white balance moves each a little."""


@dataclass(frozen=True)
class Augmentation:
    """What changes from draw to draw besides the crop."""

    geometry: Geometry
    sar: Jitter = field(default=SAR_JITTER)
    optical: Jitter = field(default=OPTICAL_JITTER)
    warp: WarpRange = NO_WARP
    """Scale and small turns; off by default."""
    clouds: CloudCover = NO_CLOUDS
    """Gaps in the optical image; off by default."""

    @classmethod
    def default(cls, radiometry: Radiometry) -> Augmentation:
        """The safe geometry of the declared radar side, and the default jitters."""
        return cls(safe_geometry(radiometry.sar.radar_side))

    def draw_symmetry(self, rng: np.random.Generator) -> Symmetry:
        """One member of the group, all equally likely."""
        symmetries = self.geometry.symmetries
        return symmetries[int(rng.integers(len(symmetries)))]
