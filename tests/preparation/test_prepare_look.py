"""Where the radar stood: from metadata of every kind, by the compass, through turned grids and back to the ground."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.features
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from prepare_miniatures import BANDS, NORTH_UP, UTM31, in_db, model, power, read, write
from pyproj import Geod, Transformer
from test_predict import Directed
from typer.testing import CliRunner

from overcast.choices import Encoding
from overcast.cli import app
from overcast.errors import ConfigError, InputError, RadiometryError
from overcast.preparation.found_look import metadata_radar
from overcast.preparation.look import orbit_heading, radar_behind
from overcast.preparation.metadata import RadarFacts, documents, radar_facts
from overcast.preparation.options import PrepareOptions
from overcast.preparation.run import prepare_scene
from overcast.raster.compass import azimuth_of, difference, side_of, up_azimuth
from overcast.raster.radiometry import RadarSide, Unit
from overcast.scenes.declare import scene_radiometry
from overcast.scenes.predict import PredictOptions, predict_file
from overcast.simulator.dataset.folder import simulate_dataset
from overcast.simulator.options import CityOptions, SarOptions, SimulationOptions

LON, LAT = 4.351, 51.896
"""Of the miniatures."""


def capella(heading_deg: float, side: str) -> str:
    """A satellite 400 km away on the right or left side of its path, in Earth-fixed metres."""
    to_ecef = Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)
    lon, lat, _ = Geod(ellps="WGS84").fwd(LON, LAT, heading_deg + (-90 if side == "right" else 90), 400e3)
    state = {
        "coordinate_system": {"type": "ecef"},
        "direction": "ascending",
        "state_vectors": [{"position": [0, 0, 0]}, {"position": list(to_ecef.transform(lon, lat, 600e3))}, {}],
    }
    image = {"center_pixel": {"target_position": list(to_ecef.transform(LON, LAT, 0))}}
    return json.dumps(
        {"collect": {"platform": "capella-14", "state": state, "image": image, "radar": {"pointing": side}}}
    )


SAFE = """<?xml version="1.0"?><product xmlns:s1="http://www.esa.int/s1"><adsHeader><missionId>S1A</missionId></adsHeader>
<generalAnnotation><s1:productInformation><pass>Ascending</pass><platformHeading>-14.1</platformHeading>
</s1:productInformation></generalAnnotation></product>"""
TERRASAR = """<level1Product><orbitDirection>DESCENDING</orbitDirection><lookDirection>RIGHT</lookDirection>
<sceneInfo><headingAngle>190.5</headingAngle></sceneInfo></level1Product>"""
UMBRA = {
    "umbraSatelliteName": "UMBRA_04",
    "collects": [{"satelliteTrack": "ASCENDING", "observationDirection": "LEFT", "angleAzimuthDegrees": 122.1}],
}
STAC = {"sat:orbit_state": "descending", "sar:observation_direction": "right", "platform": "sentinel-1a"}

FOUND = [
    ("OPERA tags", {"PLATFORM": "Sentinel-1A", "ORBIT_PASS_DIRECTION": "A", "LOOK_DIRECTION": "Right"}, {}, 255, 3),
    ("ASF tags", {"flightDirection": "DESCENDING", "platform": "Sentinel-1B"}, {}, 105, 3),
    ("SAFE annotation", {}, {"scene.xml": SAFE}, 255.9, 0.01),
    ("TerraSAR-X", {}, {"scene.xml": TERRASAR}, 100.5, 0.01),
    ("Capella, mid-inclination", {}, {"scene_extended.json": capella(56.0, "left")}, 146.0, 0.5),
    ("Umbra, squinted", {}, {"scene.json": json.dumps(UMBRA)}, 122.1, 0.01),
    ("other end of the azimuth", {}, {"scene.json": json.dumps({"p": {**STAC, "view:azimuth": 281}})}, 101, 0.1),
    ("STAC without azimuth", {}, {"scene.stac.json": json.dumps({"properties": STAC})}, 105, 3),
]  # fmt: skip


@pytest.mark.parametrize(
    ("tags", "files", "azimuth", "tolerance"), [row[1:] for row in FOUND], ids=[row[0] for row in FOUND]
)
def test_metadata_say_where_the_radar_stood(
    tmp_path: Path, tags: dict[str, str], files: dict[str, str], azimuth: float, tolerance: float
):
    scene = write(tmp_path / "scene.tif", power(), names=BANDS, tags=tags)
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    options = PrepareOptions(unit=Unit.LINEAR_POWER, rotate=True)
    summary = prepare_scene([scene], model(), tmp_path / "out.tif", options, dry_run=True)
    assert summary.plan.radar is not None
    assert difference(summary.plan.radar.azimuth_deg, azimuth) == pytest.approx(0, abs=tolerance)
    assert side_of(summary.plan.radar.azimuth_deg, up_azimuth(summary.plan.grid)) is RadarSide.NORTH


UNKNOWN = [
    ("orbit not polar", {"platform": "capella-9", "direction": "ascending", "pointing": "right"}, "does not say"),
    ("no side", {"platform": "TSX-1", "orbitDirection": "ascending"}, "does not say"),
    ("two passes", {"pass": "Ascending", "sat:orbit_state": "descending", "mission": "S1A"}, r"is ascending in .* but"),
    ("azimuth across", {**STAC, "view:azimuth": "15"}, r"leaves open on which of two sides"),
]  # fmt: skip


@pytest.mark.parametrize(("tags", "match"), [row[1:] for row in UNKNOWN], ids=[row[0] for row in UNKNOWN])
def test_metadata_that_do_not_say_are_refused(tmp_path: Path, tags: dict[str, str], match: str):
    scene = write(tmp_path / "scene.tif", power(), names=BANDS)
    (tmp_path / "scene.json").write_text(json.dumps(tags), encoding="utf-8")
    with pytest.raises(RadiometryError, match=match) as error:
        prepare_scene([scene], model(), tmp_path / "out.tif", PrepareOptions(unit=Unit.LINEAR_POWER))
    assert "--look-azimuth" in str(error.value)


def test_named_metadata_must_be_readable(tmp_path: Path):
    scene = write(tmp_path / "scene.tif", power(), names=BANDS)
    (tmp_path / "odd.xml").write_text("<open>", encoding="utf-8")
    options = PrepareOptions(unit=Unit.LINEAR_POWER, metadata=(tmp_path / "odd.xml",))
    with pytest.raises(InputError, match=r"odd\.xml is not readable XML"):
        prepare_scene([scene], model(), tmp_path / "out.tif", options)


def test_stated_comes_before_declared_before_metadata(tmp_path: Path):
    tags = {
        "OVERCAST_RADIOMETRY": '{"radar_side": "south", "unit": "linear_power"}',
        "platform": "S1A",
        "pass": "Ascending",
    }
    scene = write(tmp_path / "scene.tif", power(), names=BANDS, tags=tags)

    def radar(**said: Any) -> float:
        summary = prepare_scene([scene], model(), tmp_path / "o.tif", PrepareOptions(**said), dry_run=True)
        assert summary.plan.radar is not None
        return summary.plan.radar.azimuth_deg

    assert radar() == 180
    assert radar(look_azimuth_deg=175.0) == 355
    assert radar(radar_side=RadarSide.NORTH) == 0


@pytest.mark.parametrize(("latitude", "heading"), [(0, 348.2), (45, 346.0), (60, 342.0)])
def test_heading_of_sun_synchronous_orbits(latitude: float, heading: float):
    """348 degrees at the equator is what Sentinel-1 products state; southern headings mirror northern ones."""
    found = orbit_heading("ascending", latitude)
    assert found is not None
    assert found == pytest.approx(heading, abs=0.1)
    assert orbit_heading("ascending", -latitude) == pytest.approx(found)
    assert orbit_heading("descending", latitude) == pytest.approx((180 - found) % 360)
    assert orbit_heading("ascending", 85) is None


@given(st.floats(0, 360), st.floats(0, 360), st.sampled_from(["right", "left"]))
def test_sides_follow_the_compass(heading: float, up: float, looks: str):
    """Turning radar and image alike changes nothing; the radar is across its path; opposite radars, opposite sides."""
    radar = radar_behind(heading, looks)
    assert abs(difference(radar, heading)) == pytest.approx(90)
    side = side_of(radar, up)
    assert side_of(radar + 33.25, up + 33.25) is side or abs(difference(radar, up) % 90 - 22.5) < 46
    if side is not None:
        assert abs(difference(radar, up + azimuth_of(side))) <= 22.5
        assert side_of(radar + 180, up) in {side.opposite, None}


def test_heading_of_either_side_is_a_half_turn_apart():
    facts = RadarFacts(heading_deg=350.0, side="right")
    right = metadata_radar(facts, 50.0, [], "s")
    left = metadata_radar(RadarFacts(heading_deg=350.0, side="left"), 50.0, [], "s")
    assert right is not None
    assert left is not None
    assert (right.azimuth_deg, left.azimuth_deg) == (260, 80)


def test_turned_scene_keeps_every_pixel_on_its_ground(tmp_path: Path):
    """A scene that lies at 37 degrees, radar on its upper side: turning it gives back its own pixels."""
    values = in_db(power())
    turned = NORTH_UP @ Affine.rotation(37)
    scene = write(tmp_path / "scene.tif", values, names=BANDS, transform=turned)
    grid_north = 1.063  # UTM's north east of true north here: lon 4.35 - 3, times sin(latitude)
    radar = 37 + grid_north
    options = PrepareOptions(unit=Unit.DECIBEL, rotate=True, look_azimuth_deg=radar + 180)
    prepare_scene([scene], model(gsd_m=1.0), tmp_path / "out.tif", options)
    np.testing.assert_allclose(read(tmp_path / "out.tif"), values, atol=1e-5)
    with rasterio.open(tmp_path / "out.tif") as dataset:
        np.testing.assert_allclose(dataset.transform[:6], turned[:6], atol=1e-3)
    assert scene_radiometry([tmp_path / "out.tif"]).radar_side is RadarSide.NORTH


def test_rotate_needs_a_side_to_turn_to(tmp_path: Path):
    scene = write(tmp_path / "scene.tif", power(), names=BANDS)
    options = PrepareOptions(unit=Unit.LINEAR_POWER, rotate=True, look_azimuth_deg=50)
    with pytest.raises(ConfigError, match="--rotate: model tiny was trained on no radar side"):
        prepare_scene([scene], model(look=None), tmp_path / "out.tif", options)


def test_scene_from_the_opposite_side_is_mapped_as_if_it_were_not(tmp_path: Path):
    """The same pixels put down upside down, radar in the south: predict turns them and its result comes out turned."""
    values = in_db(power(70, 80)).astype(np.float32)
    network = replace(model(), network=Directed())
    options = PredictOptions(encoding=Encoding.FLOAT32, stac=False)
    made = {}
    for look, transform in ((RadarSide.NORTH, NORTH_UP), (RadarSide.SOUTH, NORTH_UP @ Affine.rotation(180))):
        folder = tmp_path / look.value
        folder.mkdir()
        scene = write(folder / "in.tif", values, names=BANDS, transform=transform)
        prepare_scene(
            [scene], network, folder / "s.tif", PrepareOptions(unit=Unit.DECIBEL, radar_side=look, stac=False)
        )
        sensor = scene_radiometry([folder / "s.tif"])
        done = predict_file([folder / "s.tif"], network, sensor=sensor, probability=folder / "p.tif", options=options)
        assert done.rotated is (look is RadarSide.SOUTH)
        made[look] = read(folder / "p.tif")[0]
    np.testing.assert_array_equal(made[RadarSide.SOUTH], made[RadarSide.NORTH][::-1, ::-1])
    assert np.ptp(made[RadarSide.NORTH]) > 0.5


def odd_form(original: Path, folder: Path, transform: Affine) -> list[str]:
    """Four files of digital numbers at half the pixel size, in no order, on a turned grid, 0 where there is no data."""
    with rasterio.open(original) as dataset:
        values, names = dataset.read(), dataset.descriptions
    numbers = np.where(np.isfinite(values), np.round(10 * 10 ** (values / 20)), 0).clip(0, 65535).astype(np.uint16)
    for name, band in zip(names, np.kron(numbers, np.ones((1, 2, 2), np.uint16)), strict=True):
        write(folder / f"town_{name}.tif", band[None], transform=transform @ Affine.scale(0.5))
    return [str(folder / f"town_{name}.tif") for name in ("VV", "HV", "HH", "VH")]


@pytest.mark.usefixtures("one_thread")
def test_odd_form_gives_the_same_footprints(tmp_path: Path):
    """With the installed model. The scene is put down at 130 degrees, so its radar, in the north, stands there then."""
    options = SimulationOptions(
        seed=31, places=0, scenes=1, scene_m=256, gsd_m=1.0,
        city=CityOptions(built_share=0.9), sar=SarOptions(wedge_share=0),
    )  # fmt: skip
    original = simulate_dataset(tmp_path / "city", options) / "scenes" / "scene0000" / "sar.tif"
    with rasterio.open(original) as dataset:
        here, shape, crs = dataset.transform, dataset.shape, str(dataset.crs)
        middle = Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(here.c + 128, here.f - 128)
    turned = here @ Affine.rotation(130)
    north = (middle[0] - 3) * np.sin(np.radians(middle[1]))  # of UTM zone 31, from true north
    files = odd_form(original, tmp_path, turned)

    def run(*command: str) -> None:
        result = CliRunner().invoke(app, command)
        assert result.exception is None, result.output

    stated = ["--unit", "digital_number", "--calibration-factor-db", "20", "--nodata", "0", "--rotate"]
    azimuth = ["--look-azimuth", str(130 + north + 180)]
    run("prepare", *files, *stated, *azimuth, "-o", str(tmp_path / "scene.tif"))
    masks = []
    for name, scene, transform in (("wanted", original, here), ("found", tmp_path / "scene.tif", turned)):
        run("predict", str(scene), "-o", str(tmp_path / f"{name}.gpkg"), "--set", "style=false", "--set", "stac=false")
        shapes = gpd.read_file(tmp_path / f"{name}.gpkg")
        assert shapes.crs == rasterio.CRS.from_string(crs)
        masks.append(rasterio.features.rasterize(shapes.geometry, shape, transform=transform).astype(bool))
    wanted, found = masks
    assert crs == UTM31
    assert wanted.mean() > 0.05
    assert (wanted & found).sum() / (wanted | found).sum() > 0.96


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"heading": 1e17}, "the heading is given as 1e[+]17 in scene_extended.json, which is not an angle"),
        ({"heading": 361}, "not an angle between -360 and 360"),
        ({"heading": 10**400}, "not an angle"),
        ({"view:azimuth": -1e300}, "viewing azimuth is given as -1e[+]300"),
        ({"position": [0, 0, 0]}, "nowhere near the Earth"),
        ({"position": [1e300, 0, 0]}, "nowhere near the Earth"),
        ({"position": ["a", 0, 0]}, "nowhere near the Earth"),
        ({"position": [4e6, 1e6]}, "nowhere near the Earth"),
        ({"target_position": [float("nan"), 0, 0]}, "nowhere near the Earth"),
    ],
)
def test_metadata_that_cannot_be_are_not_believed(tmp_path: Path, change: dict[str, Any], match: str):
    record = json.loads(capella(56.0, "left"))
    collect = record["collect"]
    places = {"position": collect["state"]["state_vectors"][1], "target_position": collect["image"]["center_pixel"]}
    ((key, value),) = change.items()
    places.get(key, collect)[key] = value
    (tmp_path / "scene_extended.json").write_text(json.dumps(record))
    scene = write(tmp_path / "scene.tif", power(), names=BANDS)
    with pytest.raises(RadiometryError, match=match) as error:
        prepare_scene([scene], model(), tmp_path / "out.tif", PrepareOptions(unit=Unit.LINEAR_POWER))
    assert "--look-azimuth" in str(error.value)


def test_a_heading_that_nobody_knows_is_no_heading():
    tags = {"heading": "nan", "pass": "ascending", "lookSide": "right", "platform": "S1A"}
    facts = radar_facts(documents([Path("scene.tif")], [tags], []), "scene.tif")
    assert facts.heading_deg is None


@pytest.mark.parametrize("encoding", ["ISO-8859-1", "UTF-16", "utf-8"])
def test_metadata_in_any_declared_encoding_are_read(tmp_path: Path, encoding: str):
    text = f'<?xml version="1.0" encoding="{encoding}"?>' + TERRASAR.replace(
        "<sceneInfo>", "<place>Zürich</place><sceneInfo>"
    )
    (tmp_path / "odd.xml").write_bytes(text.encode(encoding))
    found = documents([Path("scene.tif")], [{}], [tmp_path / "odd.xml"])
    assert radar_facts(found, "scene.tif").heading_deg == 190.5
    assert ("place", "Zürich") in found[1].fields
