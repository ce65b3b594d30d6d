import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
import yaml
from shapely import MultiPolygon, Point, Polygon, box
from typer.testing import CliRunner

from overcast.cli import app
from overcast.errors import InputError
from overcast.simulator.city.geometry import Extent, Roof, polygons
from overcast.simulator.dataset.folder import simulate_dataset
from overcast.simulator.options import CityOptions, FootprintOptions, RoofChoice, SimulationOptions
from overcast.simulator.town.cityjson import read_cityjson
from overcast.simulator.town.given import digest, read_town
from overcast.simulator.town.tiling import tiled, town_bounds, town_city

RD = "EPSG:28992"
X, Y = 85_000.0, 446_000.0


def at(x0: float, y0: float, x1: float, y1: float) -> Polygon:
    return box(X + x0, Y + y0, X + x1, Y + y1)


def vector_file(path: Path, shapes: list[Any], heights: list[Any], to: str | None = None) -> Path:
    names = [f"house {i}" for i in range(len(shapes))]
    table = geopandas.GeoDataFrame({"Height": heights, "name": names}, geometry=shapes, crs=RD)
    if to:
        table = table.to_crs(to)
    if path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_file(path, engine="pyogrio")
    return path


def options(path: Path, **more: Any) -> FootprintOptions:
    return FootprintOptions(**{"file": str(path), "height": "Height"} | more)


@pytest.mark.parametrize("name", ["town.gpkg", "town.geojson", "town.shp", "town.parquet"])
def test_formats_are_read_alike(tmp_path, name):
    path = vector_file(tmp_path / name, [at(0, 0, 10, 8), at(20, 0, 30, 8)], [6.0, 9.5])
    town = read_town(options(path))
    assert [b.height_m for b in town.buildings] == [6.0, 9.5]
    assert town.crs == RD
    assert shapely.equals_exact(town.buildings[0].outline.normalize(), at(0, 0, 10, 8).normalize(), 1e-3)
    assert town.repairs.sentence() == "2 buildings from 2 objects"


def test_degrees_go_to_the_utm_zone_and_keep_their_size(tmp_path):
    path = vector_file(tmp_path / "town.gpkg", [at(0, 0, 20, 10)], [6.0], to="EPSG:4326")
    town = read_town(options(path))
    assert town.crs == "EPSG:32631"
    assert town.buildings[0].outline.area == pytest.approx(200, rel=2e-3)


def test_repairs_are_made_and_counted(tmp_path):
    bow = Polygon([(X, Y), (X + 10, Y + 10), (X + 10, Y), (X, Y + 10)])
    shapes = [
        at(20, 0, 30, 10),
        at(25, 0, 35, 10),  # overlaps the one before
        MultiPolygon([at(50, 0, 60, 10), at(70, 0, 80, 10)]),
        bow,
        at(90, 0, 91, 1),
        None,
        Point(X, Y),
        at(100, 0, 110, 10),
        at(120, 0, 130, 10),
        at(140, 0, 150, 10),
        at(160, 0, 170, 10),
    ]
    heights = [4.0, 6.0, 8.0, 5.0, 5.0, 5.0, 5.0, 0.0, -3.0, float("nan"), 4000.0]
    town = read_town(options(vector_file(tmp_path / "town.gpkg", shapes, heights)))
    repairs = town.repairs
    assert (repairs.read, repairs.without_geometry, repairs.mended, repairs.split) == (11, 2, 1, 2)
    assert (repairs.small, repairs.without_height, repairs.overlapping) == (1, 4, 1)
    assert repairs.kept == len(town.buildings) == 10
    outlines = np.array([b.outline for b in town.buildings])
    assert shapely.is_valid(outlines).all()
    left, right = shapely.STRtree(outlines).query(outlines, predicate="intersects")
    pair = left < right
    assert shapely.area(shapely.intersection(outlines[left[pair]], outlines[right[pair]])).sum() < 1e-9
    assert sorted(b.height_m for b in town.buildings)[-1] == 8.0
    assert [b.height_m for b in town.buildings].count(5.5) == 4  # the median of 4, 6, 8, 8, 5, 5
    assert "4 without a usable height given the median or the default" in repairs.sentence()


