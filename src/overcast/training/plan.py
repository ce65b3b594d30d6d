"""Everything that a training run is made of, built by the caller."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, assert_never

import torch

from overcast.batch import Available, Modality
from overcast.data.augment import Augmentation
from overcast.data.catalog import Catalog
from overcast.data.splits import Split
from overcast.errors import ConfigError
from overcast.methods.options import MethodOptions, build_method
from overcast.models.spec import NetworkSpec
from overcast.training.options import TrainingOptions


@dataclass(frozen=True)
class MethodFacts:
    """What the trainer must know of a method before its network exists."""

    needs: frozenset[Modality]
    available: frozenset[Available]
    uses_all_parameters: bool

    @classmethod
    def of(cls, options: MethodOptions, network: NetworkSpec) -> MethodFacts:
        """Ask an instance without memory. Raises ConfigError where the network has no input for the method."""
        with torch.device("meta"):
            method = build_method(options, network.untrained())
        return cls(method.needs, method.available, method.uses_all_parameters)

    @property
    def primary(self) -> Available:
        """What validation gives the model: SAR alone where the method works from it, else its other single sensor."""
        for available in (Available.SAR, Available.OPTICAL):
            if available in self.available:
                return available
        return Available.BOTH


@dataclass(frozen=True)
class Plan:
    """Parts of one run."""

    catalog: Catalog
    split: Split
    method: MethodOptions
    network: NetworkSpec
    options: TrainingOptions
    augmentation: Augmentation | None
    licence: str
    """Of the weights."""
    settings: Mapping[str, Any]
    """The whole configuration as nested plain values: two runs are the same where these are."""
    settings_yaml: str
    """The same as commented YAML."""

    @cached_property
    def facts(self) -> MethodFacts:
        """Of the method."""
        return MethodFacts.of(self.method, self.network)

    def __post_init__(self) -> None:
        for name in ("train", "validation"):
            if not getattr(self.split, name):
                raise ConfigError(f"the split leaves no {name} chips of {self.catalog.name}: enlarge their share.")


@dataclass(frozen=True)
class TrainResult:
    """What a finished run left behind."""

    folder: Path
    steps: int
    best_step: int
    """Step of the weights in the bundles: the round with the best validation IoU."""
    metrics: dict[str, dict[str, float]]
    """`validation <modalities>` to metric and value, of the weights in the bundles."""
    deployable: Path
    """Bundle for one sensor."""
    full: Path
    """Bundle of every branch."""
    already_finished: bool = False
    """True where the run was complete before and nothing was done."""


def modalities_of(available: Collection[Available]) -> frozenset[Modality]:
    """Sensors that must be read to evaluate in the given ways."""
    wanted: set[Modality] = set()
    for way in available:
        match way:
            case Available.SAR:
                wanted.add(Modality.SAR)
            case Available.OPTICAL:
                wanted.add(Modality.OPTICAL)
            case Available.BOTH | Available.BOTH_OPTICAL_ZERO | Available.BOTH_OPTICAL_MEAN:
                wanted |= {Modality.SAR, Modality.OPTICAL}
            case _:
                assert_never(way)
    return frozenset(wanted)
