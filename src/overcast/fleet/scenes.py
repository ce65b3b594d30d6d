"""Which scenes are meant: files, folders, lists, STAC records, addresses."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from overcast.errors import InputError
from overcast.fleet.stac_items import StacScene, record_of, stac_scenes
from overcast.products.folders import export_of
from overcast.raster.addresses import address, file_name, is_remote, located
from overcast.reading import read_text

RASTERS = (".tif", ".tiff")
"""Endings that a folder is searched for; a virtual raster has to be named."""


@dataclass(frozen=True)
class SceneSpec:
    """A scene to map."""

    name: str
    """Stem of its outputs; differs from those of all others."""
    files: tuple[Path, ...]
    """On one grid; their bands, in order, are the model's."""
    acquired: datetime | None = None
    """When it was taken, where that is recorded."""


def find_scenes(arguments: Sequence[str], bands: Sequence[str]) -> list[SceneSpec]:
    """The scenes that are named, in order, each once.

    An argument is a raster file; a folder, of which all rasters are taken; a text file (.txt) with a scene a line, the
    files of one scene separated by tabs, and relative names from where it lies; a STAC item, item collection or
    collection (.json, .geojson); or the address of a raster or a STAC record.

    Args:
        arguments: As the user wrote them.
        bands: Of the model: which assets of a STAC item are taken where it has several images.

    Raises:
        InputError: Something does not exist, is empty or unreadable; two scenes have one name.
    """
    found = list(dict.fromkeys(spec for argument in arguments for spec in _scenes_of(argument, bands)))
    named = _told_apart(found)
    twice = [name for name, count in Counter(spec.name for spec in named).items() if count > 1]
    if twice:
        raise InputError(f"two scenes would both be written as {twice[0]}; rename one, or map them into two folders.")
    return named


def first_scene(arguments: Sequence[str], bands: Sequence[str]) -> SceneSpec:
    """The first of the same scenes, without a look at the others. Raises InputError where it cannot be found."""
    return next(spec for argument in arguments for spec in _scenes_of(argument, bands))


def _scenes_of(argument: str, bands: Sequence[str]) -> Iterator[SceneSpec]:
    record = record_of(argument)
    if record is not None:
        yield from (_of_stac(scene) for scene in stac_scenes(record[0], bands, record[1]))
        return
    path = located(argument)
    suffix = Path(file_name(path)).suffix.lower()
    if is_remote(path):
        yield _of_files((path,))
    elif path.is_dir():
        yield from _of_folder(path)
    elif suffix == ".txt":
        yield from _of_list(path)
    elif path.is_file():
        yield _of_files((path,))
    else:
        raise InputError(f"{path} does not exist; check the path.")


def _of_files(files: tuple[Path, ...]) -> SceneSpec:
    return SceneSpec(Path(file_name(files[0])).stem, files)


def _of_stac(scene: StacScene) -> SceneSpec:
    return SceneSpec(scene.name, scene.files, scene.acquired)


def _of_folder(folder: Path) -> Iterator[SceneSpec]:
    files = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in RASTERS and path.name[0] != "."]
    if not files:
        raise InputError(f"{folder} has no {', '.join(RASTERS)} in it; name the folder that holds the scenes.")
    _require_no_tiles(folder, files)
    yield from (_of_files((path,)) for path in files)


def _require_no_tiles(folder: Path, files: Sequence[Path]) -> None:
    """Raise InputError for the tiles of one export, which would be mapped with seams between them."""
    exports = Counter(name for file in files if (name := export_of(file)) is not None)
    tiled = next((name for name, count in exports.items() if count > 1), None)
    if tiled is not None:
        raise InputError(
            f"{folder} holds {exports[tiled]} tiles of one scene, {tiled}; make one image of them first: overcast "
            f"prepare {folder / tiled}-*.tif -o {tiled}.tif."
        )


def _of_list(path: Path) -> Iterator[SceneSpec]:
    lines = read_text(path, InputError, "write one scene a line").splitlines()
    scenes = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not scenes:
        raise InputError(f"{path} lists no scene; write one a line.")
    for line in scenes:
        files = tuple(located(name) for part in line.split("\t") if (name := _unquoted(part)))
        yield _of_files(tuple(file if is_remote(file) else _beside(path, file) for file in files))


def _beside(listing: Path, file: Path) -> Path:
    """A file of a list, seen from where the list lies; Windows may have written its folders."""
    found = listing.parent / file
    slashed = listing.parent / str(file).replace("\\", "/")
    return slashed if not os.path.exists(found) and os.path.exists(slashed) else found  # noqa: PTH110  # of any length


def _unquoted(text: str) -> str:
    """A name as it stands in a list, without blanks and the quotes that some programs put around it."""
    name = text.strip()
    if "\0" in name:
        raise InputError("a scene list holds a zero character; write one scene a line, as plain text.")
    return name[1:-1] if len(name) > 1 and name[0] == name[-1] and name[0] in "\"'" else name


def _told_apart(scenes: list[SceneSpec]) -> list[SceneSpec]:
    """Scenes of one name get that of their folder in front."""
    counts = Counter(scene.name for scene in scenes)
    return [
        scene if counts[scene.name] == 1 else replace(scene, name=f"{_folder_name(scene.files[0])}_{scene.name}")
        for scene in scenes
    ]


def _folder_name(path: Path) -> str:
    parts = address(path if is_remote(path) else path.resolve()).replace("\\", "/").split("/")
    return parts[-2] if len(parts) > 1 else ""
