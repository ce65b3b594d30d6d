"""How commands answer Ctrl-C and options that are elsewhere, in one sentence."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from overcast.cli.declarations import MOVED, RARE
from overcast.errors import EXIT_INTERRUPTED, ConfigError

GO_ON = "interrupted; run the same command again to resume."


class Commands(TyperGroup):
    """Commands that say how to resume when Ctrl-C ends them, which typer would not."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo(GO_ON, err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None


class SceneCommand(TyperCommand):
    """`predict` or `map`: says where an option is that is none of this command's own."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Raise ConfigError for an option of another command, or of `--set`."""
        own = {name for parameter in self.params for name in parameter.opts}
        for name in (given.partition("=")[0] for given in args if given.startswith("--")):
            if name not in own:
                _point(name, str(ctx.info_name))
        return super().parse_args(ctx, args)


def _point(name: str, command: str) -> None:
    if name in MOVED and command == "predict":
        raise ConfigError(f"{name}: predict maps one scene; map many with overcast map SCENES... -o FOLDER.")
    key = name.removeprefix("--").removeprefix("no-").replace("-", "_")
    if key in RARE:
        value = "false" if name.startswith("--no-") else "VALUE"
        raise ConfigError(f"{name} is rarely used, so it is given as --set {key}={value}.")
