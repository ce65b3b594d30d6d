"""The grids of many chips, and all that is wrong with their headers at once."""

from __future__ import annotations

from collections.abc import Sequence

from overcast.data.chips import Chip, check_chip
from overcast.errors import InputError, RadiometryError
from overcast.raster.georeference import Georeference
from overcast.raster.pixel_size import require_pixels
from overcast.raster.radiometry import Radiometry

LISTED_FAULTS = 5
"""How many chips an error lists."""


def checked_grids(chips: Sequence[Chip], radiometry: Radiometry) -> list[Georeference]:
    """Grids of chips. Raises an error that names what is wrong with all of them, or with the first few."""
    grids: list[Georeference] = []
    faults: list[InputError | RadiometryError] = []
    for chip in chips:
        try:
            grids.append(check_chip(chip, radiometry))
            require_pixels(grids[-1], radiometry.sar.gsd_m, str(chip.first_file))
        except (InputError, RadiometryError) as error:
            faults.append(error)
    if len(faults) > 1:
        listed = "; ".join(str(fault).rstrip(".") for fault in faults[:LISTED_FAULTS])
        more = f"; and {len(faults) - LISTED_FAULTS} more" if len(faults) > LISTED_FAULTS else ""
        raise type(faults[0])(f"{len(faults)} of {len(chips)} chips cannot be used: {listed}{more}.") from faults[0]
    if faults:
        raise faults[0]
    return grids
