"""The three-branch network of CMH-CL in training."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from overcast.models.blocks import ResidualBlock, crop_like, logit_head, pad_to_stride
from overcast.models.fusion import FusionHead
from overcast.models.mixing import NEAR_PX, mixed, mixed_features, optical_weight
from overcast.models.network import (
    HallucinationNetwork,
    Network,
    Part,
    StreamFeatures,
    branch,
    with_shared_tensors,
)
from overcast.models.spec import NetworkSpec, Sharing


@dataclass(frozen=True)
class RadarOutput:
    """What comes from SAR alone: logits (B, K, H, W), `share_*` (B, K, h, w) at stride 32 of the padded input."""

    hallucination: Tensor
    """z^H."""
    fused_hallucination: Tensor
    """z^HS, the prediction from SAR alone."""
    share_hallucination: Tensor
    """z_share^H."""
    sar: Tensor | None
    """z^S, None without the auxiliary head."""
    features_hallucination: StreamFeatures
    radar: Tensor
    """F_de^S (B, D, H, W) of the padded input."""


@dataclass(frozen=True)
class CollaborativeOutput(RadarOutput):
    """What comes from both sensors, beside that from SAR alone."""

    optical: Tensor
    """z^O."""
    fused_optical: Tensor
    """z^OS."""
    share_optical: Tensor
    """z_share^O."""
    features_optical: StreamFeatures


class CollaborativeNetwork(Network):
    """Optical, hallucination and SAR branches, one weight-shared residual block, two fusion heads (CMH-CL, training).

    All that the SAR-only path needs lives in `deployed`; nothing outside it is touched by `sar_only`.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.input_bands = (spec.sar_bands, spec.optical_bands)
        self.sharing = spec.sharing
        self.deployed = HallucinationNetwork(spec)
        self.optical = branch(spec, spec.optical_bands)
        width, deepest = self.optical.decoder_channels, self.optical.encoder_channels[-1]
        stride = spec.decoded_stride
        self.optical_fusion = FusionHead(width, spec.fusion_channels, spec.logits, stride)
        self.optical_head = logit_head(width, spec.logits, stride)
        self.hallucination_head = logit_head(width, spec.logits, stride)
        self.share_head = logit_head(deepest, spec.logits)
        self.sar_head = logit_head(width, spec.logits, stride) if spec.auxiliary_sar else None
        own = spec.sharing is Sharing.NOTHING
        self.optical_block = ResidualBlock(deepest) if own else None
        self.optical_share_head = logit_head(deepest, spec.logits) if own else None
        self.optical_norms = self.deployed.block.domain_norms() if spec.sharing is Sharing.WEIGHTS else None

    def forward(
        self, sar: Tensor, optical: Tensor, *, valid: Tensor | None = None, detach_sar: bool = False
    ) -> CollaborativeOutput:
        """All logits of a standardised SAR (B, C_s, H, W) and optical (B, C_o, H, W) image.

        Args:
            sar: Standardised.
            optical: Standardised, 0 where it has no data.
            valid: (B, 1, H, W) True where the optical image has data: what it lacks is filled with hallucinated
                features at every scale, and z^OS passes over into z^HS. None takes the image as it is.
            detach_sar: No gradient of z^OS enters the SAR branch; no value changes.
        """
        return self.beside(self.radar(sar), optical, valid=valid, detach_sar=detach_sar)

    def beside(
        self, alone: RadarOutput, optical: Tensor, *, valid: Tensor | None = None, detach_sar: bool = False
    ) -> CollaborativeOutput:
        """All logits, those from SAR alone being known. No gradient enters the hallucination branch by mixing."""
        weight = None if valid is None else optical_weight(valid, NEAR_PX)
        seen = self.optical_stream(optical, alone.features_hallucination, weight)
        radar = alone.radar.detach() if detach_sar else alone.radar
        fused = crop_like(self.optical_fusion(seen.decoded, radar).logits, optical)
        return CollaborativeOutput(
            **vars(alone),
            optical=crop_like(self.optical_head(seen.decoded), optical),
            fused_optical=fused if weight is None else mixed(fused, alone.fused_hallucination.detach(), weight),
            share_optical=self.share_logits(seen),
            features_optical=seen,
        )

    def radar(self, sar: Tensor) -> RadarOutput:
        """All logits that a standardised SAR image (B, C_s, H, W) gives by itself."""
        padded = pad_to_stride(sar)
        hallucinated = self.deployed.first_stream(padded)
        radar = self.deployed.second_stream(padded)
        return RadarOutput(
            hallucination=crop_like(self.hallucination_head(hallucinated.decoded), sar),
            fused_hallucination=crop_like(self.deployed.fusion(hallucinated.decoded, radar).logits, sar),
            share_hallucination=self.share_head(hallucinated.deepest),
            sar=None if self.sar_head is None else crop_like(self.sar_head(radar), sar),
            features_hallucination=hallucinated,
            radar=radar,
        )

    def sar_only(self, sar: Tensor) -> Tensor:
        """z^HS (B, K, H, W) from SAR alone: bit for bit what `deployable` computes."""
        logits: Tensor = self.deployed(sar)
        return logits

    def optical_only(self, optical: Tensor) -> tuple[Tensor, Tensor]:
        """z^O (B, K, H, W) and z_share^O from the optical image alone."""
        seen = self.optical_stream(optical)
        return crop_like(self.optical_head(seen.decoded), optical), self.share_logits(seen)

    def with_optical(self, sar: Tensor, optical: Tensor) -> Tensor:
        """z^OS (B, K, H, W) from both sensors."""
        seen, radar = self.optical_stream(optical), self.deployed.second_stream(pad_to_stride(sar))
        return crop_like(self.optical_fusion(seen.decoded, radar).logits, sar)

    def with_parts_of_optical(self, sar: Tensor, optical: Tensor, valid: Tensor) -> Tensor:
        """Logits (B, K, H, W): z^OS where the optical image is `valid` (B, 1, H, W), z^HS to the bit where it is not.

        Features are mixed as `forward` mixes them.
        """
        padded, weight = pad_to_stride(sar), optical_weight(valid, NEAR_PX)
        hallucinated, radar = self.deployed.first_stream(padded), self.deployed.second_stream(padded)
        alone = crop_like(self.deployed.fusion(hallucinated.decoded, radar).logits, sar)
        seen = self.optical_stream(optical, hallucinated, weight)
        return mixed(crop_like(self.optical_fusion(seen.decoded, radar).logits, sar), alone, weight)

    def optical_stream(
        self, optical: Tensor, hallucinated: StreamFeatures | None = None, weight: Tensor | None = None
    ) -> StreamFeatures:
        """Features of the optical image, padded here.

        With a `weight` (B, 1, H, W) of the image the decoder receives hallucinated features for the rest, and so does
        whoever takes what it returns; the deepest feature stays that of the image.
        """
        image, *skips, deepest = self.optical.encode(pad_to_stride(optical))
        block = self.deployed.block if self.optical_block is None else self.optical_block
        shared = block(deepest, None if self.optical_norms is None else list(self.optical_norms))
        if hallucinated is None or weight is None:
            return StreamFeatures(shared, self.optical.decode([image, *skips, shared]))
        weight = pad_to_stride(weight)
        other = [feature.detach() for feature in (*hallucinated.skips, hallucinated.deepest)]
        decoded = self.optical.decode([image, *mixed_features([*skips, shared], other, weight)])
        return StreamFeatures(shared, mixed(decoded, hallucinated.decoded.detach(), weight))

    def share_logits(self, seen: StreamFeatures) -> Tensor:
        """z_share^O (B, K, h, w) of the optical features."""
        head = self.share_head if self.optical_share_head is None else self.optical_share_head
        logits: Tensor = head(seen.deepest)
        return logits

    def deployable(self) -> HallucinationNetwork:
        """The SAR-only network around the same tensors, with a train/eval mode of its own."""
        network = with_shared_tensors(self.deployed)
        assert isinstance(network, HallucinationNetwork)
        return network

    def parts(self) -> tuple[Part, ...]:
        """Disjoint parts that make up the network."""
        norms = () if self.optical_norms is None else (self.optical_norms,)
        own = () if self.optical_block is None else (Part("optical residual block", (self.optical_block,)),)
        heads = (self.optical_head, self.hallucination_head, self.share_head, self.optical_share_head, self.sar_head)
        return (
            Part("optical branch", (self.optical,)),
            Part("hallucination branch", (self.deployed.first,)),
            Part("SAR branch", (self.deployed.second,)),
            Part("residual block", (self.deployed.block, *norms)),
            *own,
            Part("OPT-SAR fusion head", (self.optical_fusion,)),
            Part("HAL-SAR fusion head", (self.deployed.fusion,)),
            Part("auxiliary heads", tuple(head for head in heads if head is not None)),
        )

    def teacher(self) -> tuple[nn.Module, ...]:
        """Everything that z^O and z_share^O depend on, the shared parts included."""
        parts = (self.optical, self.optical_head, self.optical_norms, self.optical_block, self.optical_share_head)
        shared = () if self.sharing is Sharing.NOTHING else (self.deployed.block, self.share_head)
        return (*(part for part in parts if part is not None), *shared)
