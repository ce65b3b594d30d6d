"""Outputs and features mixed where a part of the optical image is missing."""

from dataclasses import replace

import pytest
import torch
from method_cases import SPEC, STATISTICS, label_of, losses_of_every_stage, make, make_batch, total
from torch import Tensor

from overcast.batch import Holds, InputModalities
from overcast.choices import Mixing
from overcast.errors import ConfigError
from overcast.methods.collaborative import CollaborativeLearning, CollaborativeOptions, SarGradient
from overcast.methods.modality_dropout import ModalityDropoutOptions
from overcast.methods.options import build_method
from overcast.methods.shaspec import ShaspecOptions
from overcast.methods.supervised import FusionOptions
from overcast.methods.teacher import Schedule
from overcast.models.mixing import NEAR_PX, REACH_PX, cell_means, optical_weight

STEPS = 100
SIZE = (70, 95)
OUTPUTS = (Mixing.CHOICE, Mixing.BLEND)


def collaborative(mixing: Mixing = Mixing.CHOICE) -> CollaborativeLearning:
    torch.manual_seed(3)
    method = build_method(CollaborativeOptions(mixing=mixing), SPEC, STATISTICS)
    assert isinstance(method, CollaborativeLearning)
    return method.eval()


def half_seen(batch_size: int = 2) -> Tensor:
    valid = torch.ones(batch_size, 1, *SIZE, dtype=torch.bool)
    valid[..., SIZE[1] // 2 :] = False
    return valid


def test_the_weight_is_nothing_at_gaps_everything_far_off_and_rises_between() -> None:
    weight = optical_weight(half_seen())[0, 0]
    border = SIZE[1] // 2
    assert weight[:, border:].eq(0).all()
    assert weight[:, : border - REACH_PX].eq(1).all()
    between = weight[10, border - REACH_PX : border]
    assert (between.diff() <= 0).all()
    assert between.diff().abs().max() < 0.1
    assert optical_weight(torch.ones(1, 1, 40, 33, dtype=torch.bool)).eq(1).all()


def test_trained_on_gaps_the_optical_side_counts_nearer_to_them() -> None:
    border, batch = SIZE[1] // 2, replace(make_batch(*SIZE), optical_valid=half_seen())
    for options, reach in ((ShaspecOptions(), REACH_PX), (ShaspecOptions(learn_gaps=True), NEAR_PX)):
        method = build_method(options, SPEC, STATISTICS).eval()
        with torch.no_grad():
            found, both = method.predict_clouded(batch, Mixing.BLEND), method.predict(batch, InputModalities.BOTH)
        assert method.reach_px == reach
        assert found[..., : border - reach].equal(both[..., : border - reach])
        assert not found[..., border - reach + 2].equal(both[..., border - reach + 2])
    assert collaborative(Mixing.FEATURES).reach_px == NEAR_PX
    assert collaborative().reach_px == REACH_PX


def test_a_single_missing_pixel_takes_its_surroundings_along() -> None:
    valid = torch.ones(1, 1, 64, 64, dtype=torch.bool)
    valid[..., 32, 32] = False
    weight = optical_weight(valid)[0, 0]
    assert weight[32, 32] == 0
    assert weight[32, 36] < 0.6
    assert weight[:, : 32 - REACH_PX].eq(1).all()


def test_cells_average_their_area() -> None:
    weight = torch.zeros(1, 1, 8, 8)
    weight[..., :4, :2] = 1
    assert cell_means(weight, (2, 2)).tolist() == [[[[0.5, 0], [0, 0]]]]


@pytest.mark.parametrize(
    ("options", "mixing"),
    [
        *((CollaborativeOptions(), mixing) for mixing in Mixing),
        *((options(), mixing) for options in (ModalityDropoutOptions, ShaspecOptions) for mixing in OUTPUTS),
    ],
)
def test_without_a_clear_pixel_it_is_sar_alone_and_without_a_gap_it_is_both(options, mixing: Mixing) -> None:
    torch.manual_seed(3)
    method, batch = build_method(options, SPEC, STATISTICS).eval(), make_batch(*SIZE)
    nothing = torch.zeros(2, 1, *SIZE, dtype=torch.bool)
    with torch.no_grad():
        alone, both = (method.predict(batch, what) for what in (InputModalities.SAR, InputModalities.BOTH))
        blind = method.predict_clouded(replace(batch, optical_valid=nothing), mixing)
        clear = method.predict_clouded(replace(batch, optical_valid=~nothing), mixing)
    assert blind.equal(alone)
    assert clear.equal(both)
    assert not alone.equal(both)


@pytest.mark.parametrize("mixing", list(Mixing))
def test_under_a_cloud_no_bit_differs_from_sar_alone(mixing: Mixing) -> None:
    method, batch = collaborative(), make_batch(*SIZE)
    valid = half_seen()
    with torch.no_grad():
        found = method.predict_clouded(replace(batch, optical_valid=valid), mixing)
        alone = method.predict(batch, InputModalities.SAR)
    hidden = ~valid.expand_as(found)
    assert found[hidden].equal(alone[hidden])
    assert not found[~hidden].equal(alone[~hidden])


def test_blended_logits_pass_over_gradually_and_chosen_ones_jump() -> None:
    method, batch = collaborative(), make_batch(*SIZE)
    batch = replace(batch, optical_valid=half_seen())
    border = SIZE[1] // 2
    with torch.no_grad():
        difference = method.predict(batch, InputModalities.BOTH) - method.predict(batch, InputModalities.SAR)
        for mixing, left in ((Mixing.CHOICE, 1.0), (Mixing.BLEND, 0.1)):
            found = method.predict_clouded(batch, mixing) - method.predict(batch, InputModalities.SAR)
            share = (found[..., border - 1].abs() / difference[..., border - 1].abs()).max()
            assert share <= left + 1e-3
            assert bool(share > 0.99) is (mixing is Mixing.CHOICE)


def test_mixed_features_do_not_depend_on_what_hides_under_the_cloud() -> None:
    method, batch = collaborative(), make_batch(*SIZE)
    valid = half_seen()
    optical = batch.require("optical").masked_fill(~valid, 0)
    with torch.no_grad():
        found = method.predict_clouded(replace(batch, optical=optical, optical_valid=valid), Mixing.FEATURES)
        outputs = method.predict_clouded(replace(batch, optical=optical, optical_valid=valid), Mixing.BLEND)
    border = SIZE[1] // 2
    assert not found[..., : border - 2].equal(outputs[..., : border - 2])


def test_a_map_mixes_features_where_the_method_can_and_was_not_trained_on_gaps() -> None:
    assert collaborative(Mixing.CHOICE).map_mixing is Mixing.FEATURES
    assert collaborative(Mixing.FEATURES).map_mixing is Mixing.BLEND
    assert build_method(ModalityDropoutOptions(), SPEC, STATISTICS).map_mixing is Mixing.BLEND


def test_a_method_that_needs_both_takes_the_gaps_as_they_are() -> None:
    method, batch = build_method(FusionOptions(), SPEC, STATISTICS).eval(), make_batch(*SIZE)
    with torch.no_grad():
        found = method.predict_clouded(replace(batch, optical_valid=half_seen()))
        assert found.equal(method.predict(batch, InputModalities.BOTH))


def test_a_mixing_that_is_not_offered_is_an_error() -> None:
    method = build_method(ModalityDropoutOptions(), SPEC, STATISTICS)
    with pytest.raises(ConfigError, match="'modality_dropout' cannot mix by 'features'; choose from: blend, choice"):
        method.predict_clouded(make_batch(), Mixing.FEATURES)


def test_trained_by_features_the_map_of_both_is_supervised_under_clouds() -> None:
    batch = replace(make_batch(*SIZE), optical_valid=torch.zeros(2, 1, *SIZE, dtype=torch.bool))
    losses = {mixing: collaborative(mixing).losses(batch, 50, STEPS) for mixing in (Mixing.CHOICE, Mixing.FEATURES)}
    assert losses[Mixing.CHOICE]["seg_fused_optical"].item() == 0
    torch.testing.assert_close(
        losses[Mixing.FEATURES]["seg_fused_optical"], losses[Mixing.FEATURES]["seg_fused_hallucination"]
    )


def test_no_gradient_of_the_mixed_map_enters_the_hallucination_branch() -> None:
    method = collaborative(Mixing.FEATURES).train()
    batch = replace(make_batch(*SIZE), optical_valid=half_seen())
    method.losses(batch, 50, STEPS)["seg_fused_optical"].backward()
    deployed, network = method.network.deployed, method.network
    assert all(p.grad is None for part in (deployed.first, deployed.fusion) for p in part.parameters())
    for part in (network.optical, network.optical_fusion, deployed.second):
        assert all(p.grad is not None for p in part.parameters())


def test_a_clear_image_trains_the_same_whatever_the_mixing() -> None:
    everywhere = torch.ones(2, 1, *SIZE, dtype=torch.bool)
    batch = replace(make_batch(*SIZE), optical_valid=everywhere, sar_valid=everywhere)
    one, other = (collaborative(mixing).losses(batch, 50, STEPS) for mixing in (Mixing.CHOICE, Mixing.FEATURES))
    assert all(one[name].equal(other[name]) for name in one)


@pytest.mark.parametrize("options", [FusionOptions, ModalityDropoutOptions, ShaspecOptions])
def test_gaps_are_learnt_where_that_is_asked_for(options) -> None:
    batch = replace(make_batch(*SIZE), optical_valid=torch.zeros(2, 1, *SIZE, dtype=torch.bool))
    found = []
    for learn_gaps in (False, True):
        torch.manual_seed(0)
        kept = {} if options is FusionOptions else {"probability": 0}
        method = build_method(options(learn_gaps=learn_gaps, **kept), SPEC, STATISTICS)
        losses = method.eval().losses(batch, 50, STEPS)
        found.append(losses["seg_fused" if "seg_fused" in losses else "seg"].item())
    assert found[0] == 0
    assert found[1] > 0


TAKES_BOTH = [
    CollaborativeOptions(),
    CollaborativeOptions(mixing=Mixing.FEATURES),
    CollaborativeOptions(mixing=Mixing.FEATURES, schedule=Schedule.TEACHER_FIRST),
    CollaborativeOptions(mixing=Mixing.FEATURES, sar_gradient=SarGradient.HAL_SAR),
    FusionOptions(learn_gaps=True),
    ModalityDropoutOptions(learn_gaps=True),
    ShaspecOptions(learn_gaps=True),
]


@pytest.mark.parametrize("options", TAKES_BOTH, ids=label_of)
def test_every_method_trains_on_images_with_gaps(options) -> None:
    """One sample is seen in half, the other not at all; some labels are missing."""
    method = make(options).train()
    valid = half_seen()
    valid[1] = False
    batch = replace(make_batch(*SIZE), optical_valid=valid)
    batch = replace(batch, optical=batch.require("optical").masked_fill(~valid, 0))
    losses = losses_of_every_stage(method, batch)
    assert losses
    assert all(torch.isfinite(loss) for loss in losses.values())
    total(losses).backward()
    gradients = [p.grad for p in method.parameters() if p.grad is not None]
    assert gradients
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


def test_pairs_without_labels_and_mixed_features_train_in_one_pass() -> None:
    method = make(CollaborativeOptions(mixing=Mixing.FEATURES)).train()
    clouded = replace(make_batch(64, 64), optical_valid=torch.rand(2, 1, 64, 64) > 0.5)
    other = make_batch(64, 64, seed=1).only(Holds(sar=True, optical=True, labelled=False))
    losses = method.losses_of_parts((clouded, other), 90, STEPS)
    assert {"seg_fused_optical", "align_fused", "soft_hallucination"} <= set(losses)
    assert all(torch.isfinite(loss) for loss in losses.values())
