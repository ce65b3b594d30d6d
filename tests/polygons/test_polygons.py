"""Polygons from a probability raster: those of the whole raster, for any strips."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import rasterio.features
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pyproj import Geod
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from overcast.choices import Outlines
from overcast.errors import ConfigError
from overcast.polygons import regions
from overcast.polygons.area import GeodesicArea, PlanarArea, measure_area
from overcast.polygons.footprints import Footprints, PolygonOptions, vectorize
from overcast.progress import Progress
from overcast.raster.grid import Window
from overcast.raster.radiometry import SensorRadiometry, Unit
from overcast.raster.sources import ArraySource, Georeference, Pixels

PROBABILITY = SensorRadiometry(bands=("probability",), unit=Unit.DIGITAL_NUMBER, gsd_m=0.5)
NORTH_UP = Affine(0.5, 0, 593000, 0, -0.5, 5750000)
ROTATED = Affine(0.3, 0.4, 593000, 0.4, -0.3, 5750000)


def source(probability: np.ndarray, transform: Affine = NORTH_UP, crs: str = "EPSG:32631") -> ArraySource:
    """(H, W) probabilities, NaN = no data."""
    height, width = probability.shape
    grid = Georeference(height, width, transform, crs)
    return ArraySource(probability[None].astype(np.float32), PROBABILITY, grid)


def footprints(probability: np.ndarray, transform: Affine = NORTH_UP, crs: str = "EPSG:32631", **options) -> Footprints:
    """All footprints, in order of their identifiers; along pixel edges unless told otherwise."""
    given = {"outlines": Outlines.OFF, **options}
    portions = list(vectorize(source(probability, transform, crs), PolygonOptions(**given)))
    parts = [
        np.concatenate([getattr(portion, field.name) for portion in portions])
        for field in dataclasses.fields(Footprints)
    ]
    found = Footprints(*parts)
    return found.select(np.argsort(found.id))


def whole(mask: np.ndarray, transform: Affine = NORTH_UP) -> list[BaseGeometry]:
    """The oracle: rasterio on the whole mask."""
    found = rasterio.features.shapes(mask.astype(np.uint8), mask=mask, connectivity=4, transform=transform)
    return [shape(geometry) for geometry, _ in found]


def canonical(polygons: object) -> list[str]:
    return sorted(shapely.to_wkb(shapely.normalize(np.array(polygons, object)), hex=True).tolist())


masks = hnp.arrays(
    np.bool_, st.tuples(st.integers(1, 16), st.integers(1, 16)), elements=st.booleans(), fill=st.nothing()
)


@settings(max_examples=300, deadline=None)
@given(masks, st.integers(1, 16), st.integers(1, 40))
def test_polygons_are_those_of_the_whole_raster_for_any_strips(mask, strip_rows, settle):
    probability = np.where(mask, 0.75, 0.25)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regions, "SETTLE_CORNERS", settle)
        found = footprints(probability, strip_pixels=strip_rows * mask.shape[1])
    assert canonical(found.geometry) == canonical(whole(mask))
    assert shapely.is_valid(found.geometry).all()
    at_once = footprints(probability)
    assert shapely.to_wkb(found.geometry).tolist() == shapely.to_wkb(at_once.geometry).tolist()
    assert found.id.tolist() == at_once.id.tolist()


@settings(max_examples=100, deadline=None)
@given(
    hnp.arrays(np.float32, (12, 9), elements=st.sampled_from([0.1, 0.3, 0.5, 0.6, 0.9, np.nan]), fill=st.nothing()),
    st.integers(1, 12),
    st.sampled_from([0.3, 0.5, 0.55]),
)
def test_numbers_are_the_same_for_any_strips_and_right(probability, strip_rows, threshold):
    found = footprints(probability, strip_pixels=strip_rows * 9, threshold=threshold)
    mask = np.nan_to_num(probability) >= np.float32(threshold)
    np.testing.assert_array_equal(found.area_m2, shapely.area(found.geometry))
    for at, polygon in enumerate(found.geometry):
        inside = rasterio.features.rasterize([polygon], probability.shape, transform=NORTH_UP).astype(bool)
        assert mask[inside].all()
        assert np.flatnonzero(inside)[0] == found.id[at]
        assert found.area_m2[at] == pytest.approx(inside.sum() * 0.25)
        assert found.confidence[at] == pytest.approx(probability[inside].mean(dtype=float), abs=1e-9)
        assert found.valid_share[at] == pytest.approx(seen_share(inside, ~np.isnan(probability)))
    assert sum(found.area_m2) == pytest.approx(mask.sum() * 0.25)


def seen_share(inside: np.ndarray, valid: np.ndarray) -> float:
    """Share of the outline's pixel edges behind which there is data, pixel by pixel."""
    inside, valid = np.pad(inside, 1), np.pad(valid, 1)
    edges = seen = 0
    for row, col in zip(*np.nonzero(inside), strict=True):
        for other in ((row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1)):
            edges += not inside[other]
            seen += bool(valid[other] and not inside[other])
    return seen / edges


def test_holes_are_kept_and_diagonal_pixels_are_apart():
    rows = [
        "######....",
        "#....#.#..",
        "#.##.##...",
        "#.##.##...",
        "#....#....",
        "######....",
    ]
    mask = np.array([[one == "#" for one in row] for row in rows])
    found = footprints(np.where(mask, 1.0, 0.0), strip_pixels=20)
    assert len(found) == 3
    assert [len(polygon.interiors) for polygon in found.geometry] == [1, 0, 0]
    assert found.id.tolist() == [0, 17, 22]


