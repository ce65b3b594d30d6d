"""Settings as YAML: strict reading with `key=value` overrides, errors that name the nearest key, commented writing."""

from __future__ import annotations

import ast
import difflib
import inspect
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from overcast.errors import ConfigError
from overcast.reading import parse_yaml, quoted, read_yaml, shortened
from overcast.reading.yaml_text import StrictDumper

WIDTH = 110
"""Longest line of a comment."""

Model = TypeVar("Model", bound=BaseModel)


def read_settings(
    model: type[Model], path: Path | None, sets: Sequence[str] = (), base: Mapping[str, Any] | None = None
) -> Model:
    """Settings from a YAML file (None: the defaults) with overrides such as `training.steps=500`.

    `base` holds values for what the file leaves out, section by section; without it the model's defaults apply.

    Raises:
        ConfigError: The file is missing or no YAML, or a key or value is wrong; names the key, where it was given,
            what is wrong and the nearest valid key.
    """
    values = _merged(base or {}, {} if path is None else _read_yaml(path))
    overridden: dict[str, str] = {}
    for override in sets:
        key, value = _parse_override(override)
        _put(values, key, value)
        overridden[key] = f"--set {shortened(override, 50)}"
    try:
        return model.model_validate(values)
    except ValidationError as error:
        details = error.errors(include_url=False)[0]
        raise ConfigError(_explain(model, values, details, path, overridden)) from error


def to_yaml(settings: BaseModel) -> str:
    """Commented YAML: the documentation of each key above it. Reading it gives equal settings."""
    head = textwrap.wrap(_first_paragraph(type(settings)), WIDTH)
    return "\n".join([*(f"# {line}" for line in head), *_lines(settings, 0)]) + "\n"


def _read_yaml(path: Path) -> dict[str, Any]:
    content = read_yaml(path, ConfigError)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds no keys: write `key: value` lines.")
    return content


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`changes` put onto `base`, sections merged key by key."""
    merged = dict(base)
    for key, value in changes.items():
        below = merged.get(key)
        merged[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _parse_override(override: str) -> tuple[str, Any]:
    key, equals, text = override.partition("=")
    shown = shortened(override, 60)
    if not equals or not all(key.strip().split(".")):
        raise ConfigError(f"--set {shown}: write it as key=value, for example training.steps=500.")
    try:
        return key.strip(), parse_yaml(text)
    except ValueError as error:
        raise ConfigError(f"--set {shown}: the value is not readable YAML ({error}); quote it.") from error


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        child = values.get(parent)
        child = dict(child) if isinstance(child, dict) else {}
        values[parent] = child
        values = child
    values[last] = value


def _explain(
    model: type[BaseModel],
    values: Mapping[str, Any],
    details: ErrorDetails,
    path: Path | None,
    overridden: Mapping[str, str],
) -> str:
    parts = _given_path(values, [shortened(str(part), 40) for part in details["loc"]])
    context = details.get("ctx", {})
    if details["type"] == "union_tag_invalid":
        parts.append(context["discriminator"].strip("'"))
    key = ".".join(parts)
    where = _origin(key, overridden) or (str(path) if path else "settings")
    if details["type"] == "extra_forbidden":
        near = _nearest(model, values, parts)
        return f"{where}: {key} is not a known key; " + (f"did you mean {near}?" if near else "remove it.")
    if details["type"] == "missing":
        return f"{where}: {key} is missing; set it in the file or with --set {key}=..."
    if details["type"] == "union_tag_invalid":
        return f"{where}: {key}: input should be one of {context['expected_tags']} (got {quoted(context['tag'], 40)})"
    message, given = shortened(details["msg"].removeprefix("Value error, "), 130), quoted(details["input"], 40)
    shown = "" if isinstance(details["input"], dict) or given in message else f" (got {given})"
    return f"{where}: {key}: {message[:1].lower()}{message[1:]}{shown}" if key else f"{where}: {message}"


def _origin(key: str, overridden: Mapping[str, str]) -> str | None:
    """The override that set a key: the closest one above it, else the last one below it."""
    above = [name for name in overridden if f"{key}.".startswith(f"{name}.")]
    below = [name for name in overridden if f"{name}.".startswith(f"{key}.")]
    return overridden[max(above, key=len)] if above else overridden[below[-1]] if below else None


def _given_path(values: Any, parts: list[str]) -> list[str]:
    """The parts of an error's location without the union tags that pydantic puts in."""
    kept: list[str] = []
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if isinstance(values, Mapping):
            if part not in values and not last:
                continue
            values = values.get(part)
        kept.append(part)
    return kept


