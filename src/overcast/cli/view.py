"""The command that shows a map in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def view(
    *,
    footprints: Annotated[
        Path | None, typer.Argument(help="Footprints: .gpkg, .parquet, .geojson, .fgb or .shp; may be left out.")
    ] = None,
    scene: Annotated[Path | None, typer.Option(help="The radar scene, best as cloud-optimised GeoTIFF.")] = None,
    probability: Annotated[Path | None, typer.Option(help="Probability that `overcast predict` wrote.")] = None,
    optical: Annotated[Path | None, typer.Option(help="Orthophoto.")] = None,
    reference: Annotated[
        Path | None, typer.Option(help="True footprints: the map shows what was found, missed and invented, and F1.")
    ] = None,
    export: Annotated[
        Path | None, typer.Option(help="Write the map as one HTML file to send, and serve nothing.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Of the page; default: the name of the first file.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    host: Annotated[
        str, typer.Option(help="Address to listen on; others than this machine's need the token.")
    ] = "127.0.0.1",
    token: Annotated[str | None, typer.Option(help="Asked of all who come; one is made for other addresses.")] = None,
    basemap: Annotated[
        str | None, typer.Option(help="Tiles of a background map, https://HOST/{z}/{x}/{y}.png; none by default.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the file of --export.")] = False,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
) -> None:
    """Look at footprints over radar, orthophoto and probability, in the browser.

    Move the threshold, swipe between two sides, click for attributes, compare with a reference. Everything is drawn
    from the files on demand, by a server on this machine that ends with Ctrl-C.

    Example: `overcast view footprints.gpkg --scene scene.tif --optical ortho.tif --reference osm.gpkg`

    To send by e-mail: `overcast view footprints.gpkg --scene scene.tif --export map.html`
    """
    from overcast.viewer.app import OneMap, create_app
    from overcast.viewer.run import address_of, listen, open_browser, serve
    from overcast.viewer.safety import access
    from overcast.viewer.scene_map import MapFiles, SceneMap

    files = MapFiles(footprints, scene, probability, optical, reference)
    if export is not None:
        from overcast.viewer.export import export_map

        typer.echo(f"map in {export_map(export, files, title=title, overwrite=overwrite)}")
        return
    first = next(iter(files.given.values()), Path("overcast"))
    shown = SceneMap(title or first.name, files, virtual=True)
    allowed = access(host, token, basemap)
    app = create_app(OneMap(shown), allowed, {"map": OneMap.NAME, "basemap": basemap, "work": False})
    bound = listen(host, port)
    address = address_of(bound, allowed)
    typer.echo(f"{address}\nCtrl-C ends it")
    serve(app, bound, ready=(lambda: open_browser(address)) if browser else None)
