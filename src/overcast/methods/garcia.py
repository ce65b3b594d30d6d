"""`garcia`: hallucination in stages with generalised distillation.

Garcia, Morerio, Murino, "Modality distillation with multiple stream networks for action recognition", ECCV 2018.
Stages: (1, 2) the streams of both sensors and their fusion learn from the labels; (3) the hallucination stream starts
from the weights of the optical one and learns alone from the frozen optical stream,

    L = (1 - alpha) [(1 - lambda) L(y, z^H) + lambda CE(sigmoid(z^O / T), z^H)]
        + alpha 0.01 || sigmoid(A^O) - sigmoid(A^H) ||^2

with alpha = lambda = 0.5 and T = 10; (4) hallucination and SAR stream are fine-tuned together from the labels.

Deviations: the multiplicative connections between the streams have no counterpart in the network family and are left
out; the fused prediction comes from the HAL-SAR head, which starts stage 4 from the weights of the OPT-SAR head
(theirs: the mean of both streams' logits); stages 1 and 2 are one; L is L_seg, on z^H and with weight 0.5 on z_share^H.
The paper gives no share of the steps for each stage.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from overcast.batch import Batch, Modality
from overcast.methods.base import both_valid
from overcast.methods.distances import soft_cross_entropy
from overcast.methods.hallucination import Features, feature_distance, unshared
from overcast.methods.stages import Position, TrainingStage
from overcast.methods.three_branch import HeadWeights, ThreeBranchMethod
from overcast.models.blocks import crop_like, pad_to_stride
from overcast.models.spec import NetworkSpec
from overcast.raster.radiometry import Statistics
from overcast.section import Section


class GarciaOptions(Section):
    """`garcia`: staged hallucination."""

    name: Literal["garcia"] = "garcia"
    alpha: float = Field(default=0.5, ge=0, le=1)
    """Weight of the feature term against the distillation term."""
    soft: float = Field(default=0.5, ge=0, le=1)
    """lambda: weight of the teacher's soft labels against the true ones."""
    temperature: float = Field(default=10.0, gt=0, le=1000)
    """T, softening of the teacher."""
    feature_weight: float = Field(default=0.01, ge=0)
    """Factor of the feature term beside alpha."""
    features: Features = Features.DEEPEST
    """`deepest`, `decoded` or `both`."""
    teacher_share: float = Field(default=0.4, gt=0, lt=1)
    """Share of the steps for the streams of both sensors."""
    hallucination_share: float = Field(default=0.4, gt=0, lt=1)
    """Share of the steps for the hallucination stream; what is left is for fine-tuning."""
    fine_tune_rate: float = Field(default=0.1, gt=0, le=1)
    """Factor of the learning rate while fine-tuning."""
    weights: HeadWeights = HeadWeights(sar=1.0)
    """Weight of each head's segmentation loss."""

    @model_validator(mode="after")
    def _leaves_steps(self) -> GarciaOptions:
        if self.teacher_share + self.hallucination_share >= 1:
            raise ValueError("teacher_share and hallucination_share must leave steps for fine-tuning")
        return self

    @property
    def stages(self) -> tuple[TrainingStage, ...]:
        """Teacher, hallucination, fine-tuning."""
        rest = 1 - self.teacher_share - self.hallucination_share
        return (
            TrainingStage("teacher", self.teacher_share),
            TrainingStage("hallucination", self.hallucination_share),
            TrainingStage("fine-tuning", rest, rate=self.fine_tune_rate),
        )


class Garcia(ThreeBranchMethod):
    """Streams of both sensors, then hallucination, then both SAR streams."""

    def __init__(self, options: GarciaOptions, spec: NetworkSpec, statistics: Statistics | None = None) -> None:
        super().__init__(options.name, unshared(spec), statistics, options.stages, options.weights)
        self.options = options

    @property
    def sees(self) -> frozenset[Modality]:
        """Both: SAR and fused logits learn in the first stage too."""
        return frozenset(Modality)

    def _teacher_losses(self, batch: Batch) -> dict[str, Tensor]:
        """Stages 1 and 2: z^O, z^S and z^OS from the labels."""
        network, sar, label, weights = self.network, batch.require("sar"), self._label(batch), self.weights
        seen = network.optical_stream(batch.require("optical"))
        radar = network.deployed.second_stream(pad_to_stride(sar))
        assert network.sar_head is not None
        optical, alone = crop_like(network.optical_head(seen.decoded), sar), crop_like(network.sar_head(radar), sar)
        fused = crop_like(network.optical_fusion(seen.decoded, radar).logits, sar)
        return self._optical_losses(optical, network.share_logits(seen), batch) | {
            "seg_fused_optical": weights.fused_optical * self._seg(fused, label, both_valid(batch)),
            "seg_sar": weights.sar * self._seg(alone, label, batch.sar_valid),
        }

    def begin_stage(self, stage: TrainingStage, *, resumed: bool) -> None:
        """Freeze the teacher after its stage; the hallucination stream and then the HAL-SAR head take its weights."""
        super().begin_stage(stage, resumed=resumed)
        if resumed or stage == self.stages[0]:
            return
        if stage == self.stages[1]:
            self._start_hallucination()
        else:
            copy_fitting(self.network.optical_fusion, self.network.deployed.fusion)

    def _losses(self, batch: Batch, position: Position) -> dict[str, Tensor]:
        if position.stage == self.stages[1]:
            return self._hallucination_losses(batch)
        logits = self.network.sar_only(batch.require("sar"))
        loss = self._seg(logits, self._label(batch), batch.sar_valid)
        return {"seg_fused_hallucination": self.weights.fused_hallucination * loss}

    def _start_hallucination(self) -> None:
        """The hallucination stream takes the optical one's weights."""
        network = self.network
        assert network.optical_block is not None
        assert network.optical_share_head is not None
        copy_fitting(network.optical, network.deployed.first)
        copy_fitting(network.optical_block, network.deployed.block)
        copy_fitting(network.optical_head, network.hallucination_head)
        copy_fitting(network.optical_share_head, network.share_head)

    def _hallucination_losses(self, batch: Batch) -> dict[str, Tensor]:
        """Stage 3."""
        network, options, sar, label = self.network, self.options, batch.require("sar"), self._label(batch)
        seen = network.optical_stream(batch.require("optical"))
        taught = crop_like(network.optical_head(seen.decoded), sar)
        stream = network.deployed.first_stream(pad_to_stride(sar))
        logits = crop_like(network.hallucination_head(stream.decoded), sar)
        valid = both_valid(batch)
        distillation, hard = 1 - options.alpha, (1 - options.alpha) * (1 - options.soft)
        soft = soft_cross_entropy(
            taught, logits, temperature=options.temperature, valid=valid, weights=self.target_weights
        )
        distance = feature_distance(seen, stream, options.features, valid, self.spec.decoded_stride)
        share = self._share(network.share_head(stream.deepest), label, batch.sar_valid)
        return {
            "seg_hallucination": hard * self.weights.hallucination * self._seg(logits, label, batch.sar_valid),
            "seg_share_hallucination": hard * self.weights.share_hallucination * share,
            "soft": distillation * options.soft * soft,
            "hallucination": options.alpha * options.feature_weight * distance,
        }


def copy_fitting(source: nn.Module, target: nn.Module) -> None:
    """Give `target` each tensor of `source` that has the same name and shape (first convolutions may differ)."""
    own = target.state_dict()
    with torch.no_grad():
        for name, tensor in source.state_dict().items():
            if name in own and own[name].shape == tensor.shape:
                own[name].copy_(tensor)
