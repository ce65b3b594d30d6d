"""What the pixels of a data set hold: looked at before a training begins, where mistakes cost minutes, not hours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overcast.batch import IGNORE_LABEL, Modality
from overcast.data.catalog import Catalog
from overcast.data.catalogs.layout import some
from overcast.data.chips import Chip, ChipArrays, read_chip
from overcast.errors import InputError, RadiometryError
from overcast.raster.checked import doubt_of_sample
from overcast.raster.files import is_photograph, open_raster
from overcast.raster.plausible import DATASET, fill_reason, unit_doubt
from overcast.raster.radiometry import SensorRadiometry
from overcast.raster.sources import RasterioSource
from overcast.raster.units import Unit

SAMPLE_CHIPS = 64
"""Chips that are looked at where not all are asked for."""
KEPT_PIXELS = 4096
"""Pixels of each chip that the unit of all chips is judged by."""
LISTED_PROBLEMS = 5
"""How many problems an error lists."""


@dataclass(frozen=True)
class Content:
    """What was found in the pixels of some chips."""

    looked_at: int
    problems: tuple[str, ...]
    """Why the data set cannot be used as it is declared, one sentence each without full stop."""
    notes: tuple[str, ...]
    """What a user should know: chips without data, without the class, or in another coordinate system."""

    @property
    def listed(self) -> str:
        """The first problems on one line."""
        more = len(self.problems) - LISTED_PROBLEMS
        return "; ".join(self.problems[:LISTED_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")


def spread(chips: Sequence[Chip], count: int = SAMPLE_CHIPS) -> tuple[Chip, ...]:
    """At most `count` chips, spread evenly over all of them."""
    places = np.unique(np.linspace(0, len(chips) - 1, min(count, len(chips))).astype(int)) if chips else ()
    return tuple(chips[index] for index in places)


def look_at(catalog: Catalog, chips: Sequence[Chip], progress: Callable[[int, int], None] | None = None) -> Content:
    """Read all pixels of some chips and say what training would stumble over; nothing is raised.

    `progress` is called with the number of chips done and their total.
    """
    seen = _Seen(catalog)
    for done, chip in enumerate(chips, start=1):
        seen.add(chip)
        if progress:
            progress(done, len(chips))
    return Content(len(chips), tuple(seen.problems()), tuple(seen.notes()))


def require_usable(catalog: Catalog, chips: Sequence[Chip]) -> None:
    """Raise InputError, which names the problems, where a sample of the chips cannot be used as it is declared."""
    content = look_at(catalog, spread(chips, SAMPLE_CHIPS // 2))
    if content.problems:
        raise InputError(f"the data set {catalog.name} cannot be used: {content.listed}.")


class _Seen:
    """Collects what chips hold."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._modalities = {Modality.SAR} | ({Modality.OPTICAL} if catalog.radiometry.optical else set())
        self._faults: list[str] = []
        self._pixels: list[NDArray[np.float32]] = []
        self._scaling: tuple[tuple[float, float], ...] = ()
        self._other_units: list[str] = []
        self._coloured = False
        self._empty: list[str] = []
        self._unlabelled: list[str] = []
        self._labelled = self._with_class = self._full = 0

    def add(self, chip: Chip) -> None:
        """Look at a chip."""
        try:
            arrays = read_chip(chip, self._catalog.radiometry, self._catalog.label, self._modalities)
        except (InputError, RadiometryError) as error:
            self._faults.append(str(error).rstrip("."))
            return
        self._add_radar(chip, arrays)
        sensor = self._catalog.radiometry.optical
        if arrays.optical is not None and sensor is not None and chip.optical:
            self._add_fills(chip, chip.optical, arrays.optical.values, sensor)
        if arrays.label is not None:
            self._labelled += 1
            self._with_class += bool((arrays.label == 1).any())
            self._full += bool((arrays.label == 1).all())
            if (arrays.label == IGNORE_LABEL).all() and arrays.sar is not None and arrays.sar.valid.any():
                self._unlabelled.append(chip.key)

    def _add_radar(self, chip: Chip, arrays: ChipArrays) -> None:
        if arrays.sar is None:
            return
        values, valid = arrays.sar.values, arrays.sar.valid
        if not valid.any():
            self._empty.append(chip.key)
            return
        self._add_fills(chip, chip.sar, values, self._catalog.radiometry.sar)
        kept = values[:, valid]
        self._add_unit(chip, kept)
        self._scaling = self._scaling or _scaling(chip, chip.sar, self._catalog.radiometry.sar)
        self._pixels.append(kept[:, :: -(-kept.shape[1] // KEPT_PIXELS)].astype(np.float32))
        for path in () if self._coloured else chip.sar:
            with open_raster(path) as dataset:
                self._coloured |= is_photograph(dataset)

    def _add_unit(self, chip: Chip, values: NDArray[np.generic]) -> None:
        """A chip in another unit than the others: all together would hide it."""
        sensor = self._catalog.radiometry.sar
        numbers = sensor.accept_values or sensor.unit is Unit.DIGITAL_NUMBER
        for band, found in zip(sensor.bands, () if numbers else values, strict=not numbers):
            reason = unit_doubt(found, sensor.unit, DATASET)
            if reason is not None:
                self._other_units.append(f"{chip.sar[0]}: {band}: {reason}")
                return

    def _add_fills(
        self, chip: Chip, paths: tuple[Path, ...], values: NDArray[np.generic], sensor: SensorRadiometry
    ) -> None:
        for index, (band, found) in enumerate(zip(sensor.bands, values, strict=True)):
            if not sensor.accept_values and fill_reason(found, sensor.unit, DATASET) is not None:
                advice = replace(DATASET, scaling=_scaling(chip, paths, sensor)).of_band(index)
                self._faults.append(f"{paths[0]}: {band}: {fill_reason(found, sensor.unit, advice)}")

    def problems(self) -> list[str]:
        """Problems of single files, then of all together."""
        sensor = self._catalog.radiometry.sar
        if sensor.accept_values or not self._pixels or self._faults:
            return self._faults  # what is missing or filled would be judged again
        pixels = np.concatenate(self._pixels, axis=1)
        reason = doubt_of_sample(pixels, sensor, replace(DATASET, scaling=self._scaling), coloured=self._coloured)
        return self._other_units if reason is None else [f"the SAR images of {self._catalog.name}: {reason}"]

    def notes(self) -> list[str]:
        """What is no fault."""
        found = []
        if self._empty:
            found.append(f"{len(self._empty)} chips have no radar pixel with data ({some(self._empty)})")
        if self._unlabelled:
            found.append(
                f"{len(self._unlabelled)} chips have no pixel with a label that counts ({some(self._unlabelled)})"
            )
        if self._labelled and self._full == self._labelled:
            found.append(f"every pixel of {self._labelled} labelled chips is {self._catalog.class_name}")
        if self._labelled and not self._with_class:
            found.append(f"no pixel of {self._labelled} labelled chips is {self._catalog.class_name}")
        return found + _other_systems(self._catalog)


def _scaling(chip: Chip, paths: tuple[Path, ...], sensor: SensorRadiometry) -> tuple[tuple[float, float], ...]:
    """What the files of an image declare for its bands; nothing of a part of a scene."""
    if chip.scene is not None:
        return ()
    with RasterioSource.open(paths, sensor) as source:
        return source.scaling


def _other_systems(catalog: Catalog) -> list[str]:
    systems = Counter(chip.bounds.crs for chip in catalog.chips if chip.bounds is not None)
    unplaced = [chip.key for chip in catalog.chips if chip.bounds is None]
    found = []
    for crs, count in systems.most_common()[1:]:
        most = systems.most_common(1)[0][0]
        keys = [chip.key for chip in catalog.chips if chip.bounds is not None and chip.bounds.crs == crs]
        found.append(
            f"{count} of {len(catalog.chips)} chips lie in {crs} ({some(keys)}), most in {most}: a "
            "split by ground compares chips of one coordinate system only"
        )
    if systems and unplaced:
        found.append(f"{len(unplaced)} of {len(catalog.chips)} chips have no georeference ({some(unplaced)})")
    return found
