"""The contract of every method, and what is particular to the controls."""

import copy
from dataclasses import replace

import pytest
import torch
from method_cases import (
    EVERY_OPTION,
    SPEC,
    STATISTICS,
    STEPS,
    collaborative,
    label_of,
    losses_of_every_stage,
    make,
    make_batch,
    same,
    stage_steps,
    state_of,
    total,
    without_gradient,
)
from pydantic import TypeAdapter, ValidationError

from overcast.batch import EVERY_KIND, Holds, InputModalities, Modality
from overcast.errors import ConfigError, MissingModalityError
from overcast.methods.collaborative import CollaborativeOptions
from overcast.methods.distillation import KdOptions
from overcast.methods.hallucination import HallucinationOptions
from overcast.methods.mmanet import MmanetOptions
from overcast.methods.options import MethodOptions, build_deployable, build_method
from overcast.methods.supervised import FusionOptions, OpticalOptions, SarTwinOptions
from overcast.methods.teacher import Schedule
from overcast.models.network import HallucinationNetwork

pytestmark = pytest.mark.usefixtures("one_thread")
every_method = pytest.mark.parametrize("options", EVERY_OPTION, ids=label_of)
STAGED = [options for options in EVERY_OPTION if len(make(options).stages) > 1]


@every_method
def test_losses_are_finite_scalars_and_reach_every_parameter(options):
    method = make(options).train()
    assert method.uses_all_parameters is (len(method.stages) == 1)
    for step in stage_steps(method):
        losses = method.losses(make_batch(), step, STEPS)
        assert all(loss.shape == () and torch.isfinite(loss) and loss > 0 for loss in losses.values())
        total(losses).backward()
    assert without_gradient(method) == []
    assert all(torch.isfinite(p.grad).all() for p in method.parameters() if p.grad is not None)


@every_method
def test_losses_change_nothing_but_running_averages(options):
    """Twice in a row, before and after the stage has begun, in training and in evaluation mode."""
    method = make(options)
    for step, begun in ((step, begun) for step in stage_steps(method) for begun in (False, True)):
        if begun:
            method.begin_step(step, STEPS)
        for training in (False, True):
            method.train(training)
            before = _settings_of(method, averages=not training)
            for _ in range(2):
                method.losses_of_parts((make_batch(32, 32), make_batch(32, 32, seed=1)), step, STEPS)
                assert _settings_of(method, averages=not training) == before


def _settings_of(method, averages):
    """Bytes of the state, and what is trained in which mode; of batch normalisation the averages too or not."""
    moving = ("running_mean", "running_var", "num_batches_tracked")
    state = {name: tensor for name, tensor in method.state_dict().items() if averages or not name.endswith(moving)}
    return (
        {name: tensor.numpy().tobytes() for name, tensor in state.items()},
        [parameter.requires_grad for parameter in method.parameters()],
        [module.training for module in method.modules()],
    )


@pytest.mark.parametrize("options", STAGED, ids=label_of)
def test_a_resumed_stage_keeps_its_weights_and_freezes_as_a_begun_one(options):
    method = make(options).train()
    for stage in method.stages:
        begun, resumed = copy.deepcopy(method), copy.deepcopy(method)
        begun.begin_stage(stage, resumed=False)
        resumed.begin_stage(stage, resumed=True)
        assert same(state_of(method), state_of(resumed))
        assert [p.requires_grad for p in begun.parameters()] == [p.requires_grad for p in resumed.parameters()]
        assert [m.training for m in begun.modules()] == [m.training for m in resumed.modules()]
        frozen = [p for part in method.teacher() for p in part.parameters()]
        assert sum(not p.requires_grad for p in resumed.parameters()) == (stage != method.stages[0]) * len(frozen)


@every_method
def test_classes_and_odd_sizes(options):
    method = make(options, num_classes=4).eval()
    batch = make_batch(33, 70, classes=4)
    assert torch.isfinite(total(method.losses(batch, 50, STEPS)))
    for available in method.available:
        assert method.predict(batch, available).shape == (2, 4, 33, 70)


