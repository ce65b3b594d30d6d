"""What the numbers of a scene mean, from what the user, a file beside it or the file itself declare."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from overcast.errors import InputError, RadiometryError
from overcast.outputs.writable import require_name
from overcast.polygons.area import measure_area
from overcast.raster.addresses import address, is_remote
from overcast.raster.files import grid_of, is_photograph, open_raster
from overcast.raster.kinds import require_image
from overcast.raster.radar_geometry import refuse_radar_geometry
from overcast.raster.radiometry import SensorRadiometry, require_names
from overcast.reading import explained, parse_json, read_yaml

TAG = "OVERCAST_RADIOMETRY"
"""GeoTIFF metadata item that holds the declaration as JSON."""

_LINES = {
    "bands": "bands: [HH, HV, VH, VV]",
    "unit": "unit: dB",
    "gsd_m": "gsd_m: 0.5",
}
_PLACELESS = " Footprints also need to know where pixels lie: gdal_edit.py -a_srs EPSG:... -a_ullr ... says it."
"""Of a scene whose pixel size nobody knows: one with a CRS and a geotransform says it itself."""
_OPTIONS = {"bands": "--bands HH,HV,VH,VV", "unit": "--unit dB", "gsd_m": "--set gsd_m=0.5"}


def scene_radiometry(paths: Sequence[Path], declared: Mapping[str, object] | None = None) -> SensorRadiometry:
    """The radiometry contract of a scene; no part of it is guessed from pixel values.

    Each part is taken from the first of these that has it: `declared`; the YAML file beside the scene (`scene.yaml`
    beside `scene.tif`) with the keys of `SensorRadiometry`; the file's `OVERCAST_RADIOMETRY` metadata; for the bands
    the names of the bands in the files, for the ground sampling distance their geotransform.

    Args:
        paths: The scene's files, in order of their bands.
        declared: Parts that the user gives; None counts as not given.

    Raises:
        RadiometryError: A part is missing or impossible; the message says how to declare it.
        InputError: A file is missing or unreadable.
    """
    for path in paths:
        if not is_remote(path):
            require_name(path)
            require_image(path)
    side_car = paths[0].with_suffix(".yaml")
    given = {key: value for key, value in (declared or {}).items() if value is not None}
    in_files, names = _from_files(paths)
    parts = _over(_over(in_files, _from_side_car(side_car)), given)
    missing = [key for key in _LINES if key not in parts]
    if "bands" in missing and any(map(_is_photograph, paths)):
        raise RadiometryError(
            f"{address(paths[0])} looks like a colour photograph (8-bit bands red, green, blue) and names no "
            "polarisation; give the radar's file, or name its bands (--bands)."
        )
    if missing:
        options, lines = (
            joint.join(words[key] for key in missing) for joint, words in ((" ", _OPTIONS), (", ", _LINES))
        )
        raise RadiometryError(
            f"{address(paths[0])} does not declare its {' and '.join(missing)}; give "
            f"{'them' if len(missing) > 1 else 'it'} on the command line, for example {options}, or write {{{lines}}} "
            f"into {side_car.name} beside the scene.{_PLACELESS if 'gsd_m' in missing else ''}"
        )
    if len(set(paths)) < len(paths):
        raise InputError(f"{address(paths[0])} is named twice; name each file of the scene once.")
    try:
        sensor = SensorRadiometry.model_validate(parts)
    except ValidationError as error:
        raise RadiometryError(f"{paths[0]}: what is declared is impossible: {explained(error)}; correct it.") from error
    require_names(address(paths[0]), names, sensor)
    return sensor


def declared_in(path: Path, dataset: Any) -> dict[str, object]:
    """What an open file's metadata and the YAML file beside it declare, the latter first; nothing has to be there."""
    tag = dataset.tags().get(TAG)
    side_car = {} if is_remote(path) else _from_side_car(path.with_suffix(".yaml"))
    return _over({} if tag is None else _from_tag(path, tag), side_car)


def _over(lower: Mapping[str, object], upper: Mapping[str, object]) -> dict[str, object]:
    """All parts, those of `upper` first; a radar side that it names makes the other's azimuth void."""
    void = {"radar_azimuth_deg"} if "radar_side" in upper else set()
    return {**{key: value for key, value in lower.items() if key not in void}, **upper}


def _from_side_car(path: Path) -> dict[str, object]:
    try:
        if not path.is_file():
            return {}
    except OSError:  # a name that is too long by its ending
        return {}
    parts = read_yaml(path, InputError)
    known = set(SensorRadiometry.model_fields)
    if not isinstance(parts, dict) or not known.issuperset(parts):
        raise InputError(f"{path} describes the scene beside it with the keys {sorted(known)} only; correct it.")
    return parts


def _from_files(paths: Sequence[Path]) -> tuple[dict[str, object], list[str | None]]:
    """What the files declare, and what they call their bands."""
    parts: dict[str, object] = {}
    names: list[str | None] = []
    for path in paths:
        with open_raster(path, virtual=True) as dataset:
            refuse_radar_geometry(path, dataset)
            names += dataset.descriptions
            grid, tag = grid_of(dataset), dataset.tags().get(TAG)
        if path == paths[0] and grid.crs is not None and grid.transform.determinant != 0:
            pixel_m2 = measure_area(grid).pixel_m2
            if not (math.isfinite(pixel_m2) and pixel_m2 > 0):
                raise InputError(
                    f"{path} lies nowhere in its coordinate reference system ({grid.crs}): its pixels have no area "
                    "there; assign the system that its coordinates are in (gdal_edit.py -a_srs EPSG:...)."
                )
            parts["gsd_m"] = pixel_m2**0.5
        if path == paths[0] and tag is not None:
            parts |= _from_tag(path, tag)
    if all(names):
        parts.setdefault("bands", tuple(names))
    return parts, names


def _is_photograph(path: Path) -> bool:
    with open_raster(path, virtual=True) as dataset:
        return is_photograph(dataset)


def _from_tag(path: Path, tag: str) -> dict[str, object]:
    parts = parse_json(tag, f"{path}: its metadata item {TAG}", InputError, "correct or remove it")
    if not isinstance(parts, dict):
        raise InputError(f"{path}: its metadata item {TAG} is not a JSON object; correct or remove it.")
    return parts
