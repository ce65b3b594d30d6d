"""What is particular to CMH-CL: its terms, its switches and the teacher-first schedule."""

import copy
import re
from dataclasses import replace
from typing import Any

import pytest
import torch
from method_cases import STEPS, collaborative, make_batch, state_of, total, train_step
from pydantic import TypeAdapter
from torch import Tensor
from where import ROOT

from overcast.batch import InputModalities, Modality
from overcast.methods.base import both_valid
from overcast.methods.collaborative import CollaborativeLearning, CollaborativeOptions, Divergence
from overcast.methods.distances import channel_alignment
from overcast.methods.losses import TeacherGradient, alignment, teacher_correct
from overcast.methods.stages import position_in
from overcast.methods.teacher import Schedule
from overcast.models.network import Sharing

pytestmark = pytest.mark.usefixtures("one_thread")


def test_predictions_are_the_paper_s_heads():
    method, batch = collaborative().eval(), make_batch()
    output = method.network(batch.require("sar"), batch.require("optical"))
    assert method.predict(batch, InputModalities.SAR).equal(output.fused_hallucination)
    assert method.predict(batch.without(Modality.OPTICAL), InputModalities.SAR).equal(output.fused_hallucination)
    assert method.predict(batch, InputModalities.BOTH).equal(output.fused_optical)
    assert method.predict(batch.without(Modality.SAR), InputModalities.OPTICAL).equal(output.optical)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, {"align_share", "align_output", "align_fused"}),
        ({"msal_terms": "share"}, {"align_share", "align_fused"}),
        ({"msal_terms": "output"}, {"align_output", "align_fused"}),
        ({"msal": False}, {"align_fused"}),
        ({"mfal": False}, {"align_share", "align_output"}),
        ({"msal": False, "mfal": False}, set()),
    ],
)
def test_the_ablation_switches_terms(options, names):
    losses = collaborative(**options).losses(make_batch(), 50, STEPS)
    assert {name for name in losses if name.startswith("align")} == names
    assert {name for name in losses if name.startswith("seg")} == {
        f"seg_{head}"
        for head in (
            "fused_optical",
            "fused_hallucination",
            "optical",
            "hallucination",
            "share_optical",
            "share_hallucination",
        )
    }


def test_without_msal_nothing_is_shared_between_the_encoders():
    method = collaborative(msal=False, mfal=False).train()
    losses = method.losses(make_batch(), 50, STEPS)
    total({name: losses[name] for name in ("seg_optical", "seg_share_optical")}).backward()
    reached = {name for name, p in method.network.named_parameters() if p.grad is not None}
    assert reached
    assert all(name.startswith("optical") for name in reached)


def test_alignments_compare_what_the_paper_names():
    options: dict[str, Any] = {"temperature": 3.0, "lambda_msa": 0.7, "lambda_mfa": 0.3, "warmup_share": 0.0}
    method, batch = collaborative(**options).eval(), make_batch()
    losses, output = method.losses(batch, 0, STEPS), method.network(batch.require("sar"), batch.require("optical"))
    valid = batch.require("sar_valid") & batch.require("optical_valid")
    fused = alignment(output.fused_optical, output.fused_hallucination, temperature=3.0, valid=valid)
    branches = alignment(output.optical, output.hallucination, temperature=3.0, valid=valid)
    torch.testing.assert_close(losses["align_fused"], 0.3 * fused)
    torch.testing.assert_close(losses["align_output"], 0.7 * branches)


@pytest.mark.parametrize("name", ["align_share", "align_output", "align_fused"])
@pytest.mark.parametrize("gradient", TeacherGradient)
def test_detached_alignment_sends_no_gradient_to_the_teacher(name, gradient):
    method = collaborative(teacher_gradient=gradient).train()
    method.losses(make_batch(), 50, STEPS)[name].backward()
    teacher = (method.network.optical, method.network.optical_fusion, method.network.optical_head)
    reached = any(p.grad is not None and p.grad.any() for part in teacher for p in part.parameters())
    assert reached is (gradient is TeacherGradient.MUTUAL)
    student = method.network.deployed.first.encoder.parameters()
    assert all(p.grad is not None for p in student)


