"""Outlines: what simple shapes become, and what holds for any raster whatever it is cut into."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import rasterio.features
import shapely
from affine import Affine
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import ndimage
from shapely import affinity
from shapely.geometry.base import BaseGeometry

from overcast.choices import Outlines, Separate
from overcast.polygons import regions
from overcast.polygons.footprints import Footprints, PolygonOptions, vectorize
from overcast.polygons.outlines import blocks
from overcast.polygons.outlines.blocks import Beside
from overcast.polygons.outlines.levels import GENTLE, REACH_PX, STRICT, Level, regular_loops
from overcast.polygons.outlines.loops import Loops
from overcast.polygons.outlines.neighbours import Neighbourhood
from overcast.polygons.outlines.partition import LARGEST_AREA_CHANGE
from overcast.polygons.separate import separate
from overcast.raster.radiometry import SensorRadiometry, Unit
from overcast.raster.sources import ArraySource, Georeference

PROBABILITY = SensorRadiometry(bands=("probability",), unit=Unit.DIGITAL_NUMBER, gsd_m=1.0)
REGULAR = [Outlines.GENTLE, Outlines.STRICT]
SIDE = 96
PLACE = Affine(1, 0, 500_000, 0, -1, 5_600_000)


def drawn(probability: np.ndarray, walls: np.ndarray | None = None, **options: Any) -> Footprints:
    """Footprints in order of their identifiers, their geometry in pixels (column, row)."""
    height, width = probability.shape
    grid = Georeference(height, width, PLACE, "EPSG:32631")
    source, learnt = (
        None if one is None else ArraySource(one[None].astype(np.float32), PROBABILITY, grid)
        for one in (probability, walls)
    )
    assert source is not None
    portions = list(vectorize(source, PolygonOptions(**options), beside=Beside(boundaries=learnt)))
    names = [field.name for field in dataclasses.fields(Footprints)]
    found = Footprints(*(np.concatenate([getattr(portion, name) for portion in portions]) for name in names))
    placed = shapely.transform(found.geometry, lambda xy: (xy - [PLACE.c, PLACE.f]) * [1, -1])
    return dataclasses.replace(found, geometry=placed).select(np.argsort(found.id))


def burnt(*shapes: shapely.Polygon) -> np.ndarray:
    return rasterio.features.rasterize(shapes, (SIDE, SIDE)).astype(float) * 0.9


def corners(polygon: Any) -> int:
    return len(polygon.exterior.coords) - 1


def iou(one: BaseGeometry, other: BaseGeometry) -> float:
    return one.intersection(other).area / one.union(other).area


def placed(shape: Any, angle: float, shift: tuple[float, float]) -> shapely.Polygon:
    return affinity.translate(affinity.rotate(shape, angle, origin=(0, 0)), 45 + shift[0], 45 + shift[1])


angles, shifts = st.floats(0, 180), st.tuples(st.floats(0, 1), st.floats(0, 1))
sides, long_sides = st.floats(8, 30), st.floats(18, 40)


def rectangle(width: float, height: float) -> shapely.Polygon:
    return shapely.box(-width / 2, -height / 2, width / 2, height / 2)


def corner_house(width: float, height: float, share: float) -> Any:
    shape = shapely.box(0, 0, width, height).difference(shapely.box(share * width, share * height, 99, 99))
    return affinity.translate(shape, -width / 2, -height / 2)


@settings(max_examples=40, deadline=None)
@given(sides, sides, angles, shifts)
def test_turned_rectangle_comes_back_with_four_corners_within_a_pixel(width, height, angle, shift):
    true = placed(rectangle(width, height), angle, shift)
    (found,) = drawn(burnt(true), outlines=Outlines.STRICT).geometry
    assert corners(found) == 4
    assert shapely.hausdorff_distance(found, true) < 1
    one, other = np.diff(shapely.get_coordinates(found), axis=0)[:2]
    assert abs(one @ other) < 1e-3 * np.linalg.norm(one) * np.linalg.norm(other)


@settings(max_examples=30, deadline=None)
@given(long_sides, long_sides, st.floats(0.4, 0.6), angles, shifts)
def test_turned_corner_house_comes_back_with_six_corners(width, height, share, angle, shift):
    true = placed(corner_house(width, height, share), angle, shift)
    (found,) = drawn(burnt(true), outlines=Outlines.STRICT).geometry
    assert corners(found) == 6
    assert shapely.hausdorff_distance(found, true) < 1.2


def test_gentle_draws_all_but_a_few_of_them_alike():
    """About one in a thousand gets a corner cut by a wall of its own."""
    rng = np.random.default_rng(0)
    right = []
    for _ in range(60):
        angle, shift = rng.uniform(0, 180), tuple(rng.uniform(0, 1, 2))
        for shape in (rectangle(*rng.uniform(8, 30, 2)), corner_house(*rng.uniform((18, 18, 0.4), (40, 40, 0.6)))):
            true = placed(shape, angle, shift)
            (found,) = drawn(burnt(true)).geometry
            assert shapely.hausdorff_distance(found, true) < 1.2
            right.append(corners(found) == corners(true))
    assert sum(right) >= len(right) - 1


@pytest.mark.parametrize("radius", [6, 9, 14, 25, 40])
@pytest.mark.parametrize("mode", REGULAR)
def test_circle_is_not_squared(radius: float, mode: Outlines):
    true = shapely.Point(48.3, 47.6).buffer(radius)
    found = drawn(burnt(true), outlines=mode)
    assert found.level.tolist() == [Level.SMOOTHED]
    assert corners(found.geometry[0]) >= 7
    assert iou(found.geometry[0], true) > 0.92


def test_courtyard_is_kept_and_squared():
    true = placed(shapely.box(-20, -20, 20, 20).difference(shapely.box(-9, -9, 9, 9)), 33, (0, 0))
    (found,) = drawn(burnt(true)).geometry
    assert corners(found) == 4
    assert [len(ring.coords) for ring in found.interiors] == [5]
    assert iou(found, true) > 0.95


@pytest.mark.parametrize("mode", REGULAR)
def test_long_diagonal_wall_is_kept(mode: Outlines):
    """Squaring it away would carry the corner out of the pixels by more than the reach."""
    true = placed(shapely.Polygon([(-16, -12), (16, -12), (16, 4), (8, 12), (-16, 12)]), 20, (0, 0))
    (found,) = drawn(burnt(true), outlines=mode).geometry
    assert corners(found) == 5
    assert iou(found, true) > 0.95


def test_strict_takes_a_step_away_that_gentle_keeps():
    shape = shapely.box(-20, -12, 20, 12).difference(shapely.box(0, 9.5, 30, 30))
    gentle, strict = (drawn(burnt(placed(shape, 30, (0.1, 0.1))), outlines=mode).geometry[0] for mode in REGULAR)
    assert (corners(gentle), corners(strict)) == (6, 4)


def noisy(seed: int, side: int = SIDE) -> np.ndarray:
    """Buildings of all kinds close to each other, in correlated noise; gaps without data for odd seeds."""
    rng = np.random.default_rng(seed)
    shapes = []
    for row in range(8, side - 8, 20):
        for col in range(8, side - 8, 20):
            width, height = rng.uniform(6, 24, 2)
            box = affinity.rotate(shapely.box(0, 0, width, height), rng.uniform(0, 90))
            shapes.append(affinity.translate(box, col + rng.uniform(-6, 6), row + rng.uniform(-6, 6)))
    mask = rasterio.features.rasterize(shapes, (side, side)).astype(float)
    field = 12 * (ndimage.gaussian_filter(mask, 1) - 0.45)
    field += rng.choice([0, 2, 5]) * ndimage.gaussian_filter(rng.normal(size=mask.shape), 1.5)
    probability = 1 / (1 + np.exp(-field))
    for _ in range(4 * (seed % 2)):
        row, col = rng.integers(0, side - 12, 2)
        probability[row : row + rng.integers(1, 12), col : col + rng.integers(1, 12)] = np.nan
    return probability


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(REGULAR), st.sampled_from(list(Separate)))
def test_no_outline_overlaps_another_or_leaves_its_pixels_or_the_data(seed, mode, apart):
    probability = noisy(seed)
    found = drawn(probability, outlines=mode, separate=apart)
    exact = drawn(probability, outlines=Outlines.OFF, separate=apart)
    assert found.id.tolist() == exact.id.tolist()
    assert found.confidence.tolist() == exact.confidence.tolist()
    assert found.valid_share.tolist() == exact.valid_share.tolist()
    assert (shapely.get_type_id(found.geometry) == shapely.GeometryType.POLYGON).all()
    assert shapely.is_valid(found.geometry).all()
    one, other = shapely.STRtree(found.geometry).query(found.geometry)
    pairs = found.geometry[one[one < other]], found.geometry[other[one < other]]
    assert shapely.area(shapely.intersection(*pairs)).max(initial=0) < 1e-9
    rule = STRICT if mode is Outlines.STRICT else GENTLE
    change = np.abs(shapely.area(found.geometry) / shapely.area(exact.geometry) - 1)
    # against the smoothed outline the bound is the rule's; smoothing may take or give 5 percent more
    assert change.max(initial=0) <= (1 + rule.largest_area_change) * 1.05 - 1 + (0.25 if apart is not apart.OFF else 0)
    assert shapely.hausdorff_distance(found.geometry, exact.geometry).max(initial=0) < 30
    near = shapely.buffer(exact.geometry, REACH_PX + 1)
    assert shapely.covers(near, found.geometry).all()
    everything = shapely.union_all(found.geometry)
    assert shapely.box(0, 0, SIDE, SIDE).buffer(1e-9).covers(everything)
    missing = [shapely.box(col, row, col + 1, row + 1) for row, col in np.argwhere(np.isnan(probability))]
    assert shapely.intersection(everything, shapely.union_all(missing)).area < 1e-9


@settings(max_examples=25)
@given(st.integers(0, 10_000).map(lambda number: 2 * number), st.sampled_from(REGULAR))
@example(13030, Outlines.GENTLE)
def test_separated_block_has_no_slivers_and_keeps_its_area(seed, mode):
    """Buildings cut out of one region fill its outline: nothing lies between them or twice under them."""
    probability = noisy(seed)
    regions_there = drawn(probability, outlines=Outlines.OFF).geometry
    exact = drawn(probability, outlines=Outlines.OFF, separate=Separate.WATERSHED)
    found = drawn(probability, outlines=mode, separate=Separate.WATERSHED)
    inner = shapely.point_on_surface(exact.geometry)
    region, part = shapely.STRtree(inner).query(regions_there, predicate="contains")
    for number in np.unique(region):
        at = part[region == number]
        pieces, pixels = found.geometry[at], exact.geometry[at]
        if len(at) < 2:
            continue
        block, truth = shapely.union_all(pieces), shapely.union_all(pixels)
        assert len(set(found.level[at])) == 1  # all of a block or none: walls of pixel edges fit no straight ones
        assert block.geom_type == "Polygon"
        assert shapely.area(pieces).sum() == pytest.approx(block.area, abs=1e-6)
        # slits between neighbours, open at an end: what mitred growing by half a slit of half a pixel would close
        # (without corners 0.003 px apart: GEOS leaves them out when it grows, and what they hold would count)
        coarse = shapely.simplify(block, 0.003)
        grown = shapely.buffer(shapely.buffer(coarse, 0.25, join_style="mitre"), -0.25, join_style="mitre")
        assert found.level[at[0]] == Level.PIXELS or shapely.area(grown.difference(coarse)) < 1e-3
        # holes are courtyards of the region: each holds more of its pixels than a slit of two pixels, which is closed
        for ring in shapely.get_rings(block)[1:]:
            hole = shapely.Polygon(ring)
            assert not found.level[at[0]] or 2 * hole.area > hole.length
            assert hole.intersection(truth).area < 0.5 * hole.area
        # a building's wall may move by a pixel or two, so by a quarter of a small one; the block is drawn by the
        # mode's rule, against an outline that smoothing has changed by at most 5 percent
        assert (np.abs(shapely.area(pieces) / shapely.area(pixels) - 1) <= LARGEST_AREA_CHANGE).all()
        rule = STRICT if mode is Outlines.STRICT else GENTLE
        assert abs(block.area / truth.area - 1) <= (1 + rule.largest_area_change) * 1.05 - 1


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from(REGULAR),
    st.sampled_from(list(Separate)),
    st.integers(1, SIDE),
    st.integers(1, 300),
)
def test_outlines_are_the_same_to_the_last_bit_for_any_strips(seed, mode, apart, strip_rows, settle):
    probability = noisy(seed)
    whole = drawn(probability, outlines=mode, separate=apart)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regions, "SETTLE_CORNERS", settle)
        cut = drawn(probability, outlines=mode, separate=apart, strip_pixels=strip_rows * SIDE)
    for field in dataclasses.fields(Footprints):
        one, other = getattr(whole, field.name), getattr(cut, field.name)
        if field.name == "geometry":
            one, other = shapely.to_wkb(one), shapely.to_wkb(other)
        assert one.tolist() == other.tolist()


def test_a_building_does_not_depend_on_what_else_is_in_the_scene():
    house = placed(shapely.box(-11, -7, 11, 7), 27, (0.3, 0.4))
    other = affinity.translate(house, 0, -30)
    (alone,) = drawn(burnt(house)).geometry
    among = drawn(burnt(house, other, shapely.Point(12, 80).buffer(9)))
    assert alone.wkb in [polygon.wkb for polygon in among.geometry]


def test_regular_again_changes_next_to_nothing():
    rng = np.random.default_rng(0)
    shapes = [placed(shapely.box(-w / 2, -h / 2, w / 2, h / 2), a, (0, 0)) for w, h, a in rng.uniform(10, 40, (40, 3))]
    shapes.append(shapely.Polygon([(0, 0), (30, 0), (30, 9), (12, 9), (12, 20), (0, 20)]))
    once = Loops.of(shapely.get_exterior_ring(np.array(shapes, object)))
    for mode in REGULAR:
        again, level = regular_loops(once, np.arange(once.count), mode)
        assert (level == Level.SQUARED).all()
        assert shapely.hausdorff_distance(again.polygons(), once.polygons()).max() < 0.3


def test_no_mode_and_nothing_are_left_as_they_are():
    loops = Loops.of(shapely.get_exterior_ring(np.array([shapely.box(0, 0, 5, 5)], object)))
    same, level = regular_loops(loops, np.zeros(1, int), Outlines.OFF)
    assert same is loops
    assert level.tolist() == [Level.PIXELS]
    none = Loops(np.zeros((0, 2)), np.zeros(0, int), 0)
    assert len(regular_loops(none, np.zeros(0, int), Outlines.STRICT)[0].xy) == 0


def test_houses_that_would_overlap_keep_their_pixel_edges():
    """Two turned houses with one pixel between them, and a tongue that regular outlines of both would cover."""
    mask = burnt(placed(shapely.box(-22, -8, -0.8, 8), 40, (0, 0)), placed(shapely.box(0.8, -8, 22, 8), 44, (0, 0)))
    found = drawn(mask, outlines=Outlines.STRICT)
    assert shapely.area(shapely.intersection(found.geometry[0], found.geometry[1])) < 1e-9


class TestSeparation:
    """Touching buildings."""

    @staticmethod
    def row_houses(
        turn: float = 25,
        count: int = 4,
        width: float = 11,
        depth: float = 16,
        shift: tuple[float, float] = (0.2, 0.3),
    ) -> tuple[np.ndarray, list[shapely.Polygon]]:
        """Probability of houses in a row, lower along the walls between them but nowhere under 0.5, and the houses."""
        left = -width * count / 2
        boxes = [shapely.box(left + width * k, -depth / 2, left + width * (k + 1), depth / 2) for k in range(count)]
        true = [placed(box, turn, shift) for box in boxes]
        walls = shapely.union_all([one.intersection(other) for one, other in pairwise(true)])
        col, row = np.meshgrid(np.arange(SIDE) + 0.5, np.arange(SIDE) + 0.5)
        dip = 0.4 * np.exp(-((shapely.distance(walls, shapely.points(col, row)) / 1.0) ** 2))
        return np.where(burnt(*true) > 0, 0.95 - dip, 0.05), true

    @staticmethod
    def learnt_walls(true: list[shapely.Polygon]) -> np.ndarray:
        """Probability of edge or contact as a model gives it: high less than 1.5 pixels from a wall of any house."""
        col, row = np.meshgrid(np.arange(SIDE) + 0.5, np.arange(SIDE) + 0.5)
        edges = shapely.union_all(shapely.boundary(np.array(true, object)))
        return np.clip(1 - 0.3 * np.asarray(shapely.distance(edges, shapely.points(col, row))), 0.05, 1)

    @staticmethod
    def shared_wall_m(polygons: np.ndarray) -> float:
        edges = shapely.boundary(polygons)
        one, other = np.triu_indices(len(polygons), 1)
        return float(shapely.length(shapely.intersection(edges[one], edges[other])).sum())

    @settings(max_examples=50)
    @given(
        mode=st.sampled_from(REGULAR),
        turn=angles,
        shift=shifts,
        width=st.floats(8, 12),
        depth=st.floats(10, 18),
        count=st.integers(2, 5),
        learnt=st.booleans(),
    )
    @example(mode=Outlines.GENTLE, turn=0, shift=(0.2, 0.3), width=11, depth=16, count=4, learnt=False)
    @example(mode=Outlines.STRICT, turn=45, shift=(0, 0), width=8, depth=10, count=5, learnt=True)
    def test_row_houses_share_straight_walls(self, mode, turn, shift, width, depth, count, learnt):
        width += 0 if learnt else 4  # a dip is as wide as a wall, and no neck between small houses
        probability, true = self.row_houses(turn, count, width, depth, shift)
        walls = self.learnt_walls(true) if learnt else None
        found = drawn(probability, walls, outlines=mode, separate=Separate.WATERSHED)
        assert len(found) == count
        assert found.level.tolist() == [Level.SQUARED] * count
        # a shared wall runs from one outer wall to the other; pixels leave half a pixel of each of these open, and
        # squaring turns it by up to a quarter more from end to end
        assert self.shared_wall_m(found.geometry) == pytest.approx(depth * (count - 1), abs=(count - 1) * 2 * 0.75)
        joined = shapely.union_all(found.geometry)
        assert joined.geom_type == "Polygon"
        assert shapely.get_num_interior_rings(joined) == 0
        assert corners(joined.simplify(1e-2)) == 4
        assert sum(polygon.area for polygon in found.geometry) == pytest.approx(joined.area, abs=1e-6)
        best = [max(iou(house, polygon) for polygon in found.geometry) for house in true]
        assert min(best) > 0.8

    def test_without_separation_they_are_one_block(self):
        probability, _ = self.row_houses()
        assert len(drawn(probability)) == 1

    def test_pixel_edges_are_shared_too(self):
        probability, _ = self.row_houses()
        found = drawn(probability, outlines=Outlines.OFF, separate=Separate.WATERSHED)
        assert len(found) == 4
        (block,) = drawn(probability, outlines=Outlines.OFF).geometry
        assert shapely.union_all(found.geometry).equals(block)

    def test_sums_over_the_parts_are_those_of_the_region(self):
        probability, _ = self.row_houses()
        parts = drawn(probability, outlines=Outlines.OFF, separate=Separate.WATERSHED)
        (whole,) = drawn(probability, outlines=Outlines.OFF).confidence
        assert parts.confidence @ parts.area_m2 / parts.area_m2.sum() == pytest.approx(whole)
        mask = probability >= 0.5
        for first, polygon in zip(parts.id, parts.geometry, strict=True):
            inside = rasterio.features.rasterize([polygon], mask.shape).astype(bool)
            assert np.flatnonzero(inside)[0] == first

    def test_region_too_large_is_left_whole_and_told(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(blocks, "LARGEST_WINDOW_PIXELS", 500)
        probability, _ = self.row_houses()
        found = drawn(probability, separate=Separate.WATERSHED)
        assert found.unsplit.tolist() == [True]

    def test_block_at_the_border_stays_inside(self):
        probability, _ = self.row_houses()
        cut = probability[:, 32:]
        found = drawn(cut, separate=Separate.WATERSHED)
        assert len(found) > 1
        assert shapely.bounds(found.geometry)[:, 0].min() >= 0
        assert found.valid_share.min() < 1

    @pytest.mark.parametrize("shape", ["rectangle", "corner", "tee"])
    def test_single_buildings_stay_single(self, shape: str):
        kinds = {
            "rectangle": shapely.box(-20, -6, 20, 6),
            "corner": shapely.box(-18, -18, 18, 18).difference(shapely.box(-4, -4, 99, 99)),
            "tee": shapely.box(-20, 4, 20, 16).union(shapely.box(-6, -18, 6, 5)),
        }
        rng = np.random.default_rng(1)
        for angle in (0, 17, 45, 71):
            mask = burnt(placed(kinds[shape], angle, (0, 0))) / 0.9
            field = 12 * (ndimage.gaussian_filter(mask, 1) - 0.45) + ndimage.gaussian_filter(
                rng.normal(size=mask.shape), 1.5
            )
            assert len(drawn(1 / (1 + np.exp(-field)), separate=Separate.WATERSHED)) == 1

    def test_parts_are_numbered_by_their_first_pixel_and_hang_together(self):
        inside = np.zeros((30, 44), bool)
        inside[3:25, 2:20] = inside[6:28, 24:42] = inside[13:16, 19:25] = True
        parts = separate(np.where(inside, 0.9, 0.1).astype(np.float32), inside, 0.5)
        assert np.array_equal(parts > 0, inside)
        assert parts.max() == 2
        assert parts[3, 2] == 1
        assert parts[27, 41] == 2
        assert [ndimage.label(parts == part)[1] for part in (1, 2)] == [1, 1]


def test_neighbourhood_gives_out_everything_once():
    rows = np.zeros((SIDE, SIDE))
    rows[10:20, 10:20] = rows[22:40, 10:20] = rows[60:70, 50:60] = 0.9
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regions, "SETTLE_CORNERS", 1)
        given_out: list[list[int]] = []
        add = Neighbourhood.add

        def watched(self: Neighbourhood, *arguments: Any) -> object:
            decided = add(self, *arguments)
            given_out.append(decided.tally.first.tolist())
            return decided

        patch.setattr(Neighbourhood, "add", watched)
        found = drawn(rows, strip_pixels=SIDE * 5)
    flat = [first for portion in given_out for first in portion]
    assert sorted(flat) == found.id.tolist() == [10 * SIDE + 10, 22 * SIDE + 10, 60 * SIDE + 50]
    assert given_out[0] == []  # the first house waits for the one below it
