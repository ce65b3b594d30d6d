"""Calibration: hand-worked bins, torchmetrics as oracle, constant memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.classification import BinaryCalibrationError

from overcast.batch import IGNORE_LABEL
from overcast.metrics.calibration import CalibrationBins, bin_probabilities, count_calibration

pairs = st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=1, max_size=60)


def arrays(found: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    probability, truth = zip(*found, strict=True)
    return np.array(probability, np.float32), np.array(truth, bool)


def test_hand_worked_bins():
    """Two bins: 0.2 and 0.4 with one hit, 0.9 with one hit: |1 - 0.6| + |1 - 0.9| over 3."""
    bins = bin_probabilities(np.array([0.2, 0.4, 0.9]), np.array([False, True, True]), bins=2)
    assert (bins.count, bins.positives) == ((2, 1), (1, 1))
    assert bins.ece == pytest.approx(0.5 / 3)
    assert bins.brier == pytest.approx((0.04 + 0.36 + 0.01) / 3)
    assert bins.curve == (pytest.approx((0.3, 0.5, 2)), pytest.approx((0.9, 1.0, 1)))


def test_edges_lie_in_the_bin_above_and_one_in_the_last():
    bins = bin_probabilities(np.array([0.0, 0.5, 1.0]), np.array([False, True, True]), bins=2)
    assert bins.count == (1, 2)


def test_ignored_pixels_do_not_count():
    label = np.array([[0, 1, IGNORE_LABEL]], np.uint8)
    bins = count_calibration(np.array([[0.0, 1.0, 0.3]], np.float32), label)
    assert (bins.total, bins.ece, bins.brier) == (2, 0.0, 0.0)


def test_nothing_counted_is_no_error():
    empty = CalibrationBins.empty()
    assert (empty.total, empty.ece, empty.brier, empty.curve) == (0, 0.0, 0.0, ())


@given(pairs)
def test_equals_torchmetrics(found):
    probability, truth = arrays(found)
    inside = probability * 15 % 1 != 0  # on an edge the two choose different neighbours
    probability, truth = probability[inside], truth[inside]
    if not len(probability):
        return
    expected = BinaryCalibrationError(n_bins=15, norm="l1")(
        torch.from_numpy(probability), torch.from_numpy(truth).int()
    )
    bins = bin_probabilities(probability, truth, bins=15)
    assert bins.ece == pytest.approx(float(expected), abs=1e-5)
    assert bins.brier == pytest.approx(np.mean((probability.astype(float) - truth) ** 2))


@given(pairs, pairs)
def test_bins_add(first, second):
    whole = bin_probabilities(*arrays(first + second))
    parts = bin_probabilities(*arrays(first)) + bin_probabilities(*arrays(second))
    assert (parts.count, parts.positives) == (whole.count, whole.positives)
    assert parts.ece == pytest.approx(whole.ece, abs=1e-12)
    assert parts.brier == pytest.approx(whole.brier)


def test_a_calibrated_source_has_no_error_and_a_boastful_one_has_its_excess():
    generator = np.random.default_rng(0)
    probability = generator.uniform(0, 1, 200_000)
    truth = generator.uniform(0, 1, 200_000) < probability
    assert bin_probabilities(probability, truth).ece < 0.005  # sampling noise of 15 bins
    boastful = np.full(100_000, 0.9)
    hits = generator.uniform(0, 1, 100_000) < 0.7
    assert bin_probabilities(boastful, hits).ece == pytest.approx(0.2, abs=0.005)


def test_memory_does_not_grow():
    total = CalibrationBins.empty(15)
    for seed in range(20):
        generator = np.random.default_rng(seed)
        total += bin_probabilities(generator.uniform(size=1000), generator.uniform(size=1000) < 0.5)
    assert total.total == 20_000
    assert len(total.count) == len(total.positives) == len(total.probability_sum) == 15
