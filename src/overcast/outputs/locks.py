"""One run at a time for each output: the lock of `map.gpkg` is the hidden file `.~map.gpkg.lock` beside it.

The system gives a lock back when its process ends, however it ends. The file itself is removed with the lock; a file
that a kill has left holds nobody up. The package filelock would leave the file behind after every run, and where a file
system has no locks it turns to files that outlive a kill, so a killed run would have to be cleaned up by hand.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from overcast.errors import InputError
from overcast.outputs.writable import unusable_part, writing
from overcast.processes import try_lock

_ATTEMPTS = 100
"""Times that a lock file is opened again because its holder removed it between opening and locking."""
_FLAGS = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def lock_path(target: Path) -> Path:
    """The lock of an output.

    >>> lock_path(Path("maps/town.gpkg")).name
    '.~town.gpkg.lock'
    """
    return target.with_name(f".~{target.name}.lock")


@contextmanager
def sole_writer(targets: Sequence[Path]) -> Iterator[None]:
    """Hold the locks of all outputs of a run; runs that share only some of them see each other.

    Locks are asked for in one order by all runs, and nobody waits for one. Raises InputError where another run holds
    one, or where something else lies in the place of a lock.
    """
    with ExitStack() as stack:
        held = {target: stack.enter_context(_held(target)) for target in sorted(set(targets))}
        for target in targets:
            if not held[target]:
                raise InputError(f"another run is at work on {target.name}; wait for it, or stop it.")
        yield


def remove_stale(folder: Path) -> None:
    """Remove the lock files that killed runs have left in a folder: they are empty, and nobody holds them."""
    for path in folder.glob(".~*.lock"):
        with suppress(OSError):
            handle = os.open(path, _FLAGS)
            try:
                status = os.fstat(handle)
                unused = stat.S_ISREG(status.st_mode) and not status.st_size and try_lock(handle)
                if unused and _is_named(handle, path):
                    path.unlink()
            finally:
                os.close(handle)


@contextmanager
def _held(target: Path) -> Iterator[bool]:
    """False where another run holds the lock."""
    path = lock_path(target)
    handle = _acquired(path, target)
    if handle is None:
        yield False
        return
    try:
        yield True
    finally:
        with suppress(OSError):
            if _is_named(handle, path):
                path.unlink()
        os.close(handle)


def _acquired(path: Path, target: Path) -> int | None:
    """An open and locked file that still has its name: one that was removed meanwhile locks nothing.

    None where another run holds it.
    """
    for _ in range(_ATTEMPTS):
        handle = _opened(path, target)
        locked = try_lock(handle)
        if locked and _is_named(handle, path):
            return handle
        os.close(handle)
        if not locked:
            break
    return None


def _opened(path: Path, target: Path) -> int:
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise unusable_part(path, target.name)
    with writing(path, target.name):
        return os.open(path, _FLAGS | os.O_CREAT, 0o666)


def _is_named(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except FileNotFoundError:
        return False
