"""Pixel metrics against hand-worked cases and torchmetrics; the bootstrap against enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from known import known
from torchmetrics.classification import BinaryF1Score, BinaryJaccardIndex, BinaryPrecision, BinaryRecall
from torchmetrics.segmentation import MeanIoU

from overcast.batch import IGNORE_LABEL
from overcast.errors import ConfigError
from overcast.evaluation.comparison import paired_difference, recovery_ratio
from overcast.metrics.bootstrap import Interval, percentile_interval, resample_places
from overcast.metrics.pixel import (
    PixelCounts,
    ThresholdCounts,
    bootstrap_iou,
    count_pixels,
    count_thresholds,
    resampled_iou,
)

THRESHOLDS = tuple(step / 20 for step in range(1, 20))

labels = hnp.arrays(np.uint8, (3, 5, 7), elements=st.sampled_from([0, 1, IGNORE_LABEL]))
probabilities = hnp.arrays(
    np.float32,
    (3, 5, 7),
    elements=st.one_of(st.floats(0, 1, width=32), st.sampled_from([np.float32(t).item() for t in THRESHOLDS])),
)


def test_hand_worked_counts():
    label = torch.tensor([[[1, 1, 0, 0], [1, 0, 255, 255]]], dtype=torch.uint8)
    probability = torch.tensor([[[[0.9, 0.2, 0.5, 0.1], [0.6, 0.4, 0.9, 0.1]]]])
    counts = count_pixels(probability, label)
    assert counts == PixelCounts(tp=2, fp=1, fn=1, tn=2)
    assert (counts.iou, counts.precision, counts.recall) == (2 / 4, 2 / 3, 2 / 3)
    assert counts.f1 == pytest.approx(2 / 3)
    assert counts.pixels == 6


def test_a_share_of_nothing_is_one_and_never_nan():
    assert (PixelCounts(tn=5).iou, PixelCounts(tn=5).f1, PixelCounts(tn=5).precision, PixelCounts().recall) == (1,) * 4
    assert (PixelCounts(fn=3).iou, PixelCounts(fn=3).precision, PixelCounts(fn=3).recall) == (0, 1, 0)
    assert (PixelCounts(fp=3).iou, PixelCounts(fp=3).precision, PixelCounts(fp=3).recall) == (0, 0, 1)


def test_counts_stay_exact_beyond_32_bits():
    big = PixelCounts(tp=2**40, fp=1)
    assert (big + big).tp == 2**41
    assert (big + big).fp == 2


@given(probabilities, labels)
def test_pooled_scores_equal_torchmetrics(probability, label):
    counts = count_pixels(torch.from_numpy(probability), torch.from_numpy(label))
    if counts.tp == 0:  # torchmetrics calls a share of nothing 0
        return
    predicted, truth = torch.from_numpy(probability >= np.float32(0.5)).int(), torch.from_numpy(label).int()
    for value, metric in (
        (counts.iou, BinaryJaccardIndex),
        (counts.f1, BinaryF1Score),
        (counts.precision, BinaryPrecision),
        (counts.recall, BinaryRecall),
    ):
        assert value == pytest.approx(float(metric(ignore_index=IGNORE_LABEL)(predicted, truth)), abs=1e-6)


def test_a_mean_over_images_is_another_number():
    """996 hits in one image, 4 false alarms in an image without the class: 0.996, not 0.5."""
    label = torch.zeros(2, 40, 50, dtype=torch.uint8)
    label[0].view(-1)[:996] = 1
    predicted = label.clone()
    predicted[1, 0, :4] = 1
    counts = count_pixels(predicted.float(), label)
    assert counts.iou == 0.996
    per_image = MeanIoU(num_classes=2, include_background=False, input_format="index")
    assert float(per_image(predicted.long(), label.long())) == pytest.approx(0.5)


@given(probabilities, labels)
def test_counts_at_all_thresholds_equal_counts_one_by_one(probability, label):
    curve = count_thresholds(probability, label, THRESHOLDS)
    for threshold, counts in curve.curve:
        assert counts == count_pixels(torch.from_numpy(probability), torch.from_numpy(label), threshold)


@given(probabilities, labels, st.integers(1, 2))
def test_counts_add_over_any_cut(probability, label, cut):
    whole = count_thresholds(probability, label, THRESHOLDS)
    parts = [count_thresholds(probability[s], label[s], THRESHOLDS) for s in (slice(cut), slice(cut, None))]
    assert parts[0] + parts[1] == whole


@given(probabilities, labels)
def test_recall_falls_along_the_curve(probability, label):
    tp = count_thresholds(probability, label, THRESHOLDS).tp
    assert list(tp) == sorted(tp, reverse=True)


def test_curves_of_other_thresholds_do_not_add():
    a, b = ThresholdCounts((0.5,), (1,), (0,), 1, 1), ThresholdCounts((0.4,), (1,), (0,), 1, 1)
    with pytest.raises(ValueError, match="different thresholds"):
        _ = a + b
    with pytest.raises(ValueError, match=r"no counts at threshold 0\.4"):
        a.at(0.4)


def test_each_resample_is_one_count_divided_once():
    counts = [PixelCounts(tp=90, fp=10), PixelCounts(tp=0, fn=10)]
    draws = np.array([[2, 0], [1, 1], [0, 2]])
    assert resampled_iou(counts, draws).tolist() == [0.9, 90 / 110, 0.0]
    assert resampled_iou([PixelCounts(tn=4)], np.array([[1]])).tolist() == [1.0]


def test_the_interval_agrees_with_all_resamples():
    """Four places have 4**4 equally likely resamples: their exact percentiles."""
    counts = {name: PixelCounts(tp=tp, fp=40) for name, tp in zip("abcd", (10, 40, 90, 200), strict=True)}
    draws = itertools.product(counts.values(), repeat=4)
    exact = [sum(draw, PixelCounts()).iou for draw in draws]
    low, high = np.quantile(exact, [0.025, 0.975])
    found = known(bootstrap_iou(counts, seed=3, resamples=20_000))
    assert found.low == pytest.approx(low, abs=0.01)  # a few of 256 discrete values apart
    assert found.high == pytest.approx(high, abs=0.01)


def test_the_interval_is_seeded_and_ignores_order():
    counts = {f"p{i}": PixelCounts(tp=10 * i, fp=50 - i, fn=i) for i in range(8)}
    assert bootstrap_iou(counts, seed=1) == bootstrap_iou(dict(reversed(counts.items())), seed=1)
    assert bootstrap_iou(counts, seed=1) != bootstrap_iou(counts, seed=2)
    assert sum(counts.values(), PixelCounts()).iou in known(bootstrap_iou(counts, seed=1))


def test_one_place_has_no_interval():
    assert bootstrap_iou({"only": PixelCounts(tp=5, fp=5)}) is None


def test_equal_places_leave_no_spread():
    interval = bootstrap_iou({name: PixelCounts(tp=3, fp=1) for name in "abc"})
    assert interval == Interval(0.75, 0.75)


def test_resamples_draw_every_place_equally_often():
    draws = resample_places(5, seed=0, resamples=20_000)
    assert draws.mean(axis=0) == pytest.approx(1.0, abs=0.03)  # standard error 0.006
    assert (draws == 0).mean() == pytest.approx((4 / 5) ** 5, abs=0.01)


def test_interval_refuses_swapped_ends():
    with pytest.raises(ValueError, match="not an interval"):
        Interval(0.5, 0.4)
    assert percentile_interval(np.array([1.0])) == Interval(1.0, 1.0)


def _shifted(gain: int) -> dict[str, PixelCounts]:
    """Ten places of very different difficulty; `gain` more hits at each."""
    return {f"p{i}": PixelCounts(tp=20 * i + gain, fn=200 - 20 * i - gain, fp=10) for i in range(10)}


def test_a_paired_difference_sees_what_overlapping_intervals_hide():
    better, worse = _shifted(8), _shifted(0)
    difference = paired_difference(better, worse)
    assert difference.value == pytest.approx(80 / 2100)
    interval = known(difference.interval)
    assert 0 < interval.low <= difference.value <= interval.high
    assert known(bootstrap_iou(better)).low < known(bootstrap_iou(worse)).high
    assert paired_difference(worse, worse).interval == Interval(0.0, 0.0)


def test_recovery_ratio_by_hand():
    estimate = known(recovery_ratio(_shifted(5), _shifted(0), _shifted(20)))
    assert estimate.value == pytest.approx(0.25)
    interval = known(estimate.interval)
    assert (interval.low, interval.high) == pytest.approx((0.25, 0.25))


def test_recovery_ratio_says_when_there_is_nothing_to_recover():
    assert recovery_ratio(_shifted(5), _shifted(3), _shifted(3)) is None
    one = {"only": PixelCounts(tp=5, fp=5)}
    estimate = recovery_ratio(one, {"only": PixelCounts(tp=4, fp=6)}, {"only": PixelCounts(tp=6, fp=4)})
    assert known(estimate).interval is None


@pytest.mark.parametrize(("gain", "interval"), [(20, (0.5, np.inf)), (0, (0.0, 0.0)), (-20, (-np.inf, -0.5))])
def test_recovery_ratio_of_an_unresolved_gap_by_hand(gain, interval):
    """Gaps of -10 and 40 points at two places: (a, a) is drawn in 1 of 4 resamples and has nothing to recover.

    (a, b), in 2 of 4, has a gap of 15 and (b, b) one of 40, so the ratio of +20 points is inf, 4 / 3 and 1 / 2.
    """

    def places(a, b):
        return {"a": PixelCounts(tp=a, fn=100 - a), "b": PixelCounts(tp=b, fn=100 - b)}

    estimate = known(recovery_ratio(places(50 + gain, 50 + gain), places(50, 50), places(40, 90)))
    assert estimate.value == pytest.approx(gain / 15)
    found = known(estimate.interval)
    assert (found.low, found.high) == pytest.approx(interval)
    assert estimate.undefined == pytest.approx(0.25, abs=0.04)  # 1000 draws: standard error 0.014


def test_a_lower_end_above_zero_says_that_the_method_is_above_its_control():
    """However badly the gap is known: both intervals are of the same resamples."""
    control, ceiling = _shifted(5), _shifted(5)
    ceiling["p0"], ceiling["p9"] = PixelCounts(tp=60, fn=140, fp=10), PixelCounts(tp=150, fn=50, fp=10)
    for method in (_shifted(6), _shifted(4)):
        estimate = known(recovery_ratio(method, control, ceiling))
        assert estimate.undefined > 0.025
        ratio, difference = known(estimate.interval), known(paired_difference(method, control).interval)
        assert (ratio.low > 0) == (difference.low > 0)
        assert (ratio.high < 0) == (difference.high < 0)


def test_comparisons_refuse_other_places():
    with pytest.raises(ConfigError, match="different places"):
        paired_difference({"a": PixelCounts()}, {"b": PixelCounts()})
