"""JSON that must fit a schema, and what a pydantic error says in one sentence."""

from __future__ import annotations

from codecs import BOM_UTF8
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from overcast.errors import OvercastError
from overcast.reading.files import LARGEST_BYTES, named, read_bytes
from overcast.reading.json_text import COPY, parse_json
from overcast.reading.words import quoted, shortened

Model = TypeVar("Model", bound=BaseModel)
Kind = TypeVar("Kind")


def read_record(
    kind: type[Kind], path: Path, error: type[OvercastError], remedy: str = COPY, limit: int = LARGEST_BYTES
) -> Kind:
    """A JSON file as a pydantic model or dataclass; `remedy` ends the sentence of the error."""
    return parse_record(kind, read_bytes(path, error, remedy, limit), named(path), error, remedy)


def parse_record(
    kind: type[Kind], content: bytes | str, name: str, error: type[OvercastError], remedy: str = COPY
) -> Kind:
    """Read a record from JSON text that comes from the place `name`."""
    parse_json(content, name, error, remedy)
    try:
        return TypeAdapter(kind).validate_json(
            content.removeprefix(BOM_UTF8) if isinstance(content, bytes) else content
        )
    except ValidationError as problem:
        raise error(f"{name} is damaged: {explained(problem)}; {remedy}.") from problem


def validated(model: type[Model], content: Any, name: str, error: type[OvercastError], remedy: str) -> Model:
    """`content`, read from the place `name`, as a model."""
    try:
        return model.model_validate(content)
    except ValidationError as problem:
        raise error(f"{name}: {explained(problem)}; {remedy}.") from problem


def explained(problem: ValidationError) -> str:
    """The first thing that is wrong: where, what, and what was given."""
    return explained_detail(problem.errors(include_url=False)[0])


def explained_detail(details: ErrorDetails) -> str:
    """One thing that is wrong: where, what, and what was given."""
    where = location(details)
    message = shortened(details["msg"].removeprefix("Value error, "), 120)
    given = details["input"]
    shown = "" if isinstance(given, (dict, bytes)) or details["type"] == "missing" else f" (got {quoted(given, 40)})"
    return (f"{where}: " if where else "") + message + shown


def location(details: ErrorDetails) -> str:
    """Dotted key of an error."""
    return shortened(".".join(shortened(str(part), 40) for part in details["loc"]), 80)
