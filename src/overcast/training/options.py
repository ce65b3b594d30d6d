"""Options of the training loop. They are the `training:` section of a run configuration."""

from __future__ import annotations

from enum import StrEnum
from math import ceil
from typing import Self

from pydantic import Field, field_validator, model_validator

from overcast.arithmetic import Precision
from overcast.section import Section

WARMUP_SHARE = 0.08
"""Part of a stage in which the learning rate rises, where the configuration does not say otherwise: at full rate AdamW
spoils ImageNet weights in its first steps."""


class NormMode(StrEnum):
    """Whose statistics batch normalisation uses while training."""

    LOCAL = "local"
    SYNCED = "synced"
    FROZEN = "frozen"


class KeepBest(StrEnum):
    """Whose IoU on validation decides which round's weights are kept."""

    DEPLOYED = "deployed"
    """That of the path that is deployed: from SAR alone, where the method works from it."""
    ANY_SKY = "any_sky"
    """The mean of SAR alone and of both sensors, for a model that is also given optical images."""


class Accelerator(StrEnum):
    """Device kind."""

    AUTO = "auto"
    CPU = "cpu"
    GPU = "gpu"


class OptimiserOptions(Section):
    """AdamW with polynomial decay per step."""

    learning_rate: float = Field(default=3e-4, gt=0, le=1)
    """Peak learning rate."""
    weight_decay: float = Field(default=1e-3, ge=0, le=1)
    """Decoupled weight decay of convolution and linear weights; norms and biases are not decayed."""
    power: float = Field(default=0.9, ge=0, le=10)
    """Exponent of the polynomial decay learning_rate * (1 - step / steps) ** power; 0 keeps the rate constant."""
    warmup_steps: int | None = Field(default=None, ge=0, le=1_000_000)
    """Steps of linear warm-up from 0 in each stage of a method, multiplied onto the decay; null: 8 % of the stage."""
    clip_norm: float = Field(default=1.0, ge=0, le=1e6)
    """Largest norm of the gradient over all weights; 0 does not clip."""


class TrainingOptions(Section):
    """Budget, batches, arithmetic and devices."""

    steps: int = Field(default=20_000, ge=1, le=10_000_000)
    """Optimiser steps in all."""
    round_steps: int = Field(default=500, ge=1, le=1_000_000)
    """Steps between two validations; a checkpoint is written after each."""
    keep_best: KeepBest = KeepBest.DEPLOYED
    """The round whose weights are kept: the best on validation from SAR alone (`deployed`), or on the mean of SAR alone
    and both sensors (`any_sky`)."""
    batch_size: int = Field(default=8, ge=1, le=65_536)
    """Chips per step over all processes."""
    unlabelled_share: float = Field(default=0.5, ge=0, lt=1)
    """Share of each batch that shows places without labels, where there are such and the method can use them; 0 leaves
    them out."""
    crop: int | None = Field(default=256, ge=32, le=8192)
    """Side in pixels of the random crops; null takes whole chips, which must then be of one size."""
    validation_batch_size: int = Field(default=8, ge=1, le=65_536)
    """Whole chips per validation batch and process."""
    optimiser: OptimiserOptions = OptimiserOptions()
    """The optimiser."""
    precision: Precision = Precision.AUTO
    """`auto`: `bf16` (bfloat16 autocast) where processor or GPU compute it themselves, `fp32` elsewhere; decided when a
    run begins and kept when it goes on."""
    channels_last: bool = True
    """Memory layout NHWC, faster for convolutions."""
    batch_norm: NormMode = NormMode.LOCAL
    """Statistics of each process's own share (`local`), of the whole batch (`synced`, GPU only), or the running ones
    unchanged (`frozen`)."""
    deterministic: bool | None = None
    """Bit-equal repetition on one machine. null: on CPU yes, on GPU no, where it costs speed."""
    accelerator: Accelerator = Accelerator.AUTO
    """`auto` takes a GPU where there is one."""
    devices: int = Field(default=1, ge=1, le=1024)
    """Processes on this machine, one per device; under torchrun its own numbers are taken."""
    nodes: int = Field(default=1, ge=1, le=4096)
    """Machines; under torchrun its own number is taken."""
    workers: int = Field(default=2, ge=0, le=256)
    """Threads that prepare batches in the background; 0 prepares them in the training thread."""
    cache_gb: float = Field(default=4.0, ge=0, le=4096)
    """Memory in GB (1e9 bytes) for decoded chips, per process."""
    log_steps: int = Field(default=20, ge=1, le=1_000_000)
    """Steps that one row of the loss curve averages."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of weights, sample order, crops and augmentation."""

    @field_validator("precision")
    @classmethod
    def _of_training(cls, precision: Precision) -> Precision:
        if precision is Precision.INT8:
            raise ValueError("int8 is for mapping alone: train in auto, fp32 or bf16")
        return precision

    @model_validator(mode="after")
    def _warmup_fits(self) -> Self:
        if (self.optimiser.warmup_steps or 0) >= self.steps:
            raise ValueError(f"optimiser.warmup_steps must be below steps ({self.steps})")
        return self

    @property
    def rounds(self) -> int:
        """Number of rounds; the last may be shorter."""
        return ceil(self.steps / self.round_steps)


def rate_factor(step: int, steps: int, options: OptimiserOptions) -> float:
    """Factor on the learning rate before optimiser step `step` (counted from 0).

    >>> round(rate_factor(50, 100, OptimiserOptions(power=1.0)), 3)
    0.5
    >>> round(rate_factor(0, 100, OptimiserOptions()), 3)
    0.125
    >>> rate_factor(0, 100, OptimiserOptions(warmup_steps=10))
    0.1
    """
    length = round(WARMUP_SHARE * steps) if options.warmup_steps is None else options.warmup_steps
    warm = min(1.0, (step + 1) / length) if length else 1.0
    return float(warm * max(0.0, 1 - step / steps) ** options.power)
