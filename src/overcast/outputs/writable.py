"""Whether outputs can be written, and what is said where they cannot."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from rasterio._err import CPLE_BaseError  # raised as it is by rasterio.shutil.copy, and exported nowhere else
from rasterio.errors import RasterioError

from overcast.errors import InputError

NEARLY_FULL_BYTES = 64 * 2**20
"""A disk with less than this free is taken for full where a library does not say why it could not write."""
LONGEST_NAME = 255
"""Bytes that file systems take for the name of a file."""
_ADVICE = {
    errno.EACCES: "change its permissions, or write elsewhere",
    errno.EPERM: "change its permissions, or write elsewhere",
    errno.EROFS: "write elsewhere",
    errno.ELOOP: "a symbolic link lies where a file of Overcast's own should be: remove it, or write elsewhere",
    errno.ENOENT: "its folder was removed meanwhile: run the same command again",
    errno.ENOTDIR: "its folder was removed meanwhile: run the same command again",
    errno.EISDIR: "a folder has taken its place: remove it, or name another file",
    errno.ENAMETOOLONG: "choose a shorter name",
}
_interrupted = threading.Event()
"""Set by a signal that asks this process to end."""


@contextmanager
def termination_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM, which schedulers send, as Ctrl-C, so that outputs are cleaned up; remember that either came.

    Libraries may turn the interrupt into an error of their own; `writing` and `raise_if_interrupted` turn it back.
    Does nothing outside the main thread, where Python cannot handle signals, or for a signal that is handled already.
    """
    defaults: dict[signal.Signals, Any] = {signal.SIGTERM: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    main = threading.current_thread() is threading.main_thread()
    ours = [number for number, default in defaults.items() if main and signal.getsignal(number) == default]

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        _interrupted.set()
        raise KeyboardInterrupt

    for number in ours:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, defaults[number])
        if ours:
            _interrupted.clear()


def raise_if_interrupted() -> None:
    """Raise KeyboardInterrupt where a signal asked for the end and a library has lost the exception."""
    if _interrupted.is_set():
        raise KeyboardInterrupt


def destination(target: Path) -> Path:
    """The file that is written for an output: that to which a symbolic link leads, else the output itself.

    Raises InputError for links that lead in a circle.
    """
    try:
        found = target.resolve()
    except (OSError, RuntimeError):
        found = target
    with suppress(OSError):  # a name that is too long
        if found.is_symlink():
            raise InputError(f"{shown(target)} is a symbolic link that leads nowhere; remove it, or name another file.")
    return found


def scratch_path(target: Path) -> Path:
    """The hidden folder that is named after an output.

    >>> scratch_path(Path("maps/town.tif")).name
    '.town.tif.partial'
    """
    return target.with_name(f".{target.name}.partial")


def unusable_part(path: Path, name: str) -> InputError:
    """What is said of something that lies where `name` keeps unfinished work: a symbolic link above all."""
    kind = "a symbolic link" if path.is_symlink() else "of the wrong kind"
    return InputError(
        f"{path} is {kind}, but unfinished work on {name} belongs there; remove it (it is not followed), or write "
        "elsewhere."
    )


def shown(path: Path) -> str:
    """A path for people: bytes that are not UTF-8, and line breaks, are escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return text.replace("\n", "\\n").replace("\r", "\\r")


def require_writable(target: Path, *, overwrite: bool) -> None:
    """Raise InputError where `target` cannot be written: a bad name, no such folder, no permission, or it exists."""
    final = destination(target)
    folder = final.parent
    _require_room_for_name(final)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; create it, or write elsewhere.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{folder} is not writable; change its permissions, or write elsewhere.")
    if final.is_dir():
        raise InputError(f"{target} is a folder; name a file.")
    if final.exists() and not final.is_file():
        raise InputError(f"{target} is neither a file nor a folder; name another file.")
    if final.exists() and not overwrite:
        raise InputError(f"{target} exists; name another file, or allow overwriting (--overwrite).")


def require_name(path: Path) -> None:
    """Raise InputError for a name that no file can have, or that libraries cannot be given: it is not UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise InputError(f"{shown(path)} has a name that is not UTF-8; rename it.") from None
    if any(len(os.fsencode(part)) > LONGEST_NAME for part in path.parts):
        raise InputError(f"{shown(path)[:100]}... has a name of more than {LONGEST_NAME} bytes; check the path.")


def _require_room_for_name(final: Path) -> None:
    """Raise InputError where a name cannot be, or leaves no room for that of its hidden folder."""
    require_name(final.parent)
    excess = len(os.fsencode(scratch_path(final).name)) - LONGEST_NAME
    if excess > 0:
        raise InputError(
            f"{shown(final)[:100]}... has a name that is {excess} bytes too long for a file that is written step by "
            "step; choose a shorter name."
        )
    require_name(final)


def require_space(target: Path, needed_bytes: int) -> None:
    """Raise InputError where the disk of `target` has less than `needed_bytes` free."""
    free = shutil.disk_usage(target.parent).free
    if free < needed_bytes:
        raise InputError(
            f"{target.parent} has {_size(free)} free, but {target.name} needs about {_size(needed_bytes)} while it is "
            "written; free some space, or write elsewhere."
        )


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


@contextmanager
def writing(path: Path, name: str | None = None) -> Iterator[None]:
    """Turn what fails while `path` is written, a full disk above all, into an InputError that names the file.

    `name` is what the user knows it by, where that is not its own name. An interrupt that a library has made an error
    of is raised as KeyboardInterrupt.
    """
    try:
        yield
    except (OSError, RasterioError, CPLE_BaseError) as error:
        raise_if_interrupted()
        number = error.errno if isinstance(error, OSError) else None
        reason = " ".join((os.strerror(number) if number else str(error)).split()).rstrip(".")
        free = shutil.disk_usage(next(folder for folder in path.absolute().parents if folder.is_dir())).free
        if number in {errno.ENOSPC, errno.EDQUOT} or (number is None and free < NEARLY_FULL_BYTES):
            reason = f"{reason}; {_size(free)} are free on its disk"
            advice = "free some space, or write elsewhere"
        else:
            advice = _ADVICE.get(number or 0, "write elsewhere")
        raise InputError(f"{name or shown(Path(path.name))} cannot be written ({reason}); {advice}.") from error
