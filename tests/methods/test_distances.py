"""What the methods of the literature compare, against hand-worked values."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from overcast.methods.distances import (
    channel_alignment,
    entropy_of,
    hallucination_distance,
    margin_aware_distance,
    mean_square,
    soft_cross_entropy,
)


def row(*values: float) -> Tensor:
    """(1, 1, 1, n) logits."""
    return torch.tensor(values).view(1, 1, 1, -1)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_hoffman_sums_squares_of_sigmoids_over_channels():
    teacher, student = torch.tensor([[1.0, -2.0], [0.0, 3.0]]), torch.tensor([[0.5, 1.0], [0.0, -1.0]])
    squares = [
        [(sigmoid(a) - sigmoid(b)) ** 2 for a, b in zip(*rows, strict=True)]
        for rows in zip(teacher.tolist(), student.tolist(), strict=True)
    ]
    places = [squares[0][i] + squares[1][i] for i in (0, 1)]
    teacher, student = teacher.view(1, 2, 1, 2), student.view(1, 2, 1, 2)  # two channels, two places
    assert hallucination_distance(teacher, student).item() == pytest.approx(sum(places) / 2, rel=1e-5)
    weight = torch.tensor([1.0, 0.25]).view(1, 1, 1, 2)
    expected = (places[0] + 0.25 * places[1]) / 1.25
    assert hallucination_distance(teacher, student, weight).item() == pytest.approx(expected, rel=1e-5)


def test_channel_alignment_by_hand():
    tau, t, s = 2.0, (2.0, 0.0, -2.0), (0.0, 1.0, 0.0)
    p, q = ([math.exp(x / tau) for x in values] for values in (t, s))
    p, q = [x / sum(p) for x in p], [x / sum(q) for x in q]
    kl = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    assert channel_alignment(row(*t), row(*s), temperature=tau).item() == pytest.approx(tau**2 * kl, rel=1e-5)


def test_channel_alignment_normalises_over_pixels_not_over_channels():
    teacher, student = torch.randn(2, 3, 5, 7), torch.randn(2, 3, 5, 7)
    per_channel = torch.tensor([4.0, -3.0, 11.0]).view(1, 3, 1, 1)
    found = channel_alignment(teacher, student, temperature=4.0)
    torch.testing.assert_close(channel_alignment(teacher + per_channel, student, temperature=4.0), found)
    per_pixel = torch.randn(1, 1, 5, 7)
    assert not torch.isclose(channel_alignment(teacher + per_pixel, student, temperature=4.0), found)
    expected = F.kl_div(F.log_softmax(student.flatten(2) / 4, 2), F.softmax(teacher.flatten(2) / 4, 2), reduction="sum")
    torch.testing.assert_close(found, 16 * expected / (2 * 3))


def test_channel_alignment_counts_valid_pixels_of_images_that_have_any():
    teacher, student = torch.randn(2, 1, 2, 4), torch.randn(2, 1, 2, 4)
    valid = torch.zeros(2, 1, 2, 4, dtype=torch.bool)
    valid[0, :, :, :2] = True
    alone = channel_alignment(teacher[:1, :, :, :2], student[:1, :, :, :2], temperature=1.0)
    torch.testing.assert_close(channel_alignment(teacher, student, temperature=1.0, valid=valid), alone)


def test_soft_cross_entropy_softens_the_teacher_alone():
    t, s, tau = 5.0, 1.5, 10.0
    p, q = sigmoid(t / tau), sigmoid(s)
    expected = -p * math.log(q) - (1 - p) * math.log(1 - q)
    assert soft_cross_entropy(row(t), row(s), temperature=tau).item() == pytest.approx(expected, rel=1e-5)
    pair = [torch.cat([torch.zeros_like(x), x], 1) for x in (row(t) / tau, row(s))]
    assert soft_cross_entropy(*pair).item() == pytest.approx(expected, rel=1e-5)


def test_mean_square_by_hand():
    assert mean_square(row(1.0, 5.0), row(3.0, 4.0), row(1.0, 3.0)).item() == pytest.approx((4 + 3 * 1) / 4)


def test_relations_by_hand():
    teacher, student = torch.tensor([[1.0, 0.0], [1.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    half = math.sqrt(0.5)  # teacher's Gram matrix [[1, 1], [1, 2]], student's [[1, 0], [0, 4]]
    first = (half - 1) ** 2 + half**2
    second = (1 / math.sqrt(5)) ** 2 + (2 / math.sqrt(5) - 1) ** 2
    uncertainty = torch.tensor([0.3, 0.1])
    expected = 0.75 * first + 0.25 * second
    assert margin_aware_distance(teacher, student, uncertainty).item() == pytest.approx(expected, rel=1e-5)


def test_relations_do_not_depend_on_the_length_of_features():
    teacher, student, uncertainty = torch.randn(6, 4), torch.randn(6, 4), torch.rand(6)
    found = margin_aware_distance(teacher, student, uncertainty)
    torch.testing.assert_close(margin_aware_distance(3 * teacher, 0.5 * student, 7 * uncertainty), found)


def test_uncertainty_is_largest_at_the_class_boundary():
    entropies = entropy_of(row(-4.0, 0.0, 1.0)).flatten().tolist()
    p = sigmoid(1.0)
    assert entropies[1] == pytest.approx(math.log(2))
    assert entropies[2] == pytest.approx(-p * math.log(p) - (1 - p) * math.log(1 - p), rel=1e-5)
    assert entropies[0] < entropies[2] < entropies[1]
    pair = torch.cat([torch.zeros(1, 1, 1, 1), row(1.0)], 1)
    assert entropy_of(pair).item() == pytest.approx(entropies[2], rel=1e-5)


@pytest.mark.parametrize(
    "distance",
    [
        lambda t, s: channel_alignment(t, s, temperature=4.0),
        hallucination_distance,
        mean_square,
        soft_cross_entropy,
        lambda t, s: margin_aware_distance(t.flatten(1), s.flatten(1), torch.ones(2)),
    ],
)
def test_no_gradient_enters_a_teacher(distance):
    teacher, student = (torch.randn(2, 2, 4, 4, requires_grad=True) for _ in range(2))
    distance(teacher, student).backward()
    assert teacher.grad is None
    assert student.grad is not None
    assert student.grad.any()
