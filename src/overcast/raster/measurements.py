"""Numbers of a raster that can mean no measurement, whatever is declared: by its header alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rasterio.enums import ColorInterp

from overcast.errors import InputError, RadiometryError
from overcast.raster.units import Unit


def require_measurements(path: Path, dataset: Any) -> None:
    """Raise InputError where stored numbers can mean no measurement: numbers of colours, or an impossible scale."""
    colours = dataset.colorinterp
    for index, pair in enumerate(zip(dataset.scales, dataset.offsets, strict=True), 1):
        if not all(map(math.isfinite, pair)) or pair[0] == 0:
            raise InputError(
                f"{path} declares a scale of {pair[0]:g} and an offset of {pair[1]:g} for band {index}, which leave "
                f"nothing of its values; correct them (gdal_edit.py -scale 1 -offset 0 {path})."
            )
        if colours[index - 1] is ColorInterp.palette and _is_coloured(dataset.colormap(index)):
            raise InputError(
                f"{path} is drawn in the colours of a palette, whose numbers are no measurement; give the file that "
                f"it was drawn from (if the numbers are measured: gdal_translate -expand gray {path} plain.tif)."
            )


def _is_coloured(palette: Mapping[int, tuple[int, int, int, int]]) -> bool:
    return any(len({*colour[:3], number}) > 1 for number, colour in palette.items())


def refuse_complex(path: Path, dataset: Any) -> None:
    """Raise InputError for single-look complex values."""
    if any(dtype.startswith("complex") for dtype in dataset.dtypes):
        raise InputError(
            f"{path} holds complex values (single-look complex); take the amplitude first, for example: "
            f"gdal_calc.py -A {path} --calc='abs(A)' --type=Float32 --outfile={path.stem}_amplitude.tif"
        )


def refuse_scaled_numbers(path: Path, dataset: Any, unit: Unit) -> None:
    """Raise RadiometryError where digital numbers are declared, but the file declares a scale for its values."""
    scaled = [pair for pair in zip(dataset.scales, dataset.offsets, strict=True) if pair != (1.0, 0.0)]
    if scaled and unit is Unit.DIGITAL_NUMBER:
        raise RadiometryError(
            f"{path} declares a scale of {scaled[0][0]:g} and an offset of {scaled[0][1]:g}, so its values are no "
            "digital numbers; declare the unit that they have with them, or take them out "
            f"(gdal_edit.py -scale 1 -offset 0 {path})."
        )
