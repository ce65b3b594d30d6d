"""`optical_init`: a SAR network that starts from the weights of a trained optical one, the control of every teacher.

The optical network learns in the first `teacher_share` of the steps. Then the SAR network takes over its encoder,
decoder and head (both streams of a twin take the same) and learns from the labels alone. What it gains over `sar_twin`
is due to the start, not to a teacher. The first convolution is fitted to the SAR bands as ImageNet weights are.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from overcast.batch import Batch, Holds, Modality
from overcast.methods.distillation import StudentKind
from overcast.methods.stages import Position, TrainingStage
from overcast.methods.supervised import TwinOptions, twin_losses
from overcast.methods.teacher import TaughtMethod
from overcast.models.network import SingleNetwork, TwinOutput, with_shared_tensors
from overcast.models.spec import NetworkSpec
from overcast.models.start import take_over
from overcast.models.taught import TaughtNetwork
from overcast.raster.radiometry import Statistics


class OpticalInitOptions(TwinOptions):
    """`optical_init`: the optical network's weights as a start."""

    name: Literal["optical_init"] = "optical_init"
    student: StudentKind = StudentKind.TWIN
    """`twin`: the network of `sar_twin`; `single`: that of `sar`."""
    teacher_share: float = Field(default=0.3, gt=0, lt=1)
    """Share of the steps that belong to the optical network."""

    @property
    def stages(self) -> tuple[TrainingStage, ...]:
        """Optical, then SAR."""
        return TrainingStage("optical", self.teacher_share), TrainingStage("sar", 1 - self.teacher_share)


class OpticalInit(TaughtMethod):
    """An optical network, then a SAR network that starts from it."""

    network: TaughtNetwork

    def __init__(self, options: OpticalInitOptions, spec: NetworkSpec, statistics: Statistics | None = None) -> None:
        network = TaughtNetwork(spec, twin=options.student is StudentKind.TWIN, both=False)
        super().__init__(options.name, spec, network, statistics, options.stages)
        self.options = options

    def uses(self, holds: Holds, stage: TrainingStage) -> bool:
        """Labelled places with the stage's own sensor."""
        sensor = Modality.OPTICAL if stage == self.stages[0] else Modality.SAR
        return holds.labelled and sensor in holds.sensors

    def teacher(self) -> tuple[nn.Module, ...]:
        """The optical network."""
        return (self.network.teacher,)

    def deployable(self) -> nn.Module:
        """The SAR network without auxiliary heads."""
        return with_shared_tensors(self.network.deployed)

    def _teacher_losses(self, batch: Batch) -> dict[str, Tensor]:
        logits = self.network.teacher(batch.require("optical"))
        return {"optical_seg": self._seg(logits, self._label(batch), batch.optical_valid)}

    def begin_stage(self, stage: TrainingStage, *, resumed: bool) -> None:
        """Freeze the optical network after its stage and give the SAR network its weights."""
        super().begin_stage(stage, resumed=resumed)
        if stage == self.stages[1] and not resumed:
            self._start()

    def _losses(self, batch: Batch, position: Position) -> dict[str, Tensor]:  # noqa: ARG002  # no schedule of its own
        output, label, valid = self.network.student(batch.require("sar")), self._label(batch), batch.sar_valid
        if isinstance(output, TwinOutput):
            return twin_losses(output, label, (valid, valid), self.options, self.target_weights)
        return {"seg": self._seg(output, label, valid)}

    def _start(self) -> None:
        """The SAR network takes the optical one's weights."""
        student, teacher = self.network.student, self.network.teacher
        assert isinstance(teacher, SingleNetwork)
        if isinstance(student, SingleNetwork):
            take_over(teacher.branch, student.branch)
            take_over(teacher.head, student.head)
            return
        take_over(teacher.branch, student.twin.first)
        take_over(teacher.branch, student.twin.second)
        take_over(teacher.head, student.first_head)