@pytest.mark.parametrize("name", ["align_share", "align_output", "align_fused"])
def test_alignment_is_zero_where_both_paths_are_one(name):
    method = collaborative(sharing=Sharing.WEIGHTS_AND_STATISTICS).eval()
    network = method.network
    network.optical, network.optical_head = network.deployed.first, network.hallucination_head
    network.optical_fusion = network.deployed.fusion
    batch = make_batch()
    same = replace(batch, optical=batch.sar)
    assert method.losses(same, 50, STEPS)[name].item() == 0
    assert method.losses(replace(batch, optical=-batch.require("sar")), 50, STEPS)[name].item() > 0


def test_alignment_counts_only_where_both_sensors_have_data():
    method, batch = collaborative().eval(), make_batch()
    disjoint = replace(batch, optical_valid=~batch.require("sar_valid"))
    losses = method.losses(disjoint, 50, STEPS)
    assert losses["align_output"].item() == 0
    assert losses["align_fused"].item() == 0
    assert losses["seg_fused_optical"].item() == 0
    assert losses["seg_optical"].item() > 0


def test_warm_up_rises_linearly():
    method, batch = collaborative(warmup_share=0.4).eval(), make_batch()
    values = [method.losses(batch, step, STEPS)["align_fused"].item() for step in (0, 10, 20, 40, 99)]
    assert values[0] == 0
    assert [value / values[-1] for value in values[1:]] == pytest.approx([0.25, 0.5, 1, 1])


def test_weights_scale_each_head():
    batch = make_batch()
    plain = collaborative().eval().losses(batch, 50, STEPS)
    heavy = collaborative(weights={"optical": 3.0, "fused_hallucination": 0.0}).eval().losses(batch, 50, STEPS)
    torch.testing.assert_close(heavy["seg_optical"], 3 * plain["seg_optical"])
    assert heavy["seg_fused_hallucination"].item() == 0
    torch.testing.assert_close(heavy["seg_hallucination"], plain["seg_hallucination"])


def teacher_first(sharing: Sharing = Sharing.WEIGHTS) -> CollaborativeLearning:
    return collaborative(sharing, schedule=Schedule.TEACHER_FIRST, teacher_share=0.3).train()


def test_the_first_stage_trains_the_optical_path_alone():
    method = teacher_first()
    network = method.network
    students = (network.deployed.first, network.deployed.second, network.deployed.fusion, network.optical_fusion)
    before, teacher_before = state_of(*students), state_of(*network.teacher())
    assert set(method.losses(make_batch(64, 64), 29, STEPS)) == {"seg_optical", "seg_share_optical"}
    train_step(method, 29)
    assert all(a.equal(b) for a, b in zip(before, state_of(*students), strict=True))
    assert not all(a.equal(b) for a, b in zip(teacher_before, state_of(*network.teacher()), strict=True))


@pytest.mark.parametrize("sharing", Sharing)
def test_the_frozen_teacher_does_not_move(sharing):
    method = teacher_first(sharing)
    train_step(method, 29)
    batch = make_batch(seed=9)

    def teacher_logits() -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            return copy.deepcopy(method).eval().network.optical_only(batch.require("optical"))

    method.begin_step(30, STEPS)
    method.losses(make_batch(64, 64), 30, STEPS)
    before = teacher_logits()
    for step in range(30, 33):
        method.train()  # as a trainer does after validation
        train_step(method, step)
    assert all(a.equal(b) for a, b in zip(before, teacher_logits(), strict=True))
    assert not any(module.training for module in method.network.optical.modules())
    assert all(p.grad is None for p in method.network.optical.parameters())


def test_the_second_stage_trains_the_students_with_their_own_statistics():
    method = teacher_first()
    train_step(method, 30)
    deployed: Any = method.network.deployed
    before = state_of(deployed.first, deployed.second, deployed.fusion)
    statistics = deployed.block.norm1.running_mean.clone()
    train_step(method, 31)
    after = state_of(deployed.first, deployed.second, deployed.fusion)
    assert all(not a.equal(b) for a, b in zip(before, after, strict=True) if a.is_floating_point() and a.ndim > 1)
    assert not statistics.equal(deployed.block.norm1.running_mean)


def test_the_stage_is_a_function_of_the_step():
    method = teacher_first()
    resumed = copy.deepcopy(method)
    train_step(method, 29)
    resumed.load_state_dict(method.state_dict())
    for step in (30, 31):
        train_step(method, step)
        train_step(resumed, step)
    assert all(a.equal(b) for a, b in zip(state_of(method), state_of(resumed), strict=True))


