"""Small things on the ground, collected while blocks are filled."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from overcast.simulator.city.geometry import Building, Floats, Furniture, Patch, Place, Structure, Surface, rectangle


@dataclass
class Collector:
    """What the blocks of a place leave behind: the one mutable object of the city builder."""

    groups: list[tuple[Building, ...]] = field(default_factory=list)
    """Buildings that stand or fall together (terraces, rings)."""
    structures: list[Structure] = field(default_factory=list)
    patches: list[Patch] = field(default_factory=list)
    trees: list[Floats] = field(default_factory=list)
    cars: list[Floats] = field(default_factory=list)
    poles: list[Floats] = field(default_factory=list)
    hedges: list[Floats] = field(default_factory=list)
    quays: list[Floats] = field(default_factory=list)
    rails: list[Floats] = field(default_factory=list)
    lattice: list[Floats] = field(default_factory=list)

    def build(self, place: Place, buildings: list[Building]) -> None:
        """Add a group of buildings given in the local coordinates of `place`."""
        self.groups.append(tuple(place.building(building) for building in buildings))

    def stand(self, place: Place, outline: Floats, height_m: float, surface: Surface, tone: float) -> None:
        """Add a structure given in local coordinates."""
        self.structures.append(Structure(place.points(outline), height_m, surface, tone))

    def moor(self, place: Place, outline: Floats, height_m: float, surface: Surface, tone: float) -> None:
        """Add a part of a ship given in local coordinates."""
        self.structures.append(Structure(place.points(outline), height_m, surface, tone, afloat=True))

    def wall(self, ring: Floats, height_m: float) -> None:
        """Add the quay around water: (N, 2) map points, counter-clockwise."""
        ends = np.roll(ring, -1, axis=0)
        self.quays.append(np.column_stack([ring, ends, np.full(len(ring), height_m)]))

    def grow(self, points: Floats, radius: tuple[float, float], rng: np.random.Generator) -> None:
        """Add trees at (N, 2) map points, crown radii uniform in `radius`, heights about 2.4 radii."""
        radii = rng.uniform(*radius, len(points))
        heights = 1.2 + radii * rng.uniform(1.9, 2.9, len(points))
        self.trees.append(np.column_stack([points, radii, heights]))

    def park(self, points: Floats, angle: float | Floats, rng: np.random.Generator) -> None:
        """Add cars, some of them vans, at (N, 2) map points."""
        van = rng.random(len(points)) < 0.12
        length = np.where(van, rng.uniform(5, 6.5, len(points)), rng.uniform(3.8, 4.8, len(points)))
        width = np.where(van, 2.0, 1.8)
        height = np.where(van, rng.uniform(2.0, 2.6, len(points)), rng.uniform(1.4, 1.7, len(points)))
        angles = np.broadcast_to(angle, len(points))
        self.cars.append(np.column_stack([points, angles, length, width, height]))

    def post(self, points: Floats, height: tuple[float, float], rng: np.random.Generator) -> None:
        """Add lamp posts or masts at (N, 2) map points."""
        self.poles.append(np.column_stack([points, rng.uniform(*height, len(points))]))

    def hedge(self, ends: Floats, rng: np.random.Generator) -> None:
        """Add hedges along (N, 4) map segments x0, y0, x1, y1."""
        count = len(ends)
        self.hedges.append(np.column_stack([ends, rng.uniform(0.7, 1.3, count), rng.uniform(1.2, 2.2, count)]))

    def furniture(self) -> Furniture:
        """The arrays of everything small."""

        def stacked(parts: list[Floats], columns: int) -> Floats:
            return np.concatenate([np.empty((0, columns)), *parts])

        return Furniture(
            trees=stacked(self.trees, 4),
            cars=stacked(self.cars, 6),
            poles=stacked(self.poles, 3),
            hedges=stacked(self.hedges, 6),
            quays=stacked(self.quays, 5),
            rails=stacked(self.rails, 4),
            lattice=stacked(self.lattice, 4),
        )


def parking_rows(
    collector: Collector, place: Place, size: tuple[float, float], fill: float, rng: np.random.Generator
) -> None:
    """Rows of parking stalls (2.5 m x 5 m, lanes of 6 m) around the local origin, `fill` of them taken."""
    length, depth = size
    xs = np.arange(-length / 2 + 2, length / 2 - 1, 2.5)
    ys: list[float] = []
    y = -depth / 2 + 3.0
    while y < depth / 2 - 2.5:
        ys += [y, y + 5.0] if y + 7.5 < depth / 2 else [y]
        y += 16.0
    local = np.array([(x, y) for y in ys for x in xs]).reshape(-1, 2)
    taken = local[rng.random(len(local)) < fill]
    collector.park(place.points(taken), place.angle + np.pi / 2, rng)


def containers(collector: Collector, place: Place, rng: np.random.Generator) -> None:
    """A stack of shipping containers (12.2 m x 2.44 m, up to three high) around the local origin."""
    for row in range(int(rng.integers(2, 6))):
        for column in range(int(rng.integers(1, 4))):
            if rng.random() < 0.75:
                outline = rectangle(column * 12.6, row * 2.7, 12.2, 2.44)
                height = 2.6 * int(rng.integers(1, 4))
                collector.stand(place, outline, height, Surface.PAINTED, float(rng.random()))


def tanks(collector: Collector, place: Place, size: tuple[float, float], rng: np.random.Generator) -> None:
    """Storage tanks of one size in a local rectangle around the origin."""
    radius = float(rng.uniform(5, 11))
    pitch = 2.6 * radius
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    circle = radius * np.column_stack([np.cos(angles), np.sin(angles)])
    height = float(rng.uniform(8, 16))
    for x in np.arange(-size[0] / 2 + pitch / 2, size[0] / 2 - pitch / 3, pitch):
        for y in np.arange(-size[1] / 2 + pitch / 2, size[1] / 2 - pitch / 3, pitch):
            if rng.random() < 0.8:
                collector.stand(place, circle + np.array([x, y]), height, Surface.METAL, float(rng.uniform(0.6, 1.0)))
