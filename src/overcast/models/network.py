"""The networks that every method is built from: single and twin."""

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
    """(B, D, H / s, W / s): F_de, where s is `NetworkSpec.decoded_stride`."""
    skips: tuple[Tensor, ...] = ()
    """F_en-1 .. F_en-4, from stride 2 to 16, where a stream keeps them."""


@dataclass(frozen=True)
class TwinOutput:
    """Logits (B, K, H, W) of a twin network in training."""

    fused: Tensor
    first: Tensor
    share: Tensor
    """(B, K, h, w) at stride 32 of the padded input."""
    features: Tensor
    """(B, F, H / s, W / s) of the padded input: what the fusion head's logits are made from."""


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
        encoder_blocks=spec.encoder_blocks,
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
        self.head = logit_head(self.branch.decoder_channels, spec.logits, spec.decoded_stride)

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
        self.fusion = FusionHead(self.first.decoder_channels, spec.fusion_channels, spec.logits, spec.decoded_stride)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Logits (B, K, H, W) of two standardised images of one size."""
        a, b = pad_to_stride(first), pad_to_stride(second)
        return crop_like(self.fusion(self.first_stream(a).decoded, self.second_stream(b)).logits, first)

    def first_stream(self, x: Tensor) -> StreamFeatures:
        """Features of the padded first input: the block's output replaces the deepest decoder input."""
        *skips, deepest = self.first.encode(x)
        shared = self.block(deepest)
        return StreamFeatures(shared, self.first.decode([*skips, shared]), tuple(skips[1:]))

    def second_stream(self, x: Tensor) -> Tensor:
        """Decoded feature of the padded second input."""
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
        self.first_head = logit_head(twin.first.decoder_channels, spec.logits, spec.decoded_stride)
        self.share_head = logit_head(twin.first.encoder_channels[-1], spec.logits)

    def forward(self, first: Tensor, second: Tensor | None = None) -> TwinOutput:
        """All logits; one input feeds both streams."""
        a = pad_to_stride(first)
        stream = self.twin.first_stream(a)
        other = self.twin.second_stream(a if second is None else pad_to_stride(second))
        fused = self.twin.fusion(stream.decoded, other)
        return TwinOutput(
            fused=crop_like(fused.logits, first),
            first=crop_like(self.first_head(stream.decoded), first),
            share=self.share_head(stream.deepest),
            features=fused.features,
        )

    def parts(self) -> tuple[Part, ...]:
        """Disjoint parts that make up the network."""
        return *self.twin.parts(), Part("auxiliary heads", (self.first_head, self.share_head))
