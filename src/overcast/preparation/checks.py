"""Do the values look like what they are said to be? Samples are looked at before the first pixel is written."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from overcast.errors import RadiometryError
from overcast.preparation.convert import shift_db, squared
from overcast.preparation.options import Level
from overcast.preparation.plan import PreparationPlan
from overcast.preparation.render import sample_blocks
from overcast.preparation.source import BandReader
from overcast.raster.files import is_photograph
from overcast.raster.plausible import SCENE, doubt, level_doubt, photograph, same_pixels, sample_windows
from overcast.raster.units import Standardise, Unit


def check_values(plan: PreparationPlan) -> None:
    """Raise RadiometryError where a sample of a band does not look like its stated unit, or hides a nodata value."""
    if plan.options.accept_values:
        return
    found = [_sample(band.reader) for band in plan.bands]
    for band, values in zip(plan.bands, found, strict=True):
        label, dataset = band.reader.band.label, band.reader.band.dataset
        if is_photograph(dataset) and not band.reader.band.is_complex and _sees_light(plan, found):
            raise RadiometryError(
                f"{label}: three 8-bit bands that call themselves red, green and blue are a colour photograph, not a "
                "radar image; give the radar's file, or --accept-values if they are as stated."
            )
        convert = band.conversion.target is not Unit.DIGITAL_NUMBER
        advice = replace(SCENE, scaling=(band.reader.scale,))
        reason = doubt(values, band.conversion.source, advice, convert=convert)
        if reason is not None:
            raise RadiometryError(f"{label}: {reason}.")
    reason = same_pixels([band.name for band in plan.bands], found)
    if reason is not None:
        raise RadiometryError(f"{plan.scene}: {reason}.")


def _sees_light(plan: PreparationPlan, found: list[NDArray[np.float64]]) -> bool:
    unit = plan.bands[0].conversion.source
    return photograph(np.stack(found) if len({values.size for values in found}) == 1 else np.empty((0, 0)), unit)


def _sample(reader: BandReader) -> NDArray[np.float64]:
    """(N,) values with data; of complex ones the magnitude."""
    parts = []
    for window in sample_windows(reader.grid):
        values, valid = reader.read(window)
        kept = values[valid]
        parts.append(np.sqrt(squared(kept)) if np.iscomplexobj(kept) else kept.astype(np.float64))
    return np.concatenate(parts)


def levels(plan: PreparationPlan) -> NDArray[np.float64] | None:
    """(C,) means of a sample of the prepared bands, in the model's unit; None where the sample holds no data.

    Raises RadiometryError where there are data, but nowhere in all bands.
    """
    found = list(sample_blocks(plan))
    values = np.concatenate([block.values[:, block.valid] for block in found], axis=1)
    if values.shape[1]:
        return np.asarray(values.mean(axis=1, dtype=np.float64))
    each = [any(np.isfinite(block.values[index]).any() for block in found) for index in range(len(plan.bands))]
    if any(each) and not plan.options.accept_values:
        names = ", ".join(str(path) for path in plan.paths)
        raise RadiometryError(
            f"{names}: no ground is covered by all bands; give files of one scene, "
            "or --accept-values if the ground that they share is small."
        )
    return None


def at_level(plan: PreparationPlan) -> PreparationPlan:
    """The plan, its bands shifted where the user wants that.

    Scenes for a model that standardises each by itself may have any level.

    Raises RadiometryError where the scene is much brighter or darker than the training data and nobody said what to do.
    """
    if plan.model.sensor.standardise is Standardise.SCENE:
        return plan
    found, wanted = levels(plan), plan.model.statistics
    if found is None or wanted is None or plan.options.level is Level.KEEP:
        return plan
    if plan.options.level is Level.MATCH:
        if plan.sensor.unit is Unit.DIGITAL_NUMBER:
            raise RadiometryError(f"{plan.scene}: digital numbers of unknown power have no level; leave out --level.")
        shifts = [shift_db(mean, goal, plan.sensor.unit) for mean, goal in zip(found, wanted.mean, strict=True)]
        bands = tuple(band.brighter(shift) for band, shift in zip(plan.bands, shifts, strict=True))
        return replace(plan, bands=bands)
    reason = level_doubt(found, plan.model.sensor, wanted, plan.model.name)
    if reason is not None:
        raise RadiometryError(
            f"{plan.scene}: {reason}; correct --unit or the calibration, shift it with --level match, or go on with "
            "--level keep."
        )
    return plan
