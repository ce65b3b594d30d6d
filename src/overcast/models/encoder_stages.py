"""An encoder cut into its five stages, so that two encoders can share the early ones."""

from __future__ import annotations

from segmentation_models_pytorch.encoders.resnet import ResNetEncoder
from segmentation_models_pytorch.encoders.timm_universal import TimmUniversalEncoder
from timm.models._features import FeatureListNet
from timm.models.efficientnet import EfficientNetFeatures
from torch import nn

from overcast.errors import ConfigError
from overcast.models.encoders import DEPTH


def encoder_stages(encoder: nn.Module) -> tuple[nn.Sequential, ...]:
    """The stages whose outputs are F_en-1 .. F_en-5, around the encoder's own modules.

    Raises ConfigError for encoders that are no plain sequence of modules.
    """
    modules, ends = _sequence(encoder)
    if len(ends) != DEPTH:
        raise ConfigError(
            f"an encoder of type {type(encoder).__name__} cannot be cut into five stages: choose an EfficientNet or "
            "ResNet of segmentation_models_pytorch or timm (tu-...) for this method."
        )
    starts = [0, *ends[:-1]]
    return tuple(nn.Sequential(*modules[start:end]) for start, end in zip(starts, ends, strict=True))


def _sequence(encoder: nn.Module) -> tuple[list[nn.Module], list[int]]:
    """The encoder's modules in the order of its forward pass, and how many it takes up to each feature."""
    if isinstance(encoder, ResNetEncoder):
        stem: list[nn.Module] = [encoder.conv1, encoder.bn1, encoder.relu, encoder.maxpool]
        return [*stem, encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4], [3, 5, 6, 7, 8]
    model = encoder.model if isinstance(encoder, TimmUniversalEncoder) else None
    if isinstance(model, EfficientNetFeatures) and model.feature_hooks is None:
        ends = [stage + 2 for stage in model._stage_out_idx]  # noqa: SLF001  # stage 0 is the stem's two modules
        return [model.conv_stem, model.bn1, *model.blocks], ends
    if isinstance(model, FeatureListNet) and not model.concat:
        names = list(model.keys())
        return list(model.values()), [names.index(name) + 1 for name in model.return_layers]
    return [], []
