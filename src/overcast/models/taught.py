"""A student and the teacher that it learns from, both whole networks."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from overcast.models.network import (
    HallucinationNetwork,
    Network,
    Part,
    SingleNetwork,
    SupervisedTwinNetwork,
    TwinNetwork,
    TwinOutput,
)
from overcast.models.spec import NetworkSpec


def student_network(spec: NetworkSpec, *, twin: bool) -> SupervisedTwinNetwork | SingleNetwork:
    """A SAR-only network: that of `sar_twin` with its auxiliary heads, or that of `sar`."""
    return SupervisedTwinNetwork(spec, HallucinationNetwork(spec)) if twin else SingleNetwork(spec, spec.sar_bands)


def teacher_network(spec: NetworkSpec, *, both: bool) -> SupervisedTwinNetwork | SingleNetwork:
    """The network of `fusion` with its auxiliary heads, or that of `optical`."""
    if both:
        return SupervisedTwinNetwork(spec, TwinNetwork(spec, spec.optical_bands, spec.sar_bands))
    return SingleNetwork(spec, spec.optical_bands)


def logits_of(output: TwinOutput | Tensor) -> Tensor:
    """The prediction (B, K, H, W) among what a network of this module returns."""
    return output.fused if isinstance(output, TwinOutput) else output


class TaughtNetwork(Network):
    """A SAR-only student beside its teacher."""

    def __init__(self, spec: NetworkSpec, *, twin: bool, both: bool) -> None:
        super().__init__()
        self.input_bands = (spec.sar_bands, spec.optical_bands)
        self.student = student_network(spec, twin=twin)
        self.teacher = teacher_network(spec, both=both)

    def forward(self, sar: Tensor, optical: Tensor) -> tuple[TwinOutput | Tensor, TwinOutput | Tensor]:
        """What the student says, and what the teacher says."""
        return self.student(sar), self.taught(sar, optical)

    def taught(self, sar: Tensor | None, optical: Tensor) -> TwinOutput | Tensor:
        """What the teacher says; `sar` is for one that sees both."""
        output: TwinOutput | Tensor
        output = self.teacher(optical, sar) if self.teacher_sees_both else self.teacher(optical)
        return output

    @property
    def deployed(self) -> nn.Module:
        """The student without auxiliary heads."""
        return _plain(self.student)

    @property
    def teacher_sees_both(self) -> bool:
        """False for a teacher that sees the optical image alone."""
        return isinstance(self.teacher, SupervisedTwinNetwork)

    def parts(self) -> tuple[Part, ...]:
        """Disjoint parts that make up the network."""
        named = (("student", self.student), ("teacher", self.teacher))
        return tuple(Part(f"{who}: {part.name}", part.modules) for who, network in named for part in network.parts())


class AveragedNetwork(Network):
    """A SAR-only student beside the running average of its weights."""

    def __init__(self, spec: NetworkSpec, *, twin: bool) -> None:
        super().__init__()
        self.input_bands = (spec.sar_bands,)
        self.student = student_network(spec, twin=twin)
        self.average = copy.deepcopy(self.student).requires_grad_(requires_grad=False)

    def forward(self, sar: Tensor) -> TwinOutput | Tensor:
        """What the student says."""
        output: TwinOutput | Tensor = self.student(sar)
        return output

    @torch.no_grad()
    def follow(self, momentum: float) -> None:
        """Average = momentum average + (1 - momentum) student. Batch statistics are each network's own."""
        for own, new in zip(self.average.parameters(), self.student.parameters(), strict=True):
            own.lerp_(new, 1 - momentum)

    @property
    def deployed(self) -> nn.Module:
        """The average without auxiliary heads."""
        return _plain(self.average)

    @property
    def learned(self) -> nn.Module:
        """The student without auxiliary heads."""
        return _plain(self.student)

    def parts(self) -> tuple[Part, ...]:
        """Disjoint parts that make up the network."""
        named = (("student", self.student), ("average", self.average))
        return tuple(Part(f"{who}: {part.name}", part.modules) for who, network in named for part in network.parts())


def _plain(network: nn.Module) -> nn.Module:
    """A network without auxiliary heads."""
    return network.twin if isinstance(network, SupervisedTwinNetwork) else network
