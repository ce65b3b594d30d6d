"""Splits on disk: a table `key,split`, or JSON that also says how the split was made."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from overcast.atomic import write_atomic
from overcast.data.splits.parts import Drop, Part, Split
from overcast.errors import InputError
from overcast.reading import read_record, read_table
from overcast.reading.files import LARGEST_DATA_BYTES

DROPPED = "dropped"


def write_split(split: Split, path: Path) -> None:
    """Write a split as `.json` (complete) or `.csv` (`key,split`, split being train, validation, test or dropped).

    The file appears whole or not at all.

    Raises:
        InputError: The name ends otherwise.
    """
    match path.suffix.lower():
        case ".json":
            text = json.dumps(split_as_json(split), indent=1) + "\n"
        case ".csv":
            text = _as_csv(split)
        case _:
            raise InputError(f"{path} is neither .json nor .csv; end the name with one of them.")
    write_atomic(path, text)


def read_split(path: Path) -> Split:
    """Read what `write_split` wrote, or what `overcast splits --json` printed, or any table `key,split`.

    Raises:
        InputError: The file is missing or of another form, or a chip is listed twice.
    """
    match path.suffix.lower():
        case ".json":
            found = _from_json(path)
        case ".csv":
            found = _from_csv(path)
        case _:
            raise InputError(f"{path} is neither .json nor .csv; a split file is one of them.")
    keys, dropped, definition = found
    keys = {part: tuple(map(_composed, names)) for part, names in keys.items()}
    try:
        return Split(keys[Part.TRAIN], keys[Part.VALIDATION], keys[Part.TEST], dropped, definition)
    except ValueError as error:
        raise InputError(f"{path} cannot be used: {error}; list each chip once.") from error


def _composed(key: str) -> str:
    """The key as file names are compared."""
    return unicodedata.normalize("NFC", key)


def split_as_json(split: Split) -> dict[str, Any]:
    """Definition, counts, keys of each part and of what was dropped."""
    return {
        "definition": split.definition,
        "counts": split.counts,
        "keys": {part.value: list(split.keys(part)) for part in Part},
        "dropped": [
            {"reason": drop.reason, "count": len(drop.keys), "keys": list(drop.keys)} for drop in split.dropped
        ],
    }


def _as_csv(split: Split) -> str:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["key", "split"])
    for part in Part:
        writer.writerows([key, part.value] for key in split.keys(part))
    writer.writerows([key, DROPPED] for drop in split.dropped for key in drop.keys)
    return table.getvalue()


Parts = tuple[Mapping[Part, tuple[str, ...]], tuple[Drop, ...], str]


def _from_csv(path: Path) -> Parts:
    names: dict[str, list[str]] = {name: [] for name in (*Part, DROPPED)}
    for row in read_table(path, InputError, ("key", "split"), "write them as its first line"):
        if row["split"] not in names or not row["key"]:
            raise InputError(f"{path} line {row.line} is not a key and one of {', '.join(names)}; correct it.")
        names[row["split"]].append(row["key"])
    dropped = (Drop(f"dropped in {path.name}", tuple(names[DROPPED])),) if names[DROPPED] else ()
    return {part: tuple(names[part.value]) for part in Part}, dropped, f"Read from {path.name}."


class _Dropped(BaseModel):
    model_config = ConfigDict(strict=True)
    reason: str
    keys: list[str]


class _SplitRecord(BaseModel):
    """What `split_as_json` gives, as far as it is read again."""

    model_config = ConfigDict(strict=True)
    keys: dict[str, list[str]]
    dropped: list[_Dropped] = []
    definition: str | None = None


def _from_json(path: Path) -> Parts:
    form = 'write {"keys": {"train": [...], "validation": [...], "test": [...]}}'
    record = read_record(_SplitRecord, path, InputError, form, LARGEST_DATA_BYTES)
    keys = {part: tuple(record.keys.get(part.value, [])) for part in Part}
    dropped = tuple(Drop(drop.reason, tuple(drop.keys)) for drop in record.dropped)
    return keys, dropped, record.definition or f"Read from {path.name}."
