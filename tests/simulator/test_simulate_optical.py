import numpy as np
import pytest
import shapely

from overcast.simulator.city.geometry import Extent, Surface
from overcast.simulator.optical.clouds import CLEAR, CLOUD, CLOUD_SHADOW
from overcast.simulator.optical.image import PAINT, Exposure, colour_tables, draw_exposure, simulate_optical
from overcast.simulator.optical.light import cast_shadow, oblique_view
from overcast.simulator.options import CRS, OpticalOptions
from overcast.simulator.town.footprints import city_of

BOUNDS = Extent(0, 0, 120, 120, CRS)
SEED = np.random.SeedSequence(3)
PLAIN = OpticalOptions(texture=False, blur_px=0, noise_dn=0, light_jitter_deg=0, exposure_jitter=0)


def box_heights(height: float, gsd_m: float = 0.5) -> np.ndarray:
    heights = np.zeros((240, 240), np.float32)
    heights[100:140, 100:140] = height
    return heights


@pytest.mark.parametrize("azimuth", [0.0, 90.0, 180.0, 270.0])
@pytest.mark.parametrize("elevation", [30.0, 50.0])
def test_shadow_length_and_direction(azimuth, elevation):
    """h / tan(elevation) behind the box, away from the sun, within a pixel."""
    shadow = cast_shadow(box_heights(12.0), 0.5, azimuth, elevation)
    length_px = 12.0 / np.tan(np.radians(elevation)) / 0.5
    turned = np.rot90(shadow, round(azimuth / 90))  # the sun's side comes first
    assert abs(turned[:, 120].sum() - length_px) <= 1
    assert turned[140, 120]
    assert not turned[:100].any()


@pytest.mark.parametrize("azimuth", [20.0, 65.0, 130.0, 200.0, 290.0, 340.0])
def test_oblique_shadow_ends_where_the_tip_falls(azimuth):
    heights = np.zeros((240, 240), np.float32)
    heights[120, 120] = 20.0
    rows, cols = np.nonzero(cast_shadow(heights, 0.5, azimuth, 45.0))
    far = np.hypot(rows - 120, cols - 120)
    tip = far.argmax()
    direction = np.degrees(np.arctan2(cols[tip] - 120, -(rows[tip] - 120))) % 360
    assert abs(far[tip] - 40) <= 1.5
    assert abs((direction - azimuth) % 360 - 180) < 3


@pytest.mark.parametrize("azimuth", [0.0, 45.0, 90.0, 200.0])
@pytest.mark.parametrize("angle", [10.0, 25.0])
def test_roof_displacement(azimuth, angle):
    """The roof moves by h tan(off-nadir) along the azimuth; the wall opposite comes into view."""
    view = oblique_view(box_heights(15.0), 0.5, angle, azimuth)
    roof = (view.height > 14.0) & ~view.wall
    shift = 15.0 * np.tan(np.radians(angle)) / 0.5
    rows, cols = np.nonzero(roof)
    moved = np.array([rows.mean() - 119.5, cols.mean() - 119.5])
    expected = shift * np.array([-np.cos(np.radians(azimuth)), np.sin(np.radians(azimuth))])
    np.testing.assert_allclose(moved, expected, atol=1.0)
    wall_rows, wall_cols = np.nonzero(view.wall)
    offset = np.array([wall_rows.mean() - 119.5, wall_cols.mean() - 119.5])
    assert offset @ expected < 0
    assert roof.sum() == pytest.approx(1600, rel=0.02)


def test_nadir_view_is_the_identity():
    view = oblique_view(box_heights(15.0), 0.5, 0.0, 0.0)
    rows, cols = np.mgrid[:240, :240]
    assert np.array_equal(view.row, rows)
    assert np.array_equal(view.col, cols)
    assert not view.wall.any()


def test_image_shows_shadow_roof_and_wall_where_they_belong():
    city = city_of(BOUNDS, [shapely.box(50, 50, 70, 70)], [20.0])
    exposure = Exposure(180.0, 45.0, 0.0, 1.0, 1.0)
    image = simulate_optical(city, BOUNDS, 0.5, PLAIN.model_copy(update={"off_nadir_deg": 20.0}), exposure, SEED).values
    red = image[0].astype(int)
    column = red[:, 120]  # north to south through the box, whose ground rows are 100..140
    ground = column[200]
    top_of_roof = 100 - 20 * np.tan(np.radians(20)) / 0.5
    shadow = np.flatnonzero(column < 0.7 * ground)
    assert abs(shadow.min() - (100 - 40)) <= 1  # the sun stands in the south
    assert abs(shadow.max() + 1 - top_of_roof) <= 1
    wall = column[round(140 - 20 * np.tan(np.radians(20)) / 0.5) + 1 : 139]
    assert (np.abs(wall - ground) > 5).all()
    assert (column[142:] == ground).all()


