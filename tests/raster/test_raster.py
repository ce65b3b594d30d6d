"""Reading rasters: rasterio is the oracle; every kind of missing data; damaged and mismatched files."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from raster_files import NORTH_UP, UTM, write_png, write_tiff
from rasterio.windows import Window as RasterioWindow

from overcast.errors import InputError, RadiometryError
from overcast.raster.georeference import Georeference
from overcast.raster.grid import Window
from overcast.raster.radiometry import SensorRadiometry, Unit
from overcast.raster.sources import ArraySource, RasterioSource, open_grid

ROTATED = Affine.translation(593000.0, 5750000.0) @ Affine.rotation(30.0) @ Affine.scale(0.5, -0.5)


def sensor(*bands: str, nodata: float | None = None, unit: Unit = Unit.DECIBEL) -> SensorRadiometry:
    return SensorRadiometry(bands=bands, unit=unit, nodata=nodata, gsd_m=0.5)


def pattern(bands: int = 1, height: int = 12, width: int = 9, dtype: str = "float32") -> np.ndarray:
    return np.arange(1, bands * height * width + 1).reshape(bands, height, width).astype(dtype)


@pytest.fixture(scope="module")
def two_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("stack")
    values = pattern(3, 40, 50)
    values[0, 3, 4] = np.nan
    first = write_tiff(folder / "hh_hv.tif", values[:2], tiled=True, blockxsize=16, blockysize=16)
    return [first, write_tiff(folder / "vv.tif", values[2:].astype("uint16"))]


@st.composite
def windows(draw: st.DrawFn, height: int = 40, width: int = 50) -> Window:
    row, col = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    return Window(row, col, draw(st.integers(1, height - row)), draw(st.integers(1, width - col)))


@given(window=windows())
def test_any_window_of_stacked_files_is_what_rasterio_reads(two_files: list[Path], window: Window) -> None:
    at = RasterioWindow(window.col, window.row, window.width, window.height)
    parts = []
    for path in two_files:
        with rasterio.open(path) as file:
            parts.append(file.read(window=at).astype("float32"))
    expected = np.concatenate(parts)
    with RasterioSource.open(two_files, sensor("HH", "HV", "VV")) as source:
        pixels = source.read(window)
        assert source.band_count == 3
    hole = np.isnan(expected).any(axis=0)
    np.testing.assert_array_equal(pixels.valid, ~hole)
    np.testing.assert_array_equal(pixels.values, np.where(hole, 0, expected))
    assert pixels.values.dtype == np.float32


@given(window=windows())
def test_an_array_and_a_file_of_it_read_alike(two_files: list[Path], window: Window) -> None:
    declared = sensor("HH", "HV", nodata=7)
    with rasterio.open(two_files[0]) as file:
        array = ArraySource(file.read(), declared)
    with RasterioSource.open(two_files[:1], declared) as source:
        from_file, from_array = source.read(window), array.read(window)
    np.testing.assert_array_equal(from_file.values, from_array.values)
    np.testing.assert_array_equal(from_file.valid, from_array.valid)


def read_whole(paths: list[Path], declared: SensorRadiometry) -> tuple[np.ndarray, np.ndarray]:
    with RasterioSource.open(paths, declared) as source:
        pixels = source.read(source.georeference.whole)
    return pixels.values, pixels.valid


def test_nan_infinity_and_declared_and_file_nodata_are_all_invalid_and_zero(tmp_path: Path) -> None:
    values = pattern(2)
    values[0, 0, 0], values[1, 0, 1], values[0, 0, 2], values[1, 0, 3] = np.nan, np.inf, -99.0, -32768.0
    path = write_tiff(tmp_path / "a.tif", values, nodata=-32768.0)
    read, valid = read_whole([path], sensor("HH", "HV", nodata=-99))
    expected = np.ones((12, 9), bool)
    expected[0, :4] = False
    np.testing.assert_array_equal(valid, expected)
    assert (read[:, ~expected] == 0).all()
    np.testing.assert_array_equal(read[:, expected], values[:, expected])


def test_nodata_of_a_double_that_single_precision_rounds(tmp_path: Path) -> None:
    values = pattern()
    values[0, 5, 5] = -3.4028234663852886e38
    _, valid = read_whole([write_tiff(tmp_path / "a.tif", values, nodata=-3.4028234663852886e38)], sensor("HH"))
    assert valid.sum() == valid.size - 1
    assert not valid[5, 5]


def test_nodata_outside_the_range_of_integers_marks_nothing(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", pattern(dtype="uint8"))
    assert read_whole([path], sensor("HH", nodata=-9999))[1].all()


def test_a_mask_band_is_honoured(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", pattern(2, dtype="uint8"))
    mask = np.ones((12, 9), bool)
    mask[:5, 2] = False
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
        file.write_mask(mask)
    values, valid = read_whole([path], sensor("HH", "HV"))
    np.testing.assert_array_equal(valid, mask)
    assert (values[:, :5, 2] == 0).all()


def test_an_undeclared_alpha_band_masks_and_a_declared_one_is_data(tmp_path: Path) -> None:
    rgba = np.moveaxis(pattern(4, dtype="uint8"), 0, -1).copy()
    rgba[2, 3, 3] = 0
    path = write_png(tmp_path / "a.png", rgba)
    values, valid = read_whole([path], sensor("red", "green", "blue"))
    assert values.shape[0] == 3
    assert not valid[2, 3]
    assert valid[0, 0]
    values, valid = read_whole([path], sensor("red", "green", "blue", "nir"))
    assert values.shape[0] == 4
    assert valid.all()


def test_near_infrared_that_gdal_takes_for_alpha_is_data(tmp_path: Path) -> None:
    values = pattern(4, dtype="uint8")
    values[3, 1, 1] = 0
    path = write_tiff(tmp_path / "a.tif", values)
    with rasterio.open(path) as file:
        assert file.colorinterp[3].name == "alpha", "the trap that this test is about"
    read, valid = read_whole([path], sensor("red", "green", "blue", "nir"))
    np.testing.assert_array_equal(read, values)
    assert valid.all()


def test_eight_bit_files_stay_eight_bit(tmp_path: Path) -> None:
    path = write_png(tmp_path / "a.png", pattern(dtype="uint8")[0])
    with RasterioSource.open([path], sensor("VV")) as source:
        assert source.read_native(Window(0, 0, 2, 2)).values.dtype == np.uint8
        assert not source.georeference.placed


def test_windows_outside_the_grid_are_refused() -> None:
    source = ArraySource(pattern(), sensor("HH"))
    with pytest.raises(ValueError, match="not inside"):
        source.read(Window(0, 0, 13, 9))


def test_arrays_of_the_wrong_shape_are_refused() -> None:
    with pytest.raises(InputError, match="shape"):
        ArraySource(pattern(2), sensor("HH"))
    with pytest.raises(ValueError, match="georeference"):
        ArraySource(pattern(1), sensor("HH"), Georeference(3, 3, NORTH_UP, UTM))


def test_threads_read_what_one_reader_reads(two_files: list[Path]) -> None:
    windows_read = [Window(row, 0, 4, 50) for row in range(0, 40, 4)]
    found: dict[int, np.ndarray] = {}
    with RasterioSource.open(two_files, sensor("HH", "HV", "VV")) as source:
        expected = source.read(source.georeference.whole).values

        def work(window: Window) -> None:
            found[window.row] = source.read(window).values

        threads = [threading.Thread(target=work, args=(window,)) for window in windows_read]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    np.testing.assert_array_equal(np.concatenate([found[w.row] for w in windows_read], axis=1), expected)


@pytest.mark.parametrize("profile", [{}, {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"}])
@pytest.mark.parametrize("share", [0.98, 0.6, 0.01])
def test_a_truncated_tiff_is_named_when_opened(tmp_path: Path, profile: dict[str, Any], share: float) -> None:
    noise = np.random.default_rng(0).normal(size=(2, 64, 64)).astype("float32")
    path = write_tiff(tmp_path / "scene.tif", noise, **profile)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"scene\.tif.*copy"):
        RasterioSource.open([path], sensor("HH", "HV"))


def test_a_truncated_png_is_named_although_gdal_reads_it(tmp_path: Path) -> None:
    path = write_png(tmp_path / "a.png", np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"a\.png is truncated"):
        RasterioSource.open([path], sensor("VV"))


def test_damage_inside_a_file_is_named_when_read(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (1, 64, 64), np.uint8)
    path = write_tiff(tmp_path / "scene.tif", noise, compress="deflate", tiled=True, blockxsize=16, blockysize=16)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 40] = bytes(40)
    path.write_bytes(content)
    with RasterioSource.open([path], sensor("HH")) as source, pytest.raises(InputError, match=r"scene\.tif"):
        source.read(source.georeference.whole)


def test_files_that_are_no_images_or_do_not_exist(tmp_path: Path) -> None:
    text = tmp_path / "a.tif"
    text.write_text("not an image")
    with pytest.raises(InputError, match=r"a\.tif cannot be read"):
        RasterioSource.open([text], sensor("HH"))
    with pytest.raises(InputError, match=r"b\.tif does not exist"):
        open_grid(tmp_path / "b.tif")
    with pytest.raises(InputError, match="no file"):
        RasterioSource.open([], sensor("HH"))


def test_band_counts_are_compared_and_both_named(tmp_path: Path) -> None:
    paths = [write_tiff(tmp_path / f"{n}.tif", pattern(n)) for n in (1, 2)]
    with pytest.raises(InputError, match=r"4 bands are declared \['HH', 'HV', 'VH', 'VV'\], but 1 \+ 2 found"):
        RasterioSource.open(paths, sensor("HH", "HV", "VH", "VV"))


def test_a_palette_image_is_refused_with_the_command_that_expands_it(tmp_path: Path) -> None:
    from PIL import Image

    image = Image.fromarray(np.zeros((4, 4, 3), np.uint8)).convert("P")
    image.save(tmp_path / "a.png")
    with pytest.raises(InputError, match="-expand rgb"):
        RasterioSource.open([tmp_path / "a.png"], sensor("red", "green", "blue"))


def test_complex_values_are_refused_with_a_hint(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "slc.tif", pattern().astype("complex64"))
    with pytest.raises(InputError, match=r"slc\.tif holds complex.*gdal_calc\.py"):
        RasterioSource.open([path], sensor("HH"))


def test_stacked_files_on_different_grids_are_refused(tmp_path: Path) -> None:
    first = write_tiff(tmp_path / "a.tif", pattern())
    second = write_tiff(tmp_path / "b.tif", pattern(), transform=NORTH_UP @ Affine.translation(3, 0))
    with pytest.raises(InputError, match=r"b\.tif .* is not on the grid of .*a\.tif .*gdalwarp -t_srs EPSG:32631 -te"):
        RasterioSource.open([first, second], sensor("HH", "HV"))


def scaled(
    path: Path, stored: np.ndarray, scales: tuple[float, ...], offsets: tuple[float, ...], **profile: Any
) -> Path:
    write_tiff(path, stored, **profile)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = scales, offsets
    return path


@pytest.fixture(scope="module")
def scaled_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    stored = pattern(2, dtype="uint8")
    return scaled(tmp_path_factory.mktemp("scaled") / "a.tif", stored, (0.35, 0.5), (-5.0, 0.0))


@given(window=windows(12, 9))
def test_scale_and_offset_of_a_file_are_applied_alike_in_every_window(scaled_file: Path, window: Window) -> None:
    stored = pattern(2, dtype="uint8").astype(np.float64)
    expected = np.stack([stored[0] * 0.35 - 5.0, stored[1] * 0.5]).astype(np.float32)
    with RasterioSource.open([scaled_file], sensor("HH", "HV")) as source:
        native = source.read_native(window)
    assert native.values.dtype == np.float32
    np.testing.assert_array_equal(native.values, expected[:, *window.slices])


def test_nodata_is_what_is_stored_not_what_the_scale_makes_of_it(tmp_path: Path) -> None:
    stored = np.full((1, 12, 9), 100, np.int16)
    stored[0, 0, :4] = (-32768, -9999, -5, 0)
    path = scaled(tmp_path / "a.tif", stored, (0.01,), (5.0,), nodata=-32768)
    values, valid = read_whole([path], sensor("HH", nodata=-9999))
    assert valid[0, :4].tolist() == [False, False, True, True]
    np.testing.assert_allclose(values[0, 0, :4], [0, 0, 4.95, 5.0], rtol=1e-6)
    # -5 is stored, and 5 - 0.05 does not mean 5
    assert read_whole([path], sensor("HH", nodata=5))[1][0].tolist()[3]


def test_only_the_files_that_declare_a_scale_are_scaled(tmp_path: Path) -> None:
    plain = write_tiff(tmp_path / "a.tif", pattern(dtype="int16"))
    path = scaled(tmp_path / "b.tif", pattern(dtype="int16"), (0.01,), (0.0,))
    values, _ = read_whole([plain, path], sensor("HH", "HV"))
    np.testing.assert_allclose(values[0], 100 * values[1], rtol=1e-6)
    with RasterioSource.open([plain], sensor("HH")) as source:
        assert source.read_native(source.georeference.whole).values.dtype == np.int16


def test_digital_numbers_with_a_scale_are_refused(tmp_path: Path) -> None:
    path = scaled(tmp_path / "a.tif", pattern(dtype="int16"), (0.01,), (0.0,))
    with pytest.raises(RadiometryError, match=r"declares a scale of 0\.01 .* no digital numbers"):
        RasterioSource.open([path], sensor("HH", unit=Unit.DIGITAL_NUMBER))
