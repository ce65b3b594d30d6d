"""What a data set is, once its layout on disk has been understood."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from overcast.data.chips import Chip
from overcast.data.labels import LabelSpec
from overcast.data.place_levels import PlaceLevels
from overcast.errors import InputError
from overcast.raster.radiometry import Radiometry, Standardise


@dataclass(frozen=True)
class Catalog:
    """Chips with the meaning of their pixels."""

    name: str
    class_name: str
    """What the foreground is: building, water, ..."""
    chips: tuple[Chip, ...]
    radiometry: Radiometry
    label: LabelSpec
    licence: str
    """SPDX identifier, or the words of the publisher."""
    simulated: bool = False
    """True where the images were computed, not measured."""
    around_footprints: float = 0.0
    """Share of the training windows of scenes that hold a footprint; the others are uniform over the ground."""

    def __post_init__(self) -> None:
        if len(self._by_key) != len(self.chips):
            raise ValueError(f"chip keys of {self.name} are not unique")

    @cached_property
    def _by_key(self) -> dict[str, Chip]:
        return {chip.key: chip for chip in self.chips}

    @cached_property
    def levels(self) -> PlaceLevels | None:
        """The levels of its scenes or places; None where radar images are standardised by the training data."""
        if self.radiometry.sar.standardise is Standardise.DATASET:
            return None
        return PlaceLevels(self.chips, self.radiometry, self.label)

    def __getitem__(self, key: str) -> Chip:
        """The chip of that key. Raises InputError where there is none."""
        try:
            return self._by_key[key]
        except KeyError:
            raise InputError(f"data set {self.name} has no chip {key!r}: check the split file.") from None

    def select(self, keys: tuple[str, ...]) -> tuple[Chip, ...]:
        """Chips of the given keys, in their order."""
        return tuple(self[key] for key in keys)
