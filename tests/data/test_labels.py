"""Masks, footprints and what counts as a label."""

import json
import math
import sqlite3
import struct
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from raster_files import NORTH_UP, UTM, write_png, write_tiff

from overcast.data.labels import LabelSpec, mask_invalid, rasterize_footprints, read_mask
from overcast.errors import InputError
from overcast.raster.georeference import Georeference
from overcast.raster.grid import Window
from overcast.raster.vectors import geometry_layer, read_shapes

ROTATED = Affine.translation(593000.0, 5750000.0) @ Affine.rotation(25.0) @ Affine.scale(0.5, -0.5)
SPEC = LabelSpec(foreground=255, background=0, ignore=128)


def test_mask_values_are_translated(tmp_path: Path) -> None:
    path = write_png(tmp_path / "m.png", np.array([[0, 255, 128], [255, 0, 0]], np.uint8))
    np.testing.assert_array_equal(read_mask(path, None, SPEC), [[0, 1, 255], [1, 0, 0]])
    np.testing.assert_array_equal(read_mask(path, Window(0, 1, 2, 2), SPEC), [[1, 255], [0, 0]])
    assert read_mask(path, None, SPEC).dtype == np.uint8


def test_classes_may_be_swapped(tmp_path: Path) -> None:
    path = write_png(tmp_path / "m.png", np.array([[0, 1]], np.uint8))
    np.testing.assert_array_equal(read_mask(path, None, LabelSpec(foreground=0, background=1)), [[1, 0]])


def test_unknown_mask_values_are_listed(tmp_path: Path) -> None:
    values = np.array([[0, 1, 2], [3, 0, 1]], np.uint8)
    path = write_png(tmp_path / "m.png", values)
    with pytest.raises(
        InputError, match=r"m\.png holds the values 2, 3, but .* foreground 1, background 0, ignore None"
    ):
        read_mask(path, None, LabelSpec())
    many = write_png(tmp_path / "many.png", np.arange(100, dtype=np.uint8)[None])
    with pytest.raises(InputError, match=r"2, 3, 4, 5, 6, 7, 8, 9, \.\.\."):
        read_mask(many, None, LabelSpec())


def test_the_files_own_nodata_is_ignored_unless_it_has_a_meaning(tmp_path: Path) -> None:
    values = np.array([[0, 1, 9]], np.uint8)
    nine = write_tiff(tmp_path / "nine.tif", values, nodata=9)
    np.testing.assert_array_equal(read_mask(nine, None, LabelSpec()), [[0, 1, 255]])
    zero = write_tiff(tmp_path / "zero.tif", values[:, :2], nodata=0)
    np.testing.assert_array_equal(read_mask(zero, None, LabelSpec()), [[0, 1]])
    nan = write_tiff(tmp_path / "nan.tif", np.array([[0, 1, np.nan]], np.float32), nodata=np.nan)
    np.testing.assert_array_equal(read_mask(nan, None, LabelSpec()), [[0, 1, 255]])


def test_nan_that_is_not_declared_is_an_error(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "m.tif", np.array([[0, 1, np.nan]], np.float32))
    with pytest.raises(InputError, match="holds the values nan"):
        read_mask(path, None, LabelSpec())


def test_masks_of_several_bands_are_refused_but_alpha_is_not_a_band(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has 3 bands, .*gdal_translate -b 1"):
        read_mask(write_png(tmp_path / "rgb.png", np.zeros((4, 4, 3), np.uint8)), None, LabelSpec())
    grey_alpha = np.stack([np.eye(4), np.full((4, 4), 255)], axis=-1).astype(np.uint8)
    read = read_mask(write_png(tmp_path / "la.png", grey_alpha), None, LabelSpec())
    np.testing.assert_array_equal(read, np.eye(4))


def test_truncated_masks_are_named(tmp_path: Path) -> None:
    path = write_png(tmp_path / "m.png", np.random.default_rng(0).integers(0, 2, (64, 64), np.uint8))
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match=r"m\.png is truncated"):
        read_mask(path, None, LabelSpec())


def test_label_values_must_differ() -> None:
    with pytest.raises(ValueError, match="must differ"):
        LabelSpec(foreground=1, background=1)


