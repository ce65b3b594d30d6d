"""Losses against hand-worked values, and their behaviour on ignored pixels."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from overcast.methods.losses import TeacherGradient, alignment, area_share, segmentation_loss, share_loss

IGNORED = 255


def one_row(*values: float) -> Tensor:
    """(1, 1, 1, n) logits."""
    return torch.tensor(values, dtype=torch.float32).view(1, 1, 1, -1).requires_grad_()


def labels(*values: int) -> Tensor:
    """(1, 1, n) label."""
    return torch.tensor(values, dtype=torch.uint8).view(1, 1, -1)


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def test_segmentation_loss_by_hand():
    logits = one_row(logit(0.9), logit(0.2), logit(0.4))
    entropy = -(math.log(0.9) + math.log(0.8)) / 2
    dice = 1 - (2 * 0.9 + 1) / (0.9 + 0.2 + 1 + 1)
    loss = segmentation_loss(logits, labels(1, 0, IGNORED))
    assert loss.item() == pytest.approx(entropy + dice, rel=1e-5)


def test_segmentation_loss_of_classes_by_hand():
    probability = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]])
    logits = probability.log().T.reshape(1, 3, 1, 2)
    entropy = -(math.log(0.7) + math.log(0.8)) / 2
    dice = [1 - (2 * 0.7 + 1) / (0.8 + 1 + 1), 1 - (2 * 0.8 + 1) / (1.0 + 1 + 1)]  # class 2 does not occur
    loss = segmentation_loss(logits, labels(0, 1))
    assert loss.item() == pytest.approx(entropy + sum(dice) / 2, rel=1e-5)


def test_perfect_prediction_costs_nothing():
    assert segmentation_loss(one_row(30.0, -30.0), labels(1, 0)).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("classes", [1, 3])
def test_values_under_ignored_and_invalid_pixels_change_nothing(classes):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, classes, 64, 64, generator=generator)
    label = torch.randint(0, max(2, classes), (2, 64, 64), generator=generator, dtype=torch.uint8)
    valid = torch.rand(2, 1, 64, 64, generator=generator) > 0.3
    label[:, :20] = IGNORED
    other_logits, other_label = logits.clone(), label.clone()
    other_logits[:, :, :20] = 7.0
    other_logits[~valid.expand_as(logits)] = -3.0
    other_label[~valid[:, 0]] = 1
    assert segmentation_loss(logits, label, valid).equal(segmentation_loss(other_logits, other_label, valid))
    other_label[:, :20] = IGNORED
    cells = torch.randn(2, classes, 2, 2, generator=generator)
    assert share_loss(cells, label, valid).equal(share_loss(cells, other_label, valid))


@pytest.mark.parametrize("classes", [1, 3])
def test_nothing_valid_is_zero_with_zero_gradient(classes):
    logits = torch.randn(2, classes, 32, 32, requires_grad=True)
    cells = torch.randn(2, classes, 1, 1, requires_grad=True)
    nowhere = torch.zeros(2, 1, 32, 32, dtype=torch.bool)
    label = torch.full((2, 32, 32), IGNORED, dtype=torch.uint8)
    ones = torch.ones_like(label)
    losses = [
        segmentation_loss(logits, label),
        segmentation_loss(logits, ones, nowhere),
        share_loss(cells, label),
        alignment(torch.randn_like(logits), logits, temperature=2.0, valid=nowhere),
    ]
    torch.stack(losses).sum().backward()
    assert [loss.item() for loss in losses] == [0, 0, 0, 0]
    assert logits.grad is not None
    assert not logits.grad.any()
    assert cells.grad is not None
    assert not cells.grad.any()


def test_share_loss_uses_the_area_averaged_label():
    label = torch.zeros(1, 32, 64, dtype=torch.uint8)
    label[:, :16, :32] = 1  # half of the first cell
    label[:, :, 48:] = IGNORED  # half of the second cell does not count
    logits = one_row(logit(0.5), logit(0.1))
    entropy = (-math.log(0.5) - 0.5 * math.log(0.9)) / 1.5
    dice = 1 - (2 * 0.5 * 0.5 + 1) / (0.5 + 0.5 * 0.1 + 0.5 + 1)
    assert share_loss(logits, label).item() == pytest.approx(entropy + dice, rel=1e-5)


def test_share_loss_ignores_what_the_network_padded():
    label = torch.ones(1, 40, 32, dtype=torch.uint8)
    padded = F.pad(label, (0, 0, 0, 24), value=IGNORED)
    logits = torch.randn(1, 1, 2, 1)
    assert share_loss(logits, label).equal(share_loss(logits, padded))


def test_area_share_by_hand():
    mask = torch.zeros(1, 1, 32, 40, dtype=torch.bool)
    mask[..., :8, :] = True
    torch.testing.assert_close(area_share(mask, (1, 2)), torch.tensor([[[[0.25, 0.0625]]]]))


def test_alignment_by_hand():
    t, s, tau = 2.0, -1.0, 2.0
    p, q = torch.sigmoid(torch.tensor([t / tau, s / tau])).tolist()
    kl = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    assert alignment(one_row(t), one_row(s), temperature=tau).item() == pytest.approx(tau**2 * kl, rel=1e-5)


def test_alignment_of_classes_agrees_with_torch():
    teacher, student, tau = torch.randn(2, 4, 3, 5), torch.randn(2, 4, 3, 5), 3.0
    expected = F.kl_div(
        F.log_softmax(student / tau, 1), F.log_softmax(teacher / tau, 1), log_target=True, reduction="sum"
    )
    found = alignment(teacher, student, temperature=tau)
    torch.testing.assert_close(found, tau**2 * expected / 30)  # 2 * 3 * 5 pixels


def test_one_logit_equals_two_classes():
    teacher, student = torch.randn(1, 1, 4, 4), torch.randn(1, 1, 4, 4)
    pair = [torch.cat([torch.zeros_like(x), x], dim=1) for x in (teacher, student)]
    torch.testing.assert_close(
        alignment(teacher, student, temperature=1.5), alignment(*pair, temperature=1.5), rtol=1e-4, atol=1e-6
    )


@given(st.lists(st.floats(-60, 60, width=32), min_size=1, max_size=8), st.floats(0.5, 10))
@settings(deadline=None)
def test_alignment_of_equal_logits_is_zero(values, temperature):
    assert alignment(one_row(*values), one_row(*values), temperature=temperature).item() == 0
    classes = torch.tensor(values).view(1, -1, 1, 1)
    assert alignment(classes, classes, temperature=temperature).item() == 0


@given(st.floats(-20, 20, width=32), st.floats(-20, 20, width=32), st.floats(0.5, 10))
@settings(deadline=None)
def test_alignment_of_different_logits_is_positive(t, s, temperature):
    divergence = alignment(one_row(t), one_row(s), temperature=temperature).item()
    assert divergence >= -1e-5  # rounding of float32 on terms of order 1
    if abs(t - s) > 0.5 and min(abs(t), abs(s)) < 5 * temperature:
        assert divergence > 0


@pytest.mark.parametrize("classes", [1, 3])
def test_gradient_of_the_teacher(classes):
    def gradients(gradient: TeacherGradient) -> tuple[Tensor | None, Tensor | None]:
        teacher = torch.randn(1, classes, 4, 4, requires_grad=True)
        student = torch.randn(1, classes, 4, 4, requires_grad=True)
        alignment(teacher, student, temperature=2.0, gradient=gradient).backward()
        return teacher.grad, student.grad

    teacher, student = gradients(TeacherGradient.DETACH)
    assert teacher is None
    assert student is not None
    assert student.any()
    teacher, student = gradients(TeacherGradient.MUTUAL)
    assert teacher is not None
    assert teacher.any()
    assert student is not None
    assert student.any()


def test_alignment_counts_valid_pixels_by_weight():
    teacher, student = one_row(1.0, 2.0, 50.0), one_row(0.0, 0.0, -50.0)
    alone = [alignment(one_row(t), one_row(0.0), temperature=1.0).item() for t in (1.0, 2.0)]
    weight = torch.tensor([1.0, 0.5, 0.0]).view(1, 1, 1, 3)
    weighted = alignment(teacher, student, temperature=1.0, valid=weight).item()
    assert weighted == pytest.approx((alone[0] + 0.5 * alone[1]) / 1.5, rel=1e-5)


def test_losses_are_float32_under_autocast():
    logits = torch.randn(1, 1, 64, 64).to(torch.bfloat16)
    cells = torch.randn(1, 1, 2, 2).to(torch.bfloat16)
    label = torch.randint(0, 2, (1, 64, 64), dtype=torch.uint8)

    def all_losses() -> list[Tensor]:
        aligned = alignment(-logits, logits, temperature=2.0)
        return [segmentation_loss(logits, label), share_loss(cells, label), aligned]

    outside = all_losses()
    with torch.autocast("cpu", torch.bfloat16):
        inside = all_losses()
    assert all(loss.dtype == torch.float32 for loss in inside)
    assert all(a.equal(b) for a, b in zip(inside, outside, strict=True))


def test_extreme_logits_stay_finite():
    logits = one_row(1e4, -1e4)
    loss = segmentation_loss(logits, labels(0, 1)) + alignment(-logits, logits, temperature=1.0)
    loss.backward()
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
