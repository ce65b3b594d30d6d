"""Files in object stores and on the web, as paths that GDAL reads and the rest of the package passes on.

GDAL names such a file by a path of its own: `/vsis3/bucket/scene.tif`. Web addresses are kept in their escaped form,
`/vsicurl?url=https%3A%2F%2F...`, because a `Path` would drop one slash of `https://`.
"""

from __future__ import annotations

import logging
from pathlib import Path
from urllib.parse import quote, unquote

from overcast.redact import redacted

_STORES = {"s3": "/vsis3/", "gs": "/vsigs/", "az": "/vsiaz/", "abfs": "/vsiaz/", "swift": "/vsiswift/"}
_WEB = "/vsicurl?url="


class _Redacted(logging.Filter):
    """Takes passwords and signatures out of what rasterio logs."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redacted(record.getMessage()), ()
        return True


for _name in ("rasterio._base", "rasterio._env", "rasterio._err", "rasterio._io", "rasterio.env", "rasterio.vrt"):
    logging.getLogger(_name).addFilter(_Redacted())


def located(text: str | Path) -> Path:
    """The path of a file that is named by a path or an address.

    >>> str(located("s3://bucket/scene.tif"))
    '/vsis3/bucket/scene.tif'
    >>> str(located("https://host/scene.tif"))
    '/vsicurl?url=https%3A%2F%2Fhost%2Fscene.tif'
    """
    scheme, separator, rest = str(text).partition("://")
    if not separator:
        return Path(text)
    if scheme in _STORES:
        return Path(_STORES[scheme] + rest)
    return Path(_WEB + quote(str(text), safe=""))


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
