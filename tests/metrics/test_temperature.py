"""Temperature scaling: a known answer, an optimiser as oracle, and what stays as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from overcast.batch import IGNORE_LABEL
from overcast.metrics.temperature import BINS, LARGEST, SMALLEST, count_logits, fit_temperature
from overcast.scenes.model import Tempered


def drawn(temperature: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (4, 1, 200, 200) that are `temperature` times too large, and labels drawn from the true probability."""
    generator = torch.Generator().manual_seed(seed)
    true = 3 * torch.randn((4, 1, 200, 200), generator=generator) - 1
    label = (torch.rand(true.shape, generator=generator) < torch.sigmoid(true)).long()[:, 0]
    return temperature * true, label


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 5.0])
def test_factor_by_which_logits_are_too_large_is_found(temperature: float):
    logits, label = drawn(temperature)
    assert fit_temperature(count_logits(logits, label).numpy()) == pytest.approx(temperature, rel=0.03)


def test_it_is_where_the_likelihood_is_largest():
    logits, label = drawn(1.7, seed=3)
    fitted = fit_temperature(count_logits(logits, label).numpy())
    assert fitted is not None
    loss = [
        float(torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 0] / (fitted * factor), label.float()))
        for factor in (0.97, 1.0, 1.03)
    ]
    assert loss[1] == min(loss)


def test_counts_add_and_ignored_pixels_do_not_count():
    logits, label = drawn(1.0)
    label[0, :50] = IGNORE_LABEL
    whole = count_logits(logits, label)
    assert whole.shape == (2, BINS)
    assert int(whole.sum()) == int((label != IGNORE_LABEL).sum())
    parts = torch.stack([count_logits(logits[i : i + 1], label[i : i + 1]) for i in range(4)]).sum(0)
    assert torch.equal(whole, parts)
    beyond = count_logits(torch.tensor([-1e9, 1e9]).view(1, 1, 1, 2), torch.tensor([[[0, 1]]]))
    assert beyond[0, 0] == beyond[1, -1] == 1


def test_one_label_alone_says_nothing():
    logits, label = drawn(1.0)
    assert fit_temperature(count_logits(logits, torch.zeros_like(label)).numpy()) is None
    assert fit_temperature(np.zeros((2, BINS), np.int64)) is None


def test_perfect_and_useless_logits_end_at_the_limits():
    label = (torch.arange(100) % 2).view(1, 10, 10)
    perfect = (8.0 * label - 4.0)[:, None]
    assert fit_temperature(count_logits(perfect, label).numpy()) == pytest.approx(SMALLEST, rel=1e-6)
    assert fit_temperature(count_logits(-perfect, label).numpy()) == pytest.approx(LARGEST, rel=1e-6)


def test_division_leaves_what_is_above_one_half_there():
    network = Tempered(torch.nn.Identity(), 2.5)
    logits = torch.linspace(-5, 5, 11)
    assert torch.equal(network(logits) >= 0, logits >= 0)
    assert network(logits)[-1] == 2.0
