"""Images that lie as the radar saw them: placed by ground control points or polynomials, not by a map grid."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from overcast.errors import InputError
from overcast.raster.addresses import address, file_name
from overcast.reading import shortened

_ORDER = (
    (r"^s1[a-d][-_]|sentinel-?1", "Sentinel-1 RTC, ready from OPERA (RTC-S1) or on demand from ASF (HyP3)"),
    (r"^capella", "Capella GEO"),
    (r"umbra", "Umbra GEC"),
    (r"iceye", "ICEYE orthorectified GRD"),
    (r"^(tsx|tdx|paz)", "TerraSAR-X or PAZ EEC"),
    (r"^rs2|radarsat", "RADARSAT-2 SSG or SPG"),
    (r"^csk|^csg|cosmo", "COSMO-SkyMed GTC"),
    (r"^alos|^img-|palsar", "ALOS level 2.1 or 1.5, geocoded"),
)
"""Beginning or part of a product's name, and the product of the same mission that is on the ground."""


def in_radar_geometry(dataset: Any) -> bool:
    """True where an open image has control points or polynomials instead of a place on the map."""
    mapped = dataset.crs is not None and not dataset.transform.is_identity
    return not mapped and bool(dataset.gcps[0] or dataset.rpcs is not None)


def order_instead(path: Path) -> str:
    """The product to order, by a file's name or that of the folders that it lies in."""
    names = [file_name(path).lower(), *(part.lower() for part in path.parts[-4:-1])]
    found = (product for pattern, product in _ORDER if any(re.search(pattern, name) for name in names))
    return next(found, "a terrain-corrected product of this scene (RTC, GEO, GEC or ORTHO)")


def refuse_radar_geometry(path: Path, dataset: Any) -> None:
    """Raise InputError, which says what to do, where an image is in radar geometry."""
    if not in_radar_geometry(dataset):
        return
    points = "ground control points" if dataset.gcps[0] else "rational polynomials"
    flat = "; on flat ground overcast prepare --gcps places it" if dataset.gcps[0] else ""
    raise InputError(
        f"{shortened(address(path), 60)} lies in radar geometry ({points} only), not on a map grid; take "
        f"{order_instead(path)}, or correct it for terrain with SNAP{flat}."
    )
