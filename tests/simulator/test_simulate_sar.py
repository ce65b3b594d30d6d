import numpy as np
import pytest
import shapely
from shapely import Polygon
from shapely.affinity import rotate

from overcast.raster.radiometry import RadarSide, Unit
from overcast.simulator.city.geometry import Extent, Surface
from overcast.simulator.options import CRS, SarOptions
from overcast.simulator.radar.geometry import QUARTER_TURNS, RadarFrame, onto_map, radar_grid
from overcast.simulator.radar.image import Strip, draw_strip, form_image, simulate_sar
from overcast.simulator.radar.materials import COPOL_COHERENCE, HH_VV_HV, Mechanism
from overcast.simulator.radar.scatter import expected_power
from overcast.simulator.radar.speckle import (
    cholesky_factors,
    covariance,
    draw_looks,
    expectation,
    focused_fields,
    impulse_response,
    receiver,
)
from overcast.simulator.scene import rasterize_city
from overcast.simulator.town.footprints import city_of

GSD_M = 0.5
BOUNDS = Extent(0, 0, 150, 150, CRS)
NORTH, SOUTH = RadarSide.NORTH, RadarSide.SOUTH
CLEAN = SarOptions(
    looks=1,
    speckle=False,
    noise_floor_db=-60,
    cross_noise_db=0,
    noise_drift_db=0,
    noise_correlation=0,
    hv_crosstalk_db=-80,
    vh_crosstalk_db=-80,
    gain_drift_db=0,
    cross_drift_db=0,
    ripple_db=0,
    misregistration_px=0,
    wedge_share=0,
    unit=Unit.LINEAR_POWER,
)
BOX = shapely.box(60, 60, 90, 80)  # rows 140..180 of a north-up image of 300 rows


def strip(look: RadarSide = NORTH, wedge: tuple[float, float] | None = None) -> Strip:
    return Strip(look, (0.0, 0.0), (0.0, 0.0, 0.0, 0.0), (0.0, 1.0), wedge)


def power_of(
    footprint: Polygon | None, height: float, options: SarOptions = CLEAN, look: RadarSide = NORTH
) -> np.ndarray:
    """(3, R, A) power by mechanism in the radar frame."""
    city = city_of(BOUNDS, [footprint] if footprint else [], [height] if footprint else [], Surface.PAVING)
    frame = RadarFrame(radar_grid(BOUNDS, GSD_M, look, (0, 0)), options.incidence_deg)
    return expected_power(city, rasterize_city(city, frame.grid), frame, options, np.random.default_rng(0))


@pytest.mark.parametrize("incidence", [30.0, 35.0, 45.0, 55.0])
@pytest.mark.parametrize("height", [6.0, 15.0])
def test_layover_reaches_h_over_tan_towards_the_radar(incidence, height):
    options = CLEAN.model_copy(update={"incidence_deg": incidence, "double_bounce": False})
    bright = power_of(BOX, height, options).sum(0)[:, 150] - power_of(None, 0, options).sum(0)[:, 150]
    first = np.flatnonzero(bright > 0.3 * np.median(bright[bright > 0])).min()  # each point is shared by two cells
    assert abs(first - (140 - height / np.tan(np.radians(incidence)) / GSD_M)) <= 1


@pytest.mark.parametrize("incidence", [30.0, 35.0, 45.0, 55.0])
@pytest.mark.parametrize("height", [6.0, 15.0])
def test_shadow_reaches_h_tan_behind(incidence, height):
    options = CLEAN.model_copy(update={"incidence_deg": incidence})
    dark = power_of(BOX, height, options).sum(0)[180:, 150] == 0
    length = np.argmin(dark)  # first lit ground behind the far wall
    assert dark[0]
    assert abs(length - height * np.tan(np.radians(incidence)) / GSD_M) <= 1


@pytest.mark.parametrize("look", list(RadarSide))
def test_layover_falls_towards_the_radar_and_shadow_away(look):
    square = shapely.box(65, 65, 85, 85)
    city = city_of(BOUNDS, [square], [10.0], Surface.PAVING)
    image = simulate_sar(city, BOUNDS, GSD_M, CLEAN, strip(look), np.random.SeedSequence(0))[0]
    nearest_first = np.rot90(image, QUARTER_TURNS[look])
    profile = nearest_first[:, 140:160].mean(1)  # the square covers 130..170
    ground = np.median(profile)
    assert profile[130 - 20 : 130].mean() > 3 * ground
    assert profile[171:182].max() < 0.01 * ground
    assert profile[185:].mean() == pytest.approx(ground, rel=0.3)


