"""Scenes of STAC records: items, item collections, and collections or catalogs that link items."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

from overcast.data.addresses import address, file_name, joined, located
from overcast.errors import InputError

TIMEOUT_S = 60.0
NO_DATA_ROLES = frozenset({"thumbnail", "overview", "metadata", "visual", "data-mask", "cloud"})
"""Roles of assets that are no image to map."""


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
    place = address(path)
    record = _read(place)
    match record.get("type"):
        case "Feature":
            yield _scene(record, place, bands)
        case "FeatureCollection":
            items = record.get("features", [])
            _require_some(items, place)
            for item in items:
                yield _scene(item, place, bands)
        case "Collection" | "Catalog":
            links = [link["href"] for link in record.get("links", []) if link.get("rel") == "item" and "href" in link]
            _require_some(links, place)
            for href in links:
                there = address(located(joined(place, href)))
                yield _scene(_read(there), there, bands)
        case other:
            raise InputError(f"{place} is no STAC item, item collection or collection (its type is {other!r}).")


def _require_some(items: Sequence[object], place: str) -> None:
    if not items:
        raise InputError(f"{place} holds no item; name one that does.")


def _read(place: str) -> dict[str, Any]:
    """The JSON object at a path or a web address."""
    scheme = urlsplit(place).scheme if "://" in place else ""
    try:
        if scheme in {"http", "https"}:
            with urlopen(place, timeout=TIMEOUT_S) as answer:  # noqa: S310 (only these two schemes come here)
                content = answer.read()
        elif scheme:
            raise InputError(f"{place}: STAC records are read from files and web addresses; copy it here first.")
        else:
            content = Path(place).read_bytes()
        value = json.loads(content)
    except (OSError, URLError, ValueError) as error:
        raise InputError(f"{place} cannot be read as JSON ({error}); check the address.") from error
    if not isinstance(value, dict):
        raise InputError(f"{place} is no JSON object; name a STAC item, item collection or collection.")
    return value


def _scene(item: dict[str, Any], place: str, bands: Sequence[str]) -> StacScene:
    if not isinstance(item.get("id"), str) or not isinstance(item.get("assets"), dict):
        raise InputError(f"{place} holds something that is no STAC item: it has no id or no assets.")
    name = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in item["id"])
    base = next((link["href"] for link in item.get("links", []) if link.get("rel") == "self"), "")
    here = base if "://" in base else place
    files = tuple(located(joined(here, href)) for href in _images(item, place, bands))
    if any(Path(file_name(file)).suffix.lower() == ".vrt" for file in files):
        raise InputError(
            f"{place}: item {item['id']} has a virtual raster, which is read only where you name it yourself."
        )
    return StacScene(name, files, _moment(item.get("properties", {}).get("datetime")))


def _images(item: dict[str, Any], place: str, bands: Sequence[str]) -> list[str]:
    """Addresses of the item's images: the only one, or those named after the bands."""
    images = {key: asset["href"] for key, asset in item["assets"].items() if _is_image(asset)}
    by_band = {key.lower(): href for key, href in images.items()}
    if len(images) == 1:
        return list(images.values())
    if all(band.lower() in by_band for band in bands):
        return [by_band[band.lower()] for band in bands]
    raise InputError(
        f"{place}: item {item['id']} has {len(images)} GeoTIFF assets ({', '.join(images) or 'none'}); one alone is "
        f"taken, of several those named after the model's bands {list(bands)}."
    )


def _is_image(asset: Any) -> bool:
    if not isinstance(asset, dict) or NO_DATA_ROLES.intersection(asset.get("roles") or ()):
        return False
    kind, href = str(asset.get("type", "")), str(asset.get("href", ""))
    return bool(href) and (kind.startswith("image/tiff") or urlsplit(href).path.lower().endswith((".tif", ".tiff")))


def _moment(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
