"""PoLiS distance of two outlines (Avbelj, Mueller, Bamler, IEEE GRSL 2015)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import MultiPolygon, Polygon

from overcast.metrics.counts import Count, Sum, Sums


@dataclass(frozen=True, slots=True)
class PolisSum(Sums):
    """Distances of matched pairs, in metres, and their number. Sums add."""

    total_m: Sum = 0.0
    pairs: Count = 0

    @property
    def mean_m(self) -> float | None:
        """Mean distance of the matched pairs; None without any. Meaningless without the match rate beside it."""
        return self.total_m / self.pairs if self.pairs else None


def vertices(outline: Polygon | MultiPolygon) -> NDArray[np.float64]:
    """(N, 2) corners of all rings, the repeated closing point of each ring left out.

    >>> len(vertices(shapely.box(0, 0, 1, 1)))
    4
    """
    rings = shapely.get_rings(shapely.get_parts(outline))
    return np.concatenate([shapely.get_coordinates(ring)[:-1] for ring in rings])


def polis(a: Polygon | MultiPolygon, b: Polygon | MultiPolygon) -> float:
    """Mean of two means: corners of `a` to the boundary of `b`, and corners of `b` to the boundary of `a`.

    Symmetric, 0 for equal outlines, in the unit of the coordinates (equation 2 of the paper). Each mean divides by
    the number of corners n; code that counts the closing point too divides by n + 1.

    >>> polis(shapely.box(0, 0, 4, 4), shapely.box(1, 0, 5, 4))
    0.5
    """
    to_b = shapely.distance(shapely.points(vertices(a)), b.boundary)
    to_a = shapely.distance(shapely.points(vertices(b)), a.boundary)
    return float(to_b.mean() + to_a.mean()) / 2
