from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine
from shapely import Polygon

from overcast.raster.sources import Georeference
from overcast.simulator.city.geometry import Building, City, Extent, Kind, Roof, Structure, Surface, Wing, polygons
from overcast.simulator.city.plan import build_city
from overcast.simulator.options import CRS, CityOptions
from overcast.simulator.scene import label_mask, rasterize_city
from overcast.simulator.town.footprints import city_of

BOUNDS = Extent(500_000, 5_600_000, 500_300, 5_600_300, CRS)
WEIGHTS = ("row_weight", "detached_weight", "courtyard_weight", "slab_weight", "industry_weight", "harbour_weight")
ONLY = dict.fromkeys(WEIGHTS, 0.0)


def city(seed: int = 0, **options: Any) -> City:
    return build_city(BOUNDS, CityOptions(**options), np.random.SeedSequence(seed))


def grid(bounds: Extent = BOUNDS, gsd_m: float = 1.0) -> Georeference:
    rows, cols = round((bounds.top - bounds.bottom) / gsd_m), round((bounds.right - bounds.left) / gsd_m)
    return Georeference(rows, cols, Affine(gsd_m, 0, bounds.left, 0, -gsd_m, bounds.top), CRS)


def shapes(of: City) -> np.ndarray:
    return polygons([building.rings for building in of.buildings])


@pytest.fixture(scope="module")
def cities() -> list[City]:
    return [city(seed) for seed in range(4)]


def test_footprints_are_valid_and_counter_clockwise(cities):
    for each in cities:
        outlines = shapes(each)
        assert len(outlines) > 20
        assert shapely.is_valid(outlines).all()
        assert shapely.is_ccw(shapely.get_exterior_ring(outlines)).all()
        assert (shapely.area(outlines) > 3).all()


def test_footprints_do_not_overlap(cities):
    for each in cities:
        outlines = shapes(each)
        left, right = shapely.STRtree(outlines).query(outlines, predicate="intersects")
        pair = left < right
        shared = shapely.area(shapely.intersection(outlines[left[pair]], outlines[right[pair]]))
        assert shared.max() < 1e-9


def test_party_walls_are_exact():
    """Where two houses touch, they share a whole edge with bit-equal ends, so their union has no sliver."""
    each = city(1, **{**ONLY, "row_weight": 1.0})
    outlines = shapes(each)
    left, right = shapely.STRtree(outlines).query(outlines, predicate="touches")
    assert len(left) > 50
    for i, j in zip(left.tolist(), right.tolist(), strict=True):
        ends = [set(map(tuple, np.asarray(outlines[k].exterior.coords))) for k in (i, j)]
        assert len(ends[0] & ends[1]) >= 2


@pytest.mark.parametrize(
    ("weight", "kind"),
    [
        ("row_weight", Kind.ROW),
        ("detached_weight", Kind.DETACHED),
        ("courtyard_weight", Kind.COURTYARD),
        ("slab_weight", Kind.SLAB),
        ("industry_weight", Kind.WAREHOUSE),
    ],
)
def test_each_district_builds_its_kind(weight, kind):
    built = [b.kind for seed in range(2) for b in city(seed, **{**ONLY, weight: 1.0}).buildings]
    towers = {Kind.TOWER} if kind is Kind.SLAB else set()
    rows = {Kind.ROW} if kind is Kind.COURTYARD else set()  # small blocks cannot hold a ring
    assert kind in built
    assert set(built) <= {kind, Kind.SHED} | towers | rows


def test_places_differ_in_orientation_and_density():
    angles, shares = [], []
    for seed in range(6):
        each = city(seed)
        angles.append(np.degrees(each.buildings[0].wings[0].angle) % 90)
        shares.append(shapely.area(shapes(each)).sum())
    assert np.ptp(angles) > 20
    assert max(shares) > 1.3 * min(shares)


def test_same_seed_same_city_other_seed_other_city():
    a, b, c = city(7), city(7), city(8)
    assert all(np.array_equal(x.outline, y.outline) for x, y in zip(a.buildings, b.buildings, strict=True))
    assert np.array_equal(a.furniture.trees, b.furniture.trees)
    assert len(a.buildings) != len(c.buildings)


def test_nothing_small_stands_in_a_building(cities):
    for each in cities:
        tree = shapely.STRtree(shapes(each))
        for rows in (each.furniture.trees, each.furniture.cars, each.furniture.poles):
            assert len(tree.query(shapely.points(rows[:, :2]), predicate="within")[0]) == 0


def harbour(seed: int = 0) -> City:
    return city(seed, **ONLY | {"harbour_weight": 1.0}, built_share=1.0, rail_probability=0.0)


