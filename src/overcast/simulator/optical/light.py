"""Rays over a height raster: cast shadows of the sun and the oblique view of a camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Layer = NDArray[np.float32]


def azimuth_vector(azimuth_deg: float) -> tuple[float, float]:
    """Unit vector (row, col) of a compass direction on a north-up raster: north is row -1.

    >>> azimuth_vector(180.0)[0]
    1.0
    """
    angle = np.radians(azimuth_deg)
    return float(-np.cos(angle)), float(np.sin(angle))


def cast_shadow(heights: Layer, gsd_m: float, sun_azimuth_deg: float, sun_elevation_deg: float) -> NDArray[np.bool_]:
    """(H, W) True where the sun is hidden. A vertical edge of height h hides h / tan(elevation) of flat ground.

    The raster is sheared until sun rays run along columns; a running maximum of height + distance x tan(elevation)
    then finds the shadows of the whole image at once.
    """
    row, col = azimuth_vector(sun_azimuth_deg)
    if abs(row) < abs(col):
        return cast_shadow(heights.T.copy(), gsd_m, 270.0 - sun_azimuth_deg, sun_elevation_deg).T
    if row > 0:
        return cast_shadow(heights[::-1].copy(), gsd_m, 180.0 - sun_azimuth_deg, sun_elevation_deg)[::-1]
    drift = col / row
    fall = float(np.tan(np.radians(sun_elevation_deg)) * gsd_m / abs(row))
    rows, cols = heights.shape
    offsets = np.rint(np.arange(rows) * drift).astype(int)
    offsets -= offsets.min()
    sheared = np.zeros((rows, cols + int(offsets.max())), np.float32)
    for i, offset in enumerate(offsets):
        sheared[i, int(offsets.max()) - offset : int(offsets.max()) - offset + cols] = heights[i]
    sheared += (np.arange(rows, dtype=np.float32) * np.float32(fall))[:, None]
    blocked = np.maximum.accumulate(sheared, axis=0)
    hidden = np.zeros(sheared.shape, bool)
    hidden[1:] = blocked[:-1] > sheared[1:] + np.float32(1e-3)
    out = np.empty(heights.shape, bool)
    for i, offset in enumerate(offsets):
        out[i] = hidden[i, int(offsets.max()) - offset : int(offsets.max()) - offset + cols]
    return out


@dataclass(frozen=True)
class View:
    """What the camera sees in each pixel."""

    row: NDArray[np.int32]
    """(H, W) row of the ground cell that is hit."""
    col: NDArray[np.int32]
    height: Layer
    """Height of the point that is hit, metres."""
    wall: NDArray[np.bool_]
    """True where a vertical side is hit, not the top."""


def oblique_view(heights: Layer, gsd_m: float, off_nadir_deg: float, azimuth_deg: float) -> View:
    """The orthorectified (to height 0) image of a tilted camera: tops are displaced by h tan(off_nadir) to `azimuth`.

    From the highest plane down, the ray through pixel p passes p - z tan(off_nadir) azimuth; the first z at which the
    height raster reaches up to the ray is seen.
    """
    rows, cols = heights.shape
    row_unit, col_unit = azimuth_vector(azimuth_deg)
    per_step = gsd_m / max(np.tan(np.radians(off_nadir_deg)), 1e-9)
    steps = int(np.ceil(float(heights.max()) / per_step)) if off_nadir_deg > 0 else 0
    found = np.full(heights.shape, -1, np.int16)
    for step in range(steps, 0, -1):
        dr, dc = round(step * row_unit), round(step * col_unit)
        r0, r1 = max(0, dr), min(rows, rows + dr)
        c0, c1 = max(0, dc), min(cols, cols + dc)
        if r0 >= r1 or c0 >= c1:
            continue
        source = heights[r0 - dr : r1 - dr, c0 - dc : c1 - dc]
        target = found[r0:r1, c0:c1]
        hit = source >= np.float32((step - 0.5) * per_step)
        hit &= target < 0
        target[hit] = step
    np.maximum(found, 0, out=found)
    shift_r = np.rint(np.arange(steps + 1) * row_unit).astype(np.int32)[found]
    shift_c = np.rint(np.arange(steps + 1) * col_unit).astype(np.int32)[found]
    row = np.arange(rows, dtype=np.int32)[:, None] - shift_r
    col = np.arange(cols, dtype=np.int32)[None, :] - shift_c
    top = heights[row, col]
    height = np.minimum(top, found * np.float32(per_step))
    wall = top - found * np.float32(per_step) > 0.75 * per_step
    return View(row, col, height.astype(np.float32), wall & (found >= 0))
