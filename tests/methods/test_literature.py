"""What makes each method of the literature that method."""

import copy
from dataclasses import replace

import pytest
import torch
from method_cases import STEPS, make, make_batch, same, stage_steps, state_of, total, train_step
from torch import Tensor, nn

from overcast.batch import Batch, InputModalities, Modality
from overcast.errors import ConfigError
from overcast.methods.disoptnet import DisoptnetOptions, branch_distance, labels_of
from overcast.methods.distances import channel_alignment, hallucination_distance, soft_cross_entropy
from overcast.methods.distillation import CwdOptions, KdOptions, TeacherKind
from overcast.methods.garcia import GarciaOptions
from overcast.methods.hallucination import HallucinationOptions
from overcast.methods.losses import alignment, area_share, segmentation_loss
from overcast.methods.mmanet import MmanetOptions
from overcast.methods.modality_dropout import ModalityDropoutOptions, kept_samples
from overcast.methods.shaspec import ShaspecOptions
from overcast.methods.stages import TrainingStage, position_in
from overcast.methods.teacher import Schedule
from overcast.methods.translation import TranslationOptions
from overcast.models.disopt import SHARED_STAGES
from overcast.models.encoder_stages import encoder_stages
from overcast.models.encoders import build_encoder
from overcast.models.shaspec import colour_adapter
from overcast.training.module import step_seed

pytestmark = pytest.mark.usefixtures("one_thread")
TAUGHT = [
    KdOptions(),
    KdOptions(teacher=TeacherKind.BOTH),
    CwdOptions(),
    MmanetOptions(),
    HallucinationOptions(),
    GarciaOptions(),
    DisoptnetOptions(),
    TranslationOptions(),
]


def both_valid(batch: Batch) -> Tensor:
    return batch.require("sar_valid") & batch.require("optical_valid")


@pytest.mark.parametrize("options", TAUGHT, ids=lambda options: options.name)
def test_a_frozen_teacher_does_not_move(options):
    method = make(options).train()
    optimiser = torch.optim.AdamW(method.parameters(), 1e-2, weight_decay=0.1)
    first, *others = stage_steps(method)
    before = state_of(*method.teacher())
    train_step(method, first, optimiser)
    learned = state_of(*method.teacher())
    assert not same(before, learned)
    for step in others:
        method.train()
        train_step(method, step, optimiser)
    assert same(learned, state_of(*method.teacher()))
    assert not any(module.training for part in method.teacher() for module in part.modules())
    assert not any(p.requires_grad for part in method.teacher() for p in part.parameters())


@pytest.mark.parametrize("options", TAUGHT, ids=lambda options: options.name)
def test_stages_follow_from_the_step_alone(options):
    method = make(options).train()
    first = stage_steps(method)[0]
    train_step(method, first)
    resumed = copy.deepcopy(make(options)).train()
    resumed.load_state_dict(method.state_dict())
    for step in stage_steps(method)[1:]:
        train_step(method, step)
        train_step(resumed, step)
    assert same(state_of(method), state_of(resumed))


@pytest.mark.parametrize("options", [KdOptions(), CwdOptions(), MmanetOptions(), HallucinationOptions()], ids=str)
def test_what_is_deployed_holds_nothing_of_the_teacher(options):
    method = make(options)
    taught = {id(p) for part in method.teacher() for p in part.parameters()}
    assert taught
    assert not taught & {id(p) for p in method.deployable().parameters()}


def test_each_stage_has_its_own_learning_rate_curve():
    stages = (TrainingStage("a", 0.25), TrainingStage("b", 0.5), TrainingStage("c", 0.25, rate=0.1))
    found = [position_in(stages, step, 8) for step in (0, 1, 2, 5, 6, 8)]
    assert [(p.stage.name, p.step, p.steps) for p in found] == [
        ("a", 0, 2), ("a", 1, 2), ("b", 0, 4), ("b", 3, 4), ("c", 0, 2), ("c", 2, 2),
    ]  # fmt: skip
    assert position_in((TrainingStage("all", 1.0),), 8, 8).step == 8


@pytest.mark.parametrize("probability", [0.0, 0.5, 0.9])
def test_whole_optical_images_are_dropped_with_the_asked_probability(probability):
    torch.manual_seed(0)
    assert kept_samples(10_000, probability).float().mean().item() == pytest.approx(1 - probability, abs=0.02)


