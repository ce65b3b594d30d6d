"""Which GDAL driver opens a file: chosen by the ending of its name, checked by its first bytes.

GDAL by itself tries every driver on every file. Some of them follow what the file says: they read other files of the
machine, ask servers, or fill a cache file at any path. So one driver is named at each opening.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from overcast.errors import InputError

HEAD_BYTES = 16
"""Number of bytes that decide."""


class Driver(StrEnum):
    """GDAL drivers of rasters that are read, by GDAL's names."""

    GEOTIFF = "GTiff"
    PNG = "PNG"
    JPEG = "JPEG"
    JPEG2000 = "JP2OpenJPEG"
    ENVI = "ENVI"
    """Raw values beside a header of text, `scene.hdr`; also the images of BEAM-DIMAP."""
    VIRTUAL = "VRT"


ENDINGS: Mapping[str, Driver] = {
    ".tif": Driver.GEOTIFF,
    ".tiff": Driver.GEOTIFF,
    ".png": Driver.PNG,
    ".jpg": Driver.JPEG,
    ".jpeg": Driver.JPEG,
    ".jp2": Driver.JPEG2000,
    ".j2k": Driver.JPEG2000,
    ".img": Driver.ENVI,
    ".vrt": Driver.VIRTUAL,
}
_SIGNATURES: Mapping[Driver, tuple[bytes, ...]] = {
    Driver.GEOTIFF: (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    Driver.PNG: (b"\x89PNG\r\n\x1a\n",),
    Driver.JPEG: (b"\xff\xd8\xff",),
    Driver.JPEG2000: (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
    Driver.ENVI: (b"ENVI",),
    Driver.VIRTUAL: (b"<VRTDataset", b"<?xml"),
}


def driver_by_name(path: Path) -> Driver:
    """The driver that the ending asks for. Raises InputError for another ending.

    >>> driver_by_name(Path("town.TIF"))
    <Driver.GEOTIFF: 'GTiff'>
    """
    driver = ENDINGS.get(path.suffix.lower())
    if driver is None:
        raise InputError(
            f"{path} does not end in {', '.join(ENDINGS)}, and images of other kinds are not read; "
            "convert it, for example: gdal_translate INPUT scene.tif."
        )
    return driver


def driver_by_content(head: bytes) -> Driver | None:
    """The driver whose files begin so; None where no driver's do."""
    return next((driver for driver, starts in _SIGNATURES.items() if head.startswith(starts)), None)


def local_driver(path: Path) -> Driver:
    """The driver of a local file by its name. Raises InputError where its first bytes are not those of that driver."""
    driver = driver_by_name(path)
    found = driver_by_content(read_head(_envi_header(path) if driver is Driver.ENVI else path))
    if found is driver:
        return driver
    content = f"is {found} inside" if found is not None else "is something else inside"
    raise InputError(
        f"{path} cannot be read as an image (it is called {path.suffix}, but {content}); it is damaged, truncated or "
        "of another format: copy, rename or convert it again."
    )


def read_head(path: Path) -> bytes:
    """The first bytes of a file, fewer where it is shorter. Raises InputError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error


def _envi_header(path: Path) -> Path:
    """The header that GDAL takes: `scene.hdr`, or `scene.img.hdr`."""
    for header in (path.with_suffix(".hdr"), path.with_name(f"{path.name}.hdr")):
        if header.is_file():
            return header
    raise InputError(f"{path} has no header {path.stem}.hdr beside it; copy that too, or convert the image to GeoTIFF.")
