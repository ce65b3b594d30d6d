"""Instances, boundary IoU and PoLiS: hand-worked cases, an assignment oracle, properties."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from shapely import affinity

from overcast.batch import IGNORE_LABEL
from overcast.metrics.boundary import BoundaryCounts, count_boundary, inner_band
from overcast.metrics.instances import (
    Instance,
    InstanceCounts,
    instances_from_probability,
    match_instances,
    outlines_from_label,
)
from overcast.metrics.polis import PolisSum, polis, vertices

small_masks = hnp.arrays(bool, (12, 14), elements=st.booleans())


def predicted(*boxes: tuple[float, float, float, float], confidence: float = 0.9) -> list[Instance]:
    return [Instance(shapely.box(*box), confidence) for box in boxes]


def test_hand_worked_matching():
    """Two of three houses found, one false alarm, IoU 0.5 exactly counts as found."""
    truths = [shapely.box(0, 0, 10, 10), shapely.box(20, 0, 30, 10), shapely.box(40, 0, 50, 10)]
    claims = predicted((0, 0, 10, 10), (20, 0, 30, 5), (60, 0, 70, 10))
    matching = match_instances(claims, truths)
    assert matching.counts == InstanceCounts(tp=2, fp=1, fn=1)
    assert [(m.prediction, m.truth, m.iou) for m in matching.matches] == [(0, 0, 1.0), (1, 1, 0.5)]
    assert matching.counts.f1 == matching.counts.precision == matching.counts.recall == pytest.approx(2 / 3)
    assert match_instances(predicted((20, 0, 30, 4.9)), truths).counts.tp == 0


def test_the_confident_prediction_chooses_first():
    truth = [shapely.box(0, 0, 10, 10)]
    claims = [Instance(shapely.box(0, 0, 10, 10), 0.6), Instance(shapely.box(0, 0, 10, 8), 0.9)]
    matching = match_instances(claims, truth)
    assert [match.prediction for match in matching.matches] == [1]
    assert matching.counts == InstanceCounts(tp=1, fp=1)


def test_each_takes_the_largest_overlap_not_the_first_over_the_threshold():
    """Overlapping footprints: the first reaches 0.5 too, but the second fits exactly."""
    truths = [shapely.box(0, 0, 10, 6), shapely.box(0, 0, 10, 10)]
    claims = [Instance(shapely.box(0, 0, 10, 10), 0.9), Instance(shapely.box(0, 0, 10, 6), 0.8)]
    matching = match_instances(claims, truths)
    assert {(match.prediction, match.truth) for match in matching.matches} == {(0, 1), (1, 0)}


def test_small_footprints_count_on_neither_side():
    truths = [shapely.box(0, 0, 10, 10), shapely.box(20, 0, 21, 1)]
    claims = predicted((0, 0, 10, 10), (40, 0, 41, 1), (60, 0, 64, 5))
    matching = match_instances(claims, truths, min_area=20)
    assert matching.counts == InstanceCounts(tp=1, fp=1, fn=0)
    assert (matching.predictions, matching.truths) == ((0, 2), (0,))


def test_empty_sides():
    box = shapely.box(0, 0, 5, 5)
    assert match_instances([], []).counts == InstanceCounts()
    assert match_instances([], [box]).counts == InstanceCounts(fn=1)
    assert match_instances([Instance(box, 0.5)], []).counts == InstanceCounts(fp=1)
    assert InstanceCounts().f1 == 1.0
    assert (InstanceCounts(tp=1, fp=1, fn=3) + InstanceCounts(tp=1)).recall == 2 / 5


def test_invalid_outlines_are_repaired():
    bow_tie = shapely.Polygon([(0, 0), (10, 10), (10, 0), (0, 10)])
    assert not bow_tie.is_valid
    assert match_instances([Instance(bow_tie, 0.9)], [bow_tie]).counts == InstanceCounts(tp=1)


def _row_of_boxes(sizes: list[tuple[int, int]]) -> list[shapely.Polygon]:
    return [shapely.box(20 * index, 0, 20 * index + width, height) for index, (width, height) in enumerate(sizes)]


sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))


@given(st.lists(st.tuples(sizes, st.integers(-8, 8), st.integers(-8, 8)), max_size=8), st.randoms())
def test_disjoint_houses_match_as_the_best_assignment(houses, random):
    """Both sides disjoint and IoU above 0.5: the match is unique, so greedy equals the optimal assignment."""
    truths = _row_of_boxes([size for size, _, _ in houses])
    shifted = [affinity.translate(box, dx, dy) for box, (_, dx, dy) in zip(truths, houses, strict=True)]
    claims = [
        Instance(box, random.random())
        for index, box in enumerate(shifted)
        if all(box.disjoint(other) for other in shifted[:index])
    ]
    gain = np.zeros((len(claims), len(truths)))
    for row, claim in enumerate(claims):
        for column, truth in enumerate(truths):
            shared = claim.outline.intersection(truth).area
            gain[row, column] = shared / (claim.outline.area + truth.area - shared) > 0.5
    optimum = int(gain[linear_sum_assignment(-gain)].sum())
    found = match_instances(claims, truths, match_iou=np.nextafter(0.5, 1)).counts
    assert found == InstanceCounts(optimum, len(claims) - optimum, len(truths) - optimum)
    random.shuffle(truths)
    assert match_instances(claims, truths, match_iou=np.nextafter(0.5, 1)).counts == found


@given(st.lists(sizes, max_size=8))
def test_the_truth_itself_scores_one(found):
    truths = _row_of_boxes(found)
    counts = match_instances([Instance(truth, 0.5) for truth in truths], truths).counts
    assert counts == InstanceCounts(tp=len(truths))


def test_instances_of_a_chip_by_hand():
    """Two components; diagonal pixels do not join; areas and corners in metres, confidence the mean probability."""
    probability = np.zeros((6, 8), np.float32)
    probability[1:3, 1:5] = 0.8
    probability[1, 1] = 0.6
    probability[3:5, 5:7] = 0.5
    found = instances_from_probability(probability, np.ones((6, 8), bool), gsd_m=2.0)
    assert [instance.outline.area for instance in found] == [32.0, 16.0]
    assert found[0].outline.bounds == (2.0, 2.0, 10.0, 6.0)
    assert [instance.confidence for instance in found] == pytest.approx([6.2 / 8, 0.5])
    assert len(instances_from_probability(probability, np.ones((6, 8), bool), 2.0, min_area_m2=17)) == 1


def test_nodata_holds_no_instance():
    label = np.ones((4, 6), np.uint8)
    label[:, 3:] = IGNORE_LABEL
    (outline,) = outlines_from_label(label, gsd_m=1.0)
    assert list(outline.bounds) == [0, 0, 3, 4]
    (claim,) = instances_from_probability(np.ones((4, 6), np.float32), label != IGNORE_LABEL, 1.0)
    assert claim.outline.equals(outline)


@given(small_masks)
def test_traced_outlines_cover_exactly_the_mask(mask):
    found = outlines_from_label(mask.astype(np.uint8), gsd_m=1.0)
    assert len(found) == ndimage.label(mask)[1]
    assert sum(outline.area for outline in found) == mask.sum()
    rows, cols = np.nonzero(mask)
    everything = shapely.union_all(list(found))
    assert shapely.contains_xy(everything, cols + 0.5, rows + 0.5).all()


def test_boundary_iou_by_hand():
    """A 10 m square, found 1 m to the right; 1 m pixels, 1 m band: rings of 36 pixels that share two rows of 9."""
    label = np.zeros((20, 20), np.uint8)
    label[5:15, 5:15] = 1
    claim = np.roll(label, 1, axis=1) == 1
    assert inner_band(label == 1, np.ones_like(claim), 1.0).sum() == 36
    counts = count_boundary(claim, label, gsd_m=1.0)
    assert counts == BoundaryCounts(intersection=18, union=54)
    assert count_boundary(label == 1, label, gsd_m=1.0).iou == 1.0
    assert (counts + BoundaryCounts(2, 6)).iou == 20 / 60


def test_the_band_is_in_metres_and_at_least_a_pixel():
    label = np.zeros((40, 40), np.uint8)
    label[10:30, 10:30] = 1
    valid = np.ones((40, 40), bool)
    assert inner_band(label == 1, valid, 2.0).sum() == 20**2 - 16**2
    fine = count_boundary(label == 1, label, gsd_m=0.5, band_m=1.0)
    coarse = count_boundary(label == 1, label, gsd_m=10.0, band_m=1.0)
    assert (fine.union, coarse.union) == (20**2 - 16**2, 20**2 - 18**2)


def test_image_border_and_nodata_are_no_outline():
    label = np.ones((10, 10), np.uint8)
    label[:, 6:] = IGNORE_LABEL
    assert count_boundary(label == 1, label, gsd_m=1.0) == BoundaryCounts()
    assert BoundaryCounts().iou == 1.0


@given(small_masks, small_masks, st.floats(1, 4))
def test_the_band_equals_a_distance_transform(mask, blocked, width_px):
    valid = ~blocked
    outside = valid & ~mask
    expected = np.zeros_like(mask)
    if outside.any():
        expected = mask & (ndimage.distance_transform_edt(~outside) <= width_px + 0.5)
    assert (inner_band(mask, valid, width_px) == expected).all()


def test_polis_of_a_shifted_rectangle():
    """A 4 x 2 rectangle shifted by 1 in x: of each outline two corners lie on the other, two at distance 1."""
    rectangle = shapely.box(0, 0, 4, 2)
    assert polis(rectangle, affinity.translate(rectangle, 1, 0)) == 0.5
    assert polis(rectangle, affinity.translate(rectangle, 0.25, 0.25)) == pytest.approx(
        (3 * 0.25 + np.hypot(0.25, 0.25)) / 4
    )


def test_polis_of_a_grown_square():
    """Corners of the inner square are 1 from the outer boundary, those of the outer sqrt(2) from the inner."""
    assert polis(shapely.box(1, 1, 3, 3), shapely.box(0, 0, 4, 4)) == pytest.approx((1 + np.sqrt(2)) / 2)


def test_polis_weighs_both_outlines_alike_whatever_their_number_of_corners():
    square = shapely.box(0, 0, 2, 2)
    dense = shapely.Polygon([*[(x / 5, 0) for x in range(11)], (2, 3), (0, 3)])
    to_dense = 0 / 4  # all corners of the square lie on the taller outline
    to_square = (11 * 0 + 2 * 1) / 13
    assert polis(square, dense) == pytest.approx((to_dense + to_square) / 2)


def test_polis_counts_holes_and_parts():
    ring = shapely.Polygon(shapely.box(0, 0, 6, 6).exterior, [shapely.box(2, 2, 4, 4).exterior])
    assert len(vertices(ring)) == 8
    assert len(vertices(shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(2, 2, 3, 3)]))) == 8
    assert polis(ring, ring) == 0
    assert polis(ring, shapely.box(0, 0, 6, 6)) == pytest.approx((4 * 2 / 8 + 0) / 2)


@settings(max_examples=50)
@given(sizes, sizes, st.floats(-5, 5), st.floats(-5, 5), st.floats(0, 360), st.floats(0.5, 4))
def test_polis_properties(a, b, dx, dy, angle, scale):
    left, right = shapely.box(0, 0, *a), affinity.translate(shapely.box(0, 0, *b), dx, dy)
    value = polis(left, right)
    assert value >= 0
    assert polis(right, left) == pytest.approx(value)
    turned = [affinity.rotate(shape, angle, origin=(0, 0)) for shape in (left, right)]
    assert polis(*turned) == pytest.approx(value, abs=1e-9)
    larger = [affinity.scale(shape, scale, scale, origin=(0, 0)) for shape in (left, right)]
    assert polis(*larger) == pytest.approx(scale * value)


def test_polis_sums():
    assert PolisSum().mean_m is None
    assert (PolisSum(1.0, 1) + PolisSum(2.0, 1)).mean_m == 1.5
