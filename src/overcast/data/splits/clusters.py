"""Places for chips without georeference, found from what the chips look like.

Two chips belong to one place where they are near-duplicates (their thumbnails correlate), or where they are
neighbours cut from one scene (the edge of one continues in the edge of the other, in all layers at once, and each is
the other's best match). Places are the connected components of these links.

Measured on OMBRIA (694 chips of 256 pixels; layers: Sentinel-1 before and after, Sentinel-2). It holds no
near-duplicates: the highest correlation of two thumbnails is 0.94, of dark Sentinel-1 chips that show neighbouring
ground; near-duplicates alone leave every chip its own place. Seams recover the mosaics that the chips were cut from:
61 places, the largest of 90 chips, each a run of neighbouring chip numbers although numbers are not looked at. 69 of
the 70 published test chips come from a mosaic that also has training chips. `stability` shows the choice of threshold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from overcast.data.chips import Chip
from overcast.errors import ConfigError, InputError
from overcast.raster.files import open_raster, reading, require_readable

Floats = NDArray[np.float32]
ROWS = 1024
"""Chips compared at once: bounds the memory of the comparison to ROWS x N."""


@dataclass(frozen=True)
class ClusterOptions:
    """When two chips belong together."""

    duplicate: float = 0.95
    """Correlation of thumbnails, in any layer, from which two chips are near-duplicates."""
    seam: float | None = 0.7
    """Mean correlation over the layers from which two edges continue each other; None: near-duplicates alone."""

    def __post_init__(self) -> None:
        for value in (self.duplicate, 1.0 if self.seam is None else self.seam):
            if not 0 < value <= 1:
                raise ConfigError(f"a correlation threshold must lie above 0 and not above 1, got {value:g}.")


@dataclass(frozen=True)
class Appearance:
    """What N chips of L layers (files) look like; each vector has zero mean and unit length, or is zero if flat."""

    thumbnails: Floats
    """(L, N, T x T)."""
    edges: Floats
    """(4, L, N, S): left, right, top, bottom."""


@dataclass(frozen=True)
class Stability:
    """What the clusters are at one setting."""

    options: ClusterOptions
    clusters: int
    largest: int
    """Chips in the largest cluster."""
    single: int
    """Chips that are clusters of their own."""


def cluster_places(chips: Sequence[Chip], options: ClusterOptions | None = None) -> tuple[Chip, ...]:
    """The chips with `place` replaced: `with <key>`, the least key of the chips that belong together.

    To take validation from the training folder of a published split, cluster both folders but give the new places to
    the training chips only; where the test folder's chips get them too, training chips of their places are dropped.

    Raises:
        InputError: A file cannot be read, or chips have different numbers of files.
    """
    labels = cluster_labels(read_appearance(chips), options or ClusterOptions())
    least: dict[int, str] = {}
    for label, chip in zip(labels.tolist(), chips, strict=True):
        least[label] = min(least.get(label, chip.key), chip.key)
    return tuple(
        replace(chip, place=f"with {least[label]}") for label, chip in zip(labels.tolist(), chips, strict=True)
    )


def read_appearance(chips: Sequence[Chip], thumbnail_px: int = 32, edge_samples: int = 128) -> Appearance:
    """Read every SAR and optical file once.

    Bands are averaged; what is not finite counts as 0. An edge is two pixels deep.

    Raises:
        InputError: No chips, a file cannot be read, or chips have different numbers of files.
    """
    if not chips:
        raise InputError("no chips were given to cluster; check the folder.")
    layers = len(_files(chips[0]))
    thumbnails = np.empty((layers, len(chips), thumbnail_px**2), np.float32)
    edges = np.empty((4, layers, len(chips), edge_samples), np.float32)
    for n, chip in enumerate(chips):
        if len(_files(chip)) != layers:
            raise InputError(f"chip {chip.key} has {len(_files(chip))} image files, others {layers}; complete it.")
        for layer, path in enumerate(_files(chip)):
            with open_raster(path) as dataset, reading(path):
                require_readable(path, dataset.height, dataset.width)
                image = np.nan_to_num(dataset.read().astype(np.float32), posinf=0, neginf=0).mean(axis=0)
            thumbnails[layer, n] = _area_mean(_area_mean(image, thumbnail_px).T, thumbnail_px).reshape(-1)
            sides = (
                image[:, :2].mean(axis=1),
                image[:, -2:].mean(axis=1),
                image[:2].mean(axis=0),
                image[-2:].mean(axis=0),
            )
            edges[:, layer, n] = [_area_mean(side, edge_samples) for side in sides]
    return Appearance(_normalise(thumbnails), _normalise(edges))


def cluster_labels(appearance: Appearance, options: ClusterOptions) -> NDArray[np.int64]:
    """(N,): number of each chip's cluster."""
    links = [_duplicates(appearance.thumbnails, options.duplicate)]
    if options.seam is not None:
        left, right, top, bottom = appearance.edges
        links += [_seams(right, left, options.seam), _seams(bottom, top, options.seam)]
    pairs = np.concatenate(links)
    count = appearance.thumbnails.shape[1]
    graph = coo_matrix((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def stability(appearance: Appearance, settings: Sequence[ClusterOptions]) -> tuple[Stability, ...]:
    """Clusters at each setting: choose thresholds in a range over which they hardly change.

    OMBRIA, training and test chips together, clusters (chips in the largest) by seam threshold: 44 (202) at 0.5,
    52 (103) at 0.6, 57 (100) at 0.65, 61 (90) at 0.7, 66 (90) at 0.75, 74 (90) at 0.8, 93 (87) at 0.85, 195 (64) at
    0.9. Below 0.65 mosaics merge, above 0.8 they fall apart; between, only small clusters change. The training chips
    alone, with holes where the test chips were, make 73 clusters at 0.65, 78 at 0.7, 88 at 0.8.
    """
    rows = []
    for options in settings:
        sizes = np.bincount(cluster_labels(appearance, options))
        rows.append(Stability(options, len(sizes), int(sizes.max()), int((sizes == 1).sum())))
    return tuple(rows)


def _duplicates(thumbnails: Floats, threshold: float) -> NDArray[np.int64]:
    """Pairs (P, 2) whose thumbnails correlate at least that much in one layer."""
    found = [np.empty((0, 2), np.int64)]
    for rows in _chunks(thumbnails.shape[1]):
        close = np.logical_or.reduce([layer[rows] @ layer.T >= threshold for layer in thumbnails])
        first, second = np.nonzero(close)
        found.append(np.column_stack([first + rows.start, second]))
    return np.concatenate(found)


def _seams(ends: Floats, starts: Floats, threshold: float) -> NDArray[np.int64]:
    """Pairs (P, 2) of chips where the end of one and the start of the other are each other's best continuation.

    Args:
        ends: (L, N, S) right or bottom edges.
        starts: (L, N, S) left or top edges.
        threshold: Least mean correlation over the layers.
    """
    layers, count, _ = ends.shape
    follower, leader = np.zeros(count, np.int64), np.zeros(count, np.int64)
    best, best_leader = np.full(count, -np.inf, np.float32), np.full(count, -np.inf, np.float32)
    for rows in _chunks(count):
        score = np.sum([end[rows] @ start.T for end, start in zip(ends, starts, strict=True)], axis=0) / layers
        own = np.arange(rows.start, rows.stop)
        score[own - rows.start, own] = -np.inf
        follower[rows], best[rows] = score.argmax(axis=1), score.max(axis=1)
        better = score.max(axis=0) > best_leader
        leader = np.where(better, score.argmax(axis=0) + rows.start, leader)
        best_leader = np.maximum(best_leader, score.max(axis=0))
    chips = np.arange(count)
    mutual = (leader[follower] == chips) & (best >= threshold)
    return np.column_stack([chips[mutual], follower[mutual]])


def _chunks(count: int) -> Iterator[slice]:
    for start in range(0, count, ROWS):
        yield slice(start, min(start + ROWS, count))


def _normalise(vectors: Floats) -> Floats:
    """Zero mean and unit length along the last axis; zero where the vector is flat."""
    centred = vectors - vectors.mean(axis=-1, keepdims=True)
    length = np.linalg.norm(centred, axis=-1, keepdims=True)
    flat = length <= 1e-5 * np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(np.where(flat, 0, centred / np.where(flat, 1, length)), np.float32)


def _area_mean(values: Floats, samples: int) -> Floats:
    """(..., samples): means over equal pieces of the last axis, whose limits may cut pixels."""
    pixels = values.shape[-1]
    total = np.cumsum(values, axis=-1, dtype=np.float64) - values  # up to the start of each pixel
    limits = np.linspace(0, pixels, samples + 1)
    pixel = np.minimum(limits.astype(np.intp), pixels - 1)
    integral = total[..., pixel] + (limits - pixel) * values[..., pixel]
    return np.asarray(np.diff(integral, axis=-1) * (samples / pixels), np.float32)


def _files(chip: Chip) -> tuple[Path, ...]:
    return (*chip.sar, *chip.optical)
