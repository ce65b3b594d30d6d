"""`modality_dropout`: one fusion network, trained with the optical image dropped at random.

Neverova, Wolf, Taylor, Nebout, "ModDrop: adaptive multi-modal gesture recognition", IEEE TPAMI 2016, section 4.2: with
an independent Bernoulli draw per sample a whole modality is set to zero in training,

    L = L_seg(z(delta * f_O, f_S), y),    delta ~ Bernoulli(1 - probability) per sample,

and a missing modality is zero at test time.

Deviations: zero is set on the optical features at the fusion head, not on the image. The optical branch then never
normalises blank images together with real ones, and the model without optical costs one stream. Only the optical image
is dropped: SAR is always there. The optical stream keeps the auxiliary heads of `fusion`.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from overcast.batch import Batch, InputModalities
from overcast.methods.base import OptionalOptical, both_valid
from overcast.methods.supervised import TwinOptions, twin_losses
from overcast.models.optional import OptionalOpticalNetwork
from overcast.models.spec import NetworkSpec
from overcast.raster.radiometry import Statistics


class ModalityDropoutOptions(TwinOptions):
    """`modality_dropout`: the simplest honest competitor."""

    name: Literal["modality_dropout"] = "modality_dropout"
    probability: float = Field(default=0.5, ge=0, lt=1)
    """Probability that a training sample loses its optical image."""
    learn_gaps: bool = False
    """Supervise the fused logits also where a kept optical image has a gap; see `augmentation.cloud_share`."""


class ModalityDropout(OptionalOptical):
    """A fusion network that has learned to do without the optical image."""

    network: OptionalOpticalNetwork

    def __init__(
        self, options: ModalityDropoutOptions, spec: NetworkSpec, statistics: Statistics | None = None
    ) -> None:
        super().__init__(options.name, spec, OptionalOpticalNetwork(spec), statistics)
        self.options, self.learn_gaps = options, options.learn_gaps

    def losses(self, batch: Batch, step: int, steps: int) -> dict[str, Tensor]:  # noqa: ARG002  # no schedule
        """L_seg of the fused logits where the kept sensors have data, and of the optical stream's heads."""
        optical = batch.require("optical")
        keep = kept_samples(len(optical), self.options.probability).to(optical.device)
        output = self.network(optical, batch.require("sar"), keep)
        fused = batch.sar_valid if self.options.learn_gaps else valid_of_kept(batch, keep)
        return twin_losses(output, self._label(batch), (fused, batch.optical_valid), self.options, self.target_weights)

    def deployable(self) -> nn.Module:
        """The SAR branch and the fusion head."""
        return self.network.deployable()

    def _logits(self, batch: Batch, available: InputModalities) -> Tensor:
        if available is InputModalities.SAR:
            return super()._logits(batch, available)
        output = self.network(batch.require("optical"), batch.require("sar"))
        fused: Tensor = output.fused
        return fused


def kept_samples(count: int, probability: float) -> Tensor:
    """(count,) bool: True where the optical image stays.

    Drawn on the CPU from torch's global generator, which the trainer seeds per step and process: the same samples on
    every device.
    """
    return torch.rand(count) >= probability


def valid_of_kept(batch: Batch, keep: Tensor) -> Tensor | None:
    """(B, 1, H, W) bool: where the sensors that each sample keeps have data; None where all is valid."""
    both, sar = both_valid(batch), batch.sar_valid
    if both is None:
        return None
    alone = torch.ones_like(both) if sar is None else sar
    return torch.where(keep[:, None, None, None], both, alone)
