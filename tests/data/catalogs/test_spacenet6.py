"""The SpaceNet 6 layout on a generated miniature, and the real tile corners."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import spacenet6_miniature as miniature
from spacenet6_miniature import BUILDING, NORTH_STRIP, SIDE_PX, SOUTH_STRIP, TILES
from where import FIXTURES

from overcast.batch import IGNORE_LABEL, Modality
from overcast.data.catalogs.spacenet6 import (
    OpticalLayer,
    TileCorner,
    cell,
    corners_of,
    spacenet6_catalog,
    tiles_from_csv,
)
from overcast.data.chips import ChipArrays, read_chip
from overcast.errors import InputError
from overcast.raster.radiometry import RadarSide, Unit

REAL_CORNERS = FIXTURES / "spacenet6_tiles.csv"
"""Facts about the public SpaceNet 6 training tiles: name, orientation flag, upper left corner in millimetres."""


@pytest.fixture(scope="module")
def aoi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return miniature.write_train(tmp_path_factory.mktemp("pristine"))


@pytest.fixture
def root(tmp_path: Path, aoi: Path) -> Path:
    shutil.copytree(aoi, tmp_path / "train" / miniature.AOI)
    return tmp_path


@pytest.mark.parametrize("below", ["train/AOI_11_Rotterdam", "train/train/AOI_11_Rotterdam", "AOI_11_Rotterdam", "."])
def test_the_aoi_folder_is_found_wherever_it_lies(tmp_path: Path, aoi: Path, below: str) -> None:
    shutil.copytree(aoi, tmp_path / "sn6" / below)
    catalog = spacenet6_catalog(tmp_path / "sn6")
    assert [chip.key for chip in catalog.chips] == sorted(tile.key for tile in TILES)


def test_layers_are_matched_by_tile_and_described(root: Path) -> None:
    catalog = spacenet6_catalog(root)
    assert (catalog.name, catalog.class_name, catalog.licence) == ("spacenet6", "building", "CC-BY-SA-4.0")
    for chip in catalog.chips:
        files = (*chip.sar, *chip.optical, chip.footprints)
        assert all(file is not None and chip.key in file.name for file in files)
        assert chip.mask is None
    sar = catalog.radiometry.sar
    assert (sar.bands, sar.unit, sar.nodata) == (("HH", "HV", "VH", "VV"), Unit.DIGITAL_NUMBER, 0)
    assert (sar.gsd_m, sar.radar_side) == (0.5, RadarSide.NORTH)


def test_strips_seen_from_the_south_are_rotated_and_the_others_not(root: Path) -> None:
    chips = spacenet6_catalog(root).chips
    assert {chip.key.partition("_tile_")[0]: chip.rotate_180 for chip in chips} == {
        NORTH_STRIP: False,
        SOUTH_STRIP: True,
    }


def test_bounds_and_places_come_from_the_geotransform(root: Path) -> None:
    chips = {chip.key: chip for chip in spacenet6_catalog(root).chips}
    first, revisit, far = chips[TILES[0].key], chips[TILES[2].key], chips[TILES[3].key]
    assert first.bounds is not None
    assert (first.bounds.left, first.bounds.top, first.bounds.crs) == (593000.0, 5749000.0, "EPSG:32631")
    assert first.bounds.right - first.bounds.left == SIDE_PX * 0.5
    assert first.place == revisit.place == cell(593000.0, 5749000.0)
    assert far.place != first.place


def read(root: Path, key: str) -> ChipArrays:
    catalog = spacenet6_catalog(root)
    return read_chip(catalog[key], catalog.radiometry, catalog.label, frozenset(Modality))


def test_label_and_images_turn_together(root: Path) -> None:
    top, left, bottom, right = BUILDING
    expected = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    expected[top:bottom, left:right] = 1
    expected[np.triu(np.ones_like(expected, bool), k=25)] = IGNORE_LABEL
    for tile, truth in ((TILES[0], expected), (TILES[2], np.rot90(expected, 2))):
        arrays = read(root, tile.key)
        assert arrays.sar is not None
        assert arrays.label is not None
        np.testing.assert_array_equal(arrays.label, truth)
        np.testing.assert_array_equal(arrays.sar.values[0] == 80, truth == 1)
        np.testing.assert_array_equal(arrays.sar.valid, truth != IGNORE_LABEL)


@pytest.mark.parametrize("tile", [TILES[1], TILES[3]], ids=["no features", "POLYGON EMPTY"])
def test_tiles_without_buildings_have_an_empty_label(root: Path, tile: miniature.Tile) -> None:
    label = read(root, tile.key).label
    assert label is not None
    assert set(np.unique(label)) == {0, IGNORE_LABEL}


@pytest.mark.parametrize(
    ("layer", "bands"), [("PS-RGB", ("red", "green", "blue")), ("PS-RGBNIR", ("red", "green", "blue", "nir"))]
)
def test_the_optical_layer_can_be_chosen(root: Path, layer: OpticalLayer, bands: tuple[str, ...]) -> None:
    catalog = spacenet6_catalog(root, optical=layer)
    assert catalog.radiometry.optical is not None
    assert catalog.radiometry.optical.bands == bands
    assert all(chip.optical[0].parent.name == layer for chip in catalog.chips)


def test_sar_alone_needs_no_optical_files(root: Path) -> None:
    shutil.rmtree(root / "train" / miniature.AOI / "PS-RGB")
    catalog = spacenet6_catalog(root, optical=None)
    assert catalog.radiometry.optical is None
    assert all(chip.optical == () and chip.footprints for chip in catalog.chips)


def test_the_layer_of_two_metres_is_refused_with_the_command_that_resamples_it(root: Path) -> None:
    with pytest.raises(InputError, match=r"gdalwarp .*RGBNIR"):
        spacenet6_catalog(root, optical="RGBNIR")


def test_one_error_lists_everything_that_is_missing(root: Path) -> None:
    folder = root / "train" / miniature.AOI
    shutil.rmtree(folder / "PS-RGB")
    next((folder / "geojson_buildings").glob("*tile_3.geojson")).unlink()
    (folder / "SummaryData" / "SAR_orientations.txt").write_text(f"{NORTH_STRIP} 0\n")
    with pytest.raises(InputError) as caught:
        spacenet6_catalog(root)
    message = str(caught.value)
    assert "PS-RGB lacks 4 of 4 tiles" in message
    assert f"geojson_buildings lacks 1 of 4 tiles ({TILES[2].key})" in message
    assert f"SAR_orientations.txt lacks 1 strips ({SOUTH_STRIP})" in message
    assert "SN6_buildings_AOI_11_Rotterdam_train.tar.gz" in message


def test_a_missing_radar_tile_is_listed_too(root: Path) -> None:
    next((root / "train" / miniature.AOI / "SAR-Intensity").glob("*tile_2.tif")).unlink()
    with pytest.raises(InputError, match=rf"SAR-Intensity lacks 1 of 4 tiles \({TILES[1].key}\)"):
        spacenet6_catalog(root)


def test_files_that_are_no_tiles_are_passed_over(root: Path) -> None:
    sar = root / "train" / miniature.AOI / "SAR-Intensity"
    (sar / f"._SN6_Train_{miniature.AOI}_SAR-Intensity_1_2_tile_9.tif").write_text("resource fork")
    (sar / f"SN6_Train_{miniature.AOI}_SAR-Intensity_1_2_tile_9.tif.aux.xml").write_text("<statistics/>")
    assert len(spacenet6_catalog(root).chips) == len(TILES)


@pytest.mark.parametrize("line", ["strip without flag", f"{NORTH_STRIP} 2", NORTH_STRIP])
def test_a_damaged_orientation_file_is_named_with_its_line(root: Path, line: str) -> None:
    (root / "train" / miniature.AOI / "SummaryData" / "SAR_orientations.txt").write_text(f"\n{line}\n")
    with pytest.raises(InputError, match=r"SAR_orientations.txt line 2 is"):
        spacenet6_catalog(root)


def test_nothing_there_says_what_to_download(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"s3://spacenet-dataset/.*_train.tar.gz and unpack it there"):
        spacenet6_catalog(tmp_path)


def test_two_copies_are_not_chosen_from(root: Path, aoi: Path) -> None:
    shutil.copytree(aoi, root / "copy")
    with pytest.raises(InputError, match="several SpaceNet 6 folders"):
        spacenet6_catalog(root)


def test_the_public_test_tiles_are_radar_alone(root: Path) -> None:
    miniature.write_test_public(root)
    catalog = spacenet6_catalog(root, subset="test_public")
    assert len(catalog.chips) == len(TILES)
    assert catalog.radiometry.optical is None
    for chip in catalog.chips:
        assert "test_public" in str(chip.sar[0])
        assert (chip.optical, chip.mask, chip.footprints, chip.bounds) == ((), None, None, None)
        assert chip.rotate_180 == chip.key.startswith(SOUTH_STRIP)
    with pytest.raises(InputError, match="has no georeference"):
        corners_of(catalog.chips)


def test_the_training_tiles_are_found_beside_the_public_test_tiles(root: Path) -> None:
    miniature.write_test_public(root)
    assert all("/train/" in str(chip.sar[0]) for chip in spacenet6_catalog(root).chips)


def test_public_test_tiles_alone_ask_for_the_orientation_file(tmp_path: Path) -> None:
    miniature.write_test_public(tmp_path)
    with pytest.raises(InputError, match="from which side"):
        spacenet6_catalog(tmp_path, subset="test_public")
    flags = tmp_path / "flags.txt"
    flags.write_text("".join(f"{strip} {flag}\n" for strip, flag in miniature.FLAGS.items()))
    assert len(spacenet6_catalog(tmp_path, subset="test_public", orientations=flags).chips) == len(TILES)


def test_corners_of_the_catalog_are_those_of_the_table(root: Path) -> None:
    expected = {TileCorner(t.key, t.left, t.top, bool(miniature.FLAGS[t.strip])) for t in TILES}
    assert set(corners_of(spacenet6_catalog(root).chips)) == expected


def test_the_real_corners_are_3401_tiles_in_198_cells() -> None:
    tiles = tiles_from_csv(REAL_CORNERS)
    assert len(tiles) == 3401
    assert sum(tile.rotate_180 for tile in tiles) == 1652
    assert len({tile.place for tile in tiles}) == 198


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ImageId,x\na,1\n", "lacks the columns ImageId,x,y"),
        ("ImageId,x,y\n", "lists no tile"),
        ("ImageId,x,y\na,1,2\na,3,4\n", "lists the tile a twice"),
        ("ImageId,x,y\na,1,north\n", "line 2 cannot be read"),
        ("ImageId,x,y\na,1\n", "line 2 cannot be read"),
        ("ImageId,x,y\na,1,nan\n", "line 2 has no tile name or no finite corner"),
        ("ImageId,rotation,x,y\na,up,1,2\n", "line 2 cannot be read"),
    ],
)
def test_a_wrong_table_of_corners_is_refused(tmp_path: Path, text: str, message: str) -> None:
    table = tmp_path / "tiles.csv"
    table.write_text(text)
    with pytest.raises(InputError, match=message):
        tiles_from_csv(table)


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none.csv does not exist"):
        tiles_from_csv(tmp_path / "none.csv")
