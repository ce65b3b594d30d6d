"""A city as rasters on a grid: heights, slopes, materials, owners."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize
from shapely import Polygon

from overcast.raster.sources import Georeference
from overcast.simulator.city.geometry import Building, City, Floats, Rings, Surface
from overcast.simulator.sampling import block_mean, finer, supersampling

Layer = NDArray[np.float32]


@dataclass(frozen=True)
class Scene:
    """Rasters of one grid (H, W). Slopes are along map axes, so a turned grid keeps their meaning."""

    grid: Georeference
    solid: Layer
    """Height of ground, roofs and other solid things, metres."""
    slope_east: Layer
    """Rise of roofs per metre towards the east."""
    slope_north: Layer
    """Rise of roofs per metre towards the north."""
    canopy: Layer
    """Height of the top of vegetation, metres; 0 where there is none."""
    surface: NDArray[np.uint8]
    """`Surface` codes of the topmost solid surface."""
    tone: NDArray[np.uint8]
    """Colour and ageing of the object, 0..255."""
    building: NDArray[np.int32]
    """1 + index into `City.buildings`; 0 where there is none."""


def label_mask(city: City, grid: Georeference) -> NDArray[np.uint8]:
    """(H, W) uint8, 1 where the pixel centre lies in a footprint; above 2 m where half of the pixel does."""
    fine = supersampling(grid.gsd_m)
    inside = _burn([b.rings for b in city.buildings], finer(grid, 0, fine)) > 0
    return (block_mean(inside.astype(np.float32), fine) >= 0.5).astype(np.uint8)


def rasterize_city(city: City, grid: Georeference) -> Scene:
    """The scene of a grid, which may be turned against the map."""
    patches = [patch for patch in city.patches if not patch.polygon.is_empty]
    ground = _burn([_rings(patch.polygon) for patch in patches], grid)
    codes = np.array([Surface.ASPHALT, *(p.surface for p in patches)], np.uint8)
    tones = _tones(len(patches) + 1)
    surface, tone = codes[ground], tones[ground]
    solid = np.zeros(surface.shape, np.float32)
    slopes = (np.zeros_like(solid), np.zeros_like(solid))
    building = _burn([b.rings for b in city.buildings], grid)
    _raise_buildings(city.buildings, building, grid, solid, slopes)
    own = building > 0
    index = building[own] - 1
    surface[own] = np.array([b.surface for b in city.buildings], np.uint8)[index]
    tone[own] = np.array([255 * b.tone for b in city.buildings], np.uint8)[index]
    structure = _burn([(s.outline,) for s in city.structures], grid)
    own = structure > 0
    index = structure[own] - 1
    solid[own] = np.array([s.height_m for s in city.structures], np.float32)[index]
    surface[own] = np.array([s.surface for s in city.structures], np.uint8)[index]
    tone[own] = np.array([255 * s.tone for s in city.structures], np.uint8)[index]
    _raise_cars(city.furniture.cars, grid, solid, surface, tone)
    canopy = _canopy(city, grid)
    return Scene(grid, solid, slopes[0], slopes[1], canopy, surface, tone, building)


def _rings(polygon: Polygon) -> Rings:
    return tuple(np.asarray(ring.coords)[:-1] for ring in (polygon.exterior, *polygon.interiors))


def _tones(count: int) -> NDArray[np.uint8]:
    """A fixed, well spread tone per ground patch (golden ratio sequence)."""
    return (255 * ((np.arange(count) * 0.618034 + 0.5) % 1)).astype(np.uint8)


def _burn(outlines: list[Rings], grid: Georeference) -> NDArray[np.int32]:
    """1 + index of the last outline that contains the pixel centre."""
    shape = (grid.height, grid.width)
    if not outlines:
        return np.zeros(shape, np.int32)
    shapes = [({"type": "Polygon", "coordinates": _closed(rings)}, i + 1) for i, rings in enumerate(outlines)]
    burned: NDArray[np.int32] = rasterize(shapes, out_shape=shape, transform=grid.transform, dtype="int32")
    return burned


def _closed(rings: Rings) -> list[list[list[float]]]:
    """Rings as GeoJSON wants them: the first point again at the end."""
    points = [ring.tolist() for ring in rings]
    return [[*ring, ring[0]] for ring in points]


def _centres(rows: NDArray[np.intp], cols: NDArray[np.intp], transform: Affine) -> tuple[Floats, Floats]:
    """Map coordinates of pixel centres."""
    c, r = cols + 0.5, rows + 0.5
    return transform.a * c + transform.b * r + transform.c, transform.d * c + transform.e * r + transform.f


def _raise_buildings(
    buildings: tuple[Building, ...],
    building: NDArray[np.int32],
    grid: Georeference,
    solid: Layer,
    slopes: tuple[Layer, Layer],
) -> None:
    """Write roof heights and slopes: the highest wing that covers a pixel, else the first wing's eaves."""
    rows, cols = np.nonzero(building)
    if not len(rows):
        return
    index = building[rows, cols] - 1
    x, y = _centres(rows, cols, grid.transform)
    height = np.array([b.wings[0].eaves_m for b in buildings])[index]
    east, north = np.zeros(len(rows)), np.zeros(len(rows))
    best = np.full(len(rows), -1.0)
    for layer in range(max(len(b.wings) for b in buildings)):
        has = np.array([len(b.wings) > layer for b in buildings])[index]
        table = np.array([_wing_row(b, layer) for b in buildings])
        part = table[index[has]]
        roof, slope, inside = _roof(x[has], y[has], part)
        better = inside & (roof > best[has])
        spots = np.flatnonzero(has)[better]
        height[spots], best[spots] = roof[better], roof[better]
        east[spots], north[spots] = slope[0][better], slope[1][better]
    solid[rows, cols] = height
    slopes[0][rows, cols] = east
    slopes[1][rows, cols] = north


