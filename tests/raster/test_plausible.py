"""Values that cannot be what is declared: found in samples and in tiles, before a scene is mapped or prepared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from prepare_miniatures import BANDS, in_db, model, power, write
from test_grids import DIRECTED, OPTIONS

from overcast.errors import InputError, RadiometryError
from overcast.preparation.options import PrepareOptions
from overcast.preparation.run import prepare_scene
from overcast.raster.checked import CheckedSource, require_plausible
from overcast.raster.grid import Window
from overcast.raster.plausible import SCENE, doubt, fill_values, photograph, same_pixels
from overcast.raster.radiometry import RadarSide, SensorRadiometry, Unit
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


def declared(**more: object) -> SensorRadiometry:
    return DIRECTED.sensor.model_copy(update=more)


def mapped(tmp_path: Path, *paths: Path, **more: object) -> None:
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