def test_warm_up_starts_with_the_students():
    options = CollaborativeOptions(schedule=Schedule.TEACHER_FIRST, teacher_share=0.5, warmup_share=0.2)
    ramps = [options.ramp(position_in(options.stages, step, 100)) for step in (50, 55, 60, 99)]
    assert ramps == [0, 0.5, 1, 1]
    assert CollaborativeOptions(warmup_share=0).ramp(position_in(options.stages, 0, 10)) == 1


def test_the_method_page_lists_every_option_with_its_default():
    page = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
    rows = {name: row for row in page.splitlines() for name in re.findall(r"^\| (`.*?`) \|", row)}
    names = set(CollaborativeOptions.model_fields) - {"name", "weights", "lambda_msa", "lambda_mfa"}
    assert {f"`{name}`" for name in names} <= set(rows)
    for name in names:
        default = CollaborativeOptions.model_fields[name].default
        first = rows[f"`{name}`"].split("|")[2].split(",")[0].strip(" `")
        assert TypeAdapter(type(default)).validate_strings(first) == default


def test_alignments_can_count_only_where_the_teacher_is_right():
    label = torch.tensor([[[1, 0, 255, 1]]])
    teacher = torch.tensor([[[[2.0, 2.0, 2.0, -2.0]]]])
    assert teacher_correct(teacher, label).tolist() == [[[[1.0, 0.0, 0.0, 0.0]]]]
    classes = torch.stack([-teacher[:, 0], teacher[:, 0], torch.full((1, 1, 4), -9.0)], 1)
    assert teacher_correct(classes, label).tolist() == [[[[1.0, 0.0, 0.0, 0.0]]]]
    targets = torch.cat([teacher, -teacher], 1)
    assert teacher_correct(targets, label, (1.0, 0.25)).tolist() == [[[[1.0, 0.0, 0.0, 0.0]]]]


def test_a_cell_is_right_by_most_of_its_labelled_pixels():
    label = torch.full((1, 40, 64), 255)
    label[:, :10, :20], label[:, 10:20, :20] = 1, 1
    label[:, 20:25, :20] = 0
    teacher = torch.tensor([[[[3.0, 3.0], [3.0, 3.0]]]])
    assert teacher_correct(teacher, label).tolist() == [[[[1.0, 0.0], [0.0, 0.0]]]]


def test_a_wrong_teacher_passes_nothing_on():
    method, batch = collaborative(align_where="teacher_correct", msal_terms="output"), make_batch()
    output = method.network(batch.require("sar"), batch.require("optical"))
    batch = replace(batch, label=(output.fused_optical[:, 0] <= 0).long())
    assert method.losses(batch, 50, STEPS)["align_fused"] == 0
    assert method.losses(replace(batch, label=1 - batch.require("label")), 50, STEPS)["align_fused"] > 0


def test_alignments_can_compare_distributions_over_pixels():
    method, batch = collaborative(divergence="channel", msal_terms="output", temperature=4.0), make_batch()
    output = method.network(batch.require("sar"), batch.require("optical"))
    found = method.losses(batch, 50, STEPS)["align_fused"]
    valid = both_valid(batch)
    expected = channel_alignment(output.fused_optical, output.fused_hallucination, temperature=4.0, valid=valid)
    torch.testing.assert_close(found, expected)
    assert found > 0
    with pytest.raises(ValueError, match="detaches the teacher"):
        CollaborativeOptions(divergence=Divergence.CHANNEL, teacher_gradient=TeacherGradient.MUTUAL)


@pytest.mark.parametrize(("option", "reached"), [("both_heads", True), ("hal_sar", False)])
def test_the_sar_branch_can_learn_for_the_hal_sar_head_alone(option, reached):
    method, batch = collaborative(sar_gradient=option, mfal=False), make_batch()
    losses = method.losses(batch, 50, STEPS)
    (parameter, *_) = method.network.deployed.second.parameters()
    (gradient,) = torch.autograd.grad(losses["seg_fused_optical"], parameter, retain_graph=True, allow_unused=True)
    assert (gradient is not None and bool(gradient.any())) is reached
    (gradient,) = torch.autograd.grad(losses["seg_fused_hallucination"], parameter)
    assert gradient.any()
    other = collaborative(mfal=False)
    other.load_state_dict(method.state_dict())
    for name, loss in other.losses(batch, 50, STEPS).items():
        torch.testing.assert_close(loss, losses[name], msg=name)
