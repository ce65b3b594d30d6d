"""Symmetries form a group, respect the radar side and move every sensor alike; jitter has the declared size."""

from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overcast.data.augment import (
    OPTICAL_JITTER,
    SAR_JITTER,
    Augmentation,
    Geometry,
    Jitter,
    Symmetry,
    safe_geometry,
)
from overcast.raster.radiometry import RadarSide, Radiometry, SensorRadiometry, Unit

symmetries = st.builds(Symmetry, st.booleans(), st.booleans(), st.booleans())
sizes = st.tuples(st.integers(1, 6), st.integers(1, 6))


def pattern(height: int, width: int, bands: int = 2) -> np.ndarray:
    return np.arange(bands * height * width).reshape(bands, height, width)


@given(symmetry=symmetries, size=sizes)
def test_the_inverse_undoes(symmetry: Symmetry, size: tuple[int, int]) -> None:
    array = pattern(*size)
    np.testing.assert_array_equal(symmetry.inverse.apply(symmetry.apply(array)), array)
    np.testing.assert_array_equal(symmetry.apply(symmetry.inverse.apply(array)), array)


@given(rows=st.booleans(), cols=st.booleans(), size=sizes)
def test_flips_applied_twice_are_the_identity(rows: bool, cols: bool, size: tuple[int, int]) -> None:
    flip = Symmetry(False, rows, cols)
    np.testing.assert_array_equal(flip.apply(flip.apply(pattern(*size))), pattern(*size))


@pytest.mark.parametrize("geometry", list(Geometry))
def test_each_group_is_closed_starts_with_the_identity_and_repeats_nothing(geometry: Geometry) -> None:
    array = pattern(4, 4, 1)
    members = [s.apply(array).tobytes() for s in geometry.symmetries]
    assert members[0] == array.tobytes()
    assert len(set(members)) == len(members)
    for first, second in product(geometry.symmetries, repeat=2):
        assert second.apply(first.apply(array)).tobytes() in members
    expected = {Geometry.NONE: 1, Geometry.FLIP_LEFT_RIGHT: 2, Geometry.FLIP_UP_DOWN: 2, Geometry.DIHEDRAL: 8}
    assert len(members) == expected[geometry]


def test_dihedral_holds_numpys_rotations_and_flips() -> None:
    array = pattern(4, 4)
    members = {s.apply(array).tobytes() for s in Geometry.DIHEDRAL.symmetries}
    oracle = {np.rot90(a, k, axes=(1, 2)).tobytes() for a in (array, array[:, :, ::-1]) for k in range(4)}
    assert members == oracle


def shadow(look: RadarSide) -> np.ndarray:
    """A wall and, away from the radar, its shadow of value 2."""
    image = np.zeros((5, 5), int)
    image[2, 2] = 1
    row, col = {
        RadarSide.NORTH: (3, 2),
        RadarSide.SOUTH: (1, 2),
        RadarSide.EAST: (2, 1),
        RadarSide.WEST: (2, 3),
    }[look]
    image[row, col] = 2
    return image


@pytest.mark.parametrize("look", list(RadarSide))
def test_the_safe_group_keeps_shadows_on_their_side_and_is_as_large_as_can_be(look: RadarSide) -> None:
    image = shadow(look)
    safe = [s for s in Geometry.DIHEDRAL.symmetries if np.array_equal(s.apply(image), image)]
    assert set(safe_geometry(look).symmetries) == set(safe)


def radiometry(look: RadarSide | None) -> Radiometry:
    return Radiometry(sar=SensorRadiometry(bands=("VV",), unit=Unit.DECIBEL, gsd_m=1, radar_side=look))


def test_the_default_follows_the_declared_radar_side() -> None:
    assert Augmentation.default(radiometry(RadarSide.NORTH)).geometry is Geometry.FLIP_LEFT_RIGHT
    assert Augmentation.default(radiometry(RadarSide.EAST)).geometry is Geometry.FLIP_UP_DOWN
    undeclared = Augmentation.default(radiometry(None))
    assert undeclared == Augmentation(Geometry.DIHEDRAL, SAR_JITTER, OPTICAL_JITTER)


def test_every_member_of_the_group_is_drawn_equally_often() -> None:
    rng = np.random.default_rng(0)
    augmentation = Augmentation(Geometry.DIHEDRAL)
    drawn = [augmentation.draw_symmetry(rng) for _ in range(8000)]
    counts = [drawn.count(symmetry) for symmetry in Geometry.DIHEDRAL.symmetries]
    assert min(counts) > 880
    assert max(counts) < 1120


def fields() -> Any:
    return st.floats(0, 0.4)


@given(st.builds(Jitter, fields(), fields(), fields(), fields()), st.integers(0, 2**32))
def test_jitter_stays_within_its_half_widths_and_off_invalid_pixels(jitter: Jitter, seed: int) -> None:
    gain, offset = jitter.draw(4, np.random.default_rng(seed))
    assert np.abs(gain - 1).max() <= jitter.common_gain + jitter.band_gain + 1e-6
    assert np.abs(offset).max() <= jitter.common_offset + jitter.band_offset + 1e-6
    values = np.random.default_rng(seed).normal(size=(4, 6, 5)).astype(np.float32)
    valid = np.random.default_rng(seed).random((6, 5)) > 0.3
    values[:, ~valid] = 0
    changed = jitter.apply(values, valid, np.random.default_rng(seed))
    assert changed.dtype == np.float32
    np.testing.assert_allclose(changed[:, valid], (values * gain + offset)[:, valid], rtol=1e-6)
    assert (changed[:, ~valid] == 0).all()


def test_common_jitter_moves_bands_together_and_band_jitter_apart() -> None:
    together, _ = Jitter(common_gain=0.3).draw(4, np.random.default_rng(1))
    apart, _ = Jitter(band_gain=0.3).draw(4, np.random.default_rng(1))
    assert np.ptp(together) == 0
    assert all(a != b for a, b in pairwise(apart.ravel()))


def test_no_jitter_changes_nothing() -> None:
    values = np.random.default_rng(0).normal(size=(3, 4, 4)).astype(np.float32)
    changed = Jitter().apply(values, np.ones((4, 4), bool), np.random.default_rng(0))
    np.testing.assert_array_equal(changed, values)


@pytest.mark.parametrize("wrong", [{"common_gain": -0.1}, {"common_gain": 0.6, "band_gain": 0.4}])
def test_senseless_jitter_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"gain|negative"):
        Jitter(**wrong)
