"""What a network is built from, and the presets."""

from __future__ import annotations

from enum import StrEnum
from typing import Self, assert_never

from pydantic import Field, field_validator, model_validator

from overcast.data.targets import Targets
from overcast.errors import ConfigError
from overcast.models.encoders import DEPTH, LITE0, check_encoder_name
from overcast.reading import quoted
from overcast.section import Section

WIDEST = 8192
"""Channels of a stage."""
MOST_BANDS = 1024


class Sharing(StrEnum):
    """What the optical and hallucination encoders have in common in the residual block behind them."""

    WEIGHTS = "weights"
    """One block; batch statistics are kept per modality, so that the deployed path is normalised by its own."""
    WEIGHTS_AND_STATISTICS = "weights_and_statistics"
    """One block, batch statistics included: their running averages mix optical and SAR features."""
    NOTHING = "nothing"
    """Two blocks: the control of equal size without the shared one."""


class NetworkSpec(Section):
    """Architecture of every network: equal for all methods that are compared."""

    encoder: str = LITE0
    """segmentation_models_pytorch encoder of depth 5 (`mit_b*` excluded for its licence)."""
    encoder_blocks: int | None = Field(default=None, ge=1)
    """Blocks that are kept of each encoder stage, from its first one on; None keeps all."""
    pretrained: bool = True
    """Start from ImageNet weights."""
    decoder_channels: tuple[int, ...] = (256, 128, 64, 32, 16)
    """Channels of the decoder stages, deepest first. Five end at full resolution; four end at half of it, and each
    feature then gives the logits of its 2 x 2 pixels."""
    shared_channels: int | None = Field(default=None, ge=1, le=WIDEST)
    """Width that the deepest encoder feature is projected to before the shared block; None keeps the encoder's."""
    fusion_channels: int = Field(default=16, ge=1, le=WIDEST)
    """Width of the fusion heads."""
    sar_bands: int = Field(default=1, ge=1, le=MOST_BANDS)
    optical_bands: int = Field(default=3, ge=0, le=MOST_BANDS)
    """0 where the data has no optical image."""
    num_classes: int = Field(default=1, ge=1, le=MOST_BANDS)
    """1 is one logit (class against background), more are one logit per class."""
    targets: Targets = Targets()
    """What further logits of each head say of the one class."""
    auxiliary_sar: bool = False
    """A head on the SAR branch of the training network; the method's option of the same name sets it."""
    sharing: Sharing = Sharing.WEIGHTS

    @field_validator("encoder")
    @classmethod
    def _allowed_encoder(cls, encoder: str) -> str:
        try:
            return check_encoder_name(encoder)
        except ConfigError as error:
            raise ValueError(str(error)) from error

    @field_validator("decoder_channels")
    @classmethod
    def _four_or_five_stages(cls, channels: tuple[int, ...]) -> tuple[int, ...]:
        if len(channels) not in (DEPTH - 1, DEPTH) or min(channels) < 1 or max(channels) > WIDEST:
            raise ValueError(
                f"needs {DEPTH - 1} or {DEPTH} widths from 1 to {WIDEST}, deepest first, got {quoted(list(channels))}"
            )
        return channels

    @model_validator(mode="after")
    def _targets_of_one_class(self) -> Self:
        if self.num_classes > 1 and self.targets.weights is not None:
            raise ValueError("edges and contacts are targets of one class: set num_classes to 1")
        return self

    @property
    def logits(self) -> int:
        """K, the logits of each head: one per target, or one per class."""
        return max(self.num_classes, len(self.targets.names))

    @property
    def decoded_stride(self) -> int:
        """Pixels per side that a feature of the last decoder stage stands for."""
        return int(2 ** (DEPTH - len(self.decoder_channels)))

    def with_bands(self, sar_bands: int, optical_bands: int) -> Self:
        """This architecture for other inputs."""
        return self._changed(sar_bands=sar_bands, optical_bands=optical_bands)

    def untrained(self) -> Self:
        """This architecture without ImageNet weights, for weights that will be loaded."""
        return self._changed(pretrained=False)

    def _changed(self, **values: object) -> Self:
        return type(self).model_validate({**self.model_dump(), **values})


class Preset(StrEnum):
    """Named sizes."""

    TINY = "tiny"
    """Trains on a CPU: a short encoder and a narrow decoder that ends at half resolution."""
    THIN = "thin"
    """The whole encoder and a narrow decoder of full resolution: what `tiny` was when the published results were
    made."""
    BASE = "base"
    PAPER = "paper"
    """The recipe of the paper's sibling projects: ResNet-50 with a 128-channel decoder."""


def preset(name: Preset) -> NetworkSpec:
    """The architecture of a preset, for one SAR band and three optical ones: adapt it with `with_bands`."""
    match name:
        case Preset.TINY:
            return NetworkSpec(encoder_blocks=1, decoder_channels=(64, 48, 32, 24))
        case Preset.THIN:
            return NetworkSpec(decoder_channels=(64, 48, 32, 24, 16))
        case Preset.BASE:
            return NetworkSpec()
        case Preset.PAPER:
            return NetworkSpec(
                encoder="resnet50", decoder_channels=(128,) * DEPTH, shared_channels=512, fusion_channels=128
            )
        case _:
            assert_never(name)


PRESETS = {name: preset(name) for name in Preset}
"""Every preset by name."""
