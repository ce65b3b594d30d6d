"""The pixel size that a file has against the one that its description declares."""

from __future__ import annotations

from overcast.data.chips import Chip
from overcast.data.georeference import Georeference, is_metric
from overcast.data.radiometry import GSD_TOLERANCE, Radiometry
from overcast.errors import RadiometryError


def require_gsd(chip: Chip, grid: Georeference, radiometry: Radiometry) -> None:
    """Raise RadiometryError where the file says another pixel size than the description."""
    declared = radiometry.sar.gsd_m
    if grid.crs is not None and is_metric(grid.crs) and abs(grid.gsd_m / declared - 1) > GSD_TOLERANCE:
        raise RadiometryError(
            f"{(*chip.sar, *chip.optical)[0]} has pixels of {grid.gsd_m:g} m, but gsd_m is declared as {declared:g}; "
            "correct one of them."
        )
