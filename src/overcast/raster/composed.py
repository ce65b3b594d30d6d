"""Images made of others by this package: tiles as one scene, a data set of an HDF5 file on its grid.

GDAL is given a virtual raster as a text that is written here; nothing of it comes from a file but numbers and paths
that have been checked.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from rasterio.enums import MaskFlags

from overcast.errors import InputError
from overcast.raster.drivers import Driver
from overcast.raster.opening import open_dataset, open_description
from overcast.raster.tiles import box_in

_GDAL_TYPES: Mapping[str, str] = {
    "uint8": "Byte",
    "int8": "Int8",
    "uint16": "UInt16",
    "int16": "Int16",
    "uint32": "UInt32",
    "int32": "Int32",
    "float32": "Float32",
    "float64": "Float64",
    "complex64": "CFloat32",
    "complex128": "CFloat64",
}


@dataclass(frozen=True)
class Hdf5Image:
    """A data set of an HDF5 file and where it lies."""

    path: Path
    inside: str
    """Path of the data set in the file."""
    height: int
    width: int
    dtype: str
    transform: Affine
    crs: str
    nodata: float | None


def open_hdf5(image: Hdf5Image) -> Any:
    """The rasterio data set of an HDF5 data set that lies on a grid. Raises InputError or RasterioError."""
    if '"' in str(image.path) or '"' in image.inside or image.dtype not in _GDAL_TYPES:
        raise InputError(f"{image.path}: {image.inside} of type {image.dtype} cannot be read; convert it to GeoTIFF.")
    root = _root(image.width, image.height, image.transform, image.crs)
    band = _band(root, 1, image.dtype, image.nodata, None)
    source = ET.SubElement(band, "SimpleSource")
    name = f'HDF5:"{image.path.absolute()}":/{image.inside}'
    ET.SubElement(source, "SourceFilename", relativeToVRT="0").text = name
    ET.SubElement(source, "SourceBand").text = "1"
    return open_description(image.path, ET.tostring(root, encoding="unicode"))


def open_mosaic(paths: Sequence[Path]) -> Any:
    """The rasterio data set of local tiles that lie beside each other; later ones lie on top, missing pixels apart.

    Raises:
        InputError: A tile is no GeoTIFF of this machine, is masked, or the tiles differ in scale, offset or nodata.
        RasterioError: GDAL cannot read a tile.
    """
    with ExitStack() as stack:
        tiles = [stack.enter_context(_closing(path)) for path in paths]
        for path, tile in zip(paths, tiles, strict=True):
            _require_like(path, tile, tiles[0])
        first = tiles[0]
        boxes = [box for tile in tiles if (box := box_in(tile, first)) is not None]
        top, left, bottom, right = (
            int(pick(axis)) for pick, axis in zip((min, min, max, max), zip(*boxes, strict=True), strict=True)
        )
        root = _root(right - left, bottom - top, first.transform @ Affine.translation(left, top), first.crs.to_wkt())
        missing = _missing(paths[0], first, boxes, (top, left, bottom, right))
        for index in first.indexes:
            band = _band(root, index, first.dtypes[index - 1], missing[index - 1], first)
            for path, tile, box in zip(paths, tiles, boxes, strict=True):
                _source(band, path, tile, index, (box[0] - top, box[1] - left), missing[index - 1])
        for key, value in first.tags().items():
            ET.SubElement(_child(root, "Metadata"), "MDI", key=key).text = value
        return open_description(paths[0], ET.tostring(root, encoding="unicode"))


def _closing(path: Path) -> Any:
    if str(path).startswith("/vsi"):
        raise InputError(f"{path.name} is a tile on a server or in an archive, and those on this machine are joined.")
    dataset = open_dataset(path, remote_name=None, virtual=False)
    if dataset.driver != Driver.GEOTIFF:
        dataset.close()
        raise InputError(f"{path} is a tile of another kind than GeoTIFF; convert it with gdal_translate.")
    return dataset


def _require_like(path: Path, tile: Any, first: Any) -> None:
    same = (tile.scales, tile.offsets, tile.descriptions) == (first.scales, first.offsets, first.descriptions)
    if not same or repr(tile.nodatavals) != repr(first.nodatavals):
        raise InputError(f"{path} differs from the other tiles in bands, scale, offset or nodata; join them with GDAL.")
    if any(MaskFlags.per_dataset in flags for flags in tile.mask_flag_enums):
        raise InputError(f"{path} is a tile with a mask or alpha band; write it with a nodata value instead.")


def _missing(
    path: Path, first: Any, boxes: Sequence[tuple[int, int, int, int]], whole: tuple[int, int, int, int]
) -> list[float | None]:
    """For each band the value of ground that no tile covers. Raises InputError where there is such and no value."""
    rows, cols = np.array(boxes)[:, [0, 2]] - whole[0], np.array(boxes)[:, [1, 3]] - whole[1]
    edges = np.unique(rows), np.unique(cols)
    covered = np.zeros((len(edges[0]) - 1, len(edges[1]) - 1), np.bool_)
    for (top, bottom), (left, right) in zip(rows, cols, strict=True):
        (a, b), (c, d) = np.searchsorted(edges[0], (top, bottom)), np.searchsorted(edges[1], (left, right))
        covered[a:b, c:d] = True
    found: list[float | None] = []
    for nodata, dtype in zip(first.nodatavals, first.dtypes, strict=True):
        value = math.nan if nodata is None and dtype.startswith("float") else nodata
        if value is None and not covered.all():
            raise InputError(f"{path} and the other tiles leave gaps and declare no nodata value; join them with GDAL.")
        found.append(value)
    return found


def _root(width: int, height: int, transform: Affine, crs: str) -> ET.Element:
    root = ET.Element("VRTDataset", rasterXSize=str(width), rasterYSize=str(height))
    ET.SubElement(root, "SRS", dataAxisToSRSAxisMapping="1,2").text = crs
    ET.SubElement(root, "GeoTransform").text = ", ".join(f"{value:.17g}" for value in transform.to_gdal())
    return root


def _band(root: ET.Element, index: int, dtype: str, nodata: float | None, like: Any) -> ET.Element:
    if dtype not in _GDAL_TYPES:
        raise InputError(f"pixels of type {dtype} are not joined; convert them with gdal_translate -ot Float32.")
    band = ET.SubElement(root, "VRTRasterBand", dataType=_GDAL_TYPES[dtype], band=str(index))
    if nodata is not None:
        ET.SubElement(band, "NoDataValue").text = f"{nodata:.17g}"
    if like is not None:
        for tag, values, plain in (("Offset", like.offsets, 0.0), ("Scale", like.scales, 1.0)):
            if values[index - 1] != plain:
                ET.SubElement(band, tag).text = f"{values[index - 1]:.17g}"
        if like.descriptions[index - 1]:
            ET.SubElement(band, "Description").text = like.descriptions[index - 1]
        if like.units[index - 1]:
            ET.SubElement(band, "UnitType").text = like.units[index - 1]
    return band


def _source(band: ET.Element, path: Path, tile: Any, index: int, corner: tuple[int, int], nodata: float | None) -> None:
    plain = nodata is None or "complex" in tile.dtypes[index - 1]
    source = ET.SubElement(band, "SimpleSource" if plain else "ComplexSource")
    ET.SubElement(source, "SourceFilename", relativeToVRT="0").text = str(path.resolve())
    ET.SubElement(source, "SourceBand").text = str(index)
    size = {"xSize": str(tile.width), "ySize": str(tile.height)}
    ET.SubElement(source, "SrcRect", {"xOff": "0", "yOff": "0", **size})
    ET.SubElement(source, "DstRect", {"xOff": str(corner[1]), "yOff": str(corner[0]), **size})
    if not plain:
        ET.SubElement(source, "NODATA").text = f"{nodata:.17g}"


def _child(root: ET.Element, tag: str) -> ET.Element:
    found = root.find(tag)
    return ET.SubElement(root, tag) if found is None else found
