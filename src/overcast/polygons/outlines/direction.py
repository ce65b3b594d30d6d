"""The dominant direction of a group of touching buildings, modulo a quarter turn.

Angles are unit vectors and arithmetic keeps to sums, products and square roots of reals: they round alike wherever a
value lies in an array, so a building's direction does not depend on what else is looked at with it.
"""

from __future__ import annotations

import numpy as np

from overcast.polygons.columns import sums
from overcast.polygons.outlines.loops import Floats, Ids, Walls

ROUNDS = 2
"""Times that the walls are weighed anew by how well they fit the direction found so far."""


def dominant_direction(walls: Walls, group: Ids, count: int) -> Floats:
    """(count, 2) unit vectors of groups, within 45 degrees of the x axis; the x axis for a group without walls.

    The mean of four times the angle, in which directions a quarter turn apart are one, weighted by the square of a
    wall's length (the error of its direction falls with its length); walls that do not fit the mean lose weight.

    Args:
        walls: W walls.
        group: (W,) group of each.
        count: Number of groups.
    """
    unit = walls.chord / np.maximum(walls.length, 1e-12)[:, None]
    fourfold, weight = _doubled(_doubled(unit)), walls.length**2
    mean = _mean(fourfold, weight, group, count)
    for _ in range(ROUNDS):
        fit = np.maximum((fourfold * mean[group]).sum(axis=1), 0)
        mean = _mean(fourfold, weight * fit**2, group, count)
    return _halved(_halved(mean))


def turned(xy: Floats, unit: Floats) -> Floats:
    """Vectors (N, 2) turned by the angles of unit vectors (N, 2)."""
    x, y, c, s = xy[:, 0], xy[:, 1], unit[:, 0], unit[:, 1]
    return np.stack([x * c - y * s, x * s + y * c], axis=1)


def mirrored(unit: Floats) -> Floats:
    """The opposite angles."""
    return np.stack([unit[:, 0], -unit[:, 1]], axis=1)


def _mean(values: Floats, weight: Floats, group: Ids, count: int) -> Floats:
    total = np.stack([sums(group, weight * values[:, k], count) for k in (0, 1)], axis=1)
    size = np.sqrt(total[:, 0] ** 2 + total[:, 1] ** 2)[:, None]
    mean: Floats = np.where(size > 1e-9, total / np.maximum(size, 1e-9), [1.0, 0.0])
    return mean


def _doubled(unit: Floats) -> Floats:
    return turned(unit, unit)


def _halved(unit: Floats) -> Floats:
    cosine = np.sqrt(np.maximum((1 + unit[:, 0]) / 2, 0))
    sine = np.sqrt(np.maximum((1 - unit[:, 0]) / 2, 0))
    return np.stack([cosine, np.copysign(sine, unit[:, 1])], axis=1)
