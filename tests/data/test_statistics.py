"""Band statistics against NumPy's mean and standard deviation of all valid pixels at once."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from raster_files import write_png, write_tiff

from overcast.data.chips import Chip
from overcast.data.statistics import RunningMoments, compute_statistics
from overcast.errors import InputError
from overcast.raster.radiometry import Radiometry, SensorRadiometry, Unit

RADIOMETRY = Radiometry(
    sar=SensorRadiometry(bands=("HH", "VV"), unit=Unit.DECIBEL, nodata=0, gsd_m=0.5),
    optical=SensorRadiometry(bands=("red", "green", "blue"), unit=Unit.DIGITAL_NUMBER, gsd_m=0.5),
)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.floats(-1e6, 1e6), st.integers(0, 1000))
def test_chunks_of_any_size_merge_to_the_moments_of_all(sizes: list[int], centre: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    chunks = [rng.normal(centre, 3, (2, 1, size)) for size in sizes]
    masks = [rng.random((1, size)) > 0.2 for size in sizes]
    moments = RunningMoments(2)
    for chunk, mask in zip(chunks, masks, strict=True):
        moments.add(chunk, mask)
    everything = np.concatenate([chunk[:, mask] for chunk, mask in zip(chunks, masks, strict=True)], axis=1)
    assert moments.count == everything.shape[1]
    if moments.count:
        np.testing.assert_allclose(moments.mean, everything.mean(axis=1), rtol=1e-12)
        np.testing.assert_allclose(moments.std, everything.std(axis=1), rtol=1e-6, atol=1e-7)
    else:
        assert np.isnan(moments.std).all()


def make_chips(folder: Path) -> tuple[list[Chip], list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(0)
    chips, sars, opticals = [], [], []
    for index in range(3):
        sar = rng.normal(20 + 5 * index, 4, (2, 20, 10 + index)).astype("float32")
        sar[:, :4], sar[0, 5, 5] = 0, np.nan
        optical = rng.integers(0, 255, (20, 10 + index, 3), np.uint8)
        chips.append(
            Chip(
                key=str(index),
                place="p",
                sar=(write_tiff(folder / f"s{index}.tif", sar),),
                optical=(write_png(folder / f"o{index}.png", optical),),
            )
        )
        sars.append(sar[:, (sar != 0).all(axis=0) & np.isfinite(sar).all(axis=0)])
        opticals.append(optical.reshape(-1, 3).T)
    return chips, sars, opticals


def test_statistics_of_files_are_those_of_their_valid_pixels(tmp_path: Path) -> None:
    chips, sars, opticals = make_chips(tmp_path)
    seen: list[tuple[int, int]] = []
    statistics = compute_statistics(chips, RADIOMETRY, lambda done, total: seen.append((done, total)))
    assert statistics.optical is not None
    for found, pixels in ((statistics.sar, sars), (statistics.optical, opticals)):
        everything = np.concatenate(pixels, axis=1).astype(np.float64)
        np.testing.assert_allclose(found.mean, everything.mean(axis=1), rtol=1e-12)
        np.testing.assert_allclose(found.std, everything.std(axis=1), rtol=1e-12)
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_without_an_optical_sensor_no_optical_file_is_opened(tmp_path: Path) -> None:
    chips, _, _ = make_chips(tmp_path)
    blind = [replace(chip, optical=(tmp_path / "missing.png",)) for chip in chips]
    assert compute_statistics(blind, Radiometry(sar=RADIOMETRY.sar)).optical is None
    some = [chips[0], *(replace(chip, optical=()) for chip in chips[1:])]
    assert compute_statistics(some, RADIOMETRY).optical == compute_statistics(chips[:1], RADIOMETRY).optical


def test_nothing_valid_and_constant_bands_are_named(tmp_path: Path) -> None:
    empty = Chip("a", "a", (write_tiff(tmp_path / "e.tif", np.zeros((2, 8, 8), np.float32)),), ())
    with pytest.raises(InputError, match="no SAR pixel of the training chips has data"):
        compute_statistics([empty], Radiometry(sar=RADIOMETRY.sar))
    values = np.ones((2, 8, 8), np.float32)
    values[0, 0, 0] = 2
    constant = Chip("a", "a", (write_tiff(tmp_path / "c.tif", values),), ())
    with pytest.raises(InputError, match="SAR band VV has one value"):
        compute_statistics([constant], Radiometry(sar=RADIOMETRY.sar))


def test_statistics_of_scaled_chips_are_those_of_the_true_values(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    stored = np.round(rng.normal(2000, 400, (2, 20, 20))).astype(np.int16)
    path = write_tiff(tmp_path / "a.tif", stored)
    with rasterio.open(path, "r+") as file:
        file.scales = (0.01, 0.01)
    found = compute_statistics([Chip("a", "a", (path,), ())], Radiometry(sar=RADIOMETRY.sar)).sar
    np.testing.assert_allclose(found.mean, stored.mean(axis=(1, 2)) / 100, rtol=1e-5)
    np.testing.assert_allclose(found.std, stored.std(axis=(1, 2)) / 100, rtol=1e-5)
