"""CMH-CL: cross-modal hallucination collaborative learning (Wei et al., IEEE JSTARS 2026).

    L = sum_m w_m L_seg(z^m, y) + lambda_msa L_msa + lambda_mfa L_mfa     m in {OS, HS, O, H, share^O, share^H, (S)}
    L_msa = D(z_share^O, z_share^H) + D(z^O, z^H)                         (Eq. 4)
    L_mfa = D(z^OS, z^HS)                                                 (Eq. 5)

The paper's are which logits each equation takes and that z^HS predicts from SAR alone. Ours, since the text with the
equations is not at hand: their form, D (softened Kullback-Leibler divergence, optical side to hallucinated side, where
both sensors have data), the sum over m, every weight, and which way gradients run (`teacher_gradient`).

On pairs without labels the alignments count as everywhere, and `soft_labels` adds, ours as well,

    L_soft = w_HS L_seg(z^HS, p^O) + w_H L_seg(z^H, p^O)        p^O the probability of z^O, where both have data

What of this is the paper's and what is our choice is marked statement by statement in docs/method.md.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, Self, assert_never

import torch
from pydantic import Field, model_validator
from torch import Tensor

from overcast.batch import Batch, InputModalities
from overcast.choices import Mixing
from overcast.methods.base import both_valid
from overcast.methods.distances import channel_alignment
from overcast.methods.losses import (
    TeacherGradient,
    alignment,
    area_share,
    confident,
    soft_segmentation_loss,
    teacher_correct,
)
from overcast.methods.stages import Position
from overcast.methods.teacher import Schedule, TeacherOptions
from overcast.methods.three_branch import HeadWeights, JointBranchMethod
from overcast.models.collaborative import CollaborativeOutput, RadarOutput
from overcast.models.spec import NetworkSpec, Sharing
from overcast.raster.radiometry import Statistics


class MsalTerms(StrEnum):
    """Which logits MSAL aligns."""

    SHARE = "share"
    """z_share^O with z_share^H."""
    OUTPUT = "output"
    """z^O with z^H."""
    BOTH = "both"


class AlignWhere(StrEnum):
    """Which pixels the alignments compare."""

    ALL = "all"
    """All where both sensors have data."""
    TEACHER_CORRECT = "teacher_correct"
    """Only pixels where the teacher's decision is that of the label; none where there is no label."""


class SarGradient(StrEnum):
    """Which fusion heads train the SAR branch."""

    BOTH_HEADS = "both_heads"
    """OPT-SAR and HAL-SAR: one F_de^S feeds both, as the paper draws it."""
    HAL_SAR = "hal_sar"
    """HAL-SAR alone: F_de^S feeds both, but no gradient of z^OS enters the SAR branch."""


class Divergence(StrEnum):
    """D, what an alignment measures."""

    PIXEL = "pixel"
    """KL of the class probabilities of each pixel."""
    CHANNEL = "channel"
    """KL of each channel's distribution over the pixels of an image, as of `cwd`: where, not how surely."""


class SoftLabels(StrEnum):
    """Whose probabilities stand in for the label on pairs that have none."""

    NONE = "none"
    """Nobody's: such pairs are there for the alignments alone."""
    OPTICAL = "optical"
    """Probabilities of z^O."""
    FUSED = "fused"
    """Probabilities of z^OS."""


