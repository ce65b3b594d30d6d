"""Exceptions that say what to do next, and the one table from exception to exit code."""

import errno

from overcast.redact import redacted


class OvercastError(Exception):
    """Base of every error that a user can mend.

    The message is one sentence: which file or setting, what is wrong, what to do. Whatever text it was made of, it is
    one printable line and never holds the password or the signature of an address.
    """

    def __init__(self, message: str = "") -> None:
        line = redacted(" ".join(message.splitlines()))
        super().__init__("".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in line))


class InputError(OvercastError):
    """A file or folder cannot be used as it is."""


class ConfigError(OvercastError):
    """A configuration key or value is wrong."""


class RadiometryError(OvercastError):
    """Declared bands, units, nodata or ground sampling distance do not fit; the message names both sides."""


class MissingModalityError(OvercastError):
    """A method asked a batch for a modality that it does not carry."""


class BundleError(OvercastError):
    """A model bundle is damaged, incomplete or made for something else."""


class ClusterError(OvercastError):
    """Workers on other processes or machines cannot be had, or keep dying."""


class LeakError(OvercastError):
    """Training and test ground overlap."""


EXIT_INTERNAL, EXIT_INPUT, EXIT_INTERRUPTED = 1, 2, 130


def exit_code(error: BaseException) -> int:
    """Exit code of the command line for an exception.

    >>> exit_code(InputError("scene.tif is truncated; copy it again."))
    2
    >>> exit_code(RuntimeError("a bug"))
    1
    """
    if isinstance(error, OvercastError) or is_environment_error(error):
        return EXIT_INPUT
    return EXIT_INTERRUPTED if isinstance(error, KeyboardInterrupt) else EXIT_INTERNAL


def is_environment_error(error: BaseException) -> bool:
    """True for operating system errors that the user can mend: full disk, no permission, read-only."""
    mendable = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR}
    return isinstance(error, OSError) and error.errno in mendable


def remedy(error: OSError) -> str:
    """What to do about an operating system error of `is_environment_error`; a full disk alone asks for space."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return "free some space, or write elsewhere"
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        return "check the path"
    return "change its permissions, or name another place" if error.errno != errno.EROFS else "write elsewhere"
