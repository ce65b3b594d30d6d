"""What a scene is prepared for: a model, or training without any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from overcast.errors import ConfigError, InputError
from overcast.preparation.source import BandReader
from overcast.raster.georeference import is_metric
from overcast.raster.radiometry import BandStatistics, SensorRadiometry
from overcast.raster.units import Unit

LARGEST_GSD_M = 1e6


class Aim(Protocol):
    """What decides bands, unit, pixel size and radar side of a prepared scene; a `SceneModel` is one."""

    @property
    def name(self) -> str:
        """For messages."""
        ...

    @property
    def identity(self) -> str:
        """For provenance."""
        ...

    @property
    def sensor(self) -> SensorRadiometry:
        """Pixels as they shall be."""
        ...

    @property
    def statistics(self) -> BandStatistics | None:
        """Statistics of the training data; None where there are none to compare with."""
        ...


@dataclass(frozen=True)
class ForTraining:
    """Every band that the files hold, calibrated, on a grid in metres; no model is asked."""

    unit: Unit = Unit.DECIBEL
    gsd_m: float | None = None
    """Pixel size; None for that of the first file."""

    def __post_init__(self) -> None:
        if self.unit is Unit.DIGITAL_NUMBER:
            raise ConfigError("digital numbers are what is calibrated; take dB, amplitude or linear_power as unit.")

    def aim(self, readers: Sequence[BandReader]) -> Aim:
        """The aim for the bands of open files. Raises ConfigError where no pixel size in metres is known."""
        grid = readers[0].grid
        if self.gsd_m is None and not is_metric(str(grid.crs)):
            raise ConfigError(f"{readers[0].band.path} is not in metres on the ground; give the pixel size with --gsd.")
        if self.gsd_m is None and not 0 < grid.gsd_m <= LARGEST_GSD_M:
            raise InputError(f"{readers[0].band.path} has pixels of {grid.gsd_m:g} m; correct its geotransform.")
        bands = tuple(reader.band.name for reader in readers)
        return _TrainingAim(SensorRadiometry(bands=bands, unit=self.unit, gsd_m=self.gsd_m or grid.gsd_m))


@dataclass(frozen=True)
class _TrainingAim:
    sensor: SensorRadiometry
    name: str = "training"
    identity: str = "of your own, to be trained"
    statistics: None = None