def test_hole_that_touches_the_outline_at_a_corner_makes_a_valid_polygon():
    mask = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 1]], bool)
    (polygon,) = footprints(mask * 0.9, strip_pixels=3).geometry
    assert polygon.is_valid
    assert polygon.area == pytest.approx(7 * 0.25)
    assert len(polygon.interiors) == 1
    assert polygon.exterior.is_ccw
    assert not polygon.interiors[0].is_ccw


def test_region_that_winds_through_every_strip():
    mask = np.zeros((60, 41), bool)
    mask[:, ::4] = True
    mask[0, :] = mask[-1, 2:] = True
    mask[-1, 2::8] = False
    (expected,) = whole(mask)
    for rows in (1, 7, 60):
        found = footprints(mask * 0.9, strip_pixels=41 * rows)
        assert canonical(found.geometry) == canonical([expected])


@pytest.mark.parametrize("transform", [ROTATED, Affine(0.5, 0, 0, 0, 0.5, 0), Affine(-0.5, 0, 9, 0, -0.5, 9)])
def test_rotated_and_mirrored_geotransforms(transform):
    rng = np.random.default_rng(3)
    mask = rng.random((20, 30)) < 0.6
    found = footprints(mask * 0.9, transform=transform, strip_pixels=100)
    expected = {polygon.representative_point().wkb: polygon for polygon in whole(mask, transform)}
    assert len(found) == len(expected)
    for polygon, area in zip(found.geometry, found.area_m2, strict=True):
        twin = min(expected.values(), key=lambda other: other.symmetric_difference(polygon).area)
        assert twin.symmetric_difference(polygon).area < 1e-6
        assert area == pytest.approx(twin.area)
        assert polygon.exterior.is_ccw
        assert all(not hole.is_ccw for hole in polygon.interiors)


def test_no_footprint_where_there_is_no_data_whatever_is_stored_there():
    class Lying(ArraySource):
        def read(self, window: Window) -> Pixels:
            pixels = super().read(window)
            return Pixels(np.full_like(pixels.values, 0.9), pixels.valid)

    probability = np.full((10, 10), 0.9, np.float32)
    probability[:5, :7] = np.nan
    grid = Georeference(10, 10, NORTH_UP, "EPSG:32631")
    (found,) = vectorize(Lying(probability[None], PROBABILITY, grid), PolygonOptions(outlines=Outlines.OFF))
    burnt = rasterio.features.rasterize(found.geometry, (10, 10), transform=NORTH_UP).astype(bool)
    assert np.array_equal(burnt, ~np.isnan(probability))


@pytest.mark.parametrize("mode", list(Outlines))
def test_nothing_found_is_an_empty_portion(mode):
    found = footprints(np.full((30, 20), 0.2), outlines=mode)
    assert len(found) == 0
    assert found.geometry.shape == (0,)


def test_threshold_is_reached_by_equality():
    assert footprints(np.array([[0.5, 0.49999]])).area_m2.tolist() == [0.25]


def test_small_footprints_are_dropped_by_area_on_the_ground():
    mask = np.zeros((20, 20), bool)
    mask[2:4, 2:4] = mask[10:15, 10:15] = True
    assert len(footprints(mask * 0.9, min_area_m2=1.0)) == 2
    assert footprints(mask * 0.9, min_area_m2=1.01).area_m2.tolist() == [6.25]


def blobs(seed: int = 0, size: int = 120) -> np.ndarray:
    """Smooth random probabilities."""
    from scipy import ndimage

    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(size, size)), 4)
    return (1 / (1 + np.exp(-40 * field))).astype(np.float32)


def test_area_in_degrees_is_geodesic():
    step = 5e-6
    transform = Affine(step, 0, 4.4, 0, -step, 51.9)
    mask = np.zeros((40, 40), bool)
    mask[5:30, 5:35], mask[10:20, 10:20] = True, False
    found = footprints(mask * 0.9, transform=transform, crs="EPSG:4326", strip_pixels=400)
    geod = Geod(ellps="WGS84")

    def box_m2(first: int, first_row: int, last: int, last_row: int) -> float:
        box = shapely.box(4.4 + first * step, 51.9 - last_row * step, 4.4 + last * step, 51.9 - first_row * step)
        return abs(geod.geometry_area_perimeter(box)[0])

    outer, inner = box_m2(5, 5, 35, 30), box_m2(10, 10, 20, 20)
    assert found.area_m2.tolist() == pytest.approx([outer - inner], rel=1e-6)


def test_area_measure_by_kind_of_crs():
    grid = Georeference(100, 100, NORTH_UP, "EPSG:32631")
    assert measure_area(grid) == PlanarArea(0.25)
    feet = measure_area(Georeference(100, 100, Affine(3, 0, 984000, 0, -3, 210000), "EPSG:2263"))
    assert isinstance(feet, PlanarArea)
    assert feet.pixel_m2 == pytest.approx((3 * 0.3048006096) ** 2)
    mercator = measure_area(Georeference(100, 100, Affine(1, 0, 490000, 0, -1, 6780000), "EPSG:3857"))
    assert isinstance(mercator, GeodesicArea)
    assert mercator.pixel_m2 == pytest.approx(np.cos(np.deg2rad(51.89)) ** 2, rel=0.01)
    with pytest.raises(ValueError, match="CRS"):
        measure_area(Georeference(100, 100, NORTH_UP, None))


def test_progress_counts_pixels():
    states: list[Progress] = []
    list(vectorize(source(blobs()), PolygonOptions(strip_pixels=120 * 50), states.append))
    assert [state.done for state in states] == [6000, 12000, 14400]
    assert states[-1].total == 14400


@pytest.mark.parametrize("wrong", [{"threshold": 0}, {"threshold": 1.1}, {"min_area_m2": -1}])
def test_impossible_options_are_refused(wrong):
    with pytest.raises(ConfigError):
        PolygonOptions(**wrong)
