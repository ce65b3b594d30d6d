"""Options that `predict` and `map` share, and what follows from them for the package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from overcast.arithmetic import AUTO
from overcast.choices import Outlines
from overcast.cli.sky import Beside, given_area
from overcast.errors import ConfigError
from overcast.raster.units import RadarSide, Unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from overcast.cli.rare import RareOptions
    from overcast.installed.choice import Choice
    from overcast.raster.radiometry import SensorRadiometry
    from overcast.scenes.ground import Area
    from overcast.scenes.job import PredictOptions
    from overcast.scenes.sky import OpticalInput
    from overcast.viewer.output import MapOutput


@dataclass(frozen=True)
class Declared:
    """What the command line says of the scene's numbers; None where it says nothing."""

    bands: str | None = None
    unit: Unit | None = None
    nodata: float | None = None
    radar_side: RadarSide | None = None
    accept_values: bool = False


@dataclass(frozen=True)
class Wanted:
    """Everything of the command line that does not depend on the number of scenes."""

    model: str | None
    """Name of an installed model, or path of another; None: the installed one that takes the scene."""
    numbers: Declared
    place: tuple[str | None, list[str] | None, str | None]
    """`--area`, `--optical`, `--clouds`."""
    polygons: tuple[float, float, Outlines]
    """Threshold, smallest area in m2, outlines."""
    device: str = AUTO
    sets: tuple[str, ...] = ()
    overwrite: bool = False
    page: Path | None = None
    """The map of `predict --map`."""

    @cached_property
    def rare(self) -> RareOptions:
        """Options given by `--set`; raises ConfigError for wrong ones."""
        from overcast.cli.rare import rare_options

        return rare_options(self.sets)

    @cached_property
    def area(self) -> Area | None:
        """The part of the scenes that is mapped."""
        return given_area(self.place[0])

    @cached_property
    def beside(self) -> Beside:
        """What is said of an optical image."""
        _, optical, clouds = self.place
        rare = self.rare
        return Beside(optical, clouds, rare.cloud_values, rare.optical_nodata, rare.mixing)

    @cached_property
    def image(self) -> OpticalInput | None:
        """The optical image beside the scenes."""
        return self.beside.input()

    def check(self) -> None:
        """Raise the error of a key, an area or an image that cannot be."""
        for part in ("rare", "area", "image"):
            getattr(self, part)
        if self.rare.reference is not None and self.page is None:
            raise ConfigError("--set reference is about the map of one scene: name it with predict --map.")

    def folder(self, files: Sequence[Path]) -> Path:
        """The bundle for one scene; says which one, and why, where none was named."""
        from overcast.installed.scenes import model_for_files

        if self.model is not None:
            return self._named(self.model)
        return _said(model_for_files(files, self.declared(), every_branch=self.image is not None))

    def folder_for_many(self, scenes: Sequence[str]) -> Path:
        """The output folder for many scenes, as the user names them."""
        from overcast.installed.scenes import model_for_many

        if self.model is not None:
            return self._named(self.model)
        return _said(model_for_many(scenes, self.declared(), every_branch=self.image is not None))

    def _named(self, model: str) -> Path:
        from overcast.installed.folders import model_folder

        return model_folder(model, full=self.image is not None)

    def declared(self) -> dict[str, object]:
        """What is declared of the numbers, by the keys of `SensorRadiometry`; None: not declared."""
        said = self.numbers
        return {
            "bands": None if said.bands is None else tuple(band.strip() for band in said.bands.split(",")),
            "unit": said.unit,
            "nodata": said.nodata,
            "gsd_m": self.rare.gsd_m,
            "radar_side": said.radar_side,
            "accept_values": said.accept_values or None,
        }

    def map_output(self, files: Sequence[Path], sensor: SensorRadiometry) -> MapOutput | None:
        """The map of a scene; None where none is asked for. Raises InputError where it cannot be."""
        if self.page is None:
            return None
        from overcast.viewer.output import MapOutput

        optical = self.image.files[0] if self.image is not None else None
        return MapOutput(self.page, files[0], optical, self.rare.reference, sensor)

    def options(self) -> PredictOptions:
        """How scenes become files. Imports PyTorch."""
        from overcast.polygons.footprints import PolygonOptions
        from overcast.scenes.job import PredictOptions
        from overcast.scenes.scene import SceneOptions

        rare, (threshold, min_area_m2, outlines) = self.rare, self.polygons
        cut = rare.model_dump(include={"tile", "overlap", "margin", "batch_size", "threads", "precision", "runtime"})
        scene = SceneOptions(device=self.device, keep_exports=rare.cache, tta=rare.tta, **cut)
        polygons = PolygonOptions(
            threshold=threshold,
            min_area_m2=min_area_m2,
            outlines=outlines,
            separate=rare.separate,
            strip_pixels=rare.strip_pixels,
        )
        return PredictOptions(
            scene=scene,
            polygons=polygons,
            encoding=rare.encoding,
            overwrite=self.overwrite,
            calibrated=rare.calibrated,
            style=rare.style,
            stac=rare.stac,
            acquired=rare.acquired,
            area=self.area,
            mixing=self.beside.chosen_mixing(),
        )


def _said(choice: Choice) -> Path:
    typer.echo(choice.sentence, err=True)
    return choice.model.folder
