"""The map as one HTML file."""

from __future__ import annotations

import base64
import gzip
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browser_cases import browser, watched
from typer.testing import CliRunner
from viewer_cases import footprints_table, write_layers

from overcast.cli import app
from overcast.errors import InputError
from overcast.viewer.export import MapPage, export_map
from overcast.viewer.scene_map import MapFiles


def packed(page: str, part: str) -> str:
    """A part of a map, unpacked."""
    found = re.search(r'id="overcast-packed">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return gzip.decompress(base64.b64decode(json.loads(found[1])[part])).decode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("senders-own-folder")


@pytest.fixture(scope="module")
def files(folder: Path) -> MapFiles:
    return write_layers(folder)


@pytest.fixture(scope="module")
def written(files: MapFiles, folder: Path) -> Path:
    return export_map(folder / "map.html", files, title="town </script><b> & co")


def test_the_file_holds_everything_and_no_path_of_the_sender(written: Path, folder: Path) -> None:
    page = written.read_text(encoding="utf-8")
    texts = [page, *(packed(page, part) for part in ("page", "data"))]
    assert not any(folder.name in text for text in texts)
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    data: dict[str, Any] = json.loads(texts[-1])
    assert set(data["pictures"]) == {"scene", "optical"}
    assert len(data["shapes"]["footprints"]["features"]) == 36
    assert data["facts"]["footprints"]["1"]["model"] == "a <b> & c"
    assert (data["curve"][0]["found"], data["curve"][0]["missed"]) == (18, 7)
    west, north = data["pictures"]["scene"]["coordinates"][0]
    box = footprints_table().to_crs("EPSG:4326").total_bounds
    assert west < box[0]
    assert north > box[3]
    assert "Redistribution and use" in page
    assert "<title>town &lt;/script&gt;" in page


def test_the_file_works_without_a_server(written: Path) -> None:
    with browser() as opened, watched(opened) as seen:
        seen.open(written.as_uri())
        assert seen.shown() == 36
        assert seen.page.text_content("#f1") == f"{36 / 61:.3f}"
        seen.page.fill("#threshold", "0.8")
        seen.wait("overcastPage.left.queryRenderedFeatures({layers: ['footprints']}).every(f => f.properties.c >= 800)")
        seen.page.select_option("#colour-by", "differences")
        seen.page.keyboard.press("Escape")
        seen.page.click("#title")
        seen.page.keyboard.press("s")
        seen.wait("!!(overcastPage.right?.loaded() && overcastPage.right.areTilesLoaded())")
        assert seen.problems == []
        assert seen.hosts <= {""}


def test_a_notebook_shows_it_in_a_frame(files: MapFiles, tmp_path: Path) -> None:
    shown = MapPage.of(replace(files, reference=None, optical=None))
    assert shown._repr_html_().startswith('<iframe srcdoc="&lt;!doctype html&gt;')
    assert '"' not in shown._repr_html_().partition('srcdoc="')[2].partition('" style=')[0]
    saved = shown.save(tmp_path / "map.html")
    with pytest.raises(InputError, match="exists already"):
        shown.save(saved)
    with pytest.raises(InputError, match=r"does not end in \.html"):
        shown.save(tmp_path / "map.pdf")


def test_the_command_writes_it(files: MapFiles, tmp_path: Path) -> None:
    command = ["view", str(files.footprints), "--optical", str(files.optical), "--export", str(tmp_path / "map.html")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    data = json.loads(packed((tmp_path / "map.html").read_text(encoding="utf-8"), "data"))
    assert set(data["info"]["layers"]) == {"footprints", "optical"}
    again = CliRunner().invoke(app, command)
    assert isinstance(again.exception, InputError)
    assert CliRunner().invoke(app, [*command, "--overwrite"]).exit_code == 0
