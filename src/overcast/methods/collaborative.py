"""CMH-CL: cross-modal hallucination collaborative learning (Wei et al., IEEE JSTARS 2026).

What of this is the paper's and what is our choice is marked statement by statement in docs/method.md.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, Self, assert_never

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from overcast.batch import Available, Batch, Modality
from overcast.data.radiometry import Statistics
from overcast.methods.base import Method, both_valid
from overcast.methods.losses import TeacherGradient, alignment, area_share, segmentation_loss, share_loss
from overcast.models.network import CollaborativeNetwork, CollaborativeOutput
from overcast.models.spec import NetworkSpec, Sharing


class MsalTerms(StrEnum):
    """Which logits MSAL aligns."""

    SHARE = "share"
    """z_share^O with z_share^H."""
    OUTPUT = "output"
    """z^O with z^H."""
    BOTH = "both"


class Schedule(StrEnum):
    """When the optical teacher learns."""

    JOINT = "joint"
    """All branches learn together in one stage."""
    TEACHER_FIRST = "teacher_first"
    """The optical path learns first and is then frozen."""


class HeadWeights(BaseModel):
    """w_m, the weight of each head's L_seg."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
    """z^S, where `auxiliary_sar` is on."""


class CollaborativeOptions(BaseModel):
    """`cmhcl`: what the paper leaves open, and its ablation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["cmhcl"] = "cmhcl"
    msal: bool = True
    """Modality-share information alignment. Off: no L_msa, and a residual block per encoder."""
    mfal: bool = True
    """Multimodal fusion information alignment. Off: no L_mfa."""
    msal_terms: MsalTerms = MsalTerms.BOTH
    """What L_msa compares: the share logits, the branch outputs, or both."""
    teacher_gradient: TeacherGradient = TeacherGradient.DETACH
    """Whether alignments also pull the optical teacher. `mutual` through a shared block can collapse."""
    temperature: float = Field(default=2.0, gt=0, le=100)
    """tau, softening of both sides of an alignment."""
    lambda_msa: float = Field(default=1.0, ge=0)
    """Weight of L_msa after the warm-up."""
    lambda_mfa: float = Field(default=1.0, ge=0)
    """Weight of L_mfa after the warm-up."""
    warmup_share: float = Field(default=0.1, ge=0, le=1)
    """Share of the steps (after the teacher's, under `teacher_first`) over which both lambdas rise linearly from 0."""
    weights: HeadWeights = HeadWeights()
    """Weight of each head's segmentation loss."""
    schedule: Schedule = Schedule.JOINT
    """`joint`, or `teacher_first`: the optical path learns alone, then stays frozen."""
    teacher_share: float = Field(default=0.3, gt=0, lt=1)
    """Share of the steps that belong to the teacher under `teacher_first`."""
    auxiliary_sar: bool = False
    """A supervised head on the SAR branch in training."""

    def applied_to(self, spec: NetworkSpec) -> NetworkSpec:
        """`spec` with the options that change the training network."""
        sharing = spec.sharing if self.msal else Sharing.NOTHING
        return spec.model_copy(update={"auxiliary_sar": self.auxiliary_sar, "sharing": sharing})

    def teacher_steps(self, steps: int) -> int:
        """Steps at the start that train the teacher alone."""
        return round(self.teacher_share * steps) if self.schedule is Schedule.TEACHER_FIRST else 0

    def warmup(self, step: int, steps: int) -> float:
        """Factor in [0, 1] of both lambdas at a step.

        >>> options = CollaborativeOptions(warmup_share=0.5)
        >>> [options.warmup(step, 8) for step in (0, 2, 4, 7)]
        [0.0, 0.5, 1.0, 1.0]
        """
        start = self.teacher_steps(steps)
        length = self.warmup_share * (steps - start)
        return min(1.0, max(0.0, (step - start) / length)) if length > 0 else float(step >= start)


class CollaborativeLearning(Method):
    """CMH-CL on a `CollaborativeNetwork`.

    L = sum_m w_m L_seg(z^m, y) + lambda_msa L_msa + lambda_mfa L_mfa. Each head is supervised where the sensors that it
    sees have data; alignments count where both sensors have, since a teacher knows nothing under a cloud.
    """

    network: CollaborativeNetwork

    def __init__(self, options: CollaborativeOptions, spec: NetworkSpec, statistics: Statistics | None = None) -> None:
        spec = options.applied_to(spec)
        super().__init__(options.name, spec, CollaborativeNetwork(spec), statistics)
        self.options = options
        self._frozen_teacher = False

    @property
    def needs(self) -> frozenset[Modality]:
        """Both."""
        return frozenset({Modality.SAR, Modality.OPTICAL})

    @property
    def available(self) -> frozenset[Available]:
        """Anything: SAR gives z^HS, optical z^O, both z^OS."""
        return frozenset(Available)

    @property
    def uses_all_parameters(self) -> bool:
        """False under `teacher_first`, whose stages train different parts."""
        return self.options.schedule is Schedule.JOINT

    def losses(self, batch: Batch, step: int, steps: int) -> dict[str, Tensor]:
        """All losses of the step's stage; the alignments carry their warm-up."""
        if step < self.options.teacher_steps(steps):
            self._freeze_teacher(frozen=False)
            return self._teacher_losses(batch)
        self._freeze_teacher(frozen=self.options.schedule is Schedule.TEACHER_FIRST)
        output = self.network(batch.require("sar"), batch.require("optical"))
        ramp = self.options.warmup(step, steps)
        return {**self._segmentation(output, batch), **self._alignments(output, batch, ramp)}

    def deployable(self) -> nn.Module:
        """Hallucination branch, shared block, SAR branch and HAL-SAR head."""
        return self.network.deployable()

    def train(self, mode: bool = True) -> Self:
        """Set the mode; a frozen teacher stays in eval, or its batch statistics would drift."""
        super().train(mode)
        if self._frozen_teacher:
            self._pin_teacher()
        return self

    def _logits(self, batch: Batch, available: Available) -> Tensor:
        match available:
            case Available.SAR:
                return self.network.sar_only(batch.require("sar"))
            case Available.OPTICAL:
                return self.network.optical_only(batch.require("optical"))[0]
            case Available.BOTH | Available.BOTH_OPTICAL_ZERO | Available.BOTH_OPTICAL_MEAN:
                return self.network.with_optical(batch.require("sar"), self._optical(batch, available))
            case _:
                assert_never(available)

    def _freeze_teacher(self, *, frozen: bool) -> None:
        if frozen == self._frozen_teacher:
            return
        self._frozen_teacher = frozen
        for part in self.network.teacher():
            part.requires_grad_(not frozen)
        self.train(self.training)

    def _pin_teacher(self) -> None:
        for part in self.network.teacher():
            part.eval()
        if self.network.sharing is Sharing.WEIGHTS:
            self.network.deployed.block.train(self.training)  # its statistics are the hallucination branch's own

    def _teacher_losses(self, batch: Batch) -> dict[str, Tensor]:
        optical, share = self.network.optical_only(batch.require("optical"))
        label, valid, weights = batch.require("label"), batch.optical_valid, self.options.weights
        return {
            "seg_optical": weights.optical * segmentation_loss(optical, label, valid),
            "seg_share_optical": weights.share_optical * share_loss(share, label, valid),
        }

    def _segmentation(self, output: CollaborativeOutput, batch: Batch) -> dict[str, Tensor]:
        label, weights = batch.require("label"), self.options.weights
        sar, optical, both = batch.sar_valid, batch.optical_valid, both_valid(batch)
        losses = {
            "seg_fused_hallucination": weights.fused_hallucination
            * segmentation_loss(output.fused_hallucination, label, sar),
            "seg_fused_optical": weights.fused_optical * segmentation_loss(output.fused_optical, label, both),
            "seg_hallucination": weights.hallucination * segmentation_loss(output.hallucination, label, sar),
            "seg_share_hallucination": weights.share_hallucination * share_loss(output.share_hallucination, label, sar),
        }
        if not self._frozen_teacher:
            losses["seg_optical"] = weights.optical * segmentation_loss(output.optical, label, optical)
            losses["seg_share_optical"] = weights.share_optical * share_loss(output.share_optical, label, optical)
        if output.sar is not None:
            losses["seg_sar"] = weights.sar * segmentation_loss(output.sar, label, sar)
        return losses

    def _alignments(self, output: CollaborativeOutput, batch: Batch, ramp: float) -> dict[str, Tensor]:
        """lambda_msa L_msa (Eq. 4) and lambda_mfa L_mfa (Eq. 5), term by term."""
        options, valid = self.options, both_valid(batch)
        losses: dict[str, Tensor] = {}
        if options.msal and options.msal_terms is not MsalTerms.OUTPUT:
            cells = None if valid is None else area_share(valid, output.share_optical.shape[-2:])
            share = self._align(output.share_optical, output.share_hallucination, cells)
            losses["align_share"] = ramp * options.lambda_msa * share
        if options.msal and options.msal_terms is not MsalTerms.SHARE:
            losses["align_output"] = (
                ramp * options.lambda_msa * self._align(output.optical, output.hallucination, valid)
            )
        if options.mfal:
            fused = self._align(output.fused_optical, output.fused_hallucination, valid)
            losses["align_fused"] = ramp * options.lambda_mfa * fused
        return losses

    def _align(self, teacher: Tensor, student: Tensor, valid: Tensor | None) -> Tensor:
        return alignment(
            teacher,
            student,
            temperature=self.options.temperature,
            gradient=self.options.teacher_gradient,
            valid=valid,
        )
