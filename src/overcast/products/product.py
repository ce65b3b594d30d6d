"""What is known of a product before a pixel is read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from overcast.raster.units import Unit

POLARISATIONS = ("HH", "HV", "VH", "VV")
ANCILLARY = frozenset(
    {
        *("mask", "masks", "ls", "layover", "shadow", "inc", "incidence", "angle", "dem", "area", "scatter", "rgb"),
        *("browse", "thumbnail", "thumb", "preview", "quicklook", "ql", "overview", "looks", "nlooks", "anf", "water"),
        *("wm", "csi", "sicd", "sidd", "cphd", "slope", "aspect", "footprint", "coverage", "coherence", "phase"),
    }
)
"""Words in the names of images that lie beside the radar's and are none."""


@dataclass(frozen=True)
class Stated:
    """What a product's own files say of a band's values."""

    unit: Unit | None = None
    nodata: tuple[float, ...] = ()
    calibration: Path | None = None
    """Sentinel-1's table of divisors of digital numbers."""


@dataclass(frozen=True)
class ProductBand:
    """Where a band of a product is."""

    path: Path
    name: str | None = None
    """Its polarisation; None where the image's own description says it."""
    index: int | None = None
    """Counted from 1; None for all bands of the file."""
    inside: str | None = None
    """Data set of an HDF5 file."""
    stated: Stated = field(default_factory=Stated)


@dataclass(frozen=True)
class Product:
    """The bands of one scene."""

    kind: str
    """For people."""
    bands: tuple[ProductBand, ...]
    documents: tuple[Path, ...] = ()
    """Files that may say where the radar stood."""
    facts: tuple[tuple[str, str], ...] = ()
    """Names and texts of metadata that no document holds."""


def words(text: str) -> list[str]:
    """Letters and digits that stand together, in small letters.

    >>> words("S1A_IW-grd.VV")
    ['s1a', 'iw', 'grd', 'vv']
    """
    return [word for word in re.split(r"[^a-z0-9]+", text.lower()) if word]


def polarisation(text: str) -> str | None:
    """The polarisation that alone stands in a name; NISAR writes a power as the product of a channel with itself.

    >>> polarisation("Sigma0_VV_db"), polarisation("HHHH"), polarisation("HH_VV")
    ('VV', 'HH', None)
    """
    names = {name.lower(): name for name in POLARISATIONS} | {2 * name.lower(): name for name in POLARISATIONS}
    found = {names[word] for word in words(text) if word in names}
    return found.pop() if len(found) == 1 else None


def is_ancillary(name: str) -> bool:
    """True where an image's name says that it is none of the radar's own."""
    return not ANCILLARY.isdisjoint(words(name))
