"""The commands that turn scenes into footprints: `predict` one scene, `map` many."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from overcast.cli.console import counting_bar, print_json
from overcast.cli.declarations import MACHINE, OUTPUT
from overcast.cli.groups import with_groups
from overcast.cli.wanted import Wanted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from overcast.progress import Progress
    from overcast.scenes.predict import PredictionSummary


@with_groups
def predict(
    *,
    scene: Annotated[
        list[str],
        typer.Argument(
            help="Files of ONE scene on one grid; their bands, in order, are the model's. Addresses too (s3://, "
            "https://).",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Footprints: .gpkg, .parquet or .geojson. Without -o and -p: scene.footprints.gpkg beside scene.tif.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    probability: Annotated[
        Path | None,
        typer.Option("--probability", "-p", help="Cloud-optimised GeoTIFF.", rich_help_panel=OUTPUT),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(
            "--map",
            help="One HTML file to send: the footprints over the radar scene, and over the optical image where one is "
            "given. --set reference=FILE compares.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    wanted: Wanted,
) -> None:
    """Map footprints from a SAR scene of any size. No optical image is needed; one with gaps can help.

    What the scene's numbers mean is declared: by the options, by `scene.yaml` beside `scene.tif`, or in the file.

    If it is interrupted or killed, run the same command again to resume. Many scenes: `overcast map`.

    Example: `overcast predict scene.tif`

    Example: `overcast predict scene.tif --map map.html`

    Example: `overcast predict scene.tif --model demo-output/runs/cmhcl/bundle -o footprints.gpkg -p probability.tif`
    """
    _show(_predict(scene, output, probability, page, wanted), page, as_json=wanted.as_json)


@with_groups
def map_scenes(
    *,
    scenes: Annotated[
        list[str],
        typer.Argument(
            help="Files, folders, lists (.txt), STAC records (.json) or addresses (s3://, https://).",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder; each output is named after its scene.", rich_help_panel=OUTPUT),
    ],
    write: Annotated[
        str,
        typer.Option(help="gpkg, parquet or geojson, and tif for probability, of each scene.", rich_help_panel=OUTPUT),
    ] = "gpkg",
    wanted: Wanted,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes on this machine that compute rows of tiles (Ray); one per GPU by default.",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="Ray cluster to compute on: auto, or host:port. Outputs are written here.", rich_help_panel=MACHINE
        ),
    ] = None,
) -> None:
    """Map many scenes into a folder, on this machine or on a cluster; see `overcast predict` for one.

    What the numbers mean is declared as for `predict`, for all scenes or beside each. `manifest.jsonl` in the folder
    says how each scene ended. If it is interrupted or killed, run the same command again to resume.

    Example: `overcast map scenes/ -o maps --write gpkg,tif --workers 4`
    """
    from overcast.bundle.contract import read_contract
    from overcast.fleet.scenes import find_scenes

    wanted.check()
    folder = wanted.folder_for_many(scenes)
    contract = read_contract(folder)
    found = find_scenes(scenes, () if contract is None else contract.sensor.bands)

    from overcast.bundle.bundle import load_bundle
    from overcast.cli.fleet import ManyOptions, map_many

    many = ManyOptions(found, output, write, workers, address, wanted.image)
    map_many(many, load_bundle(folder), wanted.declared(), wanted.options(), as_json=wanted.as_json)


def _beside(scene: Path) -> Path:
    """Where footprints of a scene go that were given no name: beside it, or here where it is fetched from elsewhere."""
    from overcast.raster.addresses import file_name, is_remote

    return (Path(file_name(scene)) if is_remote(scene) else scene).with_suffix(".footprints.gpkg")


def _predict(
    scene: Sequence[str], output: Path | None, probability: Path | None, page: Path | None, wanted: Wanted
) -> PredictionSummary:
    """Map one scene; what can be refused is refused before PyTorch is imported."""
    from overcast.bundle.contract import read_contract
    from overcast.raster.addresses import located
    from overcast.scenes.ahead import look_ahead

    files = [located(name) for name in scene]
    unnamed = output is None and (probability is None or page is not None)
    footprints = _beside(files[0]) if unnamed else output
    targets = [path for path in (probability, footprints, page) if path is not None]
    wanted.check(page)
    folder = wanted.folder(files)
    sensor = look_ahead(files, wanted.declared(), read_contract(folder), targets, overwrite=wanted.overwrite)
    drawn = wanted.map_output(page, files, sensor)

    from overcast.bundle.bundle import load_bundle
    from overcast.scenes.predict import predict_file

    bundle = load_bundle(folder)
    chosen = iter([f"footprints go to {footprints}"] if unnamed else [])
    with counting_bar("mapping", "km²") as update:

        def report(state: Progress) -> None:
            said = state.note or next(chosen, "")  # without a note it is at work: nothing is refused any more
            if said:
                typer.echo(said, err=True)
            update(state.done, state.total, state.stage.value)

        return predict_file(
            files,
            bundle,
            sensor=sensor,
            footprints=footprints,
            probability=probability,
            options=replace(wanted.options(), page=drawn),
            progress=report,
            optical=wanted.image,
        )


def _show(summary: PredictionSummary, page: Path | None, *, as_json: bool) -> None:
    if as_json:
        facts = {
            "footprints": summary.footprints and str(summary.footprints),
            "footprint_count": summary.footprint_count,
            "unsplit": summary.unsplit,
            "probability": summary.probability and str(summary.probability),
            "map": page and str(page),
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
    if page is not None:
        typer.echo(f"map in {page}")
    if summary.optical_share is not None:
        typer.echo(f"the optical image shows {summary.optical_share:.1%} of what holds data")
    typer.echo(f"{summary.valid_km2:.4g} of {summary.km2:.4g} km2 hold data; {summary.elapsed_s:.1f} s")
    typer.echo(f"computed by {summary.runtime}")
