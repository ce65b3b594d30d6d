"""Encoders: the packaged ImageNet weights, the first convolution, what is refused."""

import copy
import warnings
from typing import Any

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from known import known
from skimage import data, transform
from timm.layers.conv2d_same import Conv2dSame
from torch import nn

from overcast.errors import ConfigError
from overcast.models.depthwise import DepthwiseConv2d, _SmallDepthwise, with_fast_depthwise
from overcast.models.encoders import (
    LITE0,
    adapt_first_convolution,
    build_encoder,
    fold_standardisation,
    lite0_file,
    lite0_state,
)

pytestmark = pytest.mark.usefixtures("one_thread")

ESPRESSO = 967
"""ImageNet class of the sample photograph."""
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


@pytest.fixture(scope="module")
def source() -> dict[str, torch.Tensor]:
    return torch.load(lite0_file(), weights_only=True, map_location="cpu")


@pytest.fixture(scope="module")
def photograph() -> torch.Tensor:
    """(1, 3, 224, 224) RGB in 0 .. 1: a cup of coffee."""
    image = data.coffee()[:, 100:500]
    resized = transform.resize(image, (224, 224), anti_aliasing=True).astype(np.float32)
    return torch.from_numpy(resized).permute(2, 0, 1)[None]


def standardised(photograph: torch.Tensor) -> torch.Tensor:
    return (photograph - MEAN[:, None, None]) / STD[:, None, None]


def classify(deepest: torch.Tensor, source: dict[str, torch.Tensor]) -> torch.Tensor:
    """ImageNet probabilities from F_en-5 with the classification layers that the encoder leaves out."""
    head = F.conv2d(deepest, source["_conv_head.weight"])
    mean, variance, weight, bias = (
        source[f"_bn1.{name}"] for name in ("running_mean", "running_var", "weight", "bias")
    )
    pooled = F.relu6(F.batch_norm(head, mean, variance, weight, bias, eps=1e-3)).mean((2, 3))
    return F.linear(pooled, source["_fc.weight"], source["_fc.bias"]).softmax(1)


def test_every_packaged_tensor_is_taken_in_order(source):
    encoder = smp.encoders.get_encoder(LITE0, in_channels=3, depth=5, weights=None)
    state = lite0_state()
    encoder.load_state_dict(state, strict=True)
    left_out = [name for name in source if name.startswith(("_conv_head.", "_bn1.", "_fc."))]
    taken = [tensor for name, tensor in source.items() if name not in left_out]
    assert len(left_out) == 8
    assert list(state) == list(encoder.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(taken, encoder.state_dict().values(), strict=True))


def test_batch_norm_epsilon_is_tensorflows():
    norms = [m for m in build_encoder(LITE0, 3, pretrained=True).modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 48
    assert {norm.eps for norm in norms} == {1e-3}


def test_standardised_photograph_is_recognised(photograph, source):
    encoder = build_encoder(LITE0, 3, pretrained=True).eval()
    with torch.no_grad():
        probability = classify(encoder(standardised(photograph))[-1], source)[0]
    assert probability.argmax() == ESPRESSO
    assert probability[ESPRESSO] > 0.8  # the right mapping gives 0.9, a wrong one about 1 / 1000


def test_folded_standardisation_is_exact_inside(photograph):
    as_published = smp.encoders.get_encoder(LITE0, in_channels=3, depth=5, weights=None)
    as_published.load_state_dict(lite0_state())
    folded = copy.deepcopy(as_published)
    fold_standardisation(folded)
    with torch.no_grad():
        expected = as_published.eval()((photograph * 255 - 127) / 128)[1]
        found = folded.eval()(standardised(photograph))[1]
    inside = (..., slice(2, -2), slice(2, -2))  # zero padding means another value at the border
    torch.testing.assert_close(found[inside], expected[inside], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 7])
def test_first_convolution_is_adapted_as_smp_does(bands):
    def rgb() -> Any:
        encoder = smp.encoders.get_encoder("resnet18", in_channels=3, depth=5, weights=None)
        encoder.conv1.weight = nn.Parameter(
            torch.arange(encoder.conv1.weight.numel()).view_as(encoder.conv1.weight) / 1e4
        )
        return encoder

    expected, found = rgb(), rgb()
    expected.set_in_channels(bands, pretrained=True)
    adapt_first_convolution(found, bands)
    torch.testing.assert_close(found.conv1.weight, expected.conv1.weight)
    assert found.conv1.in_channels == bands
    assert found.out_channels == expected.out_channels
    assert [f.shape[1] for f in found(torch.zeros(2, bands, 64, 64))] == found.out_channels


@pytest.mark.parametrize("bands", [1, 6])
def test_pretrained_lite0_answers_grey_alike_for_any_number_of_bands(bands):
    rgb, other = (build_encoder(LITE0, n, pretrained=True).eval() for n in (3, bands))
    grey = torch.linspace(-2, 2, 64).expand(1, 1, 64, 64)
    with torch.no_grad():
        expected, found = rgb(grey.expand(1, 3, -1, -1))[-1], other(grey.expand(1, bands, -1, -1))[-1]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)  # float32 through 49 layers


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "efficientnet-b0", "timm-efficientnet-b0", LITE0])
def test_encoders_give_five_strides_and_train_whole(name):
    encoder: Any = build_encoder(name, 2, pretrained=False)
    features = encoder(torch.randn(2, 2, 64, 64))
    assert [f.shape[-1] for f in features] == [64, 32, 16, 8, 4, 2]
    assert [f.shape[1] for f in features] == list(encoder.out_channels)
    torch.stack([f.square().mean() for f in features[1:]]).sum().backward()
    assert [n for n, p in encoder.named_parameters() if p.grad is None] == []


