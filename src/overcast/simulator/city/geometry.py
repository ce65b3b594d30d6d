"""What a simulated city is made of: immutable value types in map coordinates (metres, x east, y north)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Polygon

Floats = NDArray[np.float64]
Rings = tuple[Floats, ...]
"""Outline and holes, each (V, 2) without repetition of the first vertex."""


@dataclass(frozen=True, slots=True)
class Extent:
    """A rectangle on the ground, in metres of `crs`."""

    left: float
    bottom: float
    right: float
    top: float
    crs: str

    def grown(self, margin_m: float) -> Extent:
        """The rectangle with a margin on every side."""
        m = margin_m
        return Extent(self.left - m, self.bottom - m, self.right + m, self.top + m, self.crs)


class Kind(StrEnum):
    """Building type, written to the footprints."""

    ROW = "row"
    DETACHED = "detached"
    SHED = "shed"
    COURTYARD = "courtyard"
    SLAB = "slab"
    TOWER = "tower"
    WAREHOUSE = "warehouse"
    OTHER = "other"


class Roof(StrEnum):
    """Roof form, written to the footprints."""

    FLAT = "flat"
    GABLED = "gabled"
    HIPPED = "hipped"


class Surface(IntEnum):
    """Material of a horizontal or sloped surface; the codes of the material raster."""

    ASPHALT = 0
    PAVING = 1
    CONCRETE = 2
    GRASS = 3
    FIELD = 4
    SOIL = 5
    GRAVEL = 6
    WATER = 7
    TILE_RED = 8
    TILE_DARK = 9
    BITUMEN = 10
    GRAVEL_ROOF = 11
    METAL = 12
    VEHICLE = 13
    GARDEN = 14
    SPORT = 15
    PAINTED = 16
    """Painted metal: hulls, containers, wagons."""
    BALLAST = 17
    """Crushed stone of railways."""


@dataclass(frozen=True, slots=True)
class Wing:
    """A rectangle of a building with its own roof."""

    x: float
    y: float
    angle: float
    """Direction of the ridge, radians counter-clockwise from east."""
    half_length: float
    """Along the ridge."""
    half_width: float
    """Across the ridge."""
    eaves_m: float
    """Height of the walls."""
    rise_m: float = 0.0
    """Height of the ridge above the eaves; 0 is a flat roof."""
    hipped: bool = False
    """Sloped at the short ends as well."""

    @property
    def corners(self) -> Floats:
        """(4, 2) counter-clockwise corners."""
        along = np.array([np.cos(self.angle), np.sin(self.angle)])
        across = np.array([-along[1], along[0]])
        signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], float)
        offsets = signs[:, :1] * self.half_length * along + signs[:, 1:] * self.half_width * across
        return np.asarray(np.array([self.x, self.y]) + offsets)


@dataclass(frozen=True, slots=True)
class Building:
    """A labelled building. `outline` is its footprint on the ground, counter-clockwise."""

    outline: Floats
    """(V, 2) vertices without repetition of the first."""
    wings: tuple[Wing, ...]
    kind: Kind
    roof: Roof
    surface: Surface
    tone: float
    """Ageing and colour of walls and roof, 0..1; terraces share it."""
    holes: Rings = ()
    """Courtyards, clockwise."""

    @property
    def rings(self) -> Rings:
        """Outline and holes."""
        return (self.outline, *self.holes)

    @property
    def height_m(self) -> float:
        """Highest point above ground."""
        return max(wing.eaves_m + wing.rise_m for wing in self.wings)

    @property
    def eaves_m(self) -> float:
        """Wall height of the highest wing."""
        return max(wing.eaves_m for wing in self.wings)

    @property
    def polygon(self) -> Polygon:
        """The footprint."""
        return Polygon(self.outline, self.holes)


@dataclass(frozen=True, slots=True)
class Structure:
    """Something solid that is not a building: tank, container, truck, ship."""

    outline: Floats
    """(V, 2) vertices."""
    height_m: float
    surface: Surface
    tone: float
    afloat: bool = False
    """A ship: it lies in water, where nothing else may stand."""


@dataclass(frozen=True)
class Place:
    """Rigid motion from local to map coordinates: rotate by `angle`, then move to (x, y)."""

    x: float
    y: float
    angle: float

    def points(self, local: Floats) -> Floats:
        """(N, 2) local to (N, 2) map. Equal inputs give equal outputs bit for bit, so shared walls stay shared."""
        c, s = np.cos(self.angle), np.sin(self.angle)
        return np.stack([self.x + c * local[:, 0] - s * local[:, 1], self.y + s * local[:, 0] + c * local[:, 1]], 1)

    def at(self, x: float, y: float) -> Place:
        """The parallel frame around a local point."""
        moved = self.points(np.array([[x, y]]))[0]
        return Place(float(moved[0]), float(moved[1]), self.angle)

    def building(self, building: Building) -> Building:
        """A building moved to the map."""
        wings = tuple(self._wing(wing) for wing in building.wings)
        outline, *holes = (self.points(ring) for ring in building.rings)
        return replace(building, outline=outline, holes=tuple(holes), wings=wings)

    def _wing(self, wing: Wing) -> Wing:
        x, y = self.points(np.array([[wing.x, wing.y]]))[0]
        return replace(wing, x=float(x), y=float(y), angle=wing.angle + self.angle)


@dataclass(frozen=True)
class Patch:
    """Ground of one material. Later patches are painted over earlier ones."""

    polygon: Polygon
    surface: Surface


@dataclass(frozen=True)
class Furniture:
    """Small things, as arrays of rows."""

    trees: Floats
    """(N, 4): x, y, crown radius, height."""
    cars: Floats
    """(N, 6): x, y, angle, length, width, height."""
    poles: Floats
    """(N, 3): x, y, height."""
    hedges: Floats
    """(N, 6): x0, y0, x1, y1, width, height."""
    quays: Floats = field(default_factory=lambda: np.empty((0, 5)))
    """(N, 5): x0, y0, x1, y1, height of the wall above the water, which lies on the left."""
    rails: Floats = field(default_factory=lambda: np.empty((0, 4)))
    """(N, 4): x0, y0, x1, y1, the middle of a railway track."""
    lattice: Floats = field(default_factory=lambda: np.empty((0, 4)))
    """(N, 4): x, y, height, radar cross section in m2: nodes of cranes and masts."""


@dataclass(frozen=True)
class City:
    """Everything that stands on a piece of flat ground."""

    bounds: Extent
    """Ground that is built, margin included."""
    buildings: tuple[Building, ...]
    structures: tuple[Structure, ...]
    patches: tuple[Patch, ...]
    furniture: Furniture

    @property
    def highest_m(self) -> float:
        """Height of the highest thing."""
        heights = [b.height_m for b in self.buildings] + [s.height_m for s in self.structures]
        trees = self.furniture.trees
        return max([0.0, *heights, float(trees[:, 3].max()) if len(trees) else 0.0])


def rectangle(x: float, y: float, length: float, width: float, angle: float = 0.0) -> Floats:
    """(4, 2) corners of a rectangle around (x, y)."""
    return Wing(x, y, angle, length / 2, width / 2, 0.0).corners


def polygons(shapes: Sequence[Rings]) -> NDArray[np.object_]:
    """Shapely polygons of many outlines with holes at once."""
    if not shapes:
        return np.empty(0, object)
    closed = [np.vstack([ring, ring[:1]]) for rings in shapes for ring in rings]
    owner = np.repeat(np.arange(len(closed)), [len(ring) for ring in closed])
    lines = np.asarray(shapely.linearrings(np.concatenate(closed), indices=owner))
    return np.asarray(shapely.polygons(lines, indices=np.repeat(np.arange(len(shapes)), [len(r) for r in shapes])))
