"""Data sets of which not every place has SAR, an optical image and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from overcast.data.catalog import Catalog
from overcast.data.chips import Chip
from overcast.data.splits.parts import Drop, Split

UNSCORED = "without labels or SAR image cannot be scored"
"""Why a chip of the validation or test part is dropped."""


def labelled_places(chips: Sequence[Chip], share: float, seed: int) -> frozenset[str]:
    """A seeded choice of the places that have labels: at least one, and with a larger share the same and more."""
    places = sorted({chip.place for chip in chips if chip.labelled})
    kept = max(1, round(share * len(places)))
    return frozenset(places[index] for index in np.random.default_rng(seed).permutation(len(places))[:kept])


def with_label_share(catalog: Catalog, train: tuple[str, ...], share: float, seed: int) -> Catalog:
    """The catalog with labels on a share of its training places; validation and test keep theirs."""
    if share >= 1:
        return catalog
    chosen = set(train)
    kept = labelled_places(catalog.select(train), share, seed)
    chips = (chip.without_label() if chip.key in chosen and chip.place not in kept else chip for chip in catalog.chips)
    return replace(catalog, chips=tuple(chips))


def scored(split: Split, catalog: Catalog) -> Split:
    """The split without validation and test chips that lack what a score needs; they are dropped by name."""
    parts, drops = {}, split.dropped
    for part in ("validation", "test"):
        keys: tuple[str, ...] = getattr(split, part)
        blind = {chip.key for chip in catalog.select(keys) if not (chip.labelled and chip.sar)}
        parts[part] = tuple(key for key in keys if key not in blind)
        if blind:
            drops += (Drop(f"{part} chips {UNSCORED}", tuple(key for key in keys if key in blind)),)
    return replace(split, validation=parts["validation"], test=parts["test"], dropped=drops)
