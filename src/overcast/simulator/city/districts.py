"""How a block of each district is filled: one function each, chosen in one match."""

from __future__ import annotations

from typing import assert_never

import numpy as np
from shapely import Polygon

from overcast.simulator.city.furniture import Collector, containers, parking_rows, tanks
from overcast.simulator.city.geometry import Floats, Kind, Patch, Place, Surface
from overcast.simulator.city.harbour import fill_harbour
from overcast.simulator.city.shapes import (
    Style,
    detached,
    draw_style,
    hall,
    ring_block,
    semi_detached,
    shed,
    slab,
    terrace,
)
from overcast.simulator.city.streets import Bend, Block, District
from overcast.simulator.options import CityOptions

Rng = np.random.Generator


def fill_block(block: Block, bend: Bend, options: CityOptions, out: Collector, rng: Rng) -> None:
    """Paint the ground of a block and put on it what its district carries."""
    out.patches.append(Patch(block.polygon(bend, -2.0), Surface.PAVING))
    _paint(block, bend, out, 1.5, _ground(block.district))
    filler = _Filler(block, bend, options, out, rng)
    match block.district:
        case District.ROW:
            filler.rows()
        case District.DETACHED:
            filler.detached()
        case District.COURTYARD:
            filler.courtyard()
        case District.SLAB:
            filler.slabs()
        case District.INDUSTRY:
            filler.industry()
        case District.HARBOUR:
            fill_harbour(block, bend, out, rng)
        case District.PARK:
            filler.wood(0.008)
        case District.FIELD:
            filler.wood(0.0006)
        case District.PARKING:
            filler.parking()
        case District.SPORT:
            filler.wood(0.0008, border=6.0)
        case District.WATER:
            filler.pond()
        case _:
            assert_never(block.district)


def _ground(district: District) -> Surface:
    match district:
        case District.ROW | District.DETACHED | District.COURTYARD:
            return Surface.GARDEN
        case District.SLAB | District.PARK | District.WATER:
            return Surface.GRASS
        case District.INDUSTRY | District.HARBOUR:
            return Surface.CONCRETE
        case District.FIELD:
            return Surface.FIELD
        case District.PARKING:
            return Surface.ASPHALT
        case District.SPORT:
            return Surface.SPORT
        case _:
            assert_never(district)


def _paint(block: Block, bend: Bend, out: Collector, inset: float, surface: Surface) -> None:
    polygon = block.polygon(bend, inset)
    if not polygon.is_empty:
        out.patches.append(Patch(polygon, surface))


