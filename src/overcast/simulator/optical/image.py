"""The optical image of a city: materials in sun and shade, seen obliquely, blurred, noisy, 8 bit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from overcast.raster.sources import Georeference
from overcast.simulator.city.geometry import City, Extent, Surface
from overcast.simulator.optical.clouds import CLOUD_LIGHT, draw_clouds
from overcast.simulator.optical.light import azimuth_vector, cast_shadow, oblique_view
from overcast.simulator.options import OpticalOptions
from overcast.simulator.sampling import between_nodes, block_mean, finer, supersampling
from overcast.simulator.scene import Scene, rasterize_city

Layer = NDArray[np.float32]
BANDS = ("red", "green", "blue", "nir")

REFLECTANCE: dict[Surface, tuple[tuple[float, float, float, float], tuple[float, float, float, float]]] = {
    Surface.ASPHALT: ((0.13, 0.13, 0.125, 0.15), (0.23, 0.225, 0.21, 0.25)),
    Surface.PAVING: ((0.21, 0.18, 0.155, 0.27), (0.32, 0.27, 0.23, 0.36)),
    Surface.CONCRETE: ((0.21, 0.20, 0.185, 0.26), (0.31, 0.30, 0.275, 0.36)),
    Surface.GRASS: ((0.085, 0.12, 0.055, 0.42), (0.14, 0.16, 0.085, 0.34)),
    Surface.FIELD: ((0.10, 0.13, 0.06, 0.45), (0.21, 0.185, 0.125, 0.32)),
    Surface.SOIL: ((0.20, 0.16, 0.11, 0.28), (0.34, 0.28, 0.20, 0.38)),
    Surface.GRAVEL: ((0.25, 0.24, 0.22, 0.30), (0.38, 0.36, 0.33, 0.42)),
    Surface.WATER: ((0.05, 0.075, 0.06, 0.015), (0.09, 0.11, 0.08, 0.025)),
    Surface.TILE_RED: ((0.22, 0.13, 0.10, 0.32), (0.34, 0.20, 0.145, 0.42)),
    Surface.TILE_DARK: ((0.08, 0.08, 0.08, 0.10), (0.21, 0.19, 0.175, 0.24)),
    Surface.BITUMEN: ((0.10, 0.10, 0.10, 0.12), (0.27, 0.265, 0.255, 0.29)),
    Surface.GRAVEL_ROOF: ((0.19, 0.185, 0.175, 0.25), (0.32, 0.31, 0.29, 0.38)),
    Surface.METAL: ((0.20, 0.215, 0.235, 0.27), (0.46, 0.46, 0.445, 0.48)),
    Surface.VEHICLE: ((0.05, 0.05, 0.06, 0.08), (0.48, 0.48, 0.48, 0.48)),
    Surface.GARDEN: ((0.09, 0.115, 0.06, 0.36), (0.22, 0.20, 0.155, 0.34)),
    Surface.SPORT: ((0.085, 0.145, 0.07, 0.45), (0.13, 0.175, 0.10, 0.40)),
    Surface.BALLAST: ((0.13, 0.125, 0.115, 0.16), (0.24, 0.225, 0.205, 0.27)),
    Surface.PAINTED: ((0.10, 0.10, 0.11, 0.12), (0.50, 0.50, 0.49, 0.50)),
}
"""Reflectance in red, green, blue, near infrared at tone 0 and tone 1."""
PAINT = (
    (0.07, 0.07, 0.08, 0.09),
    (0.32, 0.09, 0.07, 0.36),
    (0.09, 0.15, 0.30, 0.25),
    (0.30, 0.20, 0.11, 0.38),
    (0.13, 0.22, 0.16, 0.28),
    (0.26, 0.27, 0.28, 0.30),
    (0.40, 0.15, 0.07, 0.45),
    (0.14, 0.24, 0.36, 0.32),
    (0.46, 0.45, 0.42, 0.47),
    (0.58, 0.58, 0.57, 0.58),
)
"""Reflectance of painted metal, one colour per tenth of the tone."""
CANOPY_REFLECTANCE = ((0.035, 0.065, 0.025, 0.36), (0.08, 0.11, 0.045, 0.50))
WALL_REFLECTANCE = ((0.22, 0.13, 0.10, 0.28), (0.46, 0.43, 0.38, 0.50))
SKYLIGHT = np.array([0.22, 0.24, 0.27, 0.13], np.float32)
"""Light in shadow relative to full sun on a horizontal surface."""
HAZE_DN = np.array([22.0, 25.0, 25.0, 8.0], np.float32)
GAIN_DN = np.array([395.0, 390.0, 405.0, 300.0], np.float32)
"""Digital numbers per unit of reflected light: the display stretch of an 8-bit product."""


@dataclass(frozen=True)
class OpticalImage:
    """An image and, where clouds were asked for, their true mask."""

    values: NDArray[np.uint8]
    """(4, H, W) red, green, blue, near infrared; never 0."""
    clouds: NDArray[np.uint8] | None
    """(H, W): 0 clear, 1 cloud, 2 cloud shadow."""


@dataclass(frozen=True)
class Exposure:
    """Light and view of one acquisition."""

    sun_azimuth_deg: float
    sun_elevation_deg: float
    view_azimuth_deg: float
    gain: float
    haze: float


def draw_exposure(options: OpticalOptions, rng: np.random.Generator) -> Exposure:
    """Light and view of a place around the options' means."""
    angles = rng.normal(0, options.light_jitter_deg, 3)
    faults = np.exp(rng.normal(0, options.exposure_jitter, 2))
    return Exposure(
        float((options.sun_azimuth_deg + angles[0]) % 360),
        float(np.clip(options.sun_elevation_deg + angles[1] / 2, 10, 90)),
        float((options.view_azimuth_deg + angles[2]) % 360),
        float(faults[0]),
        float(faults[1]),
    )


