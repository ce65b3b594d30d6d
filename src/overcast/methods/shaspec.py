"""`shaspec`: features that both sensors share and features of each.

Wang, Chen, Ma, Avery, Hull, Carneiro, "Multi-modal learning with missing modality via shared-specific feature
modelling", CVPR 2023. A shared encoder gives r_m of each sensor m, a specific one s_m; they are composed as
f_m = r_m + conv(r_m, s_m), and a missing sensor's f is the shared feature of what is there.

    L = L_seg + alpha L1(r_O, r_S) + beta CE(classifier(s_m), m),   alpha = 0.1, beta = 0.02

L1 aligns the shared features; the cross entropy makes the specific ones tell their sensor. In training the optical
image is missing at random.

Deviations: a 1x1 convolution per sensor brings its bands to the three of the shared encoder; skips are the mean of the
shared features of the sensors that are there (theirs: all side by side); SAR never misses; losses count where the
sensors have data, the specific features are averaged over those places before the classifier.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from overcast.batch import Batch, InputModalities
from overcast.methods.base import OptionalOptical, both_valid
from overcast.methods.distances import mean_of, places_of
from overcast.methods.losses import weighted_mean
from overcast.methods.modality_dropout import kept_samples, valid_of_kept
from overcast.models.blocks import STRIDE
from overcast.models.shaspec import ShaSpecNetwork, ShaSpecOutput
from overcast.models.spec import NetworkSpec
from overcast.raster.radiometry import Statistics
from overcast.section import Section


class ShaspecOptions(Section):
    """`shaspec`: shared and specific features."""

    name: Literal["shaspec"] = "shaspec"
    alpha: float = Field(default=0.1, ge=0)
    """Weight of the distance between the shared features."""
    beta: float = Field(default=0.02, ge=0)
    """Weight of the cross entropy of the sensors."""
    probability: float = Field(default=0.5, ge=0, lt=1)
    """Probability that a training sample loses its optical image."""
    learn_gaps: bool = False
    """Supervise the logits also where a kept optical image has a gap; see `augmentation.cloud_share`."""


class Shaspec(OptionalOptical):
    """Shared and specific encoders, from SAR or from both."""

    network: ShaSpecNetwork

    def __init__(self, options: ShaspecOptions, spec: NetworkSpec, statistics: Statistics | None = None) -> None:
        super().__init__(options.name, spec, ShaSpecNetwork(spec), statistics)
        self.options, self.learn_gaps = options, options.learn_gaps

    def losses(self, batch: Batch, step: int, steps: int) -> dict[str, Tensor]:  # noqa: ARG002  # no schedule
        """L_seg where the kept sensors have data, and both terms on the features of all samples."""
        optical, sar = batch.require("optical"), batch.require("sar")
        keep = kept_samples(len(optical), self.options.probability).to(optical.device)
        output = self.network(optical, sar, keep)
        valid = batch.sar_valid if self.options.learn_gaps else valid_of_kept(batch, keep)
        return {
            "seg": self._seg(output.logits, self._label(batch), valid),
            "shared": self.options.alpha * shared_distance(output, both_valid(batch)),
            "specific": self.options.beta * self._sensor_entropy(output, batch),
        }

    def deployable(self) -> nn.Module:
        """The shared and the SAR encoder with the decoder."""
        return self.network.deployable()

    def _logits(self, batch: Batch, available: InputModalities) -> Tensor:
        if available is InputModalities.SAR:
            return super()._logits(batch, available)
        output = self.network(batch.require("optical"), batch.require("sar"))
        assert isinstance(output, ShaSpecOutput)
        return output.logits

    def _sensor_entropy(self, output: ShaSpecOutput, batch: Batch) -> Tensor:
        sides = ((output.specific_optical, batch.optical_valid), (output.specific_sar, batch.sar_valid))
        means, counted = zip(*(mean_feature(feature, valid) for feature, valid in sides), strict=True)
        logits = self.network.domain(torch.cat(means)).float()
        sensor = torch.arange(2, device=logits.device).repeat_interleave(len(means[0]))
        return weighted_mean(F.cross_entropy(logits, sensor, reduction="none"), torch.cat(counted))


def shared_distance(output: ShaSpecOutput, valid: Tensor | None) -> Tensor:
    """Mean of |r_O - r_S| over channels and the places where `valid` (B, 1, H, W)."""
    distance = (output.shared_optical.float() - output.shared_sar.float()).abs().mean(1, keepdim=True)
    return mean_of(distance, places_of(valid, distance, STRIDE))


def mean_feature(feature: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
    """(B, C) mean of a stride-32 feature over its valid places, and (B,) 1.0 where there is one."""
    places = places_of(valid, feature, STRIDE)
    weight = torch.ones_like(feature[:, :1], dtype=torch.float32) if places is None else places
    total = weight.sum((1, 2, 3))
    mean = (feature.float() * weight).sum((2, 3)) / torch.where(total > 0, total, 1)[:, None]
    return mean, (total > 0).float()
