"""Do the values look like what they are said to be? Samples are looked at before the first pixel is written."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from overcast.data.units import Unit
from overcast.errors import RadiometryError
from overcast.prepare.convert import shift_db, squared
from overcast.prepare.options import Level
from overcast.prepare.plan import Plan
from overcast.prepare.render import sample_blocks, samples
from overcast.prepare.source import BandReader

ZERO_SHARE = 0.001
"""Share of values that are exactly 0 from which on 0 is suspected to mean 'no data'."""
NEGATIVE_POWER_SHARE = 0.2
"""Share of power below 0 that the subtraction of noise may leave."""
DB_RANGE = (-100.0, 100.0)
LINEAR_SPREAD = 5.0
"""Values from 0 to this are linear rather than decibels."""
LEVEL_DEVIATIONS = 2.0
"""Distance of a scene's mean from that of the training data, in its deviations, that is refused."""

_AS_STATED = "or --accept-values if they are as stated"


def check_values(plan: Plan) -> None:
    """Raise RadiometryError where a sample of a band does not look like its stated unit, or hides a nodata value."""
    if plan.options.accept_values:
        return
    for band in plan.bands:
        values = _sample(band.reader)
        if not values.size:
            continue
        reason = _hidden_nodata(values, band.conversion.source) or _implausible(values, band.conversion.source)
        passed_on = band.conversion.target is Unit.DIGITAL_NUMBER
        if reason is not None and not passed_on:
            raise RadiometryError(f"{band.reader.band.label}: {reason}.")


def _sample(reader: BandReader) -> NDArray[np.float64]:
    """(N,) values with data; of complex ones the magnitude."""
    parts = []
    for window in samples(reader.grid):
        values, valid = reader.read(window)
        kept = values[valid]
        parts.append(np.sqrt(squared(kept)) if np.iscomplexobj(kept) else kept.astype(np.float64))
    return np.concatenate(parts)


def _hidden_nodata(values: NDArray[np.float64], unit: Unit) -> str | None:
    """A value that stands for 'no data' without being declared."""
    zeros = np.count_nonzero(values == 0) / values.size
    if zeros > ZERO_SHARE:
        return (
            f"{zeros:.1%} of its values are exactly 0, which is hardly a measurement; give --nodata 0 if it means no "
            f"data, {_AS_STATED}"
        )
    least = values.min()
    repeated = np.count_nonzero(values == least) > 1
    below = DB_RANGE[0] if unit is Unit.DECIBEL else 0.0
    if repeated and least < below and np.all(values[values < below] == least):
        return f"{least:g} cannot be {unit.value}; give --nodata={least:g} if it means no data, {_AS_STATED}"
    return None


def _implausible(values: NDArray[np.float64], unit: Unit) -> str | None:
    low, high = np.percentile(values, [1, 99])
    negative = np.count_nonzero(values < 0) / values.size
    found = f"values from {low:.4g} to {high:.4g} (1 to 99 %)"
    match unit:
        case Unit.DECIBEL if low < DB_RANGE[0] or high > DB_RANGE[1]:
            return f"{found} are no dB; correct --unit, {_AS_STATED}"
        case Unit.DECIBEL if values.min() >= 0 and high < LINEAR_SPREAD:
            return f"{found}, none below 0, look linear, not like dB; correct --unit, {_AS_STATED}"
        case Unit.AMPLITUDE | Unit.DIGITAL_NUMBER if negative > 0:
            return f"{negative:.1%} of its values are below 0, which {unit.value} never is; correct --unit or --nodata"
        case Unit.LINEAR_POWER if negative > NEGATIVE_POWER_SHARE:
            return f"{negative:.1%} of its values are below 0, too many for power; correct --unit, {_AS_STATED}"
        case Unit.DIGITAL_NUMBER if np.count_nonzero(values != np.round(values)) > 0.01 * values.size:
            return f"{found} are no whole numbers, so no digital numbers; give --unit amplitude, {_AS_STATED}"
        case _:
            return None


def levels(plan: Plan) -> NDArray[np.float64] | None:
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


def at_level(plan: Plan) -> Plan:
    """The plan, its bands shifted where the user wants that.

    Raises RadiometryError where the scene is much brighter or darker than the training data and nobody said what to do.
    """
    found, wanted = levels(plan), plan.model.statistics
    if found is None or wanted is None or plan.options.level is Level.KEEP:
        return plan
    if plan.options.level is Level.MATCH:
        if plan.sensor.unit is Unit.DIGITAL_NUMBER:
            raise RadiometryError(f"{plan.scene}: digital numbers of unknown power have no level; leave out --level.")
        shifts = [shift_db(mean, goal, plan.sensor.unit) for mean, goal in zip(found, wanted.mean, strict=True)]
        bands = tuple(band.brighter(shift) for band, shift in zip(plan.bands, shifts, strict=True))
        return replace(plan, bands=bands)
    off = (found - np.asarray(wanted.mean)) / np.asarray(wanted.std)
    worst = int(np.argmax(np.abs(off)))
    if abs(off[worst]) > LEVEL_DEVIATIONS:
        unit = plan.sensor.unit.value
        raise RadiometryError(
            f"{plan.scene}: {plan.bands[worst].name} has a mean of {found[worst]:.4g} {unit}, but model "
            f"{plan.model.name} was trained on {wanted.mean[worst]:.4g} ({abs(off[worst]):.1f} deviations away); "
            "correct --unit or the calibration, shift it with --level match, or go on with --level keep."
        )
    return plan
