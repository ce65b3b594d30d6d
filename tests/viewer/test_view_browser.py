"""The map as a person uses it, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser_cases import Seen, browser, watched
from viewer_cases import Client, running, write_layers

from overcast.viewer.app import OneMap, create_app
from overcast.viewer.differences import compare
from overcast.viewer.safety import Access
from overcast.viewer.scene_map import SceneMap

SETTINGS = {"map": "scene", "basemap": None, "work": False}


@pytest.fixture(scope="module")
def opened() -> Iterator[Any]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("overcast.viewer.scene_map.compare_in_subprocess", compare)  # a new process imports for seconds
        shown = SceneMap("town", write_layers(tmp_path_factory.mktemp("layers")))
        with running(create_app(OneMap(shown), Access(), SETTINGS)) as asked:
            yield asked


@pytest.fixture
def seen(opened: Any, client: Client) -> Iterator[Seen]:
    with watched(opened) as page:
        page.open(client.base)
        yield page
        assert page.problems == []
        assert page.hosts <= {f"127.0.0.1:{client.port}", ""}  # blob: has no host


def on_screen(seen: Seen, number: int) -> tuple[float, float]:
    """Where the middle of a footprint is drawn."""
    script = (
        "(() => { const f = overcastPage.left.queryRenderedFeatures({layers: ['footprints-fill']})"
        f".find(f => f.id === {number});"
        " const ring = f.geometry.coordinates.flat(f.geometry.type === 'Polygon' ? 1 : 2);"
        " const xs = ring.map(c => c[0]), ys = ring.map(c => c[1]);"
        " const p = overcastPage.left.project([(Math.min(...xs) + Math.max(...xs)) / 2,"
        " (Math.min(...ys) + Math.max(...ys)) / 2]); return [p.x, p.y]; })()"
    )
    x, y = seen.page.evaluate(script)
    return float(x), float(y)


def test_threshold_differences_and_the_address(seen: Seen, client: Client) -> None:
    page = seen.page
    assert page.title() == "town – Overcast"
    assert seen.shown() == 36
    seen.wait("document.getElementById('f1').textContent !== '–'")
    assert page.text_content("#f1") == f"{36 / (36 + 18 + 7):.3f}"
    assert page.text_content("#count-missed") == "7"
    page.fill("#threshold", "0.75")
    assert page.text_content("#threshold-value") == "0.75"
    seen.wait("overcastPage.left.queryRenderedFeatures({layers: ['footprints']}).every(f => f.properties.c >= 750)")
    assert seen.shown() == 11
    assert page.text_content("#count-found") == "0"
    page.select_option("#colour-by", "differences")
    missed = "overcastPage.left.queryRenderedFeatures({layers: ['reference']})"
    seen.wait(f"new Set({missed}.map(f => f.id)).size === 25")
    page.keyboard.press("Escape")
    page.click("#title")
    page.keyboard.press("[")
    assert page.text_content("#threshold-value") == "0.74"
    seen.wait("location.hash.includes('t=0.74') && location.hash.includes('c=differences')")
    address = page.url
    page.mouse.move(700, 350)
    page.mouse.wheel(0, -400)
    seen.wait(f"location.href !== {address!r}")
    page.goto("about:blank")
    seen.open(address)
    assert page.input_value("#threshold") == "0.74"
    assert page.input_value("#colour-by") == "differences"
    assert address.split("#")[1].split("&")[0] == page.url.split("#")[1].split("&")[0]


def test_a_click_shows_what_the_file_says(seen: Seen) -> None:
    assert seen.shown() == 36
    seen.page.mouse.click(*on_screen(seen, 1))
    seen.wait("!!document.querySelector('.facts')")
    facts = seen.page.text_content(".facts")
    assert "Footprint 100" in facts
    assert "a <b> & c" in facts
    assert "confidence0.5" in facts
    assert "x, y" in facts


def test_layers_opacity_and_swipe(seen: Seen) -> None:
    page = seen.page
    assert seen.pixel(700, 340) != seen.pixel(1095, 340)
    page.uncheck("#show-scene")
    page.uncheck("#show-footprints")
    seen.wait("overcastPage.left.getLayoutProperty('scene', 'visibility') === 'none'")
    page.click("#title")
    page.keyboard.press("5")
    seen.wait("overcastPage.left.getLayoutProperty('scene', 'visibility') === 'visible'")
    page.fill("[aria-label='Opacity of Radar']", "0.5")
    seen.wait("overcastPage.left.getPaintProperty('scene', 'raster-opacity') === 0.5")
    page.keyboard.press("s")
    seen.wait("!!(overcastPage.right?.loaded() && overcastPage.right.areTilesLoaded())")
    assert page.evaluate("overcastPage.right.getLayoutProperty('optical', 'visibility')") == "visible"
    grey, colour = seen.pixel(500, 400), seen.pixel(720, 400)
    assert max(grey) - min(grey) <= 12 < max(colour) - min(colour)
    box = page.locator("#divider").bounding_box()
    page.mouse.move(box["x"] + 14, 400)
    page.mouse.down()
    page.mouse.move(850, 400, steps=3)
    page.mouse.up()
    seen.wait("location.hash.includes('s=0.77')")
    moved = seen.pixel(720, 400)
    assert max(moved) - min(moved) <= 12
    left, right = (page.evaluate(f"overcastPage.{side}.getZoom()") for side in ("left", "right"))
    assert left == right


def test_probability_follows_the_threshold(seen: Seen) -> None:
    page = seen.page
    page.uncheck("#show-scene")
    page.uncheck("#show-footprints")
    page.check("#show-probability")
    page.fill("#threshold", "0.1")
    seen.wait("overcastPage.left.loaded() && overcastPage.left.areTilesLoaded()")
    x, y = page.evaluate("(p => [p.x, p.y])(overcastPage.left.project(overcastPage.left.getCenter()))")
    place = int(x), int(y)
    ground = 0xDF, 0xE5, 0xE9  # of style.css
    page.wait_for_timeout(300)
    assert seen.pixel(*place) != ground
    page.fill("#threshold", "0.9")
    seen.wait("overcastPage.left.loaded()")
    page.wait_for_timeout(300)
    assert seen.pixel(*place) == ground


def test_measuring_and_the_keys(seen: Seen) -> None:
    page = seen.page
    page.keyboard.press("m")
    assert page.get_attribute("#measure", "aria-pressed") == "true"
    project = "overcastPage.left.unproject"
    metres = page.evaluate(f"{project}([600, 300]).distanceTo({project}([800, 300]))")
    page.mouse.click(600, 300)
    page.mouse.click(800, 300)
    assert float(page.text_content(".measured").split()[0]) == pytest.approx(metres, rel=0.01)
    page.mouse.click(800, 500)
    page.keyboard.press("Enter")
    text = page.text_content(".measured")
    assert "m²" in text
    assert float(text.split("·")[1].split()[0]) == pytest.approx(metres**2 / 2, rel=0.02)
    page.keyboard.press("Escape")
    assert page.locator(".measured").count() == 0
    page.keyboard.press("m")
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()
    page.click("#keys button")
    page.keyboard.press("p")
    assert not page.locator("#panel-body").is_visible()
    assert page.text_content(".maplibregl-ctrl-scale").endswith("\N{NO-BREAK SPACE}m")
    assert "EPSG:32631" in page.text_content("#crs")
    page.mouse.move(700, 300)
    assert "N" in page.text_content("#position")


def test_a_small_dark_screen(opened: Any, client: Client, tmp_path: Path) -> None:
    with watched(opened, 390, 760, color_scheme="dark", has_touch=True) as seen:
        seen.open(client.base)
        assert not seen.page.locator("#panel-body").is_visible()
        assert sum(seen.pixel(195, 745)) < 150  # the panel is dark
        seen.page.click("#fold")
        assert seen.page.locator("#threshold").is_visible()
        for name in ("#fit", "#swipe", "#measure", "#theme", "#help"):
            box = seen.page.locator(name).bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 390
        seen.page.click("#theme")
        assert sum(seen.pixel(195, 745)) > 600
        assert seen.problems == []
