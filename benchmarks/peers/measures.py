"""A tiled result against the untiled one: seams, polygons cut at tile borders, agreement of the masks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.features import rasterize

THRESHOLD = 0.5
LEAST_RUN_PX = 3
"""A side of a polygon on a tile border counts from this length."""
FRAME_PX = 128
"""At the scene's own border peers pad differently, which is not what is compared."""
ASIDE_PX = 11
"""Lines this far from tile borders serve as control."""

Lines = tuple[tuple[int, ...], tuple[int, ...]]
"""Rows and columns; line r lies between pixels r - 1 and r."""


@dataclass(frozen=True)
class Result:
    """The files of one peer as arrays."""

    probability: NDArray[np.float32]
    """(H, W)."""
    polygon: NDArray[np.int32]
    """(H, W): number of the polygon that covers the pixel's centre, from 1; 0 for none."""
    count: int
    """Polygons."""

    @classmethod
    def read(cls, folder: Path) -> Result:
        """Of probability.tif and footprints.*."""
        with rasterio.open(folder / "probability.tif") as source:
            stored, transform, crs = source.read(1), source.transform, source.crs
            probability = (stored * source.scales[0]).astype(np.float32)  # the scene has no gaps, so no nodata
        (path,) = (one for one in folder.glob("footprints.*") if one.suffix in {".gpkg", ".geojson"})
        table = geopandas.read_file(path).to_crs(crs).explode()
        numbered = zip(table.geometry, range(1, len(table) + 1), strict=True)
        polygon = rasterize(numbered, probability.shape, transform=transform, dtype="int32") if len(table) else None
        return cls(probability, np.zeros(probability.shape, np.int32) if polygon is None else polygon, len(table))


def seam(probability: NDArray[np.float32], borders: Lines) -> float | None:
    """Mean absolute jump of the probability across tile borders over that elsewhere; None without borders."""
    at, elsewhere = [], []
    for axis, lines in enumerate(borders):
        jumps = np.abs(np.diff(probability, axis=axis)).mean(axis=1 - axis, dtype=np.float64)
        chosen = np.zeros(len(jumps), np.bool_)
        chosen[[line - 1 for line in lines]] = True
        at.append(jumps[chosen])
        elsewhere.append(jumps[~chosen])
    if not sum(map(len, at)):
        return None
    return float(np.concatenate(at).mean() / np.concatenate(elsewhere).mean())


def cut(polygon: NDArray[np.int32], reference: NDArray[np.bool_], borders: Lines) -> int:
    """Polygons that end along a line, for at least three pixels in a row, where the untiled building goes on."""
    cut_ones: set[int] = set()
    for polygons, mask, lines in ((polygon, reference, borders[0]), (polygon.T, reference.T, borders[1])):
        for line in lines:
            before, after = polygons[line - 1], polygons[line]
            ends = mask[line - 1] & mask[line] & (before != after)
            cut_ones.update(np.where(before > 0, before, after)[_long_runs(ends)].tolist())
    return len(cut_ones)


def _long_runs(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(N,) True where at least `LEAST_RUN_PX` neighbours in a row are True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    kept = np.zeros(len(flags), np.bool_)
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        kept[first:end] = end - first >= LEAST_RUN_PX
    return kept


def aside(borders: Lines, shape: tuple[int, int]) -> Lines:
    """As many lines that are no borders."""
    rows, cols = (
        tuple(line + ASIDE_PX for line in lines if line + ASIDE_PX < length and line + ASIDE_PX not in lines)
        for lines, length in zip(borders, shape, strict=True)
    )
    return rows, cols


def framed(result: Result) -> Result:
    """Without the frame."""
    inner = (slice(FRAME_PX, -FRAME_PX),) * 2
    return Result(result.probability[inner], result.polygon[inner], result.count)


def within(borders: Lines, shape: tuple[int, int]) -> Lines:
    """Borders inside the frame, counted from it."""
    rows, cols = (
        tuple(line - FRAME_PX for line in lines if FRAME_PX < line < length - FRAME_PX)
        for lines, length in zip(borders, shape, strict=True)
    )
    return rows, cols


def compare(found: Result, reference: Result, borders: Lines) -> dict[str, float | None]:
    """Everything that the table says about a result; a frame along the scene's border is left out."""
    found, reference, borders = framed(found), framed(reference), within(borders, found.probability.shape)
    mask, expected = found.probability >= THRESHOLD, reference.probability >= THRESHOLD
    control = aside(borders, mask.shape)
    return {
        "seam": seam(found.probability, borders),
        "seam_untiled": seam(reference.probability, borders),
        "cut": cut(found.polygon, expected, borders),
        "cut_aside": cut(found.polygon, expected, control),
        "iou": float((mask & expected).sum() / (mask | expected).sum()),
        "difference": float(np.abs(found.probability - reference.probability).mean(dtype=np.float64)),
        "polygons": found.count,
    }
