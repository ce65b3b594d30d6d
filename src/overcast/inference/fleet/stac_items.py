"""Scenes of STAC records: items, item collections, and collections or catalogs that link items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from overcast.data.addresses import address, file_name, joined, located, url_of
from overcast.errors import InputError
from overcast.reading import parse_json, quoted, read_json, read_web, shortened, validated

NO_DATA_ROLES = frozenset({"thumbnail", "overview", "metadata", "visual", "data-mask", "cloud"})
"""Roles of assets that are no image to map."""
LONGEST_NAME_BYTES = 150
"""Of a scene: its outputs have longer names."""
_REMEDY = "check the address"


def _printable(href: str) -> str:
    if not href.isprintable() or any(len(part.encode()) > 1024 for part in href.split("/")):
        raise ValueError("is no address or path of a file")
    return href


Href = Annotated[str, Field(max_length=4096), AfterValidator(_printable)]


class _Lenient(BaseModel):
    """What is read of a STAC record; other fields may say what they like."""

    model_config = ConfigDict(frozen=True, strict=True)


class _Link(_Lenient):
    rel: str | None = None
    href: Href = ""


class _Asset(_Lenient):
    href: Href
    type: str | None = None
    roles: list[str] | None = None

    @property
    def is_image(self) -> bool:
        """True for a GeoTIFF to map."""
        if NO_DATA_ROLES.intersection(self.roles or ()):
            return False
        tiff = (self.type or "").startswith("image/tiff") or _path_of(self.href).endswith((".tif", ".tiff"))
        return bool(self.href) and tiff


class _Properties(_Lenient):
    datetime: str | None = None


class _Item(_Lenient):
    id: str = Field(min_length=1)
    assets: dict[str, _Asset]
    links: list[_Link] | None = None
    properties: _Properties | None = None

    @property
    def name(self) -> str:
        """The id as a file may be called."""
        name = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in self.id).lstrip("-.")
        return name.encode()[:LONGEST_NAME_BYTES].decode(errors="ignore") or "item"


class _Collection(_Lenient):
    links: list[_Link] | None = None


@dataclass(frozen=True)
class StacScene:
    """A scene that an item describes."""

    name: str
    files: tuple[Path, ...]
    acquired: datetime | None


def stac_scenes(path: Path, bands: Sequence[str]) -> Iterator[StacScene]:
    """The scenes of a record, each item one.

    An item's image is its one GeoTIFF asset; of several, those are taken whose keys are the model's bands.

    Raises:
        InputError: The record cannot be read, is something else, or an item has no image for the bands.
    """
    place = url_of(path)
    record = _read(path, place)
    match record.get("type"):
        case "Feature":
            yield _scene(record, place, bands)
        case "FeatureCollection":
            items = record.get("features")
            for item in _some(items if isinstance(items, list) else [], path):
                yield _scene(item, place, bands)
        case "Collection" | "Catalog":
            collection = validated(_Collection, record, address(path), InputError, _REMEDY)
            for href in _some([link.href for link in collection.links or () if link.rel == "item" and link.href], path):
                there = located(joined(place, href))
                yield _scene(_read(there, url_of(there)), url_of(there), bands)
        case other:
            kind = f"its type is {quoted(other)}"
            raise InputError(f"{address(path)} is no STAC item, item collection or collection ({kind}); name one.")


def _some(items: list[Any], path: Path) -> list[Any]:
    if not items:
        raise InputError(f"{address(path)} holds no item; name one that does.")
    return items


def _read(path: Path, place: str) -> dict[str, Any]:
    """The JSON object at a path or a web address."""
    scheme = urlsplit(place).scheme.lower() if "://" in place else ""
    if scheme in {"http", "https"}:
        value = parse_json(read_web(place, InputError, _REMEDY), place, InputError, _REMEDY)
    elif scheme:
        raise InputError(f"{place}: STAC records are read from files and web addresses; copy it here first.")
    else:
        value = read_json(path, InputError, _REMEDY)
    if not isinstance(value, dict):
        raise InputError(f"{place} is no JSON object; name a STAC item, item collection or collection.")
    return value


def _scene(record: Any, place: str, bands: Sequence[str]) -> StacScene:
    if not isinstance(record, dict) or not isinstance(record.get("assets"), dict):
        raise InputError(f"{place} holds something that is no STAC item: it has no assets; name an item.")
    item = validated(_Item, record, place, InputError, "correct the item")
    base = next((link.href for link in item.links or () if link.rel == "self"), "")
    here = base if "://" in base else place
    files = tuple(located(joined(here, href)) for href in _images(item, place, bands))
    if any(Path(file_name(file)).suffix.lower() == ".vrt" for file in files):
        raise InputError(
            f"{place}: item {shortened(item.id, 40)} has a virtual raster, which is read only if you name it yourself."
        )
    return StacScene(item.name, files, _moment(item.properties.datetime if item.properties else None))


def _images(item: _Item, place: str, bands: Sequence[str]) -> list[str]:
    """Addresses of the item's images: the only one, or those named after the bands."""
    images = {key: asset.href for key, asset in item.assets.items() if asset.is_image}
    by_band = {key.lower(): href for key, href in images.items()}
    if len(images) == 1:
        return list(images.values())
    if all(band.lower() in by_band for band in bands):
        return [by_band[band.lower()] for band in bands]
    found = f"{len(images)} GeoTIFF assets ({shortened(', '.join(images), 80) or 'none'})"
    raise InputError(
        f"{place}: item {shortened(item.id, 40)} has {found}; one alone is taken, of several those named after the "
        f"model's bands {list(bands)}."
    )


def _path_of(href: str) -> str:
    """The path of an address in small letters; nothing where it is none."""
    try:
        return urlsplit(href).path.lower()
    except ValueError:
        return ""


def _moment(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
