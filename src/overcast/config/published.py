"""Data sets by name alone: their catalogs, and the split that a configuration without a word about it would give."""

from __future__ import annotations

from pathlib import Path
from typing import Any, assert_never

from pydantic import TypeAdapter

from overcast.config.data import AnyData, DataOptions, build_data
from overcast.data.catalog import Catalog
from overcast.data.catalogs.bright import bright_catalog
from overcast.data.catalogs.dfc2023 import dfc2023_catalog
from overcast.data.catalogs.folder import folder_catalog, read_description
from overcast.data.catalogs.layout import folders_with
from overcast.data.catalogs.names import DatasetName
from overcast.data.catalogs.openearthmap_sar import openearthmap_sar_catalog
from overcast.data.catalogs.spacenet6 import spacenet6_catalog
from overcast.data.scenes.catalog import scenes_catalog
from overcast.errors import OvercastError

SCENE_TILE_PX = 256
"""Side of the tiles in which scenes are looked at."""


def catalogs_of(name: DatasetName, root: Path) -> tuple[Catalog, ...]:
    """The catalog of a data set, or those of the subsets of a folder; the header of every file is opened."""
    match name:
        case DatasetName.SPACENET6:
            return (spacenet6_catalog(root),)
        case DatasetName.DFC2023:
            return (dfc2023_catalog(root),)
        case DatasetName.OPENEARTHMAP_SAR:
            return (openearthmap_sar_catalog(root),)
        case DatasetName.BRIGHT:
            return (bright_catalog(root),)
        case DatasetName.FOLDER:
            return tuple(folder_catalog(root, subset=subset) for subset in _subsets(root))
        case DatasetName.SCENES:
            return (scenes_catalog(root, SCENE_TILE_PX),)
        case _:
            assert_never(name)


def _subsets(root: Path) -> list[str | None]:
    radar = read_description(root / "dataset.yaml").sar.folders[0]
    return [None if base == root else base.name for base in folders_with(root, radar, depth=1)]


def opened(name: DatasetName, root: Path) -> tuple[tuple[Catalog, ...], str]:
    """The catalogs of a data set, and in words how many chips its default split gives each part.

    The header of every file is opened. Raises InputError where files cannot be used. If no split fits, the sentence
    says so.
    """
    reason = ""
    for rule in _rules(name, root):
        given = {"name": name.value, "root": root, **rule}
        try:
            catalog, split = build_data(TypeAdapter[AnyData](DataOptions).validate_python(given))
        except OvercastError as error:
            reason = reason or str(error)
            continue
        sizes = ", ".join(f"{count} {part}" for part, count in split.counts.items())
        return (catalog,), f"{sizes} chips ({split.definition})."
    return catalogs_of(name, root), f"none by default: {reason}"


def _rules(name: DatasetName, root: Path) -> list[dict[str, Any]]:
    """Splits that are tried, the default one first."""
    if name is not DatasetName.FOLDER:
        return [{}]
    subsets = [subset for subset in _subsets(root) if subset is not None]
    if len(subsets) == 2:
        train, test = sorted(subsets, key=lambda subset: "train" not in subset)
        return [{"split": {"by": "folders", "train": train, "test": test}}]
    return [] if subsets else [{}, {"split": {"by": "places"}}]
