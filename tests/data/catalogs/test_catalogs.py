"""DFC2023, OpenEarthMap-SAR and BRIGHT in miniature: what is read, and splits by place."""

import shutil
from pathlib import Path
from typing import Any

import catalog_miniatures as miniature
import numpy as np
import pytest
from affine import Affine
from catalog_miniatures import SIDE_PX
from raster_files import write_tiff

from overcast.batch import IGNORE_LABEL, Modality
from overcast.config import build_data
from overcast.config.catalogs import BrightData, Dfc2023Data, OpenEarthMapSarData
from overcast.data.catalog import Catalog
from overcast.data.catalogs.bright import Buildings, bright_catalog, event_of
from overcast.data.catalogs.dfc2023 import city_of, dfc2023_catalog
from overcast.data.catalogs.openearthmap_sar import openearthmap_sar_catalog
from overcast.data.chips import ChipArrays, read_chip
from overcast.data.identity import chip_set_identity
from overcast.data.splits.file import write_split
from overcast.data.splits.leaks import check_split
from overcast.data.splits.parts import Part, Split
from overcast.errors import ConfigError, InputError, RadiometryError
from overcast.raster.grid import Window
from overcast.raster.radiometry import Unit

BERLIN = "SV_Berlin_52.4900_13.4933"
CITIES = {"by": "cities", "test": ["Copenhagen"], "validation": ["NewYork"]}
EVENTS = {"by": "events", "test": ["libya-flood"], "validation": ["bata-explosion"]}


def read(catalog: Catalog, key: str, window: Window | None = None) -> ChipArrays:
    return read_chip(catalog[key], catalog.radiometry, catalog.label, frozenset(Modality), window)


def label_of(catalog: Catalog, key: str) -> Any:
    label = read(catalog, key).label
    assert label is not None
    return label


def assert_clean(catalog: Catalog, split: Split) -> None:
    reports = check_split(split, catalog.chips)
    assert len(reports) == 3
    assert all(report.clean for report in reports.values())


def assert_uncalibrated_pair(catalog: Catalog, gsd_m: float) -> None:
    sar, optical = catalog.radiometry.sar, catalog.radiometry.optical
    assert optical is not None
    assert (len(sar.bands), sar.unit, sar.nodata, sar.radar_side) == (1, Unit.DIGITAL_NUMBER, None, None)
    assert (optical.bands, optical.unit) == (("red", "green", "blue"), Unit.DIGITAL_NUMBER)
    assert sar.gsd_m == optical.gsd_m == pytest.approx(gsd_m, rel=0.02)


# DFC2023


@pytest.fixture
def track2(tmp_path: Path) -> Path:
    return miniature.write_dfc2023(tmp_path)


@pytest.mark.parametrize("annotations", ["track2", "track2/annotations", "track2/train"])
def test_dfc2023_is_found_with_its_annotations_wherever_they_lie(tmp_path: Path, annotations: str) -> None:
    miniature.write_dfc2023(tmp_path / "a" / "b", annotations=annotations)
    catalog = dfc2023_catalog(tmp_path)
    assert [chip.key for chip in catalog.chips] == sorted(miniature.DFC_TILES)
    assert (catalog.name, catalog.class_name, catalog.simulated) == ("dfc2023", "building", False)
    assert "2023 IEEE GRSS Data Fusion Contest" in catalog.licence
    assert_uncalibrated_pair(catalog, 0.5)


def test_dfc2023_files_keep_their_types(track2: Path) -> None:
    arrays = read(dfc2023_catalog(track2), BERLIN)
    assert arrays.sar is not None
    assert arrays.optical is not None
    assert (arrays.sar.values.dtype, arrays.sar.values.shape) == (np.float32, (1, SIDE_PX, SIDE_PX))
    assert (arrays.optical.values.dtype, arrays.optical.values.shape) == (np.uint8, (3, SIDE_PX, SIDE_PX))
    assert arrays.optical.valid.all()


