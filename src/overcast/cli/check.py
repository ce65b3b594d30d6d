"""Commands that check what a user has: check-data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overcast.cli.console import print_json, print_table
from overcast.data.catalogs.names import DatasetName

if TYPE_CHECKING:
    from overcast.data.catalogs.inventory import Inventory
    from overcast.data.scenes.checking import PlaceFinding


def check_data(
    *,
    name: Annotated[DatasetName, typer.Argument(help="Which data set it should be.")],
    root: Annotated[Path, typer.Argument(help="Folder that it was unpacked into; of scenes their description.")],
    partial: Annotated[bool, typer.Option(help="A part of the published files is enough, if they match.")] = False,
    headers: Annotated[bool, typer.Option("--headers", help="Open every file, but read no pixel.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Read the pixels of all chips, not only of a sample.")] = False,
    pictures: Annotated[
        Path | None, typer.Option(help="Scenes: folder for a picture of each place; default: check beside them.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print counts and all missing names as JSON.")] = False,
) -> None:
    """Count the files of a data set, open them, read a sample of their pixels; exit code 2 where training would fail.

    Of scenes, the offsets between SAR, optical image and footprints are measured too, and each place is drawn.

    Example: `overcast check-data dfc2023 data/track2`

    Example: `overcast check-data scenes data/town/town.yaml`
    """
    from overcast.data.catalogs.inventory import take_inventory
    from overcast.errors import InputError

    found = take_inventory(name, root, partial=partial)
    if not as_json:
        _print_counts(found)
    if not found.complete:
        if as_json:
            print_json(found.as_json())
        raise InputError(found.sentence)
    if name is DatasetName.SCENES:
        _check_places(root, pictures, as_json=as_json)
    about, problems = _content(name, root, headers=headers, every=every)
    if as_json and name is not DatasetName.SCENES:
        print_json({**found.as_json(), **about})
    elif not problems and not as_json:
        read = f" {about['pixels']} of them were read." if about["pixels"] else " No pixel was read."
        typer.echo(f"{found.sentence} The headers of {about['chips']} chips agree.{read}")
        typer.echo("".join(f"note: {text}.\n" for text in about["notes"]) + f"split: {about['split']}")
    if problems:
        raise InputError(f"{root} cannot be trained on: {problems}.")


def _check_places(root: Path, pictures: Path | None, *, as_json: bool) -> None:
    """Measure and draw each place of scenes. Raises InputError where one has a problem."""
    from overcast.atomic import write_atomic
    from overcast.data.scenes.checking import check_scenes
    from overcast.data.scenes.description import description_file
    from overcast.errors import InputError
    from overcast.report.place_picture import place_picture

    folder = pictures or description_file(root).parent / "check"
    findings = list(check_scenes(root))
    for finding in findings:
        if finding.place is not None:
            write_atomic(folder / f"{finding.name}.png", place_picture(finding.place))
    if as_json:
        print_json([_finding_as_json(finding) for finding in findings])
    else:
        _print_offsets(findings)
        typer.echo(f"pictures of {len(findings)} places in {folder}")
    for warning in (warning for finding in findings for warning in finding.warnings):
        typer.echo(f"warning: {warning}", err=True)
    problems = [problem for finding in findings for problem in finding.problems]
    for problem in problems[:-1]:
        typer.echo(f"error: {problem}", err=True)
    if problems:
        raise InputError(problems[-1])


def _finding_as_json(finding: PlaceFinding) -> dict[str, Any]:
    return {
        "place": finding.name,
        "offsets": [vars(offset) for offset in finding.offsets],
        "problems": list(finding.problems),
        "warnings": list(finding.warnings),
    }


def _print_offsets(findings: list[PlaceFinding]) -> None:
    rows = [
        (
            f"{finding.name}: {offset.layer} to {offset.reference}",
            f"{offset.px:.1f}",
            f"{offset.east_m:+.1f}",
            f"{offset.north_m:+.1f}",
            f"{offset.correlation:.2f}",
            f"{offset.confidence:.2f}",
        )
        for finding in findings
        for offset in finding.offsets
    ]
    print_table(("move", "px", "m east", "m north", "correlation", "confidence"), rows, title="offsets of edges")


def _print_counts(found: Inventory) -> None:
    from overcast.data.catalogs.layout import some

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
