"""What makes the controls of few labels those methods: a mean teacher, and a start from the optical network."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from method_cases import STEPS, make, make_batch, train_step
from torch import Tensor, nn

from overcast.methods.distillation import StudentKind
from overcast.methods.optical_init import OpticalInitOptions
from overcast.methods.self_training import SelfTraining, SelfTrainingOptions, strong_view
from overcast.models.network import SupervisedTwinNetwork

NO_CHANGE = SelfTrainingOptions(gain=0, offset=0, speckle=0)


def self_training(**changes: Any) -> SelfTraining:
    method = make(SelfTrainingOptions.model_validate(changes)).train()
    assert isinstance(method, SelfTraining)
    return method


def test_the_deployed_network_is_the_running_average_of_the_student() -> None:
    method = self_training(momentum=0.75)
    student = next(method.network.student.parameters())
    average = next(method.network.average.parameters())
    with torch.no_grad():
        student.fill_(1.0)
        average.fill_(3.0)
    method.begin_step(STEPS - 1, STEPS)
    torch.testing.assert_close(average, torch.full_like(average, 0.75 * 3 + 0.25 * 1))


def test_the_first_steps_average_over_all_of_them() -> None:
    method = self_training(momentum=0.99)
    method.begin_step(0, STEPS)
    for own, new in zip(method.network.average.parameters(), method.network.student.parameters(), strict=True):
        assert own.equal(new)


def test_the_average_starts_with_the_statistics_of_the_model_that_training_starts_from() -> None:
    method = self_training()
    with torch.no_grad():
        for buffer in method.startable().buffers():
            buffer.fill_(2)
    method.begin_step(0, STEPS)
    assert (_statistics(method.network.average) == 2).all()


@pytest.mark.parametrize("labelled", [False, True])
def test_the_average_follows_the_statistics_of_places_as_they_are_drawn(labelled: bool) -> None:
    """Strong views move those of the student alone: nobody maps a scene seen that way."""
    batch = make_batch() if labelled else replace(make_batch(), label=None)
    found = []
    for options in (NO_CHANGE, SelfTrainingOptions(gain=0.9, offset=3, speckle=3)):
        method = self_training(**options.model_dump(exclude={"name"}))
        before = _statistics(method.network.average)
        method.losses(batch, STEPS - 1, STEPS)
        method.begin_step(STEPS - 1, STEPS)
        found.append((_statistics(method.network.average), _statistics(method.network.student)))
        assert not found[-1][0].equal(before)
    (mild, mild_student), (strong, strong_student) = found
    assert mild.equal(strong)
    assert mild_student.equal(strong_student) is labelled


def test_labelled_places_do_not_move_the_statistics_of_the_average() -> None:
    """Where there are places without labels, which look like the ground that is mapped."""
    found = []
    for labelled in (make_batch(seed=1), make_batch(seed=2)):
        method = self_training()
        method.losses_of_parts((labelled, replace(make_batch(), label=None)), STEPS - 1, STEPS)
        found.append(_statistics(method.network.average))
    assert found[0].equal(found[1])


def _statistics(network: nn.Module) -> Tensor:
    """Running averages of batch normalisation in the part that is deployed."""
    deployed = network.twin if isinstance(network, SupervisedTwinNetwork) else network
    return torch.cat([each.flatten().double() for each in deployed.buffers()])


def test_no_gradient_reaches_the_average() -> None:
    method = self_training()
    losses = method.losses(replace(make_batch(), label=None), STEPS - 1, STEPS)
    torch.stack(list(losses.values())).sum().backward()
    assert all(parameter.grad is None for parameter in method.network.average.parameters())
    assert any(parameter.grad is not None for parameter in method.network.student.parameters())


def test_labels_of_the_average_count_more_from_step_to_step() -> None:
    method = self_training(ramp_share=0.5)
    batch = replace(make_batch(), label=None)
    torch.manual_seed(0)
    assert all(loss.item() == 0 for loss in method.losses(batch, 0, STEPS).values())
    assert all(loss.item() > 0 for loss in method.losses(batch, STEPS // 2, STEPS).values())


def test_the_strong_view_moves_no_pixel_and_keeps_missing_ones_missing() -> None:
    batch = make_batch()
    sar, valid = batch.require("sar"), batch.require("sar_valid")
    torch.manual_seed(1)
    seen = strong_view(sar, valid, NO_CHANGE)
    blind = (seen != sar * valid).any(1)
    assert blind.any()
    assert (seen[:, 0][blind] == 0).all()
    for sample in blind:  # one rectangle, at most half as long and wide as the sample
        rows, cols = sample.any(1).sum(), sample.any(0).sum()
        assert rows <= sample.shape[0] // 2 + 1
        assert cols <= sample.shape[1] // 2 + 1
    changed = strong_view(sar, valid, SelfTrainingOptions())
    assert (changed[~valid.expand_as(changed)] == 0).all()
    assert not changed.equal(seen)


@pytest.mark.parametrize("student", list(StudentKind))
def test_the_sar_network_starts_from_the_trained_optical_one(student: StudentKind) -> None:
    method = make(OpticalInitOptions(student=student)).train()
    for step in range(2):
        train_step(method, step)
    first_of_sar = round(method.stages[0].share * STEPS)
    optical = {name: tensor.clone() for name, tensor in method.network.teacher.branch.state_dict().items()}
    method.begin_step(first_of_sar, STEPS)
    network = method.network.student
    branches = [network.branch] if student is StudentKind.SINGLE else [network.twin.first, network.twin.second]
    weights = [name for name, tensor in optical.items() if tensor.ndim == 4]
    for branch in branches:
        taken = branch.state_dict()
        differing = [name for name in weights if taken[name].shape != optical[name].shape]
        assert len(differing) == 1, "the first convolution alone is fitted to other bands"
        assert all(taken[name].equal(optical[name]) for name in weights if name not in differing)
