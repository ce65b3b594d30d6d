"""Groups of chips that a split moves as one: places or square blocks of ground, drawn by a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from overcast.data.splits.ground import Placed, metric_boxes
from overcast.errors import ConfigError, InputError

PlacedT = TypeVar("PlacedT", bound=Placed)
PartT = TypeVar("PartT")

Groups = Mapping[str, Sequence[str]]
"""Chip keys by the name of their group."""


def choose(chips: Sequence[PlacedT], keys: Sequence[str]) -> tuple[PlacedT, ...]:
    """The chips of the given keys, in the order of the keys. Raises InputError where there are none."""
    known = {chip.key: chip for chip in chips}
    missing = [key for key in keys if key not in known]
    if missing:
        raise InputError(
            f"the split names {len(missing)} chips that the data set does not have ({', '.join(missing[:3])}); "
            "was it made for another data set?"
        )
    return tuple(known[key] for key in keys)


def places(chips: Sequence[Placed]) -> Groups:
    """Chips by place."""
    groups: dict[str, list[str]] = {}
    for chip in chips:
        groups.setdefault(chip.place, []).append(chip.key)
    return groups


def blocks(chips: Sequence[Placed], block_m: float) -> Groups:
    """Chips by the square of `block_m` metres that holds their centre.

    Raises:
        InputError: A chip has no georeference, or coordinate systems differ.
    """
    groups: dict[str, list[str]] = {}
    for chip, (east, north) in zip(chips, np.floor(centres(chips) / block_m).astype(np.int64), strict=True):
        groups.setdefault(f"e{east}n{north}", []).append(chip.key)
    return groups


def centres(chips: Sequence[Placed]) -> NDArray[np.float64]:
    """(N, 2): east and north of the chips' centres in metres of one plane.

    Raises:
        InputError: A chip has no georeference, or coordinate systems differ.
    """
    bounds = [chip.bounds for chip in chips if chip.bounds is not None]
    if len(bounds) < len(chips):
        key = next(chip.key for chip in chips if chip.bounds is None)
        raise InputError(f"chip {key} has no georeference, so it cannot be split by ground; split by place instead.")
    (boxes,) = metric_boxes(bounds)
    return np.asarray((boxes[:, :2] + boxes[:, 2:]) / 2)


def draw(groups: Groups, shares: Mapping[PartT, float], seed: int, kind: str) -> dict[str, PartT]:
    """Part of every drawn key: whole groups, in an order drawn by the seed, until each share is met.

    At least one group is drawn for every share above 0, and at least one is left.

    Args:
        groups: Chip keys by group.
        shares: Share of all chips that each part wants.
        seed: Of the order.
        kind: Plural noun for the error: blocks, places.

    Raises:
        ConfigError: Shares are out of range, or the groups are too few.
    """
    if not all(0 <= share < 1 for share in shares.values()) or sum(shares.values()) >= 1:
        raise ConfigError(f"shares must be at least 0 and below 1 in sum, got {[*shares.values()]}.")
    wanted = [(part, share) for part, share in shares.items() if share > 0]
    if len(groups) <= len(wanted):
        raise ConfigError(f"{len(groups)} {kind} cannot fill {len(wanted) + 1} parts; use more and smaller {kind}.")
    names = sorted(groups)
    free = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    total = sum(len(keys) for keys in groups.values())
    parts: dict[str, PartT] = {}
    for done, (part, share) in enumerate(wanted):
        spare = len(wanted) - done  # groups that the later parts, and what is left, need
        chosen = _fill(free, groups, share * total)[: len(free) - spare]
        parts |= {key: part for name in chosen for key in groups[name]}
        free = [name for name in free if name not in set(chosen)]
    return parts


def _fill(order: Sequence[str], groups: Groups, target: float) -> list[str]:
    """Groups, in order, of which at least half still fits under the target; at least the smallest."""
    chosen: list[str] = []
    count = 0
    for name in order:
        if count + len(groups[name]) / 2 <= target:
            chosen.append(name)
            count += len(groups[name])
    return chosen or [min(order, key=lambda name: len(groups[name]))]
