"""Tiles of the map: coordinates, vector tiles against GDAL, rasters against GDAL's warper, thinning, differences."""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pyproj import Transformer
from raster_files import UTM, write_tiff
from rasterio.vrt import WarpedVRT
from viewer_cases import LEFT, SIDE, TOP, footprints_table, reference_table, square, write_layers

from overcast.errors import InputError
from overcast.metrics.footprints import score_footprints
from overcast.raster.units import Unit
from overcast.viewer.cache import TileCache
from overcast.viewer.differences import INVENTED, MATCHED, compare, compare_in_subprocess
from overcast.viewer.mercator import HALF_M, Tile
from overcast.viewer.mvt import EXTENT, TileShapes, encode_layer
from overcast.viewer.rasters import Raster
from overcast.viewer.shapes import Thinning, open_shapes
from overcast.viewer.stretch import decibels, photo_stretch, picture, probability_picture, radar_stretch
from overcast.viewer.vector_tiles import vector_tile

EVERYTHING = Thinning(1.0, 10**6)


def tile_at(zoom: int) -> Tile:
    """The tile over the middle of the small scene."""
    x, y = Transformer.from_crs(UTM, "EPSG:3857", always_xy=True).transform(LEFT + SIDE / 4, TOP - SIDE / 4)
    scale = 2**zoom / (2 * HALF_M)
    return Tile(zoom, int((x + HALF_M) * scale), int((HALF_M - y) * scale))


def decoded(content: bytes, folder: Path) -> geopandas.GeoDataFrame:
    """A vector tile as GDAL reads it: in units of the tile, y upwards."""
    path = folder / "0.pbf"
    path.write_bytes(content)
    return pyogrio.read_dataframe(f"MVT:{path}", CLIP="NO")


@pytest.mark.parametrize("address", [(3, 8, 0), (3, 0, -1), (27, 0, 0), (-1, 0, 0)])
def test_tiles_outside_of_the_world_are_refused(address: tuple[int, int, int]) -> None:
    with pytest.raises(InputError, match="there is no tile"):
        Tile(*address)


def test_gdal_reads_what_is_encoded(tmp_path: Path) -> None:
    ring = shapely.Polygon([(10, 10), (10, 60), (60, 60), (60, 10)], [[(20, 20), (40, 20), (40, 40), (20, 40)]])
    shapes = np.array([ring, shapely.MultiPolygon([shapely.box(100, 100, 130, 120), shapely.box(200, 5, 210, 9)])])
    table = decoded(
        encode_layer("houses", TileShapes(shapes, np.array([7, 300]), {"c": np.array([500, 999])})), tmp_path
    )
    assert table["mvt_id"].tolist() == [7, 300]
    assert table["c"].tolist() == [500, 999]
    flipped = [shapely.transform(shape, lambda xy: np.stack([xy[:, 0], EXTENT - xy[:, 1]], axis=1)) for shape in shapes]
    assert all(one.equals(other) for one, other in zip(table.geometry, flipped, strict=True))


@settings(max_examples=40)
@given(st.lists(st.tuples(*[st.integers(-90, EXTENT + 60)] * 2, *[st.integers(1, 400)] * 2), min_size=1, max_size=30))
def test_any_boxes_arrive_cut_at_the_border(
    tmp_path_factory: pytest.TempPathFactory, boxes: list[tuple[int, ...]]
) -> None:
    shapes = np.array([shapely.box(x, y, x + width, y + height) for x, y, width, height in boxes])
    cut = shapely.intersection(shapes, shapely.box(-64, -64, EXTENT + 64, EXTENT + 64))
    content = encode_layer("boxes", TileShapes(shapes, np.arange(len(boxes)), {}))
    if not shapely.area(cut).any():
        assert content == b""
        return
    table = decoded(content, tmp_path_factory.mktemp("tile"))
    assert table.geometry.is_valid.all()
    assert shapely.area(table.geometry.to_numpy()).sum() == shapely.area(cut).sum()


def test_shapes_that_collapse_leave_no_tile() -> None:
    specks = np.array([shapely.box(5, 5, 5.1, 5.1), shapely.Polygon([(0, 0), (9, 9), (4, 4)]), shapely.Polygon()])
    assert encode_layer("specks", TileShapes(specks, np.arange(3), {"c": np.zeros(3, np.int64)})) == b""


