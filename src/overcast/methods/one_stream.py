"""`one_stream`: a finished SAR-only model, such as the two streams of CMH-CL, distilled into the network of `sar`.

Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network", 2015, per pixel and by the segmentation loss:

    L = weight_hard L_seg(z, y) on labelled places + weight_soft L_seg(z, p) on all, p the teacher's probability (z^HS)

The teacher is a bundle, not a part of the training network: frozen, by its running averages, and without a gradient. It
sees what the student sees, the same crop under the same augmentation, and needs no labels and no optical image. What is
deployed and bundled is an ordinary `sar` network.

Deviations: temperature 1; soft labels through L_seg (cross entropy and Dice), as `cmhcl` and `self_training` use them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from overcast.batch import Batch, Holds, InputModalities
from overcast.errors import ConfigError
from overcast.methods.base import SarMethod, mean_over_samples
from overcast.methods.losses import soft_segmentation_loss
from overcast.methods.stages import TrainingStage
from overcast.methods.teacher import split_output
from overcast.models.network import SingleNetwork, with_shared_tensors
from overcast.models.spec import NetworkSpec
from overcast.raster.radiometry import BandStatistics, Statistics
from overcast.section import Section


class OneStreamOptions(Section):
    """`one_stream`: soft labels of a finished model, on labelled and unlabelled places."""

    name: Literal["one_stream"] = "one_stream"
    teacher: str = Field(min_length=1)
    """Run folder or bundle of the model to distil, which works from SAR alone. `overcast distil` sets it."""
    weight_soft: float = Field(default=1.0, gt=0)
    """Weight of the loss with the teacher's probabilities, on all places."""
    weight_hard: float = Field(default=1.0, ge=0)
    """Weight of the loss with the true labels, where there are some."""

    @field_validator("teacher")
    @classmethod
    def _in_full(cls, teacher: str) -> str:
        return str(Path(teacher).expanduser().absolute())


@dataclass(frozen=True)
class SoftTeacher:
    """A frozen network beside a method; no module of it, so that neither optimiser nor checkpoint sees it."""

    network: nn.Module
    """Standardised SAR (B, C, H, W) to logits (B, K, H, W); in evaluation mode, without gradients."""
    gain: Tensor
    """(C, 1, 1): what the student's standardised values are multiplied with for the teacher."""
    offset: Tensor
    """(C, 1, 1): what is then added."""

    @classmethod
    def of(cls, network: nn.Module, own: BandStatistics, given: BandStatistics) -> SoftTeacher:
        """Freeze a network that knows images by its `own` statistics for images standardised by the `given` ones."""
        mean, std, own_mean, own_std = (
            torch.tensor(values, dtype=torch.float64)[:, None, None]
            for values in (given.mean, given.std, own.mean, own.std)
        )
        gain, offset = (std / own_std).float(), ((mean - own_mean) / own_std).float()
        return cls(network.eval().requires_grad_(requires_grad=False), gain, offset)

    @torch.no_grad()
    def logits(self, sar: Tensor, valid: Tensor | None) -> Tensor:
        """Logits (B, K, H, W) of standardised SAR (B, C, H, W), which is 0 where not `valid` (B, 1, H, W)."""
        seen = sar * self.gain.to(sar) + self.offset.to(sar)
        logits: Tensor = self.network.to(sar.device)(seen if valid is None else seen * valid)
        return logits


class OneStream(SarMethod):
    """A SAR network that learns from the probabilities of a finished model."""

    network: SingleNetwork

    def __init__(self, options: OneStreamOptions, spec: NetworkSpec, statistics: Statistics | None = None) -> None:
        super().__init__(options.name, spec, SingleNetwork(spec, spec.sar_bands), statistics)
        self.options = options
        self._teacher: SoftTeacher | None = None

    def learn_from(self, teacher: SoftTeacher) -> None:
        """Take a teacher; without one there are no losses."""
        self._teacher = teacher

    def uses(self, holds: Holds, stage: TrainingStage) -> bool:  # noqa: ARG002  # one stage
        """Any place with SAR."""
        return holds.sar

    def deployable(self) -> nn.Module:
        """The network itself."""
        return with_shared_tensors(self.network)

    def losses(self, batch: Batch, step: int, steps: int) -> dict[str, Tensor]:
        """L_seg with the teacher's probabilities, and with the labels where there are some."""
        return self.losses_of_parts((batch,), step, steps)

    def losses_of_parts(self, parts: Sequence[Batch], step: int, steps: int) -> dict[str, Tensor]:  # noqa: ARG002  # no schedule
        """Losses of several kinds of places, the student in one pass over all of them."""
        said = split_output(self.network(torch.cat([part.require("sar") for part in parts])), [len(p) for p in parts])
        return mean_over_samples(
            [(len(part), self._losses(logits, part)) for part, logits in zip(parts, said, strict=True)]
        )

    def _losses(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        if self._teacher is None:
            raise ConfigError(f"method {self.name!r} was built without its teacher: train it with `overcast distil`.")
        valid, options = batch.sar_valid, self.options
        taught = self._teacher.logits(batch.require("sar"), valid)
        losses = {"soft": options.weight_soft * soft_segmentation_loss(taught, logits, valid, self.target_weights)}
        if batch.label is not None and options.weight_hard:
            losses["seg"] = options.weight_hard * self._seg(logits, self._label(batch), valid)
        return losses

    def _logits(self, batch: Batch, available: InputModalities) -> Tensor:  # noqa: ARG002  # one choice
        logits: Tensor = self.network(batch.require("sar"))
        return logits
