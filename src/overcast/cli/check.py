"""Commands that check what a user has: check-data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, assert_never

import typer

from overcast.cli.console import print_json, print_table
from overcast.data.names import DatasetName

if TYPE_CHECKING:
    from overcast.data.scenes.checking import PlaceFinding


def check_data(
    *,
    name: Annotated[DatasetName, typer.Argument(help="Which data set it should be.")],
    root: Annotated[Path, typer.Argument(help="Folder that it was unpacked into; of scenes their description.")],
    partial: Annotated[bool, typer.Option(help="A part of the published files is enough, if they match.")] = False,
    headers: Annotated[bool, typer.Option(help="Open every file too: sizes, bands and grids.")] = False,
    pictures: Annotated[
        Path | None, typer.Option(help="Scenes: folder for a picture of each place; default: check beside them.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print counts and all missing names as JSON.")] = False,
) -> None:
    """Count the files of a downloaded data set and list what is missing; exit code 2 where something is.

    Of scenes, the offsets between SAR, optical image and footprints are measured too, and each place is drawn.

    Example: `overcast check-data dfc2023 data/track2`

    Example: `overcast check-data scenes data/town/town.yaml`
    """
    from overcast.data.inventory import take_inventory
    from overcast.data.layout import some
    from overcast.errors import InputError

    found = take_inventory(name, root, partial=partial)
    places = name is DatasetName.SCENES and found.complete
    if as_json and not places:
        print_json(found.as_json())
    elif not as_json:
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
    if places:
        count = _check_places(root, pictures, as_json=as_json)
        if not as_json:
            typer.echo(f"{found.sentence} The headers of {count} places agree.")
        return
    chips = len(_open(name, root).chips) if headers else None
    if not as_json:
        typer.echo(found.sentence + ("" if chips is None else f" The headers of {chips} chips agree."))


def _check_places(root: Path, pictures: Path | None, *, as_json: bool) -> int:
    """Measure and draw each place of scenes; their number. Raises InputError where one has a problem."""
    from overcast.data.scenes.checking import check_scenes
    from overcast.data.scenes.description import description_file
    from overcast.errors import InputError
    from overcast.evaluation.place_picture import place_picture

    folder = pictures or description_file(root).parent / "check"
    findings = list(check_scenes(root))
    folder.mkdir(parents=True, exist_ok=True)
    for finding in findings:
        if finding.place is not None:
            (folder / f"{finding.name}.png").write_bytes(place_picture(finding.place))
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
    return len(findings)


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


def _open(name: DatasetName, root: Path) -> Any:
    """The catalog, which opens the header of every file."""
    from overcast.data.bright import bright_catalog
    from overcast.data.dfc2023 import dfc2023_catalog
    from overcast.data.folder import folder_catalog
    from overcast.data.openearthmap_sar import openearthmap_sar_catalog
    from overcast.data.scenes.catalog import scenes_catalog
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
        case DatasetName.SCENES:
            return scenes_catalog(root, 256)
        case _:
            assert_never(name)
