"""Optical, hallucination and SAR branches with a head each and a fusion head per pair.

It is what CMH-CL and its forerunners train; they differ in what passes from the optical to the hallucination branch.
"""

from __future__ import annotations

from abc import abstractmethod

from pydantic import Field
from torch import Tensor, nn

from overcast.batch import Batch
from overcast.methods.base import both_valid
from overcast.methods.stages import Position, TrainingStage
from overcast.methods.teacher import AnyMixMethod, TaughtMethod
from overcast.models.collaborative import CollaborativeNetwork, CollaborativeOutput, RadarOutput
from overcast.models.spec import NetworkSpec, Sharing
from overcast.raster.radiometry import Statistics
from overcast.section import Section


class HeadWeights(Section):
    """w_m, the weight of each head's L_seg."""

    fused_optical: float = Field(default=1.0, ge=0)
    """z^OS."""
    fused_hallucination: float = Field(default=1.0, ge=0)
    """z^HS."""
    optical: float = Field(default=1.0, ge=0)
    """z^O."""
    hallucination: float = Field(default=1.0, ge=0)
    """z^H."""
    share_optical: float = Field(default=0.5, ge=0)
    """z_share^O."""
    share_hallucination: float = Field(default=0.5, ge=0)
    """z_share^H."""
    sar: float = Field(default=0.5, ge=0)
    """z^S, where there is such a head."""


class ThreeBranchMethod(TaughtMethod):
    """A method on a `CollaborativeNetwork`: L = sum_m w_m L_seg(z^m, y) + what passes between the branches.

    Each head is supervised where the sensors that it sees have data. The teacher is the optical path.
    """

    network: CollaborativeNetwork

    def __init__(
        self,
        name: str,
        spec: NetworkSpec,
        statistics: Statistics | None,
        stages: tuple[TrainingStage, ...],
        weights: HeadWeights,
    ) -> None:
        super().__init__(name, spec, CollaborativeNetwork(spec), statistics, stages)
        self.weights = weights

    def teacher(self) -> tuple[nn.Module, ...]:
        """Everything that z^O and z_share^O depend on."""
        return self.network.teacher()

    def deployable(self) -> nn.Module:
        """Hallucination branch, residual block, SAR branch and HAL-SAR head."""
        return self.network.deployable()

    def _pin_teacher(self) -> None:
        super()._pin_teacher()
        if self.network.sharing is Sharing.WEIGHTS:
            self.network.deployed.block.train(self.training)  # its statistics are the hallucination branch's own

    def _teacher_losses(self, batch: Batch) -> dict[str, Tensor]:
        optical, share = self.network.optical_only(batch.require("optical"))
        return self._optical_losses(optical, share, batch)

    def _optical_losses(self, optical: Tensor, share: Tensor, batch: Batch) -> dict[str, Tensor]:
        label, valid, weights = self._label(batch), batch.optical_valid, self.weights
        return {
            "seg_optical": weights.optical * self._seg(optical, label, valid),
            "seg_share_optical": weights.share_optical * self._share(share, label, valid),
        }


class JointBranchMethod(ThreeBranchMethod, AnyMixMethod):
    """A three-branch method that runs all branches in every step: segmentation losses and a transfer between them.

    Where a place lacks a sensor or its labels, what is left of the losses is that of the other branches or of the
    transfer alone.
    """

    def informs(self) -> tuple[nn.Module, ...]:
        """The optical path and the OPT-SAR head, which no loss reaches where there are no labels."""
        return *self.teacher(), self.network.optical_fusion

    def _pair_losses(self, said: RadarOutput, batch: Batch, position: Position) -> dict[str, Tensor]:
        output = self._output(said, batch)
        supervised = {} if batch.label is None else self._segmentation(output, batch)
        return supervised | self._transfer(output, batch, position)

    def _output(self, said: RadarOutput, batch: Batch) -> CollaborativeOutput:
        """All logits of a batch."""
        return self.network.beside(said, batch.require("optical"))

    def _listen(self, sar: Tensor) -> RadarOutput:
        return self.network.radar(sar)

    @abstractmethod
    def _transfer(self, output: CollaborativeOutput, batch: Batch, position: Position) -> dict[str, Tensor]:
        """What passes from the optical path to the hallucination path."""

    def _segmentation(self, output: CollaborativeOutput, batch: Batch) -> dict[str, Tensor]:
        fused = self._seg(output.fused_optical, self._label(batch), self._fused_valid(batch))
        losses = self._student_losses(output, batch) | {"seg_fused_optical": self.weights.fused_optical * fused}
        if self.joint:
            losses |= self._optical_losses(output.optical, output.share_optical, batch)
        return losses

    def _fused_valid(self, batch: Batch) -> Tensor | None:
        """(B, 1, H, W) bool: where z^OS is supervised; None for everywhere."""
        return both_valid(batch)

    def _student_losses(self, said: RadarOutput, batch: Batch) -> dict[str, Tensor]:
        label, sar, weights = self._label(batch), batch.sar_valid, self.weights
        losses = {
            "seg_fused_hallucination": weights.fused_hallucination * self._seg(said.fused_hallucination, label, sar),
            "seg_hallucination": weights.hallucination * self._seg(said.hallucination, label, sar),
            "seg_share_hallucination": weights.share_hallucination * self._share(said.share_hallucination, label, sar),
        }
        if said.sar is not None:
            losses["seg_sar"] = weights.sar * self._seg(said.sar, label, sar)
        return losses
