"""Splits by ground: no square metre and no place is in two of training, validation and test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import assert_never

import numpy as np

from overcast.choices import SpaceNet6Side
from overcast.data.catalogs.spacenet6 import TILE_M, TileCorner
from overcast.data.splits.ground import Placed
from overcast.data.splits.groups import Groups, blocks, centres, choose, draw, places
from overcast.data.splits.parts import Drop, Part, Split, dropped_for, require_lengths, separate
from overcast.errors import ConfigError, InputError

__all__ = [
    "Drop",
    "Part",
    "SpaceNet6Side",
    "Split",
    "block_split",
    "cluster_split",
    "hold_out",
    "hold_out_side",
    "named_split",
    "spacenet6_naive_split",
    "spacenet6_split",
    "subfolder_split",
]

EAST_FROM_X, NORTH_FROM_Y = 595310.0, 5751400.0
"""Where the SpaceNet 6 test ground begins, metres in EPSG:32631."""


def spacenet6_split(corners: Sequence[TileCorner], side: SpaceNet6Side) -> Split:
    """The leak-free SpaceNet 6 split: 2351 / 705 tiles (east), 2470 / 788 (north), no validation.

    Test tiles begin at the given line. A training tile ends, 450 m from its corner, where the first test tile begins;
    the tiles between (345 and 143) are dropped.

    Raises:
        InputError: No tile lies in the test or in the training ground.
    """
    test = tuple(tile for tile in corners if _in_test(tile, side))
    if not test:
        raise InputError(f"no tile lies in the {side} test ground; are these SpaceNet 6 training tiles in EPSG:32631?")
    match side:
        case SpaceNet6Side.EAST:
            edge = min(tile.x for tile in test)
            train = tuple(tile for tile in corners if tile.x + TILE_M <= edge)
            rule = f"test where x >= {EAST_FROM_X:.0f}, train where x + {TILE_M:g} <= {edge:.1f}"
        case SpaceNet6Side.NORTH:
            edge = min(tile.y for tile in test) - TILE_M
            train = tuple(tile for tile in corners if tile.y <= edge)
            rule = f"test where y >= {NORTH_FROM_Y:.0f}, train where y <= {edge:.1f}"
        case _:
            assert_never(side)
    if not train:
        raise InputError(f"every tile reaches into the {side} test ground; are these all SpaceNet 6 training tiles?")
    used = {tile.key for tile in (*train, *test)}
    between = tuple(tile.key for tile in corners if tile.key not in used)
    return Split(
        train=tuple(tile.key for tile in train),
        validation=(),
        test=tuple(tile.key for tile in test),
        dropped=dropped_for(f"train tiles that may reach into test ground (within {TILE_M:g} m)", between),
        definition=f"SpaceNet 6 {side}: {rule} (x, y: upper left corner of a {TILE_M:g} m tile in EPSG:32631).",
    )


def spacenet6_naive_split(corners: Sequence[TileCorner], side: SpaceNet6Side) -> Split:
    """The split that leaks, to show what it costs: the same test tiles, and all others for training."""
    return Split(
        train=tuple(tile.key for tile in corners if not _in_test(tile, side)),
        validation=(),
        test=tuple(tile.key for tile in corners if _in_test(tile, side)),
        definition=f"SpaceNet 6 {side}, naive: every tile outside the test tiles is used for training.",
    )


def _in_test(tile: TileCorner, side: SpaceNet6Side) -> bool:
    return tile.x >= EAST_FROM_X if side == SpaceNet6Side.EAST else tile.y >= NORTH_FROM_Y


def block_split(
    chips: Sequence[Placed], block_m: float, test_share: float, validation_share: float, buffer_m: float, seed: int
) -> Split:
    """Square blocks of ground drawn by a seed.

    A chip belongs to the block that holds its centre. Validation chips that overlap test ground, or lie closer to it
    than the buffer, are dropped; so are training chips near test or validation ground.

    Args:
        chips: Georeferenced chips in one coordinate system.
        block_m: Side of a block in metres; several times the side of a chip, or most chips are dropped.
        test_share: Share of all chips, met to within half a block.
        validation_share: Same for validation.
        buffer_m: Smallest distance in metres between the parts; 0 lets chips touch.
        seed: Same seed, same chips: same split.

    Raises:
        ConfigError: A share, block or buffer is out of range, or a part comes out empty.
        InputError: A chip has no georeference, or coordinate systems differ.
    """
    require_lengths(block_m, buffer_m)
    drawn = draw(blocks(chips, block_m), {Part.TEST: test_share, Part.VALIDATION: validation_share}, seed, "blocks")
    definition = (
        f"Square blocks of {block_m:g} m drawn with seed {seed}: test share {test_share:g}, validation share "
        f"{validation_share:g}, buffer {buffer_m:g} m."
    )
    return separate(chips, drawn, buffer_m, definition)


def cluster_split(
    chips: Sequence[Placed], test_share: float, validation_share: float, seed: int, buffer_m: float = 0.0
) -> Split:
    """Whole places (`Chip.place`) drawn by a seed; for chips without georeference.

    Chips that have one are held apart by `buffer_m` as in `block_split`.

    Raises:
        ConfigError: A share or the buffer is out of range, or a part comes out empty.
    """
    require_lengths(math.inf, buffer_m)
    drawn = draw(places(chips), {Part.TEST: test_share, Part.VALIDATION: validation_share}, seed, "places")
    definition = (
        f"Whole places drawn with seed {seed}: test share {test_share:g}, validation share {validation_share:g}, "
        f"buffer {buffer_m:g} m."
    )
    return separate(chips, drawn, buffer_m, definition)


def named_split(
    chips: Sequence[Placed], groups: Groups, test: Sequence[str], validation: Sequence[str], kind: str
) -> Split:
    """Whole groups, such as cities, by name; those that are not named are for training.

    Chips of different groups that overlap are dropped as in `block_split`.

    Args:
        chips: All of them.
        groups: Chip keys by group.
        test: Names of the test groups.
        validation: Names of the validation groups; may be empty.
        kind: Plural noun of the groups, for the definition and the error.

    Raises:
        ConfigError: A name is unknown or given twice, there is no test group, or a part comes out empty.
    """
    named = [*test, *validation]
    unknown = sorted(set(named) - set(groups))
    if unknown or len(set(named)) < len(named) or not test:
        what = f"{unknown[0]} is none of them" if unknown else "each is named once, and test has at least one"
        raise ConfigError(f"the {kind} of this data set are {', '.join(sorted(groups))}; {what}: correct data.split.")
    if len(named) == len(groups):
        raise ConfigError(f"all {kind} are for test or validation; leave some for training.")
    parts = {key: Part.TEST for name in test for key in groups[name]}
    parts |= {key: Part.VALIDATION for name in validation for key in groups[name]}
    definition = (
        f"Whole {kind}: test {', '.join(test)}; validation {', '.join(validation) or 'none'}; train the others."
    )
    return separate(chips, parts, 0.0, definition)


def subfolder_split(
    train: Sequence[Placed], test: Sequence[Placed], validation_share: float, seed: int, buffer_m: float = 0.0
) -> Split:
    """The publisher's test folder as it is; validation is drawn from the places of the training folder.

    Training chips that overlap test ground, or lie closer to it than the buffer, are dropped; without georeference,
    those whose place is also in the test folder.

    Raises:
        ConfigError: The share or the buffer is out of range, or a part comes out empty.
    """
    require_lengths(math.inf, buffer_m)
    if not (train and test):
        raise ConfigError("the training or the test folder holds no chips; check both folders.")
    tested = {chip.place for chip in test}
    shared = tuple(chip.key for chip in train if chip.bounds is None and chip.place in tested)
    rest = [chip for chip in train if chip.key not in set(shared)]
    if not rest:
        raise ConfigError("every training chip shares its place with a test chip; correct the places or the folders.")
    tests = {chip.key: Part.TEST for chip in test}
    definition = f"Test folder as published, buffer {buffer_m:g} m."
    apart = separate([*rest, *test], tests, buffer_m, definition)
    drops = dropped_for("train chips whose place is also in test", shared) + apart.dropped
    split = Split(apart.train, (), apart.test, drops, definition)
    return hold_out(split, train, validation_share, seed, buffer_m=buffer_m) if validation_share else split


def hold_out(
    split: Split,
    chips: Sequence[Placed],
    share: float,
    seed: int,
    block_m: float | None = None,
    buffer_m: float = 0.0,
) -> Split:
    """Move part of the training chips into a validation part of its own, and drop training chips too near to it.

    Args:
        split: A split without validation.
        chips: At least its training chips.
        share: Share of the training chips, met to within half a group.
        seed: Same seed, same chips: same validation.
        block_m: Draw square blocks of this side instead of places. Where chips of neighbouring places overlap (SpaceNet
            6), blocks keep validation compact, so that fewer training chips are lost at its edges.
        buffer_m: Smallest distance in metres between validation and training ground; 0 lets chips touch.

    Raises:
        ConfigError: The split has a validation part, a value is out of range, or a part comes out empty.
        InputError: The split names chips that are not given; a chip to put into blocks has no georeference.
    """
    train = _to_divide(split, chips, buffer_m, math.inf if block_m is None else block_m)
    groups, kind = (places(train), "places") if block_m is None else (blocks(train, block_m), "blocks")
    drawn = draw(groups, {Part.VALIDATION: share}, seed, kind)
    size = "" if block_m is None else f" of {block_m:g} m"
    how = f"{kind}{size} drawn from train with seed {seed}, share {share:g}"
    return _with_validation(split, separate(train, drawn, buffer_m, how), buffer_m)


def hold_out_side(
    split: Split, chips: Sequence[Placed], share: float, bearing_deg: float, buffer_m: float = 0.0
) -> Split:
    """Move the outermost training chips of one side into a validation part, and drop those that touch its ground.

    Cheapest where chips overlap their neighbours: of SpaceNet 6 east (2351 tiles, share 0.12) the northern side costs
    67 tiles, blocks of 1350 m cost 488 to 812, single places over 1100.

    Args:
        split: A split without validation.
        chips: At least its training chips, all georeferenced.
        share: Share of the training chips.
        bearing_deg: Which side: 0 north, 90 east, 180 south, 270 west, or anything between.
        buffer_m: Smallest distance in metres between validation and training ground; 0 lets chips touch.

    Raises:
        ConfigError: The split has a validation part, a value is out of range, or a part comes out empty.
        InputError: The split names chips that are not given; a chip has no georeference.
    """
    train = _to_divide(split, chips, buffer_m)
    if not 0 < share < 1:
        raise ConfigError(f"the validation share must lie between 0 and 1, got {share:g}.")
    bearing = math.radians(bearing_deg)
    outward = centres(train) @ np.array([math.sin(bearing), math.cos(bearing)])
    limit = np.quantile(outward, 1 - share)
    held = {chip.key: Part.VALIDATION for chip, reach in zip(train, outward, strict=True) if reach >= limit}
    how = f"the outermost {share:g} of train at bearing {bearing_deg:g} degrees"
    return _with_validation(split, separate(train, held, buffer_m, how), buffer_m)


def _to_divide(split: Split, chips: Sequence[Placed], buffer_m: float, block_m: float = math.inf) -> tuple[Placed, ...]:
    """The training chips of a split without validation."""
    if split.validation:
        raise ConfigError("the split already has validation chips; hold out from one that has none.")
    require_lengths(block_m, buffer_m)
    return choose(chips, split.train)


def _with_validation(split: Split, held: Split, buffer_m: float) -> Split:
    """The split with its training part replaced by the two parts of `held`."""
    definition = f"{split.definition} Validation: {held.definition}, buffer {buffer_m:g} m.".strip()
    return Split(held.train, held.validation, split.test, split.dropped + held.dropped, definition)
