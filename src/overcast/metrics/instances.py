"""Instance metrics: which footprints were found, one by one (the SpaceNet rule at IoU 0.5)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import shapes
from scipy import ndimage
from shapely import MultiPolygon, Polygon

from overcast.batch import IGNORE_LABEL
from overcast.metrics.counts import Matches
from overcast.polygons.watershed import separate_by_boundaries

Outline = Polygon | MultiPolygon
Pairs = Sequence[tuple[float, int]]
"""(IoU, position) of true footprints."""

MATCH_IOU = 0.5
SPACENET6_MIN_AREA_M2 = 20.0
"""80 pixels of 0.5 m: SpaceNet 6 leaves smaller footprints out on both sides."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One predicted footprint."""

    outline: Outline
    confidence: float
    """Mean probability over the footprint, 0 .. 1."""


@dataclass(frozen=True, slots=True)
class InstanceCounts(Matches):
    """Footprints by match. Counts add; ratios follow the convention of `overcast.metrics.pixel`."""


@dataclass(frozen=True, slots=True)
class Match:
    """A predicted and a true footprint that belong together."""

    prediction: int
    """Index into the predictions."""
    truth: int
    """Index into the true footprints."""
    iou: float


@dataclass(frozen=True, slots=True)
class Matching:
    """Who found whom."""

    matches: tuple[Match, ...]
    """Matches by falling confidence of the prediction."""
    predictions: tuple[int, ...]
    """Indices of the predictions that count (large enough), by falling confidence."""
    truths: tuple[int, ...]
    """Indices of the true footprints that count."""
    candidates: Mapping[int, Pairs]
    """Position in `predictions` -> (IoU, position in `truths`) of the pairs that reach the IoU asked for."""

    @property
    def counts(self) -> InstanceCounts:
        """True positives, false positives, false negatives."""
        found = len(self.matches)
        return InstanceCounts(found, len(self.predictions) - found, len(self.truths) - found)


def match_instances(
    predictions: Sequence[Instance],
    truths: Sequence[Outline],
    min_area: float = 0.0,
    match_iou: float = MATCH_IOU,
) -> Matching:
    """Match predictions to true footprints of one chip or one whole scene.

    Predictions take turns by falling confidence (equal ones in the order given); each takes the still unmatched
    footprint of the largest IoU, where that is at least `match_iou`. Outlines smaller than `min_area` (squared
    coordinate units) count on neither side. Invalid outlines are repaired first.
    """
    outlines = _repaired([instance.outline for instance in predictions])
    targets = _repaired(truths)
    confidence = np.array([instance.confidence for instance in predictions], np.float64)
    order = np.argsort(-confidence, kind="stable")
    order = order[shapely.area(outlines)[order] >= min_area]
    kept = np.flatnonzero(shapely.area(targets) >= min_area)
    candidates = _candidates(outlines[order], targets[kept], match_iou)
    matches = [
        Match(int(order[turn]), int(kept[position]), iou)
        for turn, position, iou in greedy(candidates, len(order), match_iou)
    ]
    return Matching(tuple(matches), tuple(order.tolist()), tuple(kept.tolist()), candidates)


def greedy(candidates: Mapping[int, Pairs], turns: int, match_iou: float) -> Iterator[tuple[int, int, float]]:
    """(turn, position, IoU): each turn takes the free position of largest IoU that is at least `match_iou`."""
    taken: set[int] = set()
    for turn in range(turns):
        pairs = candidates.get(turn, ())
        free = [(iou, -position) for iou, position in pairs if iou >= match_iou and position not in taken]
        if free:
            iou, negative = max(free)
            taken.add(-negative)
            yield turn, -negative, iou


def _repaired(outlines: Sequence[Outline]) -> NDArray[np.object_]:
    return np.asarray(shapely.make_valid(np.array(list(outlines), dtype=object)), dtype=object)


def _candidates(
    outlines: NDArray[np.object_], targets: NDArray[np.object_], match_iou: float
) -> defaultdict[int, list[tuple[float, int]]]:
    """For each outline the (IoU, target position) pairs that reach `match_iou`."""
    left, right = shapely.STRtree(targets).query(outlines, predicate="intersects")
    shared = shapely.area(shapely.intersection(outlines[left], targets[right]))
    union = shapely.area(outlines[left]) + shapely.area(targets[right]) - shared
    pairs: defaultdict[int, list[tuple[float, int]]] = defaultdict(list)
    for turn, position, part, whole in zip(left.tolist(), right.tolist(), shared.tolist(), union.tolist(), strict=True):
        if whole > 0 and part / whole >= match_iou:
            pairs[turn].append((part / whole, position))
    return pairs


def instances_from_probability(
    probability: NDArray[np.floating],
    valid: NDArray[np.bool_],
    gsd_m: float,
    threshold: float = 0.5,
    min_area_m2: float = 0.0,
    boundaries: NDArray[np.floating] | None = None,
) -> tuple[Instance, ...]:
    """Footprints of a chip: 4-connected components of valid pixels with `probability` (H, W) >= `threshold`.

    Outlines follow pixel edges, in metres from the upper left corner, y downwards. Components under `min_area_m2`
    are left out before they are traced. Buildings that touch in the mask are one component, unless `boundaries` (H, W),
    the probability of edge or contact, separates them.
    """
    inside = (probability >= threshold) & valid
    if boundaries is None:
        components, _ = ndimage.label(inside)  # scipy joins 4 neighbours
    else:
        components = separate_by_boundaries(inside, boundaries)
    components = components.astype(np.int32)
    size = np.bincount(components.ravel())
    mass = np.bincount(components.ravel(), weights=probability.ravel())
    large = size * gsd_m**2 >= min_area_m2
    large[0] = False  # 0 is the background
    traced = shapes(components, mask=large[components], connectivity=4, transform=Affine.scale(gsd_m))
    return tuple(
        Instance(Polygon(ring["coordinates"][0], ring["coordinates"][1:]), float(mass[int(index)] / size[int(index)]))
        for ring, index in traced
    )


def outlines_of_instances(
    instances: NDArray[np.int32], label: NDArray[np.integer], gsd_m: float, min_area_m2: float = 0.0
) -> tuple[Outline, ...]:
    """True footprints of a chip by their numbers (H, W), where `label` (H, W) is 1: what nodata hides is left out.

    A building in pieces is one footprint. Coordinates are those of `instances_from_probability`.
    """
    seen = np.where(label == 1, instances, 0).astype(np.int32)
    large = np.bincount(np.maximum(seen, 0).ravel()) * gsd_m**2 >= min_area_m2
    mask = (seen > 0) & large[np.maximum(seen, 0)]
    pieces: defaultdict[int, list[Polygon]] = defaultdict(list)
    for ring, number in shapes(seen, mask=mask, connectivity=4, transform=Affine.scale(gsd_m)):
        pieces[int(number)].append(Polygon(ring["coordinates"][0], ring["coordinates"][1:]))
    return tuple(parts[0] if len(parts) == 1 else MultiPolygon(parts) for _, parts in sorted(pieces.items()))


def outlines_from_label(label: NDArray[np.integer], gsd_m: float, min_area_m2: float = 0.0) -> tuple[Outline, ...]:
    """True footprints of a chip: components of `label` (H, W) == 1, traced as in `instances_from_probability`.

    255 is nodata: of a footprint that reaches into it, the visible part remains.
    """
    truth = (label == 1).astype(np.float32)
    found = instances_from_probability(truth, label != IGNORE_LABEL, gsd_m, min_area_m2=min_area_m2)
    return tuple(instance.outline for instance in found)
