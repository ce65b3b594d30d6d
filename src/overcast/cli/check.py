"""Commands that check what a user has: check-data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overcast.cli.console import print_json, print_table
from overcast.data.names import DatasetName

if TYPE_CHECKING:
    from overcast.data.inventory import Inventory


def check_data(
    *,
    name: Annotated[DatasetName, typer.Argument(help="Which data set it should be.")],
    root: Annotated[Path, typer.Argument(help="Folder that it was unpacked into.")],
    partial: Annotated[bool, typer.Option(help="A part of the published files is enough, if they match.")] = False,
    headers: Annotated[bool, typer.Option("--headers", help="Open every file, but read no pixel.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Read the pixels of all chips; default: of a sample.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print counts and all missing names as JSON.")] = False,
) -> None:
    """Count the files of a data set, open them, read a sample of their pixels; exit code 2 where training would fail.

    Example: `overcast check-data dfc2023 data/track2`
    """
    from overcast.data.inventory import take_inventory
    from overcast.errors import InputError

    found = take_inventory(name, root, partial=partial)
    if not as_json:
        _print_counts(found)
    if not found.complete:
        if as_json:
            print_json(found.as_json())
        raise InputError(found.sentence)
    about, problems = _content(name, root, headers=headers, every=every)
    if as_json:
        print_json({**found.as_json(), **about})
    elif not problems:
        read = f" {about['pixels']} of them were read." if about["pixels"] else " No pixel was read."
        typer.echo(f"{found.sentence} The headers of {about['chips']} chips agree.{read}")
        typer.echo("".join(f"note: {text}.\n" for text in about["notes"]) + f"split: {about['split']}")
    if problems:
        raise InputError(f"{root} cannot be trained on: {problems}.")


def _print_counts(found: Inventory) -> None:
    from overcast.data.layout import some

    rows = [
        (
            part.name + ("" if part.needed else " (optional)"),
            str(part.found),
            "" if part.expected is None else str(part.expected),
            f"{len(part.missing)}: {some(part.missing)}" if part.missing else "",
        )
        for part in found.parts
    ]
    print_table(("part", "found", "expected", "missing"), rows, title=f"{found.name.value} in {found.root}")


def _content(name: DatasetName, root: Path, *, headers: bool, every: bool) -> tuple[dict[str, Any], str]:
    """What headers, pixels and the default split say, and the problems that were found on one line."""
    from overcast.config.published import opened
    from overcast.data.content import look_at, spread

    catalogs, split = opened(name, root)
    chips = [chip for catalog in catalogs for chip in catalog.chips]
    looked = [] if headers else [look_at(one, one.chips if every else spread(one.chips)) for one in catalogs]
    about = {
        "chips": len(chips),
        "pixels": sum(content.looked_at for content in looked),
        "problems": [text for content in looked for text in content.problems],
        "notes": [text for content in looked for text in content.notes],
        "split": split,
    }
    return about, "; ".join(content.listed for content in looked if content.problems)
