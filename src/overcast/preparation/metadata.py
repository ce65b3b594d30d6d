"""What files about a scene say of the radar: TIFF tags, JSON (STAC, Capella, Umbra, ICEYE) and XML (SAFE, TerraSAR-X).

Field names are compared without case, spaces and punctuation. Two different answers are an error, never a vote.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overcast.errors import InputError, RadiometryError
from overcast.preparation.positions import positions
from overcast.products.entries import LARGEST_DOCUMENT_BYTES, content_of
from overcast.raster.addresses import file_name, is_remote
from overcast.reading import looks_like_xml, parse_json, parse_xml
from overcast.reading.json_text import json_value
from overcast.reading.words import UnreadableError

SHORTEST_NAME = 12
"""Characters, a digit among them, of a product's name: `<product>_GEC.tif` has `<product>_METADATA.json`."""

PASS = frozenset(
    [
        "pass",
        "orbitpass",
        "orbitdirection",
        "orbitaldirection",
        "orbitpassdirection",
        "rtcorbitpassdirection",
        "flightdirection",
        "satorbitstate",
        "orbitstate",
        "satellitetrack",
        "direction",
    ]
)
SIDE = frozenset(
    [
        "sarobservationdirection",
        "observationdirection",
        "lookdirection",
        "lookside",
        "antennapointing",
        "antennalookdirection",
        "pointing",
    ]
)
HEADING = frozenset(["platformheading", "headingangle", "heading", "centreheading", "centerheading"])
AZIMUTH = frozenset(["viewazimuth", "angleazimuthdegrees"])
PLATFORM = frozenset(
    [
        "platform",
        "mission",
        "missionid",
        "spacecraftname",
        "spacecraftid",
        "satellitename",
        "umbrasatellitename",
        "familyname",
    ]
)
_PASSES = {"ascending": "ascending", "a": "ascending", "descending": "descending", "d": "descending"}
_UNKNOWN = frozenset({"-", "99999", "99999.0"})
"""What SNAP writes for metadata that a product does not have."""
_SIDES = {"right": "right", "r": "right", "left": "left", "l": "left"}


@dataclass(frozen=True)
class Document:
    """A file about the scene."""

    name: str
    fields: tuple[tuple[str, str], ...]
    """Name without punctuation, and text, of every value in it."""
    content: Any = None
    """The JSON; None for others."""


@dataclass(frozen=True)
class RadarFacts:
    """What all documents together say; None where none does."""

    orbit: str | None = None
    """`ascending` or `descending`."""
    side: str | None = None
    """`right` or `left` of the flight path."""
    heading_deg: float | None = None
    view_azimuth_deg: float | None = None
    """Line between radar and scene. Publishers disagree on which of its two ends it points to."""
    platform: str = ""
    positions: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...] = ()
    """(radar, target) in Earth-fixed metres."""
    source: str = ""
    """The documents that say it."""


def documents(
    paths: Sequence[Path],
    tags: Sequence[Mapping[str, str]],
    named: Sequence[Path],
    of_product: Sequence[Path] = (),
) -> list[Document]:
    """Tags of the scene's files, files of their product or named after them, and those named by the user.

    Raises InputError for a file that the user named and that cannot be read; others that cannot are ignored.
    """
    found = [_tags(path, one) for path, one in zip(paths, tags, strict=True)]
    beside = dict.fromkeys(file for path in paths for file in (*of_product, *_beside(path)) if file not in named)
    for file in (*named, *beside):
        try:
            found.append(_read(file))
        except InputError:
            if file in named:
                raise
    return found


