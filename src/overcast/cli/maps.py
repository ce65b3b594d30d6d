"""The command that turns a scene into footprints."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from overcast.arithmetic import AUTO, Precision
from overcast.cli.console import counting_bar, print_json
from overcast.cli.sky import (
    AreaOption,
    Beside,
    CloudsOption,
    CloudValuesOption,
    MixingChoice,
    MixingOption,
    OpticalNodataOption,
    OpticalOption,
    given_area,
)
from overcast.data.units import RadarSide, Unit
from overcast.runtime.options import Runtime

if TYPE_CHECKING:
    from overcast.inference.predict import PredictionSummary
    from overcast.inference.progress import Progress


def moment(text: str) -> datetime:
    """A time as ISO 8601 writes it, with or without fraction and zone. Raises BadParameter for other texts."""
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no time; write 2024-05-06, 2024-05-06T07:08:09.5Z or 2024-05-06T09:08:09+02:00."
        ) from None


class OutlineMode(StrEnum):
    """How outlines are drawn."""

    OFF = "off"
    GENTLE = "gentle"
    STRICT = "strict"


class Views(StrEnum):
    """Views of the scene whose probabilities are averaged."""

    OFF = "off"
    FLIP = "flip"
    FULL = "full"


class SeparateMode(StrEnum):
    """Whether touching buildings become polygons of their own."""

    AUTO = "auto"
    OFF = "off"
    WATERSHED = "watershed"


def predict(
    *,
    scene: Annotated[
        list[str],
        typer.Argument(
            help="SAR files on one grid; their bands, in order, are the model's. With --into: scenes, as files, "
            "folders, lists (.txt), STAC records (.json) or addresses (s3://, https://)."
        ),
    ],
    model: Annotated[
        Path | None,
        typer.Option(
            "--model",
            "-m",
            help="Bundle, or run folder of `overcast train`. Without it the model that is installed with Overcast maps "
            "buildings: HH, HV, VH, VV in dB at 1 m, trained on simulated radar.",
        ),
    ] = None,
    footprints: Annotated[
        Path | None, typer.Option("--footprints", "--output", "-o", help="Polygons: .gpkg, .parquet or .geojson.")
    ] = None,
    probability: Annotated[Path | None, typer.Option("--probability", "-p", help="Cloud-optimised GeoTIFF.")] = None,
    into: Annotated[
        Path | None, typer.Option(help="Map many scenes into this folder, each named after its scene; see --write.")
    ] = None,
    write: Annotated[
        str, typer.Option(help="What --into writes of each scene: gpkg, parquet or geojson, and tif for probability.")
    ] = "gpkg",
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes on this machine that compute rows of tiles (Ray); one per GPU by default."),
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster to compute on: auto, or host:port. Outputs are written here.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of each process; another number changes the last bits.")
    ] = None,
    bands: Annotated[str | None, typer.Option(help="Band names in order, for example HH,HV,VH,VV.")] = None,
    unit: Annotated[Unit | None, typer.Option(help="Unit of the pixels.")] = None,
    nodata: Annotated[float | None, typer.Option(help="Value without data; NaN always is.")] = None,
    gsd_m: Annotated[float | None, typer.Option(help="Metres per pixel, where the file does not say.")] = None,
    radar_side: Annotated[RadarSide | None, typer.Option(help="Side of the compass on which the radar stood.")] = None,
    accept_values: Annotated[
        bool, typer.Option("--accept-values", help="Values are as declared even if they look otherwise.")
    ] = False,
    area: AreaOption = None,
    optical: OpticalOption = None,
    clouds: CloudsOption = None,
    cloud_values: CloudValuesOption = None,
    optical_nodata: OpticalNodataOption = None,
    mixing: MixingOption = MixingChoice.BLEND,
    threshold: Annotated[float, typer.Option(help="Smallest probability inside a footprint.")] = 0.5,
    min_area_m2: Annotated[float, typer.Option(help="Smaller footprints are dropped.")] = 10.0,
    outlines: Annotated[
        OutlineMode,
        typer.Option(help="How outlines are drawn: along pixel edges, squared gently, or every wall squared."),
    ] = OutlineMode.GENTLE,
    separate: Annotated[
        SeparateMode,
        typer.Option(
            help="Touching buildings as one footprint (off), or apart with shared walls (watershed); auto: apart where "
            "the model has learnt the walls between them."
        ),
    ] = SeparateMode.AUTO,
    tta: Annotated[
        Views,
        typer.Option(
            help="Average over look-safe views: a flip along the flight direction (twice the time), full: at three "
            "scales too (six times)."
        ),
    ] = Views.OFF,
    tile: Annotated[int, typer.Option(help="Side of the tiles in pixels.")] = 768,
    device: Annotated[str, typer.Option(help="auto: a GPU where there is one; or cpu, cuda ...")] = AUTO,
    precision: Annotated[
        Precision,
        typer.Option(help="Arithmetic of the network; auto: bf16 where processor or GPU compute it themselves."),
    ] = Precision.AUTO,
    runtime: Annotated[
        Runtime, typer.Option(help="What runs the network; auto: the fastest that works, for large scenes.")
    ] = Runtime.AUTO,
    keep_exports: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Keep exported networks in the cache folder for the next run.")
    ] = True,
    calibrated: Annotated[
        bool, typer.Option(help="Divide logits by the temperature in the model, where there is one.")
    ] = True,
    acquired: Annotated[
        datetime | None,
        typer.Option(
            parser=moment, metavar="TIME", help="When the scene was taken, UTC unless it says another zone; kept."
        ),
    ] = None,
    style: Annotated[bool, typer.Option(help="Write a QGIS style beside the footprints and into a GeoPackage.")] = True,
    stac: Annotated[bool, typer.Option(help="Write a STAC item beside the outputs.")] = True,
    overwrite: Annotated[bool, typer.Option(help="Replace outputs that exist.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Map footprints from a SAR scene of any size. No optical image is needed; what there is of one can be used.

    What the scene's numbers mean is declared: by the options, by `scene.yaml` beside `scene.tif`, or in the file.

    Interrupted or killed, the same command goes on where it stopped.

    Example: `overcast predict scene.tif --model demo-output/runs/cmhcl/bundle -o footprints.gpkg -p probability.tif`

    Many scenes: `overcast predict scenes/ --into maps --write gpkg,tif --workers 4`
    """
    from overcast.data.addresses import located
    from overcast.data.contract import INSTALLED, bundle_folder, read_contract
    from overcast.errors import ConfigError
    from overcast.inference.ahead import look_ahead
    from overcast.inference.fleet.scenes import find_scenes

    many = not (into is None and workers is None and address is None)
    if footprints is None and probability is None and not many:
        raise ConfigError("say what to write: --footprints FILE.gpkg, --probability FILE.tif, or both.")
    if model is None:
        model = INSTALLED
        typer.echo(f"model {model.name}: installed with Overcast, trained on simulated radar", err=True)
    part, beside = given_area(area), Beside(optical, clouds, cloud_values, optical_nodata, mixing)
    image = beside.input()
    folder = bundle_folder(model, full=image is not None)
    declared = {
        "bands": None if bands is None else tuple(band.strip() for band in bands.split(",")),
        "unit": unit,
        "nodata": nodata,
        "gsd_m": gsd_m,
        "radar_side": radar_side,
        "accept_values": accept_values or None,
    }
    files = [] if many else [located(name) for name in scene]
    targets = [path for path in (probability, footprints) if path is not None]
    contract = read_contract(folder)
    found = find_scenes(scene, () if contract is None else contract.sensor.bands) if many else []
    sensor = None if many else look_ahead(files, declared, contract, targets, overwrite=overwrite)

    from overcast.bundle import load_bundle
    from overcast.cli.fleet import ManyOptions, map_many
    from overcast.inference.outlines.levels import Outlines
    from overcast.inference.polygons import PolygonOptions
    from overcast.inference.predict import PredictOptions, predict_file
    from overcast.inference.scene import SceneOptions
    from overcast.inference.separate import Separate
    from overcast.models.views import Tta

    bundle = load_bundle(folder)
    options = PredictOptions(
        scene=SceneOptions(
            tile=tile,
            device=device,
            precision=precision,
            runtime=runtime,
            keep_exports=keep_exports,
            threads=threads,
            tta=Tta(tta.value),
        ),
        polygons=PolygonOptions(
            threshold=threshold,
            min_area_m2=min_area_m2,
            outlines=Outlines(outlines.value),
            separate=Separate(separate.value),
        ),
        overwrite=overwrite,
        calibrated=calibrated,
        style=style,
        stac=stac,
        acquired=acquired,
        area=part,
        mixing=beside.chosen_mixing(),
    )
    if sensor is None:
        asked = ManyOptions(found, into, write, workers, address, footprints is None and probability is None, image)
        map_many(asked, bundle, declared, options, as_json=as_json)
        return
    with counting_bar("mapping", "km²") as update:

        def report(state: Progress) -> None:
            if state.note:
                typer.echo(state.note, err=True)
            update(state.done, state.total, state.stage.value)

        summary = predict_file(
            files,
            bundle,
            sensor=sensor,
            footprints=footprints,
            probability=probability,
            options=options,
            progress=report,
            optical=image,
        )
    _show(summary, as_json=as_json)


