"""Streets and blocks: a rectangle is split again and again by streets, then turned and bent."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from shapely import Polygon

from overcast.simulator.city.geometry import Floats, Place
from overcast.simulator.options import CityOptions


class District(StrEnum):
    """What a block is used for."""

    ROW = "row"
    DETACHED = "detached"
    COURTYARD = "courtyard"
    SLAB = "slab"
    INDUSTRY = "industry"
    HARBOUR = "harbour"
    PARK = "park"
    FIELD = "field"
    PARKING = "parking"
    SPORT = "sport"
    WATER = "water"


BLOCK_M: dict[District, tuple[float, float]] = {
    District.ROW: (105.0, 50.0),
    District.DETACHED: (110.0, 58.0),
    District.COURTYARD: (95.0, 62.0),
    District.SLAB: (135.0, 100.0),
    District.INDUSTRY: (170.0, 120.0),
    District.HARBOUR: (330.0, 220.0),
    District.PARK: (190.0, 130.0),
    District.FIELD: (260.0, 180.0),
    District.PARKING: (120.0, 80.0),
    District.SPORT: (170.0, 110.0),
    District.WATER: (280.0, 190.0),
}
"""Typical length and depth of a block of each district."""

OPEN_WEIGHTS: dict[District, float] = {
    District.PARK: 0.33,
    District.FIELD: 0.30,
    District.PARKING: 0.10,
    District.SPORT: 0.1,
    District.WATER: 0.17,
}


SMALL_PLACE_CELLS = 4
"""Places of so few districts keep a built one in the middle, so that none is empty."""


@dataclass(frozen=True)
class Bend:
    """Street coordinates (u, v) to the map: bent by two waves, turned, moved. Near the identity in length."""

    x: float
    y: float
    angle: float
    amplitude_m: float
    wave_m: tuple[float, float]
    phase: tuple[float, float]

    def points(self, uv: Floats) -> Floats:
        """(N, 2) street coordinates to (N, 2) map coordinates."""
        k0, k1 = 2 * np.pi / self.wave_m[0], 2 * np.pi / self.wave_m[1]
        bent = np.stack(
            [
                uv[:, 0] - self.amplitude_m * np.sin(k0 * uv[:, 1] + self.phase[0]),
                uv[:, 1] + self.amplitude_m * np.sin(k1 * uv[:, 0] + self.phase[1]),
            ],
            axis=1,
        )
        return Place(self.x, self.y, self.angle).points(bent)

    def place(self, u: float, v: float, *, along_v: bool = False) -> Place:
        """Rigid frame at (u, v) whose local x axis follows the street direction u (or v, turned back by 90 degrees)."""
        step = (0.0, 1.0) if along_v else (1.0, 0.0)
        around = np.array([[u, v], [u - step[0], v - step[1]], [u + step[0], v + step[1]]])
        points = self.points(around)
        dx, dy = points[2] - points[1]
        turn = -np.pi / 2 if along_v else 0.0
        return Place(float(points[0, 0]), float(points[0, 1]), float(np.arctan2(dy, dx)) + turn)


@dataclass(frozen=True)
class Block:
    """Ground between streets, a rectangle in street coordinates."""

    u0: float
    v0: float
    u1: float
    v1: float
    district: District

    @property
    def size(self) -> tuple[float, float]:
        """Extent along u and v in metres."""
        return self.u1 - self.u0, self.v1 - self.v0

    def ring(self, inset: float = 0.0, step: float = 12.0) -> Floats:
        """(N, 2) street coordinates of the border moved inwards, with a vertex every `step` metres."""
        corners = [
            (self.u0 + inset, self.v0 + inset),
            (self.u1 - inset, self.v0 + inset),
            (self.u1 - inset, self.v1 - inset),
            (self.u0 + inset, self.v1 - inset),
        ]
        sides = zip(corners, [*corners[1:], corners[0]], strict=True)
        return np.concatenate([_dense(np.array(a), np.array(b), step) for a, b in sides])

    def polygon(self, bend: Bend, inset: float = 0.0) -> Polygon:
        """The bent block on the map, or an empty polygon where the inset leaves nothing."""
        if min(self.size) <= 2 * inset:
            return Polygon()
        return Polygon(bend.points(self.ring(inset)))


@dataclass(frozen=True)
class Streets:
    """The plan of a place."""

    bend: Bend
    blocks: tuple[Block, ...]
    canals: tuple[Block, ...]
    """Water in the middle of a wide street, or a river."""
    railways: tuple[Block, ...] = ()
    """Corridors of tracks."""


def _dense(a: Floats, b: Floats, step: float) -> Floats:
    """Points from a (included) to b (excluded)."""
    count = max(1, int(np.ceil(np.hypot(*(b - a)) / step)))
    return a + (b - a) * (np.arange(count) / count)[:, None]


def plan_streets(
    centre: tuple[float, float], reach_m: float, options: CityOptions, rng: np.random.Generator
) -> Streets:
    """The plan of ground that reaches `reach_m` from its centre in every direction."""
    bend = Bend(
        *centre,
        angle=float(rng.uniform(0, np.pi / 2)),
        amplitude_m=float(options.bend_m * rng.uniform(0.2, 1.0)),
        wave_m=(float(rng.uniform(450, 800)), float(rng.uniform(450, 800))),
        phase=(float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(0, 2 * np.pi))),
    )
    reach = reach_m + options.bend_m + 10
    splitter = _Splitter(_District(reach, options, rng), options, rng)
    splitter.split((-reach, -reach, reach, reach), 0)
    return Streets(bend, tuple(splitter.blocks), tuple(splitter.canals), tuple(splitter.railways))


class _District:
    """Districts as Voronoi cells of a few random points."""

    def __init__(self, reach: float, options: CityOptions, rng: np.random.Generator) -> None:
        weights = {
            District.ROW: options.row_weight,
            District.DETACHED: options.detached_weight,
            District.COURTYARD: options.courtyard_weight,
            District.SLAB: options.slab_weight,
            District.INDUSTRY: options.industry_weight,
            District.HARBOUR: options.harbour_weight,
        }
        share = np.array(list(weights.values()))
        self._share = share / share.sum() if share.sum() > 0 else np.full(len(share), 1 / len(share))
        self._kinds = list(weights)
        count = max(2, round((reach / 190) ** 2))
        self._points = rng.uniform(-reach, reach, (count, 2))
        self._choice = [self._kinds[int(i)] for i in rng.choice(len(self._kinds), count, p=self._share)]
        is_open = rng.random(count) < _open_cells(options)
        if count <= SMALL_PLACE_CELLS:
            middle = int(np.argmin((self._points**2).sum(1)))
            is_open[middle] = False
            dry = [kind for kind in self._choice if kind is not District.HARBOUR]
            self._choice[middle] = dry[0] if dry else self._choice[middle]
        for i in np.flatnonzero(is_open):
            self._choice[i] = open_district(rng)

    def at(self, u: float, v: float) -> District:
        """The district at a position."""
        nearest = int(np.argmin(((self._points - (u, v)) ** 2).sum(1)))
        return self._choice[nearest]


def _open_cells(options: CityOptions) -> float:
    """Share of whole districts that are open; single open blocks between buildings make up the rest."""
    return 0.6 * (1 - options.built_share)


def open_district(rng: np.random.Generator) -> District:
    """A random use of ground without buildings."""
    kinds, weights = list(OPEN_WEIGHTS), np.array(list(OPEN_WEIGHTS.values()))
    return kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]


class _Splitter:
    """Splits rectangles by streets until they have the size of a block."""

    def __init__(self, districts: _District, options: CityOptions, rng: np.random.Generator) -> None:
        self._districts, self._options, self._rng = districts, options, rng
        self._canal_depth = int(rng.integers(0, 3)) if rng.random() < options.canal_probability else -1
        self._rail_depth = int(rng.integers(0, 2)) if rng.random() < options.rail_probability else -1
        self.blocks: list[Block] = []
        self.canals: list[Block] = []
        self.railways: list[Block] = []

    def split(self, box: tuple[float, float, float, float], depth: int) -> None:
        """Cut a rectangle (u0, v0, u1, v1) in two, and those again."""
        u0, v0, u1, v1 = box
        district = self._districts.at((u0 + u1) / 2, (v0 + v1) / 2)
        length, width = BLOCK_M[district]
        along_u = (u1 - u0) / length >= (v1 - v0) / width
        excess = max((u1 - u0) / length, (v1 - v0) / width)
        if excess < self._rng.uniform(1.25, 1.6):
            self._finish(box, district)
            return
        at = self._cut(u0, u1, length) if along_u else self._cut(v0, v1, width)
        half = self._street(depth) / 2
        if depth == self._canal_depth:
            self._canal_depth = -1
            half = self._canal(box, at, along_u=along_u)
        elif depth >= self._rail_depth >= 0:
            self._rail_depth = -1
            half = self._railway(box, at, along_u=along_u)
        if along_u:
            self.split((u0, v0, at - half, v1), depth + 1)
            self.split((at + half, v0, u1, v1), depth + 1)
        else:
            self.split((u0, v0, u1, at - half), depth + 1)
            self.split((u0, at + half, u1, v1), depth + 1)

    def _cut(self, low: float, high: float, size: float) -> float:
        parts = max(2, round((high - low) / size))
        share = round(parts * self._rng.uniform(0.3, 0.7)) / parts
        return low + (high - low) * float(np.clip(share, 1 / parts, 1 - 1 / parts))

    def _street(self, depth: int) -> float:
        return float(self._rng.uniform(16, 24) if depth < 3 else self._rng.uniform(9, 13))

    def _canal(self, box: tuple[float, float, float, float], at: float, *, along_u: bool) -> float:
        u0, v0, u1, v1 = box
        river = self._rng.random() < self._options.river_share
        water = float(self._rng.uniform(25, 60) if river else self._rng.uniform(6, 22))
        edges = (at - water, v0, at + water, v1) if along_u else (u0, at - water, u1, at + water)
        self.canals.append(Block(*edges, District.WATER))
        return water + 9.0

    def _railway(self, box: tuple[float, float, float, float], at: float, *, along_u: bool) -> float:
        u0, v0, u1, v1 = box
        half = 2.5 + 2.35 * int(self._rng.choice([1, 2, 2, 4, 6]))
        edges = (at - half, v0, at + half, v1) if along_u else (u0, at - half, u1, at + half)
        self.railways.append(Block(*edges, District.INDUSTRY))
        return half + 12.0

    def _finish(self, box: tuple[float, float, float, float], district: District) -> None:
        if district not in OPEN_WEIGHTS and self._rng.random() > self._options.built_share / (
            1 - _open_cells(self._options)
        ):
            district = open_district(self._rng)
        block = Block(*box, district)
        if min(block.size) > 12:
            self.blocks.append(block)
