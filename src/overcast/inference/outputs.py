"""Outputs are written beside their targets and renamed together; interrupted, nothing is left."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rasterio._err import CPLE_BaseError  # raised as it is by rasterio.shutil.copy, and exported nowhere else
from rasterio.errors import RasterioError

from overcast.errors import InputError


class Staging:
    """Hidden folders beside the targets, in which outputs grow."""

    def __init__(self, folders: dict[Path, Path]) -> None:
        """Use `staged`. `folders` maps each target to its hidden folder."""
        self._folders = folders

    def path(self, target: Path) -> Path:
        """Where `target` is written until it is published; same file name, so that layers are named after it."""
        return self._folders[target] / target.name

    def scratch(self, name: str) -> Path:
        """A path for a temporary file, beside the first target."""
        folder = next(iter(self._folders.values())) / "scratch"
        folder.mkdir(exist_ok=True)
        return folder / name

    def publish(self) -> None:
        """Rename every output to its target; where one fails, those already renamed are removed."""
        done: list[Path] = []
        try:
            for target in self._folders:
                self.path(target).replace(target)
                done.append(target)
        except BaseException:
            for target in done:
                target.unlink(missing_ok=True)
            raise


@contextmanager
def staged(targets: Sequence[Path]) -> Iterator[Staging]:
    """Folders beside `targets`, removed with all that is in them when the block ends, however it ends."""
    folders: dict[Path, Path] = {}
    try:
        for target in targets:
            # named before it is made: a signal in between leaves nothing either
            folders[target] = target.parent / f".{target.name}.{secrets.token_hex(4)}.partial"
            folders[target].mkdir()
        yield Staging(folders)
    finally:
        for folder in folders.values():
            shutil.rmtree(folder, ignore_errors=True)


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
def writing(path: Path) -> Iterator[None]:
    """Turn what fails while `path` is written, a full disk above all, into an InputError that names the file."""
    try:
        yield
    except (OSError, RasterioError, CPLE_BaseError) as error:
        reason = (os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)).rstrip(".")
        free = shutil.disk_usage(path.parent).free
        raise InputError(
            f"{path.name} cannot be written ({reason}; {free / 1e9:.2f} GB are free on its disk); "
            "free some space, or write elsewhere."
        ) from error