class CollaborativeOptions(TeacherOptions):
    """`cmhcl`: what the paper leaves open, and its ablation."""

    name: Literal["cmhcl"] = "cmhcl"
    msal: bool = True
    """Modality-share information alignment. Off: no L_msa, and a residual block per encoder."""
    mfal: bool = True
    """Multimodal fusion information alignment. Off: no L_mfa."""
    msal_terms: MsalTerms = MsalTerms.BOTH
    """What L_msa compares: the share logits, the branch outputs, or both."""
    teacher_gradient: TeacherGradient = TeacherGradient.DETACH
    """Whether alignments also pull the optical teacher. `mutual` through a shared block can collapse."""
    sar_gradient: SarGradient = SarGradient.BOTH_HEADS
    """Which fusion heads train the SAR branch. `hal_sar` is not in the paper: beside an optical image the SAR branch
    learns what the optical one lacks, which is not what it needs to work alone."""
    divergence: Divergence = Divergence.PIXEL
    """D of every alignment. `channel` is not in the paper."""
    align_where: AlignWhere = AlignWhere.ALL
    """Which pixels (cells of 32 px for the share logits) the alignments compare. Not in the paper."""
    temperature: float = Field(default=2.0, gt=0, le=100)
    """tau, softening of both sides of an alignment."""
    lambda_msa: float = Field(default=1.0, ge=0)
    """Weight of L_msa after the warm-up."""
    lambda_mfa: float = Field(default=1.0, ge=0)
    """Weight of L_mfa after the warm-up."""
    warmup_share: float = Field(default=0.1, ge=0, le=1)
    """Share of the steps (after the teacher's, under `teacher_first`) over which both lambdas rise linearly from 0."""
    soft_labels: SoftLabels = SoftLabels.OPTICAL
    """What z^HS and z^H learn from on pairs without labels, beside the alignments: L_seg with the probabilities of z^O
    (`optical`) or of z^OS (`fused`) as the label, or nothing (`none`). Not in the paper."""
    soft_weight: float = Field(default=1.0, ge=0)
    """Factor of these losses beside `weights`. Not in the paper."""
    soft_confidence: float = Field(default=0.5, ge=0.5, lt=1)
    """Pixels of which the teacher is less sure than this probability do not count there; 0.5 counts all. Not in the
    paper."""
    weights: HeadWeights = HeadWeights()
    """Weight of each head's segmentation loss."""
    schedule: Schedule = Schedule.JOINT
    """`joint`, or `teacher_first`: the optical path learns alone, then stays frozen."""
    teacher_share: float = Field(default=0.3, gt=0, lt=1)
    """Share of the steps that belong to the teacher under `teacher_first`."""
    auxiliary_sar: bool = False
    """A supervised head on the SAR branch in training."""
    mixing: Mixing = Mixing.CHOICE
    """What is made of an optical image of which a part is missing. `features` also trains so: the OPT-SAR path then
    sees hallucinated features in the gaps, and z^OS is supervised wherever SAR has data. Not in the paper."""

    @model_validator(mode="after")
    def _one_way_over_channels(self) -> Self:
        if self.divergence is Divergence.CHANNEL and self.teacher_gradient is TeacherGradient.MUTUAL:
            raise ValueError("divergence: channel detaches the teacher; teacher_gradient: mutual needs pixel")
        return self

    def applied_to(self, spec: NetworkSpec) -> NetworkSpec:
        """`spec` with the options that change the training network."""
        sharing = spec.sharing if self.msal else Sharing.NOTHING
        return spec.model_copy(update={"auxiliary_sar": self.auxiliary_sar, "sharing": sharing})

    def ramp(self, position: Position) -> float:
        """Factor in [0, 1] of both lambdas in the stage of the alignments.

        >>> from overcast.methods.stages import position_in
        >>> options = CollaborativeOptions(warmup_share=0.5)
        >>> [options.ramp(position_in(options.stages, step, 8)) for step in (0, 2, 4, 7)]
        [0.0, 0.5, 1.0, 1.0]
        """
        length = self.warmup_share * position.steps
        return min(1.0, position.step / length) if length > 0 else 1.0