def simulate_optical(
    city: City, bounds: Extent, gsd_m: float, options: OpticalOptions, exposure: Exposure, seed: np.random.SeedSequence
) -> OpticalImage:
    """The north-up image of `bounds`."""
    rng = np.random.default_rng(seed)
    sky = np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, 0))  # clouds do not depend on the city
    fine = supersampling(gsd_m)
    border = max(0, int(np.floor(min(bounds.left - city.bounds.left, city.bounds.top - bounds.top) / gsd_m)))
    rows, cols = round((bounds.top - bounds.bottom) / gsd_m), round((bounds.right - bounds.left) / gsd_m)
    image_grid = Georeference(rows, cols, Affine(gsd_m, 0, bounds.left, 0, -gsd_m, bounds.top), bounds.crs)
    scene = rasterize_city(city, finer(image_grid, border, fine))
    edge = border * fine
    light = _render(scene, options, exposure, rng)[:, edge : edge + rows * fine, edge : edge + cols * fine]
    light = block_mean(light, fine)
    if options.cloud_share == 0:
        return OpticalImage(_expose(light, options, exposure, rng), None)
    sun = (exposure.sun_azimuth_deg, exposure.sun_elevation_deg)
    clouds = draw_clouds((light.shape[1], light.shape[2]), gsd_m, options.cloud_share, sun, np.random.default_rng(sky))
    for band in range(len(BANDS)):
        shaded = light[band] * (1 - clouds.shadow * (1 - 2 * SKYLIGHT[band]))
        light[band] = shaded + clouds.opacity * (CLOUD_LIGHT[band] - shaded)
    return OpticalImage(_expose(light, options, exposure, rng), clouds.mask())


def _render(scene: Scene, options: OpticalOptions, exposure: Exposure, rng: np.random.Generator) -> Layer:
    """(4, H, W) reflected light of the oblique view."""
    gsd_m = scene.grid.gsd_m
    heights = np.maximum(scene.solid, scene.canopy)
    direct = _sunlight(scene, exposure, rng)
    if options.shadows:
        direct *= ~cast_shadow(heights, gsd_m, exposure.sun_azimuth_deg, exposure.sun_elevation_deg)
    view = oblique_view(heights, gsd_m, options.off_nadir_deg, exposure.view_azimuth_deg)
    texture = _texture(heights.shape, gsd_m, rng) if options.texture else np.ones(heights.shape, np.float32)
    green = scene.canopy > scene.solid
    wall = view.wall & ~green[view.row, view.col]
    wall_sun = _wall_sunlight(exposure)
    facade = 0.75 + 0.25 * ((view.height[wall] / 2.8) % 1 > 0.45)
    at = view.row[wall], view.col[wall]
    colours, walls = colour_tables()
    out = np.empty((4, *heights.shape), np.float32)
    for band in range(4):
        albedo = colours[:, :, band][scene.surface, scene.tone]
        leaf = np.float32(CANOPY_REFLECTANCE[0][band]), np.float32(CANOPY_REFLECTANCE[1][band])
        albedo[green] = leaf[0] + (leaf[1] - leaf[0]) * (0.25 + 0.5 * texture[green] % 1)
        albedo *= texture
        light = albedo * (direct + SKYLIGHT[band])
        out[band] = light[view.row, view.col]
        owner = walls[:, :, band][scene.surface[at], scene.tone[at]]
        out[band][wall] = owner * facade * (wall_sun + SKYLIGHT[band])
    return out