def test_deprecated_name_of_lite0_is_an_alias():
    assert list(build_encoder("timm-tf_efficientnet_lite0", 3, pretrained=False).state_dict()) == list(lite0_state())


def test_non_commercial_encoders_are_refused():
    with pytest.raises(ConfigError, match="non-commercial"):
        build_encoder("mit_b0", 3, pretrained=False)


@pytest.mark.parametrize("name", ["resnet19", "tu-no_such_model", "tu-vit_tiny_patch16_224"])
def test_unusable_encoders_are_refused(name):
    with pytest.raises(ConfigError, match=f"encoder '{name}' cannot be built"):
        build_encoder(name, 3, pretrained=False)


def test_weights_that_cannot_be_fetched_are_explained(monkeypatch):
    def offline(*args: object, **kwargs: Any) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(smp.encoders, "get_encoder", offline)
    with pytest.raises(ConfigError, match=r"set network\.pretrained=false"):
        build_encoder("resnet50", 3, pretrained=True)


def test_packaged_weights_of_another_shape_are_refused(monkeypatch, source):
    def other(*args: object, **kwargs: Any) -> dict[str, torch.Tensor]:
        return {name: tensor[..., :1] if tensor.ndim else tensor for name, tensor in source.items()}

    monkeypatch.setattr(torch, "load", other)
    with pytest.raises(ConfigError, match="does not hold EfficientNet-Lite0"):
        lite0_state()


def test_fast_depthwise_changes_neither_function_nor_names():
    plain = smp.encoders.get_encoder(LITE0, in_channels=2, depth=5, weights=None).eval()
    fast = with_fast_depthwise(copy.deepcopy(plain)).eval()
    x = torch.randn(1, 2, 96, 64)
    assert sum(isinstance(m, DepthwiseConv2d) for m in fast.modules()) == 16
    assert any(m.same for m in fast.modules() if isinstance(m, DepthwiseConv2d))
    assert not any(isinstance(m, Conv2dSame) and m.groups > 1 for m in fast.modules())
    assert list(fast.state_dict()) == list(plain.state_dict())
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(plain(x), fast(x), strict=True))


@pytest.mark.parametrize(("kernel", "stride", "size"), [(5, 1, (2, 2)), (3, 2, (7, 4)), (5, 2, (8, 5)), (3, 1, (1, 8))])
def test_gradients_of_fast_depthwise_are_those_of_the_convolution(kernel: int, stride: int, size: tuple[int, int]):
    conv = nn.Conv2d(6, 6, kernel, stride, kernel // 2, groups=6, bias=False).double()
    x = torch.randn(3, 6, *size, dtype=torch.float64, requires_grad=True)
    y = _SmallDepthwise.apply(x, conv.weight, conv.stride, conv.padding)
    weighting = torch.randn_like(y)
    found = torch.autograd.grad((y * weighting).sum(), (x, conv.weight))
    expected = torch.autograd.grad((conv(x) * weighting).sum(), (x, conv.weight))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_small_maps_train_as_the_convolution_does():
    conv = nn.Conv2d(4, 4, 5, padding=2, groups=4)
    fast = DepthwiseConv2d(copy.deepcopy(conv), same=False).train()
    x = torch.randn(2, 4, 4, 4)
    assert "_SmallDepthwise" in str(known(fast._on_cpu(x).grad_fn).next_functions[0][0])  # the path is taken
    (fast(x) ** 2).sum().backward(), (conv(x) ** 2).sum().backward()
    torch.testing.assert_close(fast.weight.grad, conv.weight.grad)
    torch.testing.assert_close(known(fast.bias).grad, known(conv.bias).grad)


@pytest.mark.parametrize(("name", "kept", "left_out"), [
    (LITE0, "model.blocks.5.0.conv_pw.weight", "model.blocks.5.1.conv_pw.weight"),
    ("resnet18", "layer2.0.conv1.weight", "layer2.1.conv1.weight"),
    ("tu-test_resnet", "model.layer2.0.conv1.weight", None),
])  # fmt: skip
def test_a_shortened_encoder_keeps_the_first_blocks_of_each_stage(name: str, kept: str, left_out: str | None):
    whole = build_encoder(name, 2, pretrained=name == LITE0)
    short = build_encoder(name, 2, pretrained=name == LITE0, blocks=1)
    assert short.state_dict().keys() <= whole.state_dict().keys()
    if name == LITE0:
        assert short.state_dict()[kept].equal(whole.state_dict()[kept])
    assert left_out is None or left_out in whole.state_dict().keys() - short.state_dict().keys()
    x = torch.randn(2, 2, 64, 64)
    assert [f.shape for f in short(x)] == [f.shape for f in whole(x)]


def test_an_encoder_without_stages_of_blocks_cannot_be_shortened():
    with pytest.raises(ConfigError, match=r"network\.encoder_blocks=null"):
        build_encoder("mobileone_s0", 1, pretrained=False, blocks=1)


def test_fast_depthwise_trains_in_float32_under_autocast():
    conv = nn.Conv2d(8, 8, 5, padding=2, groups=8)
    fast = DepthwiseConv2d(conv, same=False).train()
    x = torch.randn(1, 8, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        training, evaluation = fast(x), fast.eval()(x)
        assert training.dtype == evaluation.dtype == torch.bfloat16
    assert torch.equal(training, conv(x).to(torch.bfloat16))  # rounded once, at the end


def test_no_warning_escapes():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        build_encoder("timm-efficientnet-b0", 3, pretrained=False)
    assert caught == []
