"""Harbours: basins with quays, ships, cranes, container stacks and warehouses."""

from __future__ import annotations

import numpy as np

from overcast.simulator.city.furniture import Collector
from overcast.simulator.city.geometry import Floats, Patch, Place, Surface, rectangle
from overcast.simulator.city.shapes import hall
from overcast.simulator.city.streets import Bend, Block, District

Rng = np.random.Generator
QUAY_M = (2.0, 4.5)
"""Height of quay walls above the water."""
APRON_M = 34.0
"""Free ground between the quay and what is stored."""


def fill_harbour(block: Block, bend: Bend, out: Collector, rng: Rng) -> None:
    """A basin along one long side of the block and a terminal behind its quay; at times the whole block is water."""
    along_u = block.size[0] >= block.size[1]
    long, short = max(block.size), min(block.size)
    if short < 100 or long < 140:
        _terminal(_Strip(block, bend, along_u, 4.0, short - 4.0), out, rng)
        return
    if rng.random() < 0.2:
        _basin(_Strip(block, bend, along_u, 3.0, short - 3.0), out, rng)
        return
    width = float(rng.uniform(0.3, 0.55)) * short
    low = rng.random() < 0.5
    water = _Strip(block, bend, along_u, 3.0, width) if low else _Strip(block, bend, along_u, short - width, short - 3)
    _basin(water, out, rng)
    land = _Strip(block, bend, along_u, width, short - 4) if low else _Strip(block, bend, along_u, 4, short - width)
    _cranes(land, out, rng, at_low=low)
    shore = APRON_M if short - width > APRON_M + 30 else 8.0
    yard = (land.low + shore, land.high) if low else (land.low, land.high - shore)
    _terminal(_Strip(block, bend, along_u, *yard), out, rng)


class _Strip:
    """Part of a block between two lines parallel to its long side, `low` to `high` metres from one of them."""

    def __init__(self, block: Block, bend: Bend, along_u: bool, low: float, high: float) -> None:
        self.block, self.bend, self.along_u, self.low, self.high = block, bend, along_u, low, high

    @property
    def length(self) -> float:
        return max(self.block.size)

    @property
    def depth(self) -> float:
        return self.high - self.low

    def part(self, inset: float) -> Block:
        """The strip as a block, its short ends moved inwards."""
        b = self.block
        if self.along_u:
            return Block(b.u0 + inset, b.v0 + self.low, b.u1 - inset, b.v0 + self.high, District.WATER)
        return Block(b.u0 + self.low, b.v0 + inset, b.u0 + self.high, b.v1 - inset, District.WATER)

    def place(self, along: float, across: float) -> Place:
        """Rigid frame whose x axis runs along the strip, `across` measured from the strip's low line."""
        b = self.block
        if self.along_u:
            return self.bend.place(b.u0 + along, b.v0 + self.low + across)
        place = self.bend.place(b.u0 + self.low + across, b.v0 + along, along_v=True)
        return Place(place.x, place.y, place.angle + np.pi / 2)


def _basin(strip: _Strip, out: Collector, rng: Rng) -> None:
    inset = 3.0
    part = strip.part(inset)
    out.patches.append(Patch(part.polygon(strip.bend), Surface.WATER))
    out.wall(strip.bend.points(part.ring()), float(rng.uniform(*QUAY_M)))
    for side in (0, 1):
        _berths(strip, inset, side, out, rng)


def _berths(strip: _Strip, inset: float, side: int, out: Collector, rng: Rng) -> None:
    """Ships one behind the other along a quay of the basin."""
    at = inset + float(rng.uniform(6, 60))
    while at < strip.length - 50:
        length = float(min(rng.choice([38.0, 85.0, 110.0, 135.0, 180.0]) * rng.uniform(0.9, 1.1), 0.95 * strip.length))
        beam = float(np.clip(length / rng.uniform(6.5, 9.0), 6.0, 0.4 * strip.depth))
        if at + length > strip.length - inset - 4:
            break
        if rng.random() < 0.55:
            off = 2.0 + beam / 2
            place = strip.place(at + length / 2, off if side == 0 else strip.depth - off)
            ship(place, length, beam, out, rng)
        at += length + float(rng.uniform(10, 60))


