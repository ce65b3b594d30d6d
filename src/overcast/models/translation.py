"""A generator of pseudo-optical images, the fusion network behind it, and the discriminator that trains it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from overcast.data.targets import FOOTPRINTS
from overcast.models.blocks import pad_to_stride
from overcast.models.network import Network, Part, SingleNetwork, SupervisedTwinNetwork, TwinNetwork, TwinOutput
from overcast.models.spec import NetworkSpec

PATCH_PX = 8
"""Stride of the discriminator's patches."""


def generator(spec: NetworkSpec) -> SingleNetwork:
    """SAR (B, C_s, H, W) to a standardised optical image (B, C_o, H, W): the family's encoder-decoder."""
    return SingleNetwork(
        spec.model_copy(update={"num_classes": spec.optical_bands, "targets": FOOTPRINTS}), spec.sar_bands
    )


class TranslationNetwork(Network):
    """What is deployed: the generator, and the network of `fusion` on its image and the SAR image."""

    def __init__(self, translate: SingleNetwork, twin: TwinNetwork) -> None:
        super().__init__()
        self.input_bands = translate.input_bands
        self.generator = translate
        self.twin = twin

    def forward(self, sar: Tensor) -> Tensor:
        """Logits (B, K, H, W) of a standardised SAR image (B, C_s, H, W)."""
        logits: Tensor = self.twin(self.generator(sar), sar)
        return logits

    def parts(self) -> tuple[Part, ...]:
        """Disjoint parts that make up the network."""
        return Part("generator", (self.generator,)), *self.twin.parts()


def translation_network(spec: NetworkSpec) -> TranslationNetwork:
    """The deployed network of a spec."""
    return TranslationNetwork(generator(spec), TwinNetwork(spec, spec.optical_bands, spec.sar_bands))


class Discriminator(nn.Module):
    """Logits per patch of `PATCH_PX`: does this optical image belong to this SAR image?"""

    def __init__(self, bands: int, width: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(bands, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            *_layer(width, 2 * width),
            *_layer(2 * width, 4 * width),
            nn.Conv2d(4 * width, 1, 3, padding=1),
        )

    def forward(self, sar: Tensor, optical: Tensor) -> Tensor:
        """(B, 1, H / 8, W / 8) of padded images."""
        logits: Tensor = self.layers(pad_to_stride(torch.cat([sar, optical.to(sar.dtype)], dim=1)))
        return logits


def _layer(in_channels: int, out_channels: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(in_channels, out_channels, 4, stride=2, padding=1, bias=False)
    return convolution, nn.InstanceNorm2d(out_channels, affine=True), nn.LeakyReLU(0.2)


class TranslationTraining(Network):
    """Generator, discriminator, and the fusion network with its auxiliary heads."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.input_bands = (spec.sar_bands, spec.optical_bands)
        self.supervised = SupervisedTwinNetwork(spec, TwinNetwork(spec, spec.optical_bands, spec.sar_bands))
        self.generator = generator(spec)
        self.discriminator = Discriminator(spec.sar_bands + spec.optical_bands)

    def forward(self, sar: Tensor, optical: Tensor) -> tuple[TwinOutput, Tensor]:
        """All logits from SAR, and what the discriminator says of the real image."""
        return self.supervised(self.generator(sar), sar), self.discriminator(sar, optical)

    def deployable(self) -> TranslationNetwork:
        """The SAR-only network of the same modules."""
        return TranslationNetwork(self.generator, self.supervised.twin)

    def parts(self) -> tuple[Part, ...]:
        """Disjoint parts that make up the network."""
        return (
            Part("generator", (self.generator,)),
            *self.supervised.parts(),
            Part("discriminator", (self.discriminator,)),
        )
