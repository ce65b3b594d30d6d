"""OpenEarthMap-SAR (2025 IEEE GRSS Data Fusion Contest, track 1): land cover of 35 regions, optical and SAR.

Layout: the organisers' baseline (github.com/cliffbb/DFC2025-OEM-SAR-Baseline, source/dataset.py) and file listings
published by users of the download. Written from these descriptions; not yet run on a download.

    train/rgb_images/TrainArea_<n>.tif    3 x uint8, aerial images of NAIP, IGN and GSI
    train/sar_images/TrainArea_<n>.tif    1 x uint8, amplitude of Umbra, HH or VV; georeferenced
    train/labels/TrainArea_<n>.tif        0 none, 1 bareland .. 8 building; pseudo-labels of an optical model
    {val,test}/sar_images/<name>.tif      the official task is to map them from SAR alone
    {val,test}/labels/<name>.tif          drawn by hand, in archives of their own; not georeferenced

5033 tiles of 1024 x 1024 pixels: 4333, 210 and 490. Names do not contain the region; the georeference of the SAR tiles
does. Every region is in train, val and test: the published parts share their regions.

Reference: Xia et al., OpenEarthMap-SAR, arXiv:2501.10891, 2025.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Literal

from overcast.data.catalog import Catalog
from overcast.data.catalogs.layout import files_by_stem, folders_with, require_partners
from overcast.data.chips import Chip, check_chip
from overcast.data.globe import regions, size_and_ground
from overcast.data.labels import LabelSpec
from overcast.data.splits.parts import Part, Split, dropped_for
from overcast.errors import ConfigError, InputError
from overcast.raster.radiometry import uncalibrated_pair

Subset = Literal["train", "val", "test"]

TILES: Mapping[Subset, int] = {"train": 4333, "val": 210, "test": 490}
"""Published number of tiles."""
BUILDING = 8
LABEL = LabelSpec(foreground=BUILDING, background=tuple(range(1, BUILDING)), ignore=0)
"""Bareland, rangeland, developed space, road, tree, water and agriculture are background; 0 is no class."""
DOWNLOAD = "download OpenEarthMap-SAR (zenodo.org/records/14622048; labels of val and test in archives of their own)"
LICENCE = "Terms of zenodo.org/records/14622048; SAR: Umbra, CC-BY-4.0"


@dataclass(frozen=True)
class OemFiles:
    """Files of one subset by tile."""

    rgb: Mapping[str, Path]
    sar: Mapping[str, Path]
    labels: Mapping[str, Path]


def openearthmap_sar_files(root: Path, subset: Subset = "train") -> OemFiles:
    """Files of one subset, complete or not. Raises InputError where a layer lies in several folders."""
    return OemFiles(*(_layer(root, f"{subset}/{name}") for name in ("rgb_images", "sar_images", "labels")))


def _layer(root: Path, inside: str) -> dict[str, Path]:
    found = list(folders_with(root, inside))
    if len(found) > 1:
        raise InputError(f"{root} holds several folders {inside} (below {', '.join(map(str, found))}); name one.")
    return files_by_stem(found[0] / inside) if found else {}


def openearthmap_sar_catalog(root: Path, subsets: Sequence[Subset] = ("train",), gap_m: float = 2000.0) -> Catalog:
    """Labelled tiles of an unpacked download; keys are `<subset>/<name>`, places the regions.

    The declared pixel size is the median of the tiles; regions differ, and nothing is resampled.

    Args:
        root: Folder that holds `train`, or any up to four levels above it.
        subsets: Which; `val` and `test` need their labels, and have no optical images.
        gap_m: Tiles whose centres lie at most this far apart, in metres, are of one region.

    Raises:
        InputError: A subset or files are missing (one error lists them all); a file is damaged, of another band count,
            on another grid, or a SAR tile has no georeference.
    """
    chips = [chip for subset in dict.fromkeys(subsets) for chip in _chips(root, subset)]
    checked, hint = uncalibrated_pair(gsd_m=1.0), f"{DOWNLOAD} again, or describe the tiles as a folder data set"
    grids = [size_and_ground(chip, check_chip(chip, checked), hint) for chip in chips]
    bounds = [box for _, box in grids]
    return Catalog(
        name="openearthmap-sar",
        class_name="building",
        chips=tuple(
            replace(chip, bounds=box, place=region)
            for chip, box, region in zip(chips, bounds, regions(bounds, gap_m), strict=True)
        ),
        radiometry=uncalibrated_pair(round(median(gsd_m for gsd_m, _ in grids), 3)),
        label=LABEL,
        licence=LICENCE,
    )


def manual_labels_only(split: Split) -> Split:
    """The split with the pseudo-labelled tiles taken out of validation and test.

    Raises ConfigError where a part has no tile with a label drawn by hand.
    """
    drops = split.dropped
    kept: dict[Part, tuple[str, ...]] = {}
    for part in (Part.VALIDATION, Part.TEST):
        pseudo = tuple(key for key in split.keys(part) if key.startswith("train/"))
        kept[part] = tuple(key for key in split.keys(part) if key not in set(pseudo))
        if not kept[part]:
            raise ConfigError(f"the regions of {part} have no label drawn by hand; add val and test to data.subsets.")
        drops += dropped_for(f"{part} tiles with pseudo-labels", pseudo)
    definition = f"{split.definition} Validation and test: tiles with labels drawn by hand."
    return Split(split.train, kept[Part.VALIDATION], kept[Part.TEST], drops, definition)


def _chips(root: Path, subset: Subset) -> list[Chip]:
    files = openearthmap_sar_files(root, subset)
    if not files.sar:
        raise InputError(f"{root} holds no folder {subset}/sar_images with tiles; {DOWNLOAD} and unpack it there.")
    layers = {f"{subset}/sar_images": files.sar, f"{subset}/labels": files.labels}
    if files.rgb or subset == "train":
        layers[f"{subset}/rgb_images"] = files.rgb
    require_partners(root, layers, "tiles", f"{DOWNLOAD} and unpack it there")
    return [
        Chip(
            key=f"{subset}/{stem}",
            place=stem,
            sar=(path,),
            optical=(files.rgb[stem],) if files.rgb else (),
            mask=files.labels[stem],
        )
        for stem, path in sorted(files.sar.items())
    ]
