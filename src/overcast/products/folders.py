"""Folders and archives with a file a polarisation: OPERA RTC-S1, ASF HyP3 RTC, Capella GEO, Umbra GEC and others.

Names: product guide of HyP3 RTC (hyp3-docs.asf.alaska.edu), OPERA RTC-S1 product specification (JPL D-108758), Capella
SAR products format specification, Umbra's product guide. Other files beside the images are recognised by their names:
`_mask`, `_dem`, `_inc_map`, `_ls_map`, `_rgb`, `_preview`, `_CSI`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from overcast.errors import InputError
from overcast.products.entries import ending
from overcast.products.product import POLARISATIONS, Product, ProductBand, Stated, is_ancillary, polarisation
from overcast.raster.addresses import file_name
from overcast.raster.units import Unit

_RASTERS = frozenset({".tif", ".tiff"})
_HYP3 = re.compile(r"_RTC\d\d_G_[gs](?P<scale>[pad])[uw][nf][ec][dm]_", re.IGNORECASE)
"""`G`: by GAMMA; gamma or sigma nought; power, amplitude or decibel; and four further letters."""
_HYP3_UNITS = {"p": Unit.LINEAR_POWER, "a": Unit.AMPLITUDE, "d": Unit.DECIBEL}
_TILE = re.compile(r"^(?P<scene>.+)-\d{10}-\d{10}$")
"""Earth Engine cuts large exports: `name-<first row>-<first column>.tif`."""


def folder_product(place: Path, files: Sequence[Path]) -> Product:
    """The radar's images of a folder or archive: one a polarisation, one alone, or the tiles of one export.

    Raises InputError where there are none, or it is ambiguous which are meant.
    """
    rasters = [file for file in files if ending(file) in _RASTERS]
    if not rasters:
        raise InputError(f"{place} holds no GeoTIFF and is not a known product; name the files of the scene.")
    images = [file for file in rasters if not is_ancillary(Path(file_name(file)).stem)] or rasters
    named = [(file, polarisation(Path(file_name(file)).stem)) for file in images]
    chosen = [(file, name) for file, name in named if name is not None] or named
    _require_one_scene(place, chosen)
    bands = tuple(ProductBand(file, name, None, None, _stated(file)) for file, name in chosen)
    return Product("folder of images", bands)


def export_of(path: Path) -> str | None:
    """Name of the export of which a file is a tile.

    >>> export_of(Path("town_2024-0000000000-0000000256.tif"))
    'town_2024'
    """
    match = _TILE.match(Path(file_name(path)).stem)
    return match["scene"] if match else None


def _require_one_scene(place: Path, chosen: Sequence[tuple[Path, str | None]]) -> None:
    exports = {export_of(file) for file, _ in chosen}
    if len(exports) == 1 and None not in exports:
        return
    for wanted in (*POLARISATIONS, None):
        several = [file_name(file) for file, name in chosen if name == wanted]
        if len(several) > 1:
            what = f"{len(several)} images" + (f" in {wanted}" if wanted else " whose names say no polarisation")
            raise InputError(
                f"{place} holds {what} ({', '.join(several[:3])}{', ...' if len(several) > 3 else ''}), and one scene "
                "is prepared at a time; name its files."
            )


def _stated(file: Path) -> Stated:
    """The unit that the name of a product means."""
    name = file_name(file)
    match = _HYP3.search(name)
    if match is not None:
        return Stated(_HYP3_UNITS[match["scale"].lower()])
    return Stated(Unit.LINEAR_POWER if name.startswith("OPERA_L2_RTC-S1_") else None)
