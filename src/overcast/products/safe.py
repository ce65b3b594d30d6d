"""Sentinel-1 products: `<name>.SAFE` with manifest.safe, measurement/, annotation/ and annotation/calibration/.

Layout and names: Sentinel-1 Product Specification (ESA, S1-RS-MDA-52-7441), as the open readers of GDAL (`SAFE` driver)
and Nansat (`mapper_sentinel1_l1.py`) take it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from overcast.errors import InputError
from overcast.products.entries import ending, folder_of
from overcast.products.product import Product, ProductBand, Stated, polarisation
from overcast.raster.addresses import file_name
from overcast.raster.units import Unit

_IMAGE = re.compile(r"s1[a-d]-[a-z0-9]+-(?P<kind>grd|slc|ocn|raw)[a-z]?-[hv]{2}-", re.IGNORECASE)


def is_safe(files: Sequence[Path]) -> bool:
    """True where files are those of a Sentinel-1 product."""
    names = {file_name(file).lower() for file in files}
    return "manifest.safe" in names or any(_IMAGE.match(name) and name.endswith((".tiff", ".tif")) for name in names)


def safe_product(place: Path, files: Sequence[Path]) -> Product:
    """The detected images (GRD) of a product. Raises InputError where it has none, or complex ones (SLC)."""
    images = [file for file in files if ending(file) in {".tiff", ".tif"} and folder_of(file).lower() == "measurement"]
    if not images:
        raise InputError(
            f"{place} holds no image in measurement/; copy the whole product again, or take a GRD product."
        )
    kinds = {match["kind"].lower() for image in images if (match := _IMAGE.match(file_name(image)))}
    if "slc" in kinds:
        raise InputError(
            f"{place} is single-look complex (SLC), in bursts that have to be joined first; take the GRD product of "
            "the same scene, or Sentinel-1 RTC, ready from OPERA (RTC-S1) or on demand from ASF (HyP3)."
        )
    bands = tuple(
        ProductBand(image, polarisation(file_name(image)), 1, None, _stated(image, files)) for image in images
    )
    notes = [file for file in files if folder_of(file).lower() == "annotation" and ending(file) == ".xml"]
    return Product("Sentinel-1 GRD", bands, tuple(notes))


def _stated(image: Path, files: Sequence[Path]) -> Stated:
    """Digital numbers, 0 outside of the swath, with the table that is named after the image."""
    stem = Path(file_name(image)).stem.lower()
    tables = (file for file in files if file_name(file).lower() == f"calibration-{stem}.xml")
    return Stated(Unit.DIGITAL_NUMBER, (0.0,), next(tables, None))
