"""Every script in benchmarks/ refuses impossible arguments with a sentence, before anything is done."""

from __future__ import annotations

import argparse
import re
import runpy
import sys
from pathlib import Path

import pytest
from where import ROOT

SCRIPTS = [
    *(path for path in sorted((ROOT / "benchmarks").rglob("*.py")) if path.parent.name != "peers"),
    *sorted((ROOT / "tools").glob("*.py")),
]
"""Those of the peers run in environments of their own."""
WITH_ARGUMENTS = [path for path in SCRIPTS if "ArgumentParser(" in path.read_text(encoding="utf-8")]


class ParsedError(Exception):
    """Carries the parser of a script out of it."""


@pytest.mark.parametrize("path", WITH_ARGUMENTS, ids=lambda path: path.stem)
def test_no_number_is_taken_unseen(path: Path, monkeypatch: pytest.MonkeyPatch):
    def parsed(self: argparse.ArgumentParser, *_: object) -> None:
        raise ParsedError(self)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parsed)
    with pytest.raises(ParsedError) as caught:
        runpy.run_path(str(path), run_name="__main__")
    parser = caught.value.args[0]
    bare = [action.dest for action in parser._actions if action.type in (int, float) and action.choices is None]
    assert bare == []


@pytest.mark.parametrize(
    ("script", "arguments", "said"),
    [
        ("training", ["--steps", "3"], "--steps: 3 is too small; name at least 5"),
        ("training", ["--rounds", "0"], "--rounds: 0 is too small"),
        ("training", ["--threads", "many"], "--threads: many is not a whole number"),
        ("cluster_cost", ["--seconds-per-km2", "-1", "--price-per-hour", "1"], "--seconds-per-km2: -1 is not above 0"),
        ("cluster_cost", ["--seconds-per-km2", "1", "--price-per-hour", "1", "--efficiency", "2"], "2 is more than 1"),
        ("outlines", ["--noise", "nan"], "--noise: nan is not above 0"),
        ("ombria_small", ["--data", "nowhere", "--output", "x"], "--data: nowhere does not exist"),
        ("training", ["--method", "no_such_method"], "error: "),
    ],
)
def test_impossible_arguments_are_a_sentence(
    script: str, arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (path,) = (path for path in SCRIPTS if path.stem == script)
    monkeypatch.setattr(sys, "argv", [str(path), *arguments])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(path), run_name="__main__")
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_the_list_of_benchmarks_names_every_script():
    listed = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    scripts = {path.stem for path in (ROOT / "benchmarks").glob("*/*.py")}
    assert scripts == set(re.findall(r"^\* `(\w+)`: ", listed, re.MULTILINE))