def test_shadows_can_be_switched_off():
    city = city_of(BOUNDS, [shapely.box(50, 50, 70, 70)], [20.0])
    exposure = Exposure(180.0, 45.0, 0.0, 1.0, 1.0)
    nadir = PLAIN.model_copy(update={"off_nadir_deg": 0.0})
    with_shadow, without = (
        simulate_optical(city, BOUNDS, 1.0, nadir.model_copy(update={"shadows": on}), exposure, SEED).values[0]
        for on in (True, False)
    )
    roof = np.zeros((120, 120), bool)
    roof[50:70, 50:70] = True
    assert len(np.unique(without[~roof])) == 1
    assert (with_shadow[31:50, 50:70] < 0.7 * without[31:50, 50:70]).all()
    np.testing.assert_array_equal(with_shadow[roof], without[roof])


def test_off_nadir_zero_puts_roofs_on_their_footprints():
    city = city_of(BOUNDS, [shapely.box(50, 50, 70, 70)], [20.0])
    exposure = Exposure(180.0, 45.0, 0.0, 1.0, 1.0)
    images = {
        angle: simulate_optical(
            city, BOUNDS, 1.0, PLAIN.model_copy(update={"off_nadir_deg": angle, "shadows": False}), exposure, SEED
        )
        .values[0]
        .astype(int)
        for angle in (0.0, 30.0)
    }
    footprint = np.zeros((120, 120), bool)
    footprint[50:70, 50:70] = True
    ground = images[0.0][100, 100]
    assert np.array_equal(images[0.0] != ground, footprint)
    rows = np.flatnonzero((images[30.0] == images[0.0][60, 60]).any(axis=1))
    assert rows.min() == pytest.approx(50 - 20 * np.tan(np.radians(30)), abs=1)


def test_painted_metal_takes_the_colours_of_its_palette():
    tops, walls = colour_tables()
    assert len(np.unique(tops[Surface.PAINTED], axis=0)) == len(PAINT)
    np.testing.assert_array_equal(tops[Surface.PAINTED], walls[Surface.PAINTED])
    assert ((tops > 0) & (tops < 0.8)).all()


def test_near_infrared_tells_plants_from_roads():
    means = {}
    for surface in (Surface.GRASS, Surface.ASPHALT):
        city = city_of(BOUNDS, [], [], ground=surface)
        image = simulate_optical(city, BOUNDS, 1.0, PLAIN, draw_exposure(PLAIN, np.random.default_rng(0)), SEED).values
        means[surface] = image.reshape(4, -1).mean(1)
    assert means[Surface.GRASS][3] > 2 * means[Surface.GRASS][0]
    assert means[Surface.ASPHALT][3] < 1.3 * means[Surface.ASPHALT][0]


def test_image_is_eight_bit_never_zero_and_repeatable():
    city = city_of(BOUNDS, [shapely.box(50, 50, 70, 70)], [20.0])
    options = OpticalOptions()
    exposure = draw_exposure(options, np.random.default_rng(1))
    first, second = (
        simulate_optical(city, BOUNDS, 1.0, options, exposure, np.random.SeedSequence(1)).values for _ in "ab"
    )
    assert first.dtype == np.uint8
    assert first.shape == (4, 120, 120)
    assert first.min() >= 1
    assert np.array_equal(first, second)


def test_clouds_cover_their_share_and_their_mask_is_true():
    bounds = Extent(0, 0, 600, 600, CRS)
    city = city_of(bounds, [], [], ground=Surface.GRASS)
    exposure = Exposure(180.0, 45.0, 0.0, 1.0, 1.0)
    clear = simulate_optical(city, bounds, 2.0, PLAIN, exposure, SEED)
    cloudy = simulate_optical(city, bounds, 2.0, PLAIN.model_copy(update={"cloud_share": 0.3}), exposure, SEED)
    assert clear.clouds is None
    assert cloudy.clouds is not None
    assert (cloudy.clouds == CLOUD).mean() == pytest.approx(0.3, abs=0.01)
    change = cloudy.values[1].astype(int) - clear.values[1]
    assert (np.abs(change[cloudy.clouds == CLEAR]) < 25).all()
    assert change[cloudy.clouds == CLOUD].mean() > 50
    assert change[cloudy.clouds == CLOUD_SHADOW].mean() < -15