@pytest.mark.parametrize("options", {one.name: one for one in EVERY_OPTION}.values(), ids=label_of)
def test_a_decoder_of_half_resolution_serves_every_method(options):
    method, batch = make(options, decoder_channels=(16, 8, 8, 8)).train(), make_batch()
    for step in (0, STEPS - 1):
        losses = method.losses(batch, step, STEPS)
        total(losses).backward()
        assert all(torch.isfinite(loss) and loss.ndim == 0 for loss in losses.values())
    for available in sorted(method.available):
        assert method.predict(batch, available).shape == (2, 1, 65, 97)


def test_cells_smaller_than_a_feature_are_refused():
    with pytest.raises(ConfigError, match=r"cell_px must be a multiple of 2.*got 3"):
        make(MmanetOptions(cell_px=3), decoder_channels=(16, 8, 8, 8))


@every_method
def test_deployable_equals_prediction_to_the_last_bit(options):
    method = make(options).train()
    method.losses(make_batch(), 50, STEPS)  # moves the batch statistics
    method.eval()
    batch = make_batch(seed=1)
    inputs = [batch.require(modality.value) for modality in method.deployed_inputs]
    available = InputModalities.BOTH if len(inputs) > 1 else InputModalities(method.deployed_inputs[0].value)
    fresh = build_deployable(options, SPEC).eval()
    fresh.load_state_dict(method.deployable().state_dict(), strict=True)
    with torch.no_grad():
        expected = method.predict(batch, available)
        assert expected.equal(method.deployable().eval()(*inputs))
        assert expected.equal(fresh(*inputs))


@every_method
def test_copies_and_state_dicts_are_whole(options):
    method, other = make(options).eval(), build_method(options, SPEC).eval()
    other.load_state_dict(method.state_dict(), strict=True)
    batch = make_batch(64, 64)
    for available in method.available:
        expected = method.predict(batch, available)
        assert expected.equal(other.predict(batch, available))
        assert expected.equal(copy.deepcopy(method).predict(batch, available))


@every_method
def test_deployable_does_not_disturb_training(options):
    method = make(options).train()
    method.deployable().eval()
    assert all(module.training for module in method.modules())


@every_method
def test_prediction_from_what_a_method_cannot_use_is_refused(options):
    method = make(options)
    for available in set(InputModalities) - method.available:
        with pytest.raises(ConfigError, match=f"'{options.name}' cannot work from '{available.value}'"):
            method.predict(make_batch(), available)


@every_method
def test_missing_modalities_are_named(options):
    method = make(options)
    for modality in method.needs:
        batch = make_batch().without(modality)
        used = [method.uses(batch.holds, stage) for stage in method.stages]
        if not all(used):
            with pytest.raises(MissingModalityError, match=f"'{modality.value}'"):
                losses_of_every_stage(method, batch)
    for modality in set(Modality) - method.needs:
        assert losses_of_every_stage(method, make_batch().without(modality))


@every_method
def test_every_kind_of_place_that_a_stage_uses_teaches_it_something(options):
    method = make(options).train()
    for step, stage in zip(stage_steps(method), method.stages, strict=True):
        assert method.uses(make_batch().holds, stage)
        for kind in (kind for kind in EVERY_KIND if method.uses(kind, stage)):
            losses = method.losses(make_batch().only(kind), step, STEPS)
            assert losses
            assert all(loss.shape == () and torch.isfinite(loss) for loss in losses.values())
            assert not [name for name in losses if name.startswith("seg") and not kind.labelled]
            total(losses).backward()


@every_method
def test_ground_without_labels_costs_no_supervised_loss_anything(options):
    """Whatever the images there show, pixels of label 255 change no supervised loss and no gradient of one."""
    method = make(options).eval()
    batch = make_batch()
    label = batch.require("label").clone()
    label[1] = 255
    half = replace(batch, label=label)
    alone = batch.map(lambda tensor: tensor[:1])
    for step in stage_steps(method):
        torch.manual_seed(step)
        found = {name: loss for name, loss in method.losses(half, step, STEPS).items() if "seg" in name}
        torch.manual_seed(step)
        expected = method.losses(replace(alone, keys=("a",)), step, STEPS)
        assert all(torch.allclose(loss, expected[name], atol=1e-6) for name, loss in found.items())