def test_dfc2023_labels_hold_polygons_and_run_length_codes(track2: Path) -> None:
    catalog, block = dfc2023_catalog(track2), miniature.block_mask()
    polygon = np.zeros_like(block)
    polygon[6:10, 4:20] = 1
    first = polygon.copy()
    first[24:28, 24:28] = 1
    tiles = list(miniature.DFC_TILES)
    for tile, expected in zip(tiles, (first, block, polygon | block, block, 0 * block), strict=True):
        np.testing.assert_array_equal(label_of(catalog, tile), expected)
    window = Window(10, 18, 12, 9)
    np.testing.assert_array_equal(read(catalog, tiles[2], window).label, (polygon | block)[window.slices])


def test_dfc2023_tiles_are_placed_by_city_and_kilometre(track2: Path) -> None:
    chips = {chip.key: chip for chip in dfc2023_catalog(track2).chips}
    first, second, third = (chips[key].place for key in list(miniature.DFC_TILES)[:3])
    assert first == second != third
    assert first.startswith("Berlin ")
    assert third.startswith("Berlin ")
    bounds = chips[BERLIN].bounds
    assert bounds is not None
    assert (bounds.left, bounds.top, bounds.crs) == (397700.0, 5816700.0, miniature.BERLIN)


def test_city_names_may_hold_underscores() -> None:
    assert city_of("SV_Sao_Luis_-2.5300_-44.3000") == "Sao_Luis"


