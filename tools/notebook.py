"""Runs the cells of notebooks in order with plain Python, without Jupyter, and stores what they show.

    python -m tools.notebook docs/tutorials/few-labels.ipynb

A cell is Python, of which the last expression is shown, or lines that begin with `!`, which bash runs after `{name}` is
replaced as IPython does it. Printed text and figures of matplotlib are stored. Files that the cells write go to a
folder that is removed at the end.
"""

from __future__ import annotations

import argparse
import ast
import base64
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import chdir, redirect_stdout
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

Cell = dict[str, Any]


def run(notebook: Mapping[str, Any], parameters: Mapping[str, object] | None = None) -> dict[str, Any]:
    """Execute the cells in the working directory and store their outputs in them; returns the names that they leave.

    `parameters` replace what the cell with the tag `parameters` assigns.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    count = 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            count += 1
            cell["execution_count"], cell["outputs"] = count, _outputs(cell, names, count)
        if "parameters" in cell["metadata"].get("tags", ()):
            names |= parameters or {}
    return names


def _outputs(cell: Cell, names: dict[str, Any], count: int) -> list[dict[str, Any]]:
    source, printed = "".join(cell["source"]), io.StringIO()
    with redirect_stdout(printed):
        value = None if source.startswith("!") else _python(source, names)
        if source.startswith("!"):
            _shell(source, names)
    found: list[dict[str, Any]] = []
    if printed.getvalue():
        found.append({"name": "stdout", "output_type": "stream", "text": printed.getvalue().splitlines(keepends=True)})
    if value is not None:
        data = {"text/plain": str(value).splitlines(keepends=True)}
        found.append({"data": data, "execution_count": count, "metadata": {}, "output_type": "execute_result"})
    pictures = [{"image/png": _png(plt.figure(number))} for number in plt.get_fignums()]
    found += [{"data": data, "metadata": {}, "output_type": "display_data"} for data in pictures]
    plt.close("all")
    return found


def _png(figure: Figure) -> str:
    """A figure as PNG of 64 colours, a third of the size, in base64."""
    drawn, content = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=80, bbox_inches="tight")
    Image.open(drawn).convert("RGB").quantize(64).save(content, "PNG", optimize=True)
    return base64.b64encode(content.getvalue()).decode()


def _python(source: str, names: dict[str, Any]) -> object:
    """Execute a cell; the value of its last expression, unless a semicolon ends it."""
    tree = ast.parse(source)
    last = tree.body[-1] if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    if last is not None:
        tree.body.pop()
    exec(compile(tree, "<cell>", "exec"), names)  # noqa: S102  # notebooks of this repository
    value = None if last is None else eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)  # noqa: S307
    return None if source.rstrip().endswith(";") else value


def _shell(source: str, names: Mapping[str, Any]) -> None:
    """Run the lines of a cell, with the commands of this Python's environment on the path."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    for line in source.replace("\\\n", " ").splitlines():
        command = line.removeprefix("!").format_map(names)
        done = subprocess.run(
            ["bash", "-euc", command], check=False, capture_output=True, text=True, env={**os.environ, "PATH": path}
        )
        if done.returncode:
            raise RuntimeError(f"{command}\n{done.stdout}{done.stderr}")
        print(done.stdout, end="")


def main() -> None:
    """Bring the stored outputs of notebooks up to date."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", type=Path, nargs="+")
    plt.switch_backend("agg")
    for path in parser.parse_args().notebooks:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        with tempfile.TemporaryDirectory() as folder, chdir(folder):
            run(notebook)
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
