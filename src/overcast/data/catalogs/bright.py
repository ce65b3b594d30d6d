"""BRIGHT (2025 IEEE GRSS Data Fusion Contest, track 2): optical images before, SAR images after 14 disasters.

Layout and file names: README of the authors' repository (github.com/ChenHongruixuan/BRIGHT). Mask values, band counts
and the sub-folders `train` and `val` of the contest's release, which are read too: torchgeo's BRIGHTDFC2025. Written
from these descriptions; not yet run on a download.

    pre-event/<event>_<number>_pre_disaster.tif      3 x uint8, optical
    post-event/<event>_<number>_post_disaster.tif    1 x uint8, SAR of Capella or Umbra, HH or VV
    target/<event>_<number>_building_damage.tif      0 background, 1 intact, 2 damaged, 3 destroyed

All files are georeferenced, by event in UTM or in degrees, at 0.3 to 1 m. The optical images of three events may not
be redistributed; users fetch them themselves (tutorial.md there).

Reference: Chen et al., Bright, Earth System Science Data 17, 2025, https://doi.org/10.5194/essd-17-6217-2025.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from statistics import median
from typing import assert_never

from overcast.data.catalog import Catalog
from overcast.data.catalogs.layout import files_by_stem, folders_with, require_partners
from overcast.data.chips import Chip, check_chip
from overcast.data.globe import neighbourhoods, size_and_ground
from overcast.data.labels import LabelSpec
from overcast.errors import InputError
from overcast.raster.radiometry import uncalibrated_pair

LAYERS = {"post-event": "_post_disaster", "pre-event": "_pre_disaster", "target": "_building_damage"}
"""Sub-folder to the end of its file names."""
WITHHELD = frozenset({"mexico-hurricane", "myanmar-hurricane", "ukraine-conflict"})
"""Events whose optical images users fetch themselves."""
TILE_NAME = re.compile(r"^(?P<event>.+)_\d+$")
NEIGHBOURHOOD_M = 1000.0
"""Side of the cells that are the places of the catalog."""
DOWNLOAD = "download pre-event.zip, post-event.zip and target.zip of BRIGHT (zenodo.org/records/14619797), unpack them"
LICENCE = "CC-BY-NC-4.0"
"""Licence of the optical images, and of the labels with them; freer for Hawaii (NOAA) and La Palma (IGN, CC-BY-4.0)."""


class Buildings(StrEnum):
    """Which damage classes are the class `building`."""

    ALL = "all"
    """Intact, damaged and destroyed: the footprints before the event."""
    STANDING = "standing"
    """Intact and damaged; what was destroyed does not count."""
    INTACT = "intact"
    """Intact alone; what was damaged or destroyed does not count."""

    @property
    def label(self) -> LabelSpec:
        """The meaning of the mask values."""
        match self:
            case Buildings.ALL:
                return LabelSpec(foreground=(1, 2, 3))
            case Buildings.STANDING:
                return LabelSpec(foreground=(1, 2), ignore=3)
            case Buildings.INTACT:
                return LabelSpec(foreground=1, ignore=(2, 3))
            case _:
                assert_never(self)


@dataclass(frozen=True)
class BrightFiles:
    """Files by tile."""

    folders: tuple[Path, ...]
    """Folders that hold the layers: one of the full release, several of the contest's."""
    layers: Mapping[str, Mapping[str, Path]]
    """Tile to file, by layer."""


def event_of(tile: str) -> str:
    """Event in the name of a tile.

    >>> event_of("la_palma-volcano_00000465")
    'la_palma-volcano'

    Raises:
        InputError: The name has another form.
    """
    match = TILE_NAME.match(tile)
    if match is None:
        raise InputError(f"{tile!r} is not a tile of BRIGHT: it is not called <event>_<number>; remove the file.")
    return match["event"]


def bright_files(root: Path) -> BrightFiles:
    """Files of an unpacked download, complete or not; folders without `target` (the contest's test tiles) are left out.

    Raises:
        InputError: No such folder, or two that hold the same tiles.
    """
    folders = tuple(folder for folder in folders_with(root, "post-event") if (folder / "target").is_dir())
    if not folders:
        raise InputError(f"{root} holds no folder with post-event and target; {DOWNLOAD} there.")
    layers: dict[str, dict[str, Path]] = {layer: {} for layer in LAYERS}
    for folder in folders:
        for layer, tail in LAYERS.items():
            found = files_by_stem(folder / layer, tail=tail)
            twice = sorted(set(found) & set(layers[layer]))
            if twice:
                raise InputError(
                    f"{found[twice[0]]} and {layers[layer][twice[0]]} are one tile; name one of the folders."
                )
            layers[layer] |= found
    return BrightFiles(folders, layers)


def bright_catalog(root: Path, buildings: Buildings = Buildings.ALL, *, sar_only: bool = False) -> Catalog:
    """Labelled tiles of an unpacked download, with their place: event and cell of 1 km.

    The declared pixel size is the median of the tiles; events differ, and nothing is resampled.

    Args:
        root: Folder with `pre-event`, `post-event` and `target`, or any up to four levels above it.
        buildings: Which damage classes are buildings.
        sar_only: Keep tiles of the withheld events that have no optical image; otherwise they are left out.

    Raises:
        InputError: No such folder; files are missing (one error lists them all); a file is damaged, of another band
            count, on another grid or without georeference.
    """
    files = bright_files(root)
    optical = files.layers["pre-event"]
    withheld = {tile for tile in files.layers["post-event"] if event_of(tile) in WITHHELD} - set(optical)
    layers = {name: set(found) - withheld for name, found in files.layers.items()}
    require_partners(root, layers, "tiles", f"{DOWNLOAD} there")
    keys = sorted(layers["post-event"] | (withheld & set(files.layers["target"]) if sar_only else set()))
    chips = [_chip(key, files.layers) for key in keys]
    checked, hint = uncalibrated_pair(gsd_m=1.0), f"{DOWNLOAD} again"
    grids = [size_and_ground(chip, check_chip(chip, checked), hint) for chip in chips]
    bounds = [bounds for _, bounds in grids]
    cells = neighbourhoods(bounds, NEIGHBOURHOOD_M)
    return Catalog(
        name="bright",
        class_name="building",
        chips=tuple(
            replace(chip, bounds=box, place=f"{event_of(chip.key)} {cell}")
            for chip, box, cell in zip(chips, bounds, cells, strict=True)
        ),
        radiometry=uncalibrated_pair(round(median(gsd_m for gsd_m, _ in grids), 3)),
        label=buildings.label,
        licence=LICENCE,
    )


def _chip(key: str, layers: Mapping[str, Mapping[str, Path]]) -> Chip:
    optical = layers["pre-event"].get(key)
    return Chip(
        key=key,
        place=key,
        sar=(layers["post-event"][key],),
        optical=() if optical is None else (optical,),
        mask=layers["target"][key],
    )
