"""What the command names: images, their bands, data sets of HDF5 files, and products, which stand for images."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from overcast.errors import InputError, RadiometryError
from overcast.fleet.stac_items import record_of, stac_scenes
from overcast.products.entries import on_disk
from overcast.products.found import find_product
from overcast.products.hdf5 import stated_of
from overcast.products.product import Product, ProductBand, Stated
from overcast.raster.addresses import address, file_name, located

_HDF5 = re.compile(r'HDF5:"?(?P<path>[^"]+?)"?:/(?P<inside>/[^"]+)')
"""GDAL's name of a data set: `HDF5:"file.h5"://group/name`."""


@dataclass(frozen=True)
class Input:
    """An argument of the command: `scene.tif`, `HV=b.tif`, or `HV=scene.tif@2` for its second band."""

    name: str | None
    path: Path
    index: int | None
    """Counted from 1; None for all bands."""
    inside: str | None = None
    """Data set of an HDF5 file."""
    stated: Stated = field(default_factory=Stated)
    """What the product that it comes from says of its values."""


@dataclass(frozen=True)
class Asked:
    """All arguments, products replaced by their images."""

    inputs: tuple[Input, ...]
    documents: tuple[Path, ...] = ()
    """Files of products that may say where the radar stood."""
    facts: tuple[tuple[str, str], ...] = ()
    """Names and texts of metadata that no document holds."""

    @property
    def images(self) -> list[Path]:
        """Files that open as images by themselves."""
        return list(dict.fromkeys(one.path for one in self.inputs if one.inside is None))

    @property
    def others(self) -> list[Path]:
        """Further files on disk that the scene depends on."""
        tables = [one.stated.calibration for one in self.inputs if one.stated.calibration is not None]
        inside = [one.path for one in self.inputs if one.inside is not None]
        archives = [on_disk(one.path) for one in self.inputs if on_disk(one.path) != one.path]
        return [on_disk(path) for path in (*inside, *archives, *tables, *self.documents)]


def parse_input(text: str | Path) -> Input:
    """An argument as band name, file and band.

    >>> parse_input("HV=town.tif@2").path, parse_input("HV=town.tif@2").index
    (PosixPath('town.tif'), 2)
    >>> parse_input('VV=HDF5:"a b.h5"://data/VV').inside
    '/data/VV'
    """
    place, name = str(text), None
    left, equals, right = place.partition("=")
    if equals and left.isidentifier() and not os.path.lexists(place):
        name, place = left.upper(), right
    inside = _HDF5.fullmatch(place)
    if inside is not None:
        path = located(inside["path"])
        return Input(name, path, 1, inside["inside"], stated_of(path, inside["inside"]))
    numbered = re.fullmatch(r"(.+)@([1-9][0-9]*)", place)
    if numbered and not os.path.lexists(place):
        return Input(name, located(numbered[1]), int(numbered[2]))
    return Input(name, located(place), None)


def ask(inputs: Sequence[str | Path], bands: Sequence[str]) -> Asked:
    """The arguments with every product replaced by its images.

    Args:
        inputs: As the user wrote them.
        bands: Of the model: which assets of a STAC item are taken where it has several images.

    Raises:
        InputError: A product has no image, or several that could be meant.
        RadiometryError: A product lacks the polarisation that is asked of it.
    """
    found: list[Input] = []
    documents: list[Path] = []
    facts: list[tuple[str, str]] = []
    for text in inputs:
        one = parse_input(text)
        product = None if one.inside is not None or one.index is not None else _product(str(text), one, bands)
        if product is None:
            found.append(one)
            continue
        found += [_of(band) for band in _chosen(product, one)]
        documents += product.documents
        facts += product.facts
    return Asked(tuple(found), tuple(dict.fromkeys(documents)), tuple(facts))


def _product(text: str, one: Input, bands: Sequence[str]) -> Product | None:
    record = record_of(text if one.name is None else text.partition("=")[2])
    if record is None:
        return find_product(one.path)
    scenes = list(stac_scenes(record[0], bands, record[1]))
    if len(scenes) > 1:
        some = ", ".join(scene.name for scene in scenes[:3])
        raise InputError(f"{address(one.path)} holds {len(scenes)} scenes ({some}, ...); name the item of one of them.")
    names = scenes[0].bands or (None,) * len(scenes[0].files)
    images = tuple(ProductBand(path, name) for path, name in zip(scenes[0].files, names, strict=True))
    return Product("STAC item", images, (record[0],) if record[0].is_file() else ())


def _chosen(product: Product, one: Input) -> Sequence[ProductBand]:
    """The bands of a product; the one that is named, where one is."""
    if one.name is None:
        return product.bands
    named = [band for band in product.bands if band.name == one.name] or [
        band for band in product.bands if len(product.bands) == 1
    ]
    if not named:
        has = ", ".join(str(band.name or file_name(band.path)) for band in product.bands)
        raise RadiometryError(f"{address(one.path)} ({product.kind}) has {has} and no {one.name}; name another band.")
    return [ProductBand(band.path, one.name, band.index, band.inside, band.stated) for band in named[:1]]


def _of(band: ProductBand) -> Input:
    return Input(band.name, band.path, band.index, band.inside, band.stated)
