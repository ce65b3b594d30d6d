"""Radar sides of single chips: which ones are turned on reading, so that the network sees all from one side."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from overcast.atomic import write_atomic
from overcast.data.chips import Chip
from overcast.errors import InputError, RadiometryError
from overcast.raster.compass import radar_azimuth, radar_edge, turn_to
from overcast.raster.georeference import Georeference
from overcast.raster.radiometry import SensorRadiometry
from overcast.raster.units import RadarSide
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


def oriented(
    chips: Sequence[Chip], grids: Sequence[Georeference], sensor: SensorRadiometry
) -> tuple[tuple[Chip, ...], SensorRadiometry]:
    """Chips as a network is to see them, and the sensor with the radar's edge of these images as its side.

    The radar stood on a side of the compass; on which edge of an image that is, its geotransform says. Without
    georeference up counts as north.

    Args:
        chips: Those with `rotate_180` were seen from the side opposite to the declared one.
        grids: Of their files.
        sensor: What is declared of all.

    Raises RadiometryError where an image lies between two sides, or no half turn brings the radar to the edge on which
    it stands in the first image.
    """
    stood = radar_azimuth(sensor)
    wanted = None if stood is None else radar_edge(grids[0], stood, str(chips[0].first_file))
    found = []
    for chip, grid in zip(chips, grids, strict=True):
        edge = None
        if stood is not None:
            edge = radar_edge(grid, (stood + 180.0 * chip.rotate_180) % 360.0, str(chip.first_file))
        if edge not in {wanted, wanted and wanted.opposite}:
            raise RadiometryError(
                f"{chip.first_file} shows the radar at its {edge} edge and {chips[0].first_file} at its {wanted} edge "
                "(called as if up were north), which no half turn brings together; make a data set of its own for each."
            )
        turn = turn_to(grid, edge, wanted)
        found.append(replace(chip, rotate_180=turn.cols, mirrored=turn.rows != turn.cols))
    return tuple(found), sensor.model_copy(update={"radar_side": wanted, "radar_azimuth_deg": None})


def write_orientations(path: Path, looks: Mapping[str, RadarSide]) -> None:
    """Write the table, sorted by key."""
    rows = [",".join(COLUMNS), *(f"{name},{look.value}" for name, look in sorted(looks.items()))]
    write_atomic(path, "\n".join(rows) + "\n")


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
            raise InputError(f"{path} line {row.line}: {quoted(look)} is not a radar side; choose from {known}.")
        looks[name] = RadarSide(look)
    return looks