@pytest.mark.parametrize("name", ["houses.gpkg", "houses.parquet", "houses.geojson", "houses.fgb"])
def test_every_format_gives_the_same_tile(name: str, tmp_path: Path) -> None:
    table, path = footprints_table(), tmp_path / name
    if path.suffix == ".parquet":
        table.to_parquet(path, write_covering_bbox=True)
    else:
        table.to_file(path, engine="pyogrio")
    shapes = open_shapes(path)
    assert shapes.count == 36
    found = decoded(vector_tile("houses", shapes, tile_at(18), {}), tmp_path)
    assert set(found["c"]) <= {round(1000 * value) for value in table["confidence"]}
    number = int(shapes.ids()[5])
    assert (shapes.attributes(number) or {})["model"] == "a <b> & c"
    assert shapes.attributes(10**6) is None
    box = square(2, 1).bounds
    assert shapes.within(box, EVERYTHING).confidence.tolist() == [0.58]


def test_tiles_show_each_footprint_where_it_lies(tmp_path: Path) -> None:
    files, tile = write_layers(tmp_path), tile_at(16)
    assert files.footprints is not None
    shapes = open_shapes(files.footprints)
    table = decoded(vector_tile("footprints", shapes, tile, {}), tmp_path)
    left, bottom, _, _ = tile.bounds
    metres = shapely.transform(table.geometry.to_numpy(), lambda xy: xy * tile.side_m / EXTENT + [left, bottom])
    expected = footprints_table().to_crs("EPSG:3857").geometry
    for shape, number in zip(metres, table["mvt_id"], strict=True):
        assert shape.centroid.distance(expected.iloc[int(number) - 1].centroid) < 3 * tile.side_m / EXTENT


