"""From what users have to what a model accepts: units, bands, nodata, declarations, refusals."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from prepare_miniatures import BANDS, NORTH_UP, UTM31, in_db, model, power, read, write
from rasterio.control import GroundControlPoint
from rio_cogeo.cogeo import cog_validate
from typer.testing import CliRunner

from overcast import __version__
from overcast.cli import app
from overcast.errors import ConfigError, InputError, RadiometryError
from overcast.preparation.aim import ForTraining
from overcast.preparation.convert import Conversion
from overcast.preparation.options import Level, PrepareOptions, calibration
from overcast.preparation.run import PrepareSummary, prepare_scene
from overcast.raster.files import open_grid
from overcast.raster.grid import HALF_TURN
from overcast.raster.radiometry import RadarSide, SensorRadiometry, Unit
from overcast.raster.units import Resampling
from overcast.scenes.declare import scene_radiometry
from overcast.scenes.model import SceneModel


def stated(**changes: Any) -> PrepareOptions:
    return PrepareOptions(**{"radar_side": RadarSide.NORTH, "stac": False, **changes})


def prepare(folder: Path, *inputs: str | Path, to: SceneModel | None = None, **changes: Any) -> np.ndarray:
    """(C, H, W) as prepared."""
    prepare_scene(inputs, to or model(), folder / "out.tif", stated(overwrite=True, **changes))
    return read(folder / "out.tif")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def forms(values: np.ndarray) -> dict[str, tuple[np.ndarray, dict[str, object], dict[str, object]]]:
    """The same power as users have it: stored values, how the file is written, what has to be stated."""
    phase = np.exp(2j * np.pi * np.random.default_rng(3).random(values.shape))
    amplitude = np.sqrt(values)
    return {
        "power": (values.astype(np.float32), {}, {"unit": Unit.LINEAR_POWER}),
        "amplitude": (amplitude.astype(np.float32), {}, {"unit": Unit.AMPLITUDE}),
        "dB": (in_db(values).astype(np.float32), {}, {"unit": Unit.DECIBEL}),
        "intensity, said by the file": (values.astype(np.float32), {"units": ["intensity"] * 4}, {}),
        "complex": ((amplitude * phase).astype(np.complex64), {}, {}),
        "complex integers' magnitude with a factor": (
            (1000 * amplitude * phase).astype(np.complex64), {}, {"calibration_db": {"": 60.0}}
        ),
        "digital numbers with a factor": (
            np.round(100 * amplitude).astype(np.uint16), {}, {"unit": Unit.DIGITAL_NUMBER, "calibration_db": {"": 40.0}}
        ),
        "digital numbers with a table's number": (
            np.round(100 * amplitude).astype(np.uint16),
            {},
            {"unit": Unit.DIGITAL_NUMBER, "calibration_db": calibration([], ["100"])},
        ),
        "digital numbers of Capella": (
            np.round(100 * amplitude).astype(np.uint16),
            {"tags": {"TIFFTAG_IMAGEDESCRIPTION": '{"collect": {"image": {"scale_factor": 0.01}}}'}},
            {"unit": Unit.DIGITAL_NUMBER},
        ),
        "whole hundredths of dB with a scale": (
            np.round(100 * in_db(values)).astype(np.int16), {"scales": [0.01] * 4}, {"unit": Unit.DECIBEL}
        ),
    }  # fmt: skip


@pytest.fixture(scope="module")
def averaged(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """The scene at 2.5 m, from power."""
    folder = tmp_path_factory.mktemp("averaged")
    scene = write(folder / "scene.tif", power(), names=BANDS)
    found = prepare(folder, scene, to=model(gsd_m=2.5), unit=Unit.LINEAR_POWER)
    assert found.shape == (4, 36, 44)
    return found


EACH_FORM = [(form, 2.5) for form in forms(power(4, 4))] + [(form, 1.0) for form in ("power", "amplitude", "complex")]


@pytest.mark.parametrize(("form", "gsd_m"), EACH_FORM)
def test_one_scene_in_every_form_is_the_same_scene(tmp_path: Path, averaged: np.ndarray, form: str, gsd_m: float):
    """Power, amplitude, dB, complex and digital numbers agree to rounding, averaged or not."""
    values = power()
    stored, profile, said = forms(values)[form]
    scene = write(tmp_path / "scene.tif", stored, names=BANDS, **profile)
    found = prepare(tmp_path, scene, to=model(gsd_m=gsd_m), **said)
    wanted = in_db(values) if gsd_m == 1 else averaged
    np.testing.assert_allclose(found, wanted, atol=0.02 if "digital" in form or "whole" in form else 2e-5)


@pytest.mark.parametrize("unit", [Unit.DECIBEL, Unit.AMPLITUDE, Unit.LINEAR_POWER])
def test_output_has_the_models_unit(tmp_path: Path, unit: Unit):
    values = power()
    scene = write(tmp_path / "scene.tif", in_db(values), names=BANDS)
    found = prepare(tmp_path, scene, to=model(unit), unit=Unit.DECIBEL)
    wanted = {Unit.DECIBEL: in_db(values), Unit.AMPLITUDE: np.sqrt(values), Unit.LINEAR_POWER: values}[unit]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_for_training_every_band_is_calibrated_without_a_model(tmp_path: Path):
    values = power()[:2].clip(0.2, 4000)
    scene = write(tmp_path / "scene.tif", np.round(1000 * np.sqrt(values)).astype(np.uint16), names=("VH", "VV"))
    said = stated(unit=Unit.DIGITAL_NUMBER, calibration_db={"": 60.0}, radar_side=RadarSide.WEST)
    summary = prepare_scene([scene], ForTraining(), tmp_path / "out.tif", said)
    with rasterio.open(tmp_path / "out.tif") as found:
        np.testing.assert_allclose(found.read(), in_db(values), atol=0.02)
    assert scene_radiometry([tmp_path / "out.tif"]) == summary.plan.sensor
    assert summary.plan.sensor == SensorRadiometry(
        bands=("VH", "VV"), unit=Unit.DECIBEL, gsd_m=1.0, radar_side=RadarSide.WEST
    )
    coarse = prepare_scene([scene], ForTraining(Unit.AMPLITUDE, 2.0), tmp_path / "coarse.tif", said)
    assert (coarse.plan.sensor.unit, coarse.plan.sensor.gsd_m) == (Unit.AMPLITUDE, 2.0)
    with pytest.raises(RadiometryError, match="without a calibration"):
        prepare_scene([scene], ForTraining(), tmp_path / "raw.tif", stated(unit=Unit.DIGITAL_NUMBER))
    with pytest.raises(ConfigError, match="digital numbers"):
        ForTraining(Unit.DIGITAL_NUMBER)


def test_what_fits_is_copied_bit_for_bit(tmp_path: Path):
    values = in_db(power()).astype(np.float32)
    scene = write(tmp_path / "scene.tif", values, names=BANDS)
    np.testing.assert_array_equal(prepare(tmp_path, scene, unit=Unit.DECIBEL), values)


@given(st.floats(1e-6, 1e9), st.floats(-40, 40), st.sampled_from([Unit.AMPLITUDE, Unit.LINEAR_POWER, Unit.DECIBEL]))
def test_conversions_are_inverse_and_factors_are_decibels(value: float, factor_db: float, unit: Unit):
    power_of = Conversion(unit, Unit.DECIBEL).from_power(np.array([value]))
    db = 10 * np.log10(value)
    assert power_of[0] == pytest.approx(db, abs=1e-4)
    stored = {Unit.AMPLITUDE: np.sqrt(value), Unit.LINEAR_POWER: value, Unit.DECIBEL: db}[unit]
    conversion = Conversion(unit, Unit.DECIBEL, factor_db)
    assert conversion.from_power(conversion.to_power(np.array([stored])))[0] == pytest.approx(db - factor_db, abs=1e-4)
    assert Conversion(unit, Unit.DECIBEL, floor_db=200.0).from_power(np.array([value]))[0] == 200


BY_NAME = [
    ["hh.tif", "hv.tif", "vh.tif", "vv.tif"],
    ["vv.tif", "hh.tif", "vh.tif", "hv.tif"],
    ["HH=hh.tif", "VV=vv.tif", "VH=vh.tif", "HV=hv.tif"],
    ["mixed.tif"],
    ["HH=blank.tif@3", "HV=blank.tif@1", "VH=blank.tif@2", "VV=blank.tif@4"],
    ["hh.tif", "vv.tif", "blank.tif@1", "blank.tif@2", "--bands", "HH,VV,HV,VH"],
    ["declared.tif"],
]


@pytest.mark.parametrize("inputs", BY_NAME, ids=" ".join)
def test_bands_are_found_by_name_in_any_arrangement(tmp_path: Path, inputs: list[str]):
    values = in_db(power()).astype(np.float32)
    for index, name in enumerate(BANDS):
        write(tmp_path / f"{name.lower()}.tif", values[[index]])
    order = [1, 2, 0, 3]
    mixed = values[order]
    write(tmp_path / "mixed.tif", mixed, names=("Sigma0_hv_db", "vh", "SAR HH", "VV"))
    write(tmp_path / "blank.tif", mixed)
    write(tmp_path / "declared.tif", mixed)
    (tmp_path / "declared.yaml").write_text("{bands: [HV, VH, HH, VV], unit: dB}", encoding="utf-8")
    bands = tuple(inputs[inputs.index("--bands") + 1].split(",")) if "--bands" in inputs else None
    files = inputs[: inputs.index("--bands")] if bands else inputs
    placed = [
        f"{one.split('=')[0]}={tmp_path}/{one.split('=')[1]}" if "=" in one else f"{tmp_path}/{one}" for one in files
    ]
    np.testing.assert_array_equal(prepare(tmp_path, *placed, unit=Unit.DECIBEL, bands=bands), values)


def test_nodata_of_every_kind_stays_nodata(tmp_path: Path):
    values = in_db(power()).astype(np.float32)
    hole = np.zeros((4, 90, 110), bool)
    for band, missing in enumerate((np.nan, 0.0, -9999.0, -32768.0)):
        hole[band, 10 + band : 20 + band, 5:30] = True
        values[band][hole[band]] = missing
    scene = write(tmp_path / "scene.tif", values, names=BANDS, nodata=-32768.0)
    found = prepare(tmp_path, scene, unit=Unit.DECIBEL, nodata=(0.0, -9999.0))
    np.testing.assert_array_equal(np.isnan(found), hole)
    np.testing.assert_array_equal(found[~hole], values[~hole])


def test_prepared_scene_declares_itself(tmp_path: Path):
    """What predict reads from it is what the model wants; the file is a COG with band names and units."""
    scene = write(tmp_path / "scene.tif", power(700, 600), names=BANDS)
    target = model(gsd_m=2.0)
    summary = prepare_scene(
        [scene], target, tmp_path / "out.tif", stated(unit=Unit.LINEAR_POWER, radar_side=RadarSide.SOUTH)
    )
    sensor = scene_radiometry([tmp_path / "out.tif"])
    assert sensor == target.sensor.model_copy(update={"radar_side": RadarSide.SOUTH})
    assert target.turn_for(sensor, open_grid(tmp_path / "out.tif"), "out.tif") == HALF_TURN
    assert cog_validate(tmp_path / "out.tif", strict=True) == (True, [], [])
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.descriptions == BANDS
        assert dataset.units == ("dB",) * 4
        assert np.isnan(dataset.nodata)
        assert json.loads(dataset.tags()["OVERCAST_PREPARED"]) == list(summary.plan.steps)
    assert summary.valid_km2 == pytest.approx(summary.km2) == pytest.approx(0.42)


def test_stac_item_keeps_inputs_steps_and_versions(tmp_path: Path):
    for name, band in zip(BANDS, power().astype(np.float32), strict=True):
        write(tmp_path / f"{name}.tif", band[None])
    files = [tmp_path / f"{name}.tif" for name in BANDS]
    summary = prepare_scene(files, model(), tmp_path / "out.tif", stated(unit=Unit.LINEAR_POWER, stac=True))
    assert summary.item == tmp_path / "out.prepared.stac.json"
    item = json.loads(summary.item.read_text(encoding="utf-8"))
    assert (item["type"], item["stac_version"], item["id"]) == ("Feature", "1.1.0", "out.prepared")
    properties = item["properties"]
    assert properties["overcast:steps"][0] == "HH: band 1 of HH.tif, linear_power, to dB"
    assert properties["processing:software"]["overcast"] == __version__
    assert [one["href"] for one in properties["overcast:inputs"]] == [f"{name}.tif" for name in BANDS]
    assert len({one["sha256"] for one in properties["overcast:inputs"]}) == 4
    assert properties["proj:code"] == UTM31
    assert item["assets"]["scene"]["href"] == "out.tif"


REFUSALS: list[tuple[str, dict[str, object], dict[str, object], str]] = [
    ("unit unknown", {}, {"unit": None}, r"scene\.tif \(band 1\): the unit of its values is not declared; give --unit"),
    ("names unknown", {"names": ()}, {}, r"band 1 has no description, .* --bands VV,VH"),
    ("names odd", {"names": ("a", "b", "c", "d")}, {}, r"band 1 is described as 'a', so nobody knows its polarisation"),
    ("names twice", {"names": ("HH", "HH", "VH", "VV")}, {}, r"are both called HH; give each band its name"),
    ("too few names", {}, {"bands": ("VV", "VH")}, r"--bands VV,VH names 2 bands, but the files hold 4"),
    ("look unknown", {}, {"radar_side": None}, r"does not say from which side .* --radar-side .* --look-azimuth"),
    ("look sideways", {}, {"radar_side": RadarSide.WEST}, r"stood in the west .* trained on north .* --rotate"),
    ("look diagonal", {}, {"radar_side": None, "look_azimuth_deg": 45.0}, r"225 degrees .* two sides .* --rotate"),
    ("not dB", {}, {"unit": Unit.DECIBEL, "times": 100}, r"are no dB; correct --unit"),
    ("linear as dB", {}, {"unit": Unit.DECIBEL, "times": 1e-4}, r"look linear, not like dB"),
    ("dB as amplitude", {"db": True, "less": 25}, {"unit": Unit.AMPLITUDE}, r"below 0, which amplitude never is"),
    ("dB as power", {"db": True, "less": 25}, {}, r"below 0, too many for power"),
    ("DN uncalibrated", {}, {"unit": Unit.DIGITAL_NUMBER}, r"without a calibration; give F of power"),
    ("DN with fractions", {}, {"unit": Unit.DIGITAL_NUMBER, "calibration_db": {"": 20.0}}, r"no whole numbers"),
    ("complex dB", {"complex": True}, {"unit": Unit.DECIBEL}, r"is complex, so its magnitude is an amplitude, not dB"),
    ("zeros", {"hole": 0.0}, {}, r"% of its values are exactly 0, .* --nodata=0 if it means no data"),
    ("hidden nodata", {"hole": -9999.0}, {}, r"-9999 cannot be linear_power; give --nodata=-9999"),
    ("too dark", {}, {"times": 1e-4}, r"HH has a mean of -19\.\d+ dB, but model tiny was .* --level match"),
    ("no CRS", {"crs": None}, {}, r"has no coordinate reference system, so nobody knows where it lies"),
    ("no transform", {"transform": Affine.identity()}, {}, r"has no geotransform"),
    ("bad CRS", {}, {"crs": "EPSG:4326"}, r"--crs EPSG:4326 is not in metres"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "said", "match"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
def test_what_is_not_known_is_refused_in_one_sentence(
    tmp_path: Path, file: dict[str, Any], said: dict[str, Any], match: str
):
    profile, said = {"names": BANDS, **file}, {"unit": Unit.LINEAR_POWER, **said}
    values = power() * said.pop("times", 1)
    if profile.pop("db", False):
        values = in_db(values) - profile.pop("less")
    if "hole" in profile:
        values[:, :40, :30] = profile.pop("hole")
    if profile.pop("complex", False):
        values = values.astype(np.complex64)
    scene = write(tmp_path / "scene.tif", values, **profile)
    with pytest.raises((RadiometryError, InputError, ConfigError), match=match) as error:
        prepare(tmp_path, scene, **said)
    assert "\n" not in str(error.value)
    assert names(tmp_path) == ["scene.tif"]


def test_missing_polarisations_are_named(tmp_path: Path):
    scene = write(tmp_path / "scene.tif", power()[2:], names=("VH", "VV"))
    match = r"model tiny needs HH, HV too, but only VH, VV were given; add HH=FILE.* take a model for VH, VV"
    with pytest.raises(RadiometryError, match=match):
        prepare(tmp_path, scene, unit=Unit.LINEAR_POWER)
    twin = write(tmp_path / "twin.tif", power()[[0, 2, 3]], names=("HH", "VH", "VV"))
    with pytest.raises(RadiometryError, match=r"add HV=FILE \(HV may be taken from VH by naming it twice\)"):
        prepare(tmp_path, twin, unit=Unit.LINEAR_POWER)
    found = prepare(tmp_path, twin, f"HV={twin}@2", unit=Unit.LINEAR_POWER, level=Level.KEEP)
    np.testing.assert_array_equal(found[1], found[2])


def test_radar_geometry_is_refused(tmp_path: Path):
    points = [GroundControlPoint(row, col, 4 + col / 1e4, 52 - row / 1e4) for row in (0, 90) for col in (0, 110)]
    scene = write(tmp_path / "scene.tif", power(), names=BANDS, transform=Affine.identity(), crs=None)
    with rasterio.open(scene, "r+") as dataset:
        dataset.gcps = (points, rasterio.CRS.from_epsg(4326))
    with pytest.raises(InputError, match=r"lies in radar geometry .* correct it for terrain"):
        prepare(tmp_path, scene, unit=Unit.LINEAR_POWER)


def test_bands_that_share_no_ground_are_refused(tmp_path: Path):
    far = NORTH_UP @ Affine.translation(5000, 0)
    first = write(tmp_path / "a.tif", power()[:3], names=BANDS[:3])
    last = write(tmp_path / "vv.tif", power()[3:], transform=far)
    with pytest.raises(RadiometryError, match="no ground is covered by all bands"):
        prepare(tmp_path, first, last, unit=Unit.LINEAR_POWER)


def test_bands_on_grids_of_their_own_are_brought_together(tmp_path: Path):
    """VV begins 20 m farther east, at half the pixel size: where both have data nothing is shifted."""
    values = power()
    first = write(tmp_path / "a.tif", values[:3], names=BANDS[:3])
    fine = np.kron(values[3:, :, 20:], np.ones((1, 2, 2)))
    last = write(tmp_path / "vv.tif", fine, transform=NORTH_UP @ Affine.translation(20, 0) @ Affine.scale(0.5))
    found = prepare(tmp_path, first, last, unit=Unit.LINEAR_POWER)
    np.testing.assert_allclose(found[3, :, 20:], in_db(values[3, :, 20:]), atol=1e-5)
    assert np.isnan(found[3, :, :20]).all()


def test_level_is_matched_on_request(tmp_path: Path):
    scene = write(tmp_path / "scene.tif", power() * 1e-4, names=BANDS)
    summary = prepare_scene([scene], model(), tmp_path / "out.tif", stated(unit=Unit.LINEAR_POWER, level=Level.MATCH))
    found = read(tmp_path / "out.tif")
    np.testing.assert_allclose(found.mean(axis=(1, 2)), 20, atol=1e-3)
    np.testing.assert_allclose(np.diff(found - in_db(power() * 1e-4), axis=1), 0, atol=1e-4)
    assert "raised by" in summary.plan.steps[0]


def test_power_without_logarithm_becomes_nodata_or_the_floor(tmp_path: Path):
    """What the subtraction of noise leaves below 0."""
    values = power()
    values[0, :5, :5] = -np.random.default_rng(0).random((5, 5))
    scene = write(tmp_path / "scene.tif", values, names=BANDS)
    options = stated(unit=Unit.LINEAR_POWER)
    summary = prepare_scene([scene], model(), tmp_path / "out.tif", options)
    assert summary.lost_pixels == 25
    assert np.isnan(read(tmp_path / "out.tif")[0, :5, :5]).all()
    found = prepare(tmp_path, scene, unit=Unit.LINEAR_POWER, floor_db=-30.0)
    np.testing.assert_array_equal(found[0, :5, :5], -30)


def test_digital_numbers_of_a_data_set_are_not_computed_with(tmp_path: Path):
    """A model of digital numbers takes them as they are; nothing converts to them and nothing averages them."""
    target = model(Unit.DIGITAL_NUMBER)
    values = np.round(power() / 10).astype(np.float32)
    scene = write(tmp_path / "scene.tif", values[::-1], names=BANDS[::-1])
    np.testing.assert_array_equal(
        prepare(tmp_path, scene, to=target, unit=Unit.DIGITAL_NUMBER, level=Level.KEEP), values
    )
    with pytest.raises(RadiometryError, match="takes the digital numbers of its own data set"):
        prepare(tmp_path, scene, to=target, unit=Unit.AMPLITUDE)
    coarse = model(Unit.DIGITAL_NUMBER, gsd_m=2.0)
    with pytest.raises(RadiometryError, match=r"have no mean; pick pixels with --resampling nearest"):
        prepare(tmp_path, scene, to=coarse, unit=Unit.DIGITAL_NUMBER)
    picked = prepare(
        tmp_path, scene, to=coarse, unit=Unit.DIGITAL_NUMBER, level=Level.KEEP, resampling=Resampling.NEAREST
    )
    assert np.isin(picked, values).all()


@pytest.mark.parametrize("values", [{"look_azimuth_deg": 1e17}, {"look_azimuth_deg": np.nan}, {"floor_db": np.nan}])
def test_what_is_no_direction_or_level_is_refused(values: dict[str, Any]):
    with pytest.raises(ConfigError, match=r"--(look-azimuth|floor-db) .* is not a (direction|number of decibels)"):
        PrepareOptions(**values)


def test_tiles_on_other_grids_are_told_what_to_do(tmp_path: Path):
    values = in_db(power()).astype(np.float32)
    tiles = [write(tmp_path / "a.tif", values, names=BANDS)]
    shifted = NORTH_UP @ Affine.translation(values.shape[2] + 0.5, 0)
    tiles.append(write(tmp_path / "b.tif", values, names=BANDS, transform=shifted))
    with pytest.raises(RadiometryError, match=r"are both called HH; .*, or bring tiles of one scene to one grid"):
        prepare_scene(tiles, model(), tmp_path / "o.tif", PrepareOptions(unit=Unit.DECIBEL, radar_side=RadarSide.NORTH))


def test_dry_run_decides_all_and_writes_nothing(tmp_path: Path):
    scene = write(tmp_path / "scene.tif", power(), names=BANDS)
    options = stated(unit=Unit.LINEAR_POWER, level=Level.MATCH)
    dry = prepare_scene([scene], model(gsd_m=3.0), tmp_path / "out.tif", options, dry_run=True)
    assert names(tmp_path) == ["scene.tif"]
    assert dry.valid_km2 is None
    wet = prepare_scene([scene], model(gsd_m=3.0), tmp_path / "out.tif", options)
    assert wet.plan.steps == dry.plan.steps
    assert any("mean of power over 3 x 3 pixels" in step for step in wet.plan.steps)


def test_coarse_input_is_told(tmp_path: Path):
    scene = write(tmp_path / "scene.tif", power(30, 30), names=BANDS, transform=NORTH_UP @ Affine.scale(4))
    summary = prepare_scene([scene], model(), tmp_path / "out.tif", stated(unit=Unit.LINEAR_POWER))
    assert "4.0 times as long as the model's" in summary.plan.notes[0]


@pytest.mark.parametrize("kind", ["exists", "ending", "itself", "side-car", "damaged"])
def test_output_that_cannot_be_leaves_everything_as_it_was(tmp_path: Path, kind: str):
    scene = write(tmp_path / "scene.tif", power(300, 300), names=BANDS, tiled=True, compress="deflate")
    output, match = tmp_path / "out.tif", kind
    match kind:
        case "exists":
            output.write_text("mine", encoding="utf-8")
            match = r"out\.tif exists; name another file"
        case "ending":
            output, match = tmp_path / "out.png", r"out\.png does not end in \.tif"
        case "itself":
            output, match = scene, r"is the input itself"
        case "side-car":
            (tmp_path / "out.yaml").write_text("unit: dB", encoding="utf-8")
            match = r"out\.yaml would be read as the description of out\.tif"
        case "damaged":
            content = bytearray(scene.read_bytes())
            middle = len(content) // 2
            content[middle : middle + 60_000] = bytes(60_000)
            scene.write_bytes(content)
            match = r"scene\.tif cannot be read"
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match=match):
        prepare_scene([scene], model(), output, stated(unit=Unit.LINEAR_POWER))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_input_that_changes_gives_nothing(tmp_path: Path):
    scene = write(tmp_path / "scene.tif", power(600, 600), names=BANDS)

    def change(*_: object) -> None:
        write(scene, power(600, 600, seed=1), names=BANDS)

    with pytest.raises(InputError, match=r"scene\.tif was changed while it was read, so nothing was written"):
        prepare_scene([scene], model(), tmp_path / "out.tif", stated(unit=Unit.LINEAR_POWER), progress=change)
    assert names(tmp_path) == ["scene.tif"]


def test_same_input_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    scene = write(tmp_path / "scene.tif", power(), names=BANDS)
    made = []
    for _ in range(2):
        options = stated(unit=Unit.LINEAR_POWER, stac=True, overwrite=True)
        prepare_scene([scene], model(gsd_m=1.7), tmp_path / "out.tif", options)
        made.append([(tmp_path / name).read_bytes() for name in ("out.tif", "out.prepared.stac.json")])
    assert made[0] == made[1]


def peak_bytes(folder: Path, height: int) -> int:
    values = np.tile(power(128, 256), (1, height // 128, 1)).astype(np.float32)
    scene = write(folder / f"{height}.tif", values, names=BANDS)
    tracemalloc.start()
    summary: PrepareSummary = prepare_scene(
        [scene], model(gsd_m=1.3), folder / f"out{height}.tif", stated(unit=Unit.LINEAR_POWER)
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert summary.km2 == pytest.approx(height * 256e-6, rel=0.01)
    return peak


def test_memory_does_not_grow_with_the_scene(tmp_path: Path):
    small, large = peak_bytes(tmp_path, 768), peak_bytes(tmp_path, 2304)
    assert large < 1.1 * small


def test_progress_is_in_square_kilometres(tmp_path: Path):
    scene = write(tmp_path / "scene.tif", power(600, 600), names=BANDS)
    states: list[tuple[float, float, str]] = []
    prepare_scene(
        [scene], model(), tmp_path / "out.tif", stated(unit=Unit.LINEAR_POWER), progress=lambda *now: states.append(now)
    )
    assert len(states) == 4
    assert [done for done, *_ in states] == sorted(done for done, *_ in states)
    assert states[-1] == (pytest.approx(0.36), pytest.approx(0.36), "preparing")


@pytest.mark.parametrize("text", ["x", "HH=", "nan"])
def test_calibration_that_is_no_number(text: str):
    with pytest.raises(ConfigError, match="is not a number"):
        calibration([text], [])


def test_calibration_given_twice():
    with pytest.raises(ConfigError, match="HH has a calibration already"):
        calibration(["HH=3"], ["hh=4"])
    with pytest.raises(ConfigError, match="is positive"):
        calibration([], ["-4"])


def test_command_says_what_it_would_do(tmp_path: Path):
    """For the installed model, as JSON."""
    scene = write(tmp_path / "quad.tif", power() * 20, names=BANDS)
    command = [
        "prepare",
        str(scene),
        "-o",
        str(tmp_path / "out.tif"),
        "--unit",
        "linear_power",
        "--radar-side",
        "south",
    ]
    result = CliRunner().invoke(app, [*command, "--dry-run", "--json"])
    assert result.exception is None, result.output
    told = json.loads(result.stdout)
    assert told["scene"] is None
    assert told["radiometry"]["radar_side"] == "south"
    assert told["steps"][0] == "HH: band 1 of quad.tif, linear_power, to dB"
    assert names(tmp_path) == ["quad.tif"]
    both = CliRunner().invoke(app, [*command, "--look-azimuth", "3"])
    assert isinstance(both.exception, ConfigError)
