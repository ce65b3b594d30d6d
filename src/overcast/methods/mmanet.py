"""`mmanet`: relations between places, most of all where the teacher is unsure.

Wei, Luo, Luo, "MMANet: margin-aware distillation and modality-aware regularization for incomplete multimodal learning",
CVPR 2023. A frozen teacher sees every modality; of N samples with features X the student learns the relations

    L_MAD = sum_i w_i || R_t,i - R_s,i ||^2,   R = X X^T with rows of length 1,   w = H(p_t) / sum H(p_t)

and L = L_seg + weight L_MAD. H(p_t) is the entropy of the teacher's prediction: samples near a class boundary count
most. In segmentation the samples are the places of a feature map.

Deviations: X are the fused features before the logits, averaged over cells of `cell_px` (theirs: three fused encoder
stages); cells count with the share of pixels where both sensors have data; relations are taken within the batch of a
process. The student sees SAR alone, always: with one combination of modalities there is none to balance, and the
modality-aware regularization network has no counterpart. The student is that of `sar_twin`, see `kd`.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from overcast.batch import Batch
from overcast.errors import ConfigError
from overcast.methods.base import both_valid
from overcast.methods.distances import entropy_of, margin_aware_distance
from overcast.methods.distillation import Distillation, DistillationOptions
from overcast.methods.losses import area_share
from overcast.models.network import TwinOutput
from overcast.models.spec import NetworkSpec
from overcast.models.taught import TaughtNetwork
from overcast.raster.radiometry import Statistics


class MmanetOptions(DistillationOptions):
    """`mmanet`: margin-aware distillation from a teacher that sees both sensors."""

    name: Literal["mmanet"] = "mmanet"
    weight: float = Field(default=1.0, ge=0)
    """Weight of the margin-aware term."""
    cell_px: int = Field(default=16, ge=1, le=256)
    """Side in pixels of the places that are related to one another."""


class Mmanet(Distillation):
    """`mmanet`."""

    def __init__(self, options: MmanetOptions, spec: NetworkSpec, statistics: Statistics | None = None) -> None:
        if options.cell_px % spec.decoded_stride:
            raise ConfigError(
                f"method.cell_px must be a multiple of {spec.decoded_stride} where the decoder ends at stride "
                f"{spec.decoded_stride}, got {options.cell_px}."
            )
        super().__init__(options, spec, TaughtNetwork(spec, twin=True, both=True), statistics)
        self.options = options

    def _distil(self, taught: TwinOutput | Tensor, learned: TwinOutput | Tensor, batch: Batch) -> dict[str, Tensor]:
        assert isinstance(taught, TwinOutput)
        assert isinstance(learned, TwinOutput)
        return {"relations": self.options.weight * self._relations(taught, learned, batch)}

    def _relations(self, taught: TwinOutput, learned: TwinOutput, batch: Batch) -> Tensor:
        cell_px, valid = self.options.cell_px, both_valid(batch)
        teacher, student = (
            _cells(output.features, cell_px // self.spec.decoded_stride) for output in (taught, learned)
        )
        inside = torch.ones_like(taught.fused[:, :1])
        size = teacher.shape[-2:]
        share = area_share(inside if valid is None else valid, size, cell_px)
        logits = area_share(taught.fused.detach(), size, cell_px) / area_share(inside, size, cell_px).clamp(min=1e-6)
        known = (share > 0).float()
        uncertainty = entropy_of(logits, self.target_weights) * share
        return margin_aware_distance(_samples(teacher * known), _samples(student * known), uncertainty.flatten())


def _cells(features: Tensor, cell_px: int) -> Tensor:
    """(B, C, H, W) averaged over cells, float32; what is left over at the border is dropped."""
    with torch.autocast(features.device.type, enabled=False):
        return F.avg_pool2d(features.float(), cell_px)


def _samples(cells: Tensor) -> Tensor:
    """(B, C, h, w) as (B h w, C)."""
    return cells.permute(0, 2, 3, 1).flatten(0, 2)
