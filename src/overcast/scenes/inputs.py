"""Which files a scene is read from, and by what a change of one of them is noticed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rasterio.windows import Window as RasterioWindow

from overcast.errors import InputError
from overcast.raster.addresses import address, is_remote
from overcast.raster.files import open_raster, reading

_WITHOUT_PIXELS = (".aux.xml", ".ovr")
"""Endings of files that other programs write beside a scene while it is looked at: what the first says of the scene is
in the digest of its header, overviews are never read."""

Identities = Mapping[str, Sequence[object]]
"""For each file: size, time of the last change in ns and inode; for each address or file, what its header says."""


def input_identities(paths: Sequence[Path], beside: Sequence[Path] = ()) -> Identities:
    """All files that GDAL reads for a scene: the scene's own, masks, sources of virtual rasters, and those `beside`.

    Raises InputError where one is missing or unreadable.
    """
    found: dict[str, Sequence[object]] = {}
    files = list(beside)
    for path in paths:
        with open_raster(path, virtual=True) as dataset, reading(path):
            found[f"header of {address(path)}"] = [_header_digest(dataset, with_pixels=is_remote(path))]
            files += [path, *map(Path, dataset.files)]
    local = [file for file in files if not is_remote(file) and not file.name.endswith(_WITHOUT_PIXELS)]
    local += [file.with_name(f"{file.name}.msk") for file in local]  # those of sources are not listed by GDAL
    return found | {str(file.resolve()): identity for file in local if (identity := _identity(file))}


def lasting(identities: Identities) -> dict[str, Sequence[object]]:
    """The identities without the inode, which may change when a disk is mounted anew."""
    return {name: list(identity[:2]) for name, identity in identities.items()}


def require_unchanged(before: Identities, paths: Sequence[Path], beside: Sequence[Path] = ()) -> None:
    """Raise InputError where a file of a scene is no longer what it was when the work began."""
    try:
        now = input_identities(paths, beside)
    except InputError as error:
        raise InputError(
            f"the scene was changed or removed while it was read, so nothing was written ({error}) Run the same "
            "command again when it is complete."
        ) from error
    changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    if changed:
        raise InputError(
            f"{changed[0]} was changed while it was read, so nothing was written; run the same command again when it "
            "is complete."
        )


def _identity(file: Path) -> list[object]:
    """Empty where there is no such file."""
    try:
        status = file.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns, status.st_ino]


def _header_digest(dataset: Any, *, with_pixels: bool) -> str:
    """Digest of what a header says, and of the pixels in the middle and at the end."""
    numbers = [dataset.nodatavals, dataset.scales, dataset.offsets, dataset.mask_flag_enums]
    header = [dict(dataset.profile), dataset.tags(), dataset.descriptions, numbers]
    places = [(dataset.height // 2, dataset.width // 2), (dataset.height - 1, dataset.width - 1)]
    pixels = [dataset.read(window=RasterioWindow(col, row, 1, 1)).tobytes() for row, col in places if with_pixels]
    return hashlib.sha256(repr((header, pixels)).encode()).hexdigest()
