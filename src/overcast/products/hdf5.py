"""HDF5 products with a data set a polarisation: OPERA RTC-S1 and NISAR GCOV.

Layout: `xCoordinates`, `yCoordinates` and `projection` (an EPSG code) lie beside the data sets `VV`, `VH`, or `HHHH` in
NISAR's covariances (OPERA RTC-S1 product specification, JPL D-108758; github.com/opera-adt/RTC; NISAR GCOV product
specification, JPL D-102274).

A file may point to others by links, external storage and virtual data sets: none of them is followed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine

from overcast.errors import InputError
from overcast.products.product import Product, ProductBand, Stated, polarisation
from overcast.raster.composed import Hdf5Image
from overcast.raster.units import Unit
from overcast.reading import first_line

ENDINGS = frozenset({".h5", ".hdf5", ".he5", ".nc"})
MOST_OBJECTS = 20_000
LONGEST_TEXT = 200
_LINEAR = re.compile(r"OPERA_L2_RTC-S1_|/GCOV/", re.IGNORECASE)


def hdf5_product(path: Path) -> Product:
    """The data sets of polarisations that lie on a map grid, and the short texts of the file.

    Raises InputError where there are none, or several of one polarisation.
    """
    h5py = _library(path)
    try:
        with h5py.File(path, "r") as file:
            objects = dict(_objects(h5py, file, ""))
            images = [name for name, one in objects.items() if one.ndim == 2 and min(one.shape) > 1]
            bands = [ProductBand(path, pol, 1, name, stated_of(path, name)) for name in images if (pol := _name(name))]
            placed = [band for band in bands if _grid_names(str(band.inside)).issubset(objects)]
            facts = tuple((name.rpartition("/")[2], text) for name, one in objects.items() if (text := _text(one)))
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read as HDF5 ({first_line(error)}); copy it again.") from error
    if not placed:
        raise _unplaced(path, images, bands)
    names = [band.name for band in placed]
    if len(set(names)) < len(names):
        found = ", ".join(str(band.inside) for band in placed)
        raise InputError(f'{path} holds {found}; name one of each: {placed[0].name}=HDF5:"{path}":/{placed[0].inside}.')
    return Product("HDF5", tuple(placed), (), facts)


def hdf5_image(path: Path, inside: str) -> Hdf5Image:
    """A data set with the grid beside it. Raises InputError where it is not there, or lies on no even grid in a CRS."""
    h5py = _library(path)
    try:
        with h5py.File(path, "r") as file:
            objects = dict(_objects(h5py, file, ""))
            one = objects.get(inside)
            if one is None:
                raise InputError(f"{path} has no data set {inside}; it has {', '.join(list(objects)[:8]) or 'none'}.")
            if one.ndim != 2 or not _grid_names(inside).issubset(objects):
                names = [name for name, other in objects.items() if other.ndim == 2]
                raise _unplaced(path, names, [ProductBand(path)])
            group = inside.rpartition("/")[0]
            across, down = (_even(objects[f"{group}/{axis}Coordinates"][()]) for axis in "xy")
            code = int(np.ravel(objects[f"{group}/projection"][()])[0])
            fill = one.attrs.get("_FillValue")
            dtype = {"complex64": "complex64"}.get(str(one.dtype), str(one.dtype.newbyteorder("=")))
            height, width = one.shape
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise InputError(f"{path}: {inside} cannot be read ({first_line(error)}); copy the file again.") from error
    transform = Affine(across[1], 0, across[0] - across[1] / 2, 0, down[1], down[0] - down[1] / 2)
    nodata = None if fill is None else float(np.real(np.ravel(fill)[0]))
    return Hdf5Image(path, inside, height, width, dtype, transform, f"EPSG:{code}", nodata)


def _even(places: Any) -> tuple[float, float]:
    """First of a row of pixel centres, and their distance. Raises ValueError where it varies."""
    found = np.asarray(places, np.float64).ravel()
    steps = np.diff(found)
    if len(steps) == 0 or steps[0] == 0 or np.abs(steps / steps.mean() - 1).max() > 1e-3:
        raise ValueError("its coordinates are not evenly spaced")
    return float(found[0]), float(steps.mean())


def _library(path: Path) -> Any:
    try:
        import h5py  # optional
    except ImportError:
        raise InputError(
            f"{path} is HDF5, which needs a further package: pip install 'overcast[hdf5]'; or convert its data sets: "
            f"gdal_translate HDF5:{path.name}://NAME scene.tif"
        ) from None
    return h5py


def _objects(h5py: Any, group: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Data sets by their paths, through hard links alone; those that lie in other files are left out."""
    pending, seen = [(name, group)], 0
    while pending:
        prefix, parent = pending.pop()
        for key in parent:
            seen += 1
            if seen > MOST_OBJECTS:
                raise ValueError(f"it holds more than {MOST_OBJECTS} objects")
            if not isinstance(parent.get(key, getlink=True), h5py.HardLink):
                continue
            one, place = parent[key], f"{prefix}/{key}"
            if isinstance(one, h5py.Group):
                pending.append((place, one))
            elif isinstance(one, h5py.Dataset) and not one.external and not one.is_virtual:
                yield place, one


def _name(place: str) -> str | None:
    return polarisation(place.rpartition("/")[2])


def _grid_names(place: str) -> set[str]:
    group = place.rpartition("/")[0]
    return {f"{group}/xCoordinates", f"{group}/yCoordinates", f"{group}/projection"}


def stated_of(path: Path, place: str) -> Stated:
    """The unit that the name of a product or of its group means."""
    return Stated(Unit.LINEAR_POWER if _LINEAR.search(f"{path.name}{place}") else None)


def _text(one: Any) -> str:
    """The value of a single short text or number, else nothing."""
    if one.ndim != 0 or one.dtype.kind not in "OSfiu":
        return ""
    value = one[()]
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text if len(text) <= LONGEST_TEXT else ""


def _unplaced(path: Path, images: list[str], bands: list[ProductBand]) -> InputError:
    some = ", ".join(images[:4]) + (", ..." if len(images) > 4 else "") or "none of two dimensions"
    if bands:
        why = "but no xCoordinates, yCoordinates and projection beside them, so nobody knows where they lie"
    else:
        why = "none of which is called after a polarisation and lies on a map grid"
    return InputError(
        f"{path} holds {len(images)} data sets ({some}), {why}; take the GeoTIFF of this product, or convert a data "
        "set that lies on a map: gdal_translate HDF5:FILE://NAME scene.tif."
    )
