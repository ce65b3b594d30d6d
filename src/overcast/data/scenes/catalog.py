"""The catalog of a data set of scenes: its places, opened and cut into tiles."""

from __future__ import annotations

from pathlib import Path

from overcast.data.catalog import Catalog
from overcast.data.labels import LabelSpec
from overcast.data.scenes.description import ScenesDescription, description_file, read_scenes
from overcast.data.scenes.open_place import native_gsd_m, open_place, optical_sensor, require_same_gsd, sar_sensor
from overcast.data.scenes.place import Place
from overcast.data.scenes.tiles import chips_of
from overcast.raster.radiometry import GSD_TOLERANCE, Radiometry


def open_places(path: Path) -> tuple[ScenesDescription, list[Place]]:
    """The description in a file, or in the folder that holds it, and its places with every file opened.

    Raises:
        ConfigError: The description has an unknown key or a wrong value.
        InputError: A file cannot be used, or the files of a place show different ground.
    """
    file = description_file(path)
    description = read_scenes(file)
    gsd_m = native_gsd_m(description, file.parent)
    places = [
        open_place(name, options, description, file.parent, gsd_m) for name, options in description.places.items()
    ]
    require_same_gsd(places, gsd_m, GSD_TOLERANCE)
    return description, places


def scenes_catalog(path: Path, tile_px: int) -> Catalog:
    """Tiles of `tile_px` pixels of every place, those without any data left out.

    Raises as `open_places`.
    """
    description, places = open_places(path)
    gsd_m = native_gsd_m(description, description_file(path).parent)
    crs = str(places[0].grid.crs)
    return Catalog(
        name=description.name,
        class_name=description.class_name,
        chips=tuple(chip for place in places for chip in chips_of(place, tile_px, crs)),
        radiometry=Radiometry(
            sar=sar_sensor(description, gsd_m),
            optical=None if description.optical is None else optical_sensor(description, gsd_m),
        ),
        label=LabelSpec(),
        licence=description.licence,
        simulated=description.simulated,
    )
