"""Arguments that a benchmark can work with: others are refused with a sentence."""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path

from overcast.errors import OvercastError


def at_least(least: int) -> Callable[[str], int]:
    """The type of an argument that is a whole number of at least `least`."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ArgumentTypeError(f"{text} is not a whole number; name one of at least {least}") from None
        if value < least:
            raise ArgumentTypeError(f"{text} is too small; name at least {least}")
        return value

    return number


def share(text: str) -> float:
    """The type of an argument that is above 0 and at most 1."""
    value = positive(text)
    if value > 1:
        raise ArgumentTypeError(f"{text} is more than 1; name a share above 0 and at most 1")
    return value


def positive(text: str) -> float:
    """The type of an argument that is a number above 0."""
    try:
        value = float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text} is not a number; name one above 0") from None
    if not 0 < value < float("inf"):
        raise ArgumentTypeError(f"{text} is not above 0; name a number above 0")
    return value


def not_negative(text: str) -> float:
    """The type of an argument that is a number of at least 0."""
    return 0.0 if text.strip() in {"0", "0.0"} else positive(text)


def existing(text: str) -> Path:
    """The type of an argument that names a file or folder to be read."""
    path = Path(text)
    if not path.exists():
        raise ArgumentTypeError(f"{text} does not exist; name what is to be read")
    return path


def as_command(main: Callable[[], object]) -> None:
    """Run a benchmark; an error that the user can mend is one sentence and exit code 2."""
    try:
        main()
    except OvercastError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
