"""One simulated place: city, optical image, radar image and label on one north-up grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from overcast.raster.sources import Georeference
from overcast.simulator.city.geometry import City, Extent
from overcast.simulator.city.plan import build_city
from overcast.simulator.optical.image import Exposure, draw_exposure, simulate_optical
from overcast.simulator.options import CRS, SimulationOptions
from overcast.simulator.radar.image import Strip, draw_strip, simulate_sar
from overcast.simulator.scene import label_mask
from overcast.simulator.town.tiling import town_bounds, town_city
from overcast.simulator.variety import varied

ORIGIN_M = (500_000.0, 5_600_000.0)
"""Lower left corner of place 0."""
COLUMNS = 64
"""Places per row of the grid of places."""


@dataclass(frozen=True)
class PlaceId:
    """Name and ground of a place."""

    index: int
    """Counts places first, then scenes; seeds the place."""
    name: str
    size_px: int


@dataclass(frozen=True)
class SimulatedPlace:
    """Everything that is written of a place."""

    city: City
    grid: Georeference
    sar: NDArray[np.float32]
    """(P, H, W), nodata 0."""
    optical: NDArray[np.uint8]
    """(4, H, W) red, green, blue, near infrared; of another size where it was asked for in other pixels."""
    clouds: NDArray[np.uint8] | None
    """(H, W): 0 clear, 1 cloud, 2 cloud shadow; None without clouds."""
    mask: NDArray[np.uint8]
    """(H, W): 1 building, 0 other."""
    strip: Strip
    """Side, shift and gains of the radar image, as drawn."""
    exposure: Exposure
    """Light and view of the optical image, as drawn."""


def place_ids(options: SimulationOptions) -> list[PlaceId]:
    """Places that are cut into chips, then scenes."""
    places = [PlaceId(i, f"place{i:04d}", options.place_px) for i in range(options.places)]
    scenes = [PlaceId(options.places + i, f"scene{i:04d}", options.scene_px) for i in range(options.scenes)]
    return places + scenes


def place_bounds(place: PlaceId, options: SimulationOptions) -> Extent:
    """Ground of a place: on a fixed grid, far enough apart that margins do not meet, or a part of the given town."""
    if options.footprints is not None:
        return town_bounds(options)[place.index]
    side = max(options.place_px if options.places else 0, options.scene_px if options.scenes else 0) * options.gsd_m
    pitch = side + max(options.gap_m, 2 * options.city.margin_m)
    left = ORIGIN_M[0] + place.index % COLUMNS * pitch
    bottom = ORIGIN_M[1] + place.index // COLUMNS * pitch
    size = place.size_px * options.gsd_m
    return Extent(left, bottom, left + size, bottom + size, CRS)


def simulate_place(place: PlaceId, options: SimulationOptions, optical_gsd_m: float | None = None) -> SimulatedPlace:
    """Build and image one place. Depends on nothing but its arguments and the place's index.

    With `optical_gsd_m` the optical image has pixels of its own size, of which a whole number covers the place.
    """
    bounds = place_bounds(place, options)
    options = varied(options, place.index)
    seed = np.random.SeedSequence([options.seed, place.index])
    city_seed, strip_seed, sar_seed, exposure_seed, optical_seed = seed.spawn(5)
    if options.footprints is None:
        city = build_city(bounds, options.city, city_seed)
    else:
        city = town_city(bounds, options.footprints, options.city, options.seed)
    strip = draw_strip(options.sar, options.gsd_m, place.index, np.random.default_rng(strip_seed))
    exposure = draw_exposure(options.optical, np.random.default_rng(exposure_seed))
    transform = Affine(options.gsd_m, 0, bounds.left, 0, -options.gsd_m, bounds.top)
    grid = Georeference(place.size_px, place.size_px, transform, bounds.crs)
    image = simulate_optical(city, bounds, optical_gsd_m or options.gsd_m, options.optical, exposure, optical_seed)
    return SimulatedPlace(
        city=city,
        grid=grid,
        sar=simulate_sar(city, bounds, options.gsd_m, options.sar, strip, sar_seed),
        optical=image.values,
        clouds=image.clouds,
        mask=label_mask(city, grid),
        strip=strip,
        exposure=exposure,
    )
