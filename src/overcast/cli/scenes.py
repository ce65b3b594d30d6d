"""Commands on scenes: cut, new-dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from overcast.cli.console import counting_bar


def cut(
    *,
    description: Annotated[Path, typer.Argument(help="Description of the scenes, or the folder that holds it.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write; must be new or empty.")],
    tile_px: Annotated[int, typer.Option(min=32, max=8192, help="Side of a chip in pixels.")] = 256,
    every: Annotated[bool, typer.Option("--all", help="Tiles that lack labels or an image too.")] = False,
) -> None:
    """Cut scenes into chips with masks: a folder data set, for other tools too.

    Example: `overcast cut data/town/town.yaml --output data/chips`
    """
    from overcast.data.scenes.cut import cut_scenes

    with counting_bar("cutting", "chips") as update:
        count = cut_scenes(description, output, tile_px, complete_only=not every, progress=update)
    typer.echo(f"{count} chips in {output}")


def new_dataset(
    *,
    root: Annotated[Path, typer.Argument(metavar="PATH", help="Folder that holds the images.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; default: dataset.yaml or scenes.yaml there.")
    ] = None,
) -> None:
    """Draft the description of a folder of chips or of scenes; what only you know is left open.

    Example: `overcast new-dataset data/mine`
    """
    from overcast.atomic import write_atomic
    from overcast.data.scenes.draft import draft_description
    from overcast.data.stated import OPEN
    from overcast.errors import InputError

    path, text = draft_description(root)
    path = output or path
    if path.exists():
        raise InputError(f"{path} exists already; correct it, or remove it first.")
    write_atomic(path, text)
    typer.echo(f"{path}: replace {OPEN} in {text.count(OPEN) - 1} places, and check the rest.")