def test_double_bounce_line_lies_at_the_wall_foot_that_faces_the_radar():
    double = power_of(BOX, 10.0)[Mechanism.DOUBLE]
    across = slice(130, 170)
    line = double[:, across].mean(1)
    assert line.argmax() in (139, 140)  # the box begins between rows 139 and 140
    assert line[139:141].sum() > 20 * line[120:138].sum()
    assert line[170:].sum() < 1e-3 * line.sum()  # none at the far wall
    reverse = power_of(BOX, 10.0, look=SOUTH)[Mechanism.DOUBLE][:, across].mean(1)
    assert reverse.argmax() in (119, 120)  # seen from the south it lies on the other wall


def test_double_bounce_falls_off_with_aspect():
    strengths = [power_of(rotate(BOX, angle), 10.0)[Mechanism.DOUBLE].sum() for angle in (0, 5, 15, 40)]
    assert strengths[0] > 1.3 * strengths[1] > 2 * strengths[2]
    assert strengths[2] > strengths[3] > 0


def test_double_bounce_grows_with_height_and_needs_a_lit_wall():
    low, high = (power_of(BOX, height)[Mechanism.DOUBLE].sum() for height in (5.0, 10.0))
    assert high == pytest.approx(2 * low, rel=0.05)
    hidden = city_of(BOUNDS, [BOX, shapely.box(60, 82, 90, 90)], [6.0, 30.0])
    frame = RadarFrame(radar_grid(BOUNDS, GSD_M, NORTH, (0, 0)), 35.0)
    double = expected_power(hidden, rasterize_city(hidden, frame.grid), frame, CLEAN, np.random.default_rng(0))[1]
    assert double[135:145].sum() < 0.01 * double.sum()  # the low box stands in the high one's shadow


def test_power_of_layover_adds_up():
    """Ground, wall and roof that fall into one cell add as power: laid over, nothing is lost or gained."""
    options = CLEAN.model_copy(update={"shadow": False, "double_bounce": False})
    flat = options.model_copy(update={"layover": False})
    assert power_of(BOX, 8.0, options).sum() == pytest.approx(power_of(BOX, 8.0, flat).sum(), rel=1e-3)


def test_party_walls_return_nothing():
    """Two houses of one height that share a wall return as much as one house of their size."""
    halves = city_of(BOUNDS, [shapely.box(60, 60, 90, 70), shapely.box(60, 70, 90, 80)], [8.0, 8.0])
    frame = RadarFrame(radar_grid(BOUNDS, GSD_M, NORTH, (0, 0)), 35.0)
    double = expected_power(halves, rasterize_city(halves, frame.grid), frame, CLEAN, np.random.default_rng(0))[1]
    assert double[155:165, 130:170].sum() < 0.02 * double[138:142, 130:170].sum()


def uniform(options: SarOptions, mechanism: Mechanism = Mechanism.VOLUME, size: int = 500) -> np.ndarray:
    power = np.zeros((3, size, size), np.float32)
    power[mechanism] = 0.1
    return form_image(power, options, strip(), np.random.default_rng(5))


@pytest.mark.parametrize("looks", [1, 3, 8])
def test_speckle_has_the_declared_looks(looks):
    """mean^2 / variance of a uniform field is the number of looks; relative deviation sqrt((2 + 2 / L) / N)."""
    options = CLEAN.model_copy(update={"speckle": True, "looks": looks, "resolution_px": 0})
    bands = uniform(options).reshape(4, -1)
    measured = bands.mean(1) ** 2 / bands.var(1)
    sigma = looks * np.sqrt((2 + 2 / looks) / bands.shape[1])
    assert (np.abs(measured - looks) < 3 * sigma).all()


def test_impulse_response_keeps_looks_and_power_and_correlates_neighbours():
    options = CLEAN.model_copy(update={"speckle": True, "looks": 2, "resolution_px": 1.5})
    sharp = options.model_copy(update={"resolution_px": 0})
    wide, narrow = (uniform(each)[0].astype(float) for each in (options, sharp))
    assert wide.mean() == pytest.approx(narrow.mean(), rel=0.02)
    assert wide.mean() ** 2 / wide.var() == pytest.approx(2, rel=0.05)
    neighbour = [np.corrcoef(image[:, 1:].ravel(), image[:, :-1].ravel())[0, 1] for image in (wide, narrow)]
    assert neighbour[0] > 0.25
    assert abs(neighbour[1]) < 0.01


