"""Files in object stores and on the web, as paths that GDAL reads and the rest of the package passes on.

GDAL names such a file by a path of its own: `/vsis3/bucket/scene.tif`. Web addresses are kept in their escaped form,
`/vsicurl?url=https%3A%2F%2F...`, because a `Path` would drop one slash of `https://`.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from urllib.parse import quote, unquote, urljoin

from overcast.errors import InputError
from overcast.reading import quoted
from overcast.redact import redacted

_STORES = {"s3": "/vsis3/", "gs": "/vsigs/", "az": "/vsiaz/", "abfs": "/vsiaz/", "swift": "/vsiswift/"}
_WEB = "/vsicurl?url="
_ARCHIVED = re.compile(
    r"/vsi(zip|tar|gzip)/(?:\{(?P<named>[^}]*)\}|(?P<found>.*?\.(?:zip|tar|tgz|gz)))(?P<inside>/.*)?"
)
"""A file in an archive; GDAL reads `/vsizip/{/home/a.zip}/b.tif` as it reads `/vsizip//home/a.zip/b.tif`."""
INSIDE = re.compile(r"/vsizip/\{(?P<archive>[^{}]+)\}/(?P<name>.+)")
"""A file in a named archive of this machine."""


class _Redacted(logging.Filter):
    """Takes passwords and signatures out of what rasterio logs."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redacted(record.getMessage()), ()
        return True


for _name in ("rasterio._base", "rasterio._env", "rasterio._err", "rasterio._io", "rasterio.env", "rasterio.vrt"):
    logging.getLogger(_name).addFilter(_Redacted())


def located(text: str | Path) -> Path:
    """The path of a file that is named by a path, an address or GDAL's own name for one.

    Raises InputError for addresses of other kinds, and for other names of GDAL's: some make it read further files.

    >>> str(located("s3://bucket/scene.tif")), str(located("file:///data/a%20b.tif"))
    ('/vsis3/bucket/scene.tif', '/data/a b.tif')
    >>> str(located("https://host/scene.tif"))
    '/vsicurl?url=https%3A%2F%2Fhost%2Fscene.tif'
    >>> str(located("/vsicurl/https://host/scene.tif")), str(located("/vsizip//data/a.zip/b.tif"))
    ('/vsicurl?url=https%3A%2F%2Fhost%2Fscene.tif', '/vsizip/{/data/a.zip}/b.tif')
    """
    text = str(text)
    if text.startswith("/vsi"):
        return _of_gdal(text)
    scheme, separator, rest = text.partition("://")
    if not separator or os.path.lexists(text):
        return Path(text)
    match scheme.lower():
        case "http" | "https":
            return Path(_WEB + quote(text, safe=""))
        case "file" if rest.startswith(("/", "localhost/")):
            return Path(unquote(rest.removeprefix("localhost")))
        case store if store in _STORES:
            return Path(_STORES[store] + rest)
    raise InputError(
        f"{text} is not an address that is read; give a file, https://, {', '.join(f'{s}://' for s in _STORES)}."
    )


def _of_gdal(text: str) -> Path:
    """A name of GDAL's in the form that survives as a `Path`."""
    if text.startswith(_WEB) and "&" not in text:
        return located(unquote(text.removeprefix(_WEB)))
    if text.startswith("/vsicurl/") and text.removeprefix("/vsicurl/").lower().startswith(("http://", "https://")):
        return located(text.removeprefix("/vsicurl/"))
    if text.startswith(tuple(_STORES.values())):
        return Path(text)
    archived = _ARCHIVED.fullmatch(text)
    if archived is None:
        known = ", ".join(["/vsicurl/https://", "/vsizip/", *dict.fromkeys(_STORES.values())])
        raise InputError(f"{text} is not a name that is read; give a file, an address, or one of GDAL's {known}.")
    archive = archived["named"] or archived["found"]
    archive = f"/{archive}" if archive.startswith("vsi") else archive
    return Path(f"/vsi{archived[1]}/{{{located(archive)}}}{archived['inside'] or ''}")


def joined(place: str, href: str) -> str:
    """The address or path of a link, as seen from the document at `place` that holds it.

    Raises InputError where it is not a valid address.

    >>> joined("https://host/a/item.json", "b.tif"), joined("maps/item.json", "./b.tif")
    ('https://host/a/b.tif', 'maps/b.tif')
    """
    if "://" in href or href.startswith("/vsi"):
        return href
    if "://" in place:
        try:
            return urljoin(place, href)
        except ValueError as error:
            raise InputError(f"{place} names {quoted(href)}, which is not a valid address; correct it.") from error
    path = Path(place).parent / href
    return str(path if os.path.lexists(path) else Path(place).parent / unquote(href))


def is_remote(path: Path) -> bool:
    """True for what GDAL fetches; such a path says nothing to the file system."""
    return str(path).startswith("/vsi")


def address(path: Path) -> str:
    """What the user calls a file, as it is kept and shown: without password, signature or other query.

    >>> address(located("https://me:secret@host/scene.tif?key=1")), address(located("s3://bucket/scene.tif"))
    ('https://host/scene.tif', 's3://bucket/scene.tif')
    """
    return redacted(url_of(path))


def url_of(path: Path) -> str:
    """The address with all that its server needs to know; never kept or shown."""
    text = str(path)
    if text.startswith(_WEB):
        return unquote(text.removeprefix(_WEB))
    for scheme, prefix in _STORES.items():
        if text.startswith(prefix):
            return f"{scheme}://{text.removeprefix(prefix)}"
    return text


def file_name(path: Path) -> str:
    """Last part of a path or an address, without what is asked of a server.

    >>> file_name(located("https://host/a/scene.tif?key=1"))
    'scene.tif'
    """
    return address(path).rstrip("/").rpartition("/")[2] if is_remote(path) else path.name
