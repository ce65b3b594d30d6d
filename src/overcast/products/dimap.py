"""BEAM-DIMAP products of SNAP: `<name>.dim` beside `<name>.data/<band>.img` and `.hdr`.

Layout: help page "BEAM-DIMAP Product Format" and `DimapHeaderWriter` of SNAP (github.com/senbox-org/snap-engine). Names
of metadata are attributes there: `<MDATTR name="PASS">`.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from overcast.errors import InputError
from overcast.products.product import Product, ProductBand, Stated, polarisation
from overcast.raster.units import Unit
from overcast.reading import parse_xml, read_bytes, shortened

_UNITS = {
    "intensity": Unit.LINEAR_POWER,
    "amplitude": Unit.AMPLITUDE,
    "intensity_db": Unit.DECIBEL,
    "amplitude_db": Unit.DECIBEL,
    "db": Unit.DECIBEL,
}


def dimap_product(path: Path) -> Product:
    """The bands of a product that are named after polarisations, without complex parts.

    Raises InputError where there are none, or several of one polarisation.
    """
    root = parse_xml(read_bytes(path, InputError, "copy it again"), str(path), InputError, "copy it again")
    if root.tag != "Dimap_Document":
        raise InputError(f"{path} is not a product of SNAP: it holds {shortened(root.tag, 40)!r}; name its images.")
    folder = path.with_suffix(".data")
    images = {image.stem: image for image in sorted(folder.glob("*.img"))} if folder.is_dir() else {}
    if not images:
        raise InputError(f"{path} has no images in {folder.name} beside it; copy that folder too.")
    described = {one.findtext("BAND_NAME", ""): one for one in root.iter("Spectral_Band_Info")}
    bands = [
        ProductBand(image, name, 1, None, _stated(stem, image, described.get(stem)))
        for stem, image in images.items()
        if (name := polarisation(stem)) and not stem.lower().startswith(("i_", "q_", "phase_"))
    ]
    if not bands:
        some = ", ".join(list(images)[:4])
        raise InputError(f"{path} has bands whose names say no polarisation ({some}); name them: HH=BAND.img.")
    _require_once(path, bands)
    return Product("product of SNAP", tuple(bands), (path,))


def _require_once(path: Path, bands: list[ProductBand]) -> None:
    names = [band.name for band in bands]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        both = " and ".join(band.path.name for band in bands if band.name == twice)
        raise InputError(f"{path} has {both}, both {twice}; name the ones that are meant: {twice}={bands[0].path}.")


def _stated(stem: str, image: Path, described: ET.Element | None) -> Stated:
    """Unit and nodata by the product's description, else by the header of the image and the band's name."""
    unit = "" if described is None else (described.findtext("PHYSICAL_UNIT") or "")
    nodata: tuple[float, ...] = ()
    if described is not None and (described.findtext("NO_DATA_VALUE_USED") or "").strip().lower() == "true":
        nodata = _number(described.findtext("NO_DATA_VALUE"))
    if not unit:
        unit = _unit_in(image.with_suffix(".hdr"))
    if stem.lower().endswith("_db"):
        return Stated(Unit.DECIBEL, nodata)
    return Stated(_UNITS.get(unit.strip().lower()), nodata)


def _unit_in(header: Path) -> str:
    """`intensity` of `description = {Sigma0_HH - Unit: intensity}`."""
    try:
        text = header.read_text(encoding="latin-1")[:4096]
    except OSError:
        return ""
    return text.partition("Unit:")[2].partition("}")[0]


def _number(text: str | None) -> tuple[float, ...]:
    try:
        return (float(text or ""),)
    except ValueError:
        return ()