def _nearest(model: type[BaseModel], values: Mapping[str, Any], parts: list[str]) -> str | None:
    """The most similar known key: of the same section first, then anywhere."""
    prefix, name = ".".join(parts[:-1]), parts[-1]
    known = list(_known_keys(model, values))
    siblings = [key.removeprefix(f"{prefix}.") for key in known if key.rpartition(".")[0] == prefix]
    if near := difflib.get_close_matches(name, siblings, n=1):
        return f"{prefix}.{near[0]}" if prefix else near[0]
    by_name = {key.rpartition(".")[2]: key for key in reversed(known)}
    if near := difflib.get_close_matches(name, list(by_name), n=1):
        return by_name[near[0]]
    return f"one of {shortened(', '.join(siblings))}" if siblings else None


def _known_keys(model: type[BaseModel], values: Any, prefix: str = "") -> Iterator[str]:
    """Dotted keys of a model; of a union, those of the member that `values` choose (all members without a choice)."""
    for name, field in model.model_fields.items():
        key = f"{prefix}{name}"
        yield key
        given = values.get(name) if isinstance(values, Mapping) else None
        for member in _members(field.annotation, given):
            yield from _known_keys(member, given, f"{key}.")
        if get_origin(field.annotation) is dict and isinstance(given, Mapping):  # sections by names of the user's
            for own, below in given.items():
                for member in _members(get_args(field.annotation)[1], below):
                    yield from _known_keys(member, below, f"{key}.{own}.")


def _members(annotation: Any, given: Any) -> list[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0], given)
    if get_origin(annotation) not in {Union, UnionType}:
        return []
    members = [member for option in get_args(annotation) for member in _members(option, given)]
    chosen = [member for member in members if isinstance(given, Mapping) and _chosen_by(member, given)]
    return chosen or members


def _chosen_by(member: type[BaseModel], given: Mapping[str, Any]) -> bool:
    tags = {name: get_args(f.annotation) for name, f in member.model_fields.items() if _is_literal(f.annotation)}
    return any(given.get(name) in options for name, options in tags.items())


def _is_literal(annotation: Any) -> bool:
    return get_origin(annotation) is Literal


def _lines(settings: BaseModel, depth: int) -> Iterator[str]:
    indent = "  " * depth
    plain = settings.model_dump(mode="json")
    documentation = field_documentation(type(settings))
    for name in type(settings).model_fields:
        for line in textwrap.wrap(documentation.get(name, ""), WIDTH - len(indent)):
            yield f"{indent}# {line}"
        value = getattr(settings, name)
        if isinstance(value, BaseModel) and type(value).model_fields:
            yield f"{indent}{name}:"
            yield from _lines(value, depth + 1)
        else:
            yield f"{indent}{name}: {_inline(plain[name])}"


def _inline(value: Any) -> str:
    text = yaml.dump(value, Dumper=StrictDumper, default_flow_style=True, width=10**6, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


@cache
def field_documentation(model: type[BaseModel]) -> dict[str, str]:
    """Documentation of each field: its description, else the string literal below it, read from the source."""
    texts: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        if issubclass(owner, BaseModel) and owner is not BaseModel:
            texts |= _literals_below_fields(owner)
    described = {name: field.description for name, field in model.model_fields.items() if field.description}
    return {name: " ".join(text.split()) for name, text in (texts | described).items()}


def _literals_below_fields(model: type[BaseModel]) -> dict[str, str]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(model)))
    except (OSError, TypeError):  # no source: frozen or zipped
        return {}
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    texts = {}
    for statement, following in pairwise(body):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            match following:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    texts[statement.target.id] = text
    return texts


def _first_paragraph(model: type[BaseModel]) -> str:
    return inspect.cleandoc(model.__doc__ or model.__name__).split("\n\n")[0].replace("\n", " ")
