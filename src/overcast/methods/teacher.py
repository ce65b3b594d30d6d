"""A teacher and its students in one training: the one mechanism of all methods that learn from a frozen network.

`teacher_first`: the first `teacher_share` of the steps trains the teacher alone, with the whole learning-rate curve;
then it is frozen and the students learn in the remaining steps, with a curve of their own. `joint`: both learn in
every step, the students from what the teacher says at that moment. Either way a run has as many steps as that of any
other method and needs no file of another run; `overcast describe` lists what the teacher costs.

Frozen means: no gradient (so the optimiser leaves weights, decay and moments alone) and batch normalisation pinned to
its running averages, which would drift in training mode although no gradient reaches them.

Places without labels teach the students alone. There the teacher speaks by its running averages, or its batch
statistics would follow ground of which it learns nothing; the students see all places in one pass.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from enum import StrEnum
from typing import Any, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from overcast.batch import Batch, Holds, InputModalities, Modality
from overcast.methods.base import Method, mean_over_samples
from overcast.methods.stages import Position, TrainingStage
from overcast.models.network import Network
from overcast.models.spec import NetworkSpec
from overcast.raster.radiometry import Statistics
from overcast.section import Section


class Schedule(StrEnum):
    """When the teacher learns."""

    JOINT = "joint"
    """All parts learn together in one stage."""
    TEACHER_FIRST = "teacher_first"
    """The teacher learns first and is then frozen."""


class TeacherOptions(Section):
    """When the teacher learns."""

    name: str
    """The method."""
    schedule: Schedule = Schedule.TEACHER_FIRST
    """`teacher_first`: the teacher learns alone, then stays frozen; `joint`: teacher and student learn together."""
    teacher_share: float = Field(default=0.3, gt=0, lt=1)
    """Share of the steps that belong to the teacher under `teacher_first`."""

    @property
    def stages(self) -> tuple[TrainingStage, ...]:
        """The stages of the schedule."""
        if self.schedule is Schedule.JOINT:
            return (TrainingStage("training", 1.0),)
        return TrainingStage("teacher", self.teacher_share), TrainingStage("student", 1 - self.teacher_share)


class TaughtMethod(Method):
    """A method with a teacher that is frozen once its stage is over."""

    def __init__(
        self,
        name: str,
        spec: NetworkSpec,
        network: Network,
        statistics: Statistics | None,
        stages: tuple[TrainingStage, ...],
    ) -> None:
        super().__init__(name, spec, network, statistics)
        self._stages = stages
        self._frozen_teacher = False

    @property
    def available(self) -> frozenset[InputModalities]:
        """SAR alone, unless a method says more."""
        return frozenset({InputModalities.SAR})

    @property
    def stages(self) -> tuple[TrainingStage, ...]:
        """The teacher's stage first, or one joint stage."""
        return self._stages

    @property
    def joint(self) -> bool:
        """True where the teacher goes on learning beside the students; False where it has a stage of its own."""
        return len(self.stages) == 1

    @property
    def uses_all_parameters(self) -> bool:
        """False where stages train different parts."""
        return self.joint

    @property
    def sees(self) -> frozenset[Modality]:
        """The sensors of the teacher."""
        return frozenset({Modality.OPTICAL})

    def uses(self, holds: Holds, stage: TrainingStage) -> bool:
        """Labelled places: the teacher learns from those with its sensors, the students from pairs."""
        return holds.labelled and (self.sees if self._teaches(stage) else self.needs) <= holds.sensors

    def begin_stage(self, stage: TrainingStage, *, resumed: bool) -> None:  # noqa: ARG002  # for those that copy
        """Freeze the teacher in every stage but its own."""
        self._freeze_teacher(frozen=not self.joint and not self._teaches(stage))

    def _teaches(self, stage: TrainingStage) -> bool:
        """True for the stage that belongs to the teacher alone."""
        return not self.joint and stage == self.stages[0]

    @abstractmethod
    def teacher(self) -> tuple[nn.Module, ...]:
        """What is frozen after the teacher's stage."""

    def losses(self, batch: Batch, step: int, steps: int) -> dict[str, Tensor]:
        """The losses of the step's stage."""
        position = self.position(step, steps)
        return self._teacher_losses(batch) if self._teaches(position.stage) else self._losses(batch, position)

    @abstractmethod
    def _teacher_losses(self, batch: Batch) -> dict[str, Tensor]:
        """What the teacher learns from in its own stage."""

    @abstractmethod
    def _losses(self, batch: Batch, position: Position) -> dict[str, Tensor]:
        """What the students learn from; with the teacher's own losses where it learns beside them (`joint`)."""

    def train(self, mode: bool = True) -> Self:
        """Set the mode; a frozen teacher stays in eval, or its batch statistics would drift."""
        super().train(mode)
        if self._frozen_teacher:
            self._pin_teacher()
        return self

    def _freeze_teacher(self, *, frozen: bool) -> None:
        if frozen == self._frozen_teacher:
            return
        self._frozen_teacher = frozen
        for part in self.teacher():
            part.requires_grad_(not frozen)
        if frozen:
            self._pin_teacher()
        else:
            self.train(self.training)

    def _pin_teacher(self) -> None:
        for part in self.teacher():
            part.eval()


