"""What is quoted in an error: short, on one line, and without passwords."""

from __future__ import annotations

import reprlib

from overcast.redact import redacted

_QUOTED = 60
_REASON = 160
_LONGEST = 10_000


class _Repr(reprlib.Repr):
    """Takes secrets out of a text before it is cut: half an address cannot be recognised."""

    def repr_str(self, x: str, level: int) -> str:
        return super().repr_str(redacted(x[:_LONGEST]), level)


_REPR = _Repr()
_REPR.maxlevel, _REPR.maxdict, _REPR.maxlist, _REPR.maxtuple, _REPR.maxset = 3, 4, 6, 6, 6
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = _QUOTED


class UnreadableError(ValueError):
    """Why a text cannot be read, in a few words; the readers make sentences of it."""


def shortened(text: str, limit: int = _REASON) -> str:
    r"""The text on one line, printable, without passwords, its middle left out beyond `limit` characters.

    >>> shortened("a\n  b" + 20 * "c", 12)
    'a bcc...cccc'
    """
    line = "".join(letter if letter.isprintable() else "?" for letter in " ".join(redacted(text).split()))
    if len(line) <= limit:
        return line
    tail = (limit - 3) // 2
    return f"{line[: limit - 3 - tail]}...{line[-tail:]}"


def quoted(value: object, limit: int = _QUOTED) -> str:
    """A value as an error quotes it: `repr`, bounded however large or deeply nested the value is.

    >>> quoted([1, "a"]), len(quoted("x" * 10**6))
    ("[1, 'a']", 60)
    """
    try:
        return shortened(_REPR.repr(value), limit)
    except (ValueError, RecursionError):  # whole numbers of more digits than Python writes
        return f"a {type(value).__name__} too large to show"


def first_line(error: BaseException, limit: int = _REASON) -> str:
    r"""The first line of an error's text without its full stop, as the reason within a sentence.

    >>> first_line(ValueError("no such band.\n  at line 3"))
    'no such band'
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return shortened(lines[0], limit).rstrip(".")
