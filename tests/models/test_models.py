"""Networks: the structure that the paper draws, and what the SAR-only path depends on."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from known import known
from method_cases import SPEC
from pydantic import ValidationError
from torch import Tensor, nn

from overcast.errors import ConfigError
from overcast.models.blocks import ConvBlock, ResidualBlock
from overcast.models.branch import Branch
from overcast.models.collaborative import CollaborativeNetwork
from overcast.models.fusion import FusionHead
from overcast.models.network import (
    PRESETS,
    HallucinationNetwork,
    NetworkSpec,
    Preset,
    Sharing,
    SingleNetwork,
    TwinNetwork,
    preset,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def spec(**changes: Any) -> NetworkSpec:
    return NetworkSpec.model_validate({**SPEC.model_dump(), **changes})


def images(height: int = 64, width: int = 96, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(2, 2, height, width, generator=generator),
        torch.randn(2, 3, height, width, generator=generator),
    )


def lived_in(network: nn.Module) -> nn.Module:
    """The network with weights and batch statistics unlike their initial values."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                tensor.add_(
                    torch.rand_like(tensor) if name.endswith("running_var") else torch.randn_like(tensor), alpha=0.1
                )
    return network


def collaborative(**changes: Any) -> CollaborativeNetwork:
    torch.manual_seed(0)
    network = lived_in(CollaborativeNetwork(spec(**changes)))
    assert isinstance(network, CollaborativeNetwork)
    return network


def storages(module: nn.Module) -> set[int]:
    return {t.untyped_storage().data_ptr() for t in module.state_dict().values() if t.numel()}


def captured(module: nn.Module, call: Callable[[], object]) -> list[Any]:
    """First arguments that `module` receives while `call` runs."""
    seen: list[Any] = []
    handle = module.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    call()
    handle.remove()
    return seen


@pytest.mark.parametrize("sharing", Sharing)
@pytest.mark.parametrize("size", [(64, 96), (65, 97)])
def test_exchanging_the_optical_image_changes_no_bit_of_the_sar_only_output(sharing, size):
    network = collaborative(sharing=sharing).eval()
    sar, optical = images(*size)
    _, other = images(height=size[0], width=size[1], seed=5)
    with torch.no_grad():
        outputs = [network(sar, x).fused_hallucination for x in (optical, other, torch.zeros_like(optical))]
        outputs += [network.sar_only(sar), network.deployable().eval()(sar)]
        assert not network(sar, optical).fused_optical.equal(network(sar, other).fused_optical)
    assert outputs[0].std() > 0
    assert all(output.equal(outputs[0]) for output in outputs)


def test_in_training_too_no_bit_and_no_statistic_of_the_deployed_path_depends_on_the_optical_image():
    after = []
    for seed in (3, 4):
        network = collaborative().train()
        sar, _ = images()
        output = network(sar, images(seed=seed)[1])
        after.append((output.fused_hallucination, network.deployed.state_dict()))
    assert after[0][0].equal(after[1][0])
    assert all(after[0][1][name].equal(tensor) for name, tensor in after[1][1].items())


def test_common_statistics_mix_both_modalities():
    network = collaborative(sharing=Sharing.WEIGHTS_AND_STATISTICS).train()
    statistics = known(network.deployed.block.norm1.num_batches_tracked)
    before = statistics.item()
    network(*images())
    assert statistics.item() - before == 2  # once per modality: the reason why it is not the default


@pytest.mark.parametrize("sharing", [Sharing.WEIGHTS, Sharing.WEIGHTS_AND_STATISTICS])
@pytest.mark.parametrize(
    ("logits", "reached"), [("share_optical", "optical"), ("share_hallucination", "deployed.first")]
)
def test_one_shared_block_receives_gradient_from_both_encoders(sharing, logits, reached):
    network = collaborative(sharing=sharing).train()
    getattr(network(*images()), logits).square().sum().backward()
    block = network.deployed.block
    assert all(p.grad is not None and p.grad.any() for p in (block.conv1.weight, block.conv2.weight))
    assert all(p.grad is not None and p.grad.any() for p in (block.norm1.weight, block.norm2.bias))
    for path in ("optical", "deployed.first"):
        encoder = network.get_submodule(f"{path}.encoder")
        assert any(p.grad is not None and p.grad.any() for p in encoder.parameters()) is (path == reached)


def test_without_sharing_each_encoder_has_a_block_of_its_own():
    network = collaborative(sharing=Sharing.NOTHING).train()
    network(*images()).share_optical.square().sum().backward()
    assert all(p.grad is None for p in network.deployed.block.parameters())
    assert all(p.grad is not None for p in known(network.optical_block).parameters())


