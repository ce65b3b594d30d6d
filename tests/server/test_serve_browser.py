"""The page of jobs as a person uses it, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser_cases import Seen, browser, watched
from serve_cases import LIMITS, make_root
from viewer_cases import running

from overcast.server.app import create_server
from overcast.server.records import Optical, load
from overcast.server.root import open_root
from overcast.viewer.safety import Access


def add_optical_image(seen: Seen) -> None:
    """Into the form, at the third attempt."""
    page = seen.page
    page.click("#beside summary")
    page.select_option("#clouds", "town.tif")
    page.click("#check")
    seen.wait("document.getElementById('form-note').textContent.includes('no optical image')")
    page.check("#optical input[value='uploads/ortho.tif']")
    page.fill("#cloud-values", "3, eight")
    page.click("#check")
    seen.wait("document.getElementById('form-note').textContent.includes('is a number')")
    low, end = (page.locator(name).bounding_box() for name in ("#form-note", "#panel"))
    assert low["y"] + low["height"] <= end["y"] + end["height"]  # what is wrong is in sight below the long form
    page.fill("#cloud-values", "3, 8")


def test_from_the_upload_to_the_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_root(tmp_path, monkeypatch)
    with (
        browser() as opened,
        running(create_server(open_root(folder, LIMITS), Access())) as client,
        watched(opened, accept_downloads=True) as seen,
    ):
        page = seen.page
        page.goto(client.base)
        seen.wait("document.querySelectorAll('#scene option').length === 5")

        page.set_input_files("#file", str(tmp_path / "layers" / "ortho.tif"))
        seen.wait("document.getElementById('scene').value === 'uploads/ortho.tif'")
        page.set_input_files("#file", str(tmp_path / "stand_in.py"))
        seen.wait("document.getElementById('form-note').textContent.includes('GeoTIFF')")
        assert [text for text in seen.problems if "415" not in text] == []  # the browser notes every refusal
        seen.problems.clear()

        page.click("#look")
        seen.wait("!!(window.overcastPage?.left?.loaded() && overcastPage.left.areTilesLoaded())")
        assert page.input_value("#scene") == "uploads/ortho.tif"
        page.click("#draw")
        for x, y in ((650, 250), (850, 250), (850, 450)):
            page.mouse.click(x, y)
        page.keyboard.press("Enter")
        page.mouse.dblclick(650, 450)
        assert "only the area is mapped" in page.text_content("#form-note")
        assert page.locator(".maplibregl-popup").count() == 0

        page.click("#check")
        seen.wait("document.getElementById('form-note').textContent.includes('“radar side”')")
        assert page.locator("#radar-side").is_visible()
        page.select_option("#radar-side", "north")
        add_optical_image(seen)
        page.click("#go")
        seen.wait("document.querySelector('#jobs li.successful') !== null")
        inputs = load(next((folder / "jobs").iterdir())).inputs
        assert inputs.area is not None
        assert inputs.optical == Optical(files=["uploads/ortho.tif"], clouds="town.tif", cloud_values=[3, 8])
        assert "finished; the optical image shows 50 % of it" in page.text_content("#jobs li.successful")
        with page.expect_download() as started:
            page.click("#jobs a:has-text('GeoParquet')")
        assert started.value.suggested_filename == "ortho-footprints.parquet"
        assert Path(started.value.path()).read_bytes().startswith(b"PAR1")

        page.select_option("#scene", "slow.tif")
        page.click("#go")
        seen.wait("document.querySelector('#jobs li.running progress')?.value === 25")
        assert "predict: 1.00 of 4.00 km² about 9 s left" in page.text_content("#jobs li.running")
        page.click("#jobs li.running button:has-text('Cancel')")
        seen.wait("document.querySelector('#jobs li.dismissed') !== null")

        page.click("#jobs li.successful a:has-text('36 footprints')")
        seen.wait("location.search.startsWith('?map=job-') && !!window.overcastPage?.left?.loaded()")
        assert seen.shown() == 36
        assert seen.problems == []
        assert seen.hosts <= {f"127.0.0.1:{client.port}", ""}
