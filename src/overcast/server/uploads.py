"""Scenes that come over the network: streamed to disk within limits, looked at, and only then given their name."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
from anyio import to_thread

from overcast.errors import OvercastError
from overcast.raster.files import open_raster, require_complete
from overcast.server.root import UPLOADS, Root
from overcast.viewer.answers import RequestError

CHUNK_LOOK_BYTES = 64 * 2**20
"""After as many bytes the quota is looked at again, since others upload too."""


async def receive(root: Root, name: str, length: int | None, chunks: AsyncIterator[bytes]) -> str:
    """Store an upload and return the name by which jobs find the scene.

    Args:
        root: Where it goes.
        name: File name that the sender gives; no folders.
        length: What the sender says it will send.
        chunks: What it sends.

    Raises:
        RequestError: The name is not plain or taken, the upload is too large, or the file is no whole GeoTIFF. Nothing
            of it is left then.
    """
    target = _target(root, name)
    room = min(root.limits.upload_bytes, await to_thread.run_sync(root.room_bytes))
    _require_room(root, length or 0, room)
    beside = root.uploads / f".upload-{secrets.token_hex(8)}{target.suffix.lower()}"
    try:
        async with await anyio.open_file(beside, "xb") as file:
            await _store(root, chunks, file, room)
        await to_thread.run_sync(_look, root, beside, target)
    finally:
        beside.unlink(missing_ok=True)
    return f"{UPLOADS}/{target.name}"


def _target(root: Root, name: str) -> Path:
    """Where an upload goes; the name has passed the same test as those of scenes."""
    target = root.uploads / name
    try:
        root.scene(f"{UPLOADS}/{name}")
    except RequestError as error:
        if error.status != 404:
            raise
        return target
    raise RequestError(409, f"there is a scene {name} already; give the file another name.")


async def _store(root: Root, chunks: AsyncIterator[bytes], file: anyio.AsyncFile[bytes], room: int) -> None:
    size, looked = 0, 0
    async for chunk in chunks:
        size += len(chunk)
        if size - looked > CHUNK_LOOK_BYTES:
            looked, room = size, min(room, size + await to_thread.run_sync(root.room_bytes))
        _require_room(root, size, room)
        await file.write(chunk)


def _require_room(root: Root, size: int, room: int) -> None:
    if size > root.limits.upload_bytes:
        raise RequestError(
            413, f"the file is larger than the {root.limits.upload_bytes / 2**30:.3g} GiB that are taken."
        )
    if size > room:
        raise RequestError(507, "the folder of the server has no room for this file; delete finished jobs or uploads.")


def _look(root: Root, beside: Path, target: Path) -> None:
    """Raise RequestError for a file that is no whole GeoTIFF; else give it its name, which nobody else has."""
    try:
        root.require_size(beside)
        with open_raster(beside) as dataset:
            require_complete(beside, dataset)
    except OvercastError as error:
        sentence = (
            root.relative(str(error)).replace(f"{UPLOADS}/{beside.name}", target.name).replace(beside.name, target.name)
        )
        raise RequestError(error.status if isinstance(error, RequestError) else 415, sentence) from error
    try:
        target.hardlink_to(beside)
    except FileExistsError:
        raise RequestError(409, f"there is a scene {target.name} already; give the file another name.") from None