def test_several_values_may_have_one_meaning(tmp_path: Path) -> None:
    path = write_png(tmp_path / "m.png", np.array([[0, 1, 2, 3, 4, 5]], np.uint8))
    spec = LabelSpec(foreground=(1, 4), background=(2, 3), ignore=(0, 5))
    np.testing.assert_array_equal(read_mask(path, None, spec), [[255, 1, 0, 0, 1, 255]])
    with pytest.raises(InputError, match=r"the values 0, 5, .* foreground 1 or 4, background 2 or 3, ignore None"):
        read_mask(path, None, LabelSpec(foreground=(1, 4), background=(2, 3)))


def test_a_label_needs_both_classes() -> None:
    with pytest.raises(ValueError, match="need a value each"):
        LabelSpec(foreground=(), background=0)
    with pytest.raises(ValueError, match="must differ"):
        LabelSpec(foreground=(1, 2), background=(0, 2))


@given(st.lists(st.tuples(st.integers(0, 1), st.booleans()), min_size=1, max_size=30))
def test_no_label_where_invalid(pixels: list[tuple[int, bool]]) -> None:
    label, valid = np.array([p[0] for p in pixels], np.uint8)[None], np.array([p[1] for p in pixels])[None]
    masked = mask_invalid(label, valid)
    assert (masked[~valid] == 255).all()
    np.testing.assert_array_equal(masked[valid], label[valid])


def grid(transform: Affine = NORTH_UP, crs: str | None = UTM) -> Georeference:
    return Georeference(40, 60, transform, crs)


def write_polygons(path: Path, polygons: list[Any], crs: str | None = UTM) -> Path:
    geopandas.GeoDataFrame({"n": range(len(polygons))}, geometry=polygons, crs=crs).to_file(path)
    return path


def polygons_on(transform: Affine) -> list[Any]:
    """A triangle, an L with a hole, and one that crosses the border, in pixel coordinates, brought to the map."""
    drawn = [
        shapely.Polygon([(3.2, 2.1), (20.7, 6.3), (8.4, 17.9)]),
        shapely.Polygon(
            [(25, 5), (55, 5), (55, 35), (40, 35), (40, 20), (25, 20)], [[(30, 8), (36, 8), (36, 14), (30, 14)]]
        ),
        shapely.box(-5.3, 30.2, 6.6, 60),
    ]
    t = transform
    return [shapely.affinity.affine_transform(p, [t.a, t.b, t.d, t.e, t.c, t.f]) for p in drawn]


def centres_inside(polygons: list[Any], where: Georeference) -> np.ndarray:
    cols, rows = np.meshgrid(np.arange(where.width) + 0.5, np.arange(where.height) + 0.5)
    x, y = where.position(cols, rows)
    return np.any([shapely.contains_xy(polygon, x, y) for polygon in polygons], axis=0)


@pytest.mark.parametrize("transform", [NORTH_UP, ROTATED])
@pytest.mark.parametrize("ending", [".gpkg", ".geojson"])
def test_footprints_cover_the_pixels_whose_centres_they_contain(tmp_path: Path, transform: Affine, ending: str) -> None:
    where, polygons = grid(transform), polygons_on(transform)
    drawn = rasterize_footprints(write_polygons(tmp_path / f"f{ending}", polygons), where)
    assert drawn.dtype == np.uint8
    np.testing.assert_array_equal(drawn, centres_inside(polygons, where))
    assert 0 < drawn.sum() < drawn.size


def test_footprints_of_another_crs_are_reprojected(tmp_path: Path) -> None:
    polygons = polygons_on(NORTH_UP)
    degrees = geopandas.GeoSeries(polygons, crs=UTM).to_crs("EPSG:4326")
    path = write_polygons(tmp_path / "f.geojson", list(degrees), "EPSG:4326")
    differing = rasterize_footprints(path, grid()) != centres_inside(polygons, grid())
    assert differing.mean() < 0.002, "coordinates in GeoJSON are rounded to about a centimetre"


def test_a_window_is_drawn_like_the_whole(tmp_path: Path) -> None:
    path = write_polygons(tmp_path / "f.gpkg", polygons_on(ROTATED))
    window = Window(5, 12, 20, 31)
    part = rasterize_footprints(path, grid(ROTATED).crop(window))
    np.testing.assert_array_equal(part, rasterize_footprints(path, grid(ROTATED))[window.slices])


