"""Outputs appear together or not at all, whatever ends the run in between.

Before the first output is renamed, `publishing` says which files are coming. With the permission to overwrite, the
file that stands in the place of each is kept in `former` until the last has been renamed. A run that ends in between is
taken back from that, by itself or, after a kill, by the next run on the same outputs.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path

from overcast.errors import InputError
from overcast.outputs.scratch import BLOCKS, FORMER, PUBLISHING, Scratch


@dataclass(frozen=True)
class Mark:
    """A mark by which an output is known again after it has been renamed."""

    name: str
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, grown: Path, name: str) -> Mark:
        """The mark of a file that will have `name`."""
        status = grown.lstat()
        return cls(name, status.st_size, status.st_mtime_ns)

    def stands(self, target: Path) -> bool:
        """True where `target` is the file of this mark."""
        try:
            return Mark.of(target, self.name) == self
        except FileNotFoundError:
            return False


Folders = Mapping[Path, Scratch]
"""The hidden folder in each folder that has targets."""


def publish(grown: Mapping[Path, Path], folders: Folders, *, overwrite: bool) -> None:
    """Rename finished files to their targets, all or none.

    Args:
        grown: Finished file of each target, in the order in which targets appear.
        folders: Their hidden folders; the caller holds the locks of all targets.
        overwrite: Replace what stands there. Without it, what has appeared meanwhile is kept.

    Raises:
        InputError: A target has appeared meanwhile.
        OSError: A file cannot be renamed. Nothing has changed then.
    """
    marks = [Mark.of(path, target.name) for target, path in grown.items()]
    for scratch in folders.values():
        scratch.write_mark(json.dumps([astuple(mark) for mark in marks]))
        scratch.make(FORMER)
    try:
        for target, path in grown.items():
            if overwrite:
                _keep_former(target, folders)
                path.replace(target)
            else:
                _place(path, target)
    except BaseException:
        _take_back(list(grown), marks, folders)
        _forget(folders)
        raise
    _complete(folders)


def recover(targets: Sequence[Path], folders: Folders) -> None:
    """Complete or take back what a killed run was publishing; the caller holds the locks of all targets.

    A `publishing` that names other files than the targets, or is damaged, says nothing: it is left as it is.
    """
    for scratch in folders.values():
        marks = _marks(scratch, targets)
        if marks is None:
            continue
        if marks[-1].stands(targets[-1]):
            _complete(folders)
        else:
            _take_back(targets, marks, folders)
            _forget(folders)
        return


def require_absent(target: Path) -> None:
    """Raise InputError where something stands in the place of an output that must not be replaced."""
    if os.path.lexists(target):
        raise InputError(f"{target} exists; name another file, or allow overwriting (--overwrite).")


def _marks(scratch: Scratch, targets: Sequence[Path]) -> list[Mark] | None:
    """What `publishing` says about exactly these targets; None where it does not."""
    content = scratch.read_mark()
    if content is None:
        return None
    try:
        marks = [Mark(*entry) for entry in json.loads(content)]
    except (ValueError, TypeError, RecursionError):
        return None
    return marks if [mark.name for mark in marks] == [target.name for target in targets] else None


def _place(grown: Path, target: Path) -> None:
    """Give a file its name without replacing another that has appeared there meanwhile."""
    try:
        os.link(grown, target, follow_symlinks=False)
    except FileExistsError:
        require_absent(target)
        raise
    except OSError:  # a file system without hard links
        require_absent(target)
        grown.rename(target)
    else:
        grown.unlink()


def _keep_former(target: Path, folders: Folders) -> None:
    """Keep the file that is to be replaced; where it can have two names, it stands in its place all the time."""
    former = folders[target.parent].path / FORMER / target.name
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    with suppress(FileNotFoundError):
        try:
            os.link(target, former, follow_symlinks=False)
        except FileNotFoundError:
            raise
        except OSError:  # a file system without hard links
            target.rename(former)


def _take_back(targets: Sequence[Path], marks: Sequence[Mark], folders: Folders) -> None:
    """Former files back to their places, and new ones away. What is neither is left alone."""
    for target, mark in zip(targets, marks, strict=True):
        former, new = folders[target.parent].path / FORMER / target.name, mark.stands(target)
        if os.path.lexists(former) and (new or not os.path.lexists(target)):
            former.replace(target)
        elif new:
            target.unlink()


def _complete(folders: Folders) -> None:
    for scratch in folders.values():
        scratch.remove(BLOCKS)
    _forget(folders)


def _forget(folders: Folders) -> None:
    """From here on the publication has been carried out, or never began."""
    for scratch in folders.values():
        scratch.remove(PUBLISHING)
    for scratch in folders.values():
        scratch.remove(FORMER)