def test_what_is_dropped_depends_on_seed_and_step_alone():
    def draw(seed: int, step: int) -> list[bool]:
        torch.manual_seed(step_seed(seed, step, 0))
        return kept_samples(32, 0.5).tolist()

    assert draw(1, 7) == draw(1, 7)
    assert draw(1, 7) != draw(1, 8)
    assert draw(1, 7) != draw(2, 7)


def test_a_dropped_sample_is_predicted_as_from_sar_alone():
    method, batch = make(ModalityDropoutOptions()).eval(), make_batch()
    sar, optical = batch.require("sar"), batch.require("optical")
    fused = method.network(optical, sar, torch.tensor([True, False])).fused
    both, alone = method.predict(batch, InputModalities.BOTH), method.predict(batch, InputModalities.SAR)
    torch.testing.assert_close(fused[0], both[0])
    torch.testing.assert_close(fused[1], alone[1])
    assert not torch.allclose(both[1], alone[1])


def test_modality_dropout_learns_from_sar_where_a_dropped_image_is_cloudy():
    method, batch = make(ModalityDropoutOptions(probability=0.999999)).eval(), make_batch()
    torch.manual_seed(0)
    losses = method.losses(batch, 0, STEPS)
    logits = method.predict(batch, InputModalities.SAR)
    torch.testing.assert_close(
        losses["seg_fused"], segmentation_loss(logits, batch.require("label"), batch.require("sar_valid"))
    )


@pytest.mark.parametrize("teacher", ["optical", "both"])
def test_kd_and_cwd_compare_the_students_with_the_teachers_logits(teacher):
    batch, valid = make_batch(), both_valid(make_batch())
    kd, cwd = make(KdOptions(teacher=teacher)).eval(), make(CwdOptions(teacher=teacher)).eval()
    images = [batch.require(name) for name in (("optical", "sar") if teacher == "both" else ("optical",))]
    for method in (kd, cwd):
        assert method.network.student.twin is method.network.deployed
    t, s = kd.network.teacher(*images), kd.predict(batch, InputModalities.SAR)
    t = t.fused if teacher == "both" else t
    soft = alignment(t, s, temperature=4.0, valid=valid)
    torch.testing.assert_close(kd.losses(batch, 50, STEPS)["soft"], soft)
    channels = 3 * channel_alignment(t, s, temperature=4.0, valid=valid)  # the same weights: one seed
    torch.testing.assert_close(cwd.losses(batch, 50, STEPS)["channels"], channels)


def test_joint_teachers_learn_from_labels_alone():
    method = make(KdOptions(schedule=Schedule.JOINT)).train()
    losses = method.losses(make_batch(), 50, STEPS)
    losses["soft"].backward(retain_graph=True)
    assert all(p.grad is None for p in method.network.teacher.parameters())
    losses["teacher_seg"].backward()
    assert all(p.grad is not None for p in method.network.teacher.parameters())


@pytest.mark.parametrize("features", ["deepest", "decoded"])
def test_hallucination_imitates_sigmoid_features_of_the_optical_branch(features):
    method, batch = make(HallucinationOptions(features=features, gamma=0.7)).eval(), make_batch()
    output = method.network(batch.require("sar"), batch.require("optical"))
    t, s = (getattr(x, features) for x in (output.features_optical, output.features_hallucination))
    places = area_share(both_valid(batch), s.shape[-2:], 32 if features == "deepest" else 1)
    found = method.losses(batch, 50, STEPS)["hallucination"]
    torch.testing.assert_close(found, 0.7 * hallucination_distance(t, s, places))
    assert not any(name.startswith("align") for name in method.losses(batch, 50, STEPS))


def test_hallucination_pulls_the_hallucination_branch_alone():
    method = make(HallucinationOptions(schedule=Schedule.JOINT)).train()
    method.losses(make_batch(), 50, STEPS)["hallucination"].backward()
    network = method.network
    assert all(p.grad is None for p in network.optical.parameters())
    assert all(p.grad is None for p in network.deployed.second.parameters())
    assert all(p.grad is not None for p in network.deployed.first.encoder.parameters())


