"""Radar sides of single chips: a table that says which ones are turned by 180 degrees on reading."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from overcast.data.units import RadarSide
from overcast.errors import InputError
from overcast.reading import quoted, read_table, shortened

COLUMNS = ("key", "radar_side")
LISTED_NAMES = 5
"""How many chip names an error lists."""


def read_orientations(path: Path, names: Collection[str], declared: RadarSide) -> frozenset[str]:
    """The chips that are turned by 180 degrees to be seen from the `declared` side.

    Args:
        path: CSV with the columns key,radar_side.
        names: Chips that the table must hold; rows of others are left alone.
        declared: Side from which every chip is to be seen.

    Raises:
        InputError: The file is missing or no such table, a chip is missing or named twice, or a chip was seen from a
            side that a turn by 180 degrees does not bring to the declared one.
    """
    looks = _read(path)
    missing = sorted(set(names) - set(looks))
    if missing:
        listed = ", ".join(missing[:LISTED_NAMES]) + (", ..." if len(missing) > LISTED_NAMES else "")
        raise InputError(f"{path} lacks {len(missing)} chips ({listed}); add a row key,radar_side for each.")
    for name in names:
        if looks[name] not in (declared, declared.opposite):
            raise InputError(
                f"{path}: {name} was seen from the {looks[name]}, which no turn by 180 degrees brings to the declared "
                f"{declared}; leave the chip out, or make a data set of its own for that side."
            )
    return frozenset(name for name in names if looks[name] is declared.opposite)


def write_orientations(path: Path, looks: Mapping[str, RadarSide]) -> None:
    """Write the table, sorted by key."""
    rows = [",".join(COLUMNS), *(f"{name},{look.value}" for name, look in sorted(looks.items()))]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def _read(path: Path) -> dict[str, RadarSide]:
    if not path.is_file():
        raise InputError(f"{path} does not exist; write it with the columns {','.join(COLUMNS)} or leave the key out.")
    looks: dict[str, RadarSide] = {}
    for row in read_table(path, InputError, COLUMNS, "name them in its first line"):
        name, look = row["key"], row["radar_side"]
        if name in looks:
            raise InputError(f"{path} names {shortened(name, 60)} twice, again in line {row.line}; keep one row.")
        if look not in set(RadarSide):
            known = ", ".join(RadarSide)
            raise InputError(f"{path} line {row.line}: {quoted(look)} is no radar side; choose from {known}.")
        looks[name] = RadarSide(look)
    return looks
