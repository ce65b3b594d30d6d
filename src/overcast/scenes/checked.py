"""Scenes of radar are looked at before they are mapped, and tile by tile while they are."""

from __future__ import annotations

from overcast.batch import Modality
from overcast.raster.checked import CheckedSource, require_plausible
from overcast.raster.plausible import SCENE
from overcast.raster.radiometry import SensorRadiometry
from overcast.raster.sources import RasterioSource, RasterSource


def checked(source: RasterioSource, sensor: SensorRadiometry, modality: Modality, name: str) -> RasterSource:
    """The scene, its tiles checked as they are read. Raises RadiometryError where a sample looks implausible now."""
    if modality is Modality.SAR:
        require_plausible(source, sensor, name, SCENE)
    return tile_checked(source, sensor, modality, name)


def tile_checked(source: RasterSource, sensor: SensorRadiometry, modality: Modality, name: str) -> RasterSource:
    """The scene, its tiles checked as they are read; an optical one as it is."""
    return CheckedSource(source, sensor, name, SCENE) if modality is Modality.SAR else source