@pytest.mark.parametrize("shared_channels", [None, 24])
def test_the_shared_feature_replaces_exactly_the_deepest_decoder_input(shared_channels):
    network = collaborative(shared_channels=shared_channels).eval()
    sar, optical = images()
    for branch, image, name in ((network.optical, optical, "share_optical"),
                                (network.deployed.first, sar, "share_hallucination")):  # fmt: skip
        with torch.no_grad():
            encoded = branch.encode(image)
            (received,) = captured(branch.decoder, lambda: network(sar, optical))
            output = network(sar, optical)
        assert len(received) == 6
        assert all(a.equal(b) for a, b in zip(received[:-1], encoded[:-1], strict=True))
        assert not received[-1].equal(encoded[-1])
        assert network.share_head(received[-1]).equal(getattr(output, name))  # the very feature that the head sees
    with torch.no_grad():
        (radar,) = captured(network.deployed.second.decoder, lambda: network(sar, optical))
        assert all(a.equal(b) for a, b in zip(radar, network.deployed.second.encode(sar), strict=True))


def test_one_sar_feature_feeds_both_fusion_heads():
    network = collaborative().eval()
    sar, optical = images()
    (a,) = captured(network.optical_fusion.second, lambda: network(sar, optical))
    (b,) = captured(network.deployed.fusion.second, lambda: network(sar, optical))
    assert a.equal(b)
    shapes = [[p.shape for p in head.parameters()] for head in (network.optical_fusion, network.deployed.fusion)]
    assert shapes[0] == shapes[1]
    assert not storages(network.optical_fusion) & storages(network.deployed.fusion)


@pytest.mark.parametrize("sharing", Sharing)
def test_the_deployable_holds_no_optical_parameter(sharing):
    network = collaborative(sharing=sharing, auxiliary_sar=True)
    deployed = storages(network.deployable())
    left_behind = [network.optical, network.optical_fusion, network.optical_head, network.optical_norms,
                   network.optical_block, network.share_head, network.hallucination_head, network.sar_head]  # fmt: skip
    assert not deployed & {pointer for part in left_behind if part is not None for pointer in storages(part)}
    kept = [network.deployed.first, network.deployed.second, network.deployed.block, network.deployed.fusion]
    assert deployed == {pointer for part in kept for pointer in storages(part)}


def test_the_deployable_shares_tensors_but_not_its_mode():
    network = collaborative().train()
    deployable = network.deployable().eval()
    assert network.training
    assert network.deployed.training
    with torch.no_grad():
        next(network.deployed.parameters()).add_(1)
    assert all(a.equal(b) for a, b in zip(deployable.parameters(), network.deployed.parameters(), strict=True))


@pytest.mark.parametrize(
    "build",
    [
        lambda: CollaborativeNetwork(SPEC),
        lambda: HallucinationNetwork(SPEC),
        lambda: TwinNetwork(SPEC, 3, 2),
        lambda: SingleNetwork(SPEC, 2),
    ],
)
def test_state_dict_round_trip_is_strict(build):
    trained: Any = lived_in(build()).eval()
    fresh = build().eval()
    fresh.load_state_dict(trained.state_dict(), strict=True)
    inputs = [torch.randn(1, bands, 64, 64) for bands in trained.input_bands]
    expected, found, copied = trained(*inputs), fresh(*inputs), copy.deepcopy(trained)(*inputs)
    if isinstance(expected, Tensor):
        assert expected.equal(found)
        assert expected.equal(copied)
    else:
        assert expected.optical.equal(found.optical)
        assert expected.fused_hallucination.equal(copied.fused_hallucination)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        fresh.load_state_dict({**trained.state_dict(), "more": torch.zeros(1)}, strict=True)


