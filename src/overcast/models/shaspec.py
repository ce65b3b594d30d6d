"""The network of ShaSpec: an encoder for both sensors, an encoder per sensor, one decoder."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from overcast.models.blocks import ConvBlock, crop_like, logit_head, pad_to_stride
from overcast.models.encoders import build_encoder
from overcast.models.network import Network, Part, branch, with_shared_tensors
from overcast.models.spec import NetworkSpec

COLOURS = 3
"""Bands of the shared encoder."""


def colour_adapter(bands: int) -> nn.Conv2d:
    """1x1 convolution from a sensor's bands to `COLOURS`.

    It starts as the mean, per colour c, of the bands i with i mod 3 = c; with fewer bands than colours, as band c mod
    `bands`.
    """
    adapter = nn.Conv2d(bands, COLOURS, 1)
    weight = torch.zeros(COLOURS, bands)
    for colour in range(COLOURS):
        sources = [band for band in range(bands) if band % COLOURS == colour] or [colour % bands]
        weight[colour, sources] = 1 / len(sources)
    with torch.no_grad():
        adapter.weight.copy_(weight[:, :, None, None])
        assert adapter.bias is not None
        adapter.bias.zero_()
    return adapter


class DeepestEncoder(nn.Module):
    """An encoder of which only the (projected) deepest feature is taken."""

    def __init__(self, spec: NetworkSpec, bands: int) -> None:
        super().__init__()
        self.encoder = build_encoder(spec.encoder, bands, pretrained=spec.pretrained, blocks=spec.encoder_blocks)
        widths: list[int] = list(self.encoder.out_channels)  # type: ignore[arg-type]
        wanted = spec.shared_channels
        self.projection = nn.Identity() if wanted is None else ConvBlock(widths[-1], wanted, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) at stride 32."""
        deepest: Tensor = self.projection(self.encoder(x)[-1])
        return deepest


class ShaSpecSarNetwork(Network):
    """What is deployed: shared encoder, SAR encoder, composition, decoder.

    Shared features of SAR stand for the optical ones.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.input_bands = (spec.sar_bands,)
        self.adapter = colour_adapter(spec.sar_bands)
        self.shared = branch(spec, COLOURS)
        self.specific = DeepestEncoder(spec, spec.sar_bands)
        deepest = self.shared.encoder_channels[-1]
        self.compose = nn.Conv2d(2 * deepest, deepest, 3, padding=1, bias=False)
        self.joint = ConvBlock(2 * deepest, deepest, kernel_size=1)
        self.head = logit_head(self.shared.decoder_channels, spec.logits, spec.decoded_stride)

    def forward(self, sar: Tensor) -> Tensor:
        """Logits (B, K, H, W) of a standardised SAR image (B, C_s, H, W)."""
        padded = pad_to_stride(sar)
        *skips, deepest = self.shared.encode(self.adapter(padded))
        composed = self.composed(deepest, self.specific(padded))
        return crop_like(self.decode(skips, deepest, composed), sar)

    def composed(self, shared: Tensor, specific: Tensor) -> Tensor:
        """Shared feature plus what shared and specific one say together."""
        residual: Tensor = self.compose(torch.cat([shared, specific], dim=1))
        return shared + residual

    def decode(self, skips: list[Tensor], optical: Tensor, sar: Tensor) -> Tensor:
        """Logits on padded input from the fused deepest features of both sensors."""
        deepest = self.joint(torch.cat([optical, sar], dim=1))
        logits: Tensor = self.head(self.shared.decode([*skips, deepest]))
        return logits

    def parts(self) -> tuple[Part, ...]:
        """Disjoint parts that make up the network."""
        return (
            Part("shared encoder", (self.shared.encoder, self.shared.projection)),
            Part("SAR encoder", (self.adapter, self.specific)),
            Part("composition", (self.compose,)),
            Part("decoder and head", (self.joint, self.shared.decoder, self.head)),
        )


@dataclass(frozen=True)
class ShaSpecOutput:
    """Logits (B, K, H, W), and deepest features (B, C, h, w) of the padded input."""

    logits: Tensor
    shared_optical: Tensor
    shared_sar: Tensor
    specific_optical: Tensor
    specific_sar: Tensor


class ShaSpecNetwork(Network):
    """The deployed network with the optical encoder and the classifier of sensors."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.input_bands = (spec.optical_bands, spec.sar_bands)
        self.deployed = ShaSpecSarNetwork(spec)
        self.adapter = colour_adapter(spec.optical_bands)
        self.specific = DeepestEncoder(spec, spec.optical_bands)
        self.domain = nn.Linear(self.deployed.shared.encoder_channels[-1], 2)

    def forward(self, optical: Tensor, sar: Tensor, keep: Tensor | None = None) -> ShaSpecOutput:
        """All outputs; the optical image counts where `keep` (B,) bool is True, None keeps all.

        The shared encoder sees both sensors as one batch: its batch statistics are then those that inference uses.
        """
        seen, padded = pad_to_stride(optical), pad_to_stride(sar)
        together = self.deployed.shared.encode(torch.cat([self.adapter(seen), self.deployed.adapter(padded)]))
        pairs = [feature.chunk(2) for feature in together]
        *skips, (shared_optical, shared_sar) = pairs
        own_optical, own_sar = self.specific(seen), self.deployed.specific(padded)
        there = torch.ones(len(sar), dtype=torch.bool, device=sar.device) if keep is None else keep
        there = there[:, None, None, None]
        general = [torch.where(there, (o + s) / 2, s) for o, s in skips]
        fused_optical = torch.where(there, self.deployed.composed(shared_optical, own_optical), shared_sar)
        fused_sar = self.deployed.composed(shared_sar, own_sar)
        logits = crop_like(self.deployed.decode(general, fused_optical, fused_sar), sar)
        return ShaSpecOutput(logits, shared_optical, shared_sar, own_optical, own_sar)

    def deployable(self) -> nn.Module:
        """The SAR-only network around the same tensors."""
        return with_shared_tensors(self.deployed)

    def parts(self) -> tuple[Part, ...]:
        """Disjoint parts that make up the network."""
        return (
            *self.deployed.parts(),
            Part("optical encoder", (self.adapter, self.specific)),
            Part("domain classifier", (self.domain,)),
        )
