"""Which optical image belongs to which of many scenes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from overcast.errors import InputError
from overcast.fleet.scenes import RASTERS, SceneSpec
from overcast.raster.addresses import address, file_name, is_remote
from overcast.scenes.sky import OpticalInput

ENDINGS = (*RASTERS, ".vrt")
"""Endings of the images in a folder; the first that is there counts."""


def optical_of(spec: SceneSpec, given: OpticalInput | None) -> OpticalInput | None:
    """The optical image of a scene.

    A folder holds one for each scene, under the name of the scene's first file; a scene without one is mapped from SAR
    alone. Files are sheets of one image that all scenes share. The cloud mask is a file or a folder likewise.
    """
    if given is None:
        return None
    files = tuple(found for path in given.files if (found := _of_scene(spec, path)) is not None)
    clouds = None if given.clouds is None or not files else _of_scene(spec, given.clouds)
    return replace(given, files=files, clouds=clouds)


def _of_scene(spec: SceneSpec, path: Path) -> Path | None:
    """The file itself, or that of the scene in a folder; None where the folder has none."""
    if is_remote(path) or not path.is_dir():
        return path
    stem = Path(file_name(spec.files[0])).stem
    return next((file for ending in ENDINGS if (file := path / f"{stem}{ending}").is_file()), None)


def require_some(scenes: list[SceneSpec], given: OpticalInput) -> None:
    """Raise InputError where no scene has an optical image: the folder is another one, or names differ."""
    found = [optical_of(spec, given) for spec in scenes]
    if not any(optical is not None and optical.files for optical in found):
        example = Path(file_name(scenes[0].files[0])).stem
        raise InputError(
            f"{address(given.files[0])} holds no image for any scene; name each like its scene, for example "
            f"{example}{ENDINGS[0]}."
        )
