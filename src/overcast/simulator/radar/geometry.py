"""Side-looking geometry in the radar frame: rows run along ground range away from the radar, columns along azimuth.

The wave front is plane over the scene (radar far away), the ground is flat at height 0. A scatterer at ground range x
and height h is imaged at r = x - h / tan(incidence): layover, towards the radar. It is seen when its
s = h + x / tan(incidence) exceeds that of everything nearer in the same column: a vertical edge of height h hides
h tan(incidence) of flat ground.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from overcast.raster.radiometry import RadarSide
from overcast.raster.sources import Georeference
from overcast.simulator.city.geometry import Extent, Floats

Layer = NDArray[np.float32]


@dataclass(frozen=True)
class RadarFrame:
    """A grid aligned with the radar, and its incidence."""

    grid: Georeference
    incidence_deg: float

    @property
    def cot(self) -> float:
        """1 / tan(incidence)."""
        return float(1 / np.tan(np.radians(self.incidence_deg)))

    @property
    def range_direction(self) -> tuple[float, float]:
        """Unit vector (east, north) away from the radar."""
        t = self.grid.transform
        return t.b / self.grid.gsd_m, t.e / self.grid.gsd_m

    @property
    def azimuth_direction(self) -> tuple[float, float]:
        """Unit vector (east, north) along columns."""
        t = self.grid.transform
        return t.a / self.grid.gsd_m, t.d / self.grid.gsd_m

    def coordinates(self, points: Floats) -> Floats:
        """(N, 2) map points to (N, 2) range and azimuth in metres from the first row and column."""
        inverse = ~self.grid.transform
        x, y = points[:, 0], points[:, 1]
        rows = inverse.d * x + inverse.e * y + inverse.f
        cols = inverse.a * x + inverse.b * y + inverse.c
        return np.stack([rows, cols], 1) * self.grid.gsd_m


QUARTER_TURNS: dict[RadarSide, int] = {
    RadarSide.NORTH: 0,
    RadarSide.EAST: 1,
    RadarSide.SOUTH: 2,
    RadarSide.WEST: 3,
}
"""`np.rot90(map, k)` turns a north-up raster so that the radar's side comes first."""


SIDE_AZIMUTH_DEG: dict[RadarSide, float] = {
    RadarSide.NORTH: 0.0,
    RadarSide.EAST: 90.0,
    RadarSide.SOUTH: 180.0,
    RadarSide.WEST: 270.0,
}
"""Azimuth, clockwise from north, at which the radar stands."""
EDGE_PX = 2
"""Pixels around the ground in a turned grid, so that every map pixel has four neighbours to interpolate from."""


def radar_grid(
    bounds: Extent, gsd_m: float, look: RadarSide, shift_m: tuple[float, float], offset_deg: float = 0.0
) -> Georeference:
    """Grid of the ground `bounds` seen from `look`, moved by `shift_m` (east, north) against the map.

    With an offset the radar stands that much further clockwise, and the turned grid covers all of `bounds`.
    """
    if offset_deg != 0:
        return _turned_grid(bounds, gsd_m, SIDE_AZIMUTH_DEG[look] + offset_deg, shift_m)
    left, right = bounds.left + shift_m[0], bounds.right + shift_m[0]
    bottom, top = bounds.bottom + shift_m[1], bounds.top + shift_m[1]
    rows, cols = round((top - bottom) / gsd_m), round((right - left) / gsd_m)
    g = gsd_m
    match look:
        case RadarSide.NORTH:
            return Georeference(rows, cols, Affine(g, 0, left, 0, -g, top), bounds.crs)
        case RadarSide.SOUTH:
            return Georeference(rows, cols, Affine(-g, 0, right, 0, g, bottom), bounds.crs)
        case RadarSide.EAST:
            return Georeference(cols, rows, Affine(0, -g, right, -g, 0, top), bounds.crs)
        case RadarSide.WEST:
            return Georeference(cols, rows, Affine(0, g, left, g, 0, bottom), bounds.crs)


def _turned_grid(bounds: Extent, gsd_m: float, azimuth_deg: float, shift_m: tuple[float, float]) -> Georeference:
    """The smallest grid with rows running away from a radar at `azimuth_deg` that covers `bounds`, and an edge."""
    sine, cosine = np.sin(np.radians(azimuth_deg)), np.cos(np.radians(azimuth_deg))
    width, height = bounds.right - bounds.left, bounds.top - bounds.bottom
    deep = int(np.ceil((width * abs(sine) + height * abs(cosine)) / gsd_m - 1e-6)) + 2 * EDGE_PX
    long = int(np.ceil((width * abs(cosine) + height * abs(sine)) / gsd_m - 1e-6)) + 2 * EDGE_PX
    centre = (bounds.left + bounds.right) / 2 + shift_m[0], (bounds.bottom + bounds.top) / 2 + shift_m[1]
    turned = Affine(gsd_m * cosine, -gsd_m * sine, centre[0], -gsd_m * sine, -gsd_m * cosine, centre[1])
    return Georeference(deep, long, turned @ Affine.translation(-long / 2, -deep / 2), bounds.crs)


def onto_map(values: Layer, grid: Georeference, target: Georeference, order: int) -> Layer:
    """Values (P, R, A) of a turned grid at the pixel centres of a north-up one, as orthorectification does.

    Order 1 interpolates linearly between the four neighbours, order 0 takes the nearest.
    """
    step = ~grid.transform @ target.transform
    matrix = np.array([[step.e, step.d], [step.b, step.a]])
    start = np.array([step.f, step.c]) + matrix @ [0.5, 0.5] - 0.5
    shape = (target.height, target.width)
    return np.stack([affine_transform(v, matrix, start, shape, order=order, mode="nearest") for v in values])


def horizon(heights: Layer, gsd_m: float, cot: float) -> Layer:
    """(R, A): height below which a point at the centre of each cell is hidden by what is nearer to the radar."""
    ramp = ((np.arange(len(heights)) + 0.5) * gsd_m * cot).astype(np.float32)[:, None]
    nearer = np.maximum.accumulate(heights + ramp, axis=0)
    hidden = np.full_like(heights, -np.inf)
    hidden[1:] = nearer[:-1]
    hidden -= ramp
    return hidden


class Splatter:
    """Adds powers at fractional range positions; each is shared linearly by the two nearest cells."""

    def __init__(self, shape: tuple[int, int], gsd_m: float) -> None:
        self.shape, self._gsd_m = shape, gsd_m
        self.power = np.zeros(shape[0] * shape[1], np.float64)

    def add(self, range_m: Floats | Layer, column: NDArray[np.integer], power: Floats | Layer) -> None:
        """Add `power` at (N,) ground range in metres and azimuth column; what falls outside is lost."""
        rows, cols = self.shape
        position = range_m / self._gsd_m - 0.5
        near = np.floor(position).astype(np.int64)
        share = position - near
        lit = (column >= 0) & (column < cols) & (power > 0)
        for row, part in ((near, 1 - share), (near + 1, share)):
            good = lit & (row >= 0) & (row < rows)
            cell = row[good] * cols + column[good]
            np.add.at(self.power, cell, (power * part)[good])

    def layer(self) -> Layer:
        """(R, A) accumulated power."""
        return self.power.reshape(self.shape).astype(np.float32)
