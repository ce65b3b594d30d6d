"""What every training method answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from overcast.batch import Batch, Holds, InputModalities, Modality
from overcast.choices import Mixing
from overcast.errors import ConfigError
from overcast.methods.losses import segmentation_loss, share_loss
from overcast.methods.stages import Position, TrainingStage, position_in
from overcast.models.mixing import NEAR_PX, REACH_PX, chosen
from overcast.models.network import Network
from overcast.models.spec import NetworkSpec
from overcast.raster.radiometry import Statistics


class Method(nn.Module, ABC):
    """A network with the losses that train it. The trainer sums the losses and knows nothing else."""

    optical_zero: Tensor
    """(C_o,) standardised value of raw 0 per optical band; NaN where the statistics were not given."""

    def __init__(self, name: str, spec: NetworkSpec, network: Network, statistics: Statistics | None) -> None:
        super().__init__()
        self.name = name
        self.spec = spec
        """The architecture as built: options that change it are already applied."""
        self.network = network
        self.target_weights = spec.targets.weights
        """Weights of the logits of each head, for every loss on logits; None where there is the footprint alone."""
        self.register_buffer("optical_zero", _optical_zero(spec, statistics))
        self._begun: TrainingStage | None = None

    @property
    def needs(self) -> frozenset[Modality]:
        """Modalities that a training batch must carry; both, unless a method says less."""
        return frozenset(Modality)

    def uses(self, holds: Holds, stage: TrainingStage) -> bool:  # noqa: ARG002  # most methods treat every stage alike
        """True where a stage learns from places of this kind; by default from labelled ones with all that it needs."""
        return holds.labelled and self.needs <= holds.sensors

    @property
    @abstractmethod
    def available(self) -> frozenset[InputModalities]:
        """What `predict` can work from."""

    @property
    def deployed_inputs(self) -> tuple[Modality, ...]:
        """The sensors that `deployable` takes, in the order of its arguments."""
        return (Modality.SAR,)

    @property
    def uses_all_parameters(self) -> bool:
        """False where some steps leave parameters without a gradient (matters to distributed training)."""
        return True

    @property
    def stages(self) -> tuple[TrainingStage, ...]:
        """Stages of the training in order; each runs through the whole learning-rate curve."""
        return (TrainingStage("training", 1.0),)

    def position(self, step: int, steps: int) -> Position:
        """The stage of a step, and how far it is."""
        return position_in(self.stages, step, steps)

    def begin_step(self, step: int, steps: int) -> None:
        """What has to happen once before the losses of a step: the step's stage begins where it has not.

        Args:
            step: Optimiser steps done, 0 .. steps - 1.
            steps: Optimiser steps of the whole run.
        """
        position = self.position(step, steps)
        if position.stage != self._begun:
            self.begin_stage(position.stage, resumed=position.step > 0)
            self._begun = position.stage

    def begin_stage(self, stage: TrainingStage, *, resumed: bool) -> None:
        """Freeze and copy what a stage asks for.

        Args:
            stage: One of `stages`.
            resumed: True where the weights are those of a checkpoint within the stage, so that nothing is copied.
        """

    @abstractmethod
    def losses(self, batch: Batch, step: int, steps: int) -> dict[str, Tensor]:
        """Named scalar losses of a training batch, already weighted; their sum is minimised.

        Nothing is frozen, copied or counted here, see `begin_step`: the running averages of batch normalisation are
        all that a call changes, and those only in training mode.

        Args:
            batch: Places of one kind that the step's stage uses, by default with `needs` and labels; raises
                MissingModalityError otherwise.
            step: Optimiser steps done, 0 .. steps - 1: all schedules are functions of it.
            steps: Optimiser steps of the whole run.
        """

    def losses_of_parts(self, parts: Sequence[Batch], step: int, steps: int) -> dict[str, Tensor]:
        """`losses` of batches of one kind each, in a forward pass each: a term of several is their mean over samples.

        Together in one pass, places without a loss would move the batch statistics by which the others are normalised.
        """
        return mean_over_samples([(len(part), self.losses(part, step, steps)) for part in parts])

    @abstractmethod
    def deployable(self) -> nn.Module:
        """Standardised images (B, C, H, W) of `deployed_inputs` to logits (B, K, H, W), the footprint's first.

        Shares its tensors with the method and has its own train/eval mode.
        """

    def startable(self) -> nn.Module:
        """What takes the weights of a deployable of the same design before training; shares its tensors too."""
        return self.deployable()

    def predict(self, batch: Batch, available: InputModalities) -> Tensor:
        """Logits (B, K, H, W) from what is available; raises ConfigError for what this method cannot use."""
        if available not in self.available:
            choice = ", ".join(sorted(self.available))
            raise ConfigError(f"method {self.name!r} cannot work from {available.value!r}; choose from: {choice}.")
        return self._logits(batch, available)

    @property
    def mixing(self) -> Mixing:
        """How this method makes one map of what both sensors and SAR alone say, unless another way is asked for."""
        return Mixing.CHOICE

    @property
    def reach_px(self) -> int:
        """How far from a gap the optical side counts alone: farther where the method was not trained on gaps."""
        return NEAR_PX if self.learnt_gaps else REACH_PX

    @property
    def learnt_gaps(self) -> bool:
        """True where what is made of both sensors was supervised in the gaps of the optical image too."""
        return False

    @property
    def mixings(self) -> frozenset[Mixing]:
        """The ways that it can."""
        return frozenset({Mixing.CHOICE, Mixing.BLEND})

    @property
    def map_mixing(self) -> Mixing:
        """How a map is made unless another way is asked for: what measured best of the ways that draw no border.

        Mixed features do better than blended logits in a network that was not trained on gaps, and slightly worse in
        one that was (see EXPERIMENTS.md, any sky).
        """
        return Mixing.FEATURES if Mixing.FEATURES in self.mixings and not self.learnt_gaps else Mixing.BLEND

    def predict_clouded(self, batch: Batch, mixing: Mixing | None = None) -> Tensor:
        """Logits (B, K, H, W) from SAR and what clouds leave of the optical image (`batch.optical_valid`).

        Where the optical image has data they are those from both sensors, elsewhere those from SAR alone: without a
        clear pixel the result is that of SAR alone to the last bit, without a cloud that of both. What is between is
        the matter of `mixing`, by default the method's own. A method that cannot work from SAR alone takes the gaps as
        they are filled, with the training mean.

        Raises ConfigError for a mixing that the method does not offer.
        """
        mixing = self.offered(mixing or self.mixing)
        if InputModalities.SAR not in self.available or batch.optical_valid is None:
            return self.predict(batch, InputModalities.BOTH)
        return self._clouded(batch, batch.optical_valid, mixing)

    def offered(self, mixing: Mixing) -> Mixing:
        """The same. Raises ConfigError where the method does not offer it."""
        if mixing not in self.mixings:
            choice = ", ".join(sorted(self.mixings))
            raise ConfigError(f"method {self.name!r} cannot mix by {mixing.value!r}; choose from: {choice}.")
        return mixing

    def _clouded(self, batch: Batch, valid: Tensor, mixing: Mixing) -> Tensor:
        """`predict_clouded` for a member of `self.mixings`."""
        both, alone = (self.predict(batch, what) for what in (InputModalities.BOTH, InputModalities.SAR))
        return chosen(both, alone, valid, mixing, self.reach_px)

    def _logits(self, batch: Batch, available: InputModalities) -> Tensor:  # noqa: ARG002  # one choice by default
        """`predict` for a member of `self.available`; by default what the network that is deployed says of SAR."""
        network: Any = self.network
        logits: Tensor = network.deployed(batch.require("sar"))
        return logits

    def _label(self, batch: Batch) -> Tensor:
        """What segmentation losses compare with: the label (B, H, W), or (B, K, H, W) with its further targets."""
        return batch.require("label") if self.target_weights is None else batch.truth

    def _seg(self, logits: Tensor, label: Tensor, valid: Tensor | None) -> Tensor:
        """L_seg of the method's targets."""
        return segmentation_loss(logits, label, valid, self.target_weights)

    def _share(self, logits: Tensor, label: Tensor, valid: Tensor | None) -> Tensor:
        """L_seg at stride 32 of the method's targets."""
        return share_loss(logits, label, valid, self.target_weights)

    def _optical(self, batch: Batch, available: InputModalities) -> Tensor:
        """The optical image (B, C_o, H, W), or what replaces it."""
        optical = batch.require("optical")
        if available is InputModalities.BOTH_OPTICAL_MEAN:
            return torch.zeros_like(optical)
        if available is not InputModalities.BOTH_OPTICAL_ZERO:
            return optical
        if not torch.isfinite(self.optical_zero).all():
            raise ConfigError("what raw value 0 is after standardisation is unknown; build the method with statistics.")
        return self.optical_zero.to(optical.dtype)[:, None, None].expand_as(optical).contiguous()


