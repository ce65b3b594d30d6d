"""What is there of a downloaded data set, and what is missing: files are counted by name, none is opened."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, assert_never

from overcast.data.catalogs import bright, dfc2023, openearthmap_sar, spacenet6
from overcast.data.catalogs.folder import (
    DESCRIPTION_NAME,
    RASTER_ENDINGS,
    VECTOR_ENDINGS,
    FolderDescription,
    read_description,
)
from overcast.data.catalogs.layout import files_by_stem, folders_with, some
from overcast.data.catalogs.names import DatasetName
from overcast.data.naming import nothing_shared, other_images
from overcast.data.scenes.description import description_file, read_scenes, resolve
from overcast.errors import InputError
from overcast.raster.addresses import address, is_remote

Names = Collection[str]


@dataclass(frozen=True)
class PartCount:
    """One layer of a data set."""

    name: str
    """Folder or file, such as `train/sar`."""
    found: int
    expected: int | None
    """Number as published, or as many as the other layers hold; None where neither is known."""
    missing: tuple[str, ...] = ()
    """Names that other layers hold and this one does not."""
    needed: bool = True
    """False for layers without which the data set can be used."""
    note: str = ""
    """What is said instead of what is lacking."""

    @property
    def complete(self) -> bool:
        """False where a needed layer is empty, lacks a name, or has fewer files than published."""
        enough = self.found >= (self.expected if self.expected is not None else 1) and self.found > 0
        return not self.needed or (enough and not self.missing)


@dataclass(frozen=True)
class Inventory:
    """All layers of a data set."""

    name: DatasetName
    root: Path
    parts: tuple[PartCount, ...]
    hint: str
    """What to do about what is missing."""
    reason: str = ""
    """Why so much is missing, with what to do; said instead of what each part lacks."""

    @property
    def complete(self) -> bool:
        """True where nothing that is needed is missing."""
        return all(part.complete for part in self.parts)

    @property
    def sentence(self) -> str:
        """The finding in one sentence."""
        if self.complete:
            return f"{self.root} is complete."
        if self.reason:
            return f"{self.root}: {self.reason}."
        lacks = [_lack(part) for part in self.parts if not part.complete]
        return f"{self.root} is incomplete: {'; '.join(lacks)}; {self.hint}."

    def as_json(self) -> dict[str, Any]:
        """Counts and every missing name."""
        parts = [
            {
                "part": part.name,
                "found": part.found,
                "expected": part.expected,
                "needed": part.needed,
                "missing": list(part.missing),
            }
            for part in self.parts
        ]
        return {"name": self.name.value, "root": str(self.root), "complete": self.complete, "parts": parts}


def _lack(part: PartCount) -> str:
    if part.missing:
        return f"{part.name} lacks {len(part.missing)} ({some(part.missing)})"
    return f"{part.name} has {part.found}" + ("" if part.expected is None else f" of {part.expected}")


def take_inventory(name: DatasetName, root: Path, *, partial: bool = False) -> Inventory:
    """Count the files of a downloaded data set.

    Args:
        name: Which data set `root` should hold.
        root: Folder that it was unpacked into, or that of the data set itself.
        partial: A part of the published files is enough, as long as every file has its counterparts.

    Raises:
        InputError: The folder does not exist or holds nothing of that data set.
    """
    if not root.is_dir() and not (name is DatasetName.SCENES and root.is_file()):
        raise InputError(f"{root} is not a folder; check the path.")
    match name:
        case DatasetName.SPACENET6:
            parts, hint = _spacenet6(root), f"download {spacenet6.ARCHIVE.format(subset='train')} and unpack it again"
        case DatasetName.DFC2023:
            parts, hint = _dfc2023(root), dfc2023.DOWNLOAD
        case DatasetName.OPENEARTHMAP_SAR:
            parts, hint = _openearthmap_sar(root), f"{openearthmap_sar.DOWNLOAD} and unpack it there"
        case DatasetName.BRIGHT:
            parts, hint = _bright(root), f"{bright.DOWNLOAD} there"
        case DatasetName.FOLDER:
            parts, hint = _folder(root), "add the files or remove their partners"
        case DatasetName.SCENES:
            parts, hint = _scenes(root), "correct the paths in the description"
        case _:
            assert_never(name)
    found = tuple(parts)
    notes = (f"{part.name} {part.note}" for part in found if part.note)
    reason = (nothing_shared(_layers(root)) if name is DatasetName.FOLDER else "") or next(notes, "")
    return Inventory(name, root, tuple(map(_unpublished, found)) if partial else found, hint, reason)


def _unpublished(part: PartCount) -> PartCount:
    """The part without its published number."""
    return replace(part, expected=part.found + len(part.missing))


def _counted(
    layers: Mapping[str, Names], published: int | None, *, optional: Mapping[str, Names] | None = None
) -> Iterator[PartCount]:
    """Layers that belong together; the optional ones lack nothing where they are empty."""
    every = set().union(*layers.values())
    for name, found in {**layers, **(optional or {})}.items():
        missing = tuple(sorted(every - set(found))) if found or name in layers else ()
        yield PartCount(name, len(found), published or len(every), missing, needed=name in layers)


def _spacenet6(root: Path) -> Iterator[PartCount]:
    folders = list(folders_with(root, "SAR-Intensity"))
    aoi = spacenet6.choose_folder(root, folders, "train")
    needed = {"SAR-Intensity": ".tif", "PS-RGB": ".tif", "geojson_buildings": ".geojson"}
    others = {"PAN": ".tif", "PS-RGBNIR": ".tif", "RGBNIR": ".tif"}
    layers, optional = (
        {f"train/{layer}": spacenet6.tiles_in(aoi / layer, ending) for layer, ending in group.items()}
        for group in (needed, others)
    )
    yield from _counted(layers, spacenet6.TILES, optional=optional)
    table = aoi / "SummaryData" / "SAR_orientations.txt"
    flags = spacenet6.read_orientations(table) if table.is_file() else {}
    strips = {tile.partition("_tile_")[0] for tile in layers["train/SAR-Intensity"]}
    missing = tuple(sorted(strips - set(flags)))
    yield PartCount("train/SummaryData/SAR_orientations.txt (strips)", len(flags), spacenet6.STRIPS, missing)
    for folder in folders:
        if folder != aoi:
            radar = spacenet6.tiles_in(folder / "SAR-Intensity", ".tif")
            yield PartCount(f"{folder.relative_to(root)}/SAR-Intensity", len(radar), None, needed=False)


def _dfc2023(root: Path) -> Iterator[PartCount]:
    files = dfc2023.dfc2023_files(root)
    outlines = files.outlines()
    label = files.annotations.name if files.annotations else dfc2023.ANNOTATIONS.format(subset="train")
    layers: dict[str, Names] = {"train/rgb": files.rgb, "train/sar": files.sar, f"{label} (images)": outlines}
    yield from _counted(layers, dfc2023.TILES["train"])
    for subset in ("val", "test"):
        if any(True for name in dfc2023.FOLDERS[subset] for _ in folders_with(root, f"{name}/sar")):
            unlabelled = dfc2023.dfc2023_files(root, subset)
            layers = {f"{subset}/rgb": unlabelled.rgb, f"{subset}/sar": unlabelled.sar}
            yield from _optional(_counted(layers, dfc2023.TILES[subset]))


def _openearthmap_sar(root: Path) -> Iterator[PartCount]:
    for subset, published in openearthmap_sar.TILES.items():
        files = openearthmap_sar.openearthmap_sar_files(root, subset)
        layers: dict[str, Names] = {f"{subset}/sar_images": files.sar, f"{subset}/labels": files.labels}
        if subset == "train":
            yield from _counted(layers | {"train/rgb_images": files.rgb}, published)
        else:
            yield from _optional(_counted(layers, published))


def _bright(root: Path) -> Iterator[PartCount]:
    files = bright.bright_files(root)
    optical, radar = files.layers["pre-event"], files.layers["post-event"]
    withheld = {tile for tile in radar if bright.event_of(tile) in bright.WITHHELD}
    others = {layer: set(found) - withheld for layer, found in files.layers.items()}
    yield from _counted(others, None)
    if withheld:
        layers = {
            "pre-event of Mexico, Myanmar, Ukraine": withheld & set(optical),
            "target of Mexico, Myanmar, Ukraine": withheld & set(files.layers["target"]),
        }
        for layer, found in layers.items():
            yield PartCount(layer, len(found), len(withheld), tuple(sorted(withheld - found)), needed=False)


def _folder(root: Path) -> Iterator[PartCount]:
    endings, bases = _folder_bases(root)
    for base in bases:
        prefix = "" if base == root else f"{base.name}/"
        layers = {f"{prefix}{name}": files_by_stem(base / name, kinds) for name, kinds in endings.items()}
        notes = {f"{prefix}{name}": other_images(base / name, kinds) for name, kinds in endings.items()}
        yield from (replace(part, note="" if part.found else notes[part.name]) for part in _counted(layers, None))


def _folder_bases(root: Path) -> tuple[dict[str, Names], list[Path]]:
    """Sub-folders with the endings of their files, and the folders that hold them: the root or its subsets."""
    endings = _folder_endings(read_description(root / DESCRIPTION_NAME))
    radar = next(iter(endings))
    bases = list(folders_with(root, radar, depth=1))
    if not bases:
        raise InputError(f"{root} holds no folder {radar}, neither itself nor in a sub-folder; correct the path.")
    return endings, bases


def _layers(root: Path) -> dict[str, Names]:
    """Names by sub-folder, of all subsets together."""
    endings, bases = _folder_bases(root)
    return {
        name: {stem for base in bases for stem in files_by_stem(base / name, kinds)} for name, kinds in endings.items()
    }


def _scenes(root: Path) -> Iterator[PartCount]:
    file = description_file(root)
    for place, options in read_scenes(file).places.items():
        for layer, files in options.files.items():
            paths = [resolve(file.parent, name) for name in files]
            missing = tuple(address(path) for path in paths if not (is_remote(path) or path.is_file()))
            yield PartCount(f"{place}: {layer}", len(files) - len(missing), len(files), missing)


def _folder_endings(description: FolderDescription) -> dict[str, Names]:
    """Sub-folders, SAR first, with the endings of their files."""
    endings: dict[str, Names] = dict.fromkeys(description.sar.folders, RASTER_ENDINGS)
    if description.optical:
        endings |= dict.fromkeys(description.optical.folders, RASTER_ENDINGS)
        if description.optical.invalid:
            endings[description.optical.invalid.folder] = RASTER_ENDINGS
    if description.label:
        endings[description.label.folder] = RASTER_ENDINGS | VECTOR_ENDINGS
    return endings


def _optional(parts: Iterator[PartCount]) -> Iterator[PartCount]:
    for part in parts:
        yield replace(part, needed=False)
