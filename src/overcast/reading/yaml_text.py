"""YAML as plain values: no aliases, no key twice, and an error with its line for every odd tag."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from overcast.errors import OvercastError
from overcast.reading.files import named, read_text
from overcast.reading.json_text import DEEPEST, require_whole_characters
from overcast.reading.words import UnreadableError, quoted, shortened

LARGEST_YAML_BYTES = 2**20
"""PyYAML reads some hundred kB a second."""
CORRECT = "correct it"
_EXPONENT = re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+")
_ODD_VALUES = (ValueError, KeyError, IndexError, AttributeError, TypeError, OverflowError)
"""What PyYAML raises for `!!int abc`, `!!bool x`, `!!int ''`, `!!timestamp x`, keys that are lists, and dates such as
2001-99-99."""


class StrictLoader(yaml.SafeLoader):
    """Refuses what YAML allows and nobody means: aliases (bombs), a key twice, values that their tag cannot be."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """The next node; aliases and nesting without end are refused."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _refusal(f"the alias *{shortened(str(event.anchor), 30)} is not allowed, write the value out", event)
        self._depth += 1
        if self._depth > DEEPEST:
            raise _refusal(f"values lie more than {DEEPEST} deep within each other", event)
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node."""
        try:
            return super().construct_object(node, deep)
        except _ODD_VALUES:
            value = quoted(node.value) if isinstance(node, yaml.ScalarNode) else "this"
            raise _refusal(f"{value} is not of type {shortened(node.tag.rpartition(':')[2], 30)}", node) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """The mapping of a node."""
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise _refusal("a key is a list or a mapping", key_node)
            if key in seen:
                raise _refusal(f"key {quoted(key)} is given twice", key_node)
            seen.add(key)
        return super().construct_mapping(node, deep)


class StrictDumper(yaml.SafeDumper):
    """Quotes what `StrictLoader` would take for a number."""


_BOOL = "tag:yaml.org,2002:bool"
_TRUTH = re.compile("true|True|TRUE|false|False|FALSE")
StrictLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _BOOL]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}  # YAML 1.2 reads `off` and `no` as text, PyYAML's 1.1 as false
StrictLoader.add_implicit_resolver(_BOOL, _TRUTH, list("tTfF"))
for _class in (StrictLoader, StrictDumper):  # YAML 1.2 reads 1e-4 as a number, PyYAML's 1.1 as text
    _class.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+0123456789"))


def read_yaml(path: Path, error: type[OvercastError], remedy: str = CORRECT) -> Any:
    """The value in a YAML file, None where it is empty; `remedy` ends the sentence of the error."""
    text = read_text(path, error, remedy, LARGEST_YAML_BYTES)
    try:
        return parse_yaml(text)
    except UnreadableError as problem:
        raise error(f"{named(path)} is not readable YAML ({problem}); {remedy}.") from problem


def parse_yaml(text: str) -> Any:
    """The value of YAML text. Raises UnreadableError (a ValueError) that says why there is none."""
    try:
        loader = StrictLoader(text)
        value = loader.get_single_data()
    except yaml.YAMLError as problem:
        raise UnreadableError(_reason(problem)) from None
    except RecursionError:
        raise UnreadableError(f"values lie more than {DEEPEST} deep within each other") from None
    require_whole_characters(text, value)
    return value


def _refusal(problem: str, at: Any) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, at.start_mark)


def _reason(error: yaml.YAMLError) -> str:
    problem, mark = getattr(error, "problem", None), getattr(error, "problem_mark", None)
    if problem is None:
        return shortened(str(error), 100)
    place = "" if mark is None else f" in line {mark.line + 1}, column {mark.column + 1}"
    return shortened(problem, 110) + place
