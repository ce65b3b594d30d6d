"""Outputs grow in a hidden folder beside their targets and are renamed together; the folder also keeps finished blocks.

.probability.tif.partial/
    lock        held while a run is at work
    blocks/     finished blocks and their journal: what a killed run leaves for the next
    out/        outputs that grow; removed when the run ends, and by the next one after a kill
    publishing  while outputs are renamed: which, so that a kill in between can be taken back
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from overcast.errors import InputError
from overcast.inference.outputs import writing

_BLOCKS, _OUT, _LOCK, _PUBLISHING = "blocks", "out", "lock", "publishing"


class Staging:
    """Where the outputs of one run grow."""

    def __init__(self, targets: Sequence[Path], folders: dict[Path, Path]) -> None:
        """Use `staged`. `folders` maps each folder with targets to the hidden one in it."""
        self._targets, self._folders = tuple(targets), folders

    def path(self, target: Path) -> Path:
        """Where `target` is written until it is published; same file name, so that layers are named after it."""
        return self._folders[target.parent] / _OUT / target.name

    def scratch(self, name: str) -> Path:
        """A path for a temporary file, beside the first target."""
        folder = self._folders[self._targets[0].parent] / _OUT / "scratch"
        folder.mkdir(exist_ok=True)
        return folder / name

    @property
    def blocks(self) -> Path:
        """Folder for what outlives a killed run."""
        return _first_with_blocks([self._folders[target.parent] for target in self._targets])

    def publish(self) -> None:
        """Rename every output to its target; where one fails, those already renamed are removed."""
        marks = [_mark(self.path(target), target) for target in self._targets]
        for folder in self._folders.values():
            beside = folder / f"{_PUBLISHING}.new"
            beside.write_text(json.dumps(marks), encoding="utf-8")
            beside.replace(folder / _PUBLISHING)
        done: list[Path] = []
        try:
            for target in self._targets:
                self.path(target).replace(target)
                done.append(target)
        except BaseException:
            for target in done:
                target.unlink(missing_ok=True)
            raise
        for folder in self._folders.values():
            shutil.rmtree(folder / _BLOCKS, ignore_errors=True)


@contextmanager
def staged(targets: Sequence[Path]) -> Iterator[Staging]:
    """Hidden folders beside `targets`; when the block ends, however it ends, finished blocks at most are left.

    Raises InputError where another run is at work on the same outputs.
    """
    folders = _work_folders(targets)
    with ExitStack() as stack:
        for folder in folders.values():
            with writing(folder, target_name(folder)):
                folder.mkdir(exist_ok=True)
            stack.enter_context(_locked(folder))
            stack.callback(_tidy, folder)  # while the lock is still held
            shutil.rmtree(folder / _OUT, ignore_errors=True)
            with writing(folder, target_name(folder)):
                (folder / _OUT).mkdir()
        yield Staging(targets, folders)


def recover_publication(targets: Sequence[Path]) -> None:
    """Take back outputs of a run that was killed between the renaming of the first and that of the last."""
    for folder in _work_folders(targets).values():
        if not (folder / _PUBLISHING).is_file():
            continue
        with _locked(folder):
            marks = json.loads((folder / _PUBLISHING).read_text(encoding="utf-8"))
            published = [Path(path) for path, *_ in marks if _stands(path, marks)]
            if len(published) < len(marks):
                for path in published:
                    path.unlink()
            else:
                shutil.rmtree(folder / _BLOCKS, ignore_errors=True)
            (folder / _PUBLISHING).unlink()
        _tidy(folder)


def _mark(grown: Path, target: Path) -> tuple[str, int, int]:
    """Name of a target, and size and time by which it is known again after renaming."""
    status = grown.stat()
    return str(target.resolve()), status.st_size, status.st_mtime_ns


def _stands(path: str, marks: Sequence[Sequence[object]]) -> bool:
    target = Path(path)
    return target.is_file() and list(_mark(target, target)) in [list(mark) for mark in marks]


def _work_folders(targets: Sequence[Path]) -> dict[Path, Path]:
    """The hidden folder in each folder that has targets, named after the first of them."""
    folders: dict[Path, Path] = {}
    for target in targets:
        folders.setdefault(target.parent, target.parent / f".{target.name}.partial")
    return folders


def target_name(folder: Path) -> str:
    """What the user knows a hidden folder by: the first output.

    >>> target_name(Path("maps/.probability.tif.partial"))
    'probability.tif'
    """
    return folder.name.removeprefix(".").removesuffix(".partial")


def _first_with_blocks(folders: Sequence[Path]) -> Path:
    return next((folder for folder in folders if (folder / _BLOCKS).is_dir()), folders[0]) / _BLOCKS


def _tidy(folder: Path) -> None:
    """Remove everything but finished blocks."""
    if any((folder / _BLOCKS).glob("*.block")):
        shutil.rmtree(folder / _OUT, ignore_errors=True)
        (folder / _PUBLISHING).unlink(missing_ok=True)
    else:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder. The system gives it back when a process ends, however it ends."""
    with (folder / _LOCK).open("ab") as file:
        if not _lock(file):
            raise InputError(f"another run is at work on {target_name(folder)}; wait for it, or stop it.")
        yield


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> bool:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks
            return True
        return True