@pytest.mark.parametrize("size", [(32, 32), (65, 97), (20, 7)])
def test_any_size_gives_logits_of_that_size(size):
    network = collaborative(num_classes=3, auxiliary_sar=True).eval()
    with torch.no_grad():
        output = network(*images(*size))
    cells = (-(-size[0] // 32), -(-size[1] // 32))
    for name in ("optical", "hallucination", "fused_optical", "fused_hallucination", "sar"):
        assert getattr(output, name).shape == (2, 3, *size)
    for name in ("share_optical", "share_hallucination"):
        assert getattr(output, name).shape == (2, 3, *cells)


def test_padding_repeats_the_border():
    network = collaborative().eval()
    sar, _ = images(40, 64)
    with torch.no_grad():
        assert network.sar_only(sar).equal(network.sar_only(F.pad(sar, (0, 0, 0, 24), mode="replicate"))[..., :40, :])


def test_partial_paths_agree_with_the_whole():
    network = collaborative().eval()
    sar, optical = images(65, 97)
    with torch.no_grad():
        output = network(sar, optical)
        assert network.with_optical(sar, optical).equal(output.fused_optical)
        assert all(a.equal(b) for a, b in zip(network.optical_only(optical), (output.optical, output.share_optical),
                                              strict=True))  # fmt: skip


def test_a_wide_encoder_is_projected_and_the_decoder_built_for_it():
    branch = Branch("tu-test_resnet", 2, (16, 8, 8, 8, 8), pretrained=False, deepest_channels=24)
    features = branch.encode(torch.randn(2, 2, 64, 64))
    assert [f.shape[1] for f in features] == list(branch.encoder_channels)
    assert features[-1].shape[1] == 24
    assert branch.decode(features).shape == (2, branch.decoder_channels, 64, 64)
    first = branch.decoder.blocks[0].conv1[0]
    assert first.in_channels == 24 + branch.encoder_channels[-2]


def test_residual_block_by_its_definition():
    block: Any = lived_in(ResidualBlock(4)).eval()
    x = torch.randn(1, 4, 5, 5)
    expected = F.relu(x + block.norm2(block.conv2(F.relu(block.norm1(block.conv1(x))))))
    torch.testing.assert_close(block(x), expected)


def test_a_domain_of_the_block_has_statistics_but_no_weights():
    block = ResidualBlock(4).train()
    norms = block.domain_norms()
    x = torch.randn(8, 4, 5, 5)
    torch.testing.assert_close(block(x), block(x, list(norms)))  # equal on a batch: same weights
    assert list(norms.parameters()) == []
    block(x + 100, list(norms))
    block.eval(), norms.eval()
    assert (block(x) - block(x, list(norms))).abs().mean() > 0.1  # unequal after: own statistics


def test_fusion_head_by_its_definition():
    head = FusionHead(8, 6, 2).eval()
    a, b = torch.randn(1, 8, 4, 4), torch.randn(1, 8, 4, 4)
    fused = head(a, b)
    torch.testing.assert_close(fused.features, head.joint(torch.cat([head.first(a), head.second(b)], 1)))
    assert fused.features.shape[1] == 6
    assert fused.logits.shape == (1, 2, 4, 4)
    assert [type(m) for m in ConvBlock(2, 3)] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]


def test_the_deployable_exports():
    deployable = collaborative().deployable().eval()
    sar, _ = images()
    exported = torch.export.export(deployable, (sar,))
    torch.testing.assert_close(exported.module()(sar), deployable(sar))


@pytest.mark.parametrize("name", Preset)
def test_presets_build_and_keep_their_shape(name):
    found = preset(name).with_bands(4, 3)
    assert (found.sar_bands, found.optical_bands) == (4, 3)
    assert found.decoder_channels == PRESETS[name].decoder_channels
    with torch.device("meta"):
        network = CollaborativeNetwork(found.untrained())
        logits = network.eval().sar_only(torch.empty(1, 4, 64, 64))
    assert logits.shape == (1, 1, 64, 64)


def test_a_spec_from_before_the_short_encoder_is_the_network_that_it_was():
    recorded = {key: value for key, value in SPEC.model_dump().items() if key != "encoder_blocks"}
    found = NetworkSpec.model_validate(recorded)
    assert found == SPEC
    assert found.decoded_stride == 1
    assert isinstance(SingleNetwork(found, 2).head, nn.Conv2d)


def test_a_decoder_of_four_stages_decides_for_each_pixel():
    network = SingleNetwork(spec(decoder_channels=(16, 8, 8, 8)), 2).eval()
    seen = captured(network.head, lambda: network(images()[0]))
    assert seen[0].shape == (2, 8, 32, 48)
    assert network(images(height=65, width=33)[0]).shape == (2, 1, 65, 33)
    assert isinstance(network.head, nn.Sequential)
    convolution: Any = network.head[0]
    with torch.no_grad():
        convolution.weight.zero_()
        convolution.bias.copy_(torch.arange(4.0))
    torch.testing.assert_close(network(images()[0])[0, 0, :2, :2], torch.tensor([[0.0, 1.0], [2.0, 3.0]]))


def test_the_projection_of_the_paper_preset_saves_what_it_should():
    def block_parameters(shared_channels: int | None) -> int:
        changed = PRESETS[Preset.PAPER].model_copy(update={"pretrained": False, "shared_channels": shared_channels})
        with torch.device("meta"):
            block = HallucinationNetwork(changed).block
        return sum(p.numel() for p in block.parameters())

    assert block_parameters(None) > 75e6
    assert block_parameters(512) < 5e6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": "mit_b2"}, "non-commercial"),
        ({"decoder_channels": (8, 8)}, "4 or 5 widths from 1"),
        ({"encoder_blocks": 0}, "greater than or equal to 1"),
        ({"sar_bands": 0}, "greater than or equal to 1"),
        ({"colour": "red"}, "Extra inputs"),
    ],
)
def test_impossible_specs_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        spec(**changes)


def test_bands_are_validated_on_change():
    with pytest.raises(ValidationError):
        SPEC.with_bands(0, 3)


def test_a_network_without_optical_bands_is_refused():
    with pytest.raises(ConfigError, match="needs optical images"):
        CollaborativeNetwork(SPEC.with_bands(2, 0))
