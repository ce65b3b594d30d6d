"""Bytes and text of a file, with a bound on its size and its encoding named where it is another one."""

from __future__ import annotations

import codecs
import hashlib
import os
import stat
from pathlib import Path

from overcast.errors import OvercastError
from overcast.reading.words import UnreadableError, first_line, shortened

LARGEST_BYTES = 64 * 2**20
"""Largest size of a text file; readers of larger kinds say so."""
LARGEST_DATA_BYTES = 2**30
"""Largest size of text files that hold the data of a whole city."""
_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_bytes(path: Path, error: type[OvercastError], remedy: str, limit: int = LARGEST_BYTES) -> bytes:
    """All bytes of a regular file of at most `limit` bytes. `remedy` ends the sentence of the error."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # a pipe nobody writes to must not wait
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise error(f"{named(path)} is not a regular file; {remedy}.")
            content = file.read(limit + 1)
    except FileNotFoundError:
        raise error(f"{named(path)} does not exist; check the path.") from None
    except (OSError, ValueError) as problem:  # ValueError: a path with a zero character
        reason = getattr(problem, "strerror", None) or first_line(problem)
        raise error(f"{named(path)} cannot be read ({reason}); {remedy}.") from problem
    if len(content) > limit:
        raise error(f"{named(path)} has more than {limit / 2**20:g} MB, too much for such a file; {remedy}.")
    return content


def read_text(path: Path, error: type[OvercastError], remedy: str, limit: int = LARGEST_BYTES) -> str:
    """The text of a file in UTF-8, with or without a byte order mark."""
    content = read_bytes(path, error, remedy, limit)
    try:
        return decoded(content)
    except UnreadableError as problem:
        raise error(f"{named(path)} {problem}; save it as UTF-8.") from problem


def decoded(content: bytes) -> str:
    """UTF-8 text of bytes; UnreadableError says which other encoding they are probably in."""
    for mark, name in _MARKS:
        if content.startswith(mark):
            raise UnreadableError(f"is text in {name}")
    if b"\0" in content[1:4:2]:
        raise UnreadableError("is text in UTF-16 or no text at all")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        byte = content[problem.start]
        kind = "no text in UTF-8" if b"\0" in content else "no text in UTF-8, perhaps Latin-1 (Windows)"
        raise UnreadableError(f"is {kind}: byte 0x{byte:02x} at {problem.start}") from None


def named(path: Path) -> str:
    """A path as errors show it."""
    return shortened(str(path), 200)
