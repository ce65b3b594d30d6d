"""Which data a model was made from: a hash of chips by subset that changes when the data set does."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pydantic import Field

from overcast.data.catalog import Catalog
from overcast.data.chips import Chip
from overcast.raster.addresses import file_name, is_remote
from overcast.section import Section


class ChipSetIdentity(Section):
    """Identity of the chips of one subset."""

    chips: int = Field(ge=0)
    sha256: str
    """Hash of the sorted chip keys, file names and file sizes."""


class TrainingData(Section):
    """What a model was trained, validated and not yet tested on."""

    name: str
    licence: str
    split: str
    """The rule that made the subsets, as in the configuration."""
    simulated: bool = False
    """True where the images were computed, not measured."""
    train: ChipSetIdentity
    validation: ChipSetIdentity
    test: ChipSetIdentity


def chip_set_identity(chips: tuple[Chip, ...]) -> ChipSetIdentity:
    """Identity of chips by key, turn, file name and file size: cheap, and it changes when the data set does."""
    digest = hashlib.sha256()
    for chip in sorted(chips, key=lambda chip: chip.key):
        sizes = [(file_name(path), 0 if is_remote(path) else path.stat().st_size) for path in _files(chip)]
        turns = [word for word, done in (("turned", chip.rotate_180), ("mirrored", chip.mirrored)) if done]
        further = [*turns, *([chip.scene.definition] if chip.scene else [])]
        digest.update(json.dumps([chip.key, sizes, *further]).encode())
    return ChipSetIdentity(chips=len(chips), sha256=digest.hexdigest())


def _files(chip: Chip) -> tuple[Path, ...]:
    if chip.scene is not None:
        return chip.scene.files
    outlines = chip.outlines.path if chip.outlines else None
    invalid = chip.optical_invalid.path if chip.optical_invalid else None
    others = (chip.mask, chip.footprints, chip.labelled_area, outlines, invalid)
    return (*chip.sar, *chip.optical, *(path for path in others if path is not None))


def training_data(
    catalog: Catalog, split: str, train: tuple[str, ...], validation: tuple[str, ...], test: tuple[str, ...]
) -> TrainingData:
    """Identity of a data set and of its subsets, given as chip keys."""
    identities = [chip_set_identity(catalog.select(keys)) for keys in (train, validation, test)]
    return TrainingData(
        name=catalog.name,
        licence=catalog.licence,
        split=split,
        simulated=catalog.simulated,
        train=identities[0],
        validation=identities[1],
        test=identities[2],
    )