def ship(place: Place, length: float, beam: float, out: Collector, rng: Rng) -> None:
    """A hull with a bow, a deckhouse and cargo (containers, hatches or nothing) around the local origin."""
    if rng.random() < 0.5:
        place = Place(place.x, place.y, place.angle + np.pi)
    x, y = length / 2, beam / 2
    deck = float(np.clip(length * 0.045, 1.5, 9.0) * rng.uniform(0.7, 1.2))
    hull = np.array([(-x, -y), (0.76 * x, -y), (x, 0.0), (0.76 * x, y), (-x, y)])
    out.moor(place, hull, deck, Surface.PAINTED, float(rng.random()))
    house = rectangle(-0.86 * x, 0, 0.2 * x, 1.6 * y)
    out.moor(place, house, deck + float(np.clip(length * 0.1, 2.5, 18.0)), Surface.PAINTED, 0.95)
    holds = max(2, int(length / 16))
    kind = rng.random()
    for start in np.linspace(-0.68 * x, 0.6 * x, holds, endpoint=False):
        if kind > 0.8 or rng.random() < 0.15:
            continue
        step = 1.28 * x / holds
        cargo = rectangle(start + step / 2, 0, step * 0.85, 1.6 * y)
        height = deck + (2.6 * int(rng.integers(1, 4)) if kind < 0.4 else 1.2)
        out.moor(place, cargo, height, Surface.PAINTED, float(rng.random()))


def _cranes(land: _Strip, out: Collector, rng: Rng, *, at_low: bool) -> None:
    """Crane rails along the quay and gantries on them: four legs, a machine house, lattice nodes of the boom."""
    across = (4.0, 20.0) if at_low else (land.depth - 4.0, land.depth - 20.0)
    for offset in across:
        line = np.array([_origin(land.place(a, offset)) for a in np.linspace(6.0, land.length - 6.0, 12)])
        out.rails.append(np.column_stack([line[:-1], line[1:]]))
    if rng.random() < 0.25:
        return
    for along in np.arange(30.0, land.length - 30.0, float(rng.uniform(60, 130))):
        _gantry(land.place(along, across[0]), 1.0 if at_low else -1.0, out, rng)


def _origin(place: Place) -> tuple[float, float]:
    return place.x, place.y


def _gantry(place: Place, landwards: float, out: Collector, rng: Rng) -> None:
    height = float(rng.uniform(22, 42))
    tone = float(rng.random())
    for x in (-7.0, 7.0):
        for y in (0.0, 16.0):
            out.stand(place, rectangle(x, y * landwards, 1.6, 1.6), height, Surface.PAINTED, tone)
    out.stand(place, rectangle(0.0, 16.0 * landwards, 15.0, 2.0), 9.0, Surface.PAINTED, tone)
    boom = np.linspace(-30.0, 22.0, 18) * landwards
    legs = np.linspace(2.0, height, 8)
    nodes = [(0.0, y, height + 2.0) for y in boom] + [(x, 0.0, z) for x in (-7.0, 7.0) for z in legs]
    local = np.array(nodes)
    section = 6.0 * 10 ** (0.6 * rng.standard_normal(len(local)))
    out.lattice.append(np.column_stack([place.points(local[:, :2]), local[:, 2], section]))


