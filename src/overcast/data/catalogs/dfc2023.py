"""2023 IEEE GRSS Data Fusion Contest, track 2 (DFC2023): optical and SAR tiles with building footprints in COCO form.

Layout and file names: README of the organisers' baseline (github.com/AICyberTeam/DFC2023-baseline, track2) and file
listings published by users of the download, which differ in two points, both read here: `buildings_only_train.json`
beside `train` or in `annotations`, and heights (not used) in `dsm` or `height`. Sensors and sizes: the contest's data
page (github.com/AICyberTeam/DFC2023-CodaLab). Footprint faults: github.com/ahmad-naghavi-ozu/DFC2023-annotation-issue.
Written from these descriptions; not yet run on a download.

    {train,val,test}/rgb/<tile>.tif     3 x uint8, SuperView-1 (SV) or Gaofen-2 (GF2)
    {train,val,test}/sar/<tile>.tif     1 x float32, Gaofen-3
    train/dsm/<tile>.tif                heights
    buildings_only_train.json           COCO: polygons and run-length codes, one category

SAR values have a heavy tail. Twelve training tiles have black wedges where no optical image was, up to half a tile.
Training tiles are called `<sensor>_<City>_<latitude>_<longitude>` and are georeferenced, one UTM zone for each city;
tiles of one city overlap. Tiles of val and test are called `P_<number>`, without place and without labels.

Reference: Persello et al., 2023 IEEE GRSS Data Fusion Contest, IEEE GRSM 2022; Huang et al., UBC, CVPRW 2022.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from overcast.data.catalog import Catalog
from overcast.data.catalogs.layout import files_by_stem, folders_with, require_partners
from overcast.data.chips import Bounds, Chip, check_chip
from overcast.data.coco import Outlines, read_coco
from overcast.data.globe import neighbourhoods, require_gsd
from overcast.data.labels import LabelSpec
from overcast.errors import InputError
from overcast.raster.radiometry import Radiometry, uncalibrated_pair

Subset = Literal["train", "val", "test"]

TILES: Mapping[Subset, int] = {"train": 1773, "val": 579, "test": 605}
"""Published number of tiles."""
FOOTPRINTS = 125_153
"""Published number of annotations of the training tiles."""
GSD_M = 0.5
"""All images are resampled to it; the sensors resolve 0.5 m (SV), 0.8 m (GF2) and 1 m (SAR)."""
NEIGHBOURHOOD_M = 1000.0
"""Side of the cells that are the places of the catalog."""
FOLDERS: Mapping[Subset, tuple[str, ...]] = {"train": ("train",), "val": ("val",), "test": ("test", "track2_test_data")}
ANNOTATIONS = "buildings_only_{subset}.json"
TILE_NAME = re.compile(r"^(?:GF2|SV)_(?P<city>.+)_-?\d+\.\d+_-?\d+\.\d+$")
DOWNLOAD = "download track2.zip of the 2023 IEEE GRSS Data Fusion Contest from IEEE DataPort and unpack it there"
LICENCE = "Terms of the 2023 IEEE GRSS Data Fusion Contest: cite the contest and Huang et al. 2022 (UBC)"


@dataclass(frozen=True)
class Dfc2023Files:
    """Files of one subset by tile."""

    folder: Path
    rgb: Mapping[str, Path]
    sar: Mapping[str, Path]
    annotations: Path | None
    """COCO file; None where there is none."""

    def outlines(self) -> dict[str, Outlines]:
        """Footprints by tile; none without a COCO file. Raises InputError for a damaged one."""
        return {} if self.annotations is None else read_coco(self.annotations)


def city_of(tile: str) -> str | None:
    """City in the name of a training tile; both optical sensors saw the same cities.

    >>> city_of("GF2_NewDelhi_28.5557_77.1194"), city_of("P_0199")
    ('NewDelhi', None)
    """
    match = TILE_NAME.match(tile)
    return match["city"] if match else None


def dfc2023_files(root: Path, subset: Subset = "train") -> Dfc2023Files:
    """Files of one subset, complete or not.

    Args:
        root: The folder `track2`, or any folder up to four levels above `train`.
        subset: Which.

    Raises:
        InputError: No or several such folders.
    """
    found = [folder / name for name in FOLDERS[subset] for folder in folders_with(root, f"{name}/sar")]
    labelled = [folder for folder in found if _annotations(folder, subset)]
    if len(found) > 1 and len(labelled) == 1:  # track 1 lies beside track 2
        found = labelled
    if len(found) > 1:
        raise InputError(f"{root} holds several DFC2023 folders ({', '.join(map(str, found))}); name one of them.")
    if not found:
        raise InputError(f"{root} holds no folder {FOLDERS[subset][0]}/sar; {DOWNLOAD}.")
    folder = found[0]
    return Dfc2023Files(
        folder, files_by_stem(folder / "rgb"), files_by_stem(folder / "sar"), _annotations(folder, subset)
    )


def _annotations(folder: Path, subset: Subset) -> Path | None:
    """The COCO file of a subset's folder."""
    name = ANNOTATIONS.format(subset=subset)
    candidates = [place / below / name for place in (folder.parent, folder) for below in ("annotations", "", "JSON")]
    return next((path for path in candidates if path.is_file()), None)


def dfc2023_catalog(root: Path, subset: Subset = "train") -> Catalog:
    """Tiles of an unpacked download, with their place: city and cell of 1 km, or the tile where its name has none.

    Args:
        root: The folder `track2`, or any folder up to four levels above `train`.
        subset: `val` and `test` are published without labels; a COCO file of that name is read where there is one.

    Raises:
        InputError: No or several such folders; files are missing (one error lists them all); a file is damaged, of
            another band count or on another grid.
        RadiometryError: A tile has pixels of another size than 0.5 m.
    """
    files = dfc2023_files(root, subset)
    if subset == "train" and files.annotations is None:
        raise InputError(f"{files.folder.parent} holds no {ANNOTATIONS.format(subset=subset)}; {DOWNLOAD}.")
    outlines = files.outlines()
    layers = {"rgb": files.rgb, "sar": files.sar} | ({files.annotations.name: outlines} if files.annotations else {})
    require_partners(files.folder, layers, "tiles", DOWNLOAD)
    radiometry = uncalibrated_pair(GSD_M)
    chips = [_chip(stem, files, outlines.get(stem), radiometry) for stem in sorted(files.sar)]
    placed = [chip for chip in chips if chip.bounds]
    cells = neighbourhoods([chip.bounds for chip in placed if chip.bounds], NEIGHBOURHOOD_M) if placed else ()
    places = {chip.key: f"{city_of(chip.key) or ''} {cell}".strip() for chip, cell in zip(placed, cells, strict=True)}
    return Catalog(
        name="dfc2023" if subset == "train" else f"dfc2023-{subset}",
        class_name="building",
        chips=tuple(replace(chip, place=places.get(chip.key, chip.place)) for chip in chips),
        radiometry=radiometry,
        label=LabelSpec(),
        licence=LICENCE,
    )


def _chip(stem: str, files: Dfc2023Files, outlines: Outlines | None, radiometry: Radiometry) -> Chip:
    chip = Chip(key=stem, place=stem, sar=(files.sar[stem],), optical=(files.rgb[stem],), outlines=outlines)
    grid = check_chip(chip, radiometry)
    require_gsd(chip, grid, GSD_M)
    return replace(chip, bounds=Bounds.of(grid))
