"""The documentation site: the pages of this folder, and a reference that is made from the code when it is built."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from pygments.lexers.special import TextLexer
from typer.cli import get_docs_for_click

import overcast
from overcast.cli import app as command
from overcast.cli.rare import RareOptions
from overcast.config import config_yaml, load_config
from overcast.settings import to_yaml
from overcast.simulator.options import SimulationOptions

project, author, release = "Overcast", "Overcast contributors", overcast.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["generated/.*"]
html_theme = "furo"
html_title = f"Overcast {release}"
myst_heading_anchors = 4
autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
suppress_warnings = ["myst.strikethrough", "myst.header"]  # reports of benchmarks have no second level

GENERATED = Path(__file__).parent / "generated"
OUTSIDE = re.compile(r"\]\((?:\.\./)+([A-Z_]+\.md)")
"""A link from a page of this folder to one of the files at the root, such as EXPERIMENTS.md."""


def write_reference(*_: object) -> None:
    """All commands, and all keys of both configurations, from the code itself."""
    GENERATED.mkdir(exist_ok=True)
    clicked = typer.main.get_command(command)
    commands = get_docs_for_click(obj=clicked, ctx=typer.Context(clicked), name="overcast", title="Commands")
    (GENERATED / "commands.md").write_text(commands, encoding="utf-8")
    training = config_yaml(load_config(None, ["data.name=folder", "data.root=data/town"]))
    pages = {
        "training": ("Keys of a training", "`overcast train CONFIG` reads them, here with their defaults.", training),
        "simulation": (
            "Keys of a simulation",
            "`overcast simulate CONFIG` reads them, here with their defaults.",
            to_yaml(SimulationOptions()),
        ),
        "switches": (
            "Keys of predict and map",
            "`overcast predict` and `overcast map` take them as `--set KEY=VALUE`, here with their defaults.",
            to_yaml(RareOptions()),
        ),
    }
    for name, (title, purpose, keys) in pages.items():
        text = f"# {title}\n\n{purpose}\n\n```yaml\n{keys}```\n"
        (GENERATED / f"{name}.md").write_text(text, encoding="utf-8")


def write_tutorials(*_: object) -> None:
    """A page of each notebook, with the outputs that are stored in it."""
    for path in sorted((Path(__file__).parent / "tutorials").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        parts = [part for number, cell in enumerate(cells) for part in _parts(cell, f"{path.stem}-{number}")]
        (GENERATED / f"{path.stem}.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _parts(cell: dict[str, Any], name: str) -> Iterator[str]:
    """A cell and what it shows, as Markdown; pictures become files of that name."""
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield source
        return
    yield f"```{'bash' if source.startswith('!') else 'python'}\n{source.removeprefix('!')}\n```"
    for output in cell["outputs"]:
        data = output.get("data", {"text/plain": output.get("text")})
        if "image/png" in data:
            (GENERATED / f"{name}.png").write_bytes(base64.b64decode(data["image/png"]))
            yield f"![What the cell draws]({name}.png)"
        else:
            yield f"```text\n{''.join(data['text/plain']).rstrip()}\n```"


def link_root_files(_: Any, __: str, source: list[str]) -> None:
    """Links to files at the root of the repository lead to their pages of the site."""
    source[0] = OUTSIDE.sub(r"](/project/\1", source[0]).replace("](/project/README.md", "](/index.md")


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.add_lexer("mermaid", TextLexer)  # diagrams stay text: drawing them would load a script from elsewhere
    app.connect("builder-inited", write_reference)
    app.connect("builder-inited", write_tutorials)
    app.connect("source-read", link_root_files)
