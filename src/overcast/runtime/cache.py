"""Exported networks kept between runs: found by what they were made from, checked by their own hash."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

LARGEST_BYTES = 2**30
"""Largest size of all exports that are kept; those whose last use is longest ago are deleted first."""
_ENDING = ".onnx"


def cache_folder() -> Path:
    """Where this user's caches of Overcast lie: `XDG_CACHE_HOME`, else what the system intends for it."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    if Path(named).is_absolute():
        return Path(named) / "overcast"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", _home())) / "overcast" / "cache"
    return _home() / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "overcast"


def _home() -> Path:
    """This user's home folder; `~` where nobody knows it."""
    return Path(os.path.expanduser("~"))  # noqa: PTH111 (Path.home raises where nobody knows it)


class ExportCache:
    """A folder of files `KEY-HASH.onnx`: the hash is that of the file, so its name reveals a damaged file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str, make: Callable[[], bytes]) -> bytes:
        """The export of a key, made and kept where there is none or only a damaged one.

        A folder that cannot be written keeps nothing, which is no error: the export is made each time. A home folder
        that does not exist is not made.
        """
        found = self.find(key)
        if found is None:
            found = make()
            self._keep(key, found)
        return found

    def find(self, key: str) -> bytes | None:
        """The export of a key that is kept and whole; None where there is none. A damaged one is removed."""
        try:
            for path in sorted(self.folder.glob(f"{key}-*{_ENDING}")):
                content = path.read_bytes()
                if path.name == _name(key, content):
                    os.utime(path)
                    return content
                path.unlink()
        except OSError:
            return None
        return None

    def _keep(self, key: str, content: bytes) -> None:
        beside: Path | None = None
        if self.folder.is_relative_to(_home()) and not _home().is_dir():
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f".{key[:8]}.", dir=self.folder)
            beside = Path(name)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            beside.replace(self.folder / _name(key, content))
            self._trim()
        except OSError:
            if beside is not None:
                beside.unlink(missing_ok=True)

    def _trim(self) -> None:
        files = [(path.stat(), path) for path in self.folder.glob(f"*{_ENDING}")]
        total = 0
        for status, path in sorted(files, key=lambda entry: entry[0].st_mtime, reverse=True):
            total += status.st_size
            if total > LARGEST_BYTES:
                path.unlink(missing_ok=True)


def _name(key: str, content: bytes) -> str:
    return f"{key}-{hashlib.sha256(content).hexdigest()}{_ENDING}"
