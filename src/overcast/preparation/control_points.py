"""Images that only ground control points place: a thin-plate spline through the points, with the error that it makes.

The spline maps places on the ground to pixels and goes through every point. How far a point is off where it is left out
(Rippa, Advances in Computational Mathematics 11, 1999) is the error that is stated. It is that of flat ground: the
points know the height of the ground that they stand on, and nothing of buildings and hills between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer

from overcast.errors import InputError
from overcast.preparation.bands import Band
from overcast.raster.addresses import address
from overcast.raster.degrees import nearest_turn, to_degrees, utm_zone
from overcast.raster.georeference import Georeference
from overcast.raster.kernels import Coordinates
from overcast.raster.radar_geometry import order_instead
from overcast.raster.resample import Regridding

FEWEST, MOST = 4, 1200
"""Points: of fewer no error is known; more are thinned out evenly."""
WORST_PX = 20.0
"""Error from which on points contradict each other."""
EDGE_POINTS = 41
FLAT_M = 20.0
"""Span of heights up to which ground counts as flat."""

Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Spline:
    """Thin-plate spline from (N, 2) places to (N, 2) values."""

    places: Points
    weights: Points
    """(N + 3, 2): of the points, then of 1, x, y."""
    middle: Points
    scale: float
    left_out: Points
    """(N, 2) by how much each value is missed where its place is left out."""

    @classmethod
    def through(cls, places: Points, values: Points) -> Spline:
        """The spline through points. Raises numpy.linalg.LinAlgError where they repeat or lie in a line."""
        middle = places.mean(axis=0)
        scale = float(np.abs(places - middle).max()) or 1.0
        known = (places - middle) / scale
        count = len(known)
        plane = np.column_stack([np.ones(count), known])
        system = np.zeros((count + 3, count + 3))
        system[:count, :count] = _bend(known, known)
        system[:count, count:], system[count:, :count] = plane, plane.T
        flat = not np.isfinite(places).all() or np.linalg.matrix_rank(plane, tol=1e-6) < 3
        if flat or len(np.unique(known.round(9), axis=0)) < count:
            raise np.linalg.LinAlgError
        inverse = np.linalg.inv(system)
        weights = np.asarray(inverse @ np.vstack([values, np.zeros((3, values.shape[1]))]), np.float64)
        if not np.isfinite(weights).all():
            raise np.linalg.LinAlgError
        diagonal = np.diag(inverse)[:count, None]
        left_out = np.divide(weights[:count], diagonal, out=np.zeros((count, 2)), where=np.abs(diagonal) > 1e-12)
        return cls(known, weights, middle, scale, left_out)

    def at(self, places: Points) -> Points:
        """(M, 2) values at (M, 2) places."""
        at = (places - self.middle) / self.scale
        count = len(self.places)
        plane = np.column_stack([np.ones(len(at)), at])
        return np.asarray(_bend(at, self.places) @ self.weights[:count] + plane @ self.weights[count:], np.float64)


@dataclass(frozen=True, eq=False)
class Placement:
    """Where ground control points say that an image lies."""

    grid: Georeference
    """North up in metres, over all of the image, with pixels about as long as its own."""
    to_pixel: Spline
    """Map (x, y) in metres to (row, col)."""
    heights: tuple[float, float]
    """Lowest and highest of the points, in metres."""
    instead: str
    """The product to order where ground is not flat."""

    @property
    def error_px(self) -> tuple[float, float]:
        """Root mean square, and largest, distance by which a point that is left out is missed."""
        off = np.hypot(*self.to_pixel.left_out.T)
        return float(np.sqrt((off**2).mean())), float(off.max())

    @property
    def sentence(self) -> str:
        """For people."""
        mean, worst = self.error_px
        return (
            f"placed by {len(self.to_pixel.places)} ground control points with a thin-plate spline: a point that is "
            f"left out is {mean:.2g} px ({mean * self.grid.gsd_m:.2g} m) off in the root mean square, {worst:.2g} px "
            "at most"
        )

    @property
    def note(self) -> str:
        """What the user should know of relief."""
        low, high = self.heights
        span = "flat" if high - low <= FLAT_M else f"not flat: their heights are {low:.0f} to {high:.0f} m"
        return (
            f"the points' ground is {span}; what is higher or lower than it between them, hills and roofs above all, "
            f"lies up to twice that height from its place; where that matters take {self.instead}."
        )


@dataclass(frozen=True)
class ByPoints(Regridding):
    """From an image that control points place; `source` has its size and covers its ground."""

    placement: Placement

    @cached_property
    def _to_points(self) -> Transformer:
        return Transformer.from_crs(self.target.crs, self.placement.grid.crs, always_xy=True)

    def project(self, rows: Coordinates, cols: Coordinates) -> tuple[Coordinates, Coordinates]:
        """Target pixel positions to source pixel positions."""
        t = self.target.transform
        x, y = self._to_points.transform(t.a * cols + t.b * rows + t.c, t.d * cols + t.e * rows + t.f)
        places = np.stack([np.ravel(x), np.ravel(y)], axis=1)
        found = self.placement.to_pixel.at(np.where(np.isfinite(places), places, 1e12))
        return found[:, 0].reshape(np.shape(rows)), found[:, 1].reshape(np.shape(rows))


def placement(band: Band, crs: str | None) -> Placement:
    """Where control points place a band, in a CRS in metres or the UTM zone of their middle.

    Raises InputError where they are too few, repeat, lie in a line or contradict each other.
    """
    name = address(band.path)
    points, points_crs = band.dataset.gcps
    if len(points) < FEWEST or points_crs is None:
        known = "no coordinate system" if points_crs is None else f"{len(points)} of {FEWEST} control points"
        raise InputError(f"{name} has {known}, too little to place it; take {order_instead(band.path)}.")
    chosen = [points[k] for k in np.unique(np.linspace(0, len(points) - 1, min(MOST, len(points))).round().astype(int))]
    table = np.array([(p.row, p.col, p.x, p.y, p.z or 0.0) for p in chosen], np.float64)
    pixels, map_crs = table[:, :2], crs or _zone(table[:, 2:4], points_crs.to_wkt())
    x, y = Transformer.from_crs(points_crs.to_wkt(), map_crs, always_xy=True).transform(table[:, 2], table[:, 3])
    places = np.stack([x, y], axis=1)
    try:
        to_pixel, to_map = Spline.through(places, pixels), Spline.through(pixels, places)
    except np.linalg.LinAlgError:
        raise InputError(f"{name} has control points that repeat or lie in a line; they place nothing.") from None
    found = Placement(
        _covering(to_map, band.dataset, map_crs),
        to_pixel,
        (table[:, 4].min(), table[:, 4].max()),
        order_instead(band.path),
    )
    if found.error_px[0] > WORST_PX:
        raise InputError(
            f"{name} has control points that contradict each other: one that is left out is {found.error_px[0]:.0f} px "
            f"off; take {order_instead(band.path)}."
        )
    return found


def _zone(places: Points, crs: str) -> str:
    degrees = to_degrees(crs)(places)
    return utm_zone(float(nearest_turn(degrees[:, 0], float(degrees[0, 0])).mean()), float(degrees[:, 1].mean()))


def _covering(to_map: Spline, dataset: Any, crs: str) -> Georeference:
    """North-up grid over the image's outline, its pixels of the same area as the image's in the middle."""
    steps = np.linspace(0, 1, EDGE_POINTS)
    edges = [(s, e) for s in steps for e in (0.0, 1.0)] + [(e, s) for s in steps for e in (0.0, 1.0)]
    outline = to_map.at(np.array(edges) * (dataset.height, dataset.width))
    row, col = dataset.height / 2, dataset.width / 2
    here, down, right = to_map.at(np.array([(row, col), (row + 1, col), (row, col + 1)]))
    (ax, ay), (bx, by) = right - here, down - here
    gsd_m = float(abs(ax * by - ay * bx) ** 0.5)
    (west, south), (east, north) = outline.min(axis=0), outline.max(axis=0)
    height, width = (max(1, int(np.ceil(length / gsd_m))) for length in (north - south, east - west))
    return Georeference(height, width, Affine(gsd_m, 0, west, 0, -gsd_m, north), crs)


def _bend(at: Points, places: Points) -> Points:
    """(M, N) r^2 log r between places, 0 where they are one."""
    squares = ((at[:, None] - places[None]) ** 2).sum(axis=2)
    return np.asarray(0.5 * squares * np.log(np.where(squares > 0, squares, 1.0)), np.float64)