class _Filler:
    """The fill functions of one block; they share the block, its frame and the generator."""

    def __init__(self, block: Block, bend: Bend, options: CityOptions, out: Collector, rng: Rng) -> None:
        self.block, self.bend, self.options, self.out, self.rng = block, bend, options, out, rng

    def _centre(self) -> Place:
        block = self.block
        return self.bend.place((block.u0 + block.u1) / 2, (block.v0 + block.v1) / 2)

    def _flip(self, place: Place) -> Place:
        return Place(place.x, place.y, place.angle + np.pi)

    def rows(self) -> None:
        """Two rows of terraces back to back, gardens with sheds between, heads of the block left open."""
        length, depth = self.block.size
        along_u = length >= depth
        long, short = (length, depth) if along_u else (depth, length)
        rows = max(1, round(short / 52)) * 2
        band = short / rows
        for row in range(rows):
            style = draw_style(Kind.ROW, (2, 3), 0.75, self.rng)
            house_depth = float(np.clip(self.rng.uniform(8.0, 10.5), 5, max(5.0, band - 7)))
            front = float(self.rng.uniform(2.0, 5.0))
            offset = row // 2 * 2 * band + (front if row % 2 == 0 else 2 * band - front)
            self._terraces(along_u, long, offset, row % 2 == 1, style, house_depth, band)

    def _terraces(
        self, along_u: bool, long: float, offset: float, turned: bool, style: Style, depth: float, band: float
    ) -> None:
        width = float(self.rng.uniform(5.0, 6.8))
        at = float(self.rng.uniform(2.0, 6.0))
        while at + 3 * width < long - 2:
            count = min(int(self.rng.integers(4, 11)), int((long - 2 - at) // width))
            if count < 3:
                break
            span = count * width
            place = self._edge_place(along_u, at + span / 2, offset, turned)
            base = place.at(-span / 2, 0.0)
            self.out.build(base, terrace(count, width, depth, style, self.rng))
            self._gardens(base, count, width, depth, band)
            at += span + float(self.rng.choice([2.5, 4.0, 9.0]))

    def _edge_place(self, along_u: bool, along: float, offset: float, turned: bool) -> Place:
        block = self.block
        if along_u:
            place = self.bend.place(block.u0 + along, block.v0 + offset)
        else:
            place = self.bend.place(block.u0 + offset, block.v0 + along, along_v=True)
            place = Place(place.x, place.y, place.angle - np.pi / 2)
        return self._flip(place) if turned else place

    def _gardens(self, base: Place, count: int, width: float, depth: float, band: float) -> None:
        """Sheds at the ends of gardens, hedges between them, small trees, terraces of paving."""
        end = band - 3.5
        for i in np.flatnonzero(self.rng.random(count) < 0.3):
            x = (i + 0.5) * width + float(self.rng.uniform(-0.2, 0.2)) * width
            size = (float(self.rng.uniform(2.4, 3.6)), float(self.rng.uniform(2.6, 4.4)))
            if end - 3 > depth + 3.5:
                self.out.build(base, [shed(x, end - size[1] / 2, *size, float(self.rng.random()))])
        borders = np.flatnonzero(self.rng.random(count + 1) < 0.4).astype(np.float64) * width
        if len(borders) and end > depth + 5:
            ends = np.column_stack([base.points(_column(borders, depth + 4)), base.points(_column(borders, end))])
            self.out.hedge(ends, self.rng)
        trees = np.flatnonzero(self.rng.random(count) < 0.3 * self.options.trees)
        spots = _column((trees + self.rng.uniform(0.2, 0.8, len(trees))) * width, depth + 6.5)
        self.out.grow(base.points(spots), (1.2, 3.0), self.rng)
        paved = np.flatnonzero(self.rng.random(count) < 0.6)
        for i in paved:
            ring = np.array([(i, depth), (i + 1, depth), (i + 1, depth + 3), (i, depth + 3)]) * (width, 1.0)
            self.out.patches.append(Patch(_polygon(base.points(ring)), Surface.PAVING))

    def detached(self) -> None:
        """Lots along the two long sides, each with a house, often a garage and trees."""
        length, depth = self.block.size
        along_u = length >= depth
        long, short = (length, depth) if along_u else (depth, length)
        rows = 2 if short > 40 else 1
        estate = draw_style(Kind.DETACHED, (1, 2), 0.85, self.rng)
        for row in range(rows):
            at = 3.0
            while at + 13 < long:
                lot = float(min(self.rng.uniform(13, 22), long - at - 1))
                style = estate if self.rng.random() < 0.5 else draw_style(Kind.DETACHED, (1, 2), 0.85, self.rng)
                setback = float(self.rng.uniform(8.5, 12.0))
                offset = setback if row == 0 else short - setback
                self._lot(self._edge_place(along_u, at + lot / 2, offset, row == 1), lot, short / rows, style)
                at += lot

    def _lot(self, place: Place, lot: float, depth: float, style: Style) -> None:
        width = float(min(self.rng.uniform(7.5, 12.0), lot - 4.5))
        if self.rng.random() < 0.2 and lot > 16:
            self.out.build(place, list(semi_detached(6.5, 10.0, style)))
        else:
            body = detached(width, float(self.rng.uniform(8, 12)), style, self.rng)
            turn = float(self.rng.normal(0, 0.03))
            self.out.build(Place(place.x, place.y, place.angle + turn), [body])
            if self.rng.random() < 0.45:
                self.out.build(place, [shed(lot / 2 - 2.2, 4.0, 3.2, 6.0, float(self.rng.random()))])
        spots = self.rng.uniform((-lot / 2, 6.5), (lot / 2, max(8.0, depth - 11)), (3, 2))
        keep = self.rng.random(3) < 0.55 * self.options.trees
        self.out.grow(place.points(spots[keep]), (1.5, 4.2), self.rng)
        back = max(2.0, depth - 11)
        ends = place.points(np.array([(-lot / 2, -8.0), (-lot / 2, back)])).reshape(1, 4)
        if self.rng.random() < 0.7:
            self.out.hedge(ends, self.rng)
        if self.rng.random() < 0.7 * self.options.cars:
            self.out.park(place.points(np.array([(lot / 2 - 2.2, -5.5)])), place.angle + np.pi / 2, self.rng)

    def courtyard(self) -> None:
        """A closed ring, trees and sheds in the court."""
        length, depth = self.block.size
        place = self._centre()
        thick = float(self.rng.uniform(10.0, 13.0))
        size = (length - 8.0, depth - 8.0)
        if min(size) < 3.2 * thick:
            self.rows()
            return
        corner = place.at(-size[0] / 2, -size[1] / 2)
        self.out.build(corner, ring_block(size, thick, self.rng))
        court = np.array(size) / 2 - thick - 2.0
        spots = self.rng.uniform(-court, court, (int(court.prod() * 4 * 0.006 * self.options.trees), 2))
        self.out.grow(place.points(spots), (1.8, 4.0), self.rng)
        for x, y in self.rng.uniform(-court + 2, court - 2, (int(court.prod() * 4 / 450), 2)):
            size = (float(self.rng.uniform(3, 7)), float(self.rng.uniform(3, 5)))
            self.out.build(place, [shed(float(x), float(y), *size, float(self.rng.random()))])

    def slabs(self) -> None:
        """Parallel apartment slabs or towers on lawns with parking."""
        length, depth = self.block.size
        place = self._centre()
        low, high = self.options.tower_height_m
        towers = self.rng.random() < 0.3
        height = float(self.rng.uniform(low, high)) if towers else 2.9 * float(self.rng.integers(3, 10)) + 1.0
        width = float(self.rng.uniform(18, 26)) if towers else float(self.rng.uniform(10.5, 13.5))
        pitch = width + max(22.0, (0.8 if towers else 1.0) * height)
        rows = max(1, int((depth - 8) // pitch))
        for y in (np.arange(rows) - (rows - 1) / 2) * pitch:
            span = width if towers else float(min(length - 16, self.rng.uniform(42, 85)))
            step = span + (max(24.0, 0.7 * height) if towers else 14.0)
            columns = max(1, int((length - 8) // step))
            for x in (np.arange(columns) - (columns - 1) / 2) * step:
                if self.rng.random() < 0.88:
                    spot = place.at(x, y)
                    kind = Kind.TOWER if towers else Kind.SLAB
                    tall = height * float(self.rng.uniform(0.9, 1.1))
                    self.out.build(spot, [slab(span, width, tall, kind, self.rng)])
            self._slab_yard(place, y + pitch / 2, length)
        self.wood(0.004)

    def _slab_yard(self, place: Place, y: float, length: float) -> None:
        if self.rng.random() < 0.6:
            spot = place.at(0.0, y)
            size = (length * 0.7, 16.0)
            ring = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * np.array(size) / 2
            self.out.patches.append(Patch(_polygon(spot.points(ring)), Surface.ASPHALT))
            parking_rows(self.out, spot, size, 0.6 * self.options.cars, self.rng)

    def industry(self) -> None:
        """Halls on plots with yards, tanks, containers and lorries."""
        length, depth = self.block.size
        columns, rows = max(1, round(length / 85)), max(1, round(depth / 75))
        plot = (length / columns, depth / rows)
        centre = self._centre()
        for i in range(columns):
            for j in range(rows):
                place = centre.at((i + 0.5) * plot[0] - length / 2, (j + 0.5) * plot[1] - depth / 2)
                if self.rng.random() < 0.18:
                    tanks(self.out, place, (plot[0] - 14, plot[1] - 14), self.rng)
                else:
                    self._plant(place, plot)
        self.wood(0.0004)

    def _plant(self, place: Place, plot: tuple[float, float]) -> None:
        size = (plot[0] - 10) * float(self.rng.uniform(0.5, 0.9)), (plot[1] - 10) * float(self.rng.uniform(0.45, 0.8))
        x = (plot[0] - 8 - size[0]) / 2 * float(self.rng.choice([-1, 1]))
        y = (plot[1] - 8 - size[1]) / 2 * float(self.rng.choice([-1, 1]))
        spot = place.at(x, y)
        self.out.build(spot, [hall(*size, self.rng)])
        yard = place.at(-np.sign(x) * (plot[0] / 2 - 18), -y)
        if self.rng.random() < 0.5:
            containers(self.out, yard, self.rng)
        else:
            parking_rows(self.out, yard, (28.0, plot[1] * 0.5), 0.5 * self.options.cars, self.rng)

    def wood(self, density_m2: float, border: float = 3.0) -> None:
        """Trees in clumps, `density_m2` per square metre."""
        block = self.block
        area = block.size[0] * block.size[1]
        count = int(area * density_m2 * self.options.trees)
        clumps = self.rng.uniform((block.u0, block.v0), (block.u1, block.v1), (max(1, count // 8), 2))
        spots = clumps[self.rng.integers(0, len(clumps), count)] + self.rng.normal(0, 13.0, (count, 2))
        low, high = (block.u0 + border, block.v0 + border), (block.u1 - border, block.v1 - border)
        spots = spots[((spots > low) & (spots < high)).all(1)]
        self.out.grow(self.bend.points(spots), (2.0, 5.5), self.rng)

    def parking(self) -> None:
        """A large parking area."""
        length, depth = self.block.size
        place = self._centre()
        parking_rows(self.out, place, (length - 8, depth - 8), float(self.rng.uniform(0.3, 0.85)), self.rng)
        spots = self.rng.uniform((-length / 2, -depth / 2), (length / 2, depth / 2), (8, 2)) * 0.9
        self.out.post(place.points(spots), (8.0, 14.0), self.rng)

    def pond(self) -> None:
        """Water with banks."""
        _paint(self.block, self.bend, self.out, float(self.rng.uniform(5, 12)), Surface.WATER)


def _column(x: Floats, y: float) -> Floats:
    return np.column_stack([x, np.full(len(x), y)])


def _polygon(points: Floats) -> Polygon:
    return Polygon(points)