def _terminal(strip: _Strip, out: Collector, rng: Rng) -> None:
    """Container stacks, halls and free ground, one after the other along the strip."""
    if strip.depth < 20:
        return
    stacks = rng.random() < 0.5
    at = 8.0
    while at < strip.length - 40:
        span = float(min(rng.uniform(45, 110), strip.length - 8 - at))
        place = strip.place(at + span / 2, strip.depth / 2)
        kind = rng.random()
        if kind < (0.65 if stacks else 0.15):
            _stacks(place, (span - 6, strip.depth - 6), out, rng)
        elif kind < 0.9:
            size = (
                (span - 10) * float(rng.uniform(0.7, 1)),
                min(70.0, (strip.depth - 8) * float(rng.uniform(0.5, 0.95))),
            )
            if min(size) > 12:
                out.build(place, [hall(*size, rng)])
        at += span


def _stacks(place: Place, size: tuple[float, float], out: Collector, rng: Rng) -> None:
    """Blocks of containers (12.2 m x 2.44 m), two to six side by side, one to four high, with lanes between."""
    columns, rows = max(1, int(size[0] // 12.9)), max(1, int(size[1] // 20.0))
    colour = float(rng.random())
    for i in range(columns):
        for j in range(rows):
            x, y = (i + 0.5) * 12.9 - size[0] / 2, (j + 0.5) * 20.0 - size[1] / 2
            if rng.random() < 0.12:
                continue
            lanes = int(rng.integers(3, 7))
            heights = rng.integers(1, 5, 2) * 2.6
            first = int(rng.integers(1, lanes))
            for low, count, height in ((0, first, heights[0]), (first, lanes - first, heights[1])):
                across = y + (low + count / 2 - lanes / 2) * 2.5
                tone = colour if rng.random() < 0.4 else float(rng.random())
                out.stand(place, rectangle(x, across, 12.2, count * 2.5), float(height), Surface.PAINTED, tone)


def moored_barges(river: Block, bend: Bend, out: Collector, rng: Rng) -> None:
    """Barges along both banks of a river."""
    strip = _Strip(river, bend, river.size[0] >= river.size[1], 0.0, min(river.size))
    for side in (0, 1):
        _berths(strip, 0.0, side, out, rng)


def lay_railway(corridor: Block, bend: Bend, out: Collector, rng: Rng) -> None:
    """Ballast, tracks 4.7 m apart, overhead-line masts on both sides and at times a train."""
    strip = _Strip(corridor, bend, corridor.size[0] >= corridor.size[1], 0.0, min(corridor.size))
    out.patches.append(Patch(corridor.polygon(bend, -5.0), Surface.GRASS))
    out.patches.append(Patch(corridor.polygon(bend), Surface.BALLAST))
    tracks = max(1, int((strip.depth - 4.0) // 4.7))
    count = max(2, int(strip.length / 12))
    for i in range(tracks):
        offset = strip.depth / 2 + (i - (tracks - 1) / 2) * 4.7
        narrow = _Strip(corridor, bend, strip.along_u, offset - 1.3, offset + 1.3)
        out.patches.append(Patch(narrow.part(0.0).polygon(bend), Surface.BALLAST))
        line = np.array([_origin(strip.place(a, offset)) for a in np.linspace(0.0, strip.length, count)])
        out.rails.append(np.column_stack([line[:-1], line[1:]]))
        if rng.random() < 0.3:
            _train(strip, offset, out, rng)
    sides = [(a, s) for a in np.arange(0.0, strip.length, 55.0) for s in (0.6, strip.depth - 0.6)]
    masts: Floats = np.array([_origin(strip.place(a, s)) for a, s in sides]).reshape(-1, 2)
    out.post(masts, (7.5, 9.0), rng)


def _train(strip: _Strip, offset: float, out: Collector, rng: Rng) -> None:
    wagons, wagon = int(rng.integers(3, 11)), float(rng.choice([15.0, 20.0, 26.0]))
    start = float(rng.uniform(0, max(1.0, strip.length - wagons * wagon)))
    tone = float(rng.random())
    for i in range(wagons):
        place = strip.place(start + (i + 0.5) * wagon, offset)
        out.stand(place, rectangle(0, 0, wagon - 1.0, 2.9), 3.8, Surface.PAINTED, tone)
