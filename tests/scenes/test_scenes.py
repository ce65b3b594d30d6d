"""Scenes: windows that do not depend on how they are read, labels on known ground alone, files that do not fit."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from raster_files import write_tiff
from rasterio.enums import Resampling as GdalResampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterioWindow
from scene_files import GSD_M, LEFT, OTHER, SIDE, TOP, UTM, burn, houses, radar, with_place, write_town, write_vector

from overcast.batch import IGNORE_LABEL, Modality
from overcast.data.scenes.catalog import open_places, scenes_catalog
from overcast.data.scenes.place import Place
from overcast.data.scenes.tiles import tile_windows
from overcast.errors import ConfigError, InputError, OvercastError
from overcast.raster.files import open_raster
from overcast.raster.grid import Window

BOTH = frozenset(Modality)
GRID = Affine(GSD_M, 0, LEFT, 0, -GSD_M, TOP)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_town(tmp_path_factory.mktemp("town"))


@pytest.fixture(scope="module")
def place(town: Path) -> Place:
    return open_places(town)[1][0]


windows = st.builds(
    lambda row, col, height, width: Window(row, col, min(height, SIDE - row), min(width, SIDE - col)),
    st.integers(0, SIDE - 1),
    st.integers(0, SIDE - 1),
    st.integers(1, SIDE),
    st.integers(1, SIDE),
)


@given(window=windows)
@settings(max_examples=20, deadline=None)
def test_a_window_is_that_window_of_the_whole_place(place: Place, window: Window) -> None:
    whole, part = place.read(place.grid.whole, BOTH).crop(window), place.read(window, BOTH)
    for mine, theirs in ((part.sar, whole.sar), (part.optical, whole.optical)):
        assert mine is not None
        assert theirs is not None
        np.testing.assert_array_equal(mine.values, theirs.values)
        np.testing.assert_array_equal(mine.valid, theirs.valid)
    np.testing.assert_array_equal(part.label, whole.label)


def test_labels_are_the_polygons_drawn_at_once_and_unknown_outside_of_the_labelled_area(place: Place) -> None:
    label = place.read(place.grid.whole, BOTH).label
    assert label is not None
    wanted = burn(houses(), SIDE, SIDE, GRID).astype(np.uint8)
    np.testing.assert_array_equal(label[:, :100], wanted[:, :100])
    assert (label[:, 100:] == IGNORE_LABEL).all()


def test_the_orthophoto_lies_where_gdal_puts_it(place: Place, town: Path) -> None:
    optical = place.read(place.grid.whole, BOTH).optical
    assert optical is not None
    assert optical.values.dtype == np.uint8
    with (
        open_raster(town.parent / "west.tif") as source,
        WarpedVRT(
            source, crs=UTM, transform=GRID, width=SIDE, height=SIDE, resampling=GdalResampling.average
        ) as warped,
    ):
        wanted, seen = warped.read().astype(float), warped.dataset_mask() > 0
    both = seen & optical.valid
    assert both.mean() > 0.3
    # the means of a turned pixel are taken over a box in one and over its outline in the other
    assert np.abs(optical.values[:, both] - wanted[:, both]).mean() < 4
    assert optical.valid[:, :100].all()


def test_sheets_are_used_no_further_than_their_pixels(place: Place, town: Path, tmp_path: Path) -> None:
    alone = open_places(with_place(town, optical="west.tif"))[1][0]
    seen = alone.read(alone.grid.whole, BOTH).optical
    mosaic = place.read(place.grid.whole, BOTH).optical
    assert seen is not None
    assert mosaic is not None
    assert 0.3 < seen.valid.mean() < 0.9
    assert mosaic.valid.mean() > 0.95
    np.testing.assert_array_equal(mosaic.values[:, seen.valid], seen.values[:, seen.valid])
    assert (seen.values[:, ~seen.valid] == 0).all()


def test_clouds_and_shifts(town: Path) -> None:
    clear = open_places(town)[1][0]
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[20:60, 30:50] = 3
    write_tiff(town.parent / "clouds.tif", mask, GRID, UTM)
    clouded = open_places(with_place(town, clouds="clouds.tif"))[1][0].read(clear.grid.whole, BOTH).optical
    before = clear.read(clear.grid.whole, BOTH).optical
    assert clouded is not None
    assert before is not None
    np.testing.assert_array_equal(clouded.valid, before.valid & (mask == 0))
    shifts = {"optical": [5.0, -3.0], "footprints": [5.0, -3.0]}
    moved = open_places(with_place(town, shift_m=shifts, labelled_area=None))[1][0].read(clear.grid.whole, BOTH)
    assert moved.optical is not None
    assert moved.label is not None
    np.testing.assert_array_equal(moved.label[3:, 5:], burn(houses(), SIDE, SIDE, GRID)[:-3, :-5])
    step = moved.optical.values[:, 53:100, 45:100].astype(int) - before.values[:, 50:97, 40:95]
    assert np.abs(step).mean() < 1


def test_sar_is_resampled_in_power_where_the_grid_asks(town: Path) -> None:
    fine = open_places(town)[1][0].read(Window(0, 0, SIDE, SIDE), frozenset({Modality.SAR})).sar
    description = with_place(town)
    description.write_text(description.read_text() + "grid: {gsd_m: 2.0}\n")
    place = open_places(description)[1][0]
    coarse = place.read(place.grid.whole, BOTH)
    assert fine is not None
    assert coarse.sar is not None
    assert coarse.label is not None
    power = (fine.values[0].astype(float) ** 2).reshape(SIDE // 2, 2, SIDE // 2, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(coarse.sar.values[0], np.sqrt(power), rtol=1e-5)
    assert coarse.label.shape == (SIDE // 2, SIDE // 2)


def test_images_in_degrees_come_to_utm_where_a_pixel_size_is_given(town: Path) -> None:
    step = 1.5e-5
    values = radar(np.zeros((120, 100), bool))
    corner = Affine(step, 0, 4.35, 0, -step, 51.9)
    write_tiff(town.parent / "degrees.tif", values, corner, "EPSG:4326", nodata=0)
    alone: dict[str, Any] = {"sar": "degrees.tif", "optical": None, "footprints": None, "labelled_area": None}
    with pytest.raises(InputError, match=r"not in metres on the ground .*set grid.gsd_m"):
        open_places(with_place(town, **alone))
    description = with_place(town, **alone)
    description.write_text(description.read_text() + "grid: {gsd_m: 2.0}\n")
    place = open_places(description)[1][0]
    assert place.grid.crs == UTM
    assert place.grid.gsd_m == 2.0
    sar = place.read(place.grid.whole, frozenset({Modality.SAR})).sar
    assert sar is not None
    assert sar.valid.mean() > 0.9
    assert 80 < sar.values[0][sar.valid].mean() < 120


@given(height=st.integers(1, 300), width=st.integers(1, 300), side=st.integers(1, 100))
def test_every_pixel_is_in_one_tile(height: int, width: int, side: int) -> None:
    count = np.zeros((height, width), int)
    for _, _, window in tile_windows(height, width, side):
        count[window.slices] += 1
    assert (count == 1).all()


def test_tiles_say_what_they_hold(town: Path) -> None:
    chips = scenes_catalog(town, 32).chips
    assert len(chips) == 25
    assert {chip.key for chip in chips if chip.labelled} == {
        f"centre/r{r:03d}c{c:03d}" for r in range(5) for c in range(4)
    }
    assert all(chip.sar and chip.optical for chip in chips)
    alone = scenes_catalog(with_place(town, optical="west.tif"), 32).chips
    assert {bool(chip.optical) for chip in alone} == {True, False}


def test_a_place_without_sar_takes_the_pixel_size_of_the_others(town: Path) -> None:
    description = with_place(town, "teacher", optical="west.tif", footprints="houses.gpkg")
    teacher = open_places(description)[1][1]
    assert teacher.grid.gsd_m == GSD_M
    arrays = teacher.read(teacher.grid.whole, BOTH)
    assert arrays.sar is None
    assert arrays.optical is not None
    assert arrays.label is not None
    assert (arrays.label == 1).any()


@pytest.mark.parametrize("name", ["houses.parquet", "houses.geojson", "houses.shp"])
def test_other_vector_formats_layers_and_conditions(town: Path, name: str) -> None:
    shapes = houses()
    kinds = ["shed" if index % 3 == 0 else "house" for index in range(len(shapes))]
    write_vector(town.parent / name, shapes, kind=kinds)
    chosen = {"file": name, "where": "kind = 'house'"}
    found = open_places(with_place(town, footprints=chosen, labelled_area=None))[1][0].footprints
    assert found is not None
    assert len(found) == sum(kind == "house" for kind in kinds)


def swapped(shapes: list[shapely.Polygon]) -> list[shapely.Polygon]:
    return [shapely.transform(shape, lambda xy: xy[:, ::-1]) for shape in shapes]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sar": None, "optical": None}, r"names neither sar nor optical"),
        ({"optcal": "west.tif"}, r"did you mean places.centre.optical\?"),
        ({"footprints": None}, r"labelled_area says something about footprints"),
        ({"sar": "gone.tif"}, r"gone.tif does not exist"),
        ({"optical": "far.tif"}, r"far.tif and .*sar.tif show no common ground \(their centres are .* km apart\)"),
        ({"footprints": "swapped.gpkg"}, r"swapped.gpkg has its axes swapped"),
        ({"footprints": "abroad.gpkg"}, r"abroad.gpkg lies elsewhere: its nearest shape is 25 km"),
        ({"footprints": "nowhere.parquet"}, r"nowhere.parquet has no coordinate reference system"),
        ({"footprints": {"file": "houses.gpkg", "where": "fid > 1000"}}, r"holds no polygon where fid > 1000"),
        (
            {"footprints": {"file": "houses.gpkg", "where": "colour = 1"}},
            r"cannot be read as footprints where colour",
        ),
        ({"labelled_area": "corner.gpkg"}, r"every footprint of houses.gpkg lies outside of the labelled area"),
        ({"sar": "plain.tif"}, r"plain.tif has no coordinate reference system"),
    ],
)
def test_what_does_not_fit_is_said_in_one_sentence(town: Path, changes: dict[str, Any], sentence: str) -> None:
    root = town.parent
    write_tiff(root / "far.tif", np.ones((3, 20, 20), np.uint8), Affine(1, 0, 4_500_000, 0, -1, 3_000_000), OTHER)
    write_tiff(root / "plain.tif", np.ones((20, 20), np.float32), Affine.identity(), None)
    write_vector(root / "swapped.gpkg", swapped(houses()))
    write_vector(root / "abroad.gpkg", [shapely.affinity.translate(house, 25_160, 0) for house in houses()])
    write_vector(root / "nowhere.parquet", houses(), None)
    write_vector(root / "corner.gpkg", [shapely.box(LEFT + 0.1, TOP - 0.3, LEFT + 0.3, TOP - 0.1)])
    with pytest.raises(OvercastError, match=sentence) as caught:
        open_places(with_place(town, **changes))
    assert "\n" not in str(caught.value)


def test_memory_does_not_grow_with_the_scene(tmp_path: Path) -> None:
    """Blocks that were never written take no space on disk; they are read as zeros all the same."""

    def peak(side: int) -> int:
        root = tmp_path / str(side)
        root.mkdir()
        corner, size = Affine(1, 0, LEFT, 0, -1, TOP), {"height": side, "width": side, "crs": UTM}
        sparse = {"driver": "GTiff", "tiled": True, "blockxsize": 256, "blockysize": 256, "sparse_ok": True}
        for name, count, kind in (("sar", 2, "float32"), ("ortho", 3, "uint8")):
            turned = corner * Affine.rotation(0 if name == "sar" else 20)
            with rasterio.open(
                root / f"{name}.tif", "w", count=count, dtype=kind, transform=turned, **size, **sparse
            ) as file:
                file.write(np.ones((count, 64, 64), kind), window=RasterioWindow(0, 0, 64, 64))
        (root / "town.yaml").write_text(
            "{name: a, licence: b, sar: {bands: [VV, VH], unit: amplitude}, optical: {bands: [r, g, b]}, "
            "places: {a: {sar: sar.tif, optical: ortho.tif}}}"
        )
        tracemalloc.start()
        catalog = scenes_catalog(root, 512)
        for chip in catalog.chips[::4]:
            assert chip.scene is not None
            chip.scene.read(BOTH, Window(10, 10, 128, 128))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    small = peak(1024)
    assert peak(4096) < 1.2 * small


def test_a_folder_with_one_description_stands_for_it(town: Path, tmp_path: Path) -> None:
    (town.parent / "other.yaml").unlink(missing_ok=True)
    assert len(open_places(town.parent)[1]) == 1
    with pytest.raises(InputError, match="no YAML file"):
        open_places(tmp_path)
    with pytest.raises(ConfigError, match="does not exist"):
        open_places(tmp_path / "none.yaml")
