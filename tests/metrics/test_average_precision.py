"""COCO AP: hand-worked cases and an independent implementation."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import shapely
from faster_coco_eval import COCO, COCOeval_faster
from faster_coco_eval import mask as coco_mask

from overcast.metrics.average_precision import IOU_THRESHOLDS, Detections, detections
from overcast.metrics.instances import Instance, instances_from_probability, match_instances, outlines_from_label

SIDE = 96

Outline = shapely.Polygon | shapely.MultiPolygon


def _found(claims: Sequence[Instance], truths: Sequence[Outline]) -> Detections:
    matching = match_instances(claims, truths)
    confidences = [claims[index].confidence for index in matching.predictions]
    return detections(confidences, matching.candidates, len(matching.truths))


def test_hand_worked_average_precision() -> None:
    """By falling confidence: hit, miss, hit; of three footprints two are found, so precision is 1 up to a recall of 1/3
    (34 of the 101 recalls), 2/3 up to 2/3 (33 of them), then 0."""
    truths = [shapely.box(10 * k, 0, 10 * k + 6, 6) for k in range(3)]
    claims = [
        Instance(truths[0], 0.9),
        Instance(shapely.box(0, 50, 6, 56), 0.8),
        Instance(truths[1], 0.7),
    ]
    found = _found(claims, truths)
    assert [found.ap50, found.ap] == pytest.approx([(34 * 1 + 33 * 2 / 3) / 101] * 2)


def test_a_prediction_counts_up_to_its_own_overlap() -> None:
    """IoU 0.72: found at 0.50 .. 0.70, five of ten thresholds."""
    found = _found([Instance(shapely.box(0, 0, 10, 7.2), 0.9)], [shapely.box(0, 0, 10, 10)])
    assert (found.ap50, found.ap) == (1.0, pytest.approx(0.5))


def test_three_hundred_perfect_buildings_score_one() -> None:
    """With the usual limit of 100 detections they score 0.337."""
    truths = [shapely.box(10 * (k % 20), 10 * (k // 20), 10 * (k % 20) + 6, 10 * (k // 20) + 6) for k in range(300)]
    assert _found([Instance(truth, 0.5) for truth in truths], truths).ap == 1.0


def test_nothing_to_find_has_no_average_precision() -> None:
    assert Detections().ap is None
    assert _found([Instance(shapely.box(0, 0, 1, 1), 0.5)], []).ap50 is None
    assert _found([], [shapely.box(0, 0, 1, 1)]).ap == 0


def _chip(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probability and label with houses found, missed, shifted and invented."""
    rng = np.random.default_rng(seed)
    label, probability = np.zeros((SIDE, SIDE), np.uint8), np.full((SIDE, SIDE), 0.1, np.float32)
    for row in range(4, SIDE - 20, 18):
        for col in range(4, SIDE - 20, 18):
            height, width = rng.integers(6, 13, 2)
            label[row : row + height, col : col + width] = rng.random() < 0.8
            dr, dc = rng.integers(-1, 2, 2) * rng.integers(0, 2)
            if rng.random() < 0.85:
                part = (slice(row + dr, row + dr + height), slice(col + dc, col + dc + width))
                probability[part] = 0.5 + rng.random() / 2
    return probability, label


def _reference(chips: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """AP by threshold of faster-coco-eval, with masks."""
    truths: list[dict[str, Any]] = []
    claims: list[dict[str, Any]] = []
    for image, (probability, label) in enumerate(chips):
        for outline in outlines_from_label(label, 1.0):
            rle = _rle(outline)
            truths.append(
                {"image_id": image, "category_id": 1, "segmentation": rle, "iscrowd": 0, "id": len(truths) + 1}
            )
            truths[-1] |= {"area": float(coco_mask.area(rle)), "bbox": list(coco_mask.toBbox(rle))}
        for found in instances_from_probability(probability, label != 255, 1.0):
            score = float(np.float32(found.confidence))
            claims.append({"image_id": image, "category_id": 1, "segmentation": _rle(found.outline), "score": score})
    images = [{"id": image, "height": SIDE, "width": SIDE} for image in range(len(chips))]
    with contextlib.redirect_stdout(io.StringIO()):
        ground = COCO({"images": images, "annotations": truths, "categories": [{"id": 1, "name": "building"}]})
        judge = COCOeval_faster(ground, ground.loadRes(claims), "segm")
        judge.params.maxDets = [1, 10, 1000]
        judge.evaluate()
        judge.accumulate()
    return np.asarray(judge.eval["precision"])[:, :, 0, 0, 2].mean(1)


def _rle(outline: Outline) -> dict[str, object]:
    rows, cols = np.mgrid[:SIDE, :SIDE] + 0.5
    inside = shapely.contains_xy(outline, cols.ravel(), rows.ravel()).reshape(SIDE, SIDE)
    return coco_mask.encode(np.asfortranarray(inside.astype(np.uint8)))


def test_agrees_with_an_independent_implementation() -> None:
    chips = [_chip(seed) for seed in range(4)]
    total = Detections()
    for probability, label in chips:
        claims = list(instances_from_probability(probability, label != 255, 1.0))
        total += _found(claims, outlines_from_label(label, 1.0))
    ours = [total.ap_at(iou) for iou in IOU_THRESHOLDS]
    assert 0.05 < ours[-1] < ours[0] < 0.95
    assert ours == pytest.approx(_reference(chips), abs=1e-9)
