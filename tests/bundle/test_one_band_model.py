"""The installed model of one band: small, what it says of itself, and buildings in a scene of any unit and gain."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import rasterio

from overcast.batch import IGNORE_LABEL
from overcast.bundle.bundle import BUNDLED, WEIGHTS, load_bundle
from overcast.metrics.pixel import count_pixels
from overcast.raster.radiometry import Radiometry, SensorRadiometry, Standardise, Unit
from overcast.simulator.dataset.folder import simulate_dataset
from overcast.simulator.options import CityOptions, SarOptions, SimulationOptions

ONE_BAND = BUNDLED.parent / "one-band-simulated-1m"


def test_it_is_small_and_takes_either_polarisation_by_itself() -> None:
    assert (ONE_BAND / WEIGHTS).stat().st_size <= 10e6
    radiometry: Radiometry = load_bundle(ONE_BAND).info.radiometry
    sar: SensorRadiometry = radiometry.sar
    assert (sar.bands, sar.gsd_m, sar.standardise) == (("HH|VV",), 1.0, Standardise.SCENE)
    card = (ONE_BAND / "README.md").read_text()
    assert "HH or VV | amplitude, linear_power or dB; each scene is standardised by itself" in card
    assert "Trained on simulated radar" in card


@pytest.mark.parametrize("polarisation", ["HH", "VV"])
def test_it_finds_buildings_on_unseen_ground(tmp_path: Path, polarisation: Literal["HH", "VV"]) -> None:
    options = SimulationOptions(
        seed=47,
        places=0,
        scenes=1,
        scene_m=320,
        gsd_m=1.0,
        city=CityOptions(built_share=0.9),
        sar=SarOptions(wedge_share=0, unit=Unit.LINEAR_POWER, polarisations=(polarisation,)),
    )
    scene = simulate_dataset(tmp_path / "city", options) / "scenes" / "scene0000"
    with rasterio.open(scene / "sar.tif") as image, rasterio.open(scene / "mask.tif") as truth:
        power, mask = image.read(), truth.read(1)
    bundle = load_bundle(ONE_BAND)
    found = bundle.probability(10 * np.log10(power))
    brighter = bundle.probability(10 * np.log10(power * 1000))
    np.testing.assert_allclose(brighter, found, atol=2e-3)  # 30 dB more; the network sees them to 1e-5
    assert count_pixels(found, np.where(np.isfinite(found), mask, IGNORE_LABEL)).iou > 0.55
