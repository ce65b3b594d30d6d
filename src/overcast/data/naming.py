"""Names of files that belong together: composed the same way, and what is said where none is shared."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

from overcast.errors import InputError

IMAGE_ENDINGS = frozenset({".jpg", ".jpeg", ".jp2", ".png", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".img", ".npy"})
"""Endings of files that may have been meant as images."""
UNPACKED_DEPTH = 2
"""Folders of an archive's own name that an archive may have been unpacked into, one within the other."""


def composed(path: Path) -> str:
    """The stem of a file in composed form (NFC): macOS decomposes names, and they look the same.

    Raises InputError for a name that is not UTF-8.
    """
    try:
        path.name.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")
        raise InputError(f"{shown} has a name that is not UTF-8; rename it.") from None
    return unicodedata.normalize("NFC", path.stem)


def unpacked(folder: Path, endings: Collection[str]) -> Path:
    """The folder; or, where it holds no such file but one folder alone, that one, as archives are often unpacked."""
    for _ in range(UNPACKED_DEPTH):
        inside = [path for path in folder.iterdir() if path.name[0] != "." and path.name != "__MACOSX"]
        folders = [path for path in inside if path.is_dir()]
        if len(folders) != 1 or any(path.suffix.lower() in endings for path in inside if path.is_file()):
            break
        folder = folders[0]
    return folder


def other_images(folder: Path, endings: Collection[str]) -> str:
    """What is said of images whose ending is not read: `holds 4 .jpg, but ...`; nothing where there are none."""
    if not folder.is_dir():
        return ""
    found = Counter(path.suffix.lower() for path in folder.iterdir() if path.name[0] != "." and path.is_file())
    others = [f"{count} {ending}" for ending, count in sorted(found.items()) if ending in IMAGE_ENDINGS - {*endings}]
    if not others:
        return ""
    lossy = " (JPEG changes values: convert masks from their source)" if {".jpg", ".jpeg"} & set(found) else ""
    return f"holds {', '.join(others)}, but {', '.join(sorted(endings))} are read; convert them{lossy}"


def nothing_shared(layers: Mapping[str, Collection[str]]) -> str:
    """What is said where no name occurs in all of several layers; nothing where one does, or a layer is empty."""
    if len(layers) < 2 or not all(layers.values()) or set.intersection(*map(set, layers.values())):
        return ""
    tails = {layer: _affixes(names) for layer, names in layers.items()}
    cores = [{_without(name, tails[layer]) for name in names} for layer, names in layers.items()]
    why = ""
    if set.intersection(*cores):
        marks = [f"{layer} has {head}...{tail}" for layer, (head, tail) in tails.items() if head or tail]
        why = f" ({', '.join(marks)})"
    return (
        f"no file name occurs in all of the folders {', '.join(layers)}{why}; give the files of one chip the same "
        "name, except for the ending"
    )


def _affixes(names: Collection[str]) -> tuple[str, str]:
    """What all names begin and end with, in whole words."""
    words = [name.replace("-", "_").split("_") for name in names]
    head, tail = (_shared([line[::step] for line in words]) for step in (1, -1))
    first = next(iter(names))
    return first[: sum(len(word) + 1 for word in head)], first[len(first) - sum(len(word) + 1 for word in tail) :]


def _shared(lines: list[list[str]]) -> list[str]:
    """Words that all lines begin with, but for the last word of the shortest."""
    shortest = min(len(line) for line in lines) - 1
    count = next((k for k in range(shortest) if len({line[k] for line in lines}) > 1), shortest)
    return lines[0][:count]


def _without(name: str, affixes: tuple[str, str]) -> str:
    head, tail = affixes
    return name.removeprefix(head).removesuffix(tail)
