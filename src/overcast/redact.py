"""Addresses without what gives access: passwords, signatures and tokens never stand in a text that is kept or shown."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

_END = r"(?=[)'\"`;:,.\]}>]*(?:\s|$))"
_SCHEME = r"(?<=[A-Za-z0-9+.-]{2})"
"""What stands before the colon of an address, whatever name it ends; a drive's letter is no scheme."""
_USER = re.compile(rf"{_SCHEME}(:/{{1,2}})[^\s/?#]*@")
_ASKED = re.compile(rf"{_SCHEME}(:/{{1,2}}[^\s?#]*)[?#]\S*?{_END}")
_ESCAPED = re.compile(rf"{_SCHEME}%(?:25)*3A%(?:25)*2F[^\s'\"&)]*", re.IGNORECASE)
_OPTIONS = re.compile(rf"(/vsi[a-z0-9_]+\?)\S*?\b(url=[^\s&'\")]*)(?:&\S*?)?{_END}", re.IGNORECASE)
_DEEPEST = 3
"""How many times an address may be escaped."""


def redacted(text: str) -> str:
    """The text with the public form of every address in it: without user, password, query and fragment.

    Escaped addresses, as in GDAL's `/vsicurl?url=https%3A%2F%2F...`, are cleaned too.

    >>> redacted("http://me:secret@host/a.tif?Signature=abc: HTTP 403; ask for access.")
    'http://host/a.tif: HTTP 403; ask for access.'
    >>> redacted("/vsicurl?header.Key=1&url=https%3A%2F%2Fme%3Asecret%40host%2Fa.tif%3Fkey%3D1")
    '/vsicurl?url=https%3A%2F%2Fhost%2Fa.tif'
    """
    if ":/" not in text and "%" not in text:
        return text
    return _public(_ESCAPED.sub(_cleaned, _OPTIONS.sub(r"\1\2", text)))


def _public(text: str) -> str:
    return _ASKED.sub(r"\1", _USER.sub(r"\1", text))


def _cleaned(found: re.Match[str]) -> str:
    """An escaped address from its colon on, cleaned and escaped again."""
    text = found[0]
    for _ in range(_DEEPEST):
        text = unquote(text)
    return quote(_public(f"any{text}").removeprefix("any"), safe="")
