"""The command that makes a scene for a model out of what a user has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from overcast.cli.console import counting_bar, print_json
from overcast.cli.declarations import AREA, given_area
from overcast.cli.groups import with_groups
from overcast.errors import ConfigError
from overcast.preparation.options import Level, PrepareOptions, calibration
from overcast.raster.units import RadarSide, Resampling, Unit

if TYPE_CHECKING:
    from overcast.bundle.contract import ModelContract
    from overcast.preparation.aim import ForTraining
    from overcast.preparation.run import PrepareSummary


@dataclass(frozen=True)
class Aim:
    """What the scene is prepared for."""

    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Installed model, bundle or run folder that the scene is for; default: the installed one for its "
            "bands.",
        ),
    ] = None
    for_training: Annotated[
        bool, typer.Option("--for-training", help="For no model: every band, calibrated, to train on.")
    ] = False
    to: Annotated[
        Unit | None, typer.Option(help="With --for-training: unit of the scene; dB unless you choose another.")
    ] = None
    gsd: Annotated[
        float | None,
        typer.Option(min=0.01, max=1000, help="With --for-training: pixel size in metres; the input's by default."),
    ] = None

    def contract(self, inputs: Sequence[str], bands: tuple[str, ...] | None) -> ModelContract | ForTraining:
        """What the scene must be like; says which model was chosen, and why, where none was named."""
        from overcast.bundle.contract import require_contract
        from overcast.installed.folders import model_folder
        from overcast.installed.scenes import model_to_prepare_for
        from overcast.preparation.aim import ForTraining

        if self.for_training and self.model is not None:
            raise ConfigError("--for-training asks no model: leave out --model.")
        if self.for_training:
            return ForTraining(self.to or Unit.DECIBEL, self.gsd)
        if self.to is not None or self.gsd is not None:
            raise ConfigError("--to and --gsd choose what a model decides otherwise: give --for-training with them.")
        if self.model is not None:
            return require_contract(model_folder(self.model))
        choice = model_to_prepare_for(inputs, bands)
        typer.echo(choice.sentence, err=True)
        return require_contract(choice.model.folder)


@dataclass(frozen=True)
class Stated:
    """What is said about the files, and how the scene is made of them."""

    bands: Annotated[str | None, typer.Option(help="Names of all bands in the files, in order, for example VV,VH.")] = (
        None
    )
    unit: Annotated[Unit | None, typer.Option(help="Unit of the values, where the files do not say.")] = None
    nodata: Annotated[list[float] | None, typer.Option(help="Value without data; may be repeated. NaN always is.")] = (
        None
    )
    calibration_factor_db: Annotated[
        list[str] | None, typer.Option(help="F of power = DN^2 / 10^(F/10): 71.3, or HH=71.3 for one band.")
    ] = None
    calibration_lut: Annotated[
        list[str] | None, typer.Option(help="A of power = DN^2 / A^2, as in Sentinel-1's tables: 474, or VV=474.")
    ] = None
    radar_side: Annotated[RadarSide | None, typer.Option(help="Side of the compass on which the radar stood.")] = None
    look_azimuth: Annotated[
        float | None, typer.Option(help="Direction into which it looked, degrees clockwise from north.")
    ] = None
    metadata: Annotated[
        list[Path] | None, typer.Option(help="JSON or XML about the scene; files named after it are found.")
    ] = None
    gcps: Annotated[
        bool, typer.Option("--gcps", help="Place radar geometry by its ground control points: for flat ground.")
    ] = False
    rotate: Annotated[
        bool, typer.Option("--rotate", help="Turn the grid so that the radar stands on the model's side.")
    ] = False
    crs: Annotated[str | None, typer.Option(help="Of the output; default: the input's, else UTM.")] = None
    resampling: Annotated[
        Resampling, typer.Option(help="Between pixels; coarser pixels are means of power, but for nearest.")
    ] = Resampling.BILINEAR
    level: Annotated[
        Level, typer.Option(help="Where the scene is much brighter or darker than the model's training data.")
    ] = Level.CHECK
    floor_db: Annotated[
        float | None, typer.Option(help="Set power below it to it; without it, power of 0 or less becomes nodata.")
    ] = None
    accept_values: Annotated[
        bool, typer.Option("--accept-values", help="Values are as stated even if they look otherwise.")
    ] = False
    area: Annotated[str | None, typer.Option(**AREA)] = None
    stac: Annotated[bool, typer.Option(help="Write a STAC item beside the scene.")] = True
    overwrite: Annotated[bool, typer.Option(help="Replace outputs that exist.")] = False

    def options(self) -> PrepareOptions:
        """The same for the package. Raises ConfigError for what contradicts itself."""
        if self.radar_side is not None and self.look_azimuth is not None:
            raise ConfigError("--radar-side and --look-azimuth say the same: give one of them.")
        return PrepareOptions(
            bands=None if self.bands is None else tuple(band.strip().upper() for band in self.bands.split(",")),
            unit=self.unit,
            nodata=tuple(self.nodata or ()),
            calibration_db=calibration(self.calibration_factor_db or (), self.calibration_lut or ()),
            radar_side=self.radar_side,
            look_azimuth_deg=self.look_azimuth,
            metadata=tuple(self.metadata or ()),
            gcps=self.gcps,
            rotate=self.rotate,
            crs=self.crs,
            resampling=self.resampling,
            level=self.level,
            floor_db=self.floor_db,
            accept_values=self.accept_values,
            area=given_area(self.area),
            overwrite=self.overwrite,
            stac=self.stac,
        )


@with_groups
def prepare(
    *,
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="SAR files: scene.tif, HH=a.tif HV=b.tif, HV=scene.tif@2 for its second band; tiles of one scene; "
            "or a product: .SAFE, folder, .zip, .dim, .h5, STAC item."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Scene to write, .tif (cloud-optimised GeoTIFF).")],
    aim: Aim,
    stated: Stated,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Make a scene that a model accepts: its bands, unit, pixel size and radar side, declared in the file.

    Nothing is guessed: what the files do not say has to be stated. `overcast predict` then needs no options.

    With --for-training no model is asked: all bands are calibrated and declared, to train on them.

    Example: `overcast prepare quad.tif --bands VV,VH,HV,HH --unit amplitude --radar-side north -o scene.tif`
    """
    from overcast.preparation.run import prepare_scene

    options = stated.options()
    contract = aim.contract(inputs, options.bands)
    with counting_bar("preparing", "km²") as update:
        summary = prepare_scene(inputs, contract, output, options, dry_run=dry_run, progress=update)
    _show(summary, as_json=as_json)


def _show(summary: PrepareSummary, *, as_json: bool) -> None:
    written = summary.valid_km2 is not None
    if as_json:
        print_json(
            {
                "scene": str(summary.output) if written else None,
                "item": str(summary.item) if written and summary.item is not None else None,
                "radiometry": summary.plan.sensor.model_dump(mode="json"),
                "steps": list(summary.plan.steps),
                "notes": list(summary.plan.notes),
                "km2": summary.km2,
                "valid_km2": summary.valid_km2,
                "lost_pixels": summary.lost_pixels,
                "elapsed_s": summary.elapsed_s,
            }
        )
        return
    for step in (*summary.plan.steps, *summary.plan.notes):
        typer.echo(step)
    if summary.lost_pixels:
        typer.echo(f"{summary.lost_pixels} values without positive power became nodata; --floor-db gives them one.")
    if summary.valid_km2 is None:
        typer.echo(f"dry run: {summary.output} would hold {summary.km2:.4g} km2; nothing was written.")
        return
    if summary.valid_km2 == 0:
        typer.echo("the scene holds no data: check --nodata.")
    typer.echo(
        f"{summary.output}: {summary.valid_km2:.4g} of {summary.km2:.4g} km2 hold data; {summary.elapsed_s:.1f} s"
    )
