"""A labelled scene of any size for a model: simulated places side by side, repeated until the scene is full."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window

from overcast.batch import Modality
from overcast.choices import SimulationPreset
from overcast.experiments.speed.storage import Storage
from overcast.raster.radiometry import RadarSide
from overcast.scenes.model import SceneModel
from overcast.simulator.options import CRS, CityOptions, SarOptions, SimulationOptions, preset
from overcast.simulator.place import place_ids, simulate_place

PLACES, PLACE_PX = 4, 1024
"""Different places, and the side of each; a mosaic of them is repeated over the scene."""
BLOCK = 512
_SIMULATED = {"HH", "HV", "VH", "VV"}


@dataclass(frozen=True)
class Ground:
    """What the scene is filled with."""

    values: NDArray[np.float32]
    """(C, h, w) in the model's unit, 0 where the radar has no data."""
    label: NDArray[np.uint8] | None
    """(h, w), 1 building; None where the model's sensor cannot be simulated and the scene is noise."""


def make_ground(model: SceneModel, seed: int, places: int = PLACES, place_px: int = PLACE_PX) -> Ground:
    """Simulated radar and its truth as the model's sensor would see it; noise by the model's statistics otherwise."""
    options = _options(model, seed, places, place_px)
    if options is None:
        generator = np.random.default_rng(seed)
        shape = (len(model.statistics.mean), place_px, place_px)
        mean, std = (
            np.array(part, np.float32)[:, None, None] for part in (model.statistics.mean, model.statistics.std)
        )
        return Ground(mean + std * generator.standard_normal(shape, np.float32), None)
    made = [simulate_place(place, options) for place in place_ids(options)]
    columns = max(1, int(len(made) ** 0.5))
    rows = [made[first : first + columns] for first in range(0, len(made) - columns + 1, columns)]
    return Ground(
        np.concatenate([np.concatenate([place.sar for place in row], 2) for row in rows], 1),
        np.concatenate([np.concatenate([place.mask for place in row], 1) for row in rows], 0),
    )


def repeated(values: NDArray[Any], first_row: int, rows: int, width: int) -> NDArray[Any]:
    """Rows of the scene, (..., rows, width), where `values` (..., h, w) is repeated from the upper left corner."""
    picked = np.take(values, range(first_row, first_row + rows), axis=-2, mode="wrap")
    return np.take(picked, range(width), axis=-1, mode="wrap")


def write_scene(path: Path, ground: Ground, size_px: int, gsd_m: float, storage: Storage = Storage.DEFLATE) -> None:
    """The scene as float32 GeoTIFF in tiles of 512 px."""
    layout = {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "compress": storage.value, "num_threads": "2"}
    place = {"crs": CRS, "transform": Affine(gsd_m, 0, 593_000, 0, -gsd_m, 5_750_000), "nodata": 0}
    shape = {"count": len(ground.values), "height": size_px, "width": size_px, "dtype": "float32"}
    with rasterio.open(path, "w", driver="GTiff", **shape, **place, **layout) as dataset:
        for row in range(0, size_px, BLOCK):
            rows = min(BLOCK, size_px - row)
            dataset.write(repeated(ground.values, row, rows, size_px), window=Window(0, row, size_px, rows))


def _options(model: SceneModel, seed: int, places: int, place_px: int) -> SimulationOptions | None:
    """The simulation that resembles a model's sensor; None where there is none."""
    sensor = model.sensor
    simulated = model.modality is Modality.SAR and _SIMULATED.issuperset(sensor.bands)
    if not simulated or sensor.unit not in get_args(SarOptions.model_fields["unit"].annotation):
        return None
    if not 0.1 <= sensor.gsd_m <= 10:
        return None
    sar = SarOptions.model_validate(
        {
            "polarisations": sensor.bands,
            "unit": sensor.unit,
            "radar_side": sensor.radar_side or RadarSide.NORTH,
            "looks": 4,
            "wedge_share": 0.03,
        }
    )
    changes = {
        "seed": seed,
        "places": 0,
        "scenes": places,
        "gsd_m": sensor.gsd_m,
        "scene_m": place_px * sensor.gsd_m,
        "city": CityOptions(built_share=0.9, trees=0.5, cars=0.5),
        "sar": sar,
    }
    return preset(SimulationPreset.DEMO).model_copy(update=changes)
