"""X- and C-band backscatter of surfaces, and the polarimetric covariance of the three scattering mechanisms."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from overcast.simulator.city.geometry import Surface


class Mechanism(IntEnum):
    """Scattering mechanisms; the first axis of power maps."""

    ODD = 0
    """Surfaces, trihedral corners."""
    DOUBLE = 1
    """Dihedral corners: two bounces."""
    VOLUME = 2
    """Crowns, hedges, rough mixtures."""


@dataclass(frozen=True)
class Backscatter:
    """Diffuse part sigma(35 deg) (cos / cos 35)^exponent, plus a lobe around the normal of rms slope `slope`."""

    diffuse_db: float
    exponent: float
    lobe_db: float
    slope: float
    volume_share: float
    """Share of the power that behaves like volume scattering."""


BACKSCATTER: dict[Surface, Backscatter] = {
    Surface.ASPHALT: Backscatter(-19.5, 2.5, 0.0, 0.12, 0.10),
    Surface.PAVING: Backscatter(-15.0, 2.0, 0.0, 0.15, 0.20),
    Surface.CONCRETE: Backscatter(-17.0, 2.5, 0.0, 0.12, 0.15),
    Surface.GRASS: Backscatter(-11.5, 1.5, -8.0, 0.3, 0.45),
    Surface.FIELD: Backscatter(-9.5, 1.5, -8.0, 0.3, 0.50),
    Surface.SOIL: Backscatter(-9.5, 2.0, -5.0, 0.3, 0.15),
    Surface.GRAVEL: Backscatter(-10.5, 1.5, -6.0, 0.3, 0.20),
    Surface.WATER: Backscatter(-28.0, 4.0, 6.0, 0.08, 0.05),
    Surface.TILE_RED: Backscatter(-11.0, 2.0, 5.0, 0.16, 0.15),
    Surface.TILE_DARK: Backscatter(-12.0, 2.0, 5.0, 0.16, 0.15),
    Surface.BITUMEN: Backscatter(-17.0, 2.0, 2.0, 0.12, 0.15),
    Surface.GRAVEL_ROOF: Backscatter(-12.0, 1.5, -3.0, 0.25, 0.25),
    Surface.METAL: Backscatter(-18.0, 3.0, 12.0, 0.08, 0.05),
    Surface.VEHICLE: Backscatter(-14.0, 2.0, 8.0, 0.15, 0.10),
    Surface.GARDEN: Backscatter(-9.5, 1.5, -8.0, 0.3, 0.50),
    Surface.SPORT: Backscatter(-13.5, 1.5, -8.0, 0.25, 0.40),
    Surface.PAINTED: Backscatter(-16.0, 3.0, 8.0, 0.10, 0.05),
    Surface.BALLAST: Backscatter(-10.5, 1.5, -6.0, 0.3, 0.20),
}
"""Sigma nought in dB. Order of magnitude after Ulaby and Dobson (1989), adjusted to real histograms."""

C_BAND_SHIFT_DB: dict[Surface, float] = {
    Surface.ASPHALT: -3.0,
    Surface.PAVING: -2.5,
    Surface.CONCRETE: -3.0,
    Surface.WATER: -1.0,
    Surface.GRASS: -2.0,
    Surface.FIELD: -1.5,
    Surface.GARDEN: -1.5,
    Surface.SPORT: -2.0,
    Surface.SOIL: -1.5,
    Surface.GRAVEL: -2.0,
    Surface.BALLAST: -2.0,
}
"""Diffuse part in C band relative to X band, dB; other surfaces: -1. In the sense of the tables of Ulaby and Dobson
(1989), where most surfaces are darker in C band, smooth ones more so; not fitted to C-band images."""
CROWN_DB = {"X": -6.5, "C": -8.0}
"""Sigma nought of crowns by band."""
CROWN_TRANSMISSION = {"X": 0.12, "C": 0.2}
"""Two-way power that passes a tree crown, by band."""

REFLECTION: dict[Surface, float] = {Surface.WATER: 0.9, Surface.ASPHALT: 0.8, Surface.CONCRETE: 0.8, Surface.METAL: 1.0}
"""Power reflected forward by the ground leg of a dihedral; other surfaces: 0.45."""

HH_VV_HV: dict[Mechanism, tuple[float, float, float]] = {
    Mechanism.ODD: (1.0, 1.1, 0.015),
    Mechanism.DOUBLE: (1.0, 0.65, 0.04),
    Mechanism.VOLUME: (1.0, 1.0, 0.33),
}
"""Power of HH, VV and of one cross-polar channel, relative to HH."""

COPOL_COHERENCE: dict[Mechanism, float] = {Mechanism.ODD: 0.75, Mechanism.DOUBLE: -0.55, Mechanism.VOLUME: 0.33}
"""Correlation of HH and VV: in phase for odd bounces, opposite for even, 1/3 for random dipoles (Freeman-Durden)."""


def table(field: str) -> NDArray[np.float32]:
    """(S,) values of one field of BACKSCATTER by surface code; decibels become linear."""
    values = np.array([getattr(BACKSCATTER[surface], field) for surface in Surface], np.float32)
    return np.power(np.float32(10), values / np.float32(10)) if field.endswith("_db") else values


def diffuse_table(band: str) -> NDArray[np.float32]:
    """(S,) linear diffuse part by surface code in band "X" or "C"."""
    if band == "X":
        return table("diffuse_db")
    shift = np.array([C_BAND_SHIFT_DB.get(surface, -1.0) for surface in Surface], np.float32)
    return np.asarray(table("diffuse_db") * np.power(np.float32(10), shift / np.float32(10)), np.float32)


def reflection_table() -> NDArray[np.float32]:
    """(S,) forward reflection by surface code."""
    return np.array([REFLECTION.get(surface, 0.45) for surface in Surface], np.float32)