def test_impulse_response_has_unit_energy_and_the_given_width():
    kernel = impulse_response(4.0)
    assert (kernel**2).sum() == pytest.approx(1)
    power = (kernel / kernel.max()) ** 2
    assert np.count_nonzero(power > 0.5) in (3, 5)


@pytest.mark.parametrize("row", [2, 127, 128, 198])
def test_a_point_target_shows_the_impulse_response(row):
    options = CLEAN.model_copy(update={"resolution_px": 2.0})
    power = np.zeros((3, 200, 40), np.float32)
    power[Mechanism.ODD, row, 20] = 1e5  # far above the noise
    looks = [b[0] for b in focused_fields(power, options, receiver(options), np.random.default_rng(0))]
    image = np.abs(np.concatenate(looks, axis=1)[0]) ** 2
    assert image.shape == (200, 40)
    kernel = impulse_response(2.0)
    reach = len(kernel) // 2
    whole = np.zeros((200 + 2 * reach, 40))
    whole[row : row + len(kernel), 20 - reach : 21 + reach] = np.outer(kernel, kernel) ** 2
    expected = whole[reach:-reach] * image[row, 20] / kernel[reach] ** 4
    np.testing.assert_allclose(image, expected, atol=2e-3 * image.max())


def test_speckle_is_seamless_across_blocks():
    options = CLEAN.model_copy(update={"speckle": True, "resolution_px": 1.5})
    image = 10 * np.log10(uniform(options, size=300)[0])
    rows = [np.corrcoef(image[i], image[i + 1])[0, 1] for i in range(299)]
    assert abs(rows[127] - np.mean(rows)) < 4 * np.std(rows)  # blocks of 128 rows
    assert np.mean(rows) > 0.25


@pytest.mark.parametrize("mechanism", list(Mechanism))
def test_polarimetry_follows_the_mechanism(mechanism):
    options = CLEAN.model_copy(update={"speckle": True, "looks": 4, "resolution_px": 0})
    hh, hv, vh, vv = uniform(options, mechanism).reshape(4, -1).mean(1) / 0.1
    expected = HH_VV_HV[mechanism]
    np.testing.assert_allclose((hh, vv, hv), expected, rtol=0.02)
    assert hv == pytest.approx(vh, rel=0.01)  # reciprocity in expectation


@pytest.mark.parametrize("mechanism", list(Mechanism))
def test_cholesky_factors_rebuild_the_covariance(mechanism):
    power = np.zeros((3, 1, 1), np.float32)
    power[mechanism] = 2.0
    noisy = CLEAN.model_copy(update={"noise_floor_db": -3.0, "cross_noise_db": 2.0, "noise_correlation": 0.9})
    sensor = receiver(noisy)
    f = {name: float(factor[0, 0]) for name, factor in cholesky_factors(covariance(power, sensor)).items()}
    lower = np.array(
        [[f["11"], 0, 0, 0], [f["21"], f["22"], 0, 0], [f["31"], f["32"], f["33"], 0], [0, 0, f["43"], f["44"]]]
    )
    hh, vv, hv = HH_VV_HV[mechanism]
    co, cross = sensor.co_noise, sensor.cross_noise
    shared = 0.9 * np.sqrt(co * cross)
    copolar = 2 * COPOL_COHERENCE[mechanism] * np.sqrt(hh * vv) + 0.9 * co
    expected = [
        [2 * hh + co, copolar, shared, 0],
        [copolar, 2 * vv + co, shared, 0],
        [shared, shared, 2 * hv + cross, 2 * hv],
        [0, 0, 2 * hv, 2 * hv + cross],
    ]
    np.testing.assert_allclose(lower @ lower.T, expected, atol=1e-5)


def test_noise_is_shared_by_hh_hv_and_vv_but_not_vh():
    """On the dark water of the complex SpaceNet 6 chips the first three agree almost entirely, VH with none."""
    options = CLEAN.model_copy(update={"noise_floor_db": -10.0, "noise_correlation": 0.95})
    power = np.zeros((3, 200, 200), np.float32)
    hh, hv, vh, vv = draw_looks(power, 1, receiver(options), np.random.default_rng(0)).reshape(4, -1)

    def coherence(a, b):
        return abs(np.vdot(a, b)) / np.sqrt(np.vdot(a, a).real * np.vdot(b, b).real)

    assert all(coherence(a, b) == pytest.approx(0.95, abs=0.01) for a, b in ((hh, vv), (hh, hv), (hv, vv)))
    assert all(coherence(vh, other) < 0.02 for other in (hh, hv, vv))


