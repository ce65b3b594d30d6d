"""Data sets and splits by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, assert_never

from pydantic import Field

from overcast.choices import SpaceNet6Side
from overcast.config.catalogs import (
    BrightData,
    Dfc2023Data,
    OpenEarthMapSarData,
    bright_split,
    dfc2023_split,
    openearthmap_sar_split,
)
from overcast.config.data_section import AbsolutePath, DataSection
from overcast.config.splitting import Blocks, Folders, Places, Polygons, SceneBlocks, ScenePlaces, SplitFile
from overcast.data.catalog import Catalog
from overcast.data.catalogs.folder import folder_catalog
from overcast.data.catalogs.spacenet6 import corners_of, spacenet6_catalog
from overcast.data.chips import Chip
from overcast.data.scenes.catalog import scenes_catalog
from overcast.data.scenes.splits import by_block, scene_blocks, scene_places, scene_polygons
from overcast.data.splits.by_ground import (
    Split,
    block_split,
    cluster_split,
    hold_out_side,
    spacenet6_split,
    subfolder_split,
)
from overcast.data.splits.clusters import cluster_places
from overcast.data.splits.file import read_split
from overcast.errors import ConfigError
from overcast.raster.units import Standardise, Unit


class FolderData(DataSection):
    """A paired folder with a dataset.yaml."""

    name: Literal["folder"] = "folder"
    """`folder`, `scenes`, `spacenet6`, `dfc2023`, `openearthmap-sar` or `bright`."""
    root: AbsolutePath
    """Folder of the data set."""
    description: AbsolutePath | None = None
    """Description file; null for dataset.yaml in the root."""
    split: Annotated[Blocks | Places | Folders | SplitFile, Field(discriminator="by")] = Blocks()
    """How chips are shared out to training, validation and test; ground is never in two."""


class SpaceNet6Data(DataSection):
    """SpaceNet 6 (Rotterdam) in its published layout."""

    name: Literal["spacenet6"] = "spacenet6"
    """`spacenet6`, or another data set."""
    root: AbsolutePath
    """Folder AOI_11_Rotterdam or one above it."""
    optical: Literal["PS-RGB", "PS-RGBNIR", "RGBNIR"] = "PS-RGB"
    """Optical layer."""
    side: SpaceNet6Side = SpaceNet6Side.EAST
    """Side of the area that is the test ground."""
    validation_share: float = Field(default=0.12, gt=0, lt=1)
    """Share of the training tiles for validation."""
    validation_bearing_deg: float = Field(default=0.0, ge=0, lt=360)
    """Validation is the outermost part of the training ground on this side, clockwise from north: it costs the fewest
    tiles, since neighbouring tiles overlap."""


class ScenesData(DataSection):
    """Scenes as they are: images of any size and footprints, described in a YAML file."""

    name: Literal["scenes"] = "scenes"
    """`scenes`, or another data set."""
    root: AbsolutePath
    """Description of the places, or the folder that holds it as its only YAML file."""
    tile_px: int = Field(default=256, ge=32, le=8192)
    """Side in pixels of the tiles that splits share out and that validation and test read whole."""
    around_footprints: float = Field(default=0.5, ge=0, le=1)
    """Share of the training windows that hold a footprint; the others are uniform over the ground."""
    split: Annotated[SceneBlocks | ScenePlaces | Polygons | SplitFile, Field(discriminator="by")] = SceneBlocks()
    """How tiles are shared out to training, validation and test; ground is never in two."""


AnyData = ScenesData | FolderData | SpaceNet6Data | Dfc2023Data | OpenEarthMapSarData | BrightData
DataOptions = Annotated[AnyData, Field(discriminator="name")]


def build_data(options: AnyData) -> tuple[Catalog, Split]:
    """The data set and its split. Raises InputError where files cannot be used, ConfigError where no split fits."""
    catalog, split = _build(options)
    return catalog if options.standardise is None else _standardised(catalog, options.standardise), split


def _standardised(catalog: Catalog, by: Standardise) -> Catalog:
    """The data set whose radar images are standardised so. Raises ConfigError where their unit has no decibels."""
    if by is Standardise.SCENE and catalog.radiometry.sar.unit is Unit.DIGITAL_NUMBER:
        raise ConfigError(
            f"data.standardise=scene: the radar images of {catalog.name} are digital numbers, which have no decibels; "
            "declare their unit (amplitude, linear_power or dB)."
        )
    sar = catalog.radiometry.sar.model_copy(update={"standardise": by})
    return replace(catalog, radiometry=catalog.radiometry.model_copy(update={"sar": sar}))


def _build(options: AnyData) -> tuple[Catalog, Split]:
    match options:
        case FolderData():
            return _folder(options)
        case ScenesData():
            return _scenes(options)
        case SpaceNet6Data():
            catalog = spacenet6_catalog(options.root, options.optical)
            split = spacenet6_split(corners_of(catalog.chips), options.side)
            bearing_deg = options.validation_bearing_deg
            return catalog, hold_out_side(split, catalog.chips, options.validation_share, bearing_deg)
        case Dfc2023Data():
            return dfc2023_split(options)
        case OpenEarthMapSarData():
            return openearthmap_sar_split(options)
        case BrightData():
            return bright_split(options)
        case _:
            assert_never(options)


def _folder(options: FolderData) -> tuple[Catalog, Split]:
    rule = options.split
    if isinstance(rule, Folders):
        return _published_folders(options.root, options.description, rule)
    catalog = folder_catalog(options.root, options.description)
    match rule:
        case Blocks():
            return catalog, block_split(catalog.chips, **rule.model_dump(exclude={"by"}))
        case Places():
            return catalog, cluster_split(catalog.chips, **rule.model_dump(exclude={"by"}))
        case SplitFile(path=path):
            return catalog, read_split(path)
        case _:
            assert_never(rule)


def _scenes(options: ScenesData) -> tuple[Catalog, Split]:
    catalog = replace(scenes_catalog(options.root, options.tile_px), around_footprints=options.around_footprints)
    rule = options.split
    if isinstance(rule, SceneBlocks):
        catalog = replace(catalog, chips=by_block(catalog.chips, rule.block_m))
    chips = catalog.chips
    match rule:
        case SceneBlocks():
            split = scene_blocks(chips, **rule.model_dump(exclude={"by"}))
        case ScenePlaces():
            split = scene_places(chips, **rule.model_dump(exclude={"by"}))
        case Polygons():
            split = scene_polygons(chips, **rule.model_dump(exclude={"by"}))
        case SplitFile(path=path):
            split = read_split(path)
        case _:
            assert_never(rule)
    return catalog, split


def _published_folders(root: Path, description: Path | None, split: Folders) -> tuple[Catalog, Split]:
    catalog = folder_catalog(root, description, subset=split.train)
    train, test = catalog.chips, folder_catalog(root, description, subset=split.test).chips
    if split.find_places:
        train, test = _with_found_places(train, test)
    made = subfolder_split(train, test, split.validation_share, split.seed, split.buffer_m)
    return replace(catalog, chips=(*train, *test)), made


def _with_found_places(train: tuple[Chip, ...], test: tuple[Chip, ...]) -> tuple[tuple[Chip, ...], tuple[Chip, ...]]:
    """Places found in both folders together, but named apart: the publisher's folders are taken as they are."""
    found = cluster_places((*train, *test))
    return (
        tuple(replace(chip, place=f"train, {chip.place}") for chip in found[: len(train)]),
        tuple(replace(chip, place=f"test, {chip.place}") for chip in found[len(train) :]),
    )
