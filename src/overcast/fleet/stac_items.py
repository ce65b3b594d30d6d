"""Scenes of STAC records: items, item collections, and collections or catalogs that link items."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from overcast.errors import InputError
from overcast.products.product import POLARISATIONS, is_ancillary, polarisation
from overcast.raster.addresses import address, file_name, joined, located, url_of
from overcast.reading import parse_json, quoted, read_json, read_web, shortened, validated

NO_DATA_ROLES = frozenset({"thumbnail", "overview", "metadata", "visual", "data-mask", "cloud"})
"""Roles of assets that are no image to map."""
LONGEST_NAME_BYTES = 150
"""Longest name of a scene in bytes; its outputs have longer names."""
MOST_RECORDS = 10_000
"""Catalogs, collections and items that are read for one argument."""
_REMEDY = "check the address"
_ASSET = re.compile(r"(?P<record>.+\.(?:geo)?json)@(?P<asset>[^@/]+)", re.IGNORECASE)


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
    start_datetime: str | None = None


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
    bands: tuple[str, ...] | None = None
    """Bands of the files, where assets are named after them."""


@dataclass(frozen=True)
class _Choice:
    """Which assets of an item are meant."""

    bands: tuple[str, ...]
    asset: str | None
    """Its key, or a word of it; None takes what fits the bands."""


def record_of(argument: str) -> tuple[Path, str | None] | None:
    """The record that an argument names, and the asset of it (`item.json@GEC`); None where it names something else.

    >>> record_of("maps/item.json@GEC"), record_of("scene.tif")
    ((PosixPath('maps/item.json'), 'GEC'), None)
    """
    chosen = _ASSET.fullmatch(argument)
    if chosen is not None and not os.path.lexists(argument):
        return located(chosen["record"]), chosen["asset"]
    path = located(argument)
    return (path, None) if Path(file_name(path)).suffix.lower() in {".json", ".geojson"} else None


def stac_scenes(path: Path, bands: Sequence[str], asset: str | None = None) -> Iterator[StacScene]:
    """The scenes of a record, each item one; catalogs in catalogs are followed.

    An item's image is its one GeoTIFF asset, or the one that `asset` names; of several those are taken whose keys say
    the model's bands, `vv` or `vv-g-lin`.

    Raises:
        InputError: The record cannot be read, is something else, or an item has no image for the bands.
    """
    yield from _scenes(path, _Choice(tuple(bands), asset), set())


def _scenes(path: Path, choice: _Choice, seen: set[str]) -> Iterator[StacScene]:
    """`seen` holds the addresses of records that have been read."""
    place = url_of(path)
    seen.add(place)
    if len(seen) > MOST_RECORDS:
        raise InputError(f"{address(path)}: more than {MOST_RECORDS} records are linked; name one of the collections.")
    record = _read(path, place)
    match record.get("type"):
        case "Feature":
            yield _scene(record, place, choice)
        case "FeatureCollection":
            items = record.get("features")
            for item in _some(items if isinstance(items, list) else [], path):
                yield _scene(item, place, choice)
        case "Collection" | "Catalog":
            collection = validated(_Collection, record, address(path), InputError, _REMEDY)
            hrefs = [link.href for link in collection.links or () if link.rel in {"item", "child"} and link.href]
            for there in (located(joined(place, href)) for href in _some(hrefs, path)):
                if url_of(there) not in seen:
                    yield from _scenes(there, choice, seen)
        case other:
            kind = f"its type is {quoted(other)}"
            raise InputError(f"{address(path)} is not a STAC item, item collection or collection ({kind}); name one.")


def _some(items: list[Any], path: Path) -> list[Any]:
    if not items:
        raise InputError(f"{address(path)} holds no item; name one that does.")
    return items


def _read(path: Path, place: str) -> dict[str, Any]:
    """The JSON object at a path or a web address."""
    scheme, separator, _ = place.lower().partition("://")
    if scheme in {"http", "https"}:
        value = parse_json(read_web(place, InputError, _REMEDY), place, InputError, _REMEDY)
    elif separator:
        raise InputError(f"{place}: STAC records are read from files and web addresses; copy it here first.")
    else:
        value = read_json(path, InputError, _REMEDY)
    if not isinstance(value, dict):
        raise InputError(f"{place} is not a JSON object; name a STAC item, item collection or collection.")
    return value


def _scene(record: Any, place: str, choice: _Choice) -> StacScene:
    if not isinstance(record, dict) or not isinstance(record.get("assets"), dict):
        raise InputError(f"{place} holds something that is not a STAC item: it has no assets; name an item.")
    item = validated(_Item, record, place, InputError, "correct the item")
    base = next((link.href for link in item.links or () if link.rel == "self"), "")
    here = base if "://" in base else place
    images = _images(item, place, choice)
    files = tuple(located(joined(here, href)) for href in images.values())
    if any(Path(file_name(file)).suffix.lower() == ".vrt" for file in files):
        raise InputError(
            f"{place}: item {shortened(item.id, 40)} has a virtual raster, which is read only if you name it yourself."
        )
    times = [] if item.properties is None else [item.properties.datetime, item.properties.start_datetime]
    named = tuple(images) if len(images) > 1 else None
    return StacScene(item.name, files, next((found for text in times if (found := _moment(text))), None), named)


def _images(item: _Item, place: str, choice: _Choice) -> dict[str, str]:
    """Addresses of the item's images by band, or of the only one by its key."""
    images = {key: asset.href for key, asset in item.assets.items() if asset.is_image}
    if choice.asset is not None:
        return _chosen(item, place, images, choice.asset)
    if len(images) == 1:
        return images
    by_band: dict[str, list[str]] = {}
    for key, href in images.items():
        by_band.setdefault(polarisation(key) or key.upper(), []).append(href)
    found = {band: by_band.get(band.upper(), []) for band in choice.bands or POLARISATIONS}
    found = {band: hrefs for band, hrefs in found.items() if hrefs or choice.bands}
    if found and all(len(hrefs) == 1 for hrefs in found.values()):
        return {band: hrefs[0] for band, hrefs in found.items()}
    own = {key: href for key, href in images.items() if not is_ancillary(key)}
    if len(own) == 1:
        return own
    listed = f"{len(images)} GeoTIFF assets ({shortened(', '.join(images), 80) or 'none'})"
    bands = f"the model's bands {list(choice.bands)}" if choice.bands else "polarisations"
    raise InputError(
        f"{place}: item {shortened(item.id, 40)} has {listed}; one alone is taken, of several those named after "
        f"{bands}, or the one that you name: {Path(place).name}@KEY."
    )


def _chosen(item: _Item, place: str, images: dict[str, str], asset: str) -> dict[str, str]:
    """The image whose key is named, or has a part that no other has."""
    if asset in images:
        return {asset: images[asset]}
    found = {key: href for key, href in images.items() if asset.lower() in key.lower()}
    if len(found) != 1:
        listed = shortened(", ".join(images), 200) or "none"
        raise InputError(
            f"{place}: item {shortened(item.id, 40)} has {len(found) or 'no'} GeoTIFF assets called {quoted(asset)}; "
            f"choose of {listed}."
        )
    return found


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
