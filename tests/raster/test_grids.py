"""Grids that are mirrored, turned or counted past 180 degrees: what the network sees, and where results come to lie."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from chip_files import BOTH, RADIOMETRY, make_chip
from known import known
from prepare_miniatures import BANDS, in_db, model, power, read, write
from pyproj import Geod, Transformer
from raster_files import write_tiff
from test_predict import Directed

from overcast.choices import Encoding
from overcast.data.chips import read_chip
from overcast.data.instances import read_instances
from overcast.data.labels import LabelSpec
from overcast.data.orientation import oriented
from overcast.errors import RadiometryError
from overcast.metrics.footprints import score_footprints
from overcast.polygons.footprints import PolygonOptions
from overcast.preparation.options import PrepareOptions
from overcast.preparation.run import prepare_scene
from overcast.preparation.target import target_crs
from overcast.raster.compass import nearest_side, radar_edge, unmirrored, up_azimuth
from overcast.raster.degrees import box_of, split_at_180, unwrapped
from overcast.raster.files import open_grid
from overcast.raster.georeference import Georeference
from overcast.raster.grid import HALF_TURN, Turn
from overcast.raster.pixel_size import fits, pixel_sides_m
from overcast.raster.radiometry import RadarSide, SensorRadiometry, Unit
from overcast.scenes.predict import PredictOptions, predict_file
from overcast.scenes.stac import ground

HEIGHT, WIDTH = 70, 80
LEFT, TOP = 593000, 5750000
UTM = "EPSG:32631"
NORTH_UP = Affine(1, 0, LEFT, 0, -1, TOP)
STORED = {
    "north-up": (NORTH_UP, Turn()),
    "south-up": (Affine(1, 0, LEFT, 0, 1, TOP - HEIGHT), Turn(rows=True)),
    "west-ward": (Affine(-1, 0, LEFT + WIDTH, 0, -1, TOP), Turn(cols=True)),
    "both": (Affine(-1, 0, LEFT + WIDTH, 0, 1, TOP - HEIGHT), HALF_TURN),
}
"""The same ground stored in four ways, each with the axes that are reversed in it."""
DIRECTED = replace(model(), network=Directed())
OPTIONS = PredictOptions(
    encoding=Encoding.FLOAT32, stac=False, style=False, polygons=PolygonOptions(min_area_m2=1, threshold=0.6)
)


def stored(folder: Path, form: str, values: np.ndarray) -> Path:
    transform, turn = STORED[form]
    return write(folder / f"{form}.tif", turn.apply(values), names=BANDS, transform=transform)


def sensor(side: RadarSide, **more: Any) -> SensorRadiometry:
    return DIRECTED.sensor.model_copy(update={"radar_side": side, **more})


@pytest.mark.parametrize("side", [RadarSide.NORTH, RadarSide.SOUTH])
def test_mirrored_scenes_are_mapped_as_if_north_were_up(tmp_path: Path, side: RadarSide):
    values = in_db(power(HEIGHT, WIDTH)).astype(np.float32)
    found, shapes = {}, {}
    for form, (_, turn) in STORED.items():
        scene, raster, vector = stored(tmp_path, form, values), tmp_path / f"{form}.p.tif", tmp_path / f"{form}.gpkg"
        predict_file([scene], DIRECTED, sensor=sensor(side), probability=raster, footprints=vector, options=OPTIONS)
        found[form] = turn.apply(read(raster)[0])
        shapes[form] = gpd.read_file(vector)
        assert open_grid(raster) == open_grid(scene)
    for form in STORED:
        np.testing.assert_array_equal(found[form], found["north-up"])
        assert len(shapes[form]) == len(shapes["north-up"]) > 0
        np.testing.assert_allclose(shapes[form].total_bounds, shapes["north-up"].total_bounds)
        apart = shapely.symmetric_difference(shapes[form].union_all(), shapes["north-up"].union_all())
        assert apart.area < 0.02 * shapes["north-up"].area.sum()


def test_the_side_is_one_of_the_compass_on_turned_grids():
    """Upper side to the east: a radar in the east stood at the upper edge, one in the north at the left one."""
    east_up = NORTH_UP @ Affine.rotation(90)  # counterclockwise in pixels that count downwards: clockwise on the map
    grid = Georeference(HEIGHT, WIDTH, east_up, UTM)
    assert up_azimuth(grid) == pytest.approx(90, abs=2)
    wanted = {"north": "west", "east": "north", "south": "east", "west": "south"}
    for number, side in enumerate(RadarSide):
        assert radar_edge(grid, 90.0 * number, "scene") == wanted[side]
    assert DIRECTED.turn_for(sensor(RadarSide.EAST), grid, "scene") == Turn()
    assert DIRECTED.turn_for(sensor(RadarSide.WEST), grid, "scene") == HALF_TURN
    with pytest.raises(RadiometryError, match=r"radar side west, but model tiny has north; .* prepare --rotate"):
        DIRECTED.turn_for(sensor(RadarSide.NORTH), grid, "scene")


def test_an_exact_azimuth_counts_more_than_the_word():
    grid = Georeference(HEIGHT, WIDTH, NORTH_UP @ Affine.rotation(44), UTM)
    declared = sensor(RadarSide.NORTH)
    with pytest.raises(RadiometryError, match=r"at 0 degrees .* points to 4\d degrees, .* prepare --rotate"):
        DIRECTED.turn_for(declared, grid, "scene")
    assert DIRECTED.turn_for(sensor(RadarSide.NORTH, radar_azimuth_deg=44.0), grid, "scene") == Turn()
    assert DIRECTED.turn_for(sensor(RadarSide.SOUTH, radar_azimuth_deg=224.0), grid, "scene") == HALF_TURN
    assert nearest_side(224.0) is RadarSide.SOUTH
    with pytest.raises(ValueError, match="needs the radar_side next to it, not west"):
        SensorRadiometry(bands=("HH",), unit=Unit.DECIBEL, gsd_m=1, radar_side=RadarSide.WEST, radar_azimuth_deg=44.0)


@pytest.mark.parametrize("form", STORED)
def test_prepare_finds_the_radar_on_its_side_of_the_ground(tmp_path: Path, form: str):
    """The radar stood in the east, whatever the order of rows and columns: the same scene comes out."""
    values = in_db(power(HEIGHT, WIDTH)).astype(np.float32)
    outputs = {}
    for one in ("north-up", form):
        scene = stored(tmp_path, one, values)
        scene.with_suffix(".yaml").write_text("{unit: dB, radar_side: east}")
        summary = prepare_scene(
            [scene], model(), tmp_path / f"{one}.out.tif", PrepareOptions(rotate=True, overwrite=True)
        )
        assert summary.plan.radar is not None
        assert summary.plan.radar.azimuth_deg == 90
        assert summary.plan.sensor.radar_side is RadarSide.EAST
        assert "the image's north side" in summary.plan.steps[-1]
        outputs[one] = read(tmp_path / f"{one}.out.tif")
    np.testing.assert_allclose(outputs[form], outputs["north-up"], atol=1e-4)


@pytest.mark.parametrize("form", STORED)
def test_chips_of_mirrored_grids_are_read_as_the_ground_is_seen_from_above(tmp_path: Path, form: str):
    transform, turn = STORED[form]
    plain = make_chip(tmp_path / "plain", "a", HEIGHT, WIDTH)
    arrays = read_chip(plain, RADIOMETRY, LabelSpec(), BOTH)
    chip = make_chip(tmp_path / "stored", "a", HEIGHT, WIDTH)
    for path in (*chip.sar, *chip.optical, chip.mask):
        assert path is not None
        values = read(path)
        write_tiff(path, turn.apply(values), transform)
    declared = RADIOMETRY.sar.model_copy(update={"radar_side": RadarSide.NORTH, "gsd_m": 1.0})
    (made,), seen = oriented([chip], [open_grid(chip.sar[0])], declared)
    assert seen.radar_side is (RadarSide.SOUTH if form == "both" else RadarSide.NORTH)
    shown = read_chip(made, RADIOMETRY, LabelSpec(), BOTH)
    back = HALF_TURN if form == "both" else Turn()  # turned, but with its radar said to be at the other edge
    assert arrays.sar is not None
    assert shown.sar is not None
    np.testing.assert_array_equal(back.apply(shown.sar.values), arrays.sar.values)
    assert shown.label is not None
    np.testing.assert_array_equal(back.apply(shown.label), arrays.label)
    numbers = read_instances(made, LabelSpec())
    assert numbers is not None
    seen_by_radar = shown.sar.valid
    np.testing.assert_array_equal((numbers > 0)[seen_by_radar], (shown.label == 1)[seen_by_radar])


def test_chips_whose_radar_no_half_turn_brings_together_are_refused(tmp_path: Path):
    chip = make_chip(tmp_path, "a")
    grids = [Georeference(48, 40, NORTH_UP @ Affine.rotation(angle), UTM) for angle in (0, 180, 90)]
    declared = RADIOMETRY.sar.model_copy(update={"radar_side": RadarSide.NORTH})
    chips, _ = oriented([chip, chip], grids[:2], declared)
    assert [one.rotate_180 for one in chips] == [False, True]
    with pytest.raises(RadiometryError, match="no half turn brings together"):
        oriented([chip, chip], grids[::2], declared)


@pytest.mark.parametrize("latitude", [0, 52, 70])
def test_both_sides_of_a_pixel_are_measured_on_the_ground(latitude: float):
    degree_m = Geod(ellps="WGS84").inv(5, latitude, 5.001, latitude)[2] * 1000
    grid = Georeference(50, 50, Affine(1 / degree_m, 0, 5, 0, -1 / 111_000, latitude), "EPSG:4326")
    sides = pixel_sides_m(grid)
    assert sides == pytest.approx((1, 1, 2**0.5), rel=0.01)
    assert fits(grid, 1.0)
    assert not fits(Georeference(50, 50, Affine(1.42, 0, LEFT, 0, -0.71, TOP), UTM), 1.0)
    assert not fits(Georeference(50, 50, Affine(1, 0.9, LEFT, 0, -1, TOP), UTM), 1.0)
    feet = Georeference(50, 50, Affine(3.28084, 0, 984000, 0, -3.28084, 210000), "EPSG:2263")
    assert fits(feet, 1.0)


def test_equal_area_metres_that_stretch_pixels_are_not_kept():
    """In EPSG:6933 areas are true; at 52 degrees north a pixel of 1 m x 1 m is 0.71 m x 1.41 m on the ground."""
    x, y = Transformer.from_crs("EPSG:4326", "EPSG:6933", always_xy=True).transform(4.35, 51.9)
    grid = Georeference(50, 50, Affine(1, 0, x, 0, -1, y), "EPSG:6933")
    assert target_crs(grid, None, "scene") == UTM


DEGREE_M = 1 / 110_650


def degrees_scene(path: Path, west: float, latitude: float, values: np.ndarray) -> Path:
    across = 1 / (111_320 * np.cos(np.radians(latitude)))
    transform = Affine(across, 0, west, 0, -DEGREE_M, latitude)
    return write(path, values, names=BANDS, crs="EPSG:4326", transform=transform)


@pytest.mark.parametrize(
    ("west", "latitude", "zone"),
    [(204.1, 19.7, 32605), (180 - 5e-4, -16.8, 32760), (-181.5, -16.8, 32760), (-180.0002, -16.8, 32701),
     (539.9, 10.0, 32660)],
)  # fmt: skip
def test_longitudes_beyond_180_are_brought_to_their_utm_zone(tmp_path: Path, west: float, latitude: float, zone: int):
    values = in_db(power(HEIGHT, WIDTH)).astype(np.float32)
    scene = degrees_scene(tmp_path / "scene.tif", west, latitude, values)
    options = PrepareOptions(unit=Unit.DECIBEL, radar_side=RadarSide.NORTH)
    prepare_scene([scene], model(), tmp_path / "out.tif", options)
    assert open_grid(tmp_path / "out.tif").crs == f"EPSG:{zone}"
    found = read(tmp_path / "out.tif")
    assert np.isfinite(found).mean() > 0.85
    assert np.nanmean(10 ** (found / 10)) == pytest.approx(np.mean(10 ** (values / 10)), rel=0.02)


def across_180(path: Path) -> Path:
    """Three buildings in UTM zone 60 south, the middle one across the line."""
    x, y = Transformer.from_crs("EPSG:4326", "EPSG:32760", always_xy=True).transform(180.0, -16.8)
    boxes = [shapely.box(x + dx - 6, y - 5, x + dx + 6, y + 5) for dx in (-40, 1, 40)]
    gpd.GeoDataFrame({"confidence": [0.9] * 3}, geometry=boxes, crs="EPSG:32760").to_file(path)
    return path


def area_m2(shape: shapely.Geometry) -> float:
    return sum(abs(Geod(ellps="WGS84").geometry_area_perimeter(part)[0]) for part in shapely.get_parts(shape))


def test_footprints_across_180_degrees_are_cut_without_loss(tmp_path: Path):
    x, y = Transformer.from_crs("EPSG:4326", "EPSG:32760", always_xy=True).transform(180.0, -16.8)
    values = np.full((4, HEIGHT, WIDTH), 12, np.float32)
    for col in (5, 34, 60):
        values[:, 20:32, col : col + 11] = 36
    transform = Affine(1, 0, round(x) - WIDTH // 2, 0, -1, round(y) + HEIGHT // 2)
    values += np.random.default_rng(0).normal(0, 0.5, values.shape).astype(np.float32)
    scene = write(tmp_path / "s.tif", values, names=BANDS, crs="EPSG:32760", transform=transform)
    network = replace(DIRECTED, sensor=sensor(RadarSide.NORTH))
    shapes = {}
    for ending in ("geojson", "gpkg"):
        path = tmp_path / f"of_{ending}.{ending}"
        predict_file([scene], network, sensor=network.sensor, footprints=path, options=replace(OPTIONS, stac=True))
        shapes[ending] = gpd.read_file(path)
    kinds = [
        feature["geometry"]["type"] for feature in json.loads((tmp_path / "of_geojson.geojson").read_text())["features"]
    ]
    assert "MultiPolygon" in kinds
    assert "Polygon" in kinds
    assert shapes["geojson"].is_valid.all()
    for shape, area in zip(shapes["geojson"].geometry, shapes["geojson"].area_m2, strict=True):
        assert area_m2(shape) == pytest.approx(area, rel=2e-3)
        assert -180 <= shape.bounds[0] <= shape.bounds[2] <= 180
    item = json.loads((tmp_path / "of_geojson.stac.json").read_text())
    assert item["geometry"]["type"] == "MultiPolygon"
    west, _, east, _ = item["bbox"]
    assert 179.999 < west < 180
    assert -180 < east < -179.999
    scores = score_footprints(tmp_path / "of_geojson.geojson", tmp_path / "of_gpkg.gpkg")
    assert (scores.instances.f1, scores.predictions, scores.crs) == (1.0, len(kinds), "EPSG:32760")


def test_score_takes_the_zone_of_the_ground_where_the_reference_is_cut(tmp_path: Path):
    whole = gpd.read_file(across_180(tmp_path / "a.gpkg"))
    project = Transformer.from_crs("EPSG:32760", "OGC:CRS84", always_xy=True)
    degrees = [
        split_at_180(unwrapped(shapely.transform(one, lambda xy: np.stack(project.transform(*xy.T), axis=1))))
        for one in whole.geometry
    ]
    assert [one.geom_type for one in degrees] == ["Polygon", "MultiPolygon", "Polygon"]
    gpd.GeoDataFrame(geometry=degrees, crs="OGC:CRS84").to_file(tmp_path / "b.geojson")
    scores = score_footprints(tmp_path / "a.gpkg", tmp_path / "b.geojson")
    assert scores.crs in {"EPSG:32760", "EPSG:32701"}
    assert (scores.truths, scores.instances.f1) == (3, 1.0)
    assert scores.area_iou > 0.999


@pytest.mark.parametrize(
    ("west", "east", "box", "parts"),
    [(179.0, 181.0, (179, -179), 2), (204.0, 205.0, (-156, -155), 1), (-181.0, -179.5, (179, -179.5), 2),
     (10.0, 11.0, (10, 11), 1), (179.0, 180.0, (179, 180), 1), (180.0, 181.0, (-180, -179), 1)],
)  # fmt: skip
def test_boxes_and_outlines_at_180_degrees(west: float, east: float, box: tuple[float, float], parts: int):
    outline = shapely.box(west, -17, east, -16)
    assert (box_of(outline)[0], box_of(outline)[2]) == box
    cut = split_at_180(outline)
    assert shapely.get_num_geometries(cut) == parts
    assert cut.area == pytest.approx(outline.area)
    grid = Georeference(10, 10, Affine((east - west) / 10, 0, west, 0, -0.1, -16), "EPSG:4326")
    geometry, bounds = ground(grid)
    assert bounds == pytest.approx([box[0], -17, box[1], -16])
    assert shapely.geometry.shape(known(geometry)).area == pytest.approx(outline.area)


def test_without_georeference_up_is_north():
    grid = Georeference(10, 10, Affine.identity(), None)
    assert unmirrored(grid) == Turn()
    assert up_azimuth(grid) == 0
    site = Georeference(
        10, 10, Affine(1, 0, 100, 0, 1, 100), 'LOCAL_CS["site",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]'
    )
    assert unmirrored(site) == Turn(rows=True)
    assert up_azimuth(site) == 180