def radar_facts(found: Sequence[Document], scene: str) -> RadarFacts:
    """What documents say. Raises RadiometryError where two answers differ."""

    def only(kind: str, names: frozenset[str], known: Mapping[str, str]) -> str | None:
        """The one answer among known words; None without any."""
        said = {known[text.lower()]: one.name for one in found for text in _texts(one, names) if text.lower() in known}
        if len(said) > 1:
            (left, first), (right, second), *_ = said.items()
            raise RadiometryError(
                f"{scene}: the {kind} is {left} in {first} but {right} in {second}; "
                "say where the radar looked with --look-azimuth DEGREES."
            )
        return next(iter(said), None)

    def number(kind: str, names: frozenset[str]) -> float | None:
        """The angle on which all agree within 10 degrees; None without any."""
        said = [
            (value, one.name) for one in found for text in _texts(one, names) if (value := _number(text)) is not None
        ]
        if impossible := [(value, name) for value, name in said if not -360 <= value <= 360]:
            value, name = impossible[0]
            raise RadiometryError(
                f"{scene}: the {kind} is given as {value:g} in {name}, which is not an angle between -360 and 360 "
                "degrees; say where the radar looked with --look-azimuth DEGREES."
            )
        if said and max(abs((value - said[0][0] + 180) % 360 - 180) for value, _ in said) > 10:
            raise RadiometryError(
                f"{scene}: the {kind} is given as {', '.join(f'{value:g} in {name}' for value, name in said[:3])}; "
                "say where the radar looked with --look-azimuth DEGREES."
            )
        return said[0][0] if said else None

    platforms = [text for one in found for text in _texts(one, PLATFORM)]
    every = PASS | SIDE | HEADING | AZIMUTH
    return RadarFacts(
        orbit=only("orbit", PASS, _PASSES),
        side=only("side to which the radar looked", SIDE, _SIDES),
        heading_deg=number("heading", HEADING),
        view_azimuth_deg=number("viewing azimuth", AZIMUTH),
        platform=" ".join(dict.fromkeys(platforms)),
        positions=tuple(place for one in found for place in positions(one.content, one.name, scene)),
        source=", ".join(one.name for one in found if any(name in every for name, _ in one.fields)),
    )


def facts_of(path: Path, facts: Sequence[tuple[str, str]]) -> Document:
    """Names and texts that a file itself holds."""
    return Document(f"the metadata of {file_name(path)}", tuple((_plain(name), text) for name, text in facts))


def _texts(document: Document, names: frozenset[str]) -> Iterator[str]:
    yield from (text.strip() for name, text in document.fields if name in names)


def _number(text: str) -> float | None:
    """The number that a text is; None for any other text and for nan, which means that nobody knows."""
    try:
        value = float(text)
    except ValueError:
        return None
    return None if math.isnan(value) else value


def _beside(path: Path) -> list[Path]:
    """JSON and XML files that are named after a scene, with or without its last word, and the annotation of a SAFE."""
    if is_remote(path):
        return []
    stem = path.stem.lower()
    shorter = stem.rpartition("_")[0]
    prefix = shorter if len(shorter) >= SHORTEST_NAME and re.search(r"\d", shorter) else stem
    if path.parent.suffix == ".data":  # of SNAP: town.data/Sigma0_VV.img and town.dim
        return [dim for dim in [path.parent.with_suffix(".dim")] if dim.is_file()]
    places = [path.parent, path.parent.parent / "annotation"] if path.parent.name == "measurement" else [path.parent]
    files = (file for place in places if place.is_dir() for file in sorted(place.iterdir()))
    return [
        file
        for file in files
        if file.suffix.lower() in {".json", ".xml"}
        and file.name.lower().startswith(prefix)
        and not file.name.lower().endswith(".aux.xml")
        and file.is_file()
        and file.stat().st_size <= LARGEST_DOCUMENT_BYTES
    ]


def _tags(path: Path, tags: Mapping[str, str]) -> Document:
    fields = [(_plain(name), text) for name, text in tags.items()]
    content: Any = None
    for text in tags.values():
        if text.lstrip().startswith("{") and content is None:
            try:
                content = json_value(text)
            except UnreadableError:
                continue
            fields += _flat(content)
    return Document(f"the metadata of {file_name(path)}", tuple(fields), content)


def _read(path: Path) -> Document:
    remedy = "name another file"
    content = content_of(path, remedy)
    if looks_like_xml(content):
        root = parse_xml(content, str(path), InputError, remedy)
        return Document(file_name(path), tuple(_named_texts(root)))
    value = parse_json(content, str(path), InputError, remedy)
    return Document(file_name(path), tuple(_flat(value)), value)


def _named_texts(root: Any) -> Iterator[tuple[str, str]]:
    """Texts of XML by the names of their elements, and of `<MDATTR name="PASS">` by the name that is given there."""
    for one in root.iter():
        text = (one.text or "").strip()
        if text and text not in _UNKNOWN:
            yield _plain(one.tag.rpartition("}")[2]), text
            for key in ("name", "key"):
                if key in one.attrib:
                    yield _plain(one.attrib[key]), text


def _flat(content: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(content, dict):
        for key, value in content.items():
            yield from _flat(value, _plain(str(key)))
    elif isinstance(content, list):
        for value in content:
            yield from _flat(value, name)
    elif isinstance(content, str | int | float) and not isinstance(content, bool):
        yield name, str(content)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