def test_dfc2023_is_split_by_city(track2: Path) -> None:
    catalog, split = build_data(Dfc2023Data.model_validate({"root": track2, "split": CITIES}))
    assert {part: {city_of(key) for key in split.keys(part)} for part in Part} == {
        Part.TRAIN: {"Berlin"},
        Part.VALIDATION: {"NewYork"},
        Part.TEST: {"Copenhagen"},
    }
    assert split.counts["dropped"] == 0
    assert_clean(catalog, split)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test": ["Atlantis"]}, r"cities of this data set are Berlin, Copenhagen, NewYork; Atlantis is none of them"),
        ({"test": ["NewYork"]}, "each is named once"),
        ({"test": []}, "test has at least one"),
        ({"test": ["Copenhagen", "Berlin"]}, "all cities are for test or validation"),
    ],
)
def test_wrong_cities_are_named(track2: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_data(Dfc2023Data.model_validate({"root": track2, "split": CITIES | changes}))


def test_dfc2023_neighbourhoods_share_no_ground(track2: Path) -> None:
    options = {"by": "neighbourhoods", "test_share": 0.25, "validation_share": 0.25, "seed": 1}
    catalog, split = build_data(Dfc2023Data.model_validate({"root": track2, "split": options}))
    parts = [{catalog[key].place for key in split.keys(part)} for part in Part]
    assert sum(map(len, parts)) == len(set().union(*parts)) == 4
    assert_clean(catalog, split)


def test_one_error_lists_everything_that_dfc2023_lacks(track2: Path) -> None:
    (track2 / "train" / "rgb" / f"{BERLIN}.tif").unlink()
    for tile in list(miniature.DFC_TILES)[2:4]:
        (track2 / "train" / "sar" / f"{tile}.tif").unlink()
    with pytest.raises(InputError) as caught:
        dfc2023_catalog(track2)
    assert f"rgb lacks 1 of 5 tiles ({BERLIN}); sar lacks 2 of 5 tiles" in str(caught.value)
    assert "IEEE DataPort" in str(caught.value)


def test_dfc2023_needs_its_annotations(track2: Path) -> None:
    (track2 / "buildings_only_train.json").unlink()
    with pytest.raises(InputError, match=r"holds no buildings_only_train\.json; download track2\.zip"):
        dfc2023_catalog(track2)


def test_track1_beside_track2_is_passed_over_but_two_copies_are_not(tmp_path: Path, track2: Path) -> None:
    shutil.copytree(track2 / "train", tmp_path / "track1" / "train")
    assert str(track2) in str(dfc2023_catalog(tmp_path).chips[0].sar[0])
    shutil.copytree(track2, tmp_path / "copy")
    with pytest.raises(InputError, match="several DFC2023 folders"):
        dfc2023_catalog(tmp_path)


def test_unlabelled_subsets_have_neither_label_nor_place(track2: Path) -> None:
    catalog = dfc2023_catalog(track2, "val")
    (chip,) = catalog.chips
    assert (catalog.name, chip.key, chip.place, chip.bounds, chip.labelled) == (
        "dfc2023-val",
        "P_0001",
        "P_0001",
        None,
        False,
    )
    with pytest.raises(InputError, match="holds no folder test/sar; download"):
        dfc2023_catalog(track2, "test")


def test_dfc2023_tiles_of_another_pixel_size_or_shape_are_refused(track2: Path) -> None:
    left, top, crs = miniature.DFC_TILES[BERLIN]
    for layer, count in (("rgb", 3), ("sar", 1)):
        path = track2 / "train" / layer / f"{BERLIN}.tif"
        write_tiff(path, np.ones((count, SIDE_PX, SIDE_PX), np.uint8), Affine(0.8, 0, left, 0, -0.8, top), crs)
    with pytest.raises(RadiometryError, match=rf"{BERLIN}\.tif has pixels of 0\.8 m"):
        dfc2023_catalog(track2)
    for layer, count in (("rgb", 3), ("sar", 1)):
        path = track2 / "train" / layer / f"{BERLIN}.tif"
        write_tiff(path, np.ones((count, 8, 8), np.uint8), Affine(0.5, 0, left, 0, -0.5, top), crs)
    with pytest.raises(InputError, match=r"has 8 x 8 pixels, but .*buildings_only_train\.json says 32 x 32"):
        dfc2023_catalog(track2)


def test_the_identity_of_chips_changes_with_their_annotations(track2: Path) -> None:
    before = chip_set_identity(dfc2023_catalog(track2).chips)
    path = track2 / "buildings_only_train.json"
    path.write_text(path.read_text() + "\n")
    assert chip_set_identity(dfc2023_catalog(track2).chips) != before


# OpenEarthMap-SAR


@pytest.fixture
def oem(tmp_path: Path) -> Path:
    return miniature.write_openearthmap_sar(tmp_path)


def test_openearthmap_sar_maps_buildings_among_land_cover(oem: Path) -> None:
    catalog = openearthmap_sar_catalog(oem)
    assert [chip.key for chip in catalog.chips] == [f"train/TrainArea_{n:03d}" for n in range(8)]
    assert (catalog.name, catalog.class_name) == ("openearthmap-sar", "building")
    assert "Umbra, CC-BY-4.0" in catalog.licence
    label = label_of(catalog, "train/TrainArea_003")
    np.testing.assert_array_equal(label[0], [0] * 16 + [1] * 15 + [IGNORE_LABEL])
    empty = label_of(catalog, "train/TrainArea_005")
    np.testing.assert_array_equal(empty, np.tile(np.array([0] * 31 + [IGNORE_LABEL], np.uint8), (SIDE_PX, 1)))
    assert_uncalibrated_pair(catalog, 0.40)


def test_tiles_of_one_region_have_one_place(oem: Path) -> None:
    catalog = openearthmap_sar_catalog(oem, ("train", "val", "test"))
    places = [chip.place for chip in catalog.chips]
    assert len(places) == 16
    assert {place: places.count(place) for place in places} == dict.fromkeys(places, 4)
    assert len(set(places)) == 4


def test_tiles_drawn_by_hand_have_no_optical_image(oem: Path) -> None:
    chips = openearthmap_sar_catalog(oem, ("train", "val")).chips
    assert {chip.key.split("/")[0]: len(chip.optical) for chip in chips} == {"train": 1, "val": 0}


def test_openearthmap_sar_is_split_by_region(oem: Path) -> None:
    options = {"root": oem, "split": {"test_share": 0.25, "validation_share": 0.25}}
    catalog, split = build_data(OpenEarthMapSarData.model_validate(options))
    parts = [{catalog[key].place for key in split.keys(part)} for part in Part]
    assert [len(places) for places in parts] == [2, 1, 1]
    assert len(set().union(*parts)) == 4
    assert_clean(catalog, split)


def test_with_labels_drawn_by_hand_no_pseudo_label_is_tested_on(oem: Path) -> None:
    options = {"root": oem, "subsets": ["train", "val", "test"], "split": {"test_share": 0.25}}
    _, split = build_data(OpenEarthMapSarData.model_validate(options))
    for part in (Part.VALIDATION, Part.TEST):
        assert sorted(key.split("/")[0] for key in split.keys(part)) == ["test", "val"]
    assert sum(key.startswith("train/") for key in split.train) == 4
    assert {drop.reason: len(drop.keys) for drop in split.dropped} == {
        "validation tiles with pseudo-labels": 2,
        "test tiles with pseudo-labels": 2,
    }
    assert "drawn by hand" in split.definition


def test_regions_without_labels_drawn_by_hand_are_refused(oem: Path) -> None:
    shutil.rmtree(oem / "dfc25_track1_test")
    shutil.rmtree(oem / "dfc25_track1_val" / "val" / "sar_images")
    shutil.rmtree(oem / "dfc25_track1_val_labels")
    write_tiff(
        oem / "dfc25_track1_val" / "val" / "sar_images" / "ValArea_000.tif",
        np.ones((SIDE_PX, SIDE_PX), np.uint8),
        Affine(4e-6, 0, 10.0, 0, -4e-6, 10.0),
        "EPSG:4326",
    )
    write_tiff(oem / "labels" / "val" / "labels" / "ValArea_000.tif", miniature.land_cover(), Affine.identity(), None)
    with pytest.raises(ConfigError, match="have no label drawn by hand"):
        build_data(OpenEarthMapSarData.model_validate({"root": oem, "subsets": ["train", "val"]}))


def test_missing_labels_and_subsets_are_named(tmp_path: Path) -> None:
    root = miniature.write_openearthmap_sar(tmp_path, manual=False)
    with pytest.raises(InputError, match=r"val/labels lacks 4 of 4 tiles \(ValArea_000, .*zenodo"):
        openearthmap_sar_catalog(root, ("train", "val"))
    with pytest.raises(InputError, match="holds no folder train/sar_images with tiles; download"):
        openearthmap_sar_catalog(root / "dfc25_track1_val")
    shutil.copytree(root / "dfc25_track1_val", root / "again")
    with pytest.raises(InputError, match="several folders val/sar_images"):
        openearthmap_sar_catalog(root, ("val",))


def test_tiles_without_georeference_have_no_region(oem: Path) -> None:
    path = oem / "dfc25_track1_trainval" / "train" / "sar_images" / "TrainArea_000.tif"
    write_tiff(path, np.ones((SIDE_PX, SIDE_PX), np.uint8), Affine.identity(), None)
    with pytest.raises(InputError, match=r"TrainArea_000\.tif has no georeference"):
        openearthmap_sar_catalog(oem)


# BRIGHT


@pytest.fixture
def bright(tmp_path: Path) -> Path:
    return miniature.write_bright(tmp_path / "bright")


@pytest.mark.parametrize(
    ("buildings", "values"),
    [
        (Buildings.ALL, [0, 1, 1, 1]),
        (Buildings.STANDING, [0, 1, 1, IGNORE_LABEL]),
        (Buildings.INTACT, [0, 1, IGNORE_LABEL, IGNORE_LABEL]),
    ],
)
def test_bright_damage_classes_become_buildings(bright: Path, buildings: Buildings, values: list[int]) -> None:
    catalog = bright_catalog(bright, buildings)
    np.testing.assert_array_equal(label_of(catalog, "libya-flood_00000000")[::8, 0], values)
    assert not label_of(catalog, "libya-flood_00000001").any()


def test_bright_is_described(bright: Path) -> None:
    catalog = bright_catalog(bright)
    assert (catalog.name, catalog.class_name, catalog.licence) == ("bright", "building", "CC-BY-NC-4.0")
    assert_uncalibrated_pair(catalog, 0.31)  # between 0.30 (La Palma, UTM) and 0.51 m (Bata, degrees)
    assert all(chip.place.startswith(f"{event_of(chip.key)} n") for chip in catalog.chips)
    assert {event_of(chip.key) for chip in catalog.chips} == set(miniature.BRIGHT_EVENTS) - {"ukraine-conflict"}


def test_events_without_optical_images_may_be_kept(bright: Path) -> None:
    catalog = bright_catalog(bright, sar_only=True)
    assert [len(chip.optical) for chip in catalog.chips if event_of(chip.key) == "ukraine-conflict"] == [0, 0]
    arrays = read(catalog, "ukraine-conflict_00000000")
    assert arrays.sar is not None
    assert arrays.optical is None


def test_optical_images_that_users_fetched_are_used(tmp_path: Path) -> None:
    catalog = bright_catalog(miniature.write_bright(tmp_path, optical_of_ukraine=True))
    assert len(catalog.chips) == 10
    assert all(chip.optical for chip in catalog.chips)


def test_bright_is_split_by_event(bright: Path) -> None:
    catalog, split = build_data(BrightData.model_validate({"root": bright, "split": EVENTS}))
    assert {event_of(key) for key in split.test} == {"libya-flood"}
    assert {event_of(key) for key in split.train} == {"la_palma-volcano", "turkey-earthquake"}
    assert_clean(catalog, split)
    with pytest.raises(ConfigError, match="beirut-explosion is none of them"):
        build_data(BrightData.model_validate({"root": bright}))


def test_missing_partners_of_bright_are_listed(bright: Path) -> None:
    (bright / "pre-event" / "libya-flood_00000001_pre_disaster.tif").unlink()
    (bright / "target" / "bata-explosion_00000000_building_damage.tif").unlink()
    with pytest.raises(InputError) as caught:
        bright_catalog(bright)
    assert "pre-event lacks 1 of 8 tiles (libya-flood_00000001)" in str(caught.value)
    assert "target lacks 1 of 8 tiles (bata-explosion_00000000)" in str(caught.value)


def test_the_contests_folders_are_read_where_they_have_labels(tmp_path: Path, bright: Path) -> None:
    contest = tmp_path / "dfc25_track2_trainval"
    contest.mkdir()
    bright.rename(contest / "train")
    shutil.copytree(contest / "train" / "post-event", contest / "val" / "post-event")
    assert len(bright_catalog(tmp_path).chips) == 8
    shutil.copytree(contest / "train", tmp_path / "full")
    with pytest.raises(InputError, match="are one tile; name one of the folders"):
        bright_catalog(tmp_path)


def test_strangers_among_the_tiles_are_named(bright: Path) -> None:
    shutil.copy(next((bright / "post-event").iterdir()), bright / "post-event" / "copy_post_disaster.tif")
    with pytest.raises(InputError, match="'copy' is not a tile of BRIGHT"):
        bright_catalog(bright)
    with pytest.raises(InputError, match="holds no folder with post-event and target; download"):
        bright_catalog(bright / "pre-event")


# all of them


@pytest.mark.parametrize(
    ("options", "write"),
    [
        (Dfc2023Data, miniature.write_dfc2023),
        (OpenEarthMapSarData, miniature.write_openearthmap_sar),
        (BrightData, miniature.write_bright),
    ],
)
def test_a_split_may_come_from_a_file(tmp_path: Path, options: Any, write: Any) -> None:
    root, path = write(tmp_path), tmp_path / "split.csv"
    whole, _ = build_data(options.model_validate({"root": root, "split": {"by": "file", "path": empty(path)}}))
    keys = tuple(chip.key for chip in whole.chips)
    write_split(Split(keys[2:], keys[:1], keys[1:2]), path)
    _, split = build_data(options.model_validate({"root": root, "split": {"by": "file", "path": path}}))
    assert (split.train, split.validation, split.test) == (keys[2:], keys[:1], keys[1:2])


def empty(path: Path) -> Path:
    write_split(Split(("a",), (), ("b",)), path)
    return path
