"""The record of a model bundle, `bundle.json`: what the weights are, on what they work, whence they come."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from overcast import __version__
from overcast.arithmetic import Precision
from overcast.batch import Modality
from overcast.choices import WeightStorage
from overcast.data.identity import TrainingData
from overcast.data.targets import Target
from overcast.methods.options import MethodOptions
from overcast.models.spec import NetworkSpec
from overcast.raster.radiometry import Radiometry, Statistics
from overcast.section import Section

FORMAT_VERSION = 1
"""Raised when a bundle of the former layout can no longer be read."""


class Kind(StrEnum):
    """How much of the trained network the bundle holds."""

    DEPLOYABLE = "deployable"
    """What runs without the other sensor: one input, one output."""
    FULL = "full"
    """Every branch, for evaluation with optical and for further training."""


class Parent(Section):
    """A model that a training started from or learned from."""

    name: str
    """Name of the parent's folder."""
    sha256: str
    """SHA-256 of the parent's weights."""
    licence: str
    taken: tuple[str, ...]
    """What was taken over or learned, in words."""


class BundleFacts(Section):
    """What the maker of a bundle knows."""

    method: MethodOptions
    network: NetworkSpec
    radiometry: Radiometry
    """Bands, unit, ground sampling distance and radar side that the model was trained for."""
    statistics: Statistics
    """Statistics of the training pixels; inputs are standardised with them."""
    class_name: str
    data: TrainingData
    metrics: dict[str, dict[str, float]]
    """Subset and modalities, for example `validation sar`, to metric and value."""
    licence: str
    """Licence of the weights: SPDX identifier or words."""
    seed: int
    steps: int
    """Training steps behind these weights."""
    calibration_temperature: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Logits are divided by it before they become probabilities; fitted on the validation chips. None: not known."""
    precision: Precision | None = None
    """Arithmetic of the training; None: not known."""
    parent: Parent | None = None
    """The model that training started from; None: from ImageNet weights, or from random ones."""
    teacher: Parent | None = None
    """The finished model that was distilled; None: there was none."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        sar, optical = self.radiometry.sar, self.radiometry.optical
        for sensor, found in ((sar, self.statistics.sar), (optical, self.statistics.optical)):
            if sensor is not None and found is not None and len(found.mean) != len(sensor.bands):
                raise ValueError(f"statistics of {len(found.mean)} bands for {len(sensor.bands)} bands")
        return self


class BundleInfo(BundleFacts):
    """The record `bundle.json`."""

    format_version: int = FORMAT_VERSION
    kind: Kind
    inputs: tuple[Modality, ...]
    """The sensors that the deployable network takes, in the order of its arguments."""
    outputs: tuple[Target, ...] = (Target.FOOTPRINT,)
    """What each of its logits says, in order."""
    overcast_version: str = __version__
    weights_sha256: str
    storage: WeightStorage | None = None
    """How the weights lie in their file; None: not known."""
