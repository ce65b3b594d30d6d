"""The networks: single, twin, and the collaborative one of CMH-CL."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import chain

from torch import Tensor, nn

from overcast.errors import ConfigError
from overcast.models.blocks import ResidualBlock, crop_like, logit_head, pad_to_stride
from overcast.models.branch import Branch
from overcast.models.fusion import FusionHead
from overcast.models.spec import PRESETS, NetworkSpec, Preset, Sharing, preset

__all__ = [
    "PRESETS",
    "CollaborativeNetwork",
    "CollaborativeOutput",
    "HallucinationNetwork",
    "Network",
    "NetworkSpec",
    "Part",
    "Preset",
    "Sharing",
    "SingleNetwork",
    "StreamFeatures",
    "SupervisedTwinNetwork",
    "TwinNetwork",
    "TwinOutput",
    "preset",
    "with_shared_tensors",
]


@dataclass(frozen=True)
class Part:
    """A named piece of a network, for descriptions."""

    name: str
    modules: tuple[nn.Module, ...]


@dataclass(frozen=True)
class StreamFeatures:
    """What a stream gives on padded input."""

    deepest: Tensor
    """(B, C, h, w) at stride 32: what the decoder received as its deepest feature (F_share)."""
    decoded: Tensor
    """(B, D, H, W): F_de."""


@dataclass(frozen=True)
class TwinOutput:
    """Logits (B, K, H, W) of a twin network in training."""

    fused: Tensor
    first: Tensor
    share: Tensor
    """(B, K, h, w) at stride 32 of the padded input."""


@dataclass(frozen=True)
class CollaborativeOutput:
    """Logits of the collaborative network: (B, K, H, W), `share_*` (B, K, h, w) at stride 32 of the padded input."""

    optical: Tensor
    """z^O."""
    hallucination: Tensor
    """z^H."""
    fused_optical: Tensor
    """z^OS."""
    fused_hallucination: Tensor
    """z^HS, the prediction from SAR alone."""
    share_optical: Tensor
    """z_share^O."""
    share_hallucination: Tensor
    """z_share^H."""
    sar: Tensor | None
    """z^S, None without the auxiliary head."""


class Network(nn.Module, ABC):
    """A network that can be described."""

    input_bands: tuple[int, ...]
    """Bands of each argument of `forward`."""

    @abstractmethod
    def parts(self) -> tuple[Part, ...]:
        """Disjoint parts that make up the network."""


def branch(spec: NetworkSpec, bands: int) -> Branch:
    """An encoder-decoder as `spec` describes it. Raises ConfigError for 0 bands."""
    if bands < 1:
        raise ConfigError("this method needs optical images: choose a data set that has them, or the method 'sar'.")
    return Branch(
        spec.encoder,
        bands,
        spec.decoder_channels,
        pretrained=spec.pretrained,
        deepest_channels=spec.shared_channels,
    )


def with_shared_tensors(module: nn.Module) -> nn.Module:
    """A copy of the module tree around the same parameters and buffers: own train/eval mode, one set of weights."""
    tensors = chain(module.parameters(), module.buffers())
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})


class SingleNetwork(Network):
    """One encoder-decoder with a head."""

    def __init__(self, spec: NetworkSpec, bands: int) -> None:
        super().__init__()
        self.input_bands = (bands,)
        self.branch = branch(spec, bands)
        self.head = logit_head(self.branch.decoder_channels, spec.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K, H, W) of a standardised image (B, C, H, W)."""
        return crop_like(self.head(self.branch.decode(self.branch.encode(pad_to_stride(x)))), x)

    def parts(self) -> tuple[Part, ...]:
        """Disjoint parts that make up the network."""
        return Part("encoder-decoder", (self.branch,)), Part("head", (self.head,))


