"""Commands on data: simulate, splits, check-leak."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overcast.choices import SimulationPreset, SpaceNet6Side
from overcast.cli.console import counting_bar, print_json
from overcast.cli.groups import with_groups

if TYPE_CHECKING:
    from overcast.data.splits.parts import Split

splits_app = typer.Typer(no_args_is_help=True, help="Make splits by place that share no ground.")


@dataclass(frozen=True)
class Counts:
    """How much is simulated."""

    places: Annotated[int | None, typer.Option(help="Places that are cut into chips.")] = None
    scenes: Annotated[int | None, typer.Option(help="Further places written whole.")] = None
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same bytes.")] = None
    workers: Annotated[int | None, typer.Option(help="Processes; all cores by default.")] = None

    def given(self) -> list[str]:
        """What was said, as key=value."""
        said = vars(self) | {"workers": self.workers or os.cpu_count()}
        return [f"{name}={value}" for name, value in said.items() if value is not None]


@dataclass(frozen=True)
class Town:
    """A real town instead of a drawn one."""

    footprints: Annotated[
        Path | None, typer.Option(help="Real footprints to build from: GeoPackage, GeoJSON, Shapefile, CityJSON.")
    ] = None
    height: Annotated[str | None, typer.Option(help="Column of --footprints with heights in metres.")] = None


@with_groups
def simulate(
    *,
    config: Annotated[
        Path | None,
        typer.Argument(help="YAML with settings that replace the preset's.", metavar="[CONFIG]", show_default=False),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write; must be new or empty.")],
    preset: Annotated[
        SimulationPreset, typer.Option(help="Named settings to start from.")
    ] = SimulationPreset.SPACENET6,
    sets: Annotated[list[str] | None, typer.Option("--set", help="key=value, for example sar.looks=1.")] = None,
    counts: Counts,
    town: Town,
    as_scenes: Annotated[
        bool, typer.Option("--as-scenes", help="Whole scenes and town.yaml instead of chips; footprints on a third.")
    ] = False,
) -> None:
    """Simulate a city as an optical + SAR folder data set with exact footprints.

    If it is interrupted, run the same command again to resume. With --footprints the town in that file is simulated,
    cut into places; --places then limits them to those with the most built ground.

    Example: `overcast simulate --output data/city --preset demo --places 4 --seed 1`

    Example: `overcast simulate --output data/town --footprints town.gpkg --height Height`

    Example: `overcast simulate --output data/town --preset demo --as-scenes`
    """
    from overcast.errors import ConfigError
    from overcast.settings import read_settings
    from overcast.simulator.dataset.as_scenes import simulate_scenes
    from overcast.simulator.dataset.folder import simulate_dataset
    from overcast.simulator.options import SimulationOptions
    from overcast.simulator.options import preset as named
    from overcast.simulator.town.given import digest, read_town
    from overcast.simulator.town.tiling import tiled

    if town.footprints is None and town.height is not None:
        raise ConfigError("--height names a column of --footprints: give both, or neither.")
    if town.footprints is not None and counts.scenes:
        raise ConfigError("--footprints is cut into places: leave out --scenes, or give a large --set place_m=...")
    base = named(preset).model_dump(mode="json")
    if as_scenes:
        if town.footprints is not None or counts.places:
            raise ConfigError("--as-scenes writes whole scenes of a drawn city: leave out --footprints and --places.")
        base |= {"places": 0, "scenes": 1}
    if town.footprints is not None:
        base["name"] = f"simulated town {town.footprints.stem}"
        base["footprints"] = {"file": str(town.footprints), "height": town.height, "sha256": digest(town.footprints)}
    settings = read_settings(SimulationOptions, config, [*counts.given(), *(sets or [])], base)
    if settings.footprints is not None:
        settings = tiled(settings, counts.places)
        typer.echo(read_town(settings.footprints).repairs.sentence())
    if as_scenes:
        with counting_bar("simulating", "scenes") as update:
            typer.echo(f"scenes: {settings.scenes}, described in {simulate_scenes(output, settings, update)}")
        return
    with counting_bar("simulating", "places") as update:
        folder = simulate_dataset(output, settings, update)
    typer.echo(f"{settings.places} places and {settings.scenes} scenes in {folder}")


@dataclass(frozen=True)
class SplitResult:
    """What becomes of a split."""

    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the split as .csv or .json.")] = None
    as_json: Annotated[bool, typer.Option("--json", help="Print counts, keys and shared ground as JSON.")] = False

    def show(self, split: Split, chips: Any) -> None:
        """Write and print the split."""
        from overcast.data.splits.file import write_split
        from overcast.data.splits.leaks import describe_split

        described = describe_split(split, chips)
        if self.output is not None:
            write_split(split, self.output)
        if self.as_json:
            print_json(described)
            return
        typer.echo(split.definition)
        typer.echo(", ".join(f"{part} {count}" for part, count in described["counts"].items()))
        for drop in split.dropped:
            typer.echo(f"dropped {len(drop.keys)}: {drop.reason}")
        typer.echo(f"shared ground: {described['shared_ground_m2']:g} m2")
        for finding in described["between"].values():
            if not finding["clean"]:
                typer.echo(finding["finding"])


@dataclass(frozen=True)
class Blocks:
    """How blocks of ground become parts."""

    block_m: Annotated[float, typer.Option(help="Side of the square blocks in metres.")] = 1000.0
    test_share: Annotated[float, typer.Option(help="Share of the chips to test on.")] = 0.2
    validation_share: Annotated[float, typer.Option(help="Share of the chips to validate on.")] = 0.1
    buffer_m: Annotated[float, typer.Option(help="Smallest distance between the parts in metres.")] = 0.0
    seed: Annotated[int, typer.Option(help="Draws the blocks.")] = 0


@splits_app.command()
@with_groups
def spacenet6(
    *,
    tiles: Annotated[Path | None, typer.Option(help="CSV with ImageId, x, y of the upper left tile corners.")] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of the data set, instead of --tiles.")] = None,
    split: Annotated[SpaceNet6Side, typer.Option(help="Side to test on.")] = SpaceNet6Side.EAST,
    naive: Annotated[bool, typer.Option(help="Every tile outside the test tiles trains: shows the leak.")] = False,
    result: SplitResult,
) -> None:
    """Split SpaceNet 6 without a shared square metre; needs only the tile corners.

    Example: `overcast splits spacenet6 --tiles tiles.csv --split east --json`
    """
    from overcast.data.catalogs.spacenet6 import corners_of, spacenet6_catalog, tiles_from_csv
    from overcast.data.splits.by_ground import spacenet6_naive_split, spacenet6_split
    from overcast.errors import ConfigError

    if (tiles is None) == (root is None):
        raise ConfigError("give the tile corners with --tiles FILE.csv, or the data set with --root FOLDER.")
    if tiles is not None:
        corners = tiles_from_csv(tiles)
    elif root is not None:
        corners = corners_of(spacenet6_catalog(root).chips)
    make = spacenet6_naive_split if naive else spacenet6_split
    result.show(make(corners, split), corners)


@splits_app.command()
@with_groups
def folder(
    *,
    root: Annotated[Path, typer.Argument(help="Folder data set with georeferenced chips.")],
    blocks: Blocks,
    result: SplitResult,
) -> None:
    """Split a folder of georeferenced chips by square blocks of ground.

    Example: `overcast splits folder data/city --block-m 1000 --output split.csv`
    """
    from overcast.data.catalogs.folder import folder_catalog
    from overcast.data.splits.by_ground import block_split

    chips = folder_catalog(root).chips
    result.show(block_split(chips, **vars(blocks)), chips)


@splits_app.command()
@with_groups
def config(
    *,
    path: Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML of a training, of any data set.")],
    sets: Annotated[list[str] | None, typer.Option("--set", help="key=value, for example data.root=data/city.")] = None,
    result: SplitResult,
) -> None:
    """Make the split that a training configuration asks for, whatever its data set.

    Example: `overcast splits config configs/bright.yaml --set data.root=data/bright --output split.csv`
    """
    from overcast.config import load_config
    from overcast.config.data import build_data

    catalog, split = build_data(load_config(path, sets or ()).data)
    result.show(split, catalog.chips)


def check_leak(
    *,
    split: Annotated[Path, typer.Argument(help="Split file: .csv with key,split or the .json of `overcast splits`.")],
    tiles: Annotated[Path | None, typer.Option(help="CSV of SpaceNet 6 tile corners.")] = None,
    root: Annotated[Path | None, typer.Option(help="Folder data set of the split's chips.")] = None,
    description: Annotated[Path | None, typer.Option(help="dataset.yaml that lies elsewhere.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Report ground, images and places that training, validation and test share; exit code 2 where there are any.

    Example: `overcast splits spacenet6 --tiles tiles.csv --naive -o naive.csv; overcast check-leak naive.csv --tiles
    tiles.csv`
    """
    from overcast.data.catalogs.folder import folder_catalog
    from overcast.data.catalogs.spacenet6 import tiles_from_csv
    from overcast.data.splits.file import read_split
    from overcast.data.splits.ground import Placed
    from overcast.data.splits.leaks import describe_split, require_clean_split
    from overcast.errors import ConfigError

    if (tiles is None) == (root is None):
        raise ConfigError("say where the chips lie: --tiles FILE.csv for SpaceNet 6 corners, or --root FOLDER.")
    placed: tuple[Placed, ...] = ()
    if tiles is not None:
        placed = tiles_from_csv(tiles)
    elif root is not None:
        placed = folder_catalog(root, description).chips
    parts = read_split(split)
    described = describe_split(parts, placed)
    if as_json:
        print_json({key: value for key, value in described.items() if key != "keys"})
    else:
        for names, finding in described["between"].items():
            typer.echo(f"{names}: {finding['finding']}")
    require_clean_split(parts, placed)