def test_default_height_replaces_the_median(tmp_path):
    path = vector_file(tmp_path / "town.gpkg", [at(0, 0, 10, 8), at(20, 0, 30, 8)], [6.0, 0.0])
    town = read_town(options(path, default_height_m=11.0))
    assert [b.height_m for b in town.buildings] == [6.0, 11.0]
    assert {b.height_m for b in read_town(options(path, height=None, default_height_m=11.0)).buildings} == {11.0}


def test_what_cannot_be_mended_is_said_in_one_sentence(tmp_path):
    good = vector_file(tmp_path / "good.gpkg", [at(0, 0, 10, 8)], [6.0])
    flat = vector_file(tmp_path / "flat.gpkg", [at(0, 0, 10, 8)], [0.0])
    lost = vector_file(tmp_path / "lost.shp", [at(0, 0, 10, 8)], [6.0])
    lost.with_suffix(".prj").unlink()
    points = vector_file(tmp_path / "points.gpkg", [Point(X, Y)], [6.0])
    text = tmp_path / "text.gpkg"
    text.write_text("no database")
    cases = [
        (options(good, height="Hoogte"), "has no column 'Hoogte'; its numeric columns: Height"),
        (options(good, height=None), "name the column"),
        (options(flat), "no height between 0 and 900 m"),
        (options(good, height="name"), "no height between"),
        (options(lost), "names no coordinate system"),
        (options(points), "holds no polygon"),
        (options(text), "cannot be read as footprints"),
        (options(good, sha256="0" * 64), "has changed"),
    ]
    for given, message in cases:
        with pytest.raises(InputError, match=message) as caught:
            read_town(given)
        assert "\n" not in str(caught.value)
    assert read_town(options(lost, crs=RD)).crs == RD


def solid(
    points: Sequence[tuple[float, float, float]], faces: list[list[int]], kinds: list[str] | None
) -> dict[str, Any]:
    geometry: dict[str, Any] = {"type": "Solid", "lod": "2", "boundaries": [[[face] for face in faces]]}
    if kinds:
        names = sorted(set(kinds))
        geometry["semantics"] = {
            "surfaces": [{"type": name} for name in names],
            "values": [[names.index(kind) for kind in kinds]],
        }
    return geometry


def cityjson(
    path: Path, *, system: str | None = "https://www.opengis.net/def/crs/EPSG/0/7415", gabled: bool = True
) -> Path:
    """A house of 12 m x 8 m, eaves 5 m, ridge 8 m along x, on ground 2 m above the datum, and a block of 10 m."""
    house = [
        (0, 0, 2),
        (12, 0, 2),
        (12, 8, 2),
        (0, 8, 2),
        (0, 0, 7),
        (12, 0, 7),
        (12, 8, 7),
        (0, 8, 7),
        (0, 4, 10),
        (12, 4, 10),
    ]
    faces = [[3, 2, 1, 0], [4, 5, 9, 8], [6, 7, 8, 9], [0, 1, 5, 4], [2, 3, 7, 6], [1, 2, 6, 9, 5], [3, 0, 4, 8, 7]]
    kinds = ["GroundSurface", "RoofSurface", "RoofSurface", *["WallSurface"] * 4]
    block = [(30, 0, 0), (40, 0, 0), (40, 10, 0), (30, 10, 0), (30, 0, 10), (40, 0, 10), (40, 10, 10), (30, 10, 10)]
    sides = [[3, 2, 1, 0], [4, 5, 6, 7], [0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7]]
    base = len(house)
    model = {
        "type": "CityJSON",
        "version": "2.0",
        "transform": {"scale": [0.001, 0.001, 0.001], "translate": [X, Y, 0.0]},
        "metadata": {"referenceSystem": system} if system else {},
        "CityObjects": {
            "house": {"type": "Building", "geometry": [solid(house, faces, kinds if gabled else None)]},
            "whole": {"type": "Building", "children": ["part"]},
            "part": {
                "type": "BuildingPart",
                "parents": ["whole"],
                "geometry": [solid(block, [[base + i for i in side] for side in sides], None)],
            },
            "tree": {"type": "SolitaryVegetationObject", "geometry": []},
        },
        "vertices": [[round(1000 * value) for value in point] for point in [*house, *block]],
    }
    path.write_text(json.dumps(model))
    return path


