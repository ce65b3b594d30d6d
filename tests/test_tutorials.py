"""The notebooks of the tutorials run from the first cell to the last, and hold the outputs of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas
import pytest
from tools.notebook import run
from where import ROOT

SMALL = {"sar-to-geopackage": {"side_m": 256}, "few-labels": {"side_m": 384, "steps": 3, "tile_px": 64}}


def notebook(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "docs" / "tutorials" / f"{name}.ipynb").read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_tutorial_is_run() -> None:
    assert set(SMALL) == {path.stem for path in (ROOT / "docs" / "tutorials").glob("*.ipynb")}


@pytest.mark.slow
def test_a_scene_becomes_a_geopackage() -> None:
    names = run(notebook("sar-to-geopackage"), SMALL["sar-to-geopackage"])
    again = geopandas.read_file("again.gpkg", layer="again")
    assert len(again) == len(names["prediction"].footprints) > 0
    assert again.geometry.geom_equals(geopandas.read_file("footprints.gpkg", layer="footprints").geometry).all()
    assert 0 < names["scores"].area_iou < 1
    assert Path("map.html").stat().st_size > 10_000


@pytest.mark.slow
def test_unlabelled_ground_is_learnt_from() -> None:
    names = run(notebook("few-labels"), SMALL["few-labels"])
    assert "STATE_THIS" not in Path("town/scenes.yaml").read_text(encoding="utf-8")
    assert set(names["found"]) == {"sar", "cmhcl"}
    assert names["rest"].area == pytest.approx(384 * 256)
    assert names["truth"].area > 0


@pytest.mark.parametrize("name", sorted(SMALL))
def test_stored_outputs_are_those_of_one_run(name: str) -> None:
    cells = [cell for cell in notebook(name)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    kinds = {kind for cell in cells for output in cell["outputs"] for kind in output.get("data", ["stream"])}
    assert {"stream", "image/png"} <= kinds


def test_cells_show_print_and_take_parameters() -> None:
    def code(source: str, *tags: str) -> dict[str, Any]:
        return {"cell_type": "code", "metadata": {"tags": list(tags)}, "source": source.splitlines(keepends=True)}

    cells = [code("n = 5", "parameters"), code("print(n)\nn + 1"), code("n;"), code("!echo {n} \\\n  b\n!echo c")]
    assert run({"cells": cells}, {"n": 2})["n"] == 2
    shown = [[output.get("text", output.get("data")) for output in cell["outputs"]] for cell in cells]
    assert shown == [[], [["2\n"], {"text/plain": ["3"]}], [], [["2 b\n", "c\n"]]]


def test_a_command_that_fails_stops_the_notebook() -> None:
    cell = {"cell_type": "code", "metadata": {}, "source": ["!echo why >&2; false"]}
    with pytest.raises(RuntimeError, match="why"):
        run({"cells": [cell]})
