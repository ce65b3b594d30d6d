"""The contract of every method with edges and contacts, and the recipe that switches them on for all."""

import math
from dataclasses import replace

import pytest
import torch
from method_cases import (
    LITERATURE,
    SPEC,
    STEPS,
    label_of,
    losses_of_every_stage,
    make,
    make_batch,
    stage_steps,
    total,
    without_gradient,
)
from pydantic import ValidationError
from torch import Tensor

from overcast.batch import Batch, InputModalities
from overcast.data.targets import Targets
from overcast.errors import MissingModalityError
from overcast.methods.base import Method
from overcast.methods.collaborative import CollaborativeOptions
from overcast.methods.distances import channel_alignment, entropy_of, soft_cross_entropy
from overcast.methods.distillation import KdOptions, StudentKind, TeacherKind
from overcast.methods.losses import alignment, segmentation_loss, share_loss
from overcast.methods.options import MethodOptions, build_deployable
from overcast.methods.supervised import FusionOptions, OpticalOptions, SarOptions, SarTwinOptions
from overcast.methods.teacher import Schedule
from overcast.models.network import NetworkSpec

pytestmark = pytest.mark.usefixtures("one_thread")
EDGE_AND_CONTACT = Targets(edge=True, contact=True)
FOOTPRINT_COUNTS = Targets(edge=True, contact=True, edge_weight=0, contact_weight=0)
METHODS: list[MethodOptions] = [
    SarOptions(),
    SarTwinOptions(),
    OpticalOptions(),
    FusionOptions(),
    CollaborativeOptions(),
    *LITERATURE,
    KdOptions(student=StudentKind.SINGLE, teacher=TeacherKind.BOTH, schedule=Schedule.JOINT),
]
every_method = pytest.mark.parametrize("options", METHODS, ids=label_of)


def with_targets(batch: Batch, count: int = 2) -> Batch:
    shape = (len(batch), count, *batch.require("label").shape[1:])
    generator = torch.Generator().manual_seed(5)
    return replace(batch, targets=torch.randint(0, 2, shape, generator=generator, dtype=torch.uint8))


@every_method
def test_a_step_with_edges_and_contacts(options: MethodOptions):
    method = make(options, targets=EDGE_AND_CONTACT).train()
    batch = with_targets(make_batch(64, 64))
    optimiser = torch.optim.AdamW(method.parameters(), 1e-3)
    for step in stage_steps(method):
        losses = method.losses(batch, step, STEPS)
        assert all(loss.shape == () and torch.isfinite(loss) and loss > 0 for loss in losses.values())
        total(losses).backward()
    assert without_gradient(method) == []
    optimiser.step()
    assert all(torch.isfinite(parameter).all() for parameter in method.parameters())


@every_method
def test_the_deployable_gives_three_maps_the_footprint_first(options: MethodOptions):
    method, batch = make(options, targets=EDGE_AND_CONTACT).eval(), with_targets(make_batch(33, 70))
    inputs = [batch.require(modality.value) for modality in method.deployed_inputs]
    available = InputModalities.BOTH if len(inputs) > 1 else InputModalities(method.deployed_inputs[0].value)
    fresh = build_deployable(options, method.spec).eval()
    fresh.load_state_dict(method.deployable().state_dict(), strict=True)
    with torch.no_grad():
        maps = fresh(*inputs)
        assert maps.shape == (2, 3, 33, 70)
        assert maps.equal(method.predict(batch, available))
        assert not maps[:, 0].equal(maps[:, 1])


@every_method
def test_the_footprint_terms_are_those_of_the_plain_method(options: MethodOptions):
    """With weight 0 on edge and contact every loss of every method is what it is without them."""
    plain, rich = make(options).train(), make(options, targets=FOOTPRINT_COUNTS).train()
    copy_first_rows(plain, rich)
    batch = make_batch(64, 64)
    expected = losses_of_every_stage(plain, batch)
    found = losses_of_every_stage(rich, with_targets(batch))
    assert found.keys() == expected.keys()
    for name, loss in expected.items():
        assert found[name].item() == pytest.approx(loss.item(), rel=1e-5), name


@every_method
def test_edges_and_contacts_have_a_say_in_every_method(options: MethodOptions):
    light, heavy = (
        make(options, targets=Targets(edge=True, contact=True, edge_weight=weight, contact_weight=weight)).eval()
        for weight in (0.0, 1.0)
    )
    heavy.load_state_dict(light.state_dict())
    batch = with_targets(make_batch(64, 64))
    few, many = losses_of_every_stage(light, batch), losses_of_every_stage(heavy, batch)
    supervised = [name for name in few if "seg" in name]
    assert supervised
    assert all(many[name] > few[name] for name in supervised)


