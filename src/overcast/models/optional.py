"""A fusion network that works with and without its optical stream."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from overcast.models.blocks import ConvBlock, ResidualBlock, crop_like, logit_head, pad_to_stride
from overcast.models.network import Network, Part, StreamFeatures, TwinOutput, branch, with_shared_tensors
from overcast.models.spec import NetworkSpec


class SarStreamNetwork(Network):
    """What is deployed: the SAR branch and the fusion head, zeros in the place of the optical features."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.input_bands = (spec.sar_bands,)
        self.branch = branch(spec, spec.sar_bands)
        width, channels = self.branch.decoder_channels, spec.fusion_channels
        self.block = ConvBlock(width, channels)
        self.joint = ConvBlock(2 * channels, channels)
        self.head = logit_head(channels, spec.logits, spec.decoded_stride)

    def forward(self, sar: Tensor) -> Tensor:
        """Logits (B, K, H, W) of a standardised SAR image (B, C_s, H, W)."""
        return crop_like(self.head(self.fuse(None, pad_to_stride(sar))), sar)

    def fuse(self, optical: Tensor | None, padded_sar: Tensor) -> Tensor:
        """Fused feature (B, F, H, W) of an optical one (B, F, H, W), None for zeros, and the padded SAR image."""
        radar = self.block(self.branch.decode(self.branch.encode(padded_sar)))
        other = torch.zeros_like(radar) if optical is None else optical
        fused: Tensor = self.joint(torch.cat([other, radar], dim=1))
        return fused

    def parts(self) -> tuple[Part, ...]:
        """Disjoint parts that make up the network."""
        return Part("SAR branch", (self.branch,)), Part("fusion head", (self.block, self.joint, self.head))


class OptionalOpticalNetwork(Network):
    """The network of `fusion`, whose optical features can be left out sample by sample."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.input_bands = (spec.optical_bands, spec.sar_bands)
        self.deployed = SarStreamNetwork(spec)
        self.optical = branch(spec, spec.optical_bands)
        width, deepest = self.optical.decoder_channels, self.optical.encoder_channels[-1]
        self.residual = ResidualBlock(deepest)
        self.block = ConvBlock(width, spec.fusion_channels)
        self.first_head = logit_head(width, spec.logits, spec.decoded_stride)
        self.share_head = logit_head(deepest, spec.logits)

    def forward(self, optical: Tensor, sar: Tensor, keep: Tensor | None = None) -> TwinOutput:
        """All logits; optical features count where `keep` (B,) bool is True, None keeps all."""
        stream = self._optical_stream(pad_to_stride(optical))
        seen = self.block(stream.decoded)
        if keep is not None:
            seen = seen * keep[:, None, None, None].to(seen.dtype)
        fused = self.deployed.fuse(seen, pad_to_stride(sar))
        return TwinOutput(
            fused=crop_like(self.deployed.head(fused), sar),
            first=crop_like(self.first_head(stream.decoded), sar),
            share=self.share_head(stream.deepest),
            features=fused,
        )

    def deployable(self) -> nn.Module:
        """The SAR-only network around the same tensors."""
        return with_shared_tensors(self.deployed)

    def parts(self) -> tuple[Part, ...]:
        """Disjoint parts that make up the network."""
        radar, fusion = self.deployed.parts()
        return (
            Part("optical branch", (self.optical, self.residual)),
            radar,
            Part("optical block of the fusion head", (self.block,)),
            fusion,
            Part("auxiliary heads", (self.first_head, self.share_head)),
        )

    def _optical_stream(self, x: Tensor) -> StreamFeatures:
        *skips, deepest = self.optical.encode(x)
        shared = self.residual(deepest)
        return StreamFeatures(shared, self.optical.decode([*skips, shared]))
