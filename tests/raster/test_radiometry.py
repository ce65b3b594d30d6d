"""The radiometry contract: validity, standardisation, mismatches that name both sides."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import ValidationError

from overcast.errors import RadiometryError
from overcast.raster.radiometry import (
    BandStatistics,
    RadarSide,
    Radiometry,
    SensorRadiometry,
    Statistics,
    Unit,
    check_same,
)

SENSOR = SensorRadiometry(bands=("HH", "VV"), unit=Unit.DECIBEL, nodata=0, gsd_m=0.5, radar_side=RadarSide.NORTH)


def test_a_pixel_is_valid_where_every_band_has_data() -> None:
    values = np.ones((2, 2, 3), np.float32)
    values[0, 0, 0], values[1, 0, 1], values[0, 1, 2], values[1, 1, 2] = 0, np.nan, np.inf, -np.inf
    np.testing.assert_array_equal(SENSOR.valid(values), [[False, False, True], [True, True, False]])
    no_nodata = SENSOR.model_copy(update={"nodata": None})
    np.testing.assert_array_equal(no_nodata.valid(values), [[True, False, True], [True, True, False]])
    nan_nodata = SENSOR.model_copy(update={"nodata": float("nan")})
    np.testing.assert_array_equal(nan_nodata.valid(values), no_nodata.valid(values))


def test_validity_of_integers() -> None:
    values = np.array([[[0, 1, 255]]], np.uint8)
    np.testing.assert_array_equal(SENSOR.valid(values), [[False, True, True]])


@given(hnp.arrays(np.float32, (2, 5, 4), elements=st.floats(-100, 100, width=32)), hnp.arrays(bool, (5, 4)))
def test_standardised_values_return_to_the_unit_and_are_zero_where_invalid(
    values: np.ndarray, valid: np.ndarray
) -> None:
    statistics = BandStatistics(mean=(20.0, -3.0), std=(5.0, 0.25))
    scaled = statistics.standardise(values, valid)
    assert scaled.dtype == np.float32
    assert (scaled[:, ~valid] == 0).all()
    back = scaled * np.array(statistics.std)[:, None, None] + np.array(statistics.mean)[:, None, None]
    np.testing.assert_allclose(back[:, valid], values[:, valid], atol=1e-4)


def test_nan_at_invalid_pixels_does_not_survive() -> None:
    values = np.array([[[np.nan, 1.0]]], np.float32)
    scaled = BandStatistics(mean=(0.0,), std=(1.0,)).standardise(values, np.array([[False, True]]))
    np.testing.assert_array_equal(scaled, [[[0, 1]]])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"bands": ("VV", "HH")}, r"scene\.tif has bands \[VV, HH\], but the model has \[HH, VV\]"),
        ({"unit": Unit.LINEAR_POWER}, r"scene\.tif has unit linear_power, but the model has dB"),
        ({"gsd_m": 1.0}, r"scene\.tif has pixels of 1 m, but the model has 0\.5 m; resample .* gdalwarp -tr"),
        ({"radar_side": RadarSide.EAST}, r"radar side east, but the model has north; rotate"),
    ],
)
def test_a_mismatch_names_both_sides_and_the_way_out(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(RadiometryError, match=expected):
        check_same(SENSOR, SENSOR.model_copy(update=change), expected_name="the model", found_name="scene.tif")


@pytest.mark.parametrize("change", [{"nodata": -9999.0}, {"gsd_m": 0.52}, {"radar_side": None}, {}])
def test_nodata_small_differences_of_pixel_size_and_unknown_radar_sides_fit(change: dict[str, Any]) -> None:
    found = SENSOR.model_copy(update=change)
    assert fits(SENSOR, found)
    assert fits(found, SENSOR)


def fits(expected: SensorRadiometry, found: SensorRadiometry) -> bool:
    try:
        check_same(expected, found, expected_name="the model", found_name="a")
    except RadiometryError:
        return False
    return True


@pytest.mark.parametrize(
    "wrong",
    [
        {"bands": ()},
        {"bands": ("HH", "HH")},
        {"gsd_m": 0},
        {"unit": "decibel"},
        {"colour": "grey"},
        {"radar_side": "up"},
    ],
)
def test_senseless_declarations_are_refused(wrong: dict[str, Any]) -> None:
    good = {"bands": ("HH",), "unit": "dB", "gsd_m": 0.5}
    assert SensorRadiometry.model_validate(good).bands == ("HH",)
    with pytest.raises(ValidationError):
        SensorRadiometry.model_validate({**good, **wrong})


def test_a_deviation_of_zero_is_refused() -> None:
    with pytest.raises(ValidationError, match="must be positive"):
        BandStatistics(mean=(0.0,), std=(0.0,))


def test_the_contract_survives_json() -> None:
    contract = Radiometry(sar=SENSOR)
    assert Radiometry.model_validate_json(contract.model_dump_json()) == contract
    statistics = Statistics(sar=BandStatistics(mean=(0.1, 1 / 3), std=(1.0, 2.0)))
    assert Statistics.model_validate_json(statistics.model_dump_json()) == statistics
