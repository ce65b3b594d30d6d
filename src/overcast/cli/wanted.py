"""Options that `predict` and `map` share, and what follows from them for the package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from overcast.arithmetic import AUTO
from overcast.choices import Mixing, MixingChoice, Outlines
from overcast.cli.declarations import AREA, FOOTPRINTS, INPUT, MACHINE, MEANING, OUTPUT, RARE, given_area
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
class Wanted:
    """Everything of the command line that does not depend on the number of scenes; each field is an option."""

    area: Annotated[str | None, typer.Option(rich_help_panel=INPUT, **AREA)] = None
    optical: Annotated[
        list[str] | None,
        typer.Option(
            help="Optical image in any coordinate system, used where it shows the ground; may be repeated for sheets. "
            "With many scenes also a folder of images named after them. The model is a run folder.",
            rich_help_panel=INPUT,
        ),
    ] = None
    clouds: Annotated[
        str | None,
        typer.Option(help="Mask of the optical image's clouds, or a folder of masks.", rich_help_panel=INPUT),
    ] = None
    bands: Annotated[
        str | None, typer.Option(help="Band names in order, for example HH,HV,VH,VV.", rich_help_panel=MEANING)
    ] = None
    unit: Annotated[Unit | None, typer.Option(help="Unit of the pixels.", rich_help_panel=MEANING)] = None
    nodata: Annotated[
        float | None, typer.Option(help="Value without data; NaN always is.", rich_help_panel=MEANING)
    ] = None
    radar_side: Annotated[
        RadarSide | None,
        typer.Option(help="Side of the compass on which the radar stood.", rich_help_panel=MEANING),
    ] = None
    accept_values: Annotated[
        bool,
        typer.Option(
            "--accept-values", help="Values are as declared even if they look otherwise.", rich_help_panel=MEANING
        ),
    ] = False
    threshold: Annotated[
        float, typer.Option(help="Smallest probability inside a footprint.", rich_help_panel=FOOTPRINTS)
    ] = 0.5
    min_area_m2: Annotated[float, typer.Option(help="Smaller footprints are dropped.", rich_help_panel=FOOTPRINTS)] = (
        10.0
    )
    outlines: Annotated[
        Outlines,
        typer.Option(
            help="How outlines are drawn: along pixel edges, squared gently, or every wall squared.",
            rich_help_panel=FOOTPRINTS,
        ),
    ] = Outlines.GENTLE
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace outputs that exist.", rich_help_panel=OUTPUT)
    ] = False
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.", rich_help_panel=OUTPUT)] = False
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Installed model (`overcast models`), bundle, or run folder of `overcast train`. Without it the "
            "installed model that takes the scene as it is declared.",
            rich_help_panel=MACHINE,
        ),
    ] = None
    device: Annotated[
        str, typer.Option(help="auto: a GPU where there is one; or cpu, cuda ...", rich_help_panel=MACHINE)
    ] = AUTO
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help=f"Rarely used, may be repeated, for example tile=512 (docs/outputs.md): {', '.join(RARE)}.",
            rich_help_panel=MACHINE,
        ),
    ] = None

    @cached_property
    def rare(self) -> RareOptions:
        """Options given by `--set`; raises ConfigError for wrong ones."""
        from overcast.cli.rare import rare_options

        return rare_options(self.sets or ())

    @cached_property
    def place(self) -> Area | None:
        """The part of the scenes that is mapped. Raises an error where the area is none."""
        return given_area(self.area)

    @cached_property
    def image(self) -> OpticalInput | None:
        """The optical image beside the scenes. Raises ConfigError for what does not fit together."""
        said = (self.optical, self.clouds, self.rare.cloud_values, self.rare.optical_nodata)
        if all(one is None for one in said) and self.rare.mixing is MixingChoice.AUTO:
            return None
        from overcast.scenes.sky import optical_input

        if self.rare.mixing is not MixingChoice.AUTO and not self.optical:
            raise ConfigError("--set mixing is about an optical image: name it with --optical.")
        return optical_input(self.optical or [], self.clouds, self.rare.cloud_values, self.rare.optical_nodata)

    def check(self, page: Path | None = None) -> None:
        """Raise the error of a key, an area or an image that cannot be; `page` is the map of one scene."""
        for part in ("rare", "place", "image"):
            getattr(self, part)
        if self.rare.reference is not None and page is None:
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
        return {
            "bands": None if self.bands is None else tuple(band.strip() for band in self.bands.split(",")),
            "unit": self.unit,
            "nodata": self.nodata,
            "gsd_m": self.rare.gsd_m,
            "radar_side": self.radar_side,
            "accept_values": self.accept_values or None,
        }

    def map_output(self, page: Path | None, files: Sequence[Path], sensor: SensorRadiometry) -> MapOutput | None:
        """The map of a scene; None where none is asked for. Raises InputError where it cannot be."""
        if page is None:
            return None
        from overcast.viewer.output import MapOutput

        optical = self.image.files[0] if self.image is not None else None
        return MapOutput(page, files[0], optical, self.rare.reference, sensor)

    def options(self) -> PredictOptions:
        """How scenes become files. Imports PyTorch."""
        from overcast.polygons.footprints import PolygonOptions
        from overcast.scenes.job import PredictOptions
        from overcast.scenes.scene import SceneOptions

        rare = self.rare
        cut = rare.model_dump(include={"tile", "overlap", "margin", "batch_size", "threads", "precision", "runtime"})
        scene = SceneOptions(device=self.device, keep_exports=rare.cache, tta=rare.tta, **cut)
        polygons = PolygonOptions(
            threshold=self.threshold,
            min_area_m2=self.min_area_m2,
            outlines=self.outlines,
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
            area=self.place,
            mixing=None if rare.mixing is MixingChoice.AUTO else Mixing(rare.mixing.value),
        )


def _said(choice: Choice) -> Path:
    typer.echo(choice.sentence, err=True)
    return choice.model.folder
