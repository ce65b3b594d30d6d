"""Buildings of a CityJSON file: ground outline, height and, from LoD2 roof surfaces, a simple roof."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely import Polygon
from shapely.geometry.base import BaseGeometry

from overcast.errors import InputError
from overcast.reading import first_line, read_json
from overcast.reading.files import LARGEST_DATA_BYTES
from overcast.simulator.city.geometry import Floats, Roof

FLAT_M = 0.6
"""Roofs that rise less are flat."""
FARTHEST_M = 1e9
"""Coordinates are smaller, whatever their system."""
_DAMAGED = (LookupError, TypeError, ValueError, AttributeError, OverflowError, shapely.errors.ShapelyError)
STEEP_COSINE = 0.15
"""Faces whose normal has a smaller vertical part are walls and cover no ground."""
Record = dict[str, Any]


@dataclass(frozen=True)
class ModelBuilding:
    """A building of a city model."""

    ground: BaseGeometry
    """Outline on the ground; may be empty or of several parts."""
    height_m: float
    """Highest point above the lowest; 0 where the model holds no heights."""
    roof: Roof | None = None
    """None where the model does not say; complex roofs are flat at their mean height."""
    eaves_m: float | None = None
    ridge: float | None = None
    """Direction of the ridge, radians counter-clockwise from the first axis."""


@dataclass(frozen=True)
class CityModel:
    """The buildings of a file and its coordinate system."""

    buildings: tuple[ModelBuilding, ...]
    crs: str | None
    """Authority code of metadata.referenceSystem."""


def read_cityjson(path: Path) -> CityModel:
    """Read Buildings and BuildingParts of a CityJSON 1.x or 2.0 file. Raises InputError where it is none."""
    model = read_json(path, InputError, limit=LARGEST_DATA_BYTES)
    if not isinstance(model, dict) or model.get("type") != "CityJSON":
        raise InputError(f"{path} is not a CityJSON file: its type is not CityJSON; give GeoJSON the ending .geojson.")
    try:
        vertices = _vertices(model)
        buildings = tuple(_buildings(model["CityObjects"], vertices))
        return CityModel(buildings, _crs(model))
    except _DAMAGED as error:
        reason = f"{type(error).__name__} {first_line(error)}"
        raise InputError(
            f"{path} is damaged: its city objects cannot be followed ({reason}); copy it again."
        ) from error


def _vertices(model: Record) -> Floats:
    """(N, 3) vertices, transform applied."""
    vertices = np.array(model["vertices"], float).reshape(-1, 3)
    transform = model.get("transform")
    if transform:
        vertices = vertices * np.array(transform["scale"], float) + np.array(transform["translate"], float)
    if not (np.abs(vertices) < FARTHEST_M).all():
        raise ValueError("a vertex is not a finite place")
    return vertices


def _crs(model: Record) -> str | None:
    """EPSG code of "https://www.opengis.net/def/crs/EPSG/0/7415" or "urn:ogc:def:crs:EPSG::7415"."""
    system = model.get("metadata", {}).get("referenceSystem") or ""
    found = re.search(r"EPSG[:/][^:/]*[:/]+(\d+)$", system)
    return f"EPSG:{found[1]}" if found else None


def _buildings(objects: Record, vertices: Floats) -> Iterator[ModelBuilding]:
    solids: dict[str, list[tuple[list[Floats], str | None]]] = {}
    base: dict[str, float] = {}
    for name, record in objects.items():
        if record.get("type") not in {"Building", "BuildingPart"} or not record.get("geometry"):
            continue
        best = max(record["geometry"], key=lambda geometry: _detail(geometry.get("lod", 0)))
        faces = [([vertices[ring] for ring in rings], kind) for rings, kind in _faces(best)]
        if faces:
            solids[name] = faces
            whole = _whole(name, record)
            base[whole] = min(base.get(whole, math.inf), *(float(rings[0][:, 2].min()) for rings, _ in faces))
    for name, faces in solids.items():
        yield _building(faces, base[_whole(name, objects[name])])


def _whole(name: str, record: Record) -> str:
    """Name of the building that a part belongs to: its parts stand on one ground."""
    parents = record.get("parents") or [name]
    return str(parents[0])


def _detail(lod: str | float) -> float:
    """Level of detail; interiors (LoD3 and more) count as less than LoD2."""
    value = float(lod)
    return value if value < 3 else -value


def _faces(geometry: Record) -> Iterator[tuple[list[list[int]], str | None]]:
    """Faces as rings of vertex numbers, with their semantic type."""
    semantics = geometry.get("semantics") or {}
    surfaces, values = semantics.get("surfaces", []), semantics.get("values")
    match geometry["type"]:
        case "MultiSurface" | "CompositeSurface":
            shells, codes = [geometry["boundaries"]], [values]
        case "Solid":
            shells, codes = geometry["boundaries"][:1], (values or [None])[:1]
        case "MultiSolid" | "CompositeSolid":
            shells = [solid[0] for solid in geometry["boundaries"]]
            codes = [solid[0] if solid else None for solid in values] if values else [None] * len(shells)
        case _:
            return
    for shell, code in zip(shells, codes, strict=True):
        for index, face in enumerate(shell):
            number = code[index] if code else None
            yield face, None if number is None else surfaces[number]["type"]


def _building(faces: list[tuple[list[Floats], str | None]], low: float) -> ModelBuilding:
    top = max(float(rings[0][:, 2].max()) for rings, _ in faces)
    ground = [rings for rings, kind in faces if kind == "GroundSurface"]
    roofs = [rings for rings, kind in faces if kind == "RoofSurface"]
    outline = _cover(ground) if ground else _cover([rings for rings, _ in faces])
    if outline.is_empty:
        outline = _cover([rings for rings, _ in faces])
    if not roofs or top - low <= 0:
        return ModelBuilding(outline, top - low)
    return _roofed(outline, roofs, low)


def _cover(faces: list[list[Floats]]) -> BaseGeometry:
    """Union of faces seen from above, walls left out."""
    flat = [
        Polygon(rings[0][:, :2], [ring[:, :2] for ring in rings[1:]]) for rings in faces if _tilt(rings) is not None
    ]
    whole = shapely.union_all([shapely.make_valid(face) for face in flat], grid_size=0.001)
    return shapely.make_valid(shapely.simplify(whole, 0.01))


def _normal(ring: Floats) -> Floats:
    """Area vector of a ring (Newell)."""
    return np.asarray(np.cross(ring, np.roll(ring, -1, axis=0)).sum(axis=0) / 2)


def _tilt(rings: list[Floats]) -> Floats | None:
    """Area vector turned upwards, or None for walls and faces without area."""
    vector = _normal(rings[0] - rings[0][0])
    length = float(np.linalg.norm(vector))
    if len(rings[0]) < 3 or length < 1e-6 or abs(vector[2]) < STEEP_COSINE * length:
        return None
    return np.asarray(vector * np.sign(vector[2]))


def _roofed(outline: BaseGeometry, roofs: list[list[Floats]], low: float) -> ModelBuilding:
    """Flat, gabled or hipped after the number and the normals of the roof's faces; anything else flat at its mean."""
    tilts = [(rings, tilt) for rings in roofs if (tilt := _tilt(rings)) is not None]
    if not tilts:
        return ModelBuilding(outline, max(float(rings[0][:, 2].max()) for rings in roofs) - low, Roof.FLAT)
    heights = np.concatenate([rings[0][:, 2] for rings, _ in tilts]) - low
    eaves, ridge = float(heights.min()), float(heights.max())
    planes = np.array([tilt for _, tilt in tilts])
    box = shapely.minimum_rotated_rectangle(outline)
    simple = isinstance(box, Polygon) and outline.geom_type == "Polygon" and outline.area > 0.85 * box.area
    steep = np.hypot(planes[:, 0], planes[:, 1]) > 0.1 * planes[:, 2]
    if ridge - eaves >= FLAT_M and simple and steep.all() and len(planes) in {2, 4} and eaves > 0:
        direction = _ridge(planes, shapely.get_coordinates(box)[:3])
        if direction is not None:
            return ModelBuilding(outline, ridge, Roof.GABLED if len(planes) == 2 else Roof.HIPPED, eaves, direction)
    mean = float(np.average([rings[0][:, 2].mean() - low for rings, _ in tilts], weights=planes[:, 2]))
    return ModelBuilding(outline, mean if ridge - eaves >= FLAT_M else ridge, Roof.FLAT)


def _ridge(planes: Floats, corners: Floats) -> float | None:
    """Direction of the box (three corners) along which the larger two faces meet, or None where neither fits."""
    largest = planes[np.argsort(-planes[:, 2])[:2]]
    fall = largest[0, :2] - largest[1, :2]
    across = math.atan2(fall[1], fall[0])
    for edge in np.diff(corners, axis=0):
        along = math.atan2(edge[1], edge[0])
        if abs(math.cos(along - across)) < math.sin(math.radians(12)):
            return along
    return None
