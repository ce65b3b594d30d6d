"""Where `view` and `serve` listen, and to whom they answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fastapi import FastAPI

    from overcast.viewer.safety import Access

Port = Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")]
Basemap = Annotated[
    str | None, typer.Option(help="Tiles of a background map, https://HOST/{z}/{x}/{y}.png; none by default.")
]


@dataclass(frozen=True)
class Served:
    """Where a page is served, and to whom."""

    port: Port = 0
    host: Annotated[str, typer.Option(help="Address to listen on; others than this machine's need the token.")] = (
        "127.0.0.1"
    )
    token: Annotated[str | None, typer.Option(help="Asked of all who come; one is made for other addresses.")] = None

    def answer(self, app: FastAPI, allowed: Access, *, browser: bool) -> None:
        """Say where the page is, show it where that is wanted, and answer until Ctrl-C."""
        from overcast.viewer.run import address_of, listen, open_browser, serve

        bound = listen(self.host, self.port)
        page = address_of(bound, allowed)
        typer.echo(f"{page}\nCtrl-C ends it")
        serve(app, bound, ready=(lambda: open_browser(page)) if browser else None)
