"""The files of a model that is packed or published: which there are, how large they may be, and how they are copied."""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import IO

from overcast.bundle.contract import CARD, ITEM, LARGEST_RECORD_BYTES, RECORD, WEIGHTS
from overcast.errors import BundleError
from overcast.reading import first_line, quoted

LARGEST: Mapping[str, int] = {RECORD: LARGEST_RECORD_BYTES, WEIGHTS: 2 * 2**30, CARD: 2**20, ITEM: 2**20}
"""The files of a model, and how many bytes each may have; no other file is taken."""
NEEDED = (RECORD, WEIGHTS)
"""The files without which there is no model."""
LARGEST_ARCHIVE = sum(LARGEST.values()) + 2**20
MOST_ENTRIES = 100
"""Files and folders in an archive."""
_PICKLED = "weights in pickles (.pt, .pth, .ckpt, .bin) can run code and are never loaded"
_PIECE_BYTES = 2**20


def copy_folder(source: Path, target: Path) -> None:
    """Copy the files of a bundle folder into an empty folder.

    Raises BundleError where one is missing, too large, or a link: it could lead to any file of this machine.
    """
    for name in (name for name in LARGEST if name in NEEDED or (source / name).exists()):
        path = source / name
        try:
            status = path.lstat()
        except FileNotFoundError:
            raise BundleError(f"{source} is not a model bundle, {name} is missing; {_PICKLED}.") from None
        if not stat.S_ISREG(status.st_mode):
            raise BundleError(f"{path} is not a regular file; copy the file itself.")
        with path.open("rb") as file:
            _write(file, target / name, str(path))


def unpack(archive: Path, target: Path) -> None:
    """Write the files of a bundle in a .zip archive into an empty folder.

    They lie at the top of the archive or in one folder. Raises BundleError where one is missing, too large or damaged,
    or where a name or a link leads out of the archive.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            for name, entry in _entries(archive, file).items():
                with file.open(entry) as content:
                    _write(content, target / name, f"{archive.name}: {name}")
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        RuntimeError,
        ValueError,
        NotImplementedError,
        struct.error,
    ) as error:
        raise BundleError(
            f"{archive.name} cannot be read as .zip ({first_line(error)}); name a bundle folder or its archive. Note "
            f"that {_PICKLED}."
        ) from None


def pack(source: Path, archive: Path) -> None:
    """Write the files of a bundle folder into a new .zip archive, the same bytes for the same files."""
    with zipfile.ZipFile(archive, "x", zipfile.ZIP_STORED) as file:
        for name in (name for name in LARGEST if (source / name).is_file()):
            entry = zipfile.ZipInfo(name)  # of the year 1980
            entry.external_attr = 0o100644 << 16
            file.writestr(entry, (source / name).read_bytes())


def _entries(archive: Path, file: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The entries that are files of a bundle, by name."""
    entries = file.infolist()
    if len(entries) > MOST_ENTRIES:
        raise BundleError(
            f"{archive.name} holds {len(entries)} files, at most {MOST_ENTRIES} are read; pack the bundle alone."
        )
    found: dict[str, zipfile.ZipInfo] = {}
    folders = set()
    for entry in entries:
        path = PurePosixPath(entry.filename)
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if path.is_absolute() or ".." in path.parts or "\\" in entry.filename or ":" in entry.filename:
            raise BundleError(f"{archive.name}: {quoted(entry.filename)} leads out of the archive; do not use it.")
        if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
            raise BundleError(f"{archive.name}: {quoted(entry.filename)} is a link or a device; do not use it.")
        if entry.is_dir() or path.name not in LARGEST:
            continue
        if path.name in found:
            raise BundleError(f"{archive.name} holds {path.name} twice; pack one bundle alone.")
        found[path.name] = entry
        folders.add(path.parent)
    missing = [name for name in NEEDED if name not in found]
    if missing:
        raise BundleError(f"{archive.name} is not a model bundle, {' and '.join(missing)} missing; {_PICKLED}.")
    if len(folders) > 1:
        raise BundleError(f"{archive.name} holds the files of a bundle in several folders; pack one bundle alone.")
    return found


def _write(source: IO[bytes], target: Path, label: str) -> None:
    limit, done = LARGEST[target.name], 0
    with target.open("xb") as file:
        while piece := source.read(_PIECE_BYTES):
            done += len(piece)
            if done > limit:
                raise BundleError(f"{label} has more than {limit / 2**20:g} MB, too much for it; do not use it.")
            file.write(piece)
