"""Everything that a training run is made of, built by the caller."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import assert_never

import torch

from overcast.batch import EVERY_KIND, Holds, InputModalities, Modality
from overcast.data.augment import Augmentation
from overcast.data.catalog import Catalog
from overcast.data.mix import UNSCORED
from overcast.data.splits.by_ground import Split
from overcast.errors import ConfigError
from overcast.methods.options import MethodOptions, build_method
from overcast.methods.stages import TrainingStage
from overcast.models.spec import NetworkSpec
from overcast.section import Section
from overcast.training.options import KeepBest, TrainingOptions
from overcast.training.order import Pools
from overcast.training.start import Start


@dataclass(frozen=True)
class MethodFacts:
    """What the trainer must know of a method before its network exists."""

    needs: frozenset[Modality]
    available: frozenset[InputModalities]
    uses_all_parameters: bool
    stages: tuple[TrainingStage, ...]
    uses: tuple[frozenset[Holds], ...]
    """For each stage the kinds of places that it learns from."""

    @classmethod
    def of(cls, options: MethodOptions, network: NetworkSpec) -> MethodFacts:
        """Ask an instance without memory. Raises ConfigError where the network has no input for the method."""
        with torch.device("meta"):
            method = build_method(options, network.untrained())
        uses = tuple(frozenset(kind for kind in EVERY_KIND if method.uses(kind, stage)) for stage in method.stages)
        return cls(method.needs, method.available, method.uses_all_parameters, method.stages, uses)

    @property
    def primary(self) -> InputModalities:
        """What validation gives the model: SAR alone where the method works from it, else its other single sensor."""
        for available in (InputModalities.SAR, InputModalities.OPTICAL):
            if available in self.available:
                return available
        return InputModalities.BOTH


@dataclass(frozen=True)
class TrainingPlan:
    """Parts of one run."""

    catalog: Catalog
    split: Split
    method: MethodOptions
    network: NetworkSpec
    options: TrainingOptions
    augmentation: Augmentation | None
    licence: str
    """Licence of the weights."""
    settings: Section
    """The whole configuration: two runs are the same where its values are."""
    settings_yaml: str
    """The settings as commented YAML."""
    start: Start | None = None
    """The model that training starts from; None: the network as it is built."""

    @cached_property
    def facts(self) -> MethodFacts:
        """Facts of the method."""
        return MethodFacts.of(self.method, self.network)

    @cached_property
    def training_kinds(self) -> tuple[Holds, ...]:
        """What each training chip has that the data set declares."""
        return tuple(chip.holds for chip in self.catalog.select(self.split.train))

    @cached_property
    def pools(self) -> tuple[Pools, ...]:
        """The training chips of each stage. Raises ConfigError where a stage has none with labels, or none at all."""
        facts = self.facts
        pools = tuple(Pools.of(self.training_kinds, used) for used in facts.uses)
        for stage, used, pool in zip(facts.stages, facts.uses, pools, strict=True):
            if not pool.labelled and any(kind.labelled for kind in used):
                raise ConfigError(
                    f"method {self.method.name!r} needs labelled places of {self.catalog.name} with "
                    f"{' and '.join(sorted(facts.needs))} images in its stage {stage.name!r}, and the training part "
                    "has none: add some, or choose another split."
                )
        return pools

    @cached_property
    def judged(self) -> tuple[InputModalities, ...]:
        """The ways of working whose mean IoU on validation decides which weights are kept.

        Raises ConfigError where the method does not work in all of them.
        """
        if self.options.keep_best is KeepBest.DEPLOYED:
            return (self.facts.primary,)
        ways = (InputModalities.SAR, InputModalities.BOTH)
        if not self.facts.available.issuperset(ways):
            raise ConfigError(
                "training.keep_best=any_sky needs a method that works from SAR alone and from both sensors, which "
                f"{self.method.name!r} does not: set it to deployed, or choose a method such as 'cmhcl'."
            )
        return ways

    @property
    def left_out(self) -> tuple[str, ...]:
        """A sentence for each kind of place that cannot be used, by the method or for scores."""
        used = frozenset().union(*self.facts.uses)
        places: dict[Holds, set[str]] = {}
        for chip in self.catalog.select(self.split.train):
            if chip.holds not in used:
                places.setdefault(chip.holds, set()).add(chip.place)
        unscored = (drop for drop in self.split.dropped if drop.reason.endswith(UNSCORED))
        return (
            *(f"{len(drop.keys)} {drop.reason}: they are left out" for drop in unscored),
            *(
                f"method {self.method.name} cannot use {len(names)} place{'s' * (len(names) > 1)} {kind}: left out"
                for kind, names in sorted(places.items(), reverse=True)
            ),
        )

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
    """Step of the weights in the bundles: the round with the best validation IoU, see `training.keep_best`."""
    metrics: dict[str, dict[str, float]]
    """`validation <modalities>` to metric and value, of the weights in the bundles."""
    deployable: Path
    """Bundle for one sensor."""
    full: Path
    """Bundle of every branch."""
    already_finished: bool = False
    """True where the run was complete before and nothing was done."""


def modalities_of(available: Collection[InputModalities]) -> frozenset[Modality]:
    """Sensors that must be read to evaluate in the given ways."""
    wanted: set[Modality] = set()
    for way in available:
        match way:
            case InputModalities.SAR:
                wanted.add(Modality.SAR)
            case InputModalities.OPTICAL:
                wanted.add(Modality.OPTICAL)
            case InputModalities.BOTH | InputModalities.BOTH_OPTICAL_ZERO | InputModalities.BOTH_OPTICAL_MEAN:
                wanted |= {Modality.SAR, Modality.OPTICAL}
            case _:
                assert_never(way)
    return frozenset(wanted)