def test_garcia_weighs_its_terms_as_published():
    method, batch = make(GarciaOptions()).eval(), make_batch()
    network, valid = method.network, both_valid(batch)
    losses = method.losses(batch, 60, STEPS)
    output = network(batch.require("sar"), batch.require("optical"))
    hard = segmentation_loss(output.hallucination, batch.require("label"), batch.require("sar_valid"))
    soft = soft_cross_entropy(output.optical, output.hallucination, temperature=10.0, valid=valid)
    torch.testing.assert_close(losses["seg_hallucination"], 0.25 * hard)
    torch.testing.assert_close(losses["soft"], 0.25 * soft)
    t, s = output.features_optical.deepest, output.features_hallucination.deepest
    distance = hallucination_distance(t, s, area_share(valid, s.shape[-2:]))
    torch.testing.assert_close(losses["hallucination"], 0.005 * distance)


def test_garcia_trains_what_each_stage_is_for():
    method = make(GarciaOptions()).train()
    network = method.network
    streams = {"optical": network.optical, "hallucination": network.deployed.first, "sar": network.deployed.second}
    changed = []
    for step in stage_steps(method):
        before = {name: state_of(part) for name, part in streams.items()}
        train_step(method, step)
        changed.append({name for name, part in streams.items() if not same(before[name], state_of(part))})
    assert changed == [{"optical", "sar"}, {"hallucination"}, {"hallucination", "sar"}]
    assert method.stages[2].rate == 0.1


def test_garcia_starts_stages_from_the_teachers_weights():
    method = make(GarciaOptions()).train()
    network = method.network
    for step, source, target in (
        (40, network.optical, network.deployed.first),
        (80, network.optical_fusion, network.deployed.fusion),
    ):
        pairs = [(a, b) for a, b in zip(source.parameters(), target.parameters(), strict=True) if a.shape == b.shape]
        assert len(list(source.parameters())) - len(pairs) <= 1  # the first convolution sees other bands
        assert not all(a.equal(b) for a, b in pairs)
        method.begin_step(step, STEPS)
        assert all(a.equal(b) for a, b in pairs)
    train_step(method, 41)
    assert not network.optical_head.weight.equal(network.hallucination_head.weight)


def test_garcia_leaves_steps_for_fine_tuning():
    with pytest.raises(ValueError, match="leave steps for fine-tuning"):
        GarciaOptions(teacher_share=0.5, hallucination_share=0.5)


def test_disoptnet_distils_labels_and_features():
    method, batch = make(DisoptnetOptions()).eval(), make_batch()
    output, taught, features = method.network(batch.require("sar"), batch.require("optical"))
    valid, losses = both_valid(batch), method.losses(batch, 50, STEPS)
    torch.testing.assert_close(losses["soft"], soft_cross_entropy(taught, output.pseudo, valid=valid))
    torch.testing.assert_close(losses["hard"], segmentation_loss(output.pseudo, labels_of(taught), valid))
    torch.testing.assert_close(losses["features"], branch_distance(features, output.features, valid, 1))
    assert [x.shape[-1] for x in (*features.stages, features.decoded)] == [8, 4, 128]  # strides 16, 32 and 1
    assert branch_distance(features, features, valid, 1).item() == 0


def test_disoptnet_shares_the_early_stages():
    method, batch = make(DisoptnetOptions()).train(), make_batch()
    method.losses(batch, 50, STEPS)["features"].backward()
    early, late = (
        [p for stage in stages for p in stage.parameters()]
        for stages in (
            encoder_stages(method.network.deployed.branch.encoder)[:SHARED_STAGES],
            encoder_stages(method.network.deployed.branch.encoder)[SHARED_STAGES:],
        )
    )
    assert all(p.grad is not None for p in early)
    assert all(p.grad is None for p in late)
    assert all(p.grad is not None for p in method.network.deployed.late.parameters())


@pytest.mark.parametrize("name", ["tu-test_resnet", "tu-tf_efficientnet_lite0", "resnet18"])
def test_stages_of_an_encoder_compute_its_features(name):
    encoder = build_encoder(name, 2, pretrained=False).eval()
    x = torch.randn(1, 2, 64, 64)
    with torch.no_grad():
        for expected, stage in zip(encoder(x)[1:], encoder_stages(encoder), strict=True):
            x = stage(x)
            assert x.equal(expected)


def test_an_encoder_without_plain_stages_is_refused():
    with pytest.raises(ConfigError, match="cannot be cut into five stages"):
        encoder_stages(nn.Identity())


