"""Files that appear whole or not at all: written beside under a hidden name, then renamed."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LEFTOVERS = ".*.tmp-*"
"""Matches what a killed process was writing."""
_LONGEST_STEM = 40
"""Characters of the name in that of the hidden file, which a file system must take as well."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden path beside `path`, of the same ending: what the block writes there becomes `path` when it ends.

    The folders above `path` are made. Readers, and whoever looks after a crash, see the former file or the new one.
    Where the block raises an error, `path` stays as it was. An OSError about the hidden file names `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    mark = f"tmp-{os.getpid()}-{threading.get_ident()}"
    beside = path.with_name(f".{path.stem[:_LONGEST_STEM]}.{mark}{path.suffix}")
    try:
        yield beside
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        if error.filename not in (None, str(beside)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        beside.unlink(missing_ok=True)


def write_atomic(path: Path, content: str | bytes | memoryview) -> None:
    """Write a file at once; text as UTF-8. Raises what `replacing` raises."""
    with replacing(path) as beside:
        beside.write_bytes(content.encode() if isinstance(content, str) else content)