@pytest.mark.parametrize("mechanism", list(Mechanism))
def test_expected_power_of_each_channel_equals_the_mean_of_the_draws(mechanism):
    options = CLEAN.model_copy(
        update={"noise_floor_db": -12.0, "noise_correlation": 0.9, "hv_crosstalk_db": -6.0, "vh_crosstalk_db": -9.0}
    )
    sensor = receiver(options, (1.0, 3.0), (0.5, 2.5))
    power = np.zeros((3, 300, 300), np.float32)
    power[mechanism] = 0.1
    looks = draw_looks(power, 4, sensor, np.random.default_rng(1))
    measured = (np.abs(looks) ** 2).mean((0, 2, 3))
    np.testing.assert_allclose(measured, expectation(power, sensor)[:, 0, 0], rtol=0.02)


def test_crosstalk_and_noise_have_the_declared_level():
    power = np.zeros((3, 1, 1), np.float32)
    power[Mechanism.ODD] = 1.0
    clean = expectation(power, receiver(CLEAN))[:, 0, 0]
    options = CLEAN.model_copy(update={"hv_crosstalk_db": -10.0, "vh_crosstalk_db": -20.0})
    quarter = (np.pi / 2, np.pi / 2)  # the two leaking channels add as power
    leaking = expectation(power, receiver(options, leak_phase=quarter))[:, 0, 0]
    mean_copolar = (clean[0] + clean[3]) / 2
    np.testing.assert_allclose(leaking - clean, [0, 0.1 * mean_copolar, 0.01 * mean_copolar, 0], atol=1e-5)
    sensor = receiver(CLEAN.model_copy(update={"noise_floor_db": -20.0, "cross_noise_db": 3.0}), (1.0, -2.0))
    assert 10 * np.log10([sensor.co_noise, sensor.cross_noise]) == pytest.approx([-19, -19])


def test_strips_differ_in_gain_and_noise():
    strips = [draw_strip(SarOptions(), 0.5, i, np.random.default_rng(i)) for i in range(400)]
    gains, noise = np.array([s.gain_db for s in strips]), np.array([s.noise_db for s in strips])
    own = SarOptions().gain_drift_db
    assert gains[:, 0].std() == pytest.approx(np.hypot(own, own / 2), rel=0.15)
    assert (gains[:, 1] - gains[:, 0]).std() == pytest.approx(
        np.hypot(own / np.sqrt(2), SarOptions().cross_drift_db), rel=0.15
    )
    assert noise.std(0) == pytest.approx(SarOptions().noise_drift_db, rel=0.15)
    steady = SarOptions(gain_drift_db=0, cross_drift_db=0, noise_drift_db=0)
    calm = draw_strip(steady, 0.5, 0, np.random.default_rng(0))
    assert not any(calm.gain_db + calm.noise_db)


def test_shadow_holds_only_noise():
    options = CLEAN.model_copy(update={"noise_floor_db": -20.0})
    city = city_of(BOUNDS, [BOX], [15.0])
    image = simulate_sar(city, BOUNDS, GSD_M, options, strip(), np.random.SeedSequence(0))
    assert image[0, 185, 150] == pytest.approx(0.01, rel=1e-4)


def test_wedge_is_exactly_nodata_in_all_bands_and_the_rest_is_not():
    options = SarOptions()
    image = simulate_sar(
        city_of(BOUNDS, [], []), BOUNDS, 1.0, options, strip(wedge=(0.3, 0.1)), np.random.SeedSequence(0)
    )
    empty = (image == 0).all(0)
    assert np.array_equal(empty, (image == 0).any(0))
    assert empty.mean() == pytest.approx(0.3, abs=0.02)
    assert empty[0, 0] == empty[0, -1] == np.True_
    assert not empty[-1].any()
    turned = simulate_sar(
        city_of(BOUNDS, [], []), BOUNDS, 1.0, options, strip(SOUTH, (0.3, 0.1)), np.random.SeedSequence(0)
    )
    assert (turned[:, -1] == 0).all()  # the wedge turns with the strip