def test_shaspec_draws_shared_features_together_and_specific_ones_apart():
    method, batch = make(ShaspecOptions(alpha=1.0, beta=1.0, probability=0.0)).eval(), make_batch()
    losses = method.losses(batch, 0, STEPS)
    output = method.network(batch.require("optical"), batch.require("sar"))
    places = area_share(both_valid(batch), output.shared_sar.shape[-2:])
    difference = (output.shared_optical - output.shared_sar).abs().mean(1, keepdim=True)
    torch.testing.assert_close(losses["shared"], (difference * places).sum() / places.sum())
    means = [
        (feature * share).sum((2, 3)) / share.sum((2, 3))
        for feature, share in (
            (output.specific_optical, area_share(batch.require("optical_valid"), places.shape[-2:])),
            (output.specific_sar, area_share(batch.require("sar_valid"), places.shape[-2:])),
        )
    ]
    log_p = torch.log_softmax(method.network.domain(torch.cat(means)), 1)
    torch.testing.assert_close(losses["specific"], -(log_p[:2, 0].sum() + log_p[2:, 1].sum()) / 4)


def test_shaspec_gives_a_missing_image_the_shared_feature_of_sar():
    method, batch = make(ShaspecOptions()).eval(), make_batch()
    sar, optical = batch.require("sar"), batch.require("optical")
    found = method.network(optical, sar, torch.tensor([True, False])).logits
    torch.testing.assert_close(found[1], method.predict(batch, InputModalities.SAR)[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[0], method.predict(batch, InputModalities.BOTH)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("bands", "weight"),
    [
        (1, [[1], [1], [1]]),
        (2, [[1, 0], [0, 1], [1, 0]]),
        (3, [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        (4, [[0.5, 0, 0, 0.5], [0, 1, 0, 0], [0, 0, 1, 0]]),
    ],
)
def test_adapters_start_as_means_of_bands(bands, weight):
    assert colour_adapter(bands).weight[..., 0, 0].tolist() == weight


def test_mmanet_weighs_relations_by_the_teachers_uncertainty():
    batch = make_batch(64, 64)
    method = make(MmanetOptions()).eval()
    head = method.network.teacher.twin.fusion.head
    with torch.no_grad():
        head.weight.mul_(100)  # sure at most places
        plain = method.losses(batch, 50, STEPS)["relations"]
        head.weight.zero_()  # equally unsure everywhere: features, not logits, are what is related
        level = method.losses(batch, 50, STEPS)["relations"]
        head.bias.fill_(3.0)  # surer, everywhere alike
        torch.testing.assert_close(method.losses(batch, 50, STEPS)["relations"], level)
    assert not torch.isclose(level, plain, rtol=1e-4)


def test_translation_learns_to_generate_then_to_fuse():
    method, batch = make(TranslationOptions()).train(), make_batch(64, 64)
    generate, fuse = stage_steps(method)
    assert set(method.losses(batch, generate, STEPS)) == {"generator_l1", "generator_adversarial", "discriminator"}
    assert set(method.losses(batch.without(Modality.OPTICAL), fuse, STEPS)) == {"seg_fused", "seg_first", "seg_share"}
    image = method.eval().network.generator(batch.require("sar"))
    torch.testing.assert_close(
        method.predict(batch, InputModalities.SAR), method.network.supervised.twin(image, batch.require("sar"))
    )
    without = make(TranslationOptions(weight_adversarial=0.0))
    assert set(without.losses(batch, generate, STEPS)) == {"generator_l1"}


def test_generator_and_discriminator_pull_against_each_other():
    method, batch = make(TranslationOptions()).train(), make_batch(64, 64)
    network = method.network
    losses = method.losses(batch, 0, STEPS)
    losses["generator_adversarial"].backward(retain_graph=True)
    assert all(p.grad is None for p in network.discriminator.parameters())
    assert all(p.grad is not None for p in network.generator.parameters())
    network.generator.zero_grad()
    losses["discriminator"].backward()
    assert all(p.grad is None for p in network.generator.parameters())
    assert all(p.grad is not None for p in network.discriminator.parameters())


def test_generated_images_are_compared_where_the_real_one_is_valid():
    method, batch = make(TranslationOptions(weight_l1=1.0)).eval(), make_batch(64, 64)
    valid = both_valid(batch)
    difference = (method.network.generator(batch.require("sar")) - batch.require("optical")).abs().mean(1, keepdim=True)
    losses = method.losses(batch, 0, STEPS)
    torch.testing.assert_close(losses["generator_l1"], (difference * valid).sum() / valid.sum())
    clouded = replace(batch, optical=torch.where(valid, batch.require("optical"), 9.0))
    torch.testing.assert_close(method.losses(clouded, 0, STEPS)["generator_l1"], losses["generator_l1"])
    assert total(losses) > 0
