"""The container file and the compose file name files, folders, options and ports that exist and fit together."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

import typer
import yaml
from packaging.requirements import Requirement
from where import ROOT

from overcast.cli import app

GROUP: Any = typer.main.get_command(app)


def instructions() -> list[tuple[str, str]]:
    """Name and rest of each instruction of the container file."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Containerfile").read_text(encoding="utf-8"))
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest) for name, rest in lines]


def rest_of(wanted: str) -> str:
    (found,) = [rest for name, rest in instructions() if name == wanted]
    return found


def command() -> dict[str, Any]:
    """What the container runs, as `overcast serve` understands it; unknown options are errors."""
    assert json.loads(rest_of("ENTRYPOINT")) == ["overcast"]
    name, *arguments = json.loads(rest_of("CMD"))
    with GROUP.commands[name].make_context(name, arguments) as context:
        return dict(context.params)


def test_the_image_holds_what_the_package_is_built_from() -> None:
    copied = {name for found, rest in instructions() if found == "COPY" for name in rest.split()[:-1]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert copied == {"constraints.txt", "pyproject.toml", project["project"]["readme"], "LICENSE", "src"}
    assert all((ROOT / name).exists() for name in copied)
    let_through = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert let_through[0] == "**"
    assert {name.removeprefix("!") for name in let_through[1:]} == copied


def test_the_build_finds_its_tools_among_the_pinned_packages() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pinned = dict(
        re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    )
    for needed in (*project["build-system"]["requires"], *project["project"]["dependencies"]):
        wanted = Requirement(needed)
        assert wanted.specifier.contains(pinned[wanted.name.lower()]), needed


def test_the_command_uses_the_folders_and_the_port_of_the_image() -> None:
    given = command()
    assert (str(given["root"]), given["port"]) == (rest_of("VOLUME"), int(rest_of("EXPOSE")))
    owned = next(rest for name, rest in instructions() if name == "RUN" and "useradd" in rest)
    assert re.search(rf"install -d -o {rest_of('USER')} {given['root']} {given['models']}$", owned)


def test_compose_starts_that_image_with_its_folders_port_and_token() -> None:
    given = command()
    service = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]["overcast"]
    assert (ROOT / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    inside = [volume.split(":")[1] for volume in service["volumes"]]
    assert inside == [str(given["root"]), str(given["models"])]
    assert service["ports"] == [f"127.0.0.1:{given['port']}:{given['port']}"]
    (token,) = [one for one in GROUP.commands["serve"].params if one.name == "token"]
    assert list(service["environment"]) == [token.envvar]
    assert f"/home/{rest_of('USER')}" in service["tmpfs"]
    (owner,) = re.findall(r"--uid (\d+)", (ROOT / "Containerfile").read_text(encoding="utf-8"))
    assert f"sudo chown {owner} maps" in (ROOT / "docs/view.md").read_text(encoding="utf-8")
