"""Chips are read as stored, with validity, on one grid, turned where asked."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from chip_files import BOTH, RADIOMETRY, SAR, make_chip
from hypothesis import given, settings
from hypothesis import strategies as st
from raster_files import NORTH_UP, write_png, write_tiff

from overcast.batch import IGNORE_LABEL
from overcast.data.chips import Chip, check_chip, read_chip
from overcast.data.labels import LabelSpec
from overcast.errors import InputError
from overcast.raster.grid import HALF_TURN, Window


@pytest.fixture(scope="module")
def chips(tmp_path_factory: pytest.TempPathFactory) -> list[Chip]:
    folder = tmp_path_factory.mktemp("chips")
    return [make_chip(folder, name) for name in ("a", "b")] + [make_chip(folder, "small", 10, 12)]


def test_a_chip_is_read_as_stored_with_validity_and_label(chips: list[Chip]) -> None:
    arrays = read_chip(chips[0], RADIOMETRY, LabelSpec(), BOTH)
    assert arrays.sar is not None
    assert arrays.optical is not None
    assert arrays.label is not None
    assert arrays.shape == (48, 40)
    assert arrays.sar.values.dtype == np.float32
    assert arrays.optical.values.dtype == np.uint8
    assert not arrays.sar.valid[:8, :5].any()
    assert arrays.sar.valid.sum() == 48 * 40 - 40
    assert arrays.optical.valid.sum() == 48 * 40 - 42
    assert (arrays.label[:8, :5] == IGNORE_LABEL).all(), "no label where the radar saw nothing"
    assert (arrays.label[-6:, -7:] != IGNORE_LABEL).all(), "a hole in the optical image hides no label"
    assert arrays.nbytes == 48 * 40 * (2 * 4 + 1 + 3 + 1 + 1)


@given(
    window=st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(1, 28), st.integers(1, 20)), turn=st.booleans()
)
@settings(max_examples=40)
def test_a_window_is_a_piece_of_the_whole(chips: list[Chip], window: tuple[int, int, int, int], turn: bool) -> None:
    chip = replace(chips[0], rotate_180=turn)
    whole = read_chip(chip, RADIOMETRY, LabelSpec(), BOTH).crop(Window(*window))
    part = read_chip(chip, RADIOMETRY, LabelSpec(), BOTH, Window(*window))
    for left, right in ((whole.sar, part.sar), (whole.optical, part.optical)):
        assert left is not None
        assert right is not None
        np.testing.assert_array_equal(left.values, right.values)
        np.testing.assert_array_equal(left.valid, right.valid)
    np.testing.assert_array_equal(whole.label, part.label)


def test_a_turned_chip_is_the_other_one_upside_down(chips: list[Chip]) -> None:
    plain = read_chip(chips[0], RADIOMETRY, LabelSpec(), BOTH)
    turned = read_chip(replace(chips[0], rotate_180=True), RADIOMETRY, LabelSpec(), BOTH)
    assert plain.sar is not None
    assert turned.sar is not None
    assert plain.label is not None
    np.testing.assert_array_equal(turned.sar.values, np.rot90(plain.sar.values, 2, axes=(1, 2)))
    np.testing.assert_array_equal(turned.sar.valid, np.rot90(plain.sar.valid, 2))
    np.testing.assert_array_equal(turned.label, np.rot90(plain.label, 2))
    np.testing.assert_array_equal(turned.turned(HALF_TURN).label, plain.label)


def test_grids_are_checked_when_a_chip_is_read_too(chips: list[Chip], tmp_path: Path) -> None:
    shifted = write_tiff(tmp_path / "o.tif", np.ones((3, 48, 40), np.uint8), NORTH_UP @ NORTH_UP.translation(1, 0))
    chip = replace(chips[0], optical=(shifted,))
    for check in (lambda: read_chip(chip, RADIOMETRY, LabelSpec(), BOTH), lambda: check_chip(chip, RADIOMETRY)):
        with pytest.raises(InputError, match=r"o\.tif .* is not on the grid of .*gdalwarp"):
            check()
    assert check_chip(chips[0], RADIOMETRY).width == 40
    small_mask = replace(chips[0], mask=write_png(tmp_path / "m.png", np.zeros((4, 4), np.uint8)))
    with pytest.raises(InputError, match=r"m\.png .* -r near"):
        read_chip(small_mask, RADIOMETRY, LabelSpec(), SAR)