def test_files_without_footprints_draw_nothing(tmp_path: Path) -> None:
    empty = tmp_path / "empty.geojson"
    empty.write_text(json.dumps({"type": "FeatureCollection", "features": []}))
    far = write_polygons(tmp_path / "far.gpkg", [shapely.box(0, 0, 1, 1)])
    hollow = write_polygons(tmp_path / "hollow.gpkg", [shapely.Polygon(), None])
    for path in (empty, far, hollow):
        assert rasterize_footprints(path, grid()).sum() == 0


def test_empty_polygons_beside_full_ones_are_skipped(tmp_path: Path) -> None:
    box = shapely.box(593000, 5749990, 593005, 5749995)
    path = write_polygons(tmp_path / "f.geojson", [shapely.Polygon(), box, None])
    assert rasterize_footprints(path, grid()).sum() == 100


def test_three_dimensional_and_multi_polygons_are_drawn(tmp_path: Path) -> None:
    first, second = shapely.box(593000, 5749990, 593005, 5749995), shapely.box(593010, 5749990, 593015, 5749995)
    path = write_polygons(tmp_path / "f.gpkg", [shapely.force_3d(shapely.MultiPolygon([first, second]), 12.0)])
    assert rasterize_footprints(path, grid()).sum() == 200


def test_lines_and_points_are_refused(tmp_path: Path) -> None:
    path = write_polygons(tmp_path / "f.gpkg", [shapely.Point(593001, 5749990)])
    with pytest.raises(InputError, match=r"f\.gpkg holds Point"):
        rasterize_footprints(path, grid())


def test_a_missing_crs_on_either_side_is_named(tmp_path: Path) -> None:
    box = shapely.box(593000, 5749990, 593005, 5749995)
    with pytest.raises(InputError, match=r"the image of .* has no coordinate reference system"):
        rasterize_footprints(write_polygons(tmp_path / "f.gpkg", [box]), grid(crs=None))
    shapefile = write_polygons(tmp_path / "f.shp", [box])
    shapefile.with_suffix(".prj").unlink()
    with pytest.raises(InputError, match="ogr2ogr -a_srs"):
        rasterize_footprints(shapefile, grid())


def test_metres_declared_as_degrees_are_named(tmp_path: Path) -> None:
    ring = [[593000, 5749990], [593005, 5749990], [593005, 5749995], [593000, 5749990]]
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    path = tmp_path / "f.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    with pytest.raises(InputError, match="longitude and latitude"):
        rasterize_footprints(path, grid())


def test_damaged_vector_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "f.geojson"
    path.write_text('{"type": "FeatureCollection", "features": [')
    with pytest.raises(InputError, match=r"f\.geojson cannot be read"):
        rasterize_footprints(path, grid())
    with pytest.raises(InputError, match="does not exist"):
        rasterize_footprints(tmp_path / "g.geojson", grid())


def test_table_of_styles_beside_the_footprints_is_no_layer_of_shapes(tmp_path: Path) -> None:
    path = tmp_path / "footprints.gpkg"
    house = geopandas.GeoDataFrame(geometry=[shapely.box(0, 0, 4, 4)], crs="EPSG:32631")
    house.to_file(path, layer="footprints")
    pyogrio.write_dataframe(pd.DataFrame({"styleName": ["a"]}), path, layer="layer_styles")
    assert geometry_layer(str(path), path) == "footprints"
    house.to_file(path, layer="more")
    with pytest.raises(InputError, match=r"2 layers of shapes \(footprints, more\)"):
        geometry_layer(str(path), path)


def test_corners_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    shapes = geopandas.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)], crs="EPSG:32631")
    content = shapely.to_wkb(shapely.Polygon([(0, 0), (1, 0), (0, 2)])).replace(
        struct.pack("<d", 2.0), struct.pack("<d", math.nan)
    )
    shapes.to_file(tmp_path / "a.gpkg", layer="a")
    base = sqlite3.connect(tmp_path / "a.gpkg")
    for trigger, *_ in base.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        base.execute(f'DROP TRIGGER "{trigger}"')
    base.execute("UPDATE a SET geom = ?", [b"GP\0\x01" + (32631).to_bytes(4, "little") + content])
    base.commit()
    base.close()
    with (
        np.errstate(invalid="ignore"),
        pytest.raises(InputError, match=r"a\.gpkg holds corners whose coordinates are no"),
    ):
        read_shapes(tmp_path / "a.gpkg")