TAUGHT = [CollaborativeOptions(), KdOptions(), HallucinationOptions()]


@pytest.mark.parametrize("options", TAUGHT, ids=label_of)
def test_pairs_without_labels_leave_the_teacher_as_it_is(options):
    for schedule in ("joint", "teacher_first"):
        method = make(options.model_copy(update={"schedule": Schedule(schedule)})).train()
        method.begin_step(90, STEPS)
        method.losses(make_batch(), 90, STEPS)
        before = state_of(*method.informs())
        losses = method.losses(make_batch(seed=1).only(Holds(sar=True, optical=True, labelled=False)), 90, STEPS)
        total(losses).backward()
        moved = [p for part in method.teacher() for p in part.parameters() if p.grad is not None]
        shared = {id(p) for p in method.deployable().parameters()}
        assert same(before, state_of(*method.informs())) or schedule == "joint"
        assert not [p for p in moved if id(p) not in shared and p.grad.any()] or schedule == "joint"
        assert all(module.training for module in method.network.modules()) is (schedule == "joint")


@pytest.mark.parametrize("options", TAUGHT, ids=label_of)
def test_a_pair_without_a_clear_optical_pixel_is_sar_alone_to_the_last_bit(options):
    method = make(options).eval()
    batch = make_batch()
    blind = replace(batch, optical_valid=torch.zeros_like(batch.require("optical_valid")))
    pair = method.losses(blind, 90, STEPS)
    alone = method.losses(batch.without(Modality.OPTICAL), 90, STEPS)
    assert alone
    assert all(pair[name].equal(loss) for name, loss in alone.items())
    assert all(loss.item() == 0 for name, loss in pair.items() if name not in alone)


def test_terms_of_several_kinds_are_their_mean_over_samples():
    method, batch = make(CollaborativeOptions()).eval(), make_batch()
    unlabelled = batch.only(Holds(sar=True, optical=True, labelled=False)).map(lambda tensor: tensor[:1])
    unlabelled = replace(unlabelled, keys=("c",))
    found = method.losses_of_parts((batch, unlabelled), 90, STEPS)
    first, second = (method.losses(part, 90, STEPS) for part in (batch, unlabelled))
    expected = (2 * first["align_fused"] + second["align_fused"]) / 3
    assert torch.allclose(found["align_fused"], expected, rtol=1e-4)
    assert torch.allclose(found["seg_optical"], first["seg_optical"], rtol=1e-4)
    assert torch.allclose(found["soft_hallucination"], second["soft_hallucination"], rtol=1e-4)


@pytest.mark.parametrize("options", TAUGHT, ids=label_of)
def test_students_see_all_places_in_one_pass_and_the_teacher_labelled_ones_alone(options):
    """Their batch statistics are those of both kinds together; the teacher's those of the labelled kind."""
    joint = options.model_copy(update={"schedule": Schedule.JOINT})
    labelled = make_batch(64, 64)
    other = make_batch(64, 64, seed=1).only(Holds(sar=True, optical=True, labelled=False))
    method, alone, both = (make(joint).train() for _ in range(3))
    method.losses_of_parts((labelled, other), 50, STEPS)
    alone.losses(labelled, 50, STEPS)
    both.deployable().train()(torch.cat([labelled.require("sar"), other.require("sar")]))
    own = method.deployable().state_dict()
    together = both.deployable().state_dict()
    means = [name for name in own if name.endswith("running_mean") and "block" not in name]
    assert means
    assert all(torch.allclose(own[name], together[name], atol=1e-5) for name in means)
    optical = [part.state_dict() for part in (method.teacher()[0], alone.teacher()[0])]
    assert all(tensor.equal(optical[1][name]) for name, tensor in optical[0].items())


