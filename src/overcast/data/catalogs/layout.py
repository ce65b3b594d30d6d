"""Finding the folders of a published data set wherever they were unpacked, and what their layers lack."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from overcast.data.naming import composed, unpacked
from overcast.errors import InputError

SEARCH_DEPTH = 4
"""Levels below the root on which the folders of a data set are looked for."""
LISTED = 3
"""How many names an error lists."""


def folders_with(root: Path, inside: str, depth: int = SEARCH_DEPTH) -> Iterator[Path]:
    """Folders, the root among them, that hold the sub-folder `inside`; not looked for below one another."""
    if (root / inside).is_dir():
        yield root
    elif depth and root.is_dir():
        for child in sorted(root.iterdir()):
            if child.is_dir() and not child.name.startswith("."):
                yield from folders_with(child, inside, depth - 1)


def files_by_stem(folder: Path, endings: Collection[str] = (".tif", ".tiff"), tail: str = "") -> dict[str, Path]:
    """Files by the composed name in front of `tail` and the ending; none where the folder is missing.

    The folder may hold them in another one alone, as some programs unpack archives. Raises InputError for a name that
    is not UTF-8.
    """
    if not folder.is_dir():
        return {}
    inside = sorted(unpacked(folder, endings).iterdir())
    files = [(composed(path), path) for path in inside if path.suffix.lower() in endings and path.name[0] != "."]
    return {stem.removesuffix(tail): path for stem, path in files if stem.endswith(tail)}


def require_partners(folder: Path, layers: Mapping[str, Collection[str]], noun: str, hint: str) -> None:
    """Raise one InputError that lists what every layer lacks of the names that the others hold."""
    every = set().union(*layers.values())
    lacks = [
        f"{layer} lacks {len(missing)} of {len(every)} {noun} ({some(missing)})"
        for layer, found in layers.items()
        if (missing := sorted(every - set(found)))
    ]
    if lacks:
        raise InputError(f"{folder} is incomplete: {'; '.join(lacks)}; {hint}.")


def some(names: Sequence[str]) -> str:
    """The first few names."""
    return ", ".join(names[:LISTED]) + (", ..." if len(names) > LISTED else "")
