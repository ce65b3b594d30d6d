"""Buildings in local coordinates: terraces, detached houses, rings, slabs, halls. Neighbours share walls exactly."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from overcast.simulator.city.geometry import Building, Floats, Kind, Roof, Surface, Wing, rectangle

PITCHED = (Surface.TILE_RED, Surface.TILE_DARK)
FLAT = (Surface.BITUMEN, Surface.GRAVEL_ROOF)


@dataclass(frozen=True)
class Style:
    """What the houses of a terrace or estate have in common."""

    kind: Kind
    roof: Roof
    surface: Surface
    eaves_m: float
    rise_m: float
    tone: float


def draw_style(kind: Kind, storeys: tuple[int, int], pitched_share: float, rng: np.random.Generator) -> Style:
    """A random style: storeys of 2.8 m, pitched with the given probability."""
    floors = int(rng.integers(storeys[0], storeys[1] + 1))
    pitched = bool(rng.random() < pitched_share)
    hipped = pitched and rng.random() < (0.4 if kind is Kind.DETACHED else 0.0)
    roof = Roof.HIPPED if hipped else Roof.GABLED if pitched else Roof.FLAT
    surface = rng.choice(PITCHED if pitched else FLAT, p=[0.4, 0.6])
    rise = float(rng.uniform(2.6, 4.4)) if pitched else 0.0
    return Style(
        kind, roof, Surface(int(surface)), 2.8 * floors + float(rng.uniform(0, 0.8)), rise, float(rng.random())
    )


def house(outline: Floats, wings: tuple[Wing, ...], style: Style, tone: float | None = None) -> Building:
    """A building of a style."""
    return Building(outline, wings, style.kind, style.roof, style.surface, style.tone if tone is None else tone)


def wing(box: tuple[float, float, float, float], style: Style, *, ridge_along_x: bool = True) -> Wing:
    """The wing over a box (x0, y0, x1, y1)."""
    x0, y0, x1, y1 = box
    half = ((x1 - x0) / 2, (y1 - y0) / 2)
    if ridge_along_x:
        lengths, angle = half, 0.0
    else:
        lengths, angle = (half[1], half[0]), np.pi / 2
    hipped = style.roof is Roof.HIPPED
    return Wing((x0 + x1) / 2, (y0 + y1) / 2, angle, *lengths, style.eaves_m, style.rise_m, hipped)


def terrace(count: int, width: float, depth: float, style: Style, rng: np.random.Generator) -> list[Building]:
    """Row houses along x from 0, front at y = 0, some with a flat extension at the back; party walls are shared.

    An extension has the width of its house or a part of it at the left or right wall.
    """
    reach = np.where(rng.random(count) < 0.4, rng.uniform(1.8, 3.6, count), 0.0) + depth
    side = rng.integers(0, 3, count)
    share = rng.uniform(0.45, 0.7, count)
    left = np.where(side != 2, reach, depth)
    right = np.where(side != 1, reach, depth)
    houses = []
    for i in range(count):
        x0, x1 = i * width, (i + 1) * width
        step = x0 + width * (share[i] if side[i] == 1 else 1 - share[i])
        ring = [(x0, 0.0), (x1, 0.0)]
        if i + 1 < count and left[i + 1] < right[i]:
            ring.append((x1, left[i + 1]))
        ring.append((x1, right[i]))
        if left[i] != right[i]:
            ring += [(step, right[i]), (step, left[i])]
        ring.append((x0, left[i]))
        if i > 0 and right[i - 1] < left[i]:
            ring.append((x0, right[i - 1]))
        wings = [wing((x0, 0.0, x1, depth), style)]
        if reach[i] > depth:
            a, b = (x0, step) if side[i] == 1 else (step, x1) if side[i] == 2 else (x0, x1)
            wings.append(Wing((a + b) / 2, (depth + reach[i]) / 2, 0.0, (b - a) / 2, (reach[i] - depth) / 2, 2.9))
        houses.append(house(np.array(ring), tuple(wings), style))
    return houses


def detached(width: float, depth: float, style: Style, rng: np.random.Generator) -> Building:
    """A house around the origin: a rectangle or an L."""
    w, d = width / 2, depth / 2
    ridge_along_x = bool(rng.random() < 0.5)
    main = wing((-w, -d, w, d), style, ridge_along_x=ridge_along_x)
    if rng.random() < 0.45:
        return house(main.corners if ridge_along_x else rectangle(0, 0, width, depth), (main,), style)
    out = float(rng.uniform(2.5, 4.5))
    left, right = -w, float(rng.uniform(-0.1, 0.4)) * width
    ring = np.array([(-w, -d - out), (right, -d - out), (right, -d), (w, -d), (w, d), (-w, d)])
    side = wing((left, -d - out, right, d * 0.2), style, ridge_along_x=False)
    return house(ring, (main, side), style)


def semi_detached(width: float, depth: float, style: Style) -> list[Building]:
    """Two houses that share one wall, around the origin."""
    halves = []
    for x0, x1 in ((-width, 0.0), (0.0, width)):
        box = (x0, -depth / 2, x1, depth / 2)
        ring = np.array([(x0, -depth / 2), (x1, -depth / 2), (x1, depth / 2), (x0, depth / 2)])
        halves.append(house(ring, (wing(box, style),), style))
    return halves


def shed(x: float, y: float, width: float, depth: float, tone: float) -> Building:
    """A garden shed or garage around (x, y)."""
    ring = rectangle(x, y, width, depth)
    part = Wing(x, y, 0.0, width / 2, depth / 2, 2.3 + 0.5 * tone)
    return Building(ring, (part,), Kind.SHED, Roof.FLAT, Surface.BITUMEN, tone)


def cuts(start: float, stop: float, typical: float, rng: np.random.Generator) -> Floats:
    """Party wall positions start = c0 < c1 < ... = stop with irregular spacing."""
    count = max(1, round((stop - start) / typical))
    weights = rng.uniform(0.7, 1.3, count)
    inner = start + np.cumsum(weights)[:-1] / weights.sum() * (stop - start)
    return np.concatenate([[start], inner, [stop]])


def ring_block(size: tuple[float, float], depth: float, rng: np.random.Generator) -> list[Building]:
    """A closed block around a courtyard, lower left corner at the origin; at times one side is open."""
    base = draw_style(Kind.COURTYARD, (3, 5), 0.45, rng)
    a, b = size
    closed = rng.random(4) > np.array([0.0, 0.12, 0.0, 0.12])
    boxes: list[tuple[tuple[float, float, float, float], bool]] = []
    for y0, y1 in ((0.0, depth), (b - depth, b)):
        xs = [0.0, *cuts(depth, a - depth, 9.0, rng), a]
        boxes += [((x0, y0, x1, y1), True) for x0, x1 in pairwise(xs)]
    for side, x0, x1 in ((1, 0.0, depth), (3, a - depth, a)):
        ys = cuts(depth, b - depth, 9.0, rng)
        if closed[side]:
            boxes += [((x0, low, x1, high), False) for low, high in pairwise(ys)]
    houses = []
    for box, along_x in boxes:
        lift = float(rng.choice([0.0, 0.0, 0.0, 2.8, -2.8]) + rng.uniform(-0.3, 0.3))
        style = Style(base.kind, base.roof, base.surface, base.eaves_m + lift, base.rise_m, float(rng.random()))
        x0, y0, x1, y1 = box
        wings: tuple[Wing, ...] = (wing(box, style, ridge_along_x=along_x),)
        ring = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        if along_x and x0 > 1.2 * depth and x1 < a - 1.2 * depth and rng.random() < 0.45:
            ring, annex = _back_wing(box, float(min(rng.uniform(2.0, 6.0), 0.3 * (b - 2 * depth))), rng)
            wings = (*wings, annex)
        houses.append(house(np.array(ring), wings, style))
    return houses


def _back_wing(
    box: tuple[float, float, float, float], out: float, rng: np.random.Generator
) -> tuple[list[tuple[float, float]], Wing]:
    """Outline of a house in a ring with a low wing of depth `out` into the court, and that wing."""
    x0, y0, x1, y1 = box
    width = (x1 - x0) * float(rng.uniform(0.4, 0.7))
    left = x0 + 0.4 + float(rng.random()) * (x1 - x0 - width - 0.8)
    right, height = left + width, 2.9 * float(rng.integers(1, 3))
    if y0 == 0.0:
        ring = [(x0, y0), (x1, y0), (x1, y1), (right, y1), (right, y1 + out), (left, y1 + out), (left, y1), (x0, y1)]
        middle = y1 + out / 2
    else:
        ring = [(x0, y0), (left, y0), (left, y0 - out), (right, y0 - out), (right, y0), (x1, y0), (x1, y1), (x0, y1)]
        middle = y0 - out / 2
    return ring, Wing((left + right) / 2, middle, 0.0, width / 2, out / 2, height)


def slab(length: float, width: float, height_m: float, kind: Kind, rng: np.random.Generator) -> Building:
    """A flat-roofed apartment block or tower around the origin, with a lift house on the roof; at times an L."""
    surface = Surface(int(rng.choice(FLAT)))
    main = Wing(0, 0, 0.0, length / 2, width / 2, height_m)
    lift = Wing(float(rng.uniform(-0.3, 0.3)) * length, 0, 0.0, min(4.0, length / 5), width / 5, height_m + 2.8)
    ring = main.corners
    wings: tuple[Wing, ...] = (main, lift)
    if kind is Kind.SLAB and rng.random() < 0.25:
        out, arm = float(rng.uniform(14, 26)), width
        x0, y0 = length / 2 - arm, -width / 2
        ring = np.array([*main.corners[:1], (x0, y0), (x0, y0 - out), (length / 2, y0 - out), *main.corners[2:]])
        wings = (*wings, Wing(x0 + arm / 2, y0 - out / 2, 0.0, arm / 2, out / 2, height_m))
    elif kind is Kind.SLAB and rng.random() < 0.6:
        ring, towers = _stairwells(length, width, height_m, rng)
        wings = (*wings, *towers)
    return Building(ring, wings, kind, Roof.FLAT, surface, float(rng.random()))


def _stairwells(
    length: float, width: float, height_m: float, rng: np.random.Generator
) -> tuple[Floats, tuple[Wing, ...]]:
    """Outline of a slab with stairwells before its upper long side, and their wings."""
    count, out, half = max(1, int(length // rng.uniform(16, 30))), float(rng.uniform(1.2, 2.6)), 1.8
    x, y = length / 2, width / 2
    ring, towers = [(-x, -y), (x, -y), (x, y)], []
    for at in ((np.arange(count) + 0.5) / count * length - x)[::-1]:
        middle = float(at)
        ring += [(middle + half, y), (middle + half, y + out), (middle - half, y + out), (middle - half, y)]
        towers.append(Wing(middle, y + out / 2, 0.0, half, out / 2, height_m + 1.2))
    return np.array([*ring, (-x, y)]), tuple(towers)


def hall(length: float, width: float, rng: np.random.Generator) -> Building:
    """A warehouse around the origin: flat, or a low ridge; at times with an office wing or as a U."""
    height = float(rng.uniform(6.5, 13.0))
    ridged = rng.random() < 0.35
    surface = Surface(int(rng.choice([Surface.METAL, Surface.BITUMEN, Surface.GRAVEL_ROOF], p=[0.5, 0.35, 0.15])))
    rise = float(rng.uniform(1.0, 2.5)) if ridged else 0.0
    main = Wing(0, 0, 0.0, length / 2, width / 2, height, rise)
    ring = main.corners
    wings: tuple[Wing, ...] = (main,)
    if not ridged and length > 45 and width > 30 and rng.random() < 0.35:
        x, y = length / 2, width / 2
        gap, reach = length * 0.18, width * float(rng.uniform(0.3, 0.55))
        ring = np.array(
            [(-x, -y), (-gap, -y), (-gap, -y + reach), (gap, -y + reach), (gap, -y), (x, -y), (x, y), (-x, y)]
        )
    elif rng.random() < 0.45:
        x, y = length / 2, width / 2
        start, stop, out = -x, -x + length * float(rng.uniform(0.2, 0.6)), float(rng.uniform(4, 9))
        ring = np.array([(start, -y - out), (stop, -y - out), (stop, -y), (x, -y), (x, y), (-x, y)])
        office = Wing((start + stop) / 2, -y - out / 2, 0.0, (stop - start) / 2, out / 2, 3.2 * int(rng.integers(1, 3)))
        wings = (main, office)
    roof = Roof.GABLED if ridged else Roof.FLAT
    return Building(ring, wings, Kind.WAREHOUSE, roof, surface, float(rng.random()))
