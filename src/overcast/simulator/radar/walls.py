"""Walls that face the radar, sampled along their exact outlines (not along the raster's staircase)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overcast.simulator.city.geometry import City, Floats
from overcast.simulator.radar.geometry import Layer, RadarFrame
from overcast.simulator.scene import Scene

FLOOR_M = 2.8
FACADE_DB = -6.0
"""Backscatter of plain facade per square metre at normal incidence."""
WINDOW_DB = 9.0
"""Backscatter of window and balcony corners per square metre at normal incidence."""
DIHEDRAL_DB = 8.0
"""Dihedral return per square metre of wall that faces the radar squarely."""
DIHEDRAL_WIDTH_RAD = np.radians(7.0)
"""Aspect angle at which a real, uneven dihedral has fallen to 1/e."""
DIHEDRAL_PEDESTAL = 0.02
"""What is left of it at oblique aspect, times cos^4."""

BUILDING_SPREAD = 0.9
"""Log-deviation of the brightness of walls between buildings."""
WALL_SPREAD = 0.5
"""Log-deviation of brightness between the walls of one building."""


@dataclass(frozen=True)
class WallSamples:
    """Vertical lines on walls, N of them."""

    range_m: Floats
    """Ground range of the wall."""
    column: NDArray[np.int64]
    row_front: NDArray[np.int64]
    """Cell just before the wall."""
    col_front: NDArray[np.int64]
    foot: Floats
    """Height of the ground or lower roof before the wall."""
    bottom: Floats
    """Lowest height that is neither behind that nor in shadow."""
    top: Floats
    length: Floats
    """Metres of wall that the line stands for."""
    aspect: Floats
    """Cosine between the wall's normal and the direction to the radar, 0..1."""
    along: Floats
    """Position along the wall, metres."""
    gain: Floats
    """Brightness of this wall's material relative to the mean."""
    pitch: Floats
    """Distance between window columns, metres; 0 for walls without windows (tanks, containers)."""

    def facade(self, owner: NDArray[np.int64], z: Floats, incidence_deg: float) -> Floats:
        """Power per square metre of wall at heights z of lines `owner`: plain facade and a grid of window corners."""
        local = np.sin(np.radians(incidence_deg)) * self.aspect[owner]
        pitch = self.pitch[owner]
        across = (self.along[owner] / np.maximum(pitch, 0.1)) % 1 - 0.5
        floor = (z / FLOOR_M) % 1 - 0.5
        window = np.where(pitch > 0, np.exp(-((across / 0.14) ** 2) - (floor / 0.14) ** 2), 0.0)
        power = 10 ** (FACADE_DB / 10) + 10 ** (WINDOW_DB / 10) * window * self.aspect[owner] ** 2
        return np.asarray(power * local**2 * self.gain[owner])

    def dihedral(self) -> Floats:
        """Power per square metre of wall that returns by way of the ground, by aspect angle."""
        angle = np.arccos(np.clip(self.aspect, 0, 1))
        lobe = np.exp(-((angle / DIHEDRAL_WIDTH_RAD) ** 2)) + DIHEDRAL_PEDESTAL * self.aspect**4
        return np.asarray(10 ** (DIHEDRAL_DB / 10) * lobe * self.gain)


def wall_samples(city: City, scene: Scene, frame: RadarFrame, hidden: Layer, rng: np.random.Generator) -> WallSamples:
    """Lines on all walls of buildings and structures that face the radar and rise above what is before them."""
    outlines = [frame.coordinates(ring) for b in city.buildings for ring in b.rings]
    outlines += [frame.coordinates(s.outline) for s in city.structures]
    starts, ends = _edges(outlines)
    edge = ends - starts
    length = np.maximum(np.hypot(*edge.T), 1e-9)
    normal = _outward(edge, frame) / length[:, None]
    facing = normal[:, 0] < -1e-3
    gain = _wall_gain(outlines, city, rng)
    pitch = rng.uniform(2.2, 3.8, len(starts))
    pitch[sum(len(outline) for outline in outlines[: len(outlines) - len(city.structures)]) :] = 0
    return _sample(starts[facing], edge[facing], normal[facing], (gain[facing], pitch[facing]), scene, hidden)


def _wall_gain(outlines: list[Floats], city: City, rng: np.random.Generator) -> Floats:
    """Brightness of each wall: its building's, common to all walls of it, times its own."""
    rings = [len(b.rings) for b in city.buildings] + [1] * len(city.structures)
    common = np.repeat(BUILDING_SPREAD * rng.standard_normal(len(rings)), rings)
    own = np.repeat(common, [len(outline) for outline in outlines])
    return np.asarray(np.exp(own + WALL_SPREAD * rng.standard_normal(len(own))))


def _edges(outlines: list[Floats]) -> tuple[Floats, Floats]:
    if not outlines:
        return np.empty((0, 2)), np.empty((0, 2))
    return np.concatenate(outlines), np.concatenate([np.roll(outline, -1, axis=0) for outline in outlines])


def _outward(edge: Floats, frame: RadarFrame) -> Floats:
    """Outward normals (range, azimuth) of edges that have the inside on their left on the map."""
    (re, rn), (ae, an) = frame.range_direction, frame.azimuth_direction
    handed = np.sign(re * an - rn * ae)
    return np.asarray(np.stack([edge[:, 1], -edge[:, 0]], 1) * handed)


def _sample(
    starts: Floats, edge: Floats, normal: Floats, look: tuple[Floats, Floats], scene: Scene, hidden: Layer
) -> WallSamples:
    gsd_m = scene.grid.gsd_m
    length = np.hypot(*edge.T)
    count = np.maximum(1, np.ceil(length / (gsd_m / 2))).astype(np.int64)
    owner = np.repeat(np.arange(len(count)), count)
    nth = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    share = (nth + 0.5) / count[owner]
    at = starts[owner] + share[:, None] * edge[owner]
    front = np.floor((at + 0.8 * gsd_m * normal[owner]) / gsd_m).astype(np.int64)
    back = np.floor((at - 0.8 * gsd_m * normal[owner]) / gsd_m).astype(np.int64)
    rows, cols = scene.solid.shape
    good = np.ones(len(owner), bool)
    for cell in (front, back):
        good &= (cell >= 0).all(1) & (cell[:, 0] < rows) & (cell[:, 1] < cols)
    owner, at, front, back, share = owner[good], at[good], front[good], back[good], share[good]
    foot = scene.solid[front[:, 0], front[:, 1]].astype(float)
    top = scene.solid[back[:, 0], back[:, 1]].astype(float)
    bottom = np.maximum(foot, hidden[front[:, 0], front[:, 1]])
    seen = top > bottom + 0.3
    owner, at, front, share = owner[seen], at[seen], front[seen], share[seen]
    return WallSamples(
        range_m=at[:, 0],
        column=np.floor(at[:, 1] / gsd_m).astype(np.int64),
        row_front=front[:, 0],
        col_front=front[:, 1],
        foot=foot[seen],
        bottom=bottom[seen],
        top=top[seen],
        length=(length / count)[owner],
        aspect=-normal[owner, 0],
        along=share * length[owner],
        gain=look[0][owner],
        pitch=look[1][owner],
    )
