"""A radar image whose values are looked at before and while it is read: by a sample, and by each tile."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from overcast.errors import RadiometryError
from overcast.raster.files import is_photograph
from overcast.raster.georeference import Georeference
from overcast.raster.grid import Window
from overcast.raster.plausible import Advice, doubt, fill_reason, photograph, same_pixels, sample_windows
from overcast.raster.radiometry import SensorRadiometry
from overcast.raster.sources import Pixels, RasterioSource, RasterSource


class CheckedSource:
    """A source whose tiles must not hold values that stand for 'no data' without being declared."""

    def __init__(self, source: RasterSource, sensor: SensorRadiometry, name: str, advice: Advice) -> None:
        """Read from `source`; errors begin with `name`."""
        self._source, self._sensor, self._name, self._advice = source, sensor, name, advice

    @property
    def georeference(self) -> Georeference:
        """Grid size and place."""
        return self._source.georeference

    @property
    def band_count(self) -> int:
        """Number of bands."""
        return self._source.band_count

    def read(self, window: Window) -> Pixels:
        """Pixels of a window. Raises RadiometryError where a value that is no measurement occurs again and again."""
        pixels = self._source.read(window)
        require_no_fill(pixels.values, self._sensor, self._name, self._advice)
        return pixels


def require_no_fill(values: NDArray[np.generic], sensor: SensorRadiometry, name: str, advice: Advice) -> None:
    """Raise RadiometryError where values (C, ...) hold one that stands for 'no data'; those without data are 0."""
    if sensor.accept_values or not values.size:
        return
    if fill_reason(values, sensor.unit, advice) is not None:  # all bands at once: two passes where there is nothing
        for index, (band, found) in enumerate(zip(sensor.bands, values, strict=True)):
            reason = fill_reason(found, sensor.unit, advice.of_band(index))
            if reason is not None:
                raise RadiometryError(f"{name}: {band}: {reason}.")


def require_plausible(
    source: RasterioSource, sensor: SensorRadiometry, name: str, advice: Advice
) -> NDArray[np.float32] | None:
    """The sample (C, N) that was looked at, None where the values are accepted as they are.

    A sample are small windows spread over the image, all of a small one, and an overview where the files have them.
    Raises RadiometryError where it does not look like what a radar image is declared to be.
    """
    if sensor.accept_values:
        return None
    values, advice = sample(source), replace(advice, scaling=source.scaling)
    reason = doubt_of_sample(values, sensor, advice, coloured=any(map(is_photograph, source.datasets)))
    if reason is not None:
        raise RadiometryError(f"{name}: {reason}.")
    return values


def sample(source: RasterioSource) -> NDArray[np.float32]:
    """(C, N) values with data in every band, in the declared unit."""
    blocks = [source.read(window) for window in sample_windows(source.georeference)]
    whole = source.overview()
    blocks += [] if whole is None else [whole]
    return np.concatenate([block.values[:, block.valid] for block in blocks], axis=1)


def doubt_of_sample(
    values: NDArray[np.float32], sensor: SensorRadiometry, advice: Advice, *, coloured: bool
) -> str | None:
    """Why values (C, N) can hardly be what a radar's declaration says; None where they may be.

    `coloured`: a file calls its bands red, green and blue.
    """
    if coloured and photograph(values, sensor.unit):
        return (
            "three 8-bit bands that call themselves red, green and blue are a colour photograph, not a radar image; "
            f"give the radar's file, name its bands in it, {advice.accept}"
        )
    for index, (band, found) in enumerate(zip(sensor.bands, values, strict=True)):
        reason = doubt(found, sensor.unit, advice.of_band(index))
        if reason is not None:
            return f"{band}: {reason}"
    return same_pixels(sensor.bands, list(values))
