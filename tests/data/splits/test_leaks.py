"""Leaks: shared ground against shapely, identical files, shared places."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from raster_files import write_png

from overcast.data.catalogs.spacenet6 import TileCorner
from overcast.data.chips import Bounds, Chip
from overcast.data.splits.by_ground import Part, Split
from overcast.data.splits.ground import TOUCH_M
from overcast.data.splits.leaks import (
    WORST,
    check_leak,
    check_split,
    describe_leak,
    describe_split,
    require_clean_split,
    shared_ground_m2,
)
from overcast.errors import InputError, LeakError, exit_code

UTM = "EPSG:32631"
BOX = st.tuples(st.integers(0, 1000), st.integers(0, 1000), st.integers(1, 400), st.integers(1, 400))
BOXES = st.lists(BOX.map(lambda b: Bounds(b[0], b[1], b[0] + b[2], b[1] + b[3], UTM)), min_size=0, max_size=15)


def polygon(bounds: Bounds) -> shapely.Polygon:
    return shapely.box(bounds.left, bounds.bottom, bounds.right, bounds.top)


def chips_on(bounds: list[Bounds], prefix: str) -> list[Chip]:
    return [Chip(f"{prefix}{i}", f"{prefix}{i}", (), (), bounds=b) for i, b in enumerate(bounds)]


@given(BOXES, BOXES)
@settings(max_examples=150, deadline=None)
def test_shared_ground_is_the_intersection_of_the_unions(train: list[Bounds], test: list[Bounds]) -> None:
    ours, theirs = [shapely.union_all([polygon(b) for b in side]) for side in (train, test)]
    assert shared_ground_m2(train, test) == pytest.approx(ours.intersection(theirs).area, abs=1e-6)


@given(BOXES, BOXES)
@settings(max_examples=60, deadline=None)
def test_the_report_counts_what_overlaps(train: list[Bounds], test: list[Bounds]) -> None:
    overlaps = {
        (i, j) for i, a in enumerate(train) for j, b in enumerate(test) if polygon(a).intersection(polygon(b)).area > 0
    }
    report = check_leak(chips_on(train, "a"), chips_on(test, "b"))
    assert report.pairs == len(overlaps)
    assert report.tiles == len({i for i, _ in overlaps})
    assert report.test_tiles == len({j for _, j in overlaps})
    assert report.clean == (not overlaps)
    assert {(int(p.train[1:]), int(p.test[1:])) for p in report.worst} <= overlaps
    assert len(report.worst) == min(WORST, len(overlaps))


def test_touching_and_rounding_share_exactly_nothing() -> None:
    left = Bounds(0, 0, 450, 450, UTM)
    assert shared_ground_m2([left], [Bounds(450, 0, 900, 450, UTM)]) == 0
    assert shared_ground_m2([left], [Bounds(450, 450, 900, 900, UTM)]) == 0
    assert shared_ground_m2([left], [Bounds(450 - TOUCH_M / 2, 0, 900, 450, UTM)]) == 0
    assert shared_ground_m2([left], [Bounds(450 - 2 * TOUCH_M, 0, 900, 450, UTM)]) == pytest.approx(0.9, abs=1e-6)
    assert shared_ground_m2([], [left]) == shared_ground_m2([], []) == 0


def test_different_coordinate_systems_are_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"EPSG:32631 and EPSG:32632"):
        shared_ground_m2([Bounds(0, 0, 1, 1, UTM)], [Bounds(0, 0, 1, 1, "EPSG:32632")])
    with pytest.raises(InputError, match="'moon' is not a coordinate reference system"):
        shared_ground_m2([Bounds(0, 0, 1, 1, UTM)], [Bounds(0, 0, 1, 1, "moon")])


def test_two_names_of_one_coordinate_system_are_one() -> None:
    ogc = "urn:ogc:def:crs:EPSG::32631"
    assert shared_ground_m2([Bounds(0, 0, 10, 10, UTM)], [Bounds(5, 0, 15, 10, ogc)]) == 50


def test_degrees_give_the_area_on_the_ellipsoid() -> None:
    square = Bounds(4.0, 52.0, 4.01, 52.01, "EPSG:4326")
    quarter = Bounds(4.005, 52.005, 4.02, 52.02, "EPSG:4326")
    assert shared_ground_m2([square], [quarter]) == pytest.approx(geodesic_area(4.005, 52.005, 4.01, 52.01), rel=1e-5)


def geodesic_area(west: float, south: float, east: float, north: float) -> float:
    """Oracle: area between parallels of the WGS 84 ellipsoid in closed form (Snyder 1987, equation 3-12)."""
    a, e2 = 6378137.0, 0.00669437999014
    e = e2**0.5

    def q(latitude: float) -> float:
        s = np.sin(np.radians(latitude))
        return float((1 - e2) * (s / (1 - e2 * s * s) - np.log((1 - e * s) / (1 + e * s)) / (2 * e)))

    return a * a / 2 * float(np.radians(east - west)) * (q(north) - q(south))


def test_feet_are_measured_in_metres() -> None:
    feet = "EPSG:2263"  # New York Long Island, US survey feet
    one, other = Bounds(0, 0, 1000, 1000, feet), Bounds(500, 0, 1500, 1000, feet)
    assert shared_ground_m2([one], [other]) == pytest.approx(500_000 * (1200 / 3937) ** 2)


def test_a_leak_is_refused_in_one_sentence() -> None:
    train = [TileCorner("a", 593000, 5749000), TileCorner("b", 594000, 5749000)]
    test = [TileCorner("c", 593440, 5749000), TileCorner("d", 599000, 5749000)]
    split = Split(("a", "b"), (), ("c", "d"))
    with pytest.raises(LeakError) as caught:
        require_clean_split(split, [*train, *test])
    assert exit_code(caught.value) == 2
    assert check_leak(train, test).sentence() == (
        "1 of 2 training chips share 4500.0 m2 of ground with test chips (for example a and c); split them by place."
    )
    assert check_leak(train, test[1:]).sentence() == "2 training and 1 test chips share nothing."


def test_every_two_parts_of_a_split_are_compared() -> None:
    tiles = [TileCorner(key, 593000 + 440 * i, 5749000) for i, key in enumerate("abc")]
    split = Split(("a",), ("b",), ("c",))
    reports = check_split(split, tiles)
    assert [report.clean for report in reports.values()] == [False, True, False]
    assert list(reports) == [(Part.TRAIN, Part.VALIDATION), (Part.TRAIN, Part.TEST), (Part.VALIDATION, Part.TEST)]
    with pytest.raises(LeakError, match=r"1 of 1 train chips share 4500.0 m2 of ground with validation chips"):
        require_clean_split(split, tiles)
    require_clean_split(Split(("a",), (), ("c",)), tiles)
    described = json.loads(json.dumps(describe_split(split, tiles)))
    assert (described["clean"], described["shared_ground_m2"]) == (False, 9000.0)
    assert described["between"]["validation and test"]["finding"].startswith("1 of 1 validation chips share 4500.0 m2")
    assert described["counts"] == {"train": 1, "validation": 1, "test": 1, "dropped": 0}
    assert "clean" not in describe_split(split)


# Chips without georeference


@pytest.fixture
def bare(tmp_path: Path) -> list[Chip]:
    """Six chips with a SAR and an optical file each; 0 and 3 hold the same optical image, 2 and 5 are all zero."""
    rng = np.random.default_rng(0)
    sar = rng.integers(0, 256, (6, 16, 16), np.uint8)
    optical = rng.integers(0, 256, (6, 16, 16, 3), np.uint8)
    optical[3] = optical[0]
    for images in (sar, optical):
        images[[2, 5]] = 0
    chips = []
    for i in range(6):
        files = (
            write_png(tmp_path / "sar" / f"{i}.png", sar[i]),
            write_png(tmp_path / "optical" / f"{i}.png", optical[i]),
        )
        chips.append(Chip(str(i), f"p{i}", files[:1], files[1:]))
    return chips


def test_identical_images_are_found_and_empty_ones_are_not_a_leak(bare: list[Chip]) -> None:
    report = check_leak(bare[:3], bare[3:])
    assert (report.identical, report.pairs, report.clean) == (1, 0, False)
    assert [(pair.train, pair.test, pair.what) for pair in report.worst] == [("0", "3", "0.png")]
    assert report.sentence().startswith("1 of 3 training chips hold the same image as a test chip")
    assert check_leak(bare[:2], bare[4:]).clean


def test_a_place_in_both_is_a_leak_unless_ground_decides(bare: list[Chip]) -> None:
    test = replace(bare[4], place="p1")
    report = check_leak(bare[1:2], [test])
    assert report.shared_places == ("p1",)
    assert "1 places are in both training and test (p1)" in report.sentence()
    near, far = Bounds(0, 0, 10, 10, UTM), Bounds(50, 0, 60, 10, UTM)
    assert check_leak([replace(bare[1], bounds=near)], [replace(test, bounds=far)]).clean
    assert not check_leak([replace(bare[1], bounds=near)], [test]).clean


def test_images_are_compared_where_only_one_side_has_a_georeference(bare: list[Chip]) -> None:
    train = [replace(bare[0], bounds=Bounds(0, 0, 10, 10, UTM))]
    assert check_leak(train, bare[3:4]).identical == 1


def test_the_report_is_json(bare: list[Chip]) -> None:
    described = json.loads(json.dumps(describe_leak(check_leak(bare[:3], bare[3:]))))
    assert described["worst"] == [{"train": "0", "test": "3", "what": "0.png"}]
    assert (described["identical"], described["clean"]) == (1, False)
    assert described["finding"].startswith("1 of 3 training chips")
