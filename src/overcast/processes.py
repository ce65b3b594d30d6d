"""Processes that keep out of each other's way: one at a time in a folder, and none outlives its command."""

from __future__ import annotations

import errno
import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from overcast.errors import ConfigError


@contextmanager
def sole_user(folder: Path) -> Iterator[None]:
    """Hold a folder: a second process that asks for it is refused. The hold ends with the process, however it ends.

    The lock is that of the operating system (flock on the folder itself); on Windows there is none.

    Raises:
        ConfigError: Another process holds the folder.
    """
    if sys.platform == "win32":
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        if not try_lock(handle):
            raise ConfigError(
                f"another process is writing to {folder}: wait until it ends, or choose another output folder."
            )
        yield
    finally:
        os.close(handle)


if sys.platform == "win32":
    import msvcrt

    def try_lock(handle: int) -> bool:
        """Lock an open file until it is closed. False where another process holds it."""
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def try_lock(handle: int) -> bool:
        """Lock an open file or folder until it is closed. False where another process holds it.

        A file system without locks lets everyone in.
        """
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno not in {errno.EWOULDBLOCK, errno.EACCES}
        return True


def end_with_parent() -> None:
    """Watch for a killed parent: a worker that outlived it would wait for ever, or write beside the next attempt.

    To be called in the worker, once. A process that multiprocessing did not start has no parent to watch.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