def test_strip_faults_shift_and_gain():
    options = CLEAN.model_copy(update={"unit": Unit.DECIBEL})
    city = city_of(BOUNDS, [BOX], [10.0])
    straight = simulate_sar(city, BOUNDS, GSD_M, options, strip(), np.random.SeedSequence(0))
    shifted = Strip(NORTH, (3.0, 0.0), (2.0, 2.0, 2.0, 2.0), (0.0, 1.0), None)
    moved = simulate_sar(city, BOUNDS, GSD_M, options, shifted, np.random.SeedSequence(0))
    rows = [int(image[0, :, 150].argmax()) for image in (straight, moved)]
    assert rows[0] == rows[1]
    left = [int(np.flatnonzero(image[0, 139] > np.median(image[0]) + 15).min()) for image in (straight, moved)]
    assert left[0] - left[1] == 6  # what the image shows at x lies 3 m further east on the map
    flat = simulate_sar(city_of(BOUNDS, [], []), BOUNDS, GSD_M, options, shifted, np.random.SeedSequence(0))
    even = simulate_sar(city_of(BOUNDS, [], []), BOUNDS, GSD_M, options, strip(), np.random.SeedSequence(0))
    np.testing.assert_allclose((flat - even)[:, :, :290], 2.0, atol=1e-3)  # beyond it the ground is another


def test_switches_remove_their_effect():
    full = power_of(BOX, 10.0).sum(0)
    assert (full == 0).any()
    no_shadow = power_of(BOX, 10.0, CLEAN.model_copy(update={"shadow": False})).sum(0)
    assert (no_shadow > 0).mean() > (full > 0).mean()
    feet = [
        power_of(BOX, 10.0, CLEAN.model_copy(update={"double_bounce": on}))[1, 139:141].sum() for on in (True, False)
    ]
    assert feet[1] < 0.02 * feet[0]
    upright = power_of(BOX, 10.0, CLEAN.model_copy(update={"layover": False, "double_bounce": False})).sum(0)
    bare = power_of(None, 0.0).sum(0)
    np.testing.assert_allclose(upright[:138], bare[:138], rtol=1e-5)


def test_mixed_looks_alternate_between_places():
    looks = [
        draw_strip(SarOptions(radar_side="mixed"), 0.5, place, np.random.default_rng(0)).radar_side
        for place in range(4)
    ]
    assert looks == [NORTH, SOUTH, NORTH, SOUTH]


def test_one_switch_for_each_fault_of_a_strip():
    faults = {
        "gain_drift_db": lambda s: s.gain_db[0],
        "cross_drift_db": lambda s: s.gain_db[1],
        "noise_drift_db": lambda s: s.noise_db[0],
        "misregistration_px": lambda s: s.shift_m[0],
        "wedge_share": lambda s: 0 if s.wedge is None else 1,
    }
    off = dict.fromkeys(faults, 0.0)
    for name, fault in faults.items():
        only = CLEAN.model_copy(update=off | {name: 0.4})
        strips = {
            on: [draw_strip(o, 0.5, 0, np.random.default_rng(i)) for i in range(20)]
            for on, o in ((True, only), (False, CLEAN.model_copy(update=off)))
        }
        assert any(fault(each) != 0 for each in strips[True])
        assert all(fault(each) == 0 for each in strips[False])
        assert all(
            other(each) == 0
            for key, other in faults.items()
            if key not in (name, "cross_drift_db")
            for each in strips[True]
        )


def test_layover_onto_a_neighbour_has_a_switch():
    """A tower behind a low house is laid over onto its roof; without layover the roof keeps its own return."""
    low, tower = shapely.box(60, 80, 90, 90), shapely.box(60, 66, 90, 78)
    options = CLEAN.model_copy(update={"double_bounce": False})

    def roof(footprints: list[Polygon], heights: list[float], layover: bool) -> float:
        city = city_of(BOUNDS, footprints, heights, Surface.PAVING)
        frame = RadarFrame(radar_grid(BOUNDS, GSD_M, NORTH, (0, 0)), 35.0)
        chosen = options.model_copy(update={"layover": layover, "shadow": False})
        power = expected_power(city, rasterize_city(city, frame.grid), frame, chosen, np.random.default_rng(0))
        rows = slice(122, 138) if not layover else slice(118, 130)
        return float(power.sum(0)[rows, 125:175].mean())

    assert roof([low, tower], [4.0, 25.0], True) > 2 * roof([low], [4.0], True)
    assert roof([low, tower], [4.0, 25.0], False) == pytest.approx(roof([low], [4.0], False), rel=0.05)


