"""Data sets and splits by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, assert_never

from pydantic import Field, model_validator

from overcast.config.section import AbsolutePath, Section, with_default
from overcast.data.catalog import Catalog
from overcast.data.chips import Chip
from overcast.data.clusters import cluster_places
from overcast.data.folder import folder_catalog
from overcast.data.spacenet6 import corners_of, spacenet6_catalog
from overcast.data.splitfile import read_split
from overcast.data.splits import Split, block_split, cluster_split, hold_out_side, spacenet6_split, subfolder_split


class Blocks(Section):
    """Square blocks of ground, for any georeferenced chips."""

    by: Literal["blocks"] = "blocks"
    """`blocks`: square blocks of ground; `places`: whole places; `folders`: as published; `file`: a list of keys."""
    block_m: float = Field(default=2000.0, gt=0, le=1e7)
    """Side of a block in metres."""
    test_share: float = Field(default=0.2, gt=0, lt=1)
    """Share of all chips for test."""
    validation_share: float = Field(default=0.15, gt=0, lt=1)
    """Share of all chips for validation."""
    buffer_m: float = Field(default=0.0, ge=0, le=1e6)
    """Smallest distance in metres between the parts; chips in between are dropped."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of the draw."""


class Places(Section):
    """Whole places, for chips without georeference."""

    by: Literal["places"] = "places"
    """`places`: whole places, see `place_pattern` in dataset.yaml."""
    test_share: float = Field(default=0.2, gt=0, lt=1)
    """Share of all chips for test."""
    validation_share: float = Field(default=0.15, gt=0, lt=1)
    """Share of all chips for validation."""
    buffer_m: float = Field(default=0.0, ge=0, le=1e6)
    """Smallest distance in metres between the parts, where chips have a georeference."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of the draw."""


class Folders(Section):
    """The publisher's own sub-folders; validation is taken from the places of the training folder."""

    by: Literal["folders"] = "folders"
    """`folders`: sub-folders of the root, as published."""
    train: str = "train"
    """Sub-folder of the training chips."""
    test: str = "test"
    """Sub-folder of the test chips."""
    find_places: bool = False
    """true: chips without georeference that continue one another at their edges are one place. Validation then shares
    no image with training; the published folders stay as they are, even where both hold chips of one image."""
    validation_share: float = Field(default=0.15, gt=0, lt=1)
    """Share of the training chips for validation."""
    buffer_m: float = Field(default=0.0, ge=0, le=1e6)
    """Smallest distance in metres between the parts, where chips have a georeference."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of the draw."""


class SplitFile(Section):
    """A split made before, for example by `overcast splits`."""

    by: Literal["file"] = "file"
    """`file`: the keys of each part are listed."""
    path: AbsolutePath
    """JSON or CSV file with the chip keys of train, validation and test."""


class FolderData(Section):
    """A paired folder with a dataset.yaml."""

    name: Literal["folder"] = "folder"
    """`folder`, or `spacenet6`."""
    root: AbsolutePath
    """Folder of the data set."""
    description: AbsolutePath | None = None
    """Description file; null for dataset.yaml in the root."""
    split: Annotated[Blocks | Places | Folders | SplitFile, Field(discriminator="by")] = Blocks()
    """How chips are shared out to training, validation and test; ground is never in two."""

    @model_validator(mode="before")
    @classmethod
    def _split_by_blocks(cls, values: Any) -> Any:
        return with_default(values, "split", "by", "blocks")


class SpaceNet6Data(Section):
    """SpaceNet 6 (Rotterdam) in its published layout."""

    name: Literal["spacenet6"] = "spacenet6"
    """`spacenet6`, or `folder`."""
    root: AbsolutePath
    """Folder AOI_11_Rotterdam or one above it."""
    optical: Literal["PS-RGB", "PS-RGBNIR", "RGBNIR"] = "PS-RGB"
    """Optical layer."""
    side: Literal["east", "north"] = "east"
    """Side of the area that is the test ground."""
    validation_share: float = Field(default=0.12, gt=0, lt=1)
    """Share of the training tiles for validation."""
    validation_bearing_deg: float = Field(default=0.0, ge=0, lt=360)
    """Validation is the outermost part of the training ground on this side, clockwise from north: it costs the fewest
    tiles, since neighbouring tiles overlap."""


DataOptions = Annotated[FolderData | SpaceNet6Data, Field(discriminator="name")]


def build_data(options: FolderData | SpaceNet6Data) -> tuple[Catalog, Split]:
    """The data set and its split. Raises InputError where files cannot be used, ConfigError where no split fits."""
    match options:
        case FolderData():
            return _folder(options)
        case SpaceNet6Data():
            catalog = spacenet6_catalog(options.root, options.optical)
            split = spacenet6_split(corners_of(catalog.chips), options.side)
            bearing_deg = options.validation_bearing_deg
            return catalog, hold_out_side(split, catalog.chips, options.validation_share, bearing_deg)
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
