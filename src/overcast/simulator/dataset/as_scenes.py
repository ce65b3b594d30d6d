"""A simulated town as a user has it: a radar scene, an orthophoto in another system, footprints over a part of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import shapely
import yaml
from affine import Affine
from numpy.typing import NDArray
from rasterio.warp import Resampling, calculate_default_transform, reproject

from overcast.errors import ConfigError, InputError
from overcast.raster.georeference import Georeference
from overcast.simulator.dataset.folder import Progress, begun, is_finished
from overcast.simulator.dataset.writing import (
    LICENCE,
    footprint_table,
    save,
    write_declaration,
    write_footprints,
    write_raster,
)
from overcast.simulator.optical.image import BANDS
from overcast.simulator.options import CRS, SimulationOptions
from overcast.simulator.place import PlaceId, SimulatedPlace, place_ids, simulate_place
from overcast.simulator.radar.image import NODATA

ORTHO_CRS = "EPSG:3035"
"""CRS of the orthophotos; it is turned by some degrees against the UTM grid of the radar scenes."""
FINER = 16
"""An orthophoto is imaged with 25 / FINER pixels along each radar pixel before it is projected."""
ORTHO_GSD = 0.8
"""Pixel of the orthophoto in pixels of the radar scene."""
LABELLED_SHARE = 1 / 3
"""Western part of each scene whose footprints are in the file."""
DESCRIPTION = "town.yaml"


def simulate_scenes(output: Path, options: SimulationOptions, progress: Progress | None = None) -> Path:
    """Write the scenes of `options` for the data source `scenes` and return the description, town.yaml.

    Of each scene: `sar/<name>.tif` with its declaration, `ortho/<name>.tif` in another coordinate system and pixel
    size, `footprints/<name>.gpkg` over the western third, `footprints/checked.gpkg` with that ground, and
    `truth/<name>.gpkg` with every footprint, which the description does not name. The folder is complete or absent; a
    finished one is left as it is.

    Raises:
        ConfigError: The options ask for places that are cut into chips, or for a scene of an odd size; or another
            process is writing the folder.
        InputError: The folder holds something else.
    """
    if options.places or not options.scenes or options.sar.radar_side == "mixed":
        raise ConfigError("scenes need places=0, scenes of at least 1 and one sar.radar_side.")
    if options.scene_px % FINER:
        raise ConfigError(f"a scene has {options.scene_px} pixels; make scene_m / gsd_m a multiple of {FINER}.")
    if is_finished(output, options):
        if not (output / DESCRIPTION).is_file():
            raise InputError(f"{output} holds the same simulation in another form: choose another folder.")
        return output / DESCRIPTION
    with begun(output, options) as partial:
        areas = []
        for done, scene in enumerate(place_ids(options)):
            if progress is not None:
                progress(done, options.scenes)
            areas.append(_write_scene(partial, scene, options))
        write_footprints(partial / "footprints" / "checked.gpkg", geopandas.GeoDataFrame(geometry=areas, crs=CRS))
        text = yaml.safe_dump(_description(options), sort_keys=False)
        save(partial / DESCRIPTION, text.encode())
    if progress is not None:
        progress(options.scenes, options.scenes)
    return output / DESCRIPTION


def _write_scene(root: Path, scene: PlaceId, options: SimulationOptions) -> shapely.Polygon:
    """Write the files of a scene; returns its labelled ground."""
    place = simulate_place(scene, options, options.gsd_m * FINER / 25)
    name, grid = f"{scene.name}.tif", place.grid
    write_raster(root / "sar" / name, place.sar, grid, options.sar.polarisations, predictor=3, nodata=NODATA)
    write_declaration(root / "sar" / f"{scene.name}.yaml", place, options)
    values, at = _projected(place, options.gsd_m)
    write_raster(root / "ortho" / name, values, at, BANDS[:3], predictor=2, nodata=0)
    table = footprint_table(place.city)
    table = table[table.intersects(shapely.box(*grid.extent))].reset_index(drop=True)
    left, bottom, right, top = grid.extent
    area = shapely.box(left, bottom, left + (right - left) * LABELLED_SHARE, top)
    write_footprints(root / "footprints" / f"{scene.name}.gpkg", table[table.intersects(area)].reset_index(drop=True))
    write_footprints(root / "truth" / f"{scene.name}.gpkg", table)
    return area


def _projected(place: SimulatedPlace, gsd_m: float) -> tuple[NDArray[np.uint8], Georeference]:
    """Red, green and blue in `ORTHO_CRS`; 0 beyond the image, which holds none."""
    grid = place.grid
    shown = place.optical[:3]
    source = grid.transform * Affine.scale(grid.width / shown.shape[2], grid.height / shown.shape[1])
    transform, width, height = calculate_default_transform(
        grid.crs, ORTHO_CRS, shown.shape[2], shown.shape[1], *grid.extent, resolution=ORTHO_GSD * gsd_m
    )
    values = np.zeros((3, height, width), np.uint8)
    reproject(
        np.maximum(shown, 1),
        values,
        src_transform=source,
        src_crs=grid.crs,
        src_nodata=0,
        dst_transform=transform,
        dst_crs=ORTHO_CRS,
        dst_nodata=0,
        resampling=Resampling.bilinear,
    )
    return values, Georeference(height, width, transform, ORTHO_CRS)


def _description(options: SimulationOptions) -> dict[str, Any]:
    side = str(options.sar.radar_side)
    sar = {"bands": list(options.sar.polarisations), "unit": options.sar.unit.value, "nodata": NODATA}
    return {
        "name": options.name,
        "class_name": "building",
        "licence": LICENCE,
        "simulated": True,
        "sar": {**sar, "radar_side": side},
        "optical": {"bands": list(BANDS[:3]), "unit": "digital_number", "nodata": 0},
        "places": {
            scene.name: {
                "sar": [f"sar/{scene.name}.tif"],
                "optical": [f"ortho/{scene.name}.tif"],
                "footprints": f"footprints/{scene.name}.gpkg",
                "labelled_area": "footprints/checked.gpkg",
            }
            for scene in place_ids(options)
        },
    }
