"""Band statistics of a training set, in one pass over its files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overcast.batch import Modality
from overcast.data.chips import Chip, InvalidMask, without_invalid
from overcast.data.place_levels import PlaceLevels
from overcast.errors import InputError
from overcast.raster.checked import require_no_fill
from overcast.raster.plausible import DATASET
from overcast.raster.radiometry import BandStatistics, Radiometry, SensorRadiometry, Statistics
from overcast.raster.sources import NativePixels, RasterioSource

LARGEST_SAMPLE = 256
"""Tiles of scenes that are read for each sensor."""


@dataclass
class RunningMoments:
    """Count, mean and sum of squared deviations per band, merged chunk by chunk in float64 (Chan et al. 1979)."""

    bands: int
    count: int = 0
    mean: NDArray[np.float64] = field(init=False)
    squares: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.mean, self.squares = np.zeros(self.bands), np.zeros(self.bands)

    def add(self, values: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        """Take in the valid pixels of (C, h, w) values."""
        count = int(np.count_nonzero(valid))
        if not count:
            return
        chosen = values.reshape(len(values), -1) if count == valid.size else np.stack([band[valid] for band in values])
        pixels = chosen.astype(np.float64)
        mean = pixels.mean(axis=1)
        pixels -= mean[:, None]
        squares = np.einsum("cp,cp->c", pixels, pixels)
        total = self.count + count
        step = mean - self.mean
        self.squares += squares + step**2 * (self.count * count / total)
        self.mean += step * (count / total)
        self.count = total

    @property
    def std(self) -> NDArray[np.float64]:
        """Standard deviation of the pixels taken in, in their unit. Undefined (NaN) before the first."""
        if not self.count:
            return np.full(self.bands, np.nan)
        return np.sqrt(self.squares / self.count)


def compute_statistics(
    chips: Sequence[Chip],
    radiometry: Radiometry,
    progress: Callable[[int, int], None] | None = None,
    levels: PlaceLevels | None = None,
) -> Statistics:
    """Mean and standard deviation of each band over the valid pixels of the chips, one chip in memory at a time.

    Of scenes at most `LARGEST_SAMPLE` tiles of each sensor are read, spread evenly over the training ground.

    Args:
        chips: Training chips only: statistics over test chips would leak.
        radiometry: Sensors to read; without an optical one no optical file is opened.
        progress: Called with the number of chips done and their total.
        levels: Of the chips' scenes, where radar images are standardised by themselves. Mean 0 and deviation 1 are then
            taken for them, whatever the chips are: a model and one that starts from it mean the same by a value.

    Raises:
        InputError: A file cannot be used, no pixel is valid, or a band has one value throughout.
        RadiometryError: A chip holds a value that stands for 'no data' without being declared.
    """
    sar = RunningMoments(len(radiometry.sar.bands))
    optical = RunningMoments(len(radiometry.optical.bands)) if radiometry.optical else None
    chips = _bounded(chips)
    for done, chip in enumerate(chips, start=1):
        for moments, image in zip((sar, optical), _images(chip, radiometry), strict=True):
            if moments is not None and image is not None:
                level = levels.of(chip) if levels is not None and moments is sar else None
                values = image.values if level is None else level.apply(image.values, image.valid)
                moments.add(values, image.valid)
        if progress:
            progress(done, len(chips))
    return Statistics(
        sar=_finish(sar, radiometry.sar, "SAR") if levels is None else _by_themselves(sar, radiometry.sar),
        optical=_finish(optical, radiometry.optical, "optical") if optical and radiometry.optical else None,
    )


def _bounded(chips: Sequence[Chip]) -> Sequence[Chip]:
    """The chips that are read: all of them, but of scenes an even choice."""
    tiles = [chip for chip in chips if chip.scene is not None]
    chosen: set[str] = {chip.key for chip in chips if chip.scene is None}
    for seen in ([tile for tile in tiles if tile.sar], [tile for tile in tiles if tile.optical]):
        chosen |= {tile.key for tile in seen[:: max(1, -(-len(seen) // LARGEST_SAMPLE))]}
    return [chip for chip in chips if chip.key in chosen]


def _images(chip: Chip, radiometry: Radiometry) -> tuple[NativePixels | None, NativePixels | None]:
    """The radar and the optical image of a chip; None where there is none."""
    if chip.scene is not None:
        arrays = chip.scene.read(frozenset(Modality))
        return arrays.sar, arrays.optical
    sar = _read(chip.sar, radiometry.sar) if chip.sar else None
    if radiometry.optical is None or not chip.optical:
        return sar, None
    return sar, _read(chip.optical, radiometry.optical, chip.optical_invalid)


def _read(paths: tuple[Path, ...], sensor: SensorRadiometry, invalid: InvalidMask | None = None) -> NativePixels:
    with RasterioSource.open(paths, sensor) as source:
        grid = source.georeference
        native, advice = source.read_native(grid.whole), replace(DATASET, scaling=source.scaling)
    if invalid is not None:
        native = without_invalid(native, invalid, grid.whole, (paths[0], grid))
    require_no_fill(native.values, sensor, str(paths[0]), advice)
    return native


def _by_themselves(moments: RunningMoments, sensor: SensorRadiometry) -> BandStatistics:
    """Statistics of images that are standardised by themselves; refused as by `_finish`."""
    _finish(moments, sensor, "SAR")
    return BandStatistics(mean=(0.0,) * len(sensor.bands), std=(1.0,) * len(sensor.bands))


def _finish(moments: RunningMoments, sensor: SensorRadiometry, name: str) -> BandStatistics:
    if not moments.count:
        raise InputError(f"no {name} pixel of the training chips has data; check the declared nodata {sensor.nodata}.")
    constant = [band for band, std in zip(sensor.bands, moments.std, strict=True) if not std > 0]
    if constant:
        raise InputError(
            f"{name} band {', '.join(constant)} has one value in all training chips; leave it out or check the files."
        )
    return BandStatistics(mean=tuple(moments.mean.tolist()), std=tuple(moments.std.tolist()))
