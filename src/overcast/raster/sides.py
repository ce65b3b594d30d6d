"""Files that GDAL opens along with an image: overviews, masks, metadata.

GDAL opens them with whatever driver claims them, so each must be what its name says before the image is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from overcast.errors import InputError
from overcast.raster.drivers import Driver, driver_by_content, read_head

PICTURES = (".ovr", ".msk")
"""Endings of overviews and masks, behind the whole name of the image."""
_ERDAS, _ERDAS_BYTES = ".aux", b"EHFA_HEADER_TAG"
"""Overviews of ERDAS. GDAL opens what begins with this tag; a zero byte behind it makes it no text."""


def sides_of(path: Path) -> list[Path]:
    """The overviews and masks beside an image, and theirs, by the names that GDAL tries without listing the folder."""
    found = []
    for ending in PICTURES:
        for side in (path.with_name(path.name + ending), path.with_name(path.name + ending.upper())):
            if _is_there(side):
                found += [side, *(other for other in side.parent.iterdir() if _is_beside(other, side))]
    stems = (path.with_suffix(_ERDAS), path.with_name(path.name + _ERDAS))
    return found + [file for stem in stems for file in (stem, stem.with_suffix(_ERDAS.upper())) if _is_there(file)]


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long by its ending
        return False


def _is_beside(other: Path, side: Path) -> bool:
    return other.name.lower().startswith(side.name.lower() + ".") and is_side(other)


def is_side(path: Path) -> bool:
    """True where GDAL may take the file for the overviews or the mask of another."""
    return path.suffix.lower() in {*PICTURES, _ERDAS}


def side_driver(path: Path) -> str | None:
    """The driver that GDAL opens such a file with; None where it leaves the file alone.

    Raises InputError where that may be the driver of a text.
    """
    head, erdas = read_head(path), path.suffix.lower() == _ERDAS
    if erdas and not head.upper().startswith(_ERDAS_BYTES):
        return None
    if erdas and head == _ERDAS_BYTES + b"\0":
        return "HFA"
    if not erdas and driver_by_content(head) is Driver.GEOTIFF:
        return Driver.GEOTIFF.value
    raise InputError(f"{path} would be read as overviews or mask of the image beside it, but is not a TIFF; remove it.")


def require_no_pointer(path: Path, dataset: Any) -> None:
    """Raise InputError where the metadata of an open image, inside or in .aux.xml, send GDAL to other files."""
    if dataset.tags(ns="OVERVIEWS") or dataset.tags(ns="ProxyOverviewRequest"):
        raise InputError(f"{path} names another file as its overviews; remove that from its metadata (.aux.xml).")
