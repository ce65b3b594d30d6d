"""Places of radar and scene in Earth-fixed metres, as Capella's metadata give them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from overcast.errors import RadiometryError

LOWEST_GROUND_M, HIGHEST_GROUND_M, HIGHEST_RADAR_M = 6.35e6, 6.40e6, 6e7
"""Distances from the Earth's centre."""
NEAREST_M = 1000.0
"""Between radar and scene."""


def at(content: Any, *keys: str) -> Any:
    """What lies under keys within each other; None where there is nothing."""
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content


def positions(content: Any, name: str, scene: str) -> Iterator[tuple[tuple[float, ...], tuple[float, ...]]]:
    """Capella: place of the radar in the middle of the take, and of the scene's centre.

    Raises RadiometryError where either is no such place.
    """
    vectors = at(content, "collect", "state", "state_vectors")
    frame = at(content, "collect", "state", "coordinate_system", "type")
    target = at(content, "collect", "image", "center_pixel", "target_position")
    if frame != "ecef" or not isinstance(vectors, list) or not vectors or not isinstance(target, list):
        return
    radar = _place(at(vectors[len(vectors) // 2], "position"), HIGHEST_RADAR_M)
    ground = _place(target, HIGHEST_GROUND_M)
    if radar is None or ground is None or math.dist(radar, ground) < NEAREST_M:
        raise RadiometryError(
            f"{scene}: {name} gives a position of the radar or of the scene that is nowhere near the Earth; "
            "say where the radar looked with --look-azimuth DEGREES."
        )
    yield radar, ground


def _place(value: Any, highest_m: float) -> tuple[float, ...] | None:
    """Three Earth-fixed coordinates in metres between the poles' ground and `highest_m` from the Earth's centre."""
    if not isinstance(value, list) or len(value) != 3:
        return None
    if not all(isinstance(part, int | float) and abs(part) <= HIGHEST_RADAR_M for part in value):
        return None
    return tuple(map(float, value)) if LOWEST_GROUND_M <= math.hypot(*value) <= highest_m else None
