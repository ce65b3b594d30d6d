"""The three parts of a split, and how they are held apart on the ground."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain

import numpy as np

from overcast.data.splits.ground import Placed, contacts
from overcast.errors import ConfigError


class Part(StrEnum):
    """What a chip is used for."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True)
class Drop:
    """Chips that a split leaves out."""

    reason: str
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Split:
    """Chip keys by use. Every chip that the split was made from is in exactly one part or dropped."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    dropped: tuple[Drop, ...] = ()
    definition: str = ""
    """How it was made."""

    def __post_init__(self) -> None:
        dropped = (drop.keys for drop in self.dropped)
        twice = [k for k, n in Counter(chain(self.train, self.validation, self.test, *dropped)).items() if n > 1]
        if twice:
            raise ValueError(f"chip {twice[0]} is in two parts of the split")

    def keys(self, part: Part) -> tuple[str, ...]:
        """Keys of one part."""
        return {Part.TRAIN: self.train, Part.VALIDATION: self.validation, Part.TEST: self.test}[part]

    @property
    def counts(self) -> dict[str, int]:
        """Number of chips in train, validation, test and dropped."""
        return {part.value: len(self.keys(part)) for part in Part} | {"dropped": sum(len(d.keys) for d in self.dropped)}


def dropped_for(reason: str, keys: tuple[str, ...]) -> tuple[Drop, ...]:
    """One drop, or none for no keys."""
    return (Drop(reason, keys),) if keys else ()


def separate(chips: Sequence[Placed], parts: Mapping[str, Part], buffer_m: float, definition: str) -> Split:
    """A split without chips that overlap, or lie too near to, a part that matters more (test, then validation).

    Chips that `parts` does not name are for training.
    """
    kept = {part: [chip for chip in chips if parts.get(chip.key, Part.TRAIN) is part] for part in Part}
    filled = [part for part in Part if kept[part]]
    dropped: tuple[Drop, ...] = ()
    for part, other in ((Part.VALIDATION, Part.TEST), (Part.TRAIN, Part.TEST), (Part.TRAIN, Part.VALIDATION)):
        near = _near(kept[part], kept[other], buffer_m)
        how = f"closer than {buffer_m:g} m to" if buffer_m else "overlapping"
        dropped += dropped_for(f"{part} chips {how} {other}", tuple(c.key for c in kept[part] if c.key in near))
        kept[part] = [chip for chip in kept[part] if chip.key not in near]
    for part in filled:
        if not kept[part]:
            raise ConfigError(
                f"no {part} chip is left: all lie too near to other parts; use larger blocks or a smaller buffer."
            )
    train, validation, test = (tuple(chip.key for chip in kept[part]) for part in Part)
    return Split(train, validation, test, dropped, definition)


def _near(chips: Sequence[Placed], others: Sequence[Placed], buffer_m: float) -> set[str]:
    placed = [(chip.key, chip.bounds) for chip in chips if chip.bounds is not None]
    ground = [chip.bounds for chip in others if chip.bounds is not None]
    pairs = contacts([bounds for _, bounds in placed], ground, buffer_m).pairs
    return {placed[i][0] for i in np.unique(pairs[:, 0])}


def require_lengths(block_m: float, buffer_m: float) -> None:
    """Raise ConfigError for a block that is not positive or a buffer that is negative or infinite."""
    if not block_m > 0:
        raise ConfigError(f"block_m must be positive, got {block_m:g}.")
    if not (buffer_m >= 0 and math.isfinite(buffer_m)):
        raise ConfigError(f"buffer_m must be a length of at least 0, got {buffer_m:g}.")
