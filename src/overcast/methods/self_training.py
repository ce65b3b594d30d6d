"""`self_training`: SAR alone with labels on some places and a mean teacher on all, the control of the optical teacher.

Tarvainen, Valpola, "Mean teachers are better role models", NeurIPS 2017; weak and strong views as of Sohn et al.,
"FixMatch", NeurIPS 2020. The teacher is the running average of the student's weights, and it is what is deployed:

    L = L_seg(z, y) on labelled places + ramp weight L_seg(z(strong view), p of the teacher(weak view)) on the others

The weak view is the sample as it is drawn: flips along the flight direction and small drifts of radiometry. The strong
view adds larger drifts, speckle and a blind rectangle. Neither moves a pixel, so the radar stays on its side.

The average has batch statistics of its own: those of the places without labels as they are drawn (of the labelled ones
where there are no others). The student's mix labelled places with strong views, and with these the average labels badly
(EXPERIMENTS.md).

Deviations: soft labels by the segmentation loss, as `cmhcl` learns from its optical teacher, for an even comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from overcast.batch import Batch, Holds
from overcast.methods.base import SarMethod, mean_over_samples
from overcast.methods.distillation import StudentKind
from overcast.methods.losses import confident, soft_segmentation_loss
from overcast.methods.stages import TrainingStage
from overcast.methods.supervised import TwinOptions, twin_losses
from overcast.methods.teacher import split_output
from overcast.models.network import TwinOutput, with_shared_tensors
from overcast.models.spec import NetworkSpec
from overcast.models.taught import AveragedNetwork, logits_of
from overcast.raster.radiometry import Statistics

LARGEST_BLIND_SIDE = 0.5
"""Side of the blind rectangle at most, as a share of the sample's."""


class SelfTrainingOptions(TwinOptions):
    """`self_training`: a mean teacher on SAR, no optical image anywhere."""

    name: Literal["self_training"] = "self_training"
    student: StudentKind = StudentKind.TWIN
    """`twin`: the network of `sar_twin`; `single`: that of `sar`."""
    momentum: float = Field(default=0.99, ge=0, lt=1)
    """Momentum of the running average; the first steps average over all of them."""
    weight: float = Field(default=1.0, ge=0)
    """Weight of the teacher's labels after the ramp."""
    ramp_share: float = Field(default=0.2, ge=0, le=1)
    """Share of the steps over which that weight rises linearly from 0."""
    confidence: float = Field(default=0.5, ge=0.5, lt=1)
    """Pixels of which the teacher is less sure than this probability do not count; 0.5 counts all."""
    gain: float = Field(default=0.3, ge=0, lt=1)
    """Largest deviation from 1 of the gain of each band in the strong view."""
    offset: float = Field(default=0.5, ge=0)
    """Largest offset of each band there, in standard deviations."""
    speckle: float = Field(default=0.5, ge=0)
    """Largest standard deviation of the noise of each pixel there, in standard deviations of the band."""


