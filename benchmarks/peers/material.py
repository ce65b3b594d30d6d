"""What all peers are given: a simulated radar scene and the weights of a plain U-Net that finds buildings in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
import torch
from common import BANDS, network
from torch import Tensor, nn

from overcast.bundle.bundle import BUNDLED, load_bundle
from overcast.models.network import TwinNetwork
from overcast.raster.radiometry import BandStatistics
from overcast.simulator.options import CityOptions, SarOptions, SimulationOptions
from overcast.simulator.place import SimulatedPlace, place_ids, simulate_place

PIECE_PX, LESSON_PX = 1500, 768
SCENE_SEED, LESSON_SEED = 1, 2


def simulated(seed: int, side_px: int) -> SimulatedPlace:
    """A dense simulated place at 1 m without gaps; its radar has the gain around which the model was trained."""
    options = SimulationOptions(
        seed=seed,
        places=0,
        scenes=1,
        scene_m=side_px,
        gsd_m=1.0,
        city=CityOptions(built_share=0.9, trees=0.5, cars=0.5),
        sar=SarOptions(looks=4, wedge_share=0.0, gain_drift_db=0.0, cross_drift_db=0.0),
    )
    return simulate_place(place_ids(options)[0], options)


def write_scene(path: Path, size: int) -> None:
    """(4, size, size) float32 in dB: a simulated place of up to 1500 px, repeated as often as it takes."""
    side = min(size, PIECE_PX)
    place = simulated(SCENE_SEED, side)
    profile = {"driver": "GTiff", "dtype": "float32", "count": BANDS, "height": size, "width": size, "nodata": 0}
    place_on_earth = {"crs": place.grid.crs, "transform": place.grid.transform}
    layout = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate"}
    times = -(-size // side)
    values = np.tile(np.where(place.sar == 0, np.float32(0.01), place.sar), (1, times, times))[:, :size, :size]
    with rasterio.open(path, "w", **profile, **place_on_earth, **layout) as sink:
        sink.write(values)


def statistics() -> BandStatistics:
    """Of the pixels that the installed model was trained on."""
    return load_bundle(BUNDLED).info.statistics.sar


def write_weights(path: Path) -> None:
    """State dict of the plain U-Net: the installed model's SAR encoder and decoder, and a head of 145 numbers.

    The installed model joins two such branches, which no peer could load; one branch fits a plain smp.Unet as it is
    but has no head. It is fitted to the truth of another simulated place, on features of the frozen branch.
    """
    installed = load_bundle(BUNDLED).standardised_network
    assert isinstance(installed, TwinNetwork)
    branch = installed.second
    state = {f"encoder.{name}": value for name, value in branch.encoder.state_dict().items()}
    state |= {f"decoder.{name}": value for name, value in branch.decoder.state_dict().items()}
    torch.manual_seed(0)
    head = nn.Conv2d(branch.decoder_channels, 1, 3, padding=1)
    lesson = simulated(LESSON_SEED, LESSON_PX)
    x = statistics().standardise(lesson.sar, (lesson.sar != 0).all(axis=0))
    with torch.no_grad():
        features = branch.decode(branch.encode(torch.from_numpy(x)[None]))
    fit(head, features, torch.from_numpy(lesson.mask).float()[None, None])
    state |= {f"segmentation_head.0.{name}": value for name, value in head.state_dict().items()}
    torch.save(state, path)
    network(path)


def fit(head: nn.Conv2d, features: Tensor, truth: Tensor) -> None:
    """Logistic regression, by L-BFGS."""
    optimiser = torch.optim.LBFGS(head.parameters(), max_iter=40, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = nn.functional.binary_cross_entropy_with_logits(head(features), truth)
        value.backward()
        return value

    optimiser.step(loss)
