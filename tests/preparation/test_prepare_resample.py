"""From grid to grid: against GDAL, against fields that are known everywhere, and the same bits for any blocks."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from rasterio.enums import Resampling as GdalResampling
from rasterio.warp import reproject

from overcast.preparation.convert import Conversion
from overcast.preparation.target import target_crs, target_grid
from overcast.raster.compass import up_azimuth
from overcast.raster.georeference import Georeference
from overcast.raster.grid import Window
from overcast.raster.resample import Regridding
from overcast.raster.units import Resampling, Unit

UTM31, UTM32 = "EPSG:32631", "EPSG:32632"
SOURCE = Georeference(80, 100, Affine(0.8, 0.3, 593000, 0.3, -0.8, 5750000), UTM31)
WHOLE = slice(None)


def smooth(grid: Georeference, seed: int = 0) -> np.ndarray:
    """(H, W) positive noise, as power has it."""
    return np.random.default_rng(seed).gamma(4, 25, (grid.height, grid.width))


def regrid(
    values: np.ndarray, source: Georeference, target: Georeference, kind: Resampling, window: Window | None = None
) -> np.ndarray:
    """(h, w) values, NaN where there are none; NaN in `values` is missing."""
    regridding = Regridding(source, target, kind)

    def cut(part: Window) -> tuple[np.ndarray, np.ndarray]:
        return values[part.slices], np.isfinite(values[part.slices])

    found, valid = regridding.values(regridding.reach(window or target.whole), cut)
    return np.where(valid, found, np.nan)


def gdal(values: np.ndarray, source: Georeference, target: Georeference, kind: GdalResampling) -> np.ndarray:
    found = np.full((target.height, target.width), np.nan)
    reproject(
        values, found, src_transform=source.transform, src_crs=source.crs, src_nodata=np.nan,
        dst_transform=target.transform, dst_crs=target.crs, dst_nodata=np.nan, resampling=kind,
        tolerance=0,  # or GDAL projects to an eighth of a pixel only
        XSCALE=1, YSCALE=1,  # or it widens its kernels, by how much depends on the block
    )  # fmt: skip
    return found


def inside(target: Georeference, source: Georeference, margin: float) -> np.ndarray:
    """(h, w) True where a target pixel lies well inside of the source."""
    row, col = Regridding(source, target, Resampling.NEAREST).positions(target.whole)
    return (
        (row > margin) & (row < source.height - margin) & (col > margin) & (col < source.width - margin)
    )  # fmt: skip


@pytest.mark.parametrize("kind", list(Resampling))
@pytest.mark.parametrize("crs", [UTM31, UTM32])
def test_rotated_and_reprojected_as_gdal_does(kind: Resampling, crs: str):
    target = target_grid(SOURCE, crs, 0.8543, None)
    assert target.crs == crs
    values = smooth(SOURCE)
    found = regrid(values, SOURCE, target, kind)
    wanted = gdal(values, SOURCE, target, GdalResampling[kind.value])
    deep = inside(target, SOURCE, 3)
    assert deep.sum() > 4000
    if kind is Resampling.NEAREST:
        assert (found[deep] == wanted[deep]).mean() > 0.999
    else:
        assert np.abs(found - wanted)[deep].max() < 0.01


@pytest.mark.parametrize("ratio", [2.0, 2.5, 3.7])
def test_coarser_pixels_are_means_over_their_area(ratio: float):
    source = Georeference(120, 140, Affine(1, 0, 593000, 0, -1, 5750000), UTM31)
    values = smooth(source)
    values[30:40, 50:70] = np.nan
    target = target_grid(source, UTM31, ratio, None)
    found = regrid(values, source, target, Resampling.BILINEAR)
    wanted = gdal(values, source, target, GdalResampling.average)
    whole = ~np.isnan(found[:30, :30])
    np.testing.assert_allclose(found[:30, :30][whole], wanted[:30, :30][whole], rtol=1e-6)
    np.testing.assert_allclose(np.nanmean(found), np.nanmean(values), rtol=0.02)


def test_power_is_averaged_not_decibels():
    """Hand-computed: 10 log10((1 + 10 + 100 + 0.1) / 4) = 14.436 dB; the mean of the decibels would be 5."""
    db = np.array([[0.0, 10.0], [20.0, -10.0]])
    source = Georeference(2, 2, Affine(1, 0, 0, 0, -1, 0), UTM31)
    target = Georeference(1, 1, Affine(2, 0, 0, 0, -2, 0), UTM31)
    conversion = Conversion(Unit.DECIBEL, Unit.DECIBEL)
    found = conversion.from_power(regrid(conversion.to_power(db), source, target, Resampling.BILINEAR))
    assert found[0, 0] == pytest.approx(10 * np.log10(111.1 / 4), abs=1e-5)


@pytest.mark.parametrize(
    ("missing", "wanted"), [([(0, 0)], (10 + 100 + 1) / 3), ([(0, 0), (1, 1)], 55), ([(0, 0), (0, 1), (1, 0)], np.nan)]
)
def test_missing_pixels_have_no_weight(missing: list[tuple[int, int]], wanted: float):
    """Less than half of a pixel on data is no data."""
    values = np.array([[-9999.0, 10.0], [100.0, 1.0]])
    for place in missing:
        values[place] = np.nan
    source = Georeference(2, 2, Affine(1, 0, 0, 0, -1, 0), UTM31)
    target = Georeference(1, 1, Affine(2, 0, 0, 0, -2, 0), UTM31)
    np.testing.assert_allclose(regrid(values, source, target, Resampling.BILINEAR)[0, 0], wanted)


@pytest.mark.parametrize("kind", list(Resampling))
@pytest.mark.parametrize("gsd_m", [0.6, 0.9, 2.3])
def test_no_border_value_bleeds(kind: Resampling, gsd_m: float):
    values = smooth(SOURCE)
    low, high = values.min(), values.max()
    values[:, :20] = np.nan
    values[40:50, 60:70] = np.nan
    found = regrid(values, SOURCE, target_grid(SOURCE, UTM31, gsd_m, None), kind)
    known = found[np.isfinite(found)]
    assert known.size > 500
    assert known.min() >= (low if kind is not Resampling.CUBIC else 0)
    assert known.max() <= high * (1 if kind is not Resampling.CUBIC else 1.5)


@given(row=st.integers(0, 60), col=st.integers(0, 60), height=st.integers(1, 40), width=st.integers(1, 40))
@settings(max_examples=12)
@pytest.mark.parametrize("kind", list(Resampling))
@pytest.mark.parametrize("gsd_m", [0.7, 2.1])
def test_any_blocks_give_the_same_bits(kind: Resampling, gsd_m: float, row: int, col: int, height: int, width: int):
    values = smooth(SOURCE)
    values[20:30, 20:40] = np.nan
    target = target_grid(SOURCE, UTM32, gsd_m, None)
    window = Window(row, col, height, width).intersect(target.whole)
    if window is None:
        return
    part = regrid(values, SOURCE, target, kind, window)
    whole = regrid(values, SOURCE, target, kind)
    np.testing.assert_array_equal(part, whole[window.slices])


@pytest.mark.parametrize("crs", ["EPSG:4326", UTM31, UTM32, "EPSG:3857"])
def test_a_field_that_is_linear_on_the_ground_stays_so(crs: str):
    """Interpolation of a linear field is exact: a shift by half a pixel would show as 0.25 m and more."""
    step = 5e-6 if crs == "EPSG:4326" else 0.5
    x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(4.45, 51.9)
    source = Georeference(150, 160, Affine(step, 0, x, 0, -step, y), crs)
    to_utm = Transformer.from_crs(crs, UTM31, always_xy=True)
    cols, rows = np.meshgrid(np.arange(160) + 0.5, np.arange(150) + 0.5)
    t = source.transform
    east, north = to_utm.transform(t.a * cols + t.c, t.e * rows + t.f)
    target = target_grid(source, target_crs(source, UTM31, "s"), 0.5, None)
    found = regrid(east + 2 * north, source, target, Resampling.BILINEAR)
    row, col = np.mgrid[: target.height, : target.width] + 0.5
    t = target.transform
    wanted = t.a * col + t.c + 2 * (t.e * row + t.f)
    deep = inside(target, source, 2)
    assert deep.sum() > 8000
    np.testing.assert_allclose(found[deep], wanted[deep], atol=2e-3)


def test_half_and_quarter_turns_lose_nothing():
    values = smooth(SOURCE)
    for turned, transform in (
        (values[::-1, ::-1], Affine(-1, 0, 593000, 0, 1, 5750000)),
        (np.rot90(values), Affine(0, -1, 593000, -1, 0, 5750000)),
        (values[:, ::-1], Affine(-1, 0, 593000, 0, -1, 5750000)),
    ):
        height, width = turned.shape
        source = Georeference(height, width, transform, UTM31)
        target = target_grid(source, UTM31, 1.0, None)
        assert target.north_up
        found = regrid(turned, source, target, Resampling.BILINEAR)
        nearest = regrid(turned, source, target, Resampling.NEAREST)
        np.testing.assert_array_equal(found, nearest)
        assert sorted(found.ravel()) == sorted(values.ravel())


@pytest.mark.parametrize("up_deg", [0.0, 37.0, 141.5, 258.0, 359.0])
@pytest.mark.parametrize("crs", [UTM31, "EPSG:3035"])
def test_the_upper_side_points_where_it_should(up_deg: float, crs: str):
    """Both systems turn away from true north by degrees here; azimuths are true ones. EPSG:3035 keeps no angles."""
    x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(4.45, 51.9)
    source = Georeference(100, 120, Affine(1, 0, x, 0, -1, y), crs)
    target = target_grid(source, crs, 1.0, up_deg)
    assert (up_azimuth(target) - up_deg + 180) % 360 - 180 == pytest.approx(0, abs=0.02 if crs == UTM31 else 0.5)
    row, col = Regridding(target, source, Resampling.NEAREST).positions(source.whole)
    assert row.min() > 0
    assert col.min() > 0
    assert row.max() < target.height
    assert col.max() < target.width


def test_grid_that_fits_is_kept():
    grid = Georeference(90, 90, Affine(0.9999, 0, 593000.3, 0, -0.9999, 5750000.7), UTM31)
    assert target_grid(grid, UTM31, 1.0, None) is grid
    assert target_grid(grid, UTM31, 1.1, None) is not grid
    assert target_grid(SOURCE, UTM31, SOURCE.gsd_m, None) is not SOURCE


@pytest.mark.parametrize(("crs", "place", "wanted"), [
    ("EPSG:4326", (4.45, 51.9), "EPSG:32631"),
    ("EPSG:4326", (151.2, -33.9), "EPSG:32756"),
    ("EPSG:3857", (4.45, 51.9), "EPSG:32631"),
    ("EPSG:32632", (4.45, 51.9), "EPSG:32632"),
    ("EPSG:28992", (4.45, 51.9), "EPSG:28992"),
])  # fmt: skip
def test_metric_systems_are_kept_and_others_become_utm(crs: str, place: tuple[float, float], wanted: str):
    x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(*place)
    step = 1e-5 if crs == "EPSG:4326" else 1.0
    assert target_crs(Georeference(50, 50, Affine(step, 0, x, 0, -step, y), crs), None, "s") == wanted
