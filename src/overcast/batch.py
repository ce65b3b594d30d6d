"""What travels between data, methods and trainer. A missing modality is None; partial optical is a validity mask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import product
from typing import Literal

import torch
from torch import Tensor

from overcast.errors import MissingModalityError

IGNORE_LABEL = 255
"""Label value of pixels that count neither in losses nor in metrics."""


class Modality(StrEnum):
    """A sensor. The values are the names used in files and on the command line."""

    SAR = "sar"
    OPTICAL = "optical"


class InputModalities(StrEnum):
    """What a model is given at evaluation."""

    SAR = "sar"
    OPTICAL = "optical"
    BOTH = "both"
    BOTH_OPTICAL_ZERO = "both-optical-zero"
    """Both, the optical image replaced by raw value 0: how badly a naive model breaks."""
    BOTH_OPTICAL_MEAN = "both-optical-mean"
    """Both, the optical image replaced by its training mean."""


@dataclass(frozen=True, order=True)
class Holds:
    """What a place has; training treats the places of one kind alike."""

    sar: bool
    optical: bool
    labelled: bool

    @property
    def sensors(self) -> frozenset[Modality]:
        """The images that are there."""
        return frozenset(
            sensor for sensor, there in ((Modality.SAR, self.sar), (Modality.OPTICAL, self.optical)) if there
        )

    def __str__(self) -> str:
        """In words, as after "places".

        >>> str(Holds(sar=True, optical=False, labelled=False))
        'with SAR, without optical image, without labels'
        """
        parts = (("SAR", self.sar), ("optical image", self.optical), ("labels", self.labelled))
        return ", ".join(f"{'with' if there else 'without'} {name}" for name, there in parts)


EVERY_KIND = tuple(
    Holds(sar, optical, labelled) for sar, optical, labelled in product((True, False), repeat=3) if sar or optical
)
"""Every kind of place that training can meet."""


@dataclass(frozen=True)
class Batch:
    """Co-registered samples of one size, standardised per band, nodata pixels filled with 0 and marked invalid."""

    sar: Tensor | None
    """(B, C_s, H, W) float, standardised; None when not read."""
    sar_valid: Tensor | None
    """(B, 1, H, W) bool: True where every SAR band has data."""
    optical: Tensor | None
    """(B, C_o, H, W) float, standardised; None when missing."""
    optical_valid: Tensor | None
    """(B, 1, H, W) bool: True where every optical band has data (and no cloud)."""
    label: Tensor | None
    """(B, H, W) uint8: 0 background, 1 the class, 255 ignored; None without truth."""
    keys: tuple[str, ...]
    """Chip key of each sample."""
    targets: Tensor | None = None
    """(B, T, H, W) uint8: 1 where edge or contact hold, else 0; None where they are not learnt."""
    instances: Tensor | None = None
    """(B, H, W) int32: number of each pixel's true building, 0 for none; None where buildings are not separated."""

    def require(
        self, name: Literal["sar", "sar_valid", "optical", "optical_valid", "label", "targets", "instances"]
    ) -> Tensor:
        """The named tensor. Raises MissingModalityError where the batch does not carry it."""
        tensor: Tensor | None = getattr(self, name)
        if tensor is None:
            raise MissingModalityError(
                f"this batch carries no {name!r}: read the data set with it, or evaluate with other --modalities."
            )
        return tensor

    @property
    def label_valid(self) -> Tensor:
        """(B, H, W) bool: True where the label counts."""
        return self.require("label") != IGNORE_LABEL

    @property
    def truth(self) -> Tensor:
        """(B, 1 + T, H, W) uint8: footprint, then edge or contact, all of them 255 where the label is ignored."""
        label = self.require("label")[:, None]
        return torch.cat([label, torch.where(label == IGNORE_LABEL, label, self.require("targets"))], dim=1)

    @property
    def holds(self) -> Holds:
        """What the batch carries."""
        return Holds(self.sar is not None, self.optical is not None, self.label is not None)

    def only(self, holds: Holds) -> Batch:
        """The batch with what `holds` lacks missing."""
        batch = self if holds.sar else self.without(Modality.SAR)
        batch = batch if holds.optical else batch.without(Modality.OPTICAL)
        return batch if holds.labelled else replace(batch, label=None, targets=None, instances=None)

    def without(self, modality: Modality) -> Batch:
        """This batch with one modality missing."""
        if modality is Modality.SAR:
            return replace(self, sar=None, sar_valid=None)
        return replace(self, optical=None, optical_valid=None)

    def map(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """The batch with `function` applied to each tensor present."""

        def apply(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else function(tensor)

        return Batch(
            sar=apply(self.sar),
            sar_valid=apply(self.sar_valid),
            optical=apply(self.optical),
            optical_valid=apply(self.optical_valid),
            label=apply(self.label),
            keys=self.keys,
            targets=apply(self.targets),
            instances=apply(self.instances),
        )

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Batch:
        """The batch on another device."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def __len__(self) -> int:
        return len(self.keys)