def _show(summary: PredictionSummary, *, as_json: bool) -> None:
    if as_json:
        facts = {
            "footprints": summary.footprints and str(summary.footprints),
            "footprint_count": summary.footprint_count,
            "unsplit": summary.unsplit,
            "probability": summary.probability and str(summary.probability),
            "side_files": [str(path) for path in summary.side_files],
            "rotated": summary.rotated,
            "runtime": summary.runtime,
            "km2": summary.km2,
            "valid_km2": summary.valid_km2,
            "optical_share": summary.optical_share,
            "elapsed_s": summary.elapsed_s,
        }
        print_json(facts)
        return
    if summary.valid_km2 == 0:
        typer.echo("the scene holds no data: the outputs are valid and empty.")
    if summary.footprints is not None:
        typer.echo(f"{summary.footprint_count} footprints in {summary.footprints}")
    if summary.unsplit:
        typer.echo(f"{summary.unsplit} regions were too large to separate touching buildings in; they were left whole.")
    if summary.probability is not None:
        typer.echo(f"probability in {summary.probability}")
    if summary.optical_share is not None:
        typer.echo(f"the optical image shows {summary.optical_share:.1%} of what holds data")
    typer.echo(f"{summary.valid_km2:.4g} of {summary.km2:.4g} km2 hold data; {summary.elapsed_s:.1f} s")
    typer.echo(f"computed by {summary.runtime}")