@pytest.mark.parametrize("look", [NORTH, RadarSide.EAST])
@pytest.mark.parametrize("offset", [-45.0, -20.0, 30.0])
def test_layover_falls_towards_a_radar_that_stands_askew(look, offset):
    """The mean place of what a post adds lies in the radar's true azimuth, about half of h / tan(incidence) away."""
    options = CLEAN.model_copy(update={"look_offset_deg": offset, "double_bounce": False, "shadow": False})
    post = shapely.box(74, 74, 76, 76)
    cities = [city_of(BOUNDS, [post], [12.0], Surface.PAVING), city_of(BOUNDS, [], [], Surface.PAVING)]
    high, flat = (
        simulate_sar(city, BOUNDS, GSD_M, options, strip(look), np.random.SeedSequence(0))[0].astype(float)
        for city in cities
    )
    gain = high > 1.3 * flat
    rows, cols = np.mgrid[:300, :300] + 0.5
    east, north = (gain * (cols - 150)).sum() / gain.sum(), -(gain * (rows - 150)).sum() / gain.sum()
    azimuth = np.degrees(np.arctan2(east, north))
    assert azimuth == pytest.approx({NORTH: 0.0, RadarSide.EAST: 90.0}[look] + offset, abs=3)
    assert np.hypot(east, north) * GSD_M == pytest.approx(12 / np.tan(np.radians(35)) / 2, rel=0.2)


def test_radar_askew_keeps_the_mean_and_covers_the_map():
    city = city_of(BOUNDS, [], [], Surface.GRASS)
    askew = CLEAN.model_copy(update={"look_offset_deg": 33.0, "looks": 2})
    speckled, expected = (
        simulate_sar(
            city, BOUNDS, GSD_M, askew.model_copy(update={"speckle": on}), strip(), np.random.SeedSequence(1)
        ).astype(float)
        for on in (True, False)
    )
    assert speckled.shape == (4, 300, 300)
    np.testing.assert_allclose(speckled.mean((1, 2)) / expected.mean((1, 2)), 1, atol=0.02)
    for corner in (np.s_[:, :30, :30], np.s_[:, -30:, :30], np.s_[:, :30, -30:], np.s_[:, -30:, -30:]):
        np.testing.assert_allclose(speckled[corner].mean((1, 2)) / expected[corner].mean((1, 2)), 1, atol=0.2)


def test_a_vanishing_offset_gives_the_direct_image():
    """The interpolated path is another one, so the two agree only where both are right about every pixel's place."""
    city = city_of(BOUNDS, [BOX], [10.0], Surface.PAVING)
    images = []
    for offset in (0.0, 1e-9):
        frame = RadarFrame(radar_grid(BOUNDS, GSD_M, NORTH, (1.5, -2.0), offset), 35.0)
        scene = rasterize_city(city, frame.grid)
        ground = radar_grid(BOUNDS, GSD_M, NORTH, (1.5, -2.0))
        heights = scene.solid[None]
        images.append(heights[0] if offset == 0 else onto_map(heights, frame.grid, ground, order=1)[0])
    np.testing.assert_allclose(images[1], images[0], atol=1e-3)
    default, explicit = (
        simulate_sar(city, BOUNDS, 1.0, options, strip(), np.random.SeedSequence(2))
        for options in (SarOptions(), SarOptions(look_offset_deg=0.0))
    )
    assert default.tobytes() == explicit.tobytes()


def test_wedge_turns_with_a_radar_askew():
    options = CLEAN.model_copy(update={"look_offset_deg": 30.0})
    city = city_of(BOUNDS, [], [])
    image = simulate_sar(city, BOUNDS, 1.0, options, strip(wedge=(0.4, 0.0)), np.random.SeedSequence(0))
    empty = (image == 0).all(0)
    assert np.array_equal(empty, (image == 0).any(0))
    assert empty[0, -1]
    assert not empty[-1, 0]
    assert empty[0].sum() > empty[:, -1].sum() > 0  # the nearest corner is the north-eastern one


def test_same_seed_same_image():
    city = city_of(BOUNDS, [BOX], [10.0])
    images = [simulate_sar(city, BOUNDS, 1.0, SarOptions(), strip(), np.random.SeedSequence(s)) for s in (4, 4, 5)]
    assert np.array_equal(images[0], images[1])
    assert not np.array_equal(images[0], images[2])
