import dataclasses

import numpy as np
import pytest
import shapely

from overcast.raster.radiometry import RadarSide
from overcast.simulator.city.geometry import City, Extent, Surface
from overcast.simulator.options import CRS, SarOptions
from overcast.simulator.radar.geometry import RadarFrame, radar_grid
from overcast.simulator.radar.materials import Mechanism
from overcast.simulator.radar.scatter import expected_power
from overcast.simulator.scene import rasterize_city
from overcast.simulator.town.footprints import city_of

BOUNDS = Extent(0, 0, 100, 100, CRS)
EAST_WEST = (20.0, 50.0, 80.0, 50.0)
"""A line along y = 50 whose left side is north."""


def power(**furniture: list[tuple[float, ...]]) -> tuple[City, np.ndarray]:
    """(3, R, A) power on bare asphalt with the radar in the north: range runs south."""
    bare = city_of(BOUNDS, [], [], ground=Surface.ASPHALT)
    rows = {name: np.array(values, float) for name, values in furniture.items()}
    city = dataclasses.replace(bare, furniture=dataclasses.replace(bare.furniture, **rows))
    frame = RadarFrame(radar_grid(BOUNDS, 0.5, RadarSide.NORTH, (0, 0)), 35.0)
    return city, expected_power(city, rasterize_city(city, frame.grid), frame, SarOptions(), np.random.default_rng(0))


def line_strength(image: np.ndarray) -> float:
    """Sum of double bounce, in cells."""
    return float(image[Mechanism.DOUBLE].sum())


def test_quay_with_water_on_the_radar_side_is_bright_and_the_other_dark():
    _, facing = power(quays=[(*EAST_WEST, 3.0)])
    _, turned = power(quays=[(80.0, 50.0, 20.0, 50.0, 3.0)])
    assert line_strength(facing) > 1000
    assert line_strength(turned) == 0
    rows, cols = np.nonzero(facing[Mechanism.DOUBLE] > 1)
    frame = RadarFrame(radar_grid(BOUNDS, 0.5, RadarSide.NORTH, (0, 0)), 35.0)
    ends = frame.coordinates(np.array([[20.0, 50.0], [80.0, 50.0]])) / 0.5
    assert abs(rows.mean() - ends[:, 0].mean()) <= 1
    assert np.ptp(cols) == pytest.approx(120, abs=2)


def test_quay_return_grows_with_its_height():
    low, high = (line_strength(power(quays=[(*EAST_WEST, height)])[1]) for height in (2.0, 4.0))
    assert high == pytest.approx(2 * low, rel=1e-6)


def test_rails_shine_only_at_right_angles_to_the_look():
    across, along, slanted = (
        line_strength(power(rails=[line])[1])
        for line in (EAST_WEST, (50.0, 20.0, 50.0, 80.0), (30.0, 30.0, 70.0, 60.0))
    )
    assert across > 50
    assert along == 0
    assert slanted < 1e-3 * across


def test_lattice_nodes_are_laid_over_by_their_height():
    bare = power()[1]
    images = [power(lattice=[(50.0, 50.0, z, 100.0)])[1][Mechanism.ODD] - bare[Mechanism.ODD] for z in (0.0, 14.0)]
    rows = [float((image.clip(0).sum(axis=1) * np.arange(len(image))).sum() / image.clip(0).sum()) for image in images]
    assert rows[0] - rows[1] == pytest.approx(14.0 / np.tan(np.radians(35)) / 0.5, abs=0.1)
    assert images[0].sum() == pytest.approx(100.0 / 0.25, rel=1e-3)


def test_a_house_hides_the_quay_behind_it():
    bare = city_of(BOUNDS, [], [])
    quays = np.array([(*EAST_WEST, 3.0)])
    frame = RadarFrame(radar_grid(BOUNDS, 0.5, RadarSide.NORTH, (0, 0)), 35.0)
    sums = []
    for houses in ([], [shapely.box(15, 52, 85, 60)]):
        city = city_of(BOUNDS, houses, [20.0] * len(houses))
        image = []
        for lines in (bare.furniture.quays, quays):
            full = dataclasses.replace(city, furniture=dataclasses.replace(city.furniture, quays=lines))
            rng = np.random.default_rng(0)
            image.append(
                line_strength(expected_power(full, rasterize_city(full, frame.grid), frame, SarOptions(), rng))
            )
        sums.append(image[1] - image[0])
    assert sums[0] > 1000
    assert abs(sums[1]) < 1e-3 * sums[0]
