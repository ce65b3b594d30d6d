"""A request to map a scene: what is asked for, and where it goes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Protocol

from overcast.arithmetic import AUTO, Precision
from overcast.choices import Encoding, Mixing
from overcast.outputs.formats import VectorFormat, vector_format
from overcast.outputs.vector import BOTH_SENSORS
from overcast.polygons.footprints import PolygonOptions
from overcast.progress import Progress, Report
from overcast.raster.radiometry import SensorRadiometry
from overcast.raster.sources import Georeference
from overcast.scenes.ground import Area
from overcast.scenes.model import SceneModel
from overcast.scenes.scene import SceneOptions
from overcast.scenes.sky import OpticalInput


class Page(Protocol):
    """A map to look at, drawn by the rooms above this one."""

    @property
    def path(self) -> Path:
        """The file that is written."""
        ...

    @property
    def reads(self) -> tuple[Path, ...]:
        """Files that it reads beside the scene and its optical image."""
        ...

    def write(self, target: Path, footprints: Path, grid: Georeference) -> None:
        """Draw the map of `footprints` into `target`; `grid` is that of the outputs."""
        ...


@dataclass(frozen=True)
class PredictOptions:
    """How a scene becomes files."""

    scene: SceneOptions = field(default_factory=lambda: SceneOptions(precision=Precision.AUTO, device=AUTO))
    polygons: PolygonOptions = field(default_factory=lambda: PolygonOptions(min_area_m2=10.0))
    encoding: Encoding = Encoding.UINT8
    overwrite: bool = False
    """Replace outputs that exist."""
    calibrated: bool = True
    """Divide logits by the temperature in the bundle, where there is one, so that probabilities are shares."""
    style: bool = True
    """Write a QGIS style beside the footprints and, as its default, into a GeoPackage."""
    stac: bool = True
    """Write a STAC item beside the outputs."""
    acquired: datetime | None = None
    """When the scene was taken; without a time zone it is UTC."""
    area: Area | None = None
    """The part of the scene that is mapped; None: all of it."""
    mixing: Mixing | None = None
    """How SAR and an optical image beside it become one map; None: by `blend`."""
    page: Page | None = None
    """A map of the footprints that is written with them; needs a file for the footprints."""


@dataclass(frozen=True)
class Job:
    """A request."""

    scene: tuple[Path, ...]
    model: SceneModel
    sensor: SensorRadiometry
    options: PredictOptions
    probability: Path | None
    footprints: Path | None
    report: Report | None
    optical: OpticalInput | None = None
    """The optical image beside the scene, for a model that takes what there is of one."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Every raster that is read."""
        return self.scene if self.optical is None else (*self.scene, *self.optical.paths)

    @cached_property
    def vector_format(self) -> VectorFormat | None:
        """Of the footprints, if any. Raises InputError where their name ends in none."""
        return None if self.footprints is None else vector_format(self.footprints)

    @property
    def provenance(self) -> str:
        """The sensors, as they are named in metadata."""
        return self.model.modality.value if self.optical is None else BOTH_SENSORS

    @cached_property
    def polygons(self) -> PolygonOptions:
        """What becomes a footprint, with what depends on the model decided."""
        return self.options.polygons.settled(boundaries=self.model.channels > 1)

    @property
    def style(self) -> Path | None:
        """Where the QGIS style goes."""
        return self.footprints.with_suffix(".qml") if self.footprints is not None and self.options.style else None

    @property
    def item(self) -> Path | None:
        """Where the STAC item goes."""
        first = self.footprints or self.probability
        return first.with_suffix(".stac.json") if first is not None and self.options.stac else None

    @property
    def side_files(self) -> tuple[Path, ...]:
        """What lies beside the outputs."""
        page = None if self.options.page is None else self.options.page.path
        return tuple(path for path in (self.style, self.item, page) if path is not None)

    @property
    def targets(self) -> tuple[Path, ...]:
        """Every file that is written, the largest first."""
        return (*(path for path in (self.probability, self.footprints) if path is not None), *self.side_files)

    @property
    def acquired(self) -> datetime | None:
        """When the scene was taken, with a time zone."""
        moment = self.options.acquired
        return moment if moment is None or moment.tzinfo is not None else moment.replace(tzinfo=UTC)

    @property
    def pixel_km2(self) -> float:
        """Area of a pixel."""
        return self.sensor.gsd_m**2 / 1e6

    @property
    def km2_report(self) -> Report | None:
        """Passes states in pixels on in km^2."""
        report, factor = self.report, self.pixel_km2
        if report is None:
            return None

        def in_km2(state: Progress) -> None:
            report(replace(state, done=state.done * factor, total=state.total * factor, resumed=state.resumed * factor))

        return in_km2
