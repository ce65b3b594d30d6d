"""Whether outputs can be written, and what is said where they cannot."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rasterio._err import CPLE_BaseError  # raised as it is by rasterio.shutil.copy, and exported nowhere else
from rasterio.errors import RasterioError

from overcast.errors import InputError


@contextmanager
def termination_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM, which schedulers send, as Ctrl-C, so that outputs are cleaned up.

    Does nothing outside the main thread, where Python cannot handle signals, or where SIGTERM is handled already.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def require_writable(target: Path, *, overwrite: bool) -> None:
    """Raise InputError where `target` cannot be written: no such folder, no permission, or it exists."""
    if not target.parent.is_dir():
        raise InputError(f"{target.parent} is not a folder; create it, or write elsewhere.")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise InputError(f"{target.parent} is not writable; change its permissions, or write elsewhere.")
    if target.is_dir():
        raise InputError(f"{target} is a folder; name a file.")
    if target.exists() and not overwrite:
        raise InputError(f"{target} exists; name another file, or allow overwriting (--overwrite).")


def require_space(target: Path, needed_bytes: int) -> None:
    """Raise InputError where the disk of `target` has less than `needed_bytes` free."""
    free = shutil.disk_usage(target.parent).free
    if free < needed_bytes:
        raise InputError(
            f"{target.parent} has {free / 1e9:.2f} GB free, but {target.name} needs about {needed_bytes / 1e9:.2f} GB "
            "while it is written; free some space, or write elsewhere."
        )


@contextmanager
def writing(path: Path, name: str | None = None) -> Iterator[None]:
    """Turn what fails while `path` is written, a full disk above all, into an InputError that names the file.

    `name` is what the user knows it by, where that is not its own name.
    """
    try:
        yield
    except (OSError, RasterioError, CPLE_BaseError) as error:
        reason = (os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)).rstrip(".")
        free = shutil.disk_usage(path.parent).free
        raise InputError(
            f"{name or path.name} cannot be written ({reason}; {free / 1e9:.2f} GB are free on its disk); "
            "free some space, or write elsewhere."
        ) from error
