"""Values that cannot be what is declared: found in samples and in tiles, before a scene is mapped or prepared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from prepare_miniatures import BANDS, in_db, model, power, write
from test_grids import DIRECTED, OPTIONS

from overcast.errors import InputError, RadiometryError
from overcast.preparation.options import Level, PrepareOptions
from overcast.preparation.run import prepare_scene
from overcast.raster.checked import CheckedSource, require_plausible
from overcast.raster.grid import Window
from overcast.raster.plausible import SCENE, doubt, fill_values, photograph, same_pixels
from overcast.raster.radiometry import BandStatistics, RadarSide, SensorRadiometry, Unit
from overcast.raster.sources import ArraySource, RasterioSource
from overcast.scenes.declare import scene_radiometry
from overcast.scenes.predict import predict_file

RNG = np.random.default_rng(3)
DECIBELS = RNG.normal(-12, 5, 4000).astype(np.float32)
POWER = (10 ** (DECIBELS / 10)).astype(np.float32)
LARGEST = float(np.finfo("float32").max)


def filled(values: np.ndarray, *fills: float) -> np.ndarray:
    out = values.copy()
    for index, fill in enumerate(fills):
        out[10 * index : 10 * index + 5] = fill
    return out


@pytest.mark.parametrize("fill", [2147483647.0, -3.4e38, -LARGEST, LARGEST, -999.0, -9999.0, -32768.0, 1e20])
@pytest.mark.parametrize("unit", [Unit.DECIBEL, Unit.LINEAR_POWER, Unit.AMPLITUDE])
def test_fill_values_are_found_in_any_unit(fill: float, unit: Unit):
    values = filled(DECIBELS if unit is Unit.DECIBEL else POWER, fill)
    assert fill_values(values, unit) == [np.float32(fill)]
    assert "cannot be" in str(doubt(values, unit, SCENE))


HOLED = [
    ("below the others", -50.0, DECIBELS, Unit.DECIBEL),
    ("within the limits of dB", -99.0, DECIBELS, Unit.DECIBEL),
    ("above the others", 99.0, DECIBELS, Unit.DECIBEL),
    ("amid the others", -10.0, DECIBELS, Unit.DECIBEL),
    ("255 of bytes", 255.0, RNG.integers(1, 120, 4000).astype(np.float32), Unit.AMPLITUDE),
    ("65535", 65535.0, np.sqrt(POWER) * 900, Unit.AMPLITUDE),
]


@pytest.mark.parametrize(("fill", "values", "unit"), [row[1:] for row in HOLED], ids=[row[0] for row in HOLED])
def test_a_value_that_stands_out_may_mean_no_data(fill: float, values: np.ndarray, unit: Unit):
    holed = values.copy()
    holed[100:300] = fill
    assert str(doubt(holed, unit, SCENE)).startswith(
        f"5.0% of its values are exactly {fill:g}, which is hardly a measurement; give --nodata={fill:g} if"
    )


def test_a_scaled_file_is_told_the_nodata_that_it_stores(tmp_path: Path):
    """The advice works: nodata is compared with what is stored."""
    values = in_db(power()).astype(np.float32)
    stored = np.round(values * 100).astype(np.int16)
    stored[:, 20:50, 30:70] = -32768
    scene = write(tmp_path / "scene.tif", stored, names=BANDS)
    with rasterio.open(scene, "r+") as file:
        file.scales = (0.01,) * 4
    with pytest.raises(RadiometryError, match=r"-327\.6799927 cannot be dB; give --nodata=-32768 if"):
        mapped(tmp_path, scene)
    options = PrepareOptions(unit=Unit.DECIBEL, radar_side=RadarSide.NORTH)
    with pytest.raises(RadiometryError, match="cannot be dB; give --nodata=-32768 if"):
        prepare_scene([scene], model(), tmp_path / "o.tif", options)
    mapped(tmp_path, scene, nodata=-32768.0)
    with rasterio.open(tmp_path / "p.tif") as file:
        missing = file.dataset_mask() == 0
    assert missing[25:45, 35:65].all()
    assert not missing[:15].any()


@pytest.mark.parametrize("pair", [(0.0, 0.0), (float("nan"), 0.0), (1.0, float("inf"))])
def test_a_scale_that_leaves_nothing_is_refused(tmp_path: Path, pair: tuple[float, float]):
    scene = write(tmp_path / "scene.tif", in_db(power()).astype(np.float32), names=BANDS)
    with rasterio.open(scene, "r+") as file:
        file.scales, file.offsets = (1.0, pair[0], 1.0, 1.0), (0.0, pair[1], 0.0, 0.0)
    with pytest.raises(InputError, match="for band 2, which leave nothing of its values"):
        mapped(tmp_path, scene)
    options = PrepareOptions(unit=Unit.DECIBEL, radar_side=RadarSide.NORTH)
    with pytest.raises(InputError, match="for band 2, which leave nothing of its values"):
        prepare_scene([scene], model(), tmp_path / "o.tif", options)


def test_a_fourth_band_of_bytes_that_has_a_name_is_no_transparency(tmp_path: Path):
    """GDAL takes the fourth of four bands of bytes for alpha, whatever it is called."""
    numbers = np.clip(np.round(np.sqrt(power()) * 40), 1, 255).astype(np.uint8)
    scene = write(tmp_path / "scene.tif", numbers, names=BANDS)
    options = PrepareOptions(unit=Unit.AMPLITUDE, radar_side=RadarSide.NORTH, level=Level.KEEP)
    prepare_scene([scene], model(), tmp_path / "o.tif", options)
    with rasterio.open(scene) as before, rasterio.open(tmp_path / "o.tif") as after:
        assert before.colorinterp[3].name == "alpha"
        assert after.descriptions == BANDS
        np.testing.assert_allclose(after.read(), 20 * np.log10(before.read().astype(float)), atol=1e-3)


def test_numbers_of_colours_are_no_measurement(tmp_path: Path):
    numbers = RNG.integers(1, 90, (1, 60, 70)).astype(np.uint8)
    scene, sensor = write(tmp_path / "scene.tif", numbers), declared(bands=("HH",), unit=Unit.AMPLITUDE)
    with rasterio.open(scene, "r+") as file:
        file.write_colormap(1, {number: (number,) * 3 for number in range(256)})
    with RasterioSource.open([scene], sensor) as source:  # grey: each number is its own brightness
        assert source.read(Window(0, 0, 60, 70)).valid.all()
    with rasterio.open(scene, "r+") as file:
        file.write_colormap(1, {number: (number, 0, 255 - number) for number in range(256)})
    with pytest.raises(InputError, match="drawn in the colours of a palette"), RasterioSource.open([scene], sensor):
        pass
    options = PrepareOptions(unit=Unit.AMPLITUDE, radar_side=RadarSide.NORTH)
    with pytest.raises(InputError, match="drawn in the colours of a palette"):
        prepare_scene([f"{name}={scene}" for name in BANDS], model(), tmp_path / "o.tif", options)


def test_a_scene_far_from_the_training_data_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    values = in_db(power()).astype(np.float32)
    mean = tuple(values.mean(axis=(1, 2)).tolist())
    statistics = BandStatistics(mean=mean, std=(5.0,) * 4)
    near = replace(DIRECTED, statistics=statistics)
    scene = write(tmp_path / "scene.tif", values - 30, names=BANDS)
    for path, told in ((write(tmp_path / "near.tif", values, names=BANDS), False), (scene, True)):
        caplog.clear()
        predict_file([path], near, sensor=declared(), probability=tmp_path / f"{told}.tif", options=OPTIONS)
        assert ("(6 deviations away)" in caplog.text) is told


def test_two_fill_values_are_both_named():
    text = doubt(filled(DECIBELS, -9999.0, -32768.0, 2147483647.0), Unit.DECIBEL, SCENE)
    assert str(text).startswith("-32768, -9999, 2147483648 cannot be dB; give --nodata=-32768 if it means no data")


ODD = [
    ("dB as power", DECIBELS, Unit.LINEAR_POWER, "below 0, too many for power"),
    ("dB as amplitude", DECIBELS, Unit.AMPLITUDE, "which amplitude never is"),
    ("power as dB", POWER, Unit.DECIBEL, "look linear, not like dB"),
    ("digital numbers as dB", RNG.integers(1, 4000, 4000).astype(np.float32), Unit.DECIBEL, "are no dB"),
    ("zeros", np.concatenate([DECIBELS, np.zeros(100, np.float32)]), Unit.DECIBEL, "exactly 0"),
    (
        "one value",
        np.full(300, 7.0, np.float32),
        Unit.AMPLITUDE,
        "all of its values are 7, which is hardly a measurement; give --nodata=7",
    ),
]


@pytest.mark.parametrize(("values", "unit", "match"), [row[1:] for row in ODD], ids=[row[0] for row in ODD])
def test_implausible_values_are_named(values: np.ndarray, unit: Unit, match: str):
    assert match in str(doubt(values, unit, SCENE))


FINE = [
    ("dB", DECIBELS, Unit.DECIBEL),
    ("bright dB", DECIBELS + 40, Unit.DECIBEL),
    ("a few pixels that are alike", np.full(100, 7.0, np.float32), Unit.AMPLITUDE),
    ("dB in whole steps", np.round(DECIBELS + 12), Unit.DECIBEL),
    ("scattered noise far below", np.concatenate([DECIBELS, -100 - RNG.random(20)]), Unit.DECIBEL),
    ("a dead pixel", np.append(DECIBELS, -250.0), Unit.DECIBEL),
    ("power", POWER, Unit.LINEAR_POWER),
    ("power with noise subtracted", POWER - 0.01, Unit.LINEAR_POWER),
    ("saturated amplitudes", np.minimum(np.sqrt(POWER), 0.5), Unit.AMPLITUDE),
    ("dB with a floor", np.maximum(DECIBELS, -18), Unit.DECIBEL),
    ("a drawing", np.repeat([-1.0, 12.0], [3000, 1000]), Unit.DECIBEL),
    ("saturated numbers", np.minimum(RNG.integers(0, 90000, 4000), 65535), Unit.DIGITAL_NUMBER),
    ("dark numbers", RNG.integers(0, 3, 4000), Unit.DIGITAL_NUMBER),
    ("signed numbers", RNG.integers(-50, 3000, 4000), Unit.DIGITAL_NUMBER),
    ("dark amplitudes", RNG.integers(0, 40, 4000), Unit.AMPLITUDE),
    ("nothing", np.empty(0), Unit.DECIBEL),
]


@pytest.mark.parametrize(("values", "unit"), [row[1:] for row in FINE], ids=[row[0] for row in FINE])
def test_right_values_pass(values: np.ndarray, unit: Unit):
    assert doubt(values, unit, SCENE) is None


def test_same_pixels_are_told_but_crossed_polarisations_may_share():
    a, b = DECIBELS, DECIBELS[::-1]
    assert same_pixels(("HH", "HV", "VH", "VV"), [a, b, b, a[::2].repeat(2)]) is None
    assert "HH and VV hold the same pixels" in str(same_pixels(("HH", "VV"), [a, a.copy()]))
    assert same_pixels(("HH", "VV"), [np.full(9, 3.0)] * 2) is None


def test_a_photograph_of_digital_numbers_is_told_from_false_colours_by_correlation():
    light = RNG.normal(100, 30, 3000)
    photo = np.stack([light + RNG.normal(0, 8, 3000) for _ in range(3)])
    assert photograph(photo, Unit.DIGITAL_NUMBER)
    assert not photograph(RNG.gamma(2, 20, (3, 3000)), Unit.DIGITAL_NUMBER)


def declared(**more: Any) -> SensorRadiometry:
    return DIRECTED.sensor.model_copy(update=more)


def mapped(tmp_path: Path, *paths: Path, **more: Any) -> None:
    sensor = declared(**more)
    predict_file(paths, DIRECTED, sensor=sensor, probability=tmp_path / "p.tif", options=OPTIONS)


@pytest.mark.parametrize("fill", [2147483647.0, -3.4028234663852886e38, -999.0])
def test_predict_and_prepare_refuse_the_same_undeclared_nodata(tmp_path: Path, fill: float):
    values = in_db(power()).astype(np.float32)
    values[:, 20:50, 30:70] = fill
    scene = write(tmp_path / "scene.tif", values, names=BANDS)
    with pytest.raises(RadiometryError, match=r"scene\.tif.*cannot be dB; give --nodata=") as predicted:
        mapped(tmp_path, scene)
    with pytest.raises(RadiometryError) as prepared:
        prepare_scene(
            [scene], model(), tmp_path / "o.tif", PrepareOptions(unit=Unit.DECIBEL, radar_side=RadarSide.NORTH)
        )
    said = [str(error.value).split(" cannot be dB")[1] for error in (predicted, prepared)]
    assert said[0] == said[1]
    assert not (tmp_path / "p.tif").exists()
    mapped(tmp_path, scene, nodata=float(np.float32(fill)))
    assert (tmp_path / "p.tif").exists()


def test_what_is_accepted_by_name_is_mapped(tmp_path: Path):
    values = in_db(power()).astype(np.float32)
    values[:, 20:30, 30:40] = -999
    scene = write(tmp_path / "scene.tif", values, names=BANDS)
    mapped(tmp_path, scene, accept_values=True)
    assert (tmp_path / "p.tif").exists()
    assert not scene_radiometry([scene], {"unit": "dB"}).accept_values


def test_a_tile_finds_what_the_sample_has_missed():
    values = np.broadcast_to(DECIBELS.reshape(1, 50, 80), (4, 50, 80)).copy()
    values[2, 7, 3:6] = -9999
    sensor = declared()
    source = CheckedSource(ArraySource(values, sensor), sensor, "scene", SCENE)
    assert source.read(Window(20, 0, 30, 80)).valid.all()
    with pytest.raises(RadiometryError, match="scene: VH: -9999 cannot be dB"):
        source.read(Window(0, 0, 20, 80))


def test_one_file_given_for_all_polarisations_is_refused(tmp_path: Path):
    scene = write(tmp_path / "hh.tif", in_db(power()).astype(np.float32)[:1])
    copies = [write(tmp_path / f"{name}.tif", in_db(power()).astype(np.float32)[:1]) for name in ("a", "b", "c")]
    for files in ([scene] * 4, [scene, *copies]):
        with pytest.raises(RadiometryError, match="HH and HV hold the same pixels, so one file was given"):
            mapped(tmp_path, *files)
    inputs = [f"{name}={path}" for name, path in zip(BANDS, [scene, *copies], strict=True)]
    with pytest.raises(RadiometryError, match="HH and HV hold the same pixels"):
        prepare_scene(
            inputs, model(), tmp_path / "o.tif", PrepareOptions(unit=Unit.DECIBEL, radar_side=RadarSide.NORTH)
        )


def test_a_colour_photograph_is_no_radar_image(tmp_path: Path):
    light = RNG.integers(30, 90, (60, 70))
    photo = np.stack([light, light + 5, light + 9, np.full_like(light, 255)]).astype(np.uint8)
    scene = write(tmp_path / "photo.tif", photo)
    with rasterio.open(scene) as file:
        assert [colour.name for colour in file.colorinterp[:3]] == ["red", "green", "blue"]
    with pytest.raises(RadiometryError, match=r"photo\.tif looks like a colour photograph"):
        scene_radiometry([scene], {"unit": "dB"})
    with pytest.raises(RadiometryError, match="are a colour photograph, not a radar image"):
        mapped(tmp_path, scene)
    with pytest.raises(InputError, match="3 found; this looks like a colour photograph"):
        mapped(tmp_path, write(tmp_path / "rgb.tif", photo[:3]))
    with pytest.raises(RadiometryError, match="are a colour photograph, not a radar image"):
        prepare_scene(
            [f"{name}={scene}@{1 + index % 3}" for index, name in enumerate(BANDS)],
            model(), tmp_path / "o.tif", PrepareOptions(unit=Unit.AMPLITUDE, radar_side=RadarSide.NORTH),
        )  # fmt: skip
    named = write(tmp_path / "named.tif", RNG.integers(1, 60, (4, 60, 70)).astype(np.uint8), names=BANDS)
    mapped(tmp_path, named)


def test_the_overview_of_a_scene_is_looked_at_where_there_is_one(tmp_path: Path):
    """A hole between the windows of the sample."""
    values = RNG.normal(20, 4, (1, 2048, 2048)).astype(np.float32)
    values[:, 80:200, 80:200] = -999
    path = write(tmp_path / "scene.tif", values, tiled=True, blockxsize=256, blockysize=256)
    sensor = declared(bands=("HH",))
    with RasterioSource.open([path], sensor) as source:
        require_plausible(source, sensor, "scene", SCENE)
    with rasterio.open(path, "r+") as file:
        file.build_overviews([4], rasterio.enums.Resampling.nearest)
    with RasterioSource.open([path], sensor) as source, pytest.raises(RadiometryError, match="-999 cannot be dB"):
        require_plausible(source, sensor, "scene", SCENE)
