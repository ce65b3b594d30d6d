"""The command that shows a map in the browser."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from overcast.cli.groups import with_groups
from overcast.cli.served import Basemap, Served


@dataclass(frozen=True)
class Files:
    """What the map shows."""

    footprints: Annotated[
        Path | None, typer.Argument(help="Footprints: .gpkg, .parquet, .geojson, .fgb or .shp; may be left out.")
    ] = None
    scene: Annotated[Path | None, typer.Option(help="The radar scene, best as cloud-optimised GeoTIFF.")] = None
    probability: Annotated[Path | None, typer.Option(help="Probability that `overcast predict` wrote.")] = None
    optical: Annotated[Path | None, typer.Option(help="Orthophoto.")] = None
    reference: Annotated[
        Path | None, typer.Option(help="True footprints: the map shows what was found, missed and invented, and F1.")
    ] = None


@with_groups
def view(
    *,
    shown: Files,
    export: Annotated[
        Path | None, typer.Option(help="Write the map as one HTML file to send, and serve nothing.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Of the page; default: the name of the first file.")] = None,
    served: Served,
    basemap: Basemap = None,
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
    from overcast.viewer.safety import access
    from overcast.viewer.scene_map import MapFiles, SceneMap

    files = MapFiles(**vars(shown))
    if export is not None:
        from overcast.viewer.export import export_map

        typer.echo(f"map in {export_map(export, files, title=title, overwrite=overwrite)}")
        return
    first = next(iter(files.given.values()), Path("overcast"))
    page = OneMap(SceneMap(title or first.name, files, virtual=True))
    allowed = access(served.host, served.token, basemap)
    app = create_app(page, allowed, {"map": OneMap.NAME, "basemap": basemap, "work": False})
    served.answer(app, allowed, browser=browser)