class AnyMixMethod(TaughtMethod):
    """A method whose students learn on pairs without labels too, and each side on labelled places of its own sensor."""

    def uses(self, holds: Holds, stage: TrainingStage) -> bool:
        """The teacher learns from labelled places alone, the students also from all pairs and from labelled SAR."""
        if self._teaches(stage):
            return super().uses(holds, stage)
        if self.needs <= holds.sensors:
            return True
        return holds.labelled and (holds.sar or (self.joint and self.sees <= holds.sensors))

    def informs(self) -> tuple[nn.Module, ...]:
        """What is pinned in a pass over places without labels: the teacher, unless a method says more."""
        return self.teacher()

    def losses_of_parts(self, parts: Sequence[Batch], step: int, steps: int) -> dict[str, Tensor]:
        """The students in one pass over all that the radar saw, the teacher by kind.

        Every head of the students has a loss on each kind of place, and the network is deployed with the statistics of
        all of them: one pass is better than one for each kind (EXPERIMENTS.md).
        """
        position = self.position(step, steps)
        seen = [part.sar for part in parts if part.sar is not None]
        if self._teaches(position.stage) or len(seen) < 2:
            return super().losses_of_parts(parts, step, steps)
        said = iter(split_output(self._listen(torch.cat(seen)), [len(sar) for sar in seen]))
        return mean_over_samples(
            [(len(part), self._losses(part, position, None if part.sar is None else next(said))) for part in parts]
        )

    def _losses(self, batch: Batch, position: Position, said: Any = None) -> dict[str, Tensor]:
        """The losses of places of one kind; `said` is what the students say of them in a pass over all kinds."""
        if batch.sar is None and batch.label is not None and self.joint:
            return self._teacher_losses(batch)
        with pinned(*self.informs() if batch.label is None else ()):
            said = self._listen(batch.require("sar")) if said is None else said
            if batch.optical is None and batch.label is not None:
                return self._student_losses(said, batch)
            return self._pair_losses(said, batch, position)

    @abstractmethod
    def _listen(self, sar: Tensor) -> Any:
        """What the students say of a SAR image (B, C, H, W)."""

    @abstractmethod
    def _student_losses(self, said: Any, batch: Batch) -> dict[str, Tensor]:
        """What the students learn from the labels of places that the radar saw."""

    @abstractmethod
    def _pair_losses(self, said: Any, batch: Batch, position: Position) -> dict[str, Tensor]:
        """What they learn from pairs, of which the labels may be missing."""


def split_output(output: Any, sizes: Sequence[int]) -> list[Any]:
    """A tensor, or a dataclass or tuple of tensors, of a batch cut into parts of the given numbers of samples."""
    if output is None:
        return [None] * len(sizes)
    if isinstance(output, Tensor):
        return list(torch.split(output, list(sizes)))
    if isinstance(output, tuple):
        parts = [split_output(one, sizes) for one in output]
        return [tuple(part[at] for part in parts) for at in range(len(sizes))]
    cut = {field.name: split_output(getattr(output, field.name), sizes) for field in fields(output)}
    return [type(output)(**{name: parts[at] for name, parts in cut.items()}) for at in range(len(sizes))]


@contextmanager
def pinned(*parts: nn.Module) -> Iterator[None]:
    """Batch normalisation by running averages, which stay as they are."""
    modules = [module for part in parts for module in part.modules()]
    modes = [module.training for module in modules]
    for module in modules:
        module.training = False
    try:
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode
