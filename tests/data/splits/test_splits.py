"""Splits: the real SpaceNet 6 corners, and properties of any split by ground."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from where import FIXTURES

from overcast.choices import SpaceNet6Side
from overcast.data.catalogs.spacenet6 import TileCorner, tiles_from_csv
from overcast.data.chips import Bounds
from overcast.data.splits.by_ground import (
    Part,
    Split,
    block_split,
    cluster_split,
    hold_out,
    hold_out_side,
    spacenet6_naive_split,
    spacenet6_split,
    subfolder_split,
)
from overcast.data.splits.ground import TOUCH_M, Placed
from overcast.data.splits.groups import choose
from overcast.data.splits.leaks import check_split, describe_split, shared_ground_m2
from overcast.errors import ConfigError, InputError

UTM = "EPSG:32631"


@dataclass(frozen=True)
class Spot:
    """The least that a split needs."""

    key: str
    place: str
    bounds: Bounds | None = None


def square(key: str, x: float, y: float, side: float = 100.0, crs: str = UTM, place: str = "") -> Spot:
    return Spot(key, place or key, Bounds(x, y, x + side, y + side, crs))


def grid(rows: int, cols: int, step: float = 100.0, side: float = 100.0) -> list[Spot]:
    """Squares row by row: they touch at the default step and overlap at smaller ones."""
    return [square(f"{r}_{c}", 593000 + c * step, 5748000 + r * step, side) for r in range(rows) for c in range(cols)]


@pytest.fixture(scope="module")
def corners() -> tuple[TileCorner, ...]:
    return tiles_from_csv(FIXTURES / "spacenet6_tiles.csv")


@pytest.mark.parametrize(
    ("side", "train", "test", "between"), [(SpaceNet6Side.EAST, 2351, 705, 345), (SpaceNet6Side.NORTH, 2470, 788, 143)]
)
def test_spacenet6_split_on_the_real_corners(
    corners: tuple[TileCorner, ...], side: SpaceNet6Side, train: int, test: int, between: int
) -> None:
    split = spacenet6_split(corners, side)
    assert split.counts == {"train": train, "validation": 0, "test": test, "dropped": between}
    ground = [[tile.bounds for tile in choose(corners, keys)] for keys in (split.train, split.test)]
    assert shared_ground_m2(*ground) == 0
    ours, theirs = [shapely.union_all([shapely.box(b.left, b.bottom, b.right, b.top) for b in part]) for part in ground]
    assert ours.intersection(theirs).area == 0


@pytest.mark.parametrize(
    ("side", "train", "tiles", "km2"),
    [(SpaceNet6Side.EAST, 2696, 337, 3.0776), (SpaceNet6Side.NORTH, 2613, 140, 0.6149)],
)
def test_the_naive_split_leaks_as_the_report_says(
    corners: tuple[TileCorner, ...], side: SpaceNet6Side, train: int, tiles: int, km2: float
) -> None:
    split = spacenet6_naive_split(corners, side)
    report = check_split(split, corners)[Part.TRAIN, Part.TEST]
    assert (report.train_chips, report.tiles) == (train, tiles)
    assert report.km2 == pytest.approx(km2, abs=5e-5)
    assert f"{tiles} of {train} training chips share {km2:.2f} km2 of ground" in report.sentence()


@pytest.mark.parametrize("side", list(SpaceNet6Side))
def test_a_validation_part_of_the_real_tiles_shares_no_ground(
    corners: tuple[TileCorner, ...], side: SpaceNet6Side
) -> None:
    split = hold_out_side(spacenet6_split(corners, side), corners, 0.12, bearing_deg=0)
    described = describe_split(split, corners)
    assert described["shared_ground_m2"] == 0
    assert described["clean"]
    assert set(described["between"]) == {"train and validation", "train and test", "validation and test"}
    assert len(split.validation) == pytest.approx(0.12 * (2351 if side == "east" else 2470), rel=0.03)
    assert sum(split.counts.values()) == len(corners)


def test_blocks_of_the_real_tiles_cost_more_than_a_side(corners: tuple[TileCorner, ...]) -> None:
    split = spacenet6_split(corners, SpaceNet6Side.EAST)
    blocks = hold_out(split, corners, 0.12, seed=1, block_m=1350)
    side = hold_out_side(split, corners, 0.12, bearing_deg=0)
    assert describe_split(blocks, corners)["clean"]
    assert side.counts["dropped"] < blocks.counts["dropped"]


def test_tiles_from_elsewhere_are_refused(corners: tuple[TileCorner, ...]) -> None:
    west = tuple(tile for tile in corners if tile.x < 595000)
    with pytest.raises(InputError, match="no tile lies in the east test ground"):
        spacenet6_split(west, SpaceNet6Side.EAST)
    with pytest.raises(InputError, match="every tile reaches into the east test ground"):
        spacenet6_split(tuple(tile for tile in corners if tile.x > 595310), SpaceNet6Side.EAST)


# Any split by ground

SQUARES = st.lists(st.tuples(st.floats(0, 2000), st.floats(0, 2000), st.floats(20, 300)), min_size=8, max_size=40).map(
    lambda spots: [square(f"c{i}", x, y, side, place=f"p{i % 7}") for i, (x, y, side) in enumerate(spots)]
)


def parts_of(split: Split, chips: Sequence[Placed]) -> dict[Part, tuple[Placed, ...]]:
    return {part: choose(chips, split.keys(part)) for part in Part}


def gap_m(one: Bounds, other: Bounds) -> float:
    box, other_box = (shapely.box(b.left, b.bottom, b.right, b.top) for b in (one, other))
    return float(box.distance(other_box))


def assert_apart(split: Split, chips: Sequence[Placed], buffer_m: float) -> None:
    for one, other in combinations(parts_of(split, chips).values(), 2):
        ground = [[chip.bounds for chip in part if chip.bounds] for part in (one, other)]
        assert shared_ground_m2(*ground) == 0
        if buffer_m:
            assert all(gap_m(a, b) >= buffer_m - 2 * TOUCH_M for a in ground[0] for b in ground[1])


def assert_partition(split: Split, chips: Sequence[Placed]) -> None:
    dropped = [key for drop in split.dropped for key in drop.keys]
    assert sorted([*split.train, *split.validation, *split.test, *dropped]) == sorted(chip.key for chip in chips)
    assert sum(split.counts.values()) == len(chips)


@given(SQUARES, st.floats(100, 900), st.sampled_from([0.0, 0.5, 40.0]), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_no_block_split_has_shared_ground(chips: list[Spot], block_m: float, buffer_m: float, seed: int) -> None:
    try:
        split = block_split(chips, block_m, 0.25, 0.15, buffer_m, seed)
    except ConfigError:  # too few blocks, or nothing left after the buffer
        assume(False)
    assert_partition(split, chips)
    assert_apart(split, chips, buffer_m)
    assert split.train
    assert split.validation
    assert split.test


@given(SQUARES, st.sampled_from([0.0, 40.0]), st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_hold_out_by_place_or_side_has_no_shared_ground(chips: list[Spot], buffer_m: float, seed: int) -> None:
    whole = Split(tuple(chip.key for chip in chips), (), ())
    for block_m in (None, 500.0):
        try:
            split = hold_out(whole, chips, 0.3, seed, block_m=block_m, buffer_m=buffer_m)
        except ConfigError:
            continue
        assert_partition(split, chips)
        assert_apart(split, chips, buffer_m)
    try:
        split = hold_out_side(whole, chips, 0.3, 60.0 * seed, buffer_m)
    except ConfigError:
        return
    assert_partition(split, chips)
    assert_apart(split, chips, buffer_m)


@given(st.integers(0, 50), st.floats(0.05, 0.45), st.floats(0.05, 0.45))
@settings(max_examples=40, deadline=None)
def test_places_are_never_cut_and_shares_are_met(seed: int, test_share: float, validation_share: float) -> None:
    chips = [Spot(f"c{i}", f"p{i % 40}") for i in range(200)]
    split = cluster_split(chips, test_share, validation_share, seed)
    assert_partition(split, chips)
    places = [{chip.place for chip in part} for part in parts_of(split, chips).values()]
    assert all(not one & other for one, other in combinations(places, 2))
    assert len(split.test) == pytest.approx(200 * test_share, abs=2.5)
    assert len(split.validation) == pytest.approx(200 * validation_share, abs=2.5)


def test_touching_chips_stay_and_overlapping_ones_are_dropped() -> None:
    touching = block_split(grid(12, 12), 300, 0.25, 0.25, 0, seed=0)
    assert touching.dropped == ()
    chips = grid(12, 12, step=90)
    overlapping = block_split(chips, 270, 0.25, 0.25, 0, seed=0)
    assert overlapping.counts["dropped"] > 0
    assert {drop.reason for drop in overlapping.dropped} <= {
        "validation chips overlapping test",
        "train chips overlapping test",
        "train chips overlapping validation",
    }
    assert_apart(overlapping, chips, 0)


def test_rounding_of_geotransforms_is_not_an_overlap() -> None:
    chips = [square(f"{c}", 593000 + c * 89.99936565, 5748000, side=89.99936565 + 1e-7) for c in range(12)]
    assert block_split(chips, 270, 0.3, 0, 0, seed=0).dropped == ()


def test_a_split_depends_on_the_seed_and_on_nothing_else() -> None:
    chips = grid(12, 12)
    first = block_split(chips, 300, 0.25, 0.25, 10, seed=3)
    again = block_split(chips[::-1], 300, 0.25, 0.25, 10, seed=3)
    assert {part: set(first.keys(part)) for part in Part} == {part: set(again.keys(part)) for part in Part}
    assert set(first.test) != set(block_split(chips, 300, 0.25, 0.25, 10, seed=4).test)


def test_degrees_are_measured_in_metres() -> None:
    step = 0.001  # 62 m east, 111 m north at 56 degrees
    chips = [
        Spot(
            f"{r}_{c}",
            "all",
            Bounds(10 + c * step, 56 + r * step, 10 + (c + 1) * step, 56 + (r + 1) * step, "EPSG:4326"),
        )
        for r in range(10)
        for c in range(16)
    ]
    split = block_split(chips, 300, 0.3, 0, 70, seed=1)
    test = {tuple(map(int, key.split("_"))) for key in split.test}
    train = {tuple(map(int, key.split("_"))) for key in split.train}
    assert not any((r, c + 2) in train or (r + 1, c) in train for r, c in test), "62 m or 0 m from the test ground"
    assert any((r + 2, c) in train for r, c in test), "111 m from the test ground"
    assert check_split(split, chips)[Part.TRAIN, Part.TEST].clean


def test_chips_in_two_coordinate_systems_have_no_common_blocks() -> None:
    chips = [*grid(4, 4), square("other", 593000, 5748000, crs="EPSG:32632")]
    with pytest.raises(InputError, match="different coordinate reference systems"):
        block_split(chips, 200, 0.3, 0, 0, seed=0)


def test_places_in_far_coordinate_systems_can_be_split() -> None:
    chips = [square(f"{zone}_{i}", 500000, 5748000 + 100 * i, crs=f"EPSG:{zone}", place=str(zone)) for zone in
             (32629, 32631, 32633, 32635) for i in range(5)]  # fmt: skip
    split = cluster_split(chips, 0.25, 0.25, seed=0)
    assert split.dropped == ()
    assert all(report.clean for report in check_split(split, chips).values())


def test_places_in_neighbouring_coordinate_systems_that_may_overlap_are_refused() -> None:
    chips = [
        Spot("zone 31", "a", Bounds(690000, 5750000, 701000, 5760000, "EPSG:32631")),
        Spot("zone 32", "b", Bounds(280000, 5750000, 300000, 5780000, "EPSG:32632")),
    ]
    with pytest.raises(InputError, match="cannot be measured exactly"):
        cluster_split(chips, 0.5, 0, seed=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"block_m": 0.0}, "block_m must be positive"),
        ({"block_m": math.nan}, "block_m must be positive"),
        ({"buffer_m": -1.0}, "buffer_m must be"),
        ({"test_share": 0.7, "validation_share": 0.3}, "below 1 in sum"),
        ({"test_share": -0.1}, "below 1 in sum"),
        ({"block_m": 1e6}, "1 blocks cannot fill 3 parts"),
        ({"buffer_m": 5000.0}, "chip is left: all lie too near"),
    ],
)
def test_impossible_blocks_are_refused(change: dict[str, float], message: str) -> None:
    options = {"block_m": 300.0, "test_share": 0.25, "validation_share": 0.25, "buffer_m": 0.0} | change
    with pytest.raises(ConfigError, match=message):
        block_split(grid(12, 12), **options, seed=0)


def test_chips_without_georeference_are_in_no_block() -> None:
    with pytest.raises(InputError, match=r"chip bare has no georeference.*split by place"):
        block_split([*grid(3, 3), Spot("bare", "p")], 100, 0.3, 0, 0, seed=0)


# The publisher's folders


def test_subfolders_keep_the_published_test_chips() -> None:
    train = [Spot(f"train/{i}", f"p{i // 4}") for i in range(40)]
    test = [Spot(f"test/{i}", f"q{i}") for i in range(10)]
    split = subfolder_split(train, test, 0.2, seed=0)
    assert split.test == tuple(chip.key for chip in test)
    assert split.counts == {"train": 32, "validation": 8, "test": 10, "dropped": 0}
    assert subfolder_split(train, test, 0, seed=0).validation == ()


def test_subfolders_drop_training_places_and_ground_of_the_test_folder() -> None:
    test = [Spot("test/0", "p0"), square("test/1", 593000, 5748000)]
    train = [*(Spot(f"train/{i}", f"p{i // 4}") for i in range(40)), square("train/near", 593050, 5748050)]
    split = subfolder_split(train, test, 0.2, seed=0)
    assert {drop.reason: drop.keys for drop in split.dropped} == {
        "train chips whose place is also in test": ("train/0", "train/1", "train/2", "train/3"),
        "train chips overlapping test": ("train/near",),
    }
    assert_partition(split, [*train, *test])


def test_subfolders_with_nothing_left_are_refused() -> None:
    with pytest.raises(ConfigError, match="every training chip shares its place"):
        subfolder_split([Spot("a", "p")], [Spot("b", "p")], 0.2, seed=0)
    with pytest.raises(ConfigError, match="holds no chips"):
        subfolder_split([], [Spot("b", "p")], 0.2, seed=0)


@pytest.mark.parametrize(("bearing", "held"), [(0, "3_"), (90, "_3"), (180, "0_"), (270, "_0")])
def test_a_side_is_named_by_its_bearing(bearing: float, held: str) -> None:
    chips = grid(4, 4)
    split = hold_out_side(Split(tuple(chip.key for chip in chips), (), ()), chips, 0.25, bearing)
    assert len(split.validation) == 4
    assert all(held in key for key in split.validation)


def test_hold_out_keeps_the_test_part_and_refuses_a_second_validation() -> None:
    chips = [Spot(f"c{i}", f"p{i // 5}") for i in range(100)]
    split = cluster_split(chips, 0.2, 0, seed=0)
    held = hold_out(split, chips, 0.25, seed=0)
    assert held.test == split.test
    assert sorted([*held.train, *held.validation]) == sorted(split.train)
    assert "Validation: places drawn from train with seed 0" in held.definition
    with pytest.raises(ConfigError, match="already has validation"):
        hold_out(held, chips, 0.25, seed=0)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        hold_out_side(split, chips, 0, 0)
    with pytest.raises(InputError, match="was it made for another data set"):
        hold_out(split, chips[:3], 0.25, seed=0)


def test_a_chip_in_two_parts_is_refused() -> None:
    with pytest.raises(ValueError, match="chip a is in two parts"):
        Split(("a",), (), ("a",))
