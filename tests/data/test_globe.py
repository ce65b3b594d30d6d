"""Places across coordinate reference systems."""

from pathlib import Path

import pytest
from affine import Affine

from overcast.data.chips import Bounds, Chip
from overcast.data.globe import ground_gsd_m, lonlat, neighbourhoods, regions, require_gsd, size_and_ground
from overcast.errors import InputError, RadiometryError
from overcast.raster.georeference import Georeference

CHIP = Chip("a", "a", (Path("a.tif"),), ())


def around(x: float, y: float, crs: str, half: float) -> Bounds:
    return Bounds(x - half, y - half, x + half, y + half, crs)


def test_one_spot_has_one_position_in_every_crs() -> None:
    places = [around(13.4050, 52.5200, "EPSG:4326", 1e-4), around(391779.26, 5820072.46, "EPSG:32633", 10)]
    (lon, lat), (lon_utm, lat_utm) = lonlat(places)
    assert (lon_utm, lat_utm) == (pytest.approx(lon, abs=1e-4), pytest.approx(lat, abs=1e-4))


def test_neighbours_share_a_cell_and_others_do_not() -> None:
    near, same, far = neighbourhoods([around(x, 52.5, "EPSG:4326", 1e-4) for x in (13.4000, 13.4001, 13.4300)], 1000)
    assert near == same != far


def test_regions_are_chains_of_near_tiles() -> None:
    tokyo = [around(139.70 + i * 0.01, 35.69, "EPSG:4326", 1e-4) for i in range(5)]  # 0.9 km steps
    haneda = [around(139.78, 35.55, "EPSG:4326", 1e-4)]
    found = regions([*tokyo, *haneda], gap_m=1000)
    assert len(set(found[:5])) == 1
    assert found[0] == "+35.69+139.72"
    assert found[5] not in found[:5]
    assert len(set(regions([*tokyo, *haneda], gap_m=800))) == 6


@pytest.mark.parametrize(
    ("crs", "x", "y", "step", "expected"),
    [
        ("EPSG:32631", 593000.0, 5750000.0, 0.5, 0.5),
        ("EPSG:4326", 9.8, 1.85, 4.5724e-6, 0.508),
        ("EPSG:4326", 9.8, 60.0, 4.5724e-6, 0.508 * 0.5**0.5),
        ("EPSG:3857", 1491636.0, 6894700.0, 1.0, 0.608),
    ],
)
def test_the_size_of_a_pixel_is_that_on_the_ground(crs: str, x: float, y: float, step: float, expected: float) -> None:
    grid = Georeference(40, 60, Affine(step, 0, x, 0, -step, y), crs)
    assert ground_gsd_m(grid) == pytest.approx(expected, rel=0.006)


def test_another_pixel_size_than_published_is_refused() -> None:
    grid = Georeference(40, 60, Affine(0.8, 0, 593000.0, 0, -0.8, 5750000.0), "EPSG:32631")
    with pytest.raises(RadiometryError, match=r"a\.tif has pixels of 0\.8 m, but .* 0\.5 m; resample it"):
        require_gsd(CHIP, grid, 0.5)
    require_gsd(CHIP, Georeference(40, 60, Affine.identity(), None), 0.5)


def test_a_chip_without_georeference_is_nowhere() -> None:
    with pytest.raises(InputError, match=r"a\.tif has no georeference, .*; copy it again\."):
        size_and_ground(CHIP, Georeference(40, 60, Affine.identity(), None), "copy it again")