def test_ships_lie_in_water_and_all_else_on_land():
    afloat: list[Structure] = []
    cargo = 0
    for seed in range(3):
        each = harbour(seed)
        water = shapely.union_all([patch.polygon for patch in each.patches if patch.surface is Surface.WATER])
        ships = [structure for structure in each.structures if structure.afloat]
        ashore = [structure for structure in each.structures if not structure.afloat]
        assert shapely.contains(water, polygons([(ship.outline,) for ship in ships])).all()
        assert not shapely.intersects(water, polygons([(thing.outline,) for thing in ashore])).any()
        assert not shapely.intersects(water, shapes(each)).any()
        afloat += ships
        cargo += len(ashore)
    assert max(np.ptp(ship.outline, axis=0).max() for ship in afloat) > 70
    assert cargo > 50


def test_quays_have_the_water_on_their_left():
    each = harbour(1)
    quays = each.furniture.quays
    water = shapely.union_all([patch.polygon for patch in each.patches if patch.surface is Surface.WATER])
    edge = quays[:, 2:4] - quays[:, :2]
    left = np.stack([-edge[:, 1], edge[:, 0]], 1) / np.hypot(*edge.T)[:, None]
    middle = (quays[:, :2] + quays[:, 2:4]) / 2
    wet = shapely.contains_xy(water, middle + 0.4 * left)
    dry = ~shapely.contains_xy(water, middle - 0.4 * left)
    assert len(quays) > 40
    assert wet.mean() > 0.98
    assert dry.mean() > 0.9  # canals run into basins here and there
    assert (quays[:, 4] >= 1.0).all()


def test_railway_crosses_the_place_between_masts_and_without_buildings():
    plain, crossed = (city(3, rail_probability=share) for share in (0.0, 1.0))
    assert len(plain.furniture.rails) == 0
    rails = crossed.furniture.rails
    lines: Any = shapely.linestrings(rails.reshape(-1, 2, 2))
    assert shapely.length(lines).sum() > 300
    built = shapely.STRtree(shapes(crossed))
    assert len(built.query(lines, predicate="dwithin", distance=5.0)[0]) == 0
    beside = shapely.STRtree(lines).query(shapely.points(crossed.furniture.poles[:, :2]), "dwithin", distance=12.0)
    assert len(beside[0]) > 8


def test_trees_over_roofs_can_be_switched_off():
    def hanging(trees_over_roofs: bool) -> tuple[int, int]:
        each = city(7, detached_weight=20.0, trees_over_roofs=trees_over_roofs)
        scene = rasterize_city(each, grid(gsd_m=0.5))
        return int(((scene.canopy > scene.solid) & (scene.building > 0)).sum()), len(each.furniture.trees)

    (over, trees), (none, fewer) = hanging(True), hanging(False)
    assert over > 300
    assert none == 0
    assert 0.3 * trees < fewer < trees


def test_mask_is_the_footprints_at_pixel_centres(cities):
    each, frame = cities[0], grid()
    mask = label_mask(each, frame)
    rows, cols = np.mgrid[: frame.height, : frame.width]
    x, y = BOUNDS.left + cols + 0.5, BOUNDS.top - rows - 0.5
    inside = np.zeros(mask.shape, bool)
    for outline in shapes(each):
        inside |= shapely.contains_xy(outline, x, y)
    assert np.array_equal(mask.astype(bool), inside)


def test_gabled_roof_heights_and_slopes():
    """A ridge along x: eaves at the long sides, ridge in the middle, slope = rise / half width on both sides."""
    wing = Wing(20.0, 20.0, 0.0, 8.0, 5.0, eaves_m=6.0, rise_m=4.0)
    house = Building(wing.corners, (wing,), Kind.DETACHED, Roof.GABLED, Surface.TILE_RED, 0.5)
    bounds = Extent(0, 0, 40, 40, CRS)
    bare = city_of(bounds, [], [])
    scene = rasterize_city(City(bounds, (house,), (), bare.patches, bare.furniture), grid(bounds, 0.5))
    assert scene.solid.max() == pytest.approx(6 + 4 * (1 - 0.25 / 5))
    column = scene.solid[:, 40]
    np.testing.assert_allclose(np.diff(column[31:39]), 0.5 * 4 / 5, rtol=1e-5)
    assert scene.slope_north[31, 40] == pytest.approx(-0.8)  # north of the ridge the roof falls to the north
    assert scene.slope_north[48, 40] == pytest.approx(0.8)
    assert house.height_m == 10.0


def test_given_footprints_keep_their_courtyards():
    outer = Polygon([(10, 10), (30, 10), (30, 30), (10, 30)], [[(15, 15), (25, 15), (25, 25), (15, 25)]])
    bounds = Extent(0, 0, 40, 40, CRS)
    scene = rasterize_city(city_of(bounds, [outer], [9.0]), grid(bounds))
    assert scene.solid[20, 20] == 0
    assert scene.solid[12, 20] == 9
    assert (scene.building > 0).sum() == 300
