"""The network of DisOptNet: SAR and pseudo-optical decoders on shared early stages, fused with attention."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from overcast.models.blocks import ConvBlock, crop_like, logit_head, pad_to_stride
from overcast.models.encoder_stages import encoder_stages
from overcast.models.network import Network, Part, SingleNetwork, branch, with_shared_tensors
from overcast.models.spec import NetworkSpec

SHARED_STAGES = 3
"""Encoder stages that both branches have in common."""


class SqueezeExcitation(nn.Module):
    """Concurrent spatial and channel squeeze and excitation (Roy et al., MICCAI 2018)."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        squeezed = max(1, channels // reduction)
        self.channel = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, squeezed, 1), nn.ReLU(), nn.Conv2d(squeezed, channels, 1)
        )
        self.spatial = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return x * torch.sigmoid(self.channel(x)) + x * torch.sigmoid(self.spatial(x))


class AttentionFusion(nn.Module):
    """Attention on each feature, concatenation, 1x1 convolution block, attention on the result."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = SqueezeExcitation(channels), SqueezeExcitation(channels)
        self.joint = ConvBlock(2 * channels, channels, kernel_size=1)
        self.last = SqueezeExcitation(channels)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Fuse two (B, D, H, W) features."""
        fused: Tensor = self.last(self.joint(torch.cat([self.first(a), self.second(b)], dim=1)))
        return fused


@dataclass(frozen=True)
class BranchFeatures:
    """What distillation compares, on padded input."""

    stages: tuple[Tensor, ...]
    """F_en-4 and F_en-5 (projected), strides 16 and 32."""
    decoded: Tensor
    """(B, D, H, W)."""


@dataclass(frozen=True)
class DisOptOutput:
    """Logits (B, K, H, W) in training, and the pseudo-optical features."""

    fused: Tensor
    sar: Tensor
    pseudo: Tensor
    features: BranchFeatures


class DisOptNetwork(Network):
    """What is deployed: a SAR branch, and a pseudo-optical branch that starts from its third stage."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.input_bands = (spec.sar_bands,)
        self.branch = branch(spec, spec.sar_bands)
        pseudo = branch(spec, spec.sar_bands)
        self.late = nn.ModuleList(encoder_stages(pseudo.encoder)[SHARED_STAGES:])
        self.projection, self.decoder = pseudo.projection, pseudo.decoder
        self.fusion = AttentionFusion(self.branch.decoder_channels)
        self.head = logit_head(self.branch.decoder_channels, spec.logits, spec.decoded_stride)

    def forward(self, sar: Tensor) -> Tensor:
        """Logits (B, K, H, W) of a standardised SAR image (B, C_s, H, W)."""
        radar, pseudo = self.streams(pad_to_stride(sar))
        return crop_like(self.head(self.fusion(radar, pseudo.decoded)), sar)

    def streams(self, padded: Tensor) -> tuple[Tensor, BranchFeatures]:
        """The decoded SAR feature and the pseudo-optical features."""
        features = self.branch.encode(padded)
        shared = features[: SHARED_STAGES + 1]
        own = [shared[-1]]
        for stage in self.late:
            own.append(stage(own[-1]))
        stages = (*own[1:-1], self.projection(own[-1]))
        decoded = self.decoder([*shared, *stages])
        return self.branch.decode(features), BranchFeatures(stages, decoded)

    def parts(self) -> tuple[Part, ...]:
        """Disjoint parts that make up the network."""
        return (
            Part("SAR branch", (self.branch,)),
            Part("late pseudo-optical stages and decoder", (self.late, self.projection, self.decoder)),
            Part("fusion head", (self.fusion, self.head)),
        )


class DisOptTraining(Network):
    """The deployed network with its auxiliary heads, and the optical teacher."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.input_bands = (spec.sar_bands, spec.optical_bands)
        self.deployed = DisOptNetwork(spec)
        width = self.deployed.branch.decoder_channels
        self.sar_head, self.pseudo_head = (logit_head(width, spec.logits, spec.decoded_stride) for _ in range(2))
        self.teacher = SingleNetwork(spec, spec.optical_bands)

    def forward(self, sar: Tensor, optical: Tensor) -> tuple[DisOptOutput, Tensor, BranchFeatures]:
        """Everything of the student, and the logits and features of the teacher."""
        return self.student(sar), *self.taught(optical)

    def student(self, sar: Tensor) -> DisOptOutput:
        """All logits from SAR."""
        radar, pseudo = self.deployed.streams(pad_to_stride(sar))
        return DisOptOutput(
            fused=crop_like(self.deployed.head(self.deployed.fusion(radar, pseudo.decoded)), sar),
            sar=crop_like(self.sar_head(radar), sar),
            pseudo=crop_like(self.pseudo_head(pseudo.decoded), sar),
            features=pseudo,
        )

    def taught(self, optical: Tensor) -> tuple[Tensor, BranchFeatures]:
        """Logits and features of the teacher."""
        features = self.teacher.branch.encode(pad_to_stride(optical))
        decoded = self.teacher.branch.decode(features)
        own = BranchFeatures(tuple(features[SHARED_STAGES + 1 :]), decoded)
        return crop_like(self.teacher.head(decoded), optical), own

    def deployable(self) -> nn.Module:
        """The SAR-only network around the same tensors."""
        return with_shared_tensors(self.deployed)

    def parts(self) -> tuple[Part, ...]:
        """Disjoint parts that make up the network."""
        heads = Part("auxiliary heads", (self.sar_head, self.pseudo_head))
        return *self.deployed.parts(), heads, Part("teacher", (self.teacher,))
