"""GeoJSON before GDAL reads it: its coordinate reference system must be a name, because GDAL fetches addresses."""

from __future__ import annotations

import json
import mmap
import re
from pathlib import Path
from typing import Any

from overcast.errors import InputError

_KEY = re.compile(rb"""["']crs["']""")
_PLAIN = re.compile(
    rb"""["']crs["']\s*:\s*(?:null|\{\s*"type"\s*:\s*"name"\s*,\s*"properties"\s*:\s*"""
    rb"""\{\s*"name"\s*:\s*"[A-Za-z0-9:._-]*"\s*\}\s*\})"""
)
"""A CRS as programs write it: the name of a code such as `urn:ogc:def:crs:EPSG::32631`."""
_ESCAPED_LETTER = re.compile(rb"\\u00[4-7]")
"""The key may be written with such escapes."""


def require_plain_crs(path: Path) -> None:
    """Raise InputError where a GeoJSON file refers to its CRS by a link, an address or a file.

    The text is searched without being parsed, unless it has a CRS of an unusual form.
    """
    if path.stat().st_size == 0:
        raise InputError(f"{path} cannot be read as footprints: it is empty; copy it again.")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        plain = not _ESCAPED_LETTER.search(text) and len(_KEY.findall(text)) == len(_PLAIN.findall(text))
    if plain:
        return

    def check(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for key, value in pairs:
            if key == "crs":
                _require_name(path, value)
        return dict(pairs)

    try:
        json.loads(path.read_bytes(), object_pairs_hook=check)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path} cannot be read as footprints: it is not GeoJSON ({error}); write it again."
        ) from error


def _require_name(path: Path, crs: Any) -> None:
    """`crs` is the value of any key of that name; in the properties of a feature it may be anything but a reference."""
    properties = crs.get("properties") if isinstance(crs, dict) else None
    texts = [crs, *(properties.values() if isinstance(properties, dict) else ())]
    linked = isinstance(crs, dict) and str(crs.get("type")).lower() in {"link", "url"}
    if linked or any(isinstance(text, str) and ("://" in text or text.startswith("/vsi")) for text in texts):
        raise InputError(
            f"{path} names an address as its coordinate reference system, which is not asked; "
            'write a code, for example "urn:ogc:def:crs:EPSG::32631", or longitude and latitude without a crs member.'
        )
