"""Debian's Chromium through Playwright. Tests that need it are skipped where one of them is absent."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
"""Root has no sandbox in containers; WebGL is computed by the processor."""
LOADED = "!!(window.overcastPage?.left?.loaded() && window.overcastPage.left.areTilesLoaded())"
PATIENCE_S = 90.0


@dataclass
class Seen:
    """A page and what went wrong on it."""

    page: Any
    problems: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def wait(self, script: str) -> Any:
        """Until a script is true; the page's policy forbids Playwright's own way, which evaluates text in the page."""
        until = time.monotonic() + PATIENCE_S
        while not (found := self.page.evaluate(script)):
            assert time.monotonic() < until, f"{script} never became true; {self.problems}"
            time.sleep(0.05)
        return found

    def open(self, address: str) -> None:
        self.page.goto(address)
        self.wait(LOADED)

    def shown(self, layer: str = "footprints") -> int:
        """Polygons of a layer that are drawn; one that lies in two tiles counts once."""
        self.wait(LOADED)
        return int(
            self.page.evaluate(
                f"new Set(overcastPage.left.queryRenderedFeatures({{layers: ['{layer}']}}).map(f => f.id)).size"
            )
        )

    def pixel(self, x: int, y: int) -> tuple[int, int, int]:
        """The colour of a pixel of the screen."""
        import io

        from PIL import Image

        with Image.open(io.BytesIO(self.page.screenshot())) as image:
            red, green, blue = image.convert("RGB").crop((x, y, x + 1, y + 1)).tobytes()
        return red, green, blue


@contextmanager
def browser() -> Iterator[Any]:
    """A headless browser."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield opened
        finally:
            opened.close()


@contextmanager
def watched(opened: Any, width: int = 1100, height: int = 700, **options: Any) -> Iterator[Seen]:
    """A page that remembers errors of its console and the hosts that it asked."""
    context = opened.new_context(viewport={"width": width, "height": height}, **options)
    seen = Seen(context.new_page())
    seen.page.on("console", lambda said: seen.problems.append(said.text) if said.type == "error" else None)
    seen.page.on("pageerror", lambda error: seen.problems.append(str(error)))
    seen.page.on("request", lambda request: seen.hosts.add(urlsplit(request.url).netloc))
    try:
        yield seen
    finally:
        context.close()