class SelfTraining(SarMethod):
    """A student on SAR and the running average of its weights."""

    network: AveragedNetwork

    def __init__(self, options: SelfTrainingOptions, spec: NetworkSpec, statistics: Statistics | None = None) -> None:
        network = AveragedNetwork(spec, twin=options.student is StudentKind.TWIN)
        super().__init__(options.name, spec, network, statistics)
        self.options = options

    def uses(self, holds: Holds, stage: TrainingStage) -> bool:  # noqa: ARG002  # one stage
        """Any place with SAR."""
        return holds.sar

    def deployable(self) -> nn.Module:
        """The average without auxiliary heads."""
        return with_shared_tensors(self.network.deployed)

    def startable(self) -> nn.Module:
        """The student, which the average follows."""
        return with_shared_tensors(self.network.learned)

    def begin_step(self, step: int, steps: int) -> None:
        """The average follows the student that the last step has left."""
        super().begin_step(step, steps)
        if step == 0:  # batch statistics too: those of a model that training starts from
            self.network.average.load_state_dict(self.network.student.state_dict())
        self.network.follow(min(1 - 1 / (step + 1), self.options.momentum))

    def losses(self, batch: Batch, step: int, steps: int) -> dict[str, Tensor]:
        """L_seg where there are labels, that with the average's probabilities elsewhere."""
        return self.losses_of_parts((batch,), step, steps)

    def losses_of_parts(self, parts: Sequence[Batch], step: int, steps: int) -> dict[str, Tensor]:
        """Losses of several kinds of places, the student in one pass over all of them."""
        sizes = [len(part) for part in parts]
        said = split_output(self.network(torch.cat([self._seen(part) for part in parts])), sizes)
        length = self.options.ramp_share * steps
        ramp = min(1.0, step / length) if length > 0 else 1.0
        losses = [
            self._taught(output, part, ramp) if part.label is None else self._supervised(output, part)
            for part, output in zip(parts, said, strict=True)
        ]
        if all(part.label is not None for part in parts):  # else the places without labels have passed through it
            self._average(torch.cat([part.require("sar") for part in parts]))
        return mean_over_samples(list(zip(sizes, losses, strict=True)))

    @torch.no_grad()
    def _average(self, sar: Tensor) -> Tensor:
        """Logits of the average for samples as they are drawn. Its batch statistics follow them."""
        logits: Tensor = self.network.deployed(sar)
        return logits

    def _seen(self, batch: Batch) -> Tensor:
        """What the student is shown."""
        sar = batch.require("sar")
        return strong_view(sar, batch.sar_valid, self.options) if batch.label is None else sar

    def _supervised(self, output: TwinOutput | Tensor, batch: Batch) -> dict[str, Tensor]:
        label, valid = self._label(batch), batch.sar_valid
        if isinstance(output, TwinOutput):
            return twin_losses(output, label, (valid, valid), self.options, self.target_weights)
        return {"seg": self._seg(output, label, valid)}

    def _taught(self, output: TwinOutput | Tensor, batch: Batch, ramp: float) -> dict[str, Tensor]:
        options, targets, weight = self.options, self.target_weights, ramp * self.options.weight
        taught = self._average(batch.require("sar"))
        counted = confident(taught, options.confidence, targets)
        counted = counted if batch.sar_valid is None else counted & batch.sar_valid
        losses = {"soft": weight * soft_segmentation_loss(taught, logits_of(output), counted, targets)}
        if isinstance(output, TwinOutput):
            first = soft_segmentation_loss(taught, output.first, counted, targets)
            losses["soft_first"] = weight * options.weight_first * first
        return losses


def strong_view(sar: Tensor, valid: Tensor | None, options: SelfTrainingOptions) -> Tensor:
    """Standardised SAR (B, C, H, W) with other gains and offsets, more speckle and a blind rectangle of zeros.

    Draws come from torch's global generator, which the trainer sets from seed and step. Invalid pixels stay 0.
    """
    samples, bands, height, width = sar.shape

    def draw(*shape: int) -> Tensor:
        return torch.rand(shape, device=sar.device, dtype=torch.float32)

    gain = 1 + options.gain * (2 * draw(samples, bands, 1, 1) - 1)
    offset = options.offset * (2 * draw(samples, bands, 1, 1) - 1)
    noise = options.speckle * draw(samples, 1, 1, 1) * torch.randn(sar.shape, device=sar.device)
    seen = ~_blind(draw(samples, 4), height, width)
    return (sar * gain + offset + noise) * (seen if valid is None else seen & valid)


def _blind(draws: Tensor, height: int, width: int) -> Tensor:
    """(B, 1, H, W) bool: a rectangle per sample, from four draws (B, 4) of place and size."""
    inside = torch.ones((len(draws), 1, 1, 1), dtype=torch.bool, device=draws.device)
    for axis, length in enumerate((height, width)):
        side = draws[:, 2 + axis] * LARGEST_BLIND_SIDE * length
        start = draws[:, axis] * (length - side)
        at = torch.arange(length, device=draws.device)
        along = (at >= start[:, None]) & (at < (start + side)[:, None])
        inside = inside & (along[:, None, :, None] if axis == 0 else along[:, None, None, :])
    return inside
