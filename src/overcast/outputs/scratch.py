"""The hidden folder beside an output, never one behind a symbolic link.

.probability.tif.partial/
    blocks/     finished blocks and their journal: what a killed run leaves for the next
    out/        outputs that grow; removed when the run ends, and by the next one after a kill
    former/     while outputs are renamed: the files that they replace
    publishing  while outputs are renamed: which, so that a kill in between can be taken back

The folder is opened once, and what is deleted is named relative to the open folder: a folder that is exchanged for a
link while the run is at work does not lead the deletion elsewhere. Only the parts above are ever deleted.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Self, cast

from overcast.outputs.writable import unusable_part, writing

BLOCKS, OUT, FORMER, PUBLISHING = "blocks", "out", "former", "publishing"
_BESIDE = f"{PUBLISHING}.new"
_KINDS: dict[str, Callable[[int], bool]] = {
    BLOCKS: stat.S_ISDIR,
    OUT: stat.S_ISDIR,
    FORMER: stat.S_ISDIR,
    PUBLISHING: stat.S_ISREG,
    _BESIDE: stat.S_ISREG,
}
LARGEST_MARK = 2**16
"""Bytes of `publishing` that are looked at."""
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_FOLDER_FLAGS = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _NO_FOLLOW


def target_name(folder: Path) -> str:
    """What the user knows a hidden folder by: the first output.

    >>> target_name(Path("maps/.probability.tif.partial"))
    'probability.tif'
    """
    return folder.name.removeprefix(".").removesuffix(".partial")


def open_own(path: Path, mode: str) -> IO[bytes]:
    """Open a file of a hidden folder, in a binary mode. Raises OSError where it is a symbolic link."""

    def no_follow(name: str, flags: int) -> int:
        return os.open(name, flags | _NO_FOLLOW, 0o666)

    return cast("IO[bytes]", open(path, mode, opener=no_follow))


def replace_own(path: Path, text: str) -> None:
    """Write a file of a hidden folder: readers see the old text or the new. Raises OSError."""
    beside = path.with_name(f"{path.name}.new")
    beside.unlink(missing_ok=True)
    with open_own(beside, "xb") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


class Scratch:
    """An open hidden folder. Whoever has it holds the lock of the output that it is named after."""

    def __init__(self, path: Path) -> None:
        """Use `create`. Raises InputError where the folder or a part of it is of the wrong kind."""
        self.path, self.title = path, target_name(path)
        if not stat.S_ISDIR(path.lstat().st_mode):
            raise unusable_part(path, self.title)
        self._at: dict[str, Any] = {}  # Windows cannot open folders
        if os.open in os.supports_dir_fd:
            with writing(path, self.title):
                self._at = {"dir_fd": os.open(path, _FOLDER_FLAGS)}
        for name, is_right in _KINDS.items():
            with suppress(FileNotFoundError):
                if not is_right(os.stat(self._place(name), follow_symlinks=False, **self._at).st_mode):  # noqa: PTH116 (takes no folder)
                    self.close()
                    raise unusable_part(path / name, self.title)

    @classmethod
    def create(cls, path: Path) -> Self:
        """The folder at `path`, made where there is none."""
        with writing(path, target_name(path)), suppress(FileExistsError):
            path.mkdir()
        return cls(path)

    def close(self) -> None:
        """Let go of the folder."""
        if self._at:
            os.close(self._at.pop("dir_fd"))

    def make(self, part: str) -> None:
        """Make a part that is a folder, empty."""
        self.remove(part)
        with writing(self.path, self.title):
            os.mkdir(self._place(part), **self._at)  # noqa: PTH102

    def remove(self, part: str) -> None:
        """Remove a part, if it is there. Links in it are removed, not followed."""
        if part in (PUBLISHING, _BESIDE):
            with suppress(FileNotFoundError):
                os.unlink(self._place(part), **self._at)
        else:
            shutil.rmtree(self._place(part), ignore_errors=True, **self._at)

    def write_mark(self, text: str) -> None:
        """Write `publishing` for good: a kill leaves the whole of it or nothing."""
        self.remove(_BESIDE)
        handle = self._open(_BESIDE, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        ends = {f"{end}_dir_fd": handle for handle in self._at.values() for end in ("src", "dst")}
        os.replace(self._place(_BESIDE), self._place(PUBLISHING), **ends)  # noqa: PTH105

    def read_mark(self) -> bytes | None:
        """What `publishing` holds, of bounded size; None where there is none."""
        try:
            with os.fdopen(self._open(PUBLISHING, os.O_RDONLY), "rb") as file:
                return file.read(LARGEST_MARK)
        except FileNotFoundError:
            return None

    def tidy(self) -> None:
        """Remove every part but finished blocks and what could not be taken back, and the folder if it is empty."""
        self.remove(OUT)
        self.remove(_BESIDE)
        if not os.path.lexists(self.path / PUBLISHING):
            self.remove(FORMER)
        if not any((self.path / BLOCKS).glob("*.block")):
            self.remove(BLOCKS)
        with suppress(OSError):
            self.path.rmdir()

    def _open(self, name: str, flags: int) -> int:
        return os.open(self._place(name), flags | _NO_FOLLOW, 0o666, **self._at)

    def _place(self, name: str) -> str:
        return name if self._at else str(self.path / name)
