"""`disoptnet`: a pseudo-optical branch distilled from a frozen optical teacher.

Kang, Wang, Zhu, Xia, Sun, Fernandez-Beltran, Plaza, "DisOptNet: distilling semantic knowledge from optical images for
weather-independent building segmentation", IEEE TGRS 2022. An optical network is trained and frozen. The pseudo-optical
branch has the SAR encoder's first three stages in common with it, and late stages and a decoder of its own; decoded
features of both are fused with spatial and channel attention (scSE). From SAR alone,

    L = L(z_fused, y) + L(z^S, y)
        + L(z^P, [z^O > 0]) + CE(sigmoid(z^O), z^P)                    labels of the teacher, hard and soft
        + mean over A of MSE(A^P, A^O),  A in {F_en-4, F_en-5, F_de}   features

with every weight 1.

Deviations: the U-Net of the network family in place of DeepLabV3+; L is L_seg; terms with the teacher count where both
sensors have data. The encoder must be one that can be cut into stages, see `overcast.models.encoder_stages`.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from overcast.batch import Batch
from overcast.methods.base import both_valid
from overcast.methods.distances import mean_square, places_of, soft_cross_entropy
from overcast.methods.stages import Position
from overcast.methods.teacher import TaughtMethod, TeacherOptions
from overcast.models.blocks import STRIDE
from overcast.models.disopt import BranchFeatures, DisOptTraining
from overcast.models.spec import NetworkSpec
from overcast.raster.radiometry import Statistics


class DisoptnetOptions(TeacherOptions):
    """`disoptnet`: the field's building-specific predecessor."""

    name: Literal["disoptnet"] = "disoptnet"
    weight_features: float = Field(default=1.0, ge=0)
    """Weight of the feature term."""
    weight_soft: float = Field(default=1.0, ge=0)
    """Weight of the cross entropy with the teacher's probabilities."""
    weight_hard: float = Field(default=1.0, ge=0)
    """Weight of L_seg with the teacher's labels."""
    weight_sar: float = Field(default=1.0, ge=0)
    """Weight of the SAR branch's own L_seg."""


class Disoptnet(TaughtMethod):
    """SAR and pseudo-optical branches on common early stages."""

    network: DisOptTraining

    def __init__(self, options: DisoptnetOptions, spec: NetworkSpec, statistics: Statistics | None = None) -> None:
        super().__init__(options.name, spec, DisOptTraining(spec), statistics, options.stages)
        self.options = options

    def teacher(self) -> tuple[nn.Module, ...]:
        """The optical network."""
        return (self.network.teacher,)

    def deployable(self) -> nn.Module:
        """Both branches and their fusion."""
        return self.network.deployable()

    def _teacher_losses(self, batch: Batch) -> dict[str, Tensor]:
        return self._losses_of_teacher(self.network.teacher(batch.require("optical")), batch)

    def _losses_of_teacher(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"teacher_seg": self._seg(logits, self._label(batch), batch.optical_valid)}

    def _losses(self, batch: Batch, position: Position) -> dict[str, Tensor]:  # noqa: ARG002  # no schedule of its own
        output, taught, features = self.network(batch.require("sar"), batch.require("optical"))
        label, sar, both, options = self._label(batch), batch.sar_valid, both_valid(batch), self.options
        weights = self.target_weights
        hard = labels_of(taught, targets=weights is not None)
        losses = {
            "seg_fused": self._seg(output.fused, label, sar),
            "seg_sar": options.weight_sar * self._seg(output.sar, label, sar),
            "hard": options.weight_hard * self._seg(output.pseudo, hard, both),
            "soft": options.weight_soft * soft_cross_entropy(taught, output.pseudo, valid=both, weights=weights),
            "features": options.weight_features
            * branch_distance(features, output.features, both, self.spec.decoded_stride),
        }
        return losses | self._losses_of_teacher(taught, batch) if self.joint else losses


def labels_of(logits: Tensor, *, targets: bool = False) -> Tensor:
    """(B, H, W) uint8: the class that logits (B, K, H, W) decide for; (B, K, H, W) 0 or 1 where they are `targets`."""
    if targets:
        return (logits > 0).to(torch.uint8)
    decided = logits[:, 0] > 0 if logits.shape[1] == 1 else logits.argmax(1)
    return decided.to(torch.uint8)


def branch_distance(teacher: BranchFeatures, student: BranchFeatures, valid: Tensor | None, decoded_px: int) -> Tensor:
    """Mean over F_en-4, F_en-5 and F_de of the mean squared difference where `valid` (B, 1, H, W)."""
    pairs = [
        *zip(teacher.stages, student.stages, (STRIDE // 2, STRIDE), strict=True),
        (teacher.decoded, student.decoded, decoded_px),
    ]
    return torch.stack([mean_square(t, s, places_of(valid, s, cell_px)) for t, s, cell_px in pairs]).mean()