class TwinNetwork(Network):
    """Two encoder-decoders and a fusion head; the first passes a residual block at its deepest stage.

    With an optical and a SAR input it is the upper bound `fusion`; with SAR twice it is `HallucinationNetwork`.
    """

    def __init__(self, spec: NetworkSpec, first_bands: int, second_bands: int) -> None:
        super().__init__()
        self.input_bands = (first_bands, second_bands)
        self.first = branch(spec, first_bands)
        self.second = branch(spec, second_bands)
        self.block = ResidualBlock(self.first.encoder_channels[-1])
        self.fusion = FusionHead(self.first.decoder_channels, spec.fusion_channels, spec.num_classes)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Logits (B, K, H, W) of two standardised images of one size."""
        a, b = pad_to_stride(first), pad_to_stride(second)
        return crop_like(self.fusion(self.first_stream(a).decoded, self.second_stream(b)).logits, first)

    def first_stream(self, x: Tensor) -> StreamFeatures:
        """Features of the padded first input: the block's output replaces the deepest decoder input."""
        *skips, deepest = self.first.encode(x)
        shared = self.block(deepest)
        return StreamFeatures(shared, self.first.decode([*skips, shared]))

    def second_stream(self, x: Tensor) -> Tensor:
        """Decoded feature (B, D, H, W) of the padded second input."""
        return self.second.decode(self.second.encode(x))

    def parts(self) -> tuple[Part, ...]:
        """Disjoint parts that make up the network."""
        return (
            Part("first encoder-decoder", (self.first,)),
            Part("residual block", (self.block,)),
            Part("second encoder-decoder", (self.second,)),
            Part("fusion head", (self.fusion,)),
        )


