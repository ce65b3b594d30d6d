"""JSON with a bound on size and nesting, and without texts that cannot be written again."""

from __future__ import annotations

import json
import re
from itertools import chain
from pathlib import Path
from typing import Any

from overcast.errors import OvercastError
from overcast.reading.files import LARGEST_BYTES, decoded, named, read_bytes
from overcast.reading.words import UnreadableError, first_line

DEEPEST = 64
"""Lists and objects within each other; the deepest format that is read here nests a dozen."""
_HALVES = re.compile(r"\\u(?:0000)?d[89a-f]", re.IGNORECASE)
COPY = "copy it again"


def read_json(path: Path, error: type[OvercastError], remedy: str = COPY, limit: int = LARGEST_BYTES) -> Any:
    """The value in a JSON file of at most `limit` bytes; `remedy` ends the sentence of the error."""
    return parse_json(read_bytes(path, error, remedy, limit), named(path), error, remedy)


def read_json_object(
    path: Path, error: type[OvercastError], remedy: str = COPY, limit: int = LARGEST_BYTES
) -> dict[str, Any]:
    """Read a JSON file that must hold an object."""
    value = read_json(path, error, remedy, limit)
    if not isinstance(value, dict):
        raise error(f"{named(path)} is not readable as a JSON object: it holds something else; {remedy}.")
    return value


def parse_json(content: bytes | str, name: str, error: type[OvercastError], remedy: str = COPY) -> Any:
    """The value of JSON text that comes from the place `name`."""
    try:
        return json_value(content)
    except UnreadableError as problem:
        raise error(f"{name} is not readable JSON ({problem}); {remedy}.") from problem


def json_value(content: bytes | str) -> Any:
    """The value of JSON text; UnreadableError says why there is none."""
    text = decoded(content) if isinstance(content, bytes) else content
    try:
        value = json.loads(text)
    except RecursionError:
        raise UnreadableError(_too_deep()) from None
    except ValueError as problem:  # no JSON, or a number of more digits than Python reads
        raise UnreadableError(first_line(problem)) from None
    require_shallow(value)
    require_whole_characters(text, value)
    return value


def require_shallow(value: object) -> None:
    """Raise UnreadableError where lists and objects are nested deeper than whoever reads them can follow."""
    level: list[Any] = [[value]]
    for _ in range(DEEPEST + 1):
        children = chain.from_iterable(item.values() if isinstance(item, dict) else item for item in level)
        level = [child for child in children if isinstance(child, (dict, list))]
        if not level:
            return
    raise UnreadableError(_too_deep())


def require_whole_characters(text: str, value: object) -> None:
    r"""Raise UnreadableError where an escape such as \ud800 gives half a character, which no file can hold."""
    if _HALVES.search(text):
        try:
            json.dumps(value, ensure_ascii=False, default=str).encode()
        except UnicodeEncodeError:
            raise UnreadableError("an escape \\ud800 to \\udfff gives half a character") from None
        except (TypeError, ValueError):  # keys that are no text: YAML's own
            return


def _too_deep() -> str:
    return f"lists and objects lie more than {DEEPEST} deep within each other"
