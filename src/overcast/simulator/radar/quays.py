"""Radar returns of quay walls, rails and lattices: lines and points that the height raster does not hold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from overcast.simulator.city.geometry import Floats, Furniture, Surface
from overcast.simulator.radar.geometry import Layer, RadarFrame, Splatter
from overcast.simulator.radar.materials import Mechanism, reflection_table
from overcast.simulator.radar.walls import DIHEDRAL_DB, DIHEDRAL_WIDTH_RAD

RAIL_M = 0.34
"""Height of both rails of a track together."""
RAIL_WIDTH_RAD = np.radians(3.5)
"""Aspect angle at which the return of straight rails has fallen to 1/e."""
SMALL_M = 1e-3


def add_quays_rails_lattice(
    small: Furniture, frame: RadarFrame, hidden: Layer, cot: float, maps: list[Splatter]
) -> None:
    """Add double bounce of quay walls with the water and of rails with the ballast, and single nodes of lattices.

    `hidden` is the (R, A) height below which the radar sees nothing; `maps` is indexed by `Mechanism`; `cot` is 0
    without layover.
    """
    gsd_m = frame.grid.gsd_m
    water = float(reflection_table()[Surface.WATER])
    gain = 10 ** (DIHEDRAL_DB / 10) / gsd_m**2
    for ends, height, width, sided in (
        (small.quays[:, :4], small.quays[:, 4] * water, DIHEDRAL_WIDTH_RAD, True),
        (small.rails, np.full(len(small.rails), RAIL_M), RAIL_WIDTH_RAD, False),
    ):
        spot, length, aspect, owner = _line_samples(ends, frame, sided=sided)
        lobe = np.exp(-((np.arccos(np.clip(aspect, 0, 1)) / width) ** 2))
        power = gain * height[owner] * length * lobe
        seen, cols = _visible(spot, np.zeros(len(spot)), hidden, gsd_m)
        maps[Mechanism.DOUBLE].add(spot[seen, 0], cols[seen], power[seen])
    nodes = small.lattice
    spot = frame.coordinates(nodes[:, :2])
    seen, cols = _visible(spot, nodes[:, 2], hidden, gsd_m)
    at = spot[seen, 0] - nodes[seen, 2] * cot
    maps[Mechanism.ODD].add(at, cols[seen], nodes[seen, 3] / gsd_m**2)


def _line_samples(ends: Floats, frame: RadarFrame, *, sided: bool) -> tuple[Floats, Floats, Floats, NDArray[np.int64]]:
    """Points (range, azimuth) half a cell apart on lines, metres they stand for, cosine of aspect, owner.

    A sided line is seen only where its left side faces the radar.
    """
    east, north = frame.range_direction
    edge = ends[:, 2:4] - ends[:, :2]
    length = np.maximum(np.hypot(*edge.T), 1e-9)
    left = np.stack([-edge[:, 1], edge[:, 0]], axis=1) / length[:, None]
    aspect = -(left[:, 0] * east + left[:, 1] * north)
    if not sided:
        aspect = np.abs(aspect)
    count = np.where(aspect > 0.5, np.ceil(length / (frame.grid.gsd_m / 2)), 0).astype(np.int64)
    owner = np.repeat(np.arange(len(count)), count)
    nth = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    share = (nth + 0.5) / count[owner]
    spot = frame.coordinates(ends[owner, :2] + share[:, None] * edge[owner])
    return spot, length[owner] / count[owner], aspect[owner], owner


def _visible(spot: Floats, height: Floats, hidden: Layer, gsd_m: float) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which points are on the grid and above the shadow, and the columns of all."""
    rows, cols = (np.floor(spot[:, axis] / gsd_m).astype(np.int64) for axis in (0, 1))
    good = (rows >= 0) & (rows < hidden.shape[0]) & (cols >= 0) & (cols < hidden.shape[1])
    rows, cols = np.clip(rows, 0, hidden.shape[0] - 1), np.clip(cols, 0, hidden.shape[1] - 1)
    return good & (height >= hidden[rows, cols] - SMALL_M), cols
