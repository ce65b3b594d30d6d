"""The folder that a server shows: names that come over the network lead to files in it, or nowhere."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from overcast.raster.files import open_raster
from overcast.viewer.answers import RequestError

SCENE_ENDINGS = frozenset({".tif", ".tiff"})
"""GeoTIFF alone: other formats are made of several files, or send GDAL to further ones."""
UPLOADS, JOBS = "uploads", "jobs"
DEEPEST = 4
"""Folders within each other that are looked into."""
MOST_LISTED = 2000
LONGEST_NAME = 300
_PLAIN = re.compile(r"[^\x00-\x1f\x7f/\\:*?\"<>|]+")


@dataclass(frozen=True)
class Limits:
    """What a server takes."""

    upload_bytes: int = 20 * 2**30
    """Of one file."""
    quota_bytes: int = 200 * 2**30
    """Of uploads and results together."""
    pixels: int = 4 * 10**9
    """Of a scene, in all its bands."""
    waiting: int = 100
    """Jobs that are not finished."""


@dataclass(frozen=True)
class Root:
    """A folder and the limits of what is done in it."""

    folder: Path
    """Absolute, without links."""
    limits: Limits

    @property
    def jobs(self) -> Path:
        """Where each job has a folder."""
        return self.folder / JOBS

    @property
    def uploads(self) -> Path:
        """Where uploaded scenes lie."""
        return self.folder / UPLOADS

    def scene(self, name: str) -> Path:
        """The file of a scene by its name relative to the folder.

        Raises RequestError where the name is no plain relative one, leads out of the folder by links, or is no GeoTIFF
        within the limits.
        """
        parts = name.split("/")
        plain = all(_PLAIN.fullmatch(part) and part.strip(". ") and not part.startswith(".") for part in parts)
        if not plain or len(name) > LONGEST_NAME or len(parts) > DEEPEST + 1:
            raise RequestError(
                400, "a scene is named by its path within the folder of the server, such as town/scene.tif."
            )
        path = self.folder.joinpath(*parts)
        if path.suffix.lower() not in SCENE_ENDINGS:
            raise RequestError(415, "scenes are GeoTIFF files, .tif or .tiff; convert this one.")
        if not path.is_file() or not path.resolve().is_relative_to(self.folder) or path.resolve() != path:
            raise RequestError(404, f"there is no scene {name} in the folder of the server.")
        return path

    def require_size(self, path: Path) -> None:
        """Raise RequestError for more pixels than the server takes; only the header is read."""
        with open_raster(path) as dataset:
            pixels = dataset.width * dataset.height * dataset.count
        if pixels > self.limits.pixels:
            raise RequestError(
                413, f"the scene has {pixels / 1e9:.3g} billion pixels in its bands, and the server takes "
                f"{self.limits.pixels / 1e9:.3g}; cut it into parts."
            )  # fmt: skip

    def scenes(self) -> list[str]:
        """Names of the scenes, results of jobs left out, in alphabetical order."""
        found = (path.relative_to(self.folder).as_posix() for path in self._files(self.folder, DEEPEST))
        return sorted(name for name, _ in zip(found, range(MOST_LISTED), strict=False))

    def used_bytes(self) -> int:
        """Of uploads and results."""
        return sum(
            path.stat().st_size
            for part in (self.jobs, self.uploads)
            for path in part.rglob("*")
            if path.is_file() and not path.is_symlink()
        )

    def room_bytes(self) -> int:
        """How much may still be written: what is left of the quota, and of the disk."""
        return min(self.limits.quota_bytes - self.used_bytes(), shutil.disk_usage(self.folder).free)

    def relative(self, sentence: str) -> str:
        """A sentence without the path of the folder."""
        return sentence.replace(f"{self.folder}/", "").replace(str(self.folder), "the folder of the server")

    def _files(self, folder: Path, deeper: int) -> Iterator[Path]:
        for path in sorted(folder.iterdir()):
            if path.name.startswith(".") or path.is_symlink() or path == self.jobs:
                continue
            if path.is_dir() and deeper:
                yield from self._files(path, deeper - 1)
            elif path.suffix.lower() in SCENE_ENDINGS and path.is_file():
                yield path


def open_root(folder: Path, limits: Limits) -> Root:
    """The folder, with its own two folders made. Raises OSError where they cannot be."""
    whole = folder.resolve()
    for part in (JOBS, UPLOADS):
        (whole / part).mkdir(parents=True, exist_ok=True)
    return Root(whole, limits)
