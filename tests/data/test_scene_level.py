"""Scenes standardised by themselves: gain, calibration and unit do not matter; tiles, areas and resuming agree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from raster_files import write_tiff
from test_predict import NORTH_UP, OPTIONS, Mean, speckle, write_scene
from torch import nn

from overcast.batch import Modality
from overcast.choices import Encoding, ImageKind
from overcast.data.chips import Chip
from overcast.data.dataset import ChipDataset, SampleOptions
from overcast.data.labels import LabelSpec
from overcast.data.place_levels import PlaceLevels
from overcast.data.scene_level import HIGHEST, LOWEST, LevelledStatistics, SceneLevel, level_of
from overcast.data.statistics import compute_statistics
from overcast.errors import RadiometryError
from overcast.models.direct import Sight
from overcast.raster.radiometry import (
    BandStatistics,
    Radiometry,
    SensorRadiometry,
    Standardise,
    Statistics,
    Unit,
    check_same,
    require_same_standardise,
)
from overcast.raster.sources import ArraySource
from overcast.scenes.export import FromImage, export_model, metadata
from overcast.scenes.ground import area_of
from overcast.scenes.model import SceneModel
from overcast.scenes.predict import predict_file

SENSOR = SensorRadiometry(bands=("HH|VV",), unit=Unit.DECIBEL, gsd_m=0.5, standardise=Standardise.SCENE)
STATISTICS = BandStatistics(mean=(0.1,), std=(1.2,))
MODEL = SceneModel(Mean(), SENSOR, STATISTICS, Modality.SAR, "building", "city", "0123456789abcdef", "CC0-1.0")


def scene_sensor(unit: Unit, **changes: Any) -> SensorRadiometry:
    return SensorRadiometry(bands=("VV",), unit=unit, gsd_m=0.5, **changes)


def decibels() -> np.ndarray:
    values = speckle()[:1]
    values[:, :20, 30:60] = np.nan
    return values


def in_unit(values_db: np.ndarray, unit: Unit) -> np.ndarray:
    power = 10 ** (values_db / 10)
    return {Unit.DECIBEL: values_db, Unit.LINEAR_POWER: power, Unit.AMPLITUDE: np.sqrt(power)}[unit]


def mapped(folder: Path, values: np.ndarray, unit: Unit, **changes: Any) -> np.ndarray:
    folder.mkdir()
    scene = write_scene(folder / "scene.tif", values.astype(np.float32))
    target = folder / "probability.tif"
    options = replace(OPTIONS, encoding=Encoding.FLOAT32, **changes)
    predict_file([scene], MODEL, sensor=scene_sensor(unit), probability=target, options=options)
    with rasterio.open(target) as source:
        return source.read(1)


@pytest.mark.parametrize("unit", [Unit.LINEAR_POWER, Unit.AMPLITUDE, Unit.DECIBEL])
@pytest.mark.parametrize("gain_db", [0.0, 10.0, -37.0])
def test_gain_and_unit_do_not_change_the_map(tmp_path: Path, unit: Unit, gain_db: float) -> None:
    as_trained = mapped(tmp_path / "dB", decibels(), Unit.DECIBEL)
    other = mapped(tmp_path / "other", in_unit(decibels() + gain_db, unit), unit)
    assert np.ptp(as_trained[np.isfinite(as_trained)]) > 0.5
    # float32 keeps 4e-6 dB of 64 dB; with spread and slope of the network that is below 1e-5 of probability
    np.testing.assert_allclose(other, as_trained, atol=1e-5)


def test_an_area_is_that_part_of_the_whole_to_the_bit(tmp_path: Path) -> None:
    whole = mapped(tmp_path / "whole", decibels(), Unit.DECIBEL)
    left, top = NORTH_UP.c + 20, NORTH_UP.f - 30
    part = mapped(tmp_path / "part", decibels(), Unit.DECIBEL, area=area_of((left, top - 25, left + 40, top)))
    assert np.array_equal(part, whole[60:110, 40:120], equal_nan=True)


def test_other_tiles_change_nothing_of_a_network_that_sees_single_pixels(tmp_path: Path) -> None:
    small = mapped(tmp_path / "small", decibels(), Unit.DECIBEL)
    large = mapped(tmp_path / "large", decibels(), Unit.DECIBEL, scene=replace(OPTIONS.scene, tile=128))
    np.testing.assert_allclose(large, small, atol=1e-6)  # overlapping tiles are blended in float32


class FailsAt(nn.Module):
    """The mean of the bands; fails at one of its calls."""

    def __init__(self, call: int) -> None:
        super().__init__()
        self.left = call

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.left -= 1
        if self.left == 0:
            raise InterruptedError
        return 3 * x.mean(1, keepdim=True)


def test_a_run_that_goes_on_keeps_the_level(tmp_path: Path) -> None:
    expected = mapped(tmp_path / "expected", decibels(), Unit.DECIBEL)
    scene, target = write_scene(tmp_path / "scene.tif", decibels()), tmp_path / "probability.tif"
    given: dict[str, Any] = {
        "sensor": scene_sensor(Unit.DECIBEL),
        "probability": target,
        "options": replace(OPTIONS, encoding=Encoding.FLOAT32),
    }
    with pytest.raises(InterruptedError):
        predict_file([scene], replace(MODEL, network=FailsAt(11)), **given)
    notes: list[str] = []
    predict_file([scene], MODEL, progress=lambda state: notes.append(state.note), **given)
    assert any("going on with" in note for note in notes)
    with rasterio.open(target) as source:
        assert np.array_equal(source.read(1), expected, equal_nan=True)
        assert source.tags()["OVERCAST_SCENE_LEVEL"].startswith("median 2")


def test_level_is_median_and_quartiles_of_the_pixels_with_data() -> None:
    values = np.arange(101, dtype=np.float32)[None]
    level = SceneLevel.of(values, Unit.DECIBEL)
    assert level.median_db == (50.0,)
    assert list(level.spread_db) == pytest.approx([50 / 1.349])
    assert SceneLevel.of(np.empty((1, 0)), Unit.DECIBEL) == SceneLevel(Unit.DECIBEL, (0.0,), (0.5,))


def test_zero_power_and_single_reflectors_are_bounded() -> None:
    values = np.array([[[0.0, *np.linspace(1, 2, 100), 1e12]]], np.float32)
    found = SceneLevel.of(values[:, 0], Unit.LINEAR_POWER).apply(values, np.ones((1, 102), bool))
    assert found.min() == LOWEST
    assert found.max() == HIGHEST
    assert np.isfinite(found).all()


def test_a_large_scene_is_known_from_a_sample() -> None:
    values = np.random.default_rng(0).normal(-12, 5, (1, 1500, 2100)).astype(np.float32)
    level = level_of(ArraySource(values, scene_sensor(Unit.DECIBEL)), Unit.DECIBEL)
    # 64 windows of 128 px: a million pixels, whose median is known to about 0.006 dB
    assert level.median_db[0] == pytest.approx(-12, abs=0.03)
    assert level.spread_db[0] == pytest.approx(5, abs=0.03)


def test_small_images_are_standardised_by_their_own_level() -> None:
    image, valid = speckle()[:1], np.ones((150, 170), bool)
    sight, amplitude = Sight(SENSOR, STATISTICS), SENSOR.model_copy(update={"unit": Unit.AMPLITUDE})
    other = Sight(amplitude, STATISTICS).standardise(in_unit(image + 30, Unit.AMPLITUDE), valid)
    np.testing.assert_allclose(other, sight.standardise(image, valid), atol=1e-4)


def test_contract_takes_either_polarisation_and_any_unit_but_digital_numbers() -> None:
    for unit in (Unit.AMPLITUDE, Unit.LINEAR_POWER, Unit.DECIBEL):
        check_same(SENSOR, scene_sensor(unit), expected_name="model", found_name="scene")
    with pytest.raises(
        RadiometryError, match="scene has unit digital_number, but model has linear_power or amplitude or dB"
    ):
        check_same(SENSOR, scene_sensor(Unit.DIGITAL_NUMBER), expected_name="model", found_name="scene")
    crossed = SensorRadiometry(bands=("VH",), unit=Unit.DECIBEL, gsd_m=0.5)
    with pytest.raises(RadiometryError, match=r"scene has bands \[VH\], but model has \[HH or VV\]"):
        check_same(SENSOR, crossed, expected_name="model", found_name="scene")
    with pytest.raises(ValueError, match="needs a unit with decibels"):
        scene_sensor(Unit.DIGITAL_NUMBER, standardise="scene")
    with pytest.raises(RadiometryError, match=r"set data\.standardise=scene"):
        require_same_standardise(SENSOR, scene_sensor(Unit.DECIBEL), "city")


def place_of_two(folder: Path, gain: float) -> list[Chip]:
    """Two chips of one place, in amplitude, of which one is mostly dark."""
    rng, chips = np.random.default_rng(4), []
    for name, level in (("dark", 1.0), ("bright", 20.0)):
        path = folder / f"{name}.tif"
        write_tiff(path, (gain * level * rng.rayleigh(1, (1, 32, 32))).astype(np.float32))
        chips.append(Chip(name, "place", (path,), ()))
    return chips


@pytest.mark.parametrize("gain", [1.0, 25.0])
def test_chips_are_standardised_by_the_level_of_their_place(tmp_path: Path, gain: float) -> None:
    chips = place_of_two(tmp_path, gain)
    sensor = SensorRadiometry(bands=("HH",), unit=Unit.AMPLITUDE, gsd_m=1, standardise=Standardise.SCENE)
    radiometry = Radiometry(sar=sensor)
    levels = PlaceLevels(chips, radiometry, LabelSpec())
    statistics = compute_statistics(chips, radiometry, levels=levels)
    assert statistics.sar == BandStatistics(mean=(0.0,), std=(1.0,))
    plain = Statistics(sar=BandStatistics(mean=(0.0,), std=(1.0,)))
    modalities = frozenset({Modality.SAR})
    data = ChipDataset(chips, radiometry, LabelSpec(), plain, SampleOptions(), modalities, levels)
    dark, bright = (data[index].sar for index in range(2))
    assert dark is not None
    assert bright is not None
    assert np.median(np.stack([dark, bright])) == pytest.approx(0, abs=0.02)
    assert dark.mean() < -0.4 < 0.4 < bright.mean()


def test_an_export_takes_what_is_standardised_already(tmp_path: Path) -> None:
    facts = metadata(MODEL, ImageKind.UNIT, 64)
    assert "median" in facts["overcast_unit"]
    assert facts["overcast_standardise"] == '"scene"'
    assert export_model(MODEL, tmp_path / "model.onnx", tile=64, kind=ImageKind.UNIT) < 1e-5
    values = decibels()[:, :64, :64]
    valid = np.isfinite(values[0])
    level = SceneLevel.of(values[:, valid], Unit.DECIBEL)
    given = np.where(valid, level.apply(np.nan_to_num(values), valid), np.nan).astype(np.float32)
    with torch.inference_mode():
        found = FromImage(MODEL, ImageKind.UNIT).eval()(torch.from_numpy(given)[None])[0, 0].numpy()
        standard = LevelledStatistics.at(STATISTICS, level).standardise(np.nan_to_num(values), valid)
        wanted = torch.sigmoid(Mean()(torch.from_numpy(standard)[None]))[0, 0].numpy()
    np.testing.assert_allclose(found[valid], wanted[valid], atol=1e-5)
