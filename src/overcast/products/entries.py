"""Files of a folder or of a zip archive, alike: archives are read as they are, nothing is unpacked."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

from overcast.errors import InputError
from overcast.raster.addresses import INSIDE, address, file_name, is_remote
from overcast.reading import first_line, read_bytes

DEEPEST = 3
"""Levels of folders in a product."""
MOST_FILES = 20_000
LARGEST_DOCUMENT_BYTES = 64 * 2**20


def entries(place: Path) -> list[Path]:
    """Files of a folder or zip archive in order of their names; those of archives by GDAL's name for them.

    Raises InputError for an archive that is damaged, or for more files than a product has.
    """
    found = []
    for path in _walk(place, DEEPEST) if place.is_dir() else _members(place):
        found.append(path)
        if len(found) > MOST_FILES:
            raise InputError(f"{place} holds more than {MOST_FILES} files; name the product, or its images.")
    return sorted(found, key=str)


def content_of(path: Path, remedy: str = "name another file") -> bytes:
    """The bytes of a document: a file, or one in a zip archive. Raises InputError for damage and for large ones."""
    inside = INSIDE.fullmatch(str(path))
    if inside is None:
        return read_bytes(path, InputError, remedy, LARGEST_DOCUMENT_BYTES)
    try:
        with zipfile.ZipFile(inside["archive"]) as archive, archive.open(inside["name"]) as file:
            content = file.read(LARGEST_DOCUMENT_BYTES + 1)
    except (OSError, KeyError, RuntimeError, NotImplementedError, zipfile.BadZipFile, EOFError, ValueError) as error:
        raise InputError(f"{address(path)} cannot be read ({first_line(error)}); {remedy}.") from error
    if len(content) > LARGEST_DOCUMENT_BYTES:
        raise InputError(f"{address(path)} is larger than any document; {remedy}.")
    return content


def folder_of(path: Path) -> str:
    """Name of the folder that a file lies in."""
    parts = str(path).rsplit("/", 2)
    return parts[-2] if len(parts) > 1 else ""


def ending(path: Path) -> str:
    """Ending of a file's name in small letters."""
    return Path(file_name(path)).suffix.lower()


def on_disk(path: Path) -> Path:
    """The file itself, or the archive that it lies in."""
    inside = INSIDE.fullmatch(str(path))
    return Path(inside["archive"]) if inside is not None and is_remote(path) else path


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == "__MACOSX":
            continue
        if path.is_dir() and not path.is_symlink():
            if depth:
                yield from _walk(path, depth - 1)
        elif path.is_file():
            yield path


def _members(archive: Path) -> Iterator[Path]:
    try:
        with zipfile.ZipFile(archive) as opened:
            names = [info.filename for info in opened.infolist() if not info.is_dir()]
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise InputError(f"{archive} cannot be read as a zip archive ({first_line(error)}); copy it again.") from error
    for name in names:
        parts = name.split("/")
        plain = "{" not in name and "}" not in name and ".." not in parts and name.isprintable()
        if plain and not any(part.startswith((".", "__MACOSX")) for part in parts):
            yield Path(f"/vsizip/{{{archive.absolute()}}}/{name}")