def colour_tables() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(S, 256, 4) reflectance of tops and of walls by surface code and tone."""
    tone = np.linspace(0, 1, 256)[:, None]
    ends = np.array([REFLECTANCE[surface] for surface in Surface])
    tops = ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * tone
    paint = np.array(PAINT)
    tops[Surface.PAINTED] = paint[(tone[:, 0] * (len(paint) - 1e-6)).astype(int)]
    brick = np.array(WALL_REFLECTANCE)
    walls = np.broadcast_to(brick[0] + (brick[1] - brick[0]) * tone, tops.shape).copy()
    for surface in (Surface.PAINTED, Surface.VEHICLE):
        walls[surface] = tops[surface]
    return tops.astype(np.float32), walls.astype(np.float32)


def _sunlight(scene: Scene, exposure: Exposure, rng: np.random.Generator) -> Layer:
    """Direct light by orientation, 1 on a horizontal surface; crowns are rough."""
    row, col = azimuth_vector(exposure.sun_azimuth_deg)
    elevation = np.radians(exposure.sun_elevation_deg)
    facing = -(scene.slope_east * np.float32(col) + scene.slope_north * np.float32(-row))
    area = np.sqrt(1 + scene.slope_east**2 + scene.slope_north**2)
    cosine = (facing * np.cos(elevation) + np.sin(elevation)) / area
    light: Layer = np.clip(cosine / np.sin(elevation), 0, None).astype(np.float32)
    green = scene.canopy > scene.solid
    crown = np.gradient(scene.canopy, scene.grid.gsd_m)
    lit = 1 + 0.35 * np.clip(-(crown[0] * row + crown[1] * col), -1.6, 1.6)
    light[green] = np.clip(lit[green] * rng.uniform(0.65, 1.2, int(green.sum())), 0.15, None)
    return light


def _wall_sunlight(exposure: Exposure) -> float:
    """Direct light on walls turned away from the displacement, that is towards the camera."""
    facing = np.cos(np.radians(exposure.view_azimuth_deg + 180 - exposure.sun_azimuth_deg))
    elevation = np.radians(exposure.sun_elevation_deg)
    return float(max(0.0, facing) * np.cos(elevation) / np.sin(elevation))


def _texture(shape: tuple[int, int], gsd_m: float, rng: np.random.Generator) -> Layer:
    """Multiplicative texture around 1: stains of 20 m, 5 m and 1 m, and pixel grain."""
    total = np.ones(shape, np.float32)
    for size_m, strength in ((20.0, 0.10), (5.0, 0.08), (1.0, 0.06)):
        step = size_m / gsd_m
        if step < 1.5:
            total += strength * rng.standard_normal(shape, np.float32)
            continue
        nodes = rng.standard_normal([int(side / step) + 2 for side in shape], np.float32)
        total += strength * between_nodes(nodes, step, shape)
    total += 0.03 * rng.standard_normal(shape, np.float32)
    return np.clip(total, np.float32(0.4), np.float32(1.8))


def _expose(light: Layer, options: OpticalOptions, exposure: Exposure, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Haze, point spread, noise, 8 bit. Value 0 is left to nodata."""
    out = np.empty(light.shape, np.uint8)
    for band, layer in enumerate(light):
        values = layer * (GAIN_DN[band] * np.float32(exposure.gain)) + HAZE_DN[band] * np.float32(exposure.haze)
        if options.blur_px > 0:
            values = gaussian_filter(values, options.blur_px, truncate=3.0)
        values += options.noise_dn * rng.standard_normal(values.shape, np.float32)
        out[band] = np.clip(np.rint(values), 1, 255).astype(np.uint8)
    return out
