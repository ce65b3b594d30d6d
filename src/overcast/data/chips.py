"""Chip records and the one Dataset that turns them into samples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Bounds:
    """A rectangle on the ground, in metres of `crs`. Touching rectangles do not overlap."""

    left: float
    bottom: float
    right: float
    top: float
    crs: str


@dataclass(frozen=True)
class Chip:
    """One co-registered sample on disk."""

    key: str
    """Unique name within the catalog."""
    place: str
    """Group that splits never cut and that the bootstrap resamples: one piece of ground."""
    sar: tuple[Path, ...]
    """Files whose bands, concatenated in this order, are the declared SAR bands."""
    optical: tuple[Path, ...]
    """Same for the optical bands; empty when there is no optical image."""
    mask: Path | None = None
    """Label raster on the same grid."""
    footprints: Path | None = None
    """Vector file of footprints (exclusive with `mask`)."""
    bounds: Bounds | None = None
    """Ground covered; None for files without georeference."""
    rotate_180: bool = False
    """True where SAR, optical and label are rotated by 180 degrees to reach the catalog's look direction."""