@every_method
def test_a_batch_without_one_valid_pixel_costs_nothing(options):
    method = make(options).train()
    batch = make_batch()
    nothing = torch.zeros_like(batch.require("sar_valid"))
    for step in stage_steps(method):
        losses = method.losses(replace(batch, sar_valid=nothing, optical_valid=nothing), step, STEPS)
        assert all(loss.item() == 0 for loss in losses.values())
        total(losses).backward()
        assert all(not p.grad.any() for p in method.parameters() if p.grad is not None)


@every_method
def test_labels_where_no_sensor_has_data_change_no_loss(options):
    method = make(options).eval()
    batch = make_batch()
    blind = ~(batch.require("sar_valid") | batch.require("optical_valid"))[:, 0]
    label = batch.require("label").clone()
    label[blind] = 1 - label[blind].clamp(max=1)
    assert blind.any()
    expected, found = (losses_of_every_stage(method, b) for b in (batch, replace(batch, label=label)))
    assert all(found[name].equal(loss) for name, loss in expected.items())


@every_method
def test_half_precision_autocast_gives_float32_losses(options):
    method = make(options).train()
    with torch.autocast("cpu", torch.bfloat16):
        losses = method.losses(make_batch(64, 64), 50, STEPS)
    assert all(loss.dtype == torch.float32 for loss in losses.values())
    total(losses).backward()
    assert all(torch.isfinite(p.grad).all() for p in method.parameters() if p.grad is not None)


@every_method
def test_options_survive_json(options):
    adapter: TypeAdapter[MethodOptions] = TypeAdapter(MethodOptions)
    assert adapter.validate_json(options.model_dump_json()) == options


def test_unknown_options_are_refused():
    adapter: TypeAdapter[MethodOptions] = TypeAdapter(MethodOptions)
    with pytest.raises(ValidationError, match="does not match any of the expected tags"):
        adapter.validate_python({"name": "magic"})
    with pytest.raises(ValidationError, match="Extra inputs"):
        adapter.validate_python({"name": "cmhcl", "temprature": 2})


def test_the_twin_control_deploys_the_network_of_cmhcl():
    twin, collaborative_ = make(SarTwinOptions()).deployable(), collaborative().deployable()
    assert type(twin) is type(collaborative_) is HallucinationNetwork
    shapes = [{name: t.shape for name, t in network.state_dict().items()} for network in (twin, collaborative_)]
    assert shapes[0] == shapes[1]


def test_fusion_sees_the_zeroed_and_the_mean_image():
    method, batch = make(FusionOptions()).eval(), make_batch()
    raw_zero = torch.tensor([-90 / 30, -80 / 20, -60 / 40])[:, None, None].expand(2, 3, 65, 97)
    for available, image in (
        (InputModalities.BOTH_OPTICAL_ZERO, raw_zero),
        (InputModalities.BOTH_OPTICAL_MEAN, raw_zero * 0),
    ):
        expected = method.predict(replace(batch, optical=image.contiguous()), InputModalities.BOTH)
        assert method.predict(batch, available).equal(expected)
        assert not method.predict(batch, InputModalities.BOTH).equal(expected)


def test_zeroing_needs_statistics_that_fit():
    method = build_method(FusionOptions(), SPEC)
    with pytest.raises(ConfigError, match="build the method with statistics"):
        method.predict(make_batch(), InputModalities.BOTH_OPTICAL_ZERO)
    with pytest.raises(ConfigError, match="4 optical bands, but the statistics have 3"):
        build_method(FusionOptions(), SPEC.with_bands(2, 4), STATISTICS)


def test_fusion_is_deployed_with_both_sensors():
    assert make(FusionOptions()).deployed_inputs == (Modality.OPTICAL, Modality.SAR)


@pytest.mark.parametrize("options", [OpticalOptions(), FusionOptions(), CollaborativeOptions()], ids=label_of)
def test_optical_methods_refuse_data_without_optical(options):
    with pytest.raises(ConfigError, match="needs optical images"):
        build_method(options, SPEC.with_bands(2, 0))
