"""Draws for each place: bounds, reproducibility, names of bands, turned towns, side lobes, materials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from pydantic import ValidationError

from overcast.data.catalogs.folder import folder_catalog
from overcast.simulator.dataset.folder import simulate_dataset
from overcast.simulator.options import CityOptions, FootprintOptions, SarOptions, SimulationOptions
from overcast.simulator.radar.scatter import _material_gains
from overcast.simulator.radar.speckle import impulse_response
from overcast.simulator.town.given import read_town
from overcast.simulator.variety import Variety, varied

WIDE = Variety(
    incidence_deg=(20, 55),
    looks=(1, 6),
    noise_floor_db=(-26, -16),
    polarisation=("HH", "VV"),
    band=("X", "C"),
    built_share=(0.2, 0.9),
)


def options(**changes: Any) -> SimulationOptions:
    given = {"places": 40, "place_m": 64, "chip_px": 64, "gsd_m": 1.0, "city": CityOptions(margin_m=16), **changes}
    return SimulationOptions(**given)


def test_each_place_has_a_radar_of_its_own_within_the_bounds() -> None:
    wide = options(variety=WIDE)
    drawn = [varied(wide, place) for place in range(40)]
    assert drawn == [varied(wide, place) for place in range(40)]
    angles = [each.sar.incidence_deg for each in drawn]
    assert 20 <= min(angles) < 25
    assert 50 < max(angles) <= 55
    assert {each.sar.looks for each in drawn} == set(range(1, 7))
    assert {each.sar.polarisations for each in drawn} == {("HH",), ("VV",)}
    assert {each.sar.band for each in drawn} == {"X", "C"}
    assert all(0.2 <= each.city.built_share <= 0.9 for each in drawn)
    assert varied(options(seed=1, variety=WIDE), 0) != drawn[0].model_copy(update={"seed": 1})


def test_what_is_not_drawn_stays_and_one_draw_does_not_move_another() -> None:
    angle = options(variety=Variety(incidence_deg=(20, 55)))
    both = options(variety=Variety(incidence_deg=(20, 55), looks=(1, 6)))
    assert varied(angle, 3).sar.incidence_deg == varied(both, 3).sar.incidence_deg
    assert varied(angle, 3).sar.looks == SarOptions().looks
    assert varied(options(), 3) == options()


def test_bounds_are_checked_before_and_after_the_draw() -> None:
    with pytest.raises(ValidationError, match="lower bound first"):
        Variety(incidence_deg=(55, 20))
    with pytest.raises(ValidationError, match="greater than or equal to 20"):
        varied(options(variety=Variety(incidence_deg=(1, 2))), 0)


def test_data_set_of_two_polarisations_has_one_band_of_both_names(tmp_path: Path) -> None:
    root = simulate_dataset(tmp_path / "city", options(places=2, variety=WIDE))
    catalog = folder_catalog(root)
    assert catalog.radiometry.sar.bands == ("HH|VV",)
    assert len(catalog.chips) == 2


@pytest.mark.parametrize(("weighting", "highest_db"), [(0.54, -35.0), (1.0, -12.0)])
def test_weighting_sets_side_lobes_and_keeps_the_width(weighting: float, highest_db: float) -> None:
    fine = impulse_response(40.0, weighting)
    power_db = 20 * np.log10(np.abs(fine) / fine.max() + 1e-9)
    width = np.count_nonzero(power_db > -3.01)
    assert width == pytest.approx(40, abs=2)
    first_null = len(fine) // 2 + int(np.argmax(np.diff(power_db[len(fine) // 2 :]) > 0))
    assert power_db[first_null:].max() < highest_db
    assert power_db[first_null:].max() > highest_db - 15


def test_materials_vary_in_decibels_and_stay_where_they_do_not() -> None:
    rng = np.random.default_rng(0)
    surfaces, mechanisms = _material_gains(0.0, rng)
    assert (surfaces == 1).all()
    assert (mechanisms == 1).all()
    draws = [np.concatenate(_material_gains(3.0, rng)) for _ in range(200)]
    assert np.std(10 * np.log10(draws)) == pytest.approx(3, rel=0.05)


def test_a_turned_town_keeps_its_shapes(tmp_path: Path) -> None:
    path = tmp_path / "town.gpkg"
    shapes = [shapely.box(0, 0, 30, 10), shapely.box(50, 0, 60, 10)]
    gpd.GeoDataFrame({"height": [5.0, 8.0]}, geometry=shapes, crs="EPSG:28992").to_file(path)
    plain, turned = (
        read_town(FootprintOptions(file=str(path), height="height", turn_deg=turn)).buildings for turn in (0, 90)
    )
    assert [each.outline.area for each in turned] == pytest.approx([each.outline.area for each in plain])
    left, bottom, right, top = turned[0].outline.bounds
    assert (right - left, top - bottom) == pytest.approx((10, 30))