def _wing_row(building: Building, layer: int) -> tuple[float, ...]:
    wing = building.wings[min(layer, len(building.wings) - 1)]
    half = (wing.half_length, wing.half_width)
    return (wing.x, wing.y, np.cos(wing.angle), np.sin(wing.angle), *half, wing.eaves_m, wing.rise_m, wing.hipped)


def _roof(x: Floats, y: Floats, part: Floats) -> tuple[Floats, tuple[Floats, Floats], NDArray[np.bool_]]:
    """Height, slopes and coverage of wings given as rows of `_wing_row`, one per point."""
    cx, cy, c, s, half_length, half_width, eaves, rise, hipped = part.T
    along, across = (x - cx) * c + (y - cy) * s, -(x - cx) * s + (y - cy) * c
    inside = (np.abs(along) <= half_length + 1e-9) & (np.abs(across) <= half_width + 1e-9)
    side = (half_width - np.abs(across)) / half_width
    end = np.where(hipped > 0, (half_length - np.abs(along)) / half_width, np.inf)
    on_end = end < side
    share = np.clip(np.minimum(side, end), 0, 1)
    steep = rise / half_width
    fall_across = np.where(on_end, 0.0, -np.sign(across) * steep)
    fall_along = np.where(on_end, -np.sign(along) * steep, 0.0)
    return eaves + rise * share, (fall_along * c - fall_across * s, fall_along * s + fall_across * c), inside


def _raise_cars(
    cars: Floats, grid: Georeference, solid: Layer, surface: NDArray[np.uint8], tone: NDArray[np.uint8]
) -> None:
    """Write vehicles as boxes, sampled finer than the grid."""
    if not len(cars):
        return
    step = grid.gsd_m / 2.5
    u = np.arange(-3.2, 3.2 + step, step)
    v = np.arange(-1.0, 1.0 + step, step)
    uu, vv = (part.ravel() for part in np.meshgrid(u, v))
    x0, y0, angle, length, width, height = (column[:, None] for column in cars.T)
    x = x0 + uu * np.cos(angle) - vv * np.sin(angle)
    y = y0 + uu * np.sin(angle) + vv * np.cos(angle)
    inside = (np.abs(uu) <= length / 2) & (np.abs(vv) <= width / 2)
    owner = np.broadcast_to(np.arange(len(cars))[:, None], x.shape)[inside]
    rows, cols, kept = pixels_of(x[inside], y[inside], grid)
    solid[rows, cols] = height[owner[kept], 0]
    surface[rows, cols] = Surface.VEHICLE
    tone[rows, cols] = _tones(len(cars))[owner[kept]]


def pixels_of(x: Floats, y: Floats, grid: Georeference) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
    """Rows and columns of the points that lie on the grid, and which points those are."""
    inverse = ~grid.transform
    cols = np.floor(inverse.a * x + inverse.b * y + inverse.c).astype(np.intp)
    rows = np.floor(inverse.d * x + inverse.e * y + inverse.f).astype(np.intp)
    kept = (rows >= 0) & (rows < grid.height) & (cols >= 0) & (cols < grid.width)
    return rows[kept], cols[kept], kept


def _canopy(city: City, grid: Georeference) -> Layer:
    """Tops of tree crowns (half ellipsoids with lobes) and hedges."""
    canopy = np.zeros((grid.height, grid.width), np.float32)
    inverse = ~grid.transform
    gsd = grid.gsd_m
    for x, y, radius, height in city.furniture.trees:
        col, row = inverse.a * x + inverse.b * y + inverse.c, inverse.d * x + inverse.e * y + inverse.f
        _stamp_tree(canopy, row, col, radius / gsd, height)
    hedges = city.furniture.hedges
    if len(hedges):
        t = np.linspace(0, 1, 1 + int(np.ceil(60 / gsd)))
        x = hedges[:, :1] + t * (hedges[:, 2:3] - hedges[:, :1])
        y = hedges[:, 1:2] + t * (hedges[:, 3:4] - hedges[:, 1:2])
        owner = np.broadcast_to(np.arange(len(hedges))[:, None], x.shape).ravel()
        rows, cols, kept = pixels_of(x.ravel(), y.ravel(), grid)
        np.maximum.at(canopy, (rows, cols), hedges[owner[kept], 5].astype(np.float32))
    return canopy


def _stamp_tree(canopy: Layer, row: float, col: float, radius_px: float, height: float) -> None:
    reach = radius_px * 1.2
    r0, r1 = max(0, int(row - reach)), min(canopy.shape[0], int(row + reach) + 1)
    c0, c1 = max(0, int(col - reach)), min(canopy.shape[1], int(col + reach) + 1)
    if r0 >= r1 or c0 >= c1:
        return
    dy = np.arange(r0, r1)[:, None] + 0.5 - row
    dx = np.arange(c0, c1)[None, :] + 0.5 - col
    lobes = 1 + 0.15 * np.sin(3 * np.arctan2(dy, dx) + height * 9)
    distance = (dx * dx + dy * dy) / (radius_px * lobes) ** 2
    top = np.where(distance < 1, height * (0.55 + 0.45 * np.sqrt(np.maximum(1 - distance, 0))), 0)
    np.maximum(canopy[r0:r1, c0:c1], top, out=canopy[r0:r1, c0:c1])