def copy_first_rows(plain: Method, rich: Method) -> None:
    """Give `rich` the weights of `plain`; its heads have further rows, which keep theirs."""
    state = rich.state_dict()
    for name, tensor in plain.state_dict().items():
        if tensor.ndim:  # all but the counters of batch normalisation
            state[name][: len(tensor)] = tensor
    rich.load_state_dict(state)


def test_a_batch_without_targets_is_named():
    with pytest.raises(MissingModalityError, match="'targets'"):
        make(SarOptions(), targets=EDGE_AND_CONTACT).losses(make_batch(64, 64), 0, STEPS)


def test_targets_are_of_one_class():
    with pytest.raises(ValidationError, match="targets of one class"):
        NetworkSpec(num_classes=3, targets=EDGE_AND_CONTACT)
    assert NetworkSpec(num_classes=3).logits == 3
    assert SPEC.logits == 1
    assert NetworkSpec.model_validate(SPEC.model_dump() | {"targets": EDGE_AND_CONTACT}).logits == 3


WEIGHTS = (1.0, 0.25, 0.1)


def random_maps(seed: int) -> Tensor:
    return torch.randn(2, 3, 40, 40, generator=torch.Generator().manual_seed(seed))


def test_every_loss_is_the_weighted_sum_of_its_one_logit_losses():
    teacher, student = random_maps(0), random_maps(1)
    label = (random_maps(2) > 0).to(torch.uint8)
    label[:, :, :4] = 255
    valid = torch.rand(2, 1, 40, 40, generator=torch.Generator().manual_seed(3)) > 0.2

    def summed(term) -> float:
        return sum(w * float(term(slice(k, k + 1), k)) for k, w in enumerate(WEIGHTS))

    t, s = teacher, student
    pairs = [
        (
            segmentation_loss(s, label, valid, WEIGHTS),
            summed(lambda at, k: segmentation_loss(s[:, at], label[:, k], valid)),
        ),
        (
            share_loss(s[:, :, :2, :2], label, valid, WEIGHTS),
            summed(lambda at, k: share_loss(s[:, at, :2, :2], label[:, k], valid)),
        ),
        (
            alignment(t, s, temperature=2, valid=valid, weights=WEIGHTS),
            summed(lambda at, _: alignment(t[:, at], s[:, at], temperature=2, valid=valid)),
        ),
        (
            channel_alignment(t, s, temperature=4, valid=valid, weights=WEIGHTS),
            summed(lambda at, _: channel_alignment(t[:, at], s[:, at], temperature=4, valid=valid)),
        ),
        (
            soft_cross_entropy(t, s, temperature=10, valid=valid, weights=WEIGHTS),
            summed(lambda at, _: soft_cross_entropy(t[:, at], s[:, at], temperature=10, valid=valid)),
        ),
        (entropy_of(t, WEIGHTS).mean(), summed(lambda at, _: entropy_of(t[:, at]).mean())),
    ]
    for found, expected in pairs:
        assert found.item() == pytest.approx(expected, rel=1e-5)


def test_the_weighted_loss_by_hand():
    probabilities = torch.tensor([0.9, 0.4, 0.2])
    logits = probabilities.logit().view(1, 3, 1, 1)
    label = torch.tensor([1, 0, 1], dtype=torch.uint8).view(1, 3, 1, 1)
    footprint = -math.log(0.9) + 1 - (2 * 0.9 + 1) / (0.9 + 1 + 1)
    edge = -math.log(0.6) + 1 - 1 / (0.4 + 1)
    contact = -math.log(0.2) + 1 - (2 * 0.2 + 1) / (0.2 + 1 + 1)
    loss = segmentation_loss(logits, label, weights=WEIGHTS)
    assert loss.item() == pytest.approx(footprint + 0.25 * edge + 0.1 * contact, rel=1e-5)


def test_a_single_weight_of_one_is_the_plain_loss_to_the_last_bit():
    logits, label = random_maps(4)[:, :1], (random_maps(5)[:, 0] > 0).to(torch.uint8)
    assert segmentation_loss(logits, label[:, None], weights=(1.0,)).equal(segmentation_loss(logits, label))
