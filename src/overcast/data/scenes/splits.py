"""Splits of scenes: whole places, blocks of ground, or polygons; only labelled ground is validated and tested on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import shapely

from overcast.data.chips import Chip
from overcast.data.splits.groups import Groups, blocks, draw, places
from overcast.data.splits.parts import Drop, Part, Split, dropped_for, require_lengths, separate
from overcast.errors import ConfigError, InputError
from overcast.raster.vectors import read_shapes

UNLABELLED = "tiles without labels in validation or test ground"
"""Why such tiles are in no part."""
INSIDE = 1 - 1e-6
"""Share of a tile's ground within a polygon from which on it lies inside."""


def scene_blocks(
    chips: Sequence[Chip], block_m: float, test_share: float, validation_share: float, buffer_m: float, seed: int
) -> Split:
    """Square blocks of ground drawn by a seed among those with labels; all other ground is for training.

    As `overcast.data.splits.by_ground.block_split`, but shares count the tiles that can be scored: with labels and SAR.

    Raises:
        ConfigError: A share, block or buffer is out of range, or a part comes out empty.
    """
    require_lengths(block_m, buffer_m)
    definition = (
        f"Square blocks of {block_m:g} m drawn with seed {seed} from labelled ground: test share {test_share:g}, "
        f"validation share {validation_share:g}, buffer {buffer_m:g} m."
    )
    shares = {Part.TEST: test_share, Part.VALIDATION: validation_share}
    return _drawn(chips, blocks(chips, block_m), shares, (buffer_m, seed, "blocks"), definition)


def by_block(chips: Sequence[Chip], block_m: float) -> tuple[Chip, ...]:
    """The chips with their block as their place, the unit that confidence intervals resample."""
    names = {key: name for name, keys in blocks(chips, block_m).items() for key in keys}
    return tuple(replace(chip, place=f"{chip.place} {names[chip.key]}") for chip in chips)


def scene_places(
    chips: Sequence[Chip], test_share: float, validation_share: float, buffer_m: float, seed: int
) -> Split:
    """Whole places drawn by a seed among those with labels; all others are for training.

    Raises as `scene_blocks`.
    """
    require_lengths(1.0, buffer_m)
    definition = (
        f"Whole places drawn with seed {seed} from those with labels: test share {test_share:g}, validation share "
        f"{validation_share:g}, buffer {buffer_m:g} m."
    )
    shares = {Part.TEST: test_share, Part.VALIDATION: validation_share}
    return _drawn(chips, places(chips), shares, (buffer_m, seed, "places"), definition)


def _drawn(
    chips: Sequence[Chip],
    groups: Groups,
    shares: Mapping[Part, float],
    how: tuple[float, int, str],
    definition: str,
) -> Split:
    buffer_m, seed, kind = how
    scored = {chip.key for chip in chips if can_be_scored(chip)}
    counted = {name: [key for key in keys if key in scored] for name, keys in groups.items()}
    held = draw({name: keys for name, keys in counted.items() if keys}, shares, seed, f"labelled {kind}")
    part_of = {name: held[keys[0]] for name, keys in counted.items() if keys and keys[0] in held}
    parts = {key: part for name, part in part_of.items() for key in groups[name]}
    return _separated(chips, parts, buffer_m, definition)


def scene_polygons(chips: Sequence[Chip], test: Path, validation: Path, buffer_m: float) -> Split:
    """Tiles inside of given polygons; those that a border of one crosses are in no part.

    Args:
        chips: Tiles, their bounds in one coordinate system.
        test: Vector file with the test ground.
        validation: Vector file with the validation ground.
        buffer_m: Smallest distance in metres between the parts.

    Raises:
        ConfigError: The polygons of both files overlap, or a part comes out empty.
        InputError: A file cannot be read or has no coordinate reference system.
    """
    require_lengths(1.0, buffer_m)
    bounds = [chip.bounds for chip in chips if chip.bounds is not None]
    crs = bounds[0].crs
    boxes = np.array([shapely.box(b.left, b.bottom, b.right, b.top) for b in bounds])
    grounds = {Part.TEST: _ground(test, crs), Part.VALIDATION: _ground(validation, crs)}
    if shapely.intersection(grounds[Part.TEST], grounds[Part.VALIDATION]).area > 0:
        raise ConfigError(f"the polygons of {test} and {validation} overlap; cut one of them.")
    parts: dict[str, Part] = {}
    crossed: list[str] = []
    for part, ground in grounds.items():
        shares = shapely.area(shapely.intersection(boxes, ground)) / shapely.area(boxes)
        inside = {chip.key: part for chip, share in zip(chips, shares, strict=True) if share >= INSIDE}
        if not inside:
            raise ConfigError(f"no tile lies inside of the {part} polygons; give larger ones, or smaller data.tile_px.")
        parts |= inside
        crossed += [chip.key for chip, share in zip(chips, shares, strict=True) if 0 < share < INSIDE]
    definition = f"Polygons: test {test.name}, validation {validation.name}, buffer {buffer_m:g} m."
    kept = [chip for chip in chips if chip.key not in set(crossed)]
    split = _separated(
        kept, {key: part for key, part in parts.items() if key not in set(crossed)}, buffer_m, definition
    )
    drops = dropped_for("tiles that the border of a polygon crosses", tuple(dict.fromkeys(crossed)))
    return replace(split, dropped=split.dropped + drops)


def can_be_scored(chip: Chip) -> bool:
    """True where validation and test can use a tile: with labels and a SAR image."""
    return chip.labelled and bool(chip.sar)


def _separated(chips: Sequence[Chip], parts: Mapping[str, Part], buffer_m: float, definition: str) -> Split:
    """The parts held apart; of validation and test ground only tiles that can be scored are kept."""
    split = separate(chips, parts, buffer_m, definition)
    scored = {chip.key for chip in chips if can_be_scored(chip)}
    unlabelled = tuple(key for key in (*split.validation, *split.test) if key not in scored)
    held = {part: tuple(key for key in split.keys(part) if key in scored) for part in (Part.VALIDATION, Part.TEST)}
    for part, keys in held.items():
        if not keys:
            raise ConfigError(f"no {part} tile has both labels and SAR; give that part labelled ground.")
    drops: tuple[Drop, ...] = split.dropped + dropped_for(UNLABELLED, unlabelled)
    return Split(split.train, held[Part.VALIDATION], held[Part.TEST], drops, definition)


def _ground(path: Path, crs: str) -> shapely.Geometry:
    table = read_shapes(path)
    if table.crs is None:
        raise InputError(f"{path} has no coordinate reference system; assign it with ogr2ogr -a_srs EPSG:<code>.")
    return shapely.union_all(shapely.make_valid(np.asarray(table.geometry.to_crs(crs))))