class HallucinationNetwork(TwinNetwork):
    """What is deployed: hallucination branch (`first`), residual block, SAR branch (`second`), HAL-SAR head."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__(spec, spec.sar_bands, spec.sar_bands)
        self.input_bands = (spec.sar_bands,)

    def forward(self, sar: Tensor) -> Tensor:  # type: ignore[override]  # one sensor feeds both streams
        """Logits z^HS (B, K, H, W) of a standardised SAR image (B, C_s, H, W)."""
        return super().forward(sar, sar)


class SupervisedTwinNetwork(Network):
    """A twin network with the auxiliary heads that CMH-CL's streams have in training: the controls' equal footing."""

    def __init__(self, spec: NetworkSpec, twin: TwinNetwork) -> None:
        super().__init__()
        self.twin = twin
        self.input_bands = twin.input_bands
        self.first_head = logit_head(twin.first.decoder_channels, spec.num_classes)
        self.share_head = logit_head(twin.first.encoder_channels[-1], spec.num_classes)

    def forward(self, first: Tensor, second: Tensor | None = None) -> TwinOutput:
        """All logits; one input feeds both streams."""
        a = pad_to_stride(first)
        stream = self.twin.first_stream(a)
        other = self.twin.second_stream(a if second is None else pad_to_stride(second))
        return TwinOutput(
            fused=crop_like(self.twin.fusion(stream.decoded, other).logits, first),
            first=crop_like(self.first_head(stream.decoded), first),
            share=self.share_head(stream.deepest),
        )

    def parts(self) -> tuple[Part, ...]:
        """Disjoint parts that make up the network."""
        return *self.twin.parts(), Part("auxiliary heads", (self.first_head, self.share_head))


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
        self.optical_fusion = FusionHead(width, spec.fusion_channels, spec.num_classes)
        self.optical_head = logit_head(width, spec.num_classes)
        self.hallucination_head = logit_head(width, spec.num_classes)
        self.share_head = logit_head(deepest, spec.num_classes)
        self.sar_head = logit_head(width, spec.num_classes) if spec.auxiliary_sar else None
        own = spec.sharing is Sharing.NOTHING
        self.optical_block = ResidualBlock(deepest) if own else None
        self.optical_share_head = logit_head(deepest, spec.num_classes) if own else None
        self.optical_norms = self.deployed.block.domain_norms() if spec.sharing is Sharing.WEIGHTS else None

    def forward(self, sar: Tensor, optical: Tensor) -> CollaborativeOutput:
        """All logits of a standardised SAR (B, C_s, H, W) and optical (B, C_o, H, W) image."""
        seen = self._optical_stream(optical)
        padded = pad_to_stride(sar)
        hallucinated = self.deployed.first_stream(padded)
        radar = self.deployed.second_stream(padded)
        return CollaborativeOutput(
            optical=crop_like(self.optical_head(seen.decoded), sar),
            hallucination=crop_like(self.hallucination_head(hallucinated.decoded), sar),
            fused_optical=crop_like(self.optical_fusion(seen.decoded, radar).logits, sar),
            fused_hallucination=crop_like(self.deployed.fusion(hallucinated.decoded, radar).logits, sar),
            share_optical=self._share_logits(seen),
            share_hallucination=self.share_head(hallucinated.deepest),
            sar=None if self.sar_head is None else crop_like(self.sar_head(radar), sar),
        )

    def sar_only(self, sar: Tensor) -> Tensor:
        """z^HS (B, K, H, W) from SAR alone: bit for bit what `deployable` computes."""
        logits: Tensor = self.deployed(sar)
        return logits

    def optical_only(self, optical: Tensor) -> tuple[Tensor, Tensor]:
        """z^O (B, K, H, W) and z_share^O from the optical image alone."""
        seen = self._optical_stream(optical)
        return crop_like(self.optical_head(seen.decoded), optical), self._share_logits(seen)

    def with_optical(self, sar: Tensor, optical: Tensor) -> Tensor:
        """z^OS (B, K, H, W) from both sensors."""
        seen, radar = self._optical_stream(optical), self.deployed.second_stream(pad_to_stride(sar))
        return crop_like(self.optical_fusion(seen.decoded, radar).logits, sar)

    def deployable(self) -> HallucinationNetwork:
        """The SAR-only network around the same tensors, with a train/eval mode of its own."""
        network = with_shared_tensors(self.deployed)
        assert isinstance(network, HallucinationNetwork)
        return network

    def parts(self) -> tuple[Part, ...]:
        """Disjoint parts that make up the network."""
        blocks = (self.deployed.block, self.optical_block, self.optical_norms)
        heads = (self.optical_head, self.hallucination_head, self.share_head, self.optical_share_head, self.sar_head)
        return (
            Part("optical branch", (self.optical,)),
            Part("hallucination branch", (self.deployed.first,)),
            Part("SAR branch", (self.deployed.second,)),
            Part("residual block", tuple(block for block in blocks if block is not None)),
            Part("OPT-SAR fusion head", (self.optical_fusion,)),
            Part("HAL-SAR fusion head", (self.deployed.fusion,)),
            Part("auxiliary heads", tuple(head for head in heads if head is not None)),
        )

    def teacher(self) -> tuple[nn.Module, ...]:
        """Everything that z^O and z_share^O depend on, the shared parts included."""
        parts = (self.optical, self.optical_head, self.optical_norms, self.optical_block, self.optical_share_head)
        shared = () if self.sharing is Sharing.NOTHING else (self.deployed.block, self.share_head)
        return (*(part for part in parts if part is not None), *shared)

    def _optical_stream(self, optical: Tensor) -> StreamFeatures:
        *skips, deepest = self.optical.encode(pad_to_stride(optical))
        block = self.deployed.block if self.optical_block is None else self.optical_block
        shared = block(deepest, None if self.optical_norms is None else list(self.optical_norms))
        return StreamFeatures(shared, self.optical.decode([*skips, shared]))

    def _share_logits(self, seen: StreamFeatures) -> Tensor:
        head = self.share_head if self.optical_share_head is None else self.optical_share_head
        logits: Tensor = head(seen.deepest)
        return logits
