"""XML in whatever encoding it declares, without entities."""

from __future__ import annotations

import codecs
from typing import Any
from xml.etree import ElementTree as ET
from xml.parsers import expat

from overcast.errors import OvercastError
from overcast.reading.words import UnreadableError, first_line

DEEPEST_XML = 256


def looks_like_xml(content: bytes) -> bool:
    """True where the first character, byte order mark and blanks aside, is `<`."""
    for mark in (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        content = content.removeprefix(mark)
    return content[:200].replace(b"\0", b"").lstrip()[:1] == b"<"


def parse_xml(content: bytes, name: str, error: type[OvercastError], remedy: str) -> ET.Element:
    """The root element of XML that comes from the place `name`; tags of a namespace are `{address}tag`."""
    try:
        return _root(content)
    except (expat.ExpatError, ValueError, LookupError, RecursionError, AssertionError) as problem:
        reason = first_line(problem)
        raise error(f"{name} is not readable XML ({reason}); {remedy}.") from problem


def _root(content: bytes) -> ET.Element:
    builder, depth = ET.TreeBuilder(), 0
    parser = expat.ParserCreate(namespace_separator="}")

    def begin(tag: str, attributes: dict[str, str]) -> None:
        """Open an element, not too deep."""
        nonlocal depth
        depth += 1
        if depth > DEEPEST_XML:
            raise UnreadableError(f"elements lie more than {DEEPEST_XML} deep within each other")
        builder.start(_name(tag), {_name(key): value for key, value in attributes.items()})

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(_name(tag))

    def refuse(*_: Any) -> None:
        raise UnreadableError("it defines entities, which are not followed")

    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.CharacterDataHandler, parser.EntityDeclHandler = builder.data, refuse
    parser.buffer_text = True
    parser.Parse(content, True)
    return builder.close()


def _name(tag: str) -> str:
    return "{" + tag if "}" in tag else tag
