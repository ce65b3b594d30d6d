"""Which product a path is: a folder, an archive, or a file that names others."""

from __future__ import annotations

from pathlib import Path

from overcast.products.dimap import dimap_product
from overcast.products.entries import entries
from overcast.products.folders import folder_product
from overcast.products.hdf5 import ENDINGS as HDF5_ENDINGS
from overcast.products.hdf5 import hdf5_product
from overcast.products.product import Product
from overcast.products.safe import is_safe, safe_product
from overcast.raster.addresses import is_remote


def find_product(path: Path) -> Product | None:
    """The bands of a product; None for an image, which stands for itself, and for what does not exist.

    Raises InputError where a product has no image, or several that could be meant.
    """
    if is_remote(path) or not path.exists():
        return None
    ending = path.suffix.lower()
    if path.is_dir() or ending == ".zip":
        return _of_files(path)
    if path.name.lower() == "manifest.safe":
        return _of_files(path.parent)
    if ending == ".dim":
        return dimap_product(path)
    return hdf5_product(path) if ending in HDF5_ENDINGS else None


def _of_files(place: Path) -> Product:
    inside = sorted(place.glob("*.dim")) if place.is_dir() else []
    if len(inside) == 1:
        return dimap_product(inside[0])
    files = entries(place)
    return safe_product(place, files) if is_safe(files) else folder_product(place, files)