def test_cityjson_ground_height_and_roof(tmp_path):
    town = read_town(FootprintOptions(file=str(cityjson(tmp_path / "town.city.json"))))
    house, block = town.buildings
    assert town.crs == RD
    assert house.outline.bounds == pytest.approx((X, Y, X + 12, Y + 8))
    assert (house.height_m, house.eaves_m, house.roof) == (pytest.approx(8), pytest.approx(5), Roof.GABLED)
    assert house.ridge is not None
    assert abs(np.sin(house.ridge)) < 1e-6
    assert (block.height_m, block.roof) == (pytest.approx(10), None)
    assert block.outline.area == pytest.approx(100)


def test_cityjson_roof_is_built_as_modelled(tmp_path):
    given = FootprintOptions(file=str(cityjson(tmp_path / "town.json")))
    bounds = Extent(X - 20, Y - 20, X + 60, Y + 40, RD)
    city = town_city(bounds, given, CityOptions(margin_m=10), 0)
    house = city.buildings[0]
    assert (house.height_m, house.eaves_m, house.roof) == (pytest.approx(8), pytest.approx(5), Roof.GABLED)
    assert house.wings[0].half_length == pytest.approx(6)
    assert abs(np.sin(house.wings[0].angle)) < 1e-6


def test_cityjson_without_or_with_a_broken_content_is_said(tmp_path):
    with pytest.raises(InputError, match="names no coordinate system"):
        read_town(FootprintOptions(file=str(cityjson(tmp_path / "a.json", system=None))))
    (tmp_path / "b.json").write_text('{"type": "FeatureCollection"}')
    with pytest.raises(InputError, match="not a CityJSON file"):
        read_cityjson(tmp_path / "b.json")
    (tmp_path / "c.json").write_text("{")
    with pytest.raises(InputError, match="is not readable JSON"):
        read_cityjson(tmp_path / "c.json")
    broken = json.loads(cityjson(tmp_path / "d.json").read_text())
    broken["vertices"] = broken["vertices"][:5]
    (tmp_path / "d.json").write_text(json.dumps(broken))
    with pytest.raises(InputError, match="damaged"):
        read_cityjson(tmp_path / "d.json")


def small_town(path: Path) -> Path:
    """Houses in the south-west, one far in the north-east."""
    houses = [at(5 + 20 * i, 5 + 15 * j, 15 + 20 * i, 13 + 15 * j) for i in range(3) for j in range(3)]
    return vector_file(path, [*houses, at(300, 300, 340, 330)], [*[7.0] * 9, 12.0])


def simulation(path: Path, **more: Any) -> SimulationOptions:
    given = options(path, sha256=digest(path), **more)
    return SimulationOptions(footprints=given, place_m=128, chip_px=64, gsd_m=1.0, city=CityOptions(margin_m=24))


def test_places_cover_every_building_once_and_skip_empty_ground(tmp_path):
    path = small_town(tmp_path / "town.gpkg")
    built, every = tiled(simulation(path)), tiled(simulation(path, keep_empty=True))
    assert built.places < every.places == 9
    places = np.array([box(e.left, e.bottom, e.right, e.top) for e in town_bounds(built)])
    outlines = np.array([b.outline for b in read_town(built.footprints).buildings])
    assert shapely.union_all(places).buffer(1e-6).contains(shapely.union_all(outlines))
    assert shapely.area(places).sum() == pytest.approx(shapely.union_all(places).area)
    assert tiled(simulation(path), 1).places == 1


def test_neighbouring_places_agree_on_what_stands_between_them(tmp_path):
    given = options(small_town(tmp_path / "town.gpkg"))
    west, east = (
        town_city(Extent(X + x, Y, X + x + 64, Y + 128, RD), given, CityOptions(margin_m=32), 5) for x in (0, 64)
    )

    def shared(rows: np.ndarray) -> np.ndarray:
        inside = (abs(rows[:, 0] - X - 64) < 20) & (rows[:, 1] > Y) & (rows[:, 1] < Y + 128)
        return np.sort(rows[inside], axis=0)

    assert len(shared(west.furniture.trees)) > 3
    np.testing.assert_array_equal(shared(west.furniture.trees), shared(east.furniture.trees))
    tones = [{b.outline.tobytes(): b.tone for b in city.buildings} for city in (west, east)]
    both = tones[0].keys() & tones[1].keys()
    assert both
    assert all(tones[0][key] == tones[1][key] for key in both)


