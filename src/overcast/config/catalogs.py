"""Published data sets beside SpaceNet 6: their options, and their splits by place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Literal, assert_never

from pydantic import Field

from overcast.config.data_section import AbsolutePath, DataSection
from overcast.config.splitting import Cities, Events, Neighbourhoods, Regions, SplitFile
from overcast.data.catalog import Catalog
from overcast.data.catalogs.bright import Buildings, bright_catalog, event_of
from overcast.data.catalogs.dfc2023 import city_of, dfc2023_catalog
from overcast.data.catalogs.openearthmap_sar import manual_labels_only, openearthmap_sar_catalog
from overcast.data.chips import Chip
from overcast.data.splits.by_ground import Split, cluster_split, named_split
from overcast.data.splits.file import read_split


class Dfc2023Data(DataSection):
    """IEEE GRSS Data Fusion Contest 2023, track 2, in its published layout."""

    name: Literal["dfc2023"] = "dfc2023"
    """`dfc2023`, or another data set."""
    root: AbsolutePath
    """Folder track2 or one above it."""
    split: Annotated[Cities | Neighbourhoods | SplitFile, Field(discriminator="by")] = Cities()
    """How the training tiles are shared out; the published val and test have no labels."""


class OpenEarthMapSarData(DataSection):
    """OpenEarthMap-SAR in its published layout; the class is building."""

    name: Literal["openearthmap-sar"] = "openearthmap-sar"
    """`openearthmap-sar`, or another data set."""
    root: AbsolutePath
    """Folder that holds train, or one above it."""
    subsets: tuple[Literal["train", "val", "test"], ...] = Field(default=("train",), min_length=1)
    """Published parts that are read: train has pseudo-labels. With val or test, whose labels were drawn by hand,
    validation and test keep nothing but tiles of these."""
    split: Annotated[Regions | SplitFile, Field(discriminator="by")] = Regions()
    """How all tiles are shared out; the published parts are not kept, because they share their regions."""


class BrightData(DataSection):
    """BRIGHT in its published layout: optical before a disaster, SAR after it."""

    name: Literal["bright"] = "bright"
    """`bright`, or another data set."""
    root: AbsolutePath
    """Folder with pre-event, post-event and target, or one above it."""
    buildings: Buildings = Buildings.ALL
    """`all`: intact, damaged and destroyed; `standing`: destroyed ones do not count; `intact`: nor do damaged ones."""
    sar_only: bool = False
    """true: keep the tiles of Mexico, Myanmar and Ukraine without optical image; false: leave them out."""
    split: Annotated[Events | SplitFile, Field(discriminator="by")] = Events()
    """How the tiles are shared out."""


def dfc2023_split(options: Dfc2023Data) -> tuple[Catalog, Split]:
    """The catalog and its split by city or neighbourhood."""
    catalog, rule = dfc2023_catalog(options.root), options.split
    match rule:
        case Cities():
            groups = _groups(catalog.chips, lambda key: city_of(key) or "unnamed")
            return catalog, named_split(catalog.chips, groups, rule.test, rule.validation, "cities")
        case Neighbourhoods():
            return catalog, cluster_split(catalog.chips, **rule.model_dump(exclude={"by"}))
        case SplitFile(path=path):
            return catalog, read_split(path)
        case _:
            assert_never(rule)


def openearthmap_sar_split(options: OpenEarthMapSarData) -> tuple[Catalog, Split]:
    """The catalog and its split by region."""
    rule = options.split
    match rule:
        case Regions():
            catalog = openearthmap_sar_catalog(options.root, options.subsets, rule.gap_m)
            split = cluster_split(catalog.chips, **rule.model_dump(exclude={"by", "gap_m"}))
            return catalog, split if options.subsets == ("train",) else manual_labels_only(split)
        case SplitFile(path=path):
            return openearthmap_sar_catalog(options.root, options.subsets), read_split(path)
        case _:
            assert_never(rule)


def bright_split(options: BrightData) -> tuple[Catalog, Split]:
    """The catalog and its split by event."""
    catalog, rule = bright_catalog(options.root, options.buildings, sar_only=options.sar_only), options.split
    match rule:
        case Events():
            groups = _groups(catalog.chips, event_of)
            return catalog, named_split(catalog.chips, groups, rule.test, rule.validation, "events")
        case SplitFile(path=path):
            return catalog, read_split(path)
        case _:
            assert_never(rule)


def _groups(chips: Sequence[Chip], name_of: Callable[[str], str]) -> dict[str, list[str]]:
    """Chip keys by a name that the key contains."""
    groups: dict[str, list[str]] = {}
    for chip in chips:
        groups.setdefault(name_of(chip.key), []).append(chip.key)
    return groups
