"""The `overcast` command: thin commands, one public call each; heavy imports inside keep `--help` fast."""

from __future__ import annotations

import logging
import os
import sys
from typing import Annotated

import typer

from overcast import __version__
from overcast.cli import bench, benchmarks, check, data, distil, installed, maps, models, prepare, scenes, serve, view
from overcast.cli.commands import Commands, SceneCommand
from overcast.errors import EXIT_INTERNAL, OvercastError, exit_code, is_environment_error, remedy

app = typer.Typer(
    name="overcast",
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
    help="Map building footprints from radar: train on optical + SAR, work from SAR alone.\n\n"
    "Start with: `overcast demo --output demo-output`",
)
for command in (
    models.demo,
    data.simulate,
    models.train,
    distil.distil,
    models.evaluate,
    benchmarks.benchmark,
    prepare.prepare,
    maps.predict,
    maps.map_scenes,
    view.view,
    serve.serve,
    benchmarks.score,
    models.describe,
    models.export,
    scenes.new_dataset,
    check.check_data,
    scenes.cut,
    data.check_leak,
):
    if command in {maps.predict, maps.map_scenes}:
        app.command("predict" if command is maps.predict else "map", cls=SceneCommand)(command)
    else:
        app.command()(command)
app.add_typer(installed.models_app, name="models")
app.add_typer(data.splits_app, name="splits")
app.add_typer(bench.bench_app, name="bench")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[bool, typer.Option(help="Show the traceback of an error.")] = False,
) -> None:
    """Options before the command."""
    del version
    if debug:
        os.environ["OVERCAST_DEBUG"] = "1"


def main() -> None:
    """Run the command line; an error that the user can mend is one sentence and exit code 2."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    try:
        app()
    except (OvercastError, OSError) as error:
        if os.environ.get("OVERCAST_DEBUG") or exit_code(error) == EXIT_INTERNAL:
            raise
        typer.echo(f"error: {_sentence(error)}", err=True)
        sys.exit(exit_code(error))


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError) and is_environment_error(error):
        return f"{error.filename or 'a file'}: {error.strerror}; {remedy(error)}."
    return str(error)