def test_roofs_by_size_and_flat(tmp_path):
    path = vector_file(tmp_path / "town.gpkg", [at(0, 0, 12, 8), at(40, 0, 90, 40)], [8.0, 9.0])
    bounds = Extent(X, Y, X + 100, Y + 60, RD)
    by_size = town_city(bounds, options(path), CityOptions(), 0).buildings
    flat = town_city(bounds, options(path, roofs=RoofChoice.FLAT), CityOptions(), 0).buildings
    assert [b.roof for b in by_size] == [Roof.GABLED, Roof.FLAT]
    assert by_size[0].height_m == pytest.approx(8.0)
    assert by_size[0].eaves_m < 7.5
    assert {b.roof for b in flat} == {Roof.FLAT}


def test_nothing_stands_in_a_building_and_cars_keep_to_streets(tmp_path):
    given = options(small_town(tmp_path / "town.gpkg"))
    city = town_city(Extent(X, Y, X + 400, Y + 400, RD), given, CityOptions(cars=4), 1)
    tree = shapely.STRtree(polygons([b.rings for b in city.buildings]))
    furniture = city.furniture
    for rows in (furniture.trees, furniture.cars, furniture.poles):
        assert len(rows) > 5
        assert len(tree.query(shapely.points(rows[:, :2]), predicate="within")[0]) == 0
    near = tree.query(shapely.points(furniture.cars[:, :2]), predicate="dwithin", distance=22.0)[0]
    assert len(set(near.tolist())) == len(furniture.cars)


def test_written_town_keeps_its_coordinates_and_can_be_resumed(tmp_path):
    settings = tiled(simulation(small_town(tmp_path / "town.gpkg")))
    folder = simulate_dataset(tmp_path / "out", settings)
    chips = sorted((folder / "masks").glob("*.tif"))
    ground = 0.0
    for chip in chips:
        with rasterio.open(chip) as source:
            assert source.crs == RD
            ground += float(source.read(1).sum())
            assert source.read(1).any()  # chips without buildings are left out
    assert ground == pytest.approx(9 * 80 + 1200, rel=0.02)
    written = geopandas.read_file(folder / "footprints" / f"{chips[0].stem}.gpkg")
    assert written.crs == RD
    description = yaml.safe_load((folder / "dataset.yaml").read_text())
    assert description["simulated"] is True
    assert description["licence"] == "that of the footprints it was made from"
    before = (folder / "simulation.json").read_bytes()
    simulate_dataset(tmp_path / "out", settings)
    assert (folder / "simulation.json").read_bytes() == before


def test_command_simulates_a_town(tmp_path):
    path = small_town(tmp_path / "town.gpkg")
    sets = ["place_m=64", "chip_px=64", "gsd_m=1", "city.margin_m=16"]
    arguments = ["simulate", "-o", str(tmp_path / "out"), "--footprints", str(path), "--height", "Height"]
    flags = [flag for each in sets for flag in ("--set", each)]
    result = CliRunner().invoke(app, [*arguments, *flags, "--places", "1", "--workers", "1"])
    assert result.exit_code == 0, result.output
    assert "10 buildings from 10 objects" in result.output
    assert len(list((tmp_path / "out" / "sar").glob("*.tif"))) == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--height", "Height"], "--height names a column"),
        (["--footprints", "missing.gpkg", "--height", "Height"], "cannot be read"),
        (["--footprints", "missing.gpkg", "--scenes", "1"], "leave out --scenes"),
    ],
)
def test_command_refuses_what_makes_no_sense(tmp_path, flags, message):
    result = CliRunner().invoke(app, ["simulate", "-o", str(tmp_path / "out"), *flags])
    assert result.exit_code != 0
    assert message in str(result.exception) + result.output
