"""A student and the teacher that it learns from, both whole networks."""

from __future__ import annotations

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

    def taught(self, sar: Tensor, optical: Tensor) -> TwinOutput | Tensor:
        """What the teacher says."""
        output: TwinOutput | Tensor
        output = self.teacher(optical, sar) if self._teacher_sees_both else self.teacher(optical)
        return output

    @property
    def deployed(self) -> nn.Module:
        """The student without auxiliary heads."""
        return self.student.twin if isinstance(self.student, SupervisedTwinNetwork) else self.student

    @property
    def _teacher_sees_both(self) -> bool:
        return isinstance(self.teacher, SupervisedTwinNetwork)

    def parts(self) -> tuple[Part, ...]:
        """Disjoint parts that make up the network."""
        named = (("student", self.student), ("teacher", self.teacher))
        return tuple(Part(f"{who}: {part.name}", part.modules) for who, network in named for part in network.parts())
