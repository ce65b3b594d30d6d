import numpy as np
import pytest
import rasterio
import shapely
from known import known

from overcast.choices import SimulationPreset
from overcast.data.catalogs.folder import folder_catalog
from overcast.raster.radiometry import Unit
from overcast.raster.sources import Georeference
from overcast.raster.units import RadarSide
from overcast.simulator.city.geometry import Extent, Surface
from overcast.simulator.dataset.folder import simulate_dataset
from overcast.simulator.options import CRS, SarOptions, SimulationOptions, preset
from overcast.simulator.radar.geometry import RadarFrame, radar_grid
from overcast.simulator.radar.image import Strip, form_image
from overcast.simulator.radar.materials import Mechanism, diffuse_table
from overcast.simulator.radar.scatter import expected_power
from overcast.simulator.sampling import between_nodes, block_mean, finer, supersampling
from overcast.simulator.scene import label_mask, rasterize_city
from overcast.simulator.town.footprints import city_of

DECLARED = {
    SimulationPreset.SPACENET6: (0.5, ("HH", "HV", "VH", "VV")),
    SimulationPreset.DEMO: (1.0, ("HH", "HV", "VH", "VV")),
    SimulationPreset.GF3: (1.0, ("HH",)),
    SimulationPreset.SENTINEL1: (10.0, ("VV", "VH")),
}


def shrunk(name: SimulationPreset) -> SimulationOptions:
    """The preset on one small place."""
    full = preset(name)
    chip = 64 if full.gsd_m < 5 else 48
    small = {"places": 1, "scenes": 0, "chip_px": chip, "place_m": chip * full.gsd_m, "seed": 3}
    return full.model_copy(update=small)


@pytest.mark.parametrize("name", SimulationPreset)
def test_each_preset_writes_a_data_set_that_the_folder_catalog_reads(name, tmp_path):
    root = simulate_dataset(tmp_path / "city", shrunk(name))
    catalog = folder_catalog(root)
    gsd_m, bands = DECLARED[name]
    sar = catalog.radiometry.sar
    assert (sar.gsd_m, sar.bands, sar.unit, sar.nodata) == (gsd_m, bands, Unit.DECIBEL, 0.0)
    assert known(catalog.radiometry.optical).gsd_m == gsd_m
    assert catalog.simulated
    assert len(catalog.chips) == 1
    with rasterio.open(next((root / "sar").iterdir())) as source:
        assert source.res == (gsd_m, gsd_m)
        assert source.descriptions == bands
        values = source.read()
    assert np.isfinite(values).all()
    held = (values != 0).all(0)
    assert np.array_equal(held, (values != 0).any(0))
    low, high = (-30, 0) if name in (SimulationPreset.GF3, SimulationPreset.SENTINEL1) else (15, 45)
    assert low < np.median(values[0][held]) < high


@pytest.mark.parametrize("name", SimulationPreset)
def test_speckle_of_each_preset_has_its_looks(name):
    """mean^2 / variance of uniform ground; neighbours are correlated, so fewer pixels count than there are."""
    sar = preset(name).sar
    power = np.zeros((3, 400, 400), np.float32)
    power[Mechanism.VOLUME] = 0.1
    steady = sar.model_copy(update={"ripple_db": 0.0, "noise_floor_db": -60.0})
    strip = Strip(RadarSide.NORTH, (0.0, 0.0), (0.0, 0.0, 0.0, 0.0), (0.0, 1.0), None)
    bands = form_image(power, steady, strip, np.random.default_rng(2)).reshape(len(sar.polarisations), -1)
    looks = bands.astype(float).mean(1) ** 2 / bands.astype(float).var(1)
    independent = bands.shape[1] / max(1.0, sar.resolution_px) ** 2
    sigma = sar.looks * np.sqrt((2 + 2 / sar.looks) / independent)
    assert (np.abs(looks - sar.looks) < 3 * sigma).all()


def test_coarse_images_are_formed_on_cells_of_two_metres():
    assert [supersampling(gsd_m) for gsd_m in (0.5, 1.0, 2.0, 2.5, 3.0, 10.0)] == [1, 1, 1, 2, 2, 5]
    grid = Georeference(4, 6, rasterio.Affine(10, 0, 100, 0, -10, 500), CRS)
    inner = finer(grid, 1, 5)
    assert (inner.height, inner.width, inner.gsd_m) == (30, 40, 2.0)
    assert inner.transform @ (5, 5) == pytest.approx((100, 500))
    values = np.arange(24, dtype=np.float32).reshape(1, 4, 6)
    assert block_mean(values, 2)[0].tolist() == [[3.5, 5.5, 7.5], [15.5, 17.5, 19.5]]


def test_values_between_nodes_are_linear():
    nodes = np.array([[0, 10, 20], [4, 14, 24]], np.float32)
    values = between_nodes(nodes, 4.0, (4, 8))
    rows, cols = np.mgrid[:4, :8]
    np.testing.assert_allclose(values, rows + 2.5 * cols)


def test_coarse_label_is_one_where_half_of_the_pixel_is_footprint():
    bounds = Extent(0, 0, 40, 40, CRS)
    grid = Georeference(4, 4, rasterio.Affine(10, 0, 0, 0, -10, 40), CRS)
    covered = [shapely.box(0, 30, 6, 40), shapely.box(10, 30, 14, 40), shapely.box(20, 20, 30, 30)]
    mask = label_mask(city_of(bounds, covered, [6.0] * 3), grid)
    assert mask.tolist() == [[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_coarse_cells_keep_the_mean_power_of_fine_ones():
    bounds = Extent(0, 0, 400, 400, CRS)
    boxes = [shapely.box(x, y, x + 22, y + 14) for x in range(40, 360, 60) for y in range(40, 360, 55)]
    city = city_of(bounds, boxes, [8.0 + i % 5 for i in range(len(boxes))])
    options = SarOptions(vegetation=False)
    means = []
    for gsd_m in (0.5, 2.0):
        frame = RadarFrame(radar_grid(bounds, gsd_m, RadarSide.NORTH, (0, 0)), options.incidence_deg)
        runs = [
            expected_power(city, rasterize_city(city, frame.grid), frame, options, np.random.default_rng(seed))
            for seed in range(3)
        ]
        means.append(np.mean([run.sum(0).mean() for run in runs]))
    assert 10 * np.log10(means[1] / means[0]) == pytest.approx(0, abs=1.0)


def test_c_band_sees_surfaces_darker_and_looks_deeper_into_crowns():
    x, c = (10 * np.log10(diffuse_table(band)) for band in ("X", "C"))
    assert ((c - x) < -0.9).all()
    assert c[Surface.ASPHALT] - x[Surface.ASPHALT] < c[Surface.FIELD] - x[Surface.FIELD]
    bounds = Extent(0, 0, 100, 100, CRS)
    frame = RadarFrame(radar_grid(bounds, 1.0, RadarSide.NORTH, (0, 0)), 35.0)
    bare = city_of(bounds, [], [], Surface.GRASS)
    scene = rasterize_city(bare, frame.grid)
    scene.canopy[:] = 10.0
    volume = [
        expected_power(bare, scene, frame, SarOptions(band=band), np.random.default_rng(0))[Mechanism.VOLUME].sum()
        for band in ("X", "C")
    ]
    assert volume[1] < volume[0]