@pytest.mark.parametrize("ending", ["gpkg", "parquet"])
def test_of_many_the_surest_of_each_cell_is_drawn(ending: str, tmp_path: Path) -> None:
    table, path = footprints_table(), tmp_path / f"houses.{ending}"
    if ending == "parquet":
        table.to_parquet(path, write_covering_bbox=True)
    else:
        table.to_file(path, engine="pyogrio")
    found = open_shapes(path).within((LEFT, TOP - 140, LEFT + 140, TOP), Thinning(40.0, 10))
    assert len(found.id) < 36
    assert found.confidence.max() == 0.85
    everything = open_shapes(path).within((LEFT, TOP - 140, LEFT + 140, TOP), EVERYTHING)
    cells: dict[tuple[int, int], float] = {}
    for shape, sure in zip(everything.geometry, everything.confidence, strict=True):
        cell = (int((shape.bounds[0] - LEFT) // 40), int((shape.bounds[1] - TOP + 140) // 40))
        cells[cell] = max(cells.get(cell, 0.0), float(sure))
    assert sorted(found.confidence.tolist()) == sorted(cells.values())


def test_a_table_that_is_a_view_is_read_by_a_copy(tmp_path: Path) -> None:
    path = tmp_path / "houses.gpkg"
    footprints_table().to_file(path, engine="pyogrio", SPATIAL_INDEX="NO")
    assert type(open_shapes(path)).__name__ == "GeoPackage"
    assert open_shapes(path).path != path
    with sqlite3.connect(path) as connection:
        assert not connection.execute("SELECT 1 FROM sqlite_master WHERE name LIKE 'rtree%'").fetchall()


def test_raster_tiles_equal_gdals_warper(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    smooth = (np.sin(rows / 40) + np.cos(columns / 30)).astype(np.float32)
    path, tile = write_tiff(tmp_path / "smooth.tif", smooth), tile_at(17)
    ours = Raster(path).tile(tile, [1], side=256)
    transform = rasterio.transform.from_bounds(*tile.bounds, 256, 256)
    grid = {"crs": "EPSG:3857", "transform": transform, "width": 256, "height": 256, "resampling": 1}
    with rasterio.open(path) as dataset, WarpedVRT(dataset, src_nodata=None, add_alpha=True, **grid) as warped:
        theirs, mask = warped.read(1), warped.dataset_mask() > 0
    assert ours is not None
    inside = mask & np.isfinite(ours[0])
    assert inside.mean() > 0.3
    assert np.abs(ours[0] - theirs)[inside].max() < 0.01  # the warper may err by an eighth of a pixel


def test_tiles_beside_a_raster_are_empty_and_gaps_stay_gaps(tmp_path: Path) -> None:
    files = write_layers(tmp_path)
    assert files.scene is not None
    raster = Raster(files.scene)
    assert raster.tile(Tile(16, 0, 0), [1]) is None
    tile = raster.tile(tile_at(14), [1, 2], side=256)
    assert tile is not None
    assert 0 < np.isfinite(tile).mean() < 1
    assert np.isfinite(raster.sample([1, 2], 3, 16)).all()


def test_far_views_of_a_raster_without_overviews_are_refused_with_the_remedy(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "wide.tif", np.ones((64, 5000), np.uint8))
    with pytest.raises(InputError, match="gdal_translate -of COG"):
        Raster(path).tile(tile_at(10), [1])


def test_linear_values_are_shown_in_decibels_and_declared_ones_as_declared() -> None:
    rng = np.random.default_rng(0)
    amplitude = rng.gamma(1.0, 900.0, (1, 5000)).astype(np.float32)
    assert radar_stretch(amplitude, None).log_factor == 20.0
    assert radar_stretch(amplitude, Unit.LINEAR_POWER).log_factor == 10.0
    level = decibels(amplitude, 20.0)
    assert radar_stretch(level, Unit.DECIBEL).log_factor is None
    assert radar_stretch(level, None).low == pytest.approx(radar_stretch(amplitude, Unit.AMPLITUDE).low)
    brightness, valid = radar_stretch(level, Unit.DECIBEL).bytes_of(level[:, None])
    assert valid.all()
    assert np.percentile(brightness, 50) == pytest.approx(170, abs=40)
    assert photo_stretch(np.array([[10.0, 90.0]], np.float32), "uint8").high == (255.0,)


def test_pictures_are_jpeg_where_whole_and_have_holes_where_not(tmp_path: Path) -> None:
    brightness, valid = np.full((3, 64, 64), 90, np.uint8), np.ones((64, 64), np.bool_)
    assert picture(brightness, valid)[1] == "image/jpeg"
    valid[:10] = False
    content, kind = picture(brightness[:1], valid)
    (tmp_path / "hole.png").write_bytes(content)
    with Image.open(tmp_path / "hole.png") as opened:
        assert (kind, opened.mode) == ("image/png", "LA")
        assert np.array_equal(np.asarray(opened)[..., 1] > 0, valid)
    content, _ = probability_picture(np.array([[0.0, 0.5, 1.0, np.nan]], np.float32))
    (tmp_path / "probability.png").write_bytes(content)
    with Image.open(tmp_path / "probability.png") as opened:
        heights = np.asarray(opened)[0].astype(int) @ [256, 1, 0] - 32768
        assert heights.tolist() == [0, 500, 1000, -1000]


def test_differences_at_every_threshold_are_those_of_score(tmp_path: Path) -> None:
    files = write_layers(tmp_path)
    assert files.footprints is not None
    assert files.reference is not None
    differences = compare(files.footprints, files.reference)
    assert differences.states.tolist() == [MATCHED] * 18 + [INVENTED] * 18
    assert differences.found[:18].tolist() == [501 + 10 * index for index in range(18)]
    assert not differences.found[18:].any()
    for step in (0, 50, 57, 60, 70, 90):
        kept = footprints_table()
        kept[kept["confidence"] * 1000 + 1e-6 >= 10 * step].to_file(tmp_path / "kept.gpkg", engine="pyogrio")
        counts = score_footprints(tmp_path / "kept.gpkg", files.reference).instances
        figures = differences.curve[step]
        assert (figures.found, figures.invented, figures.missed) == (counts.tp, counts.fp, counts.fn)
        assert figures.f1 == counts.f1


@pytest.mark.slow
def test_a_process_of_its_own_finds_the_same(tmp_path: Path) -> None:
    files = write_layers(tmp_path)
    assert files.footprints is not None
    assert files.reference is not None
    apart = compare_in_subprocess(files.footprints, files.reference)
    assert apart.curve == compare(files.footprints, files.reference).curve
    (tmp_path / "empty.geojson").write_text('{"type": "FeatureCollection", "features": []}', encoding="utf-8")
    with pytest.raises(InputError, match="holds no polygon"):
        compare_in_subprocess(files.footprints, tmp_path / "empty.geojson")


def test_parts_of_a_multipolygon_speak_for_their_row(tmp_path: Path) -> None:
    shapes = [shapely.MultiPolygon([square(0, 0), square(5, 5)]), square(1, 0, 1.0)]
    both = geopandas.GeoDataFrame({"confidence": [0.9, 0.8]}, crs=UTM, geometry=shapes)
    both.to_file(tmp_path / "both.gpkg", engine="pyogrio")
    reference_table().to_file(tmp_path / "reference.gpkg", engine="pyogrio")
    differences = compare(tmp_path / "both.gpkg", tmp_path / "reference.gpkg")
    assert differences.states.tolist() == [MATCHED, 0]
    assert (differences.curve[0].found, differences.curve[0].invented) == (1, 1)


def test_the_cache_forgets_what_was_not_asked_for_longest() -> None:
    cache, made = TileCache(3100), []

    def make(key: str) -> tuple[bytes, str]:
        made.append(key)
        return b"x" * 600, "kind"

    for key in ("a", "b", "a", "c", "d", "a", "b"):
        cache.get(key, partial(make, key))
    assert made == ["a", "b", "c", "d", "b"]
    with pytest.raises(InputError):
        cache.get("broken", lambda: (_ for _ in ()).throw(InputError("no")))
    assert cache.get("broken", lambda: (b"1", "kind")) == (b"1", "kind")