def both_valid(batch: Batch) -> Tensor | None:
    """(B, 1, H, W) bool: True where SAR and optical have data; None where neither has a mask."""
    if batch.sar_valid is None or batch.optical_valid is None:
        return batch.optical_valid if batch.sar_valid is None else batch.sar_valid
    return batch.sar_valid & batch.optical_valid


def mean_over_samples(parts: Sequence[tuple[int, dict[str, Tensor]]]) -> dict[str, Tensor]:
    """Losses of several parts of a batch with the numbers of their samples: a term of several is their mean."""
    terms: dict[str, list[tuple[int, Tensor]]] = {}
    for count, losses in parts:
        for name, loss in losses.items():
            terms.setdefault(name, []).append((count, loss))
    return {name: _mean(found) for name, found in terms.items()}


class OptionalOptical(Method):
    """A method that learns to do without the optical image."""

    learn_gaps: bool
    """Whether the options ask for labels in the gaps of the optical image too."""

    @property
    def available(self) -> frozenset[InputModalities]:
        """SAR, and both."""
        return frozenset({InputModalities.SAR, InputModalities.BOTH})

    @property
    def learnt_gaps(self) -> bool:
        """That of the options."""
        return self.learn_gaps


class SarMethod(Method):
    """A method that sees radar alone, in training too."""

    @property
    def needs(self) -> frozenset[Modality]:
        """SAR."""
        return frozenset({Modality.SAR})

    @property
    def available(self) -> frozenset[InputModalities]:
        """SAR."""
        return frozenset({InputModalities.SAR})


def _mean(found: Sequence[tuple[int, Tensor]]) -> Tensor:
    """The mean of losses with the number of samples behind each; one alone as it is."""
    if len(found) == 1:
        return found[0][1]
    samples = sum(count for count, _ in found)
    return torch.stack([loss * (count / samples) for count, loss in found]).sum()


def _optical_zero(spec: NetworkSpec, statistics: Statistics | None) -> Tensor:
    if statistics is None or statistics.optical is None:
        return torch.full((spec.optical_bands,), torch.nan)
    if len(statistics.optical.mean) != spec.optical_bands:
        raise ConfigError(
            f"the network has {spec.optical_bands} optical bands, but the statistics have "
            f"{len(statistics.optical.mean)}; give both the same bands."
        )
    mean = torch.tensor(statistics.optical.mean, dtype=torch.float64)
    std = torch.tensor(statistics.optical.std, dtype=torch.float64)
    return (-mean / std).float()