class CollaborativeLearning(JointBranchMethod):
    """CMH-CL: L = sum_m w_m L_seg(z^m, y) + lambda_msa L_msa + lambda_mfa L_mfa.

    Alignments count where both sensors have data, since a teacher knows nothing under a cloud.
    """

    def __init__(self, options: CollaborativeOptions, spec: NetworkSpec, statistics: Statistics | None = None) -> None:
        spec = options.applied_to(spec)
        super().__init__(options.name, spec, statistics, options.stages, options.weights)
        self.options = options

    @property
    def available(self) -> frozenset[InputModalities]:
        """Anything: SAR gives z^HS, optical z^O, both z^OS."""
        return frozenset(InputModalities)

    @property
    def mixing(self) -> Mixing:
        """How both sensors are mixed, as the options say."""
        return self.options.mixing

    @property
    def learnt_gaps(self) -> bool:
        """True where features are mixed in training."""
        return self.options.mixing is Mixing.FEATURES

    @property
    def mixings(self) -> frozenset[Mixing]:
        """All."""
        return frozenset(Mixing)

    def _clouded(self, batch: Batch, valid: Tensor, mixing: Mixing) -> Tensor:
        if mixing is not Mixing.FEATURES:
            return super()._clouded(batch, valid, mixing)
        return self.network.with_parts_of_optical(batch.require("sar"), batch.require("optical"), valid)

    def _output(self, said: RadarOutput, batch: Batch) -> CollaborativeOutput:
        detach = self.options.sar_gradient is SarGradient.HAL_SAR
        valid = batch.optical_valid if self.options.mixing is Mixing.FEATURES else None
        return self.network.beside(said, batch.require("optical"), valid=valid, detach_sar=detach)

    def _fused_valid(self, batch: Batch) -> Tensor | None:
        return batch.sar_valid if self.options.mixing is Mixing.FEATURES else super()._fused_valid(batch)

    def _logits(self, batch: Batch, available: InputModalities) -> Tensor:
        match available:
            case InputModalities.SAR:
                return self.network.sar_only(batch.require("sar"))
            case InputModalities.OPTICAL:
                return self.network.optical_only(batch.require("optical"))[0]
            case InputModalities.BOTH | InputModalities.BOTH_OPTICAL_ZERO | InputModalities.BOTH_OPTICAL_MEAN:
                return self.network.with_optical(batch.require("sar"), self._optical(batch, available))
            case _:
                assert_never(available)

    def _transfer(self, output: CollaborativeOutput, batch: Batch, position: Position) -> dict[str, Tensor]:
        """lambda_msa L_msa (Eq. 4) and lambda_mfa L_mfa (Eq. 5), term by term."""
        options, ramp = self.options, self.options.ramp(position)
        pairs: dict[str, tuple[float, Tensor, Tensor]] = {}
        if options.msal and options.msal_terms is not MsalTerms.OUTPUT:
            pairs["align_share"] = (options.lambda_msa, output.share_optical, output.share_hallucination)
        if options.msal and options.msal_terms is not MsalTerms.SHARE:
            pairs["align_output"] = (options.lambda_msa, output.optical, output.hallucination)
        if options.mfal:
            pairs["align_fused"] = (options.lambda_mfa, output.fused_optical, output.fused_hallucination)
        losses = {
            name: ramp * weight * self._align(teacher, student, batch)
            for name, (weight, teacher, student) in pairs.items()
        }
        return losses | self._soft_losses(output, batch) if batch.label is None else losses

    def _soft_losses(self, output: CollaborativeOutput, batch: Batch) -> dict[str, Tensor]:
        """L_seg of z^HS and z^H with the teacher's probabilities for the label."""
        options, targets, weights = self.options, self.target_weights, self.weights
        if options.soft_labels is SoftLabels.NONE:
            return {}
        teacher = output.optical if options.soft_labels is SoftLabels.OPTICAL else output.fused_optical
        counted = confident(teacher, options.soft_confidence, targets)
        valid = both_valid(batch)
        counted = counted if valid is None else counted & valid
        students = {
            "soft_fused_hallucination": (weights.fused_hallucination, output.fused_hallucination),
            "soft_hallucination": (weights.hallucination, output.hallucination),
        }
        return {
            name: options.soft_weight * weight * soft_segmentation_loss(teacher, student, counted, targets)
            for name, (weight, student) in students.items()
        }

    def _align(self, teacher: Tensor, student: Tensor, batch: Batch) -> Tensor:
        options, counted, targets = self.options, self._counted(teacher, batch), self.target_weights
        match options.divergence:
            case Divergence.PIXEL:
                return alignment(
                    teacher,
                    student,
                    temperature=options.temperature,
                    gradient=options.teacher_gradient,
                    valid=counted,
                    weights=targets,
                )
            case Divergence.CHANNEL:
                valid = None if counted is None else counted > 0
                return channel_alignment(
                    teacher, student, temperature=options.temperature, valid=valid, weights=targets
                )
            case _:
                assert_never(options.divergence)

    def _counted(self, teacher: Tensor, batch: Batch) -> Tensor | None:
        """(B, 1, h, w) weight of each pixel or cell of the teacher's logits; None counts all."""
        valid, size = both_valid(batch), teacher.shape[-2:]
        if valid is not None and valid.shape[-2:] != size:
            valid = area_share(valid, size)
        if self.options.align_where is AlignWhere.ALL:
            return valid
        if batch.label is None:
            return torch.zeros_like(teacher[:, :1], dtype=torch.float32)
        right = teacher_correct(teacher, batch.require("label"), self.target_weights)
        return right if valid is None else right * valid
