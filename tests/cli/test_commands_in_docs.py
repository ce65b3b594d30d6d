"""Every `overcast ...` line in code blocks of README and docs names a command that exists, and its options only."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from where import ROOT

from overcast.cli import app
from overcast.errors import ConfigError

PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
PAGES = [page for page in PAGES if "generated" not in page.parts]
GROUP: Any = typer.main.get_command(app)


def lines_of(text: str) -> list[str]:
    """`overcast ...` lines in code blocks, fenced or indented, lines that a backslash ends joined."""
    found, fenced = [], False
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif (fenced or line.startswith("    ")) and line.split()[:1] == ["overcast"]:
            found.append(line.strip())
    return found


def mistakes(line: str) -> list[str]:
    """Words of a line that the command line does not know."""
    words, command = shlex.split(line, comments=True)[1:], GROUP
    while getattr(command, "commands", None) and words and not words[0].startswith("-"):
        if words[0] not in command.commands:
            return [words[0]]
        command, words = command.commands[words[0]], words[1:]
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"-h", "--help"}
    options = [word.strip("[]").partition("=")[0] for word in words if re.match(r"\[?--?[a-z]", word)]
    return [option for option in options if option not in known]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_options_exist(page: Path) -> None:
    wrong = {line: found for line in lines_of(page.read_text(encoding="utf-8")) if (found := mistakes(line))}
    assert not wrong


def test_lines_are_found_and_mistakes_seen() -> None:
    assert len(lines_of((ROOT / "README.md").read_text(encoding="utf-8"))) > 5
    text = "overcast none\n\n    overcast maps a.tif\n\n```\novercast predict a.tif \\\n    --into b  # c\n```\n"
    assert [mistakes(line) for line in lines_of(text)] == [["maps"], ["--into"]]
    assert mistakes("overcast splits folder data/city --block 3") == ["--block"]


def test_keys_of_set_are_those_in_the_help() -> None:
    from overcast.cli.declarations import RARE
    from overcast.cli.rare import RareOptions, rare_options

    assert set(RARE) == set(RareOptions.model_fields)
    with pytest.raises(ConfigError, match=r"til is not a known key; did you mean tile\?"):
        rare_options(["til=512"])
    assert rare_options(["tile=512", "acquired=2019-08-04", "cloud_values=[3, 8]"]).cloud_values == (3, 8)


def test_defaults_of_set_are_those_of_the_package() -> None:
    from overcast.cli.wanted import Wanted
    from overcast.runtime.options import Runtime
    from overcast.scenes.job import PredictOptions

    options = Wanted().options()
    plain = PredictOptions()
    assert options.polygons == plain.polygons
    assert options.scene.runtime is Runtime.AUTO
    assert (options.scene.tile, options.scene.overlap, options.scene.margin) == (
        plain.scene.tile,
        plain.scene.overlap,
        plain.scene.margin,
    )


@pytest.mark.parametrize("name", sorted(GROUP.commands))
def test_short_help_works(name: str) -> None:
    from typer.testing import CliRunner

    assert CliRunner().invoke(app, [name, "-h"]).exit_code == 0


def test_predict_takes_few_options_and_points_to_the_others() -> None:
    from typer.testing import CliRunner

    assert len(GROUP.commands["predict"].params) <= 20
    for given, said in (("--into", "overcast map"), ("--tta", "--set tta=VALUE"), ("--no-stac", "--set stac=false")):
        refused = CliRunner().invoke(app, ["predict", "a.tif", given, "b"]).exception
        assert isinstance(refused, ConfigError)
        assert said in str(refused)


def test_interruption_says_how_to_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("overcast.installed.scenes.model_for_files", lambda *_, **__: interrupted())
    result = CliRunner().invoke(app, ["predict", "a.tif"])
    assert result.exit_code == 130
    assert "interrupted; run the same command again to resume." in result.stderr
