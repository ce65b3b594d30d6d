"""Radar sides of single chips and masks of optical pixels, as any folder data set may declare them."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from raster_files import NORTH_UP, write_tiff

from overcast.batch import Modality
from overcast.data.catalogs.folder import folder_catalog
from overcast.data.chips import read_chip
from overcast.data.identity import chip_set_identity
from overcast.data.orientation import read_orientations, write_orientations
from overcast.errors import InputError
from overcast.raster.grid import Window
from overcast.raster.units import RadarSide

NAMES = ("a_1", "a_2", "b_1")
DESCRIPTION = """
name: two sides
class_name: building
licence: CC0-1.0
sar: {folders: [sar], bands: [HH], unit: dB, nodata: 0, gsd_m: 0.5, radar_side: south, orientations: looks.csv}
optical: {folders: [optical], bands: [grey], unit: digital_number, gsd_m: 0.5, invalid: {folder: haze, values: [3, 7]}}
label: {folder: masks}
"""
EVERY = frozenset(Modality)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in NAMES:
        write_tiff(tmp_path / "sar" / f"{name}.tif", rng.uniform(1, 9, (1, 8, 8)).astype("float32"), NORTH_UP)
        write_tiff(tmp_path / "optical" / f"{name}.tif", rng.integers(1, 255, (1, 8, 8), np.uint8), NORTH_UP)
        write_tiff(tmp_path / "masks" / f"{name}.tif", rng.integers(0, 2, (8, 8), np.uint8), NORTH_UP)
        write_tiff(tmp_path / "haze" / f"{name}.tif", rng.choice([0, 3, 5, 7], (8, 8)).astype(np.uint8), NORTH_UP)
    (tmp_path / "dataset.yaml").write_text(DESCRIPTION)
    write_orientations(
        tmp_path / "looks.csv", dict(zip(NAMES, map(RadarSide, ("south", "north", "north")), strict=True))
    )
    return tmp_path


def test_table_survives_a_round_trip(tmp_path: Path) -> None:
    looks = {"x": RadarSide.NORTH, "w": RadarSide.SOUTH}
    write_orientations(tmp_path / "looks.csv", looks)
    assert (tmp_path / "looks.csv").read_text() == "key,radar_side\nw,south\nx,north\n"
    assert read_orientations(tmp_path / "looks.csv", looks, RadarSide.NORTH) == {"w"}
    assert read_orientations(tmp_path / "looks.csv", looks, RadarSide.SOUTH) == {"x"}


def test_windows_and_masks_turn_with_the_chip(root: Path) -> None:
    catalog = folder_catalog(root)
    assert [chip.rotate_180 for chip in catalog.chips] == [False, True, True]
    window = Window(1, 2, 5, 4)
    whole = read_chip(catalog["a_2"], catalog.radiometry, catalog.label, EVERY)
    part = read_chip(catalog["a_2"], catalog.radiometry, catalog.label, EVERY, window)
    for name in ("sar", "optical"):
        np.testing.assert_array_equal(getattr(part, name).values, getattr(whole.crop(window), name).values)
        np.testing.assert_array_equal(getattr(part, name).valid, getattr(whole.crop(window), name).valid)
    np.testing.assert_array_equal(part.label, whole.crop(window).label)


def test_named_values_alone_count_as_missing_whatever_else_is_read(root: Path) -> None:
    catalog = folder_catalog(root)
    with rasterio.open(root / "haze" / "a_1.tif") as source:
        clear = np.isin(source.read(1), (0, 5))
    with rasterio.open(root / "optical" / "a_1.tif") as source:
        grey = source.read()
    for modalities in (EVERY, frozenset({Modality.OPTICAL})):
        optical = read_chip(catalog["a_1"], catalog.radiometry, catalog.label, modalities).optical
        assert optical is not None
        assert optical.values.dtype == np.uint8
        np.testing.assert_array_equal(optical.valid, clear)
        np.testing.assert_array_equal(optical.values, np.where(clear, grey, 0))


def test_turns_and_masks_belong_to_the_identity_of_a_data_set(root: Path) -> None:
    before = chip_set_identity(folder_catalog(root).chips)
    write_orientations(root / "looks.csv", dict.fromkeys(NAMES, RadarSide.SOUTH))
    turned = chip_set_identity(folder_catalog(root).chips)
    (root / "dataset.yaml").write_text(DESCRIPTION.replace(", invalid: {folder: haze, values: [3, 7]}", ""))
    unmasked = chip_set_identity(folder_catalog(root).chips)
    assert len({before.sha256, turned.sha256, unmasked.sha256}) == 3


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("key,radar_side\na_1,south\n", r"lacks 2 chips \(a_2, b_1\)"),
        ("key,radar_side\na_1,south\na_2,east\nb_1,north\n", "a_2 was seen from the east"),
        ("key,radar_side\na_1,up\n", "line 2: 'up' is not a radar side"),
        ("key,radar_side\na_1,north\na_1,south\n", "names a_1 twice"),
        ("name,side\na_1,north\n", "lacks the columns key,radar_side"),
        (None, "looks.csv does not exist"),
    ],
)
def test_a_wrong_table_is_one_clear_sentence(root: Path, table: str | None, expected: str) -> None:
    (root / "looks.csv").unlink()
    if table is not None:
        (root / "looks.csv").write_text(table)
    with pytest.raises(InputError, match=expected):
        folder_catalog(root)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("radar_side: south, ", "", "sar: orientations needs radar_side"),
        ("orientations:", "orientation:", "sar.orientation is not a known key; did you mean orientations"),
        ("values: [3, 7]", "values: []", "optical.invalid.values"),
        ("values: [3, 7]", "value: [3, 7]", "optical.invalid.value"),
        ("folder: haze", "folder: mist", "mist is not a folder"),
    ],
)
def test_a_wrong_declaration_is_one_clear_sentence(root: Path, old: str, new: str, expected: str) -> None:
    assert old in DESCRIPTION
    (root / "dataset.yaml").write_text(DESCRIPTION.replace(old, new))
    with pytest.raises(InputError, match=expected):
        folder_catalog(root)


def test_a_mask_must_lie_on_the_grid_and_exist_for_every_chip(root: Path) -> None:
    write_tiff(root / "haze" / "a_1.tif", np.zeros((4, 4), np.uint8), NORTH_UP)
    with pytest.raises(InputError, match="is not on the grid of"):
        folder_catalog(root)
    (root / "haze" / "a_1.tif").unlink()
    with pytest.raises(InputError, match="haze lacks 1 of the 3 chips"):
        folder_catalog(root)
