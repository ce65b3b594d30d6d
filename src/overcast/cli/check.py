"""Commands that check what a user has: check-data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, assert_never

import typer

from overcast.cli.console import print_json, print_table
from overcast.data.names import DatasetName


def check_data(
    *,
    name: Annotated[DatasetName, typer.Argument(help="Which data set it should be.")],
    root: Annotated[Path, typer.Argument(help="Folder that it was unpacked into.")],
    partial: Annotated[bool, typer.Option(help="A part of the published files is enough, if they match.")] = False,
    headers: Annotated[bool, typer.Option(help="Open every file too: sizes, bands and grids.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print counts and all missing names as JSON.")] = False,
) -> None:
    """Count the files of a downloaded data set and list what is missing; exit code 2 where something is.

    Example: `overcast check-data dfc2023 data/track2`
    """
    from overcast.data.inventory import take_inventory
    from overcast.data.layout import some
    from overcast.errors import InputError

    found = take_inventory(name, root, partial=partial)
    if as_json:
        print_json(found.as_json())
    else:
        rows = [
            (
                part.name + ("" if part.needed else " (optional)"),
                str(part.found),
                "" if part.expected is None else str(part.expected),
                f"{len(part.missing)}: {some(part.missing)}" if part.missing else "",
            )
            for part in found.parts
        ]
        print_table(("part", "found", "expected", "missing"), rows, title=f"{name.value} in {root}")
    if not found.complete:
        raise InputError(found.sentence)
    chips = len(_open(name, root).chips) if headers else None
    if not as_json:
        typer.echo(found.sentence + ("" if chips is None else f" The headers of {chips} chips agree."))


def _open(name: DatasetName, root: Path) -> Any:
    """The catalog, which opens the header of every file."""
    from overcast.data.bright import bright_catalog
    from overcast.data.dfc2023 import dfc2023_catalog
    from overcast.data.folder import folder_catalog
    from overcast.data.openearthmap_sar import openearthmap_sar_catalog
    from overcast.data.spacenet6 import spacenet6_catalog

    match name:
        case DatasetName.SPACENET6:
            return spacenet6_catalog(root)
        case DatasetName.DFC2023:
            return dfc2023_catalog(root)
        case DatasetName.OPENEARTHMAP_SAR:
            return openearthmap_sar_catalog(root)
        case DatasetName.BRIGHT:
            return bright_catalog(root)
        case DatasetName.FOLDER:
            return folder_catalog(root)
        case _:
            assert_never(name)
