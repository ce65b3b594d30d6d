"""Scale and rotation jitter: both sensors, labels and targets stay registered, layover keeps its direction."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from chip_files import BOTH, RADIOMETRY, STATISTICS, make_chip
from hypothesis import given, settings
from hypothesis import strategies as st
from raster_files import write_tiff

from overcast.batch import IGNORE_LABEL, Modality
from overcast.data.augment import Augmentation, Geometry, Jitter
from overcast.data.chips import Chip, ChipArrays
from overcast.data.dataset import ChipDataset, Draw, SampleOptions
from overcast.data.labels import LabelSpec
from overcast.data.targets import Targets
from overcast.data.warp import LOOK_TOLERANCE_DEG, NO_WARP, Warp, WarpRange
from overcast.raster.sources import NativePixels

factors, angles = st.floats(0.67, 1.5), st.floats(-LOOK_TOLERANCE_DEG, LOOK_TOLERANCE_DEG)


def ramp(height: int, width: int, dtype: type = np.float32) -> NativePixels:
    """Rows in the first band, columns in the second."""
    values: np.ndarray = np.mgrid[:height, :width].astype(dtype)
    return NativePixels(values, np.ones((height, width), np.bool_))


def arrays(height: int = 40, width: int = 36) -> ChipArrays:
    """Every array says where its pixel was: images by row and column, the label by parity, targets likewise."""
    row, col = np.mgrid[:height, :width]
    label = ((row // 4 + col // 4) % 2).astype(np.uint8)
    label[:3] = IGNORE_LABEL
    targets = np.stack([row % 2, col % 2]).astype(np.uint8)
    return ChipArrays(ramp(height, width), ramp(height, width), label, targets, (row * width + col).astype(np.int32))


def test_the_identity_changes_nothing():
    before = arrays()
    after = Warp(1.0, 0.0).apply(before, before.shape)
    assert before.sar is not None
    assert after.sar is not None
    np.testing.assert_allclose(after.sar.values, before.sar.values, atol=1e-4)
    assert after.sar.valid.all()
    for name in ("label", "targets", "instances"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))


def test_enlarging_twice_repeats_pixels():
    values = np.array([[[1.0, 2.0], [3.0, 4.0]]], np.float32)
    valid = np.array([[True, True], [True, False]])
    image = NativePixels(np.where(valid, values, 0), valid)
    label = np.array([[0, 1], [1, 255]], np.uint8)
    warped = Warp(2.0, 0.0).apply(ChipArrays(image, None, label), (4, 4))
    np.testing.assert_array_equal(warped.label, label.repeat(2, 0).repeat(2, 1))
    assert warped.sar is not None
    np.testing.assert_array_equal(warped.sar.valid, valid.repeat(2, 0).repeat(2, 1))
    # between 1 and 2 a quarter of the way, the pixel without data left out: (9 * 1 + 3 * 2 + 3 * 3) / 15
    assert warped.sar.values[0, 1, 1] == pytest.approx(24 / 15, rel=1e-5)
    assert (warped.sar.values[:, 2:, 2:] == 0).all()


def test_a_positive_angle_turns_clockwise():
    values = np.zeros((1, 41, 41), np.float32)
    values[0, 20, 40] = 1.0  # to the right of the centre
    image = NativePixels(values, np.ones((41, 41), np.bool_))
    turned = Warp(1.0, 15.0).apply(ChipArrays(image, None, None), (41, 41)).sar
    assert turned is not None
    row, col = np.unravel_index(turned.values[0].argmax(), (41, 41))
    assert (row, col) == (25, 39)  # 20 (sin 15, cos 15) = (5.2, 19.3)


@given(factor=factors, angle=angles)
@settings(max_examples=40)
def test_everything_moves_together(factor: float, angle: float):
    before = arrays()
    after = Warp(factor, angle).apply(before, (30, 34))
    sar, label, targets, ids = after.sar, after.label, after.targets, after.instances
    assert sar is not None
    assert label is not None
    assert targets is not None
    assert ids is not None
    assert before.label is not None
    row, col = np.divmod(ids, 36)
    inside = sar.valid
    np.testing.assert_array_equal(label[inside], before.label[row, col][inside])
    np.testing.assert_array_equal(targets[:, inside], np.stack([row % 2, col % 2])[:, inside])
    np.testing.assert_array_equal(label[~inside], IGNORE_LABEL)
    assert (sar.values[:, ~inside] == 0).all()
    away = np.abs(sar.values - np.stack([row, col]))[:, inside]
    assert away.max() <= 0.5 + 1e-3  # the nearest pixel is at most half a pixel from where the value comes from


@given(factor=factors, angle=angles, side=st.integers(8, 40))
@settings(max_examples=40)
def test_the_source_square_is_large_enough(factor: float, angle: float, side: int):
    warp = Warp(factor, angle)
    wide = warp.source_side(side)
    after = warp.apply(ChipArrays(ramp(wide, wide), None, None), (side, side)).sar
    assert after is not None
    assert after.valid.all()


@given(st.floats(0, 0.5), st.floats(0, LOOK_TOLERANCE_DEG), st.integers(0, 2**32))
def test_draws_stay_within_their_range(scale: float, rotation_deg: float, seed: int):
    warp = WarpRange(scale, rotation_deg).draw(np.random.default_rng(seed))
    if warp is None:
        assert scale == rotation_deg == 0
    else:
        assert 1 / (1 + scale) - 1e-9 <= warp.factor <= 1 + scale + 1e-9
        assert abs(warp.angle_deg) <= rotation_deg


def test_no_range_draws_no_number():
    rng = np.random.default_rng(0)
    assert NO_WARP.draw(rng) is None
    assert rng.bit_generator.state == np.random.default_rng(0).bit_generator.state


@pytest.mark.parametrize("wrong", [{"scale": -0.1}, {"scale": 0.6}, {"rotation_deg": 16}, {"rotation_deg": -1}])
def test_turns_beyond_the_tolerance_are_refused(wrong: dict[str, float]):
    with pytest.raises(ValueError, match="rotation_deg in 0"):
        WarpRange(**wrong)


def layover_chip(folder: Path) -> Chip:
    """A building with bright layover on its northern side, where the radar stands."""
    sar = np.full((2, 64, 64), 20, np.float32)
    mask = np.zeros((64, 64), np.uint8)
    mask[30:40, 26:38] = 1
    sar[:, 24:30, 26:38] = 80
    return Chip("a", "a", (write_tiff(folder / "s.tif", sar),), (), mask=write_tiff(folder / "m.tif", mask))


def test_layover_stays_within_the_tolerance_of_north(tmp_path: Path):
    still = Jitter()
    augment = Augmentation(Geometry.FLIP_LEFT_RIGHT, sar=still, warp=WarpRange(0.2, LOOK_TOLERANCE_DEG))
    options = SampleOptions(crop=48, augment=augment, min_valid=0)
    data = ChipDataset(
        [layover_chip(tmp_path)], RADIOMETRY, LabelSpec(), STATISTICS, options, frozenset({Modality.SAR})
    )
    bearings = []
    for stream in range(60):
        sample = data[Draw(0, stream)]
        assert sample.sar is not None
        assert sample.label is not None
        bright, building = sample.sar[0] > 6, sample.label == 1
        if bright.sum() < 40 or (building | bright)[[0, -1]].any() or (building | bright)[:, [0, -1]].any():
            continue  # cut off at the border
        (up, left), (down, right) = (np.argwhere(part).mean(0) for part in (bright, building))
        bearings.append(np.degrees(np.arctan2(left - right, down - up)))
    assert len(bearings) > 20
    assert np.abs(bearings).max() <= LOOK_TOLERANCE_DEG + 2  # pixels are whole
    assert np.abs(bearings).max() > 5


def test_jittered_samples_depend_on_the_draw_alone(tmp_path: Path):
    chips = [make_chip(tmp_path, name) for name in ("a", "b")]
    augment = Augmentation(Geometry.DIHEDRAL, warp=WarpRange(0.25, 10))
    options = SampleOptions(crop=16, augment=augment, targets=Targets(edge=True, contact=True))
    fresh = ChipDataset(chips, RADIOMETRY, LabelSpec(), STATISTICS, options, BOTH)
    cached = ChipDataset(chips, RADIOMETRY, LabelSpec(), STATISTICS, replace(options, cache_bytes=10**6), BOTH)
    seen = set()
    for stream in range(12):
        one, other = fresh[Draw(stream % 2, stream)], cached[Draw(stream % 2, stream)]
        for name in ("sar", "sar_valid", "optical", "optical_valid", "label", "targets"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert one.label is not None
        assert one.sar_valid is not None
        assert one.sar is not None
        assert one.sar.shape == (2, 16, 16)
        assert (one.label[~one.sar_valid] == IGNORE_LABEL).all()
        assert (one.label[one.sar_valid] <= 1).all()  # what the radar saw has its label, to the pixel
        seen.add(one.sar.tobytes())
    assert len(seen) == 12
