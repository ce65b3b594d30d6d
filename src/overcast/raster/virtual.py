"""Virtual rasters (.vrt) that a user names: mosaics and stacks of plain images that lie beside them, and nothing else.

What is allowed is copied into a new description, which GDAL is given instead of the file: no element that is not known
here, and no difference between two readers of XML, reaches it.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from overcast.errors import InputError
from overcast.raster.drivers import Driver, local_driver

LARGEST_BYTES = 64 * 2**20
SOURCE_DRIVERS = frozenset({Driver.GEOTIFF, Driver.PNG})
"""Drivers of sources. The head of such a file holds a zero byte, so that no driver can take it for a text."""
_ELEMENTS = frozenset(
    {
        *("VRTDataset", "SRS", "GeoTransform", "GCPList", "GCP", "Metadata", "MDI", "OverviewList", "MaskBand"),
        *("VRTRasterBand", "Description", "UnitType", "Offset", "Scale", "ColorInterp", "NoDataValue"),
        *("HideNoDataValue", "CategoryNames", "Category", "ColorTable", "Entry", "Histograms", "HistItem"),
        *("HistMin", "HistMax", "BucketCount", "IncludeOutOfRange", "Approximate", "HistCounts"),
        *("SimpleSource", "ComplexSource", "AveragedSource", "SourceFilename", "SourceBand", "SourceProperties"),
        *("SrcRect", "DstRect", "NODATA", "UseMaskBand", "ScaleOffset", "ScaleRatio", "LUT", "BlockXSize"),
        "BlockYSize",
    }
)


def checked_description(path: Path) -> tuple[str, tuple[Path, ...]]:
    """The XML of a virtual raster with its sources as absolute paths, and these.

    Raises InputError where the file is damaged, or holds anything but plain sources in its own folder.
    """
    root = _parse(path)
    folder = path.resolve().parent
    sources: dict[str, Path] = {}
    for element in root.iter():
        if element.tag not in _ELEMENTS or "subClass" in element.attrib:
            named = element.attrib.get("subClass", element.tag)
            raise InputError(f"{path} has the part {named!r}, and only plain mosaics and stacks are read; {_REMEDY}.")
        if element.tag == "SourceFilename":
            text = (element.text or "").strip()
            if text not in sources:
                sources[text] = _source(path, folder, text, relative=element.get("relativeToVRT") == "1")
            element.text = str(sources[text])
            element.set("relativeToVRT", "0")
        elif element.tag in {"SRS", "GCPList"}:
            require_no_address(path, " ".join([element.text or "", *element.attrib.values()]))
    return ET.tostring(root, encoding="unicode"), tuple(dict.fromkeys(sources.values()))


_REMEDY = "write it as GeoTIFF with gdal_translate"


def require_no_address(path: Path, crs: str) -> None:
    """Raise InputError where a coordinate reference system is, or holds, an address that might be fetched."""
    if "://" in crs:
        raise InputError(
            f"{path} names an address as its coordinate reference system; assign one by its code (EPSG:...)."
        )


def _parse(path: Path) -> ET.Element:
    if path.stat().st_size > LARGEST_BYTES:
        raise InputError(f"{path} is larger than any virtual raster; {_REMEDY}.")
    try:
        root = ET.parse(path).getroot()  # noqa: S314  # expat bounds entities and loads none
    except (ET.ParseError, OSError, ValueError, LookupError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as a virtual raster ({error}); {_REMEDY}.") from error
    if root.tag != "VRTDataset":
        raise InputError(f"{path} is not a virtual raster but {root.tag[:40]!r}; {_REMEDY}.")
    return root


def _source(path: Path, folder: Path, text: str, *, relative: bool) -> Path:
    """The absolute path of a source. Raises InputError unless it is a plain image in the folder or below."""
    source = (folder / text).resolve() if text and "\0" not in text else folder
    if not relative or Path(text).is_absolute() or folder not in source.parents:
        raise InputError(
            f"{path} takes pixels from {text[:200]!r}, which is not in its own folder; copy it there, or {_REMEDY}."
        )
    if not source.is_file():
        raise InputError(f"{path} takes pixels from {text[:200]!r}, which does not exist; copy it there too.")
    if local_driver(source) not in SOURCE_DRIVERS:
        raise InputError(f"{path} takes pixels from {text[:200]!r}, which is neither GeoTIFF nor PNG; {_REMEDY}.")
    return source
