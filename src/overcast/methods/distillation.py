"""`kd` and `cwd`: a SAR-only student learns from the logits of a teacher that sees the optical image.

`kd`   Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network", 2015, section 2, per pixel:
       L = L_seg(z_s, y) + weight tau^2 KL(p(z_t / tau) || p(z_s / tau))
`cwd`  Shu, Liu, Gao, Yan, Shen, "Channel-wise knowledge distillation for dense prediction", ICCV 2021, Eqs. 3 and 4:
       L = L_seg(z_s, y) + weight (tau^2 / C) sum_c KL(phi(z_t,c) || phi(z_s,c)), phi = softmax over a channel's pixels

Deviations. Both: the hard term is L_seg at full weight (Hinton: a weighted average); terms count where both sensors
have data, for `cwd` the softmax is over those pixels of an image. The student has by default the two streams and
auxiliary heads of `sar_twin`, so that what it gains over that control is due to the teacher; `student: single` is the
network of `sar`. The teacher shares the run, see `overcast.methods.teacher`. `cwd` uses logits alone (theirs: features
as well).
"""

from __future__ import annotations

from abc import abstractmethod
from enum import StrEnum
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from overcast.batch import Batch, Modality
from overcast.methods.base import both_valid
from overcast.methods.distances import channel_alignment
from overcast.methods.losses import alignment
from overcast.methods.stages import Position
from overcast.methods.supervised import TwinOptions, twin_losses
from overcast.methods.teacher import AnyMixMethod, TeacherOptions
from overcast.models.network import TwinOutput, with_shared_tensors
from overcast.models.spec import NetworkSpec
from overcast.models.taught import TaughtNetwork, logits_of
from overcast.raster.radiometry import Statistics


class StudentKind(StrEnum):
    """Network of the student."""

    TWIN = "twin"
    """The network of `sar_twin` and `cmhcl`: two SAR streams and a fusion head."""
    SINGLE = "single"
    """The network of `sar`: one encoder-decoder."""


class TeacherKind(StrEnum):
    """What the teacher sees."""

    OPTICAL = "optical"
    BOTH = "both"


class DistillationOptions(TeacherOptions):
    """What all methods with a student and a teacher network have in common."""

    heads: TwinOptions = TwinOptions()
    """Weights of the auxiliary heads, of a twin student and of a teacher that sees both."""


class LogitOptions(DistillationOptions):
    """What methods on logits have in common: networks of any kind fit."""

    student: StudentKind = StudentKind.TWIN
    """`twin`: the network of `sar_twin`; `single`: that of `sar`."""
    teacher: TeacherKind = TeacherKind.OPTICAL
    """`optical`, or `both`: what the teacher sees."""

    def network(self, spec: NetworkSpec) -> TaughtNetwork:
        """Student and teacher."""
        return TaughtNetwork(spec, twin=self.student is StudentKind.TWIN, both=self.teacher is TeacherKind.BOTH)


class KdOptions(LogitOptions):
    """`kd`: the student learns the teacher's soft labels, pixel by pixel."""

    name: Literal["kd"] = "kd"
    temperature: float = Field(default=4.0, gt=0, le=100)
    """tau, softening of both sides."""
    weight: float = Field(default=1.0, ge=0)
    """Weight of the soft term."""


class CwdOptions(LogitOptions):
    """`cwd`: the student learns where in the image the teacher's channels respond."""

    name: Literal["cwd"] = "cwd"
    temperature: float = Field(default=4.0, gt=0, le=100)
    """tau of the softmax over the pixels."""
    weight: float = Field(default=3.0, ge=0)
    """Weight of the channel-wise term."""


class Distillation(AnyMixMethod):
    """L = losses of the student alone + what it learns from the teacher."""

    network: TaughtNetwork

    def __init__(
        self,
        options: DistillationOptions,
        spec: NetworkSpec,
        network: TaughtNetwork,
        statistics: Statistics | None,
    ) -> None:
        super().__init__(options.name, spec, network, statistics, options.stages)
        self.heads = options.heads

    def teacher(self) -> tuple[nn.Module, ...]:
        """The teacher network."""
        return (self.network.teacher,)

    @property
    def sees(self) -> frozenset[Modality]:
        """What the teacher network takes."""
        return frozenset(Modality) if self.network.teacher_sees_both else super().sees

    def deployable(self) -> nn.Module:
        """The student without auxiliary heads."""
        return with_shared_tensors(self.network.deployed)

    def _listen(self, sar: Tensor) -> TwinOutput | Tensor:
        output: TwinOutput | Tensor = self.network.student(sar)
        return output

    @abstractmethod
    def _distil(self, taught: TwinOutput | Tensor, learned: TwinOutput | Tensor, batch: Batch) -> dict[str, Tensor]:
        """What the student learns from the teacher."""

    def _teacher_losses(self, batch: Batch) -> dict[str, Tensor]:
        sar = batch.require("sar") if self.network.teacher_sees_both else None
        return self._losses_of_teacher(self.network.taught(sar, batch.require("optical")), batch)

    def _pair_losses(
        self,
        said: TwinOutput | Tensor,
        batch: Batch,
        position: Position,  # noqa: ARG002  # no schedule of its own
    ) -> dict[str, Tensor]:
        taught = self.network.taught(batch.require("sar"), batch.require("optical"))
        distilled = self._distil(taught, said, batch)
        if batch.label is None:
            return distilled
        losses = self._student_losses(said, batch) | distilled
        return losses | self._losses_of_teacher(taught, batch) if self.joint else losses

    def _student_losses(self, said: TwinOutput | Tensor, batch: Batch) -> dict[str, Tensor]:
        label, valid = self._label(batch), batch.sar_valid
        if isinstance(said, TwinOutput):
            return twin_losses(said, label, (valid, valid), self.heads, self.target_weights)
        return {"seg": self._seg(said, label, valid)}

    def _losses_of_teacher(self, output: TwinOutput | Tensor, batch: Batch) -> dict[str, Tensor]:
        label, optical = self._label(batch), batch.optical_valid
        if isinstance(output, TwinOutput):
            valid = (both_valid(batch), optical)
            losses = twin_losses(output, label, valid, self.heads, self.target_weights)
        else:
            losses = {"seg": self._seg(output, label, optical)}
        return {f"teacher_{name}": loss for name, loss in losses.items()}


class LogitDistillation(Distillation):
    """`kd` and `cwd`: the student learns from the teacher's logits."""

    def __init__(
        self, options: KdOptions | CwdOptions, spec: NetworkSpec, statistics: Statistics | None = None
    ) -> None:
        super().__init__(options, spec, options.network(spec), statistics)
        self.options = options

    def _distil(self, taught: TwinOutput | Tensor, learned: TwinOutput | Tensor, batch: Batch) -> dict[str, Tensor]:
        by_pixel = isinstance(self.options, KdOptions)
        divergence = (alignment if by_pixel else channel_alignment)(
            logits_of(taught),
            logits_of(learned),
            temperature=self.options.temperature,
            valid=both_valid(batch),
            weights=self.target_weights,
        )
        return {"soft" if by_pixel else "channels": self.options.weight * divergence}
