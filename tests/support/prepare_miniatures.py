"""Scenes in the forms that users have them in, made on the fly: one brightness, many files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from torch import nn

from overcast.batch import Modality
from overcast.raster.radiometry import BandStatistics, RadarSide, SensorRadiometry, Unit
from overcast.scenes.model import SceneModel

BANDS = ("HH", "HV", "VH", "VV")
NORTH_UP = Affine(1, 0, 593000, 0, -1, 5750000)
UTM31 = "EPSG:32631"


def model(unit: Unit = Unit.DECIBEL, look: RadarSide | None = RadarSide.NORTH, **changes: Any) -> SceneModel:
    """A model of four polarisations at 1 m, 20 dB bright."""
    level = {Unit.DECIBEL: (20.0, 8.0), Unit.AMPLITUDE: (10.0, 8.0), Unit.LINEAR_POWER: (200.0, 400.0)}.get(
        unit, (9, 9)
    )
    sensor = SensorRadiometry(bands=BANDS, unit=unit, gsd_m=1.0, radar_side=look).model_copy(update=changes)
    count = len(sensor.bands)
    statistics = BandStatistics(mean=(level[0],) * count, std=(level[1],) * count)
    return SceneModel(nn.Identity(), sensor, statistics, Modality.SAR, "building", "tiny", "ab" * 32, "CC0-1.0")


def power(height: int = 90, width: int = 110, seed: int = 0) -> np.ndarray:
    """(4, H, W) power of speckle around 20 dB with bright blocks; each band has a level of its own."""
    rng = np.random.default_rng(seed)
    mean = 100 * 10 ** (np.arange(4)[:, None, None] / 10) * np.ones((4, height, width))
    for row, col in rng.integers(0, 70, (6, 2)):
        mean[:, row : row + 12, col : col + 16] *= 20
    return mean * rng.gamma(4, 0.25, mean.shape)


def in_db(values: np.ndarray) -> np.ndarray:
    return 10 * np.log10(values)


def write(path: Path, values: np.ndarray, *, names: tuple[str, ...] = (), tags: Any = None, **profile: Any) -> Path:
    """(C, H, W) values as GeoTIFF, at 1 m north up in UTM unless told otherwise."""
    profile = {"crs": UTM31, "transform": NORTH_UP, "dtype": values.dtype, **profile}
    scales, units = profile.pop("scales", None), profile.pop("units", None)
    count, height, width = values.shape
    with rasterio.open(path, "w", driver="GTiff", count=count, height=height, width=width, **profile) as dataset:
        dataset.write(values)
        if names:
            dataset.descriptions = names
        if scales:
            dataset.scales = scales
        if units:
            dataset.units = units
        dataset.update_tags(**(tags or {}))
    return path


def read(path: Path) -> np.ndarray:
    """(C, H, W)"""
    with rasterio.open(path) as dataset:
        return dataset.read()
