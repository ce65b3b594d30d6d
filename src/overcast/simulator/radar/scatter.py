"""Expected power of each scattering mechanism on the ground-range grid, per unit of cell area (sigma nought)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from overcast.simulator.city.geometry import City, Floats, Surface
from overcast.simulator.options import SarOptions
from overcast.simulator.radar.geometry import Layer, RadarFrame, Splatter, horizon
from overcast.simulator.radar.materials import (
    CROWN_DB,
    CROWN_TRANSMISSION,
    Mechanism,
    diffuse_table,
    reflection_table,
    table,
)
from overcast.simulator.radar.quays import add_quays_rails_lattice
from overcast.simulator.radar.walls import WallSamples, wall_samples
from overcast.simulator.sampling import between_nodes
from overcast.simulator.scene import Scene

TEXTURE_DB = {3.0: 1.8, 25.0: 2.2, 80.0: 2.2}
"""Deviation of the texture of surfaces by its scale in metres: tufts and joints, parcels, kinds of ground."""
BUSY = 0.9
"""Log-deviation between buildings of the cross section of what stands on their roofs."""
SMALL_M = 1e-3


def expected_power(
    city: City, scene: Scene, frame: RadarFrame, options: SarOptions, rng: np.random.Generator
) -> NDArray[np.float32]:
    """(3, R, A) power by `Mechanism`, without noise."""
    return _Scatterer(city, scene, frame, options, rng).power()


def _material_gains(deviation_db: float, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Factors of each surface and of each mechanism in one image; 1 where materials do not vary."""
    surfaces, mechanisms = len(Surface), len(Mechanism)
    if deviation_db == 0:
        return np.ones(surfaces, np.float32), np.ones(mechanisms, np.float32)
    gains = 10 ** (rng.normal(0, deviation_db, surfaces + mechanisms) / 10)
    return gains[:surfaces].astype(np.float32), gains[surfaces:].astype(np.float32)


class _Scatterer:
    """The steps of one image; they share the scene, its horizons and the three accumulators."""

    def __init__(
        self, city: City, scene: Scene, frame: RadarFrame, options: SarOptions, rng: np.random.Generator
    ) -> None:
        self.city, self.scene, self.frame, self.options, self.rng = city, scene, frame, options, rng
        self.gsd_m = frame.grid.gsd_m
        self.passed = CROWN_TRANSMISSION[options.band]
        self.cot = frame.cot if options.layover else 0.0
        self.shape = scene.solid.shape
        self.range_m = ((np.arange(self.shape[0]) + 0.5) * self.gsd_m).astype(np.float32)
        self.canopy = scene.canopy if options.vegetation else np.zeros_like(scene.canopy)
        none = np.full(self.shape, -np.inf, np.float32)
        self.hidden = horizon(scene.solid, self.gsd_m, frame.cot) if options.shadow else none
        top = np.maximum(self.canopy, scene.solid)
        self.veiled = horizon(top, self.gsd_m, frame.cot) if options.shadow else none
        self.surface_gain, self.mechanism_gain = _material_gains(options.material_db, rng)
        self.maps = [Splatter((self.shape[0], self.shape[1]), self.gsd_m) for _ in Mechanism]

    def power(self) -> NDArray[np.float32]:
        """(M, H, W) power of each mechanism."""
        self._surfaces()
        self._walls()
        if self.options.vegetation:
            self._crowns()
        if self.options.double_bounce:
            self._vehicles()
            self._poles()
            self._roof_points()
            add_quays_rails_lattice(self.city.furniture, self.frame, self.hidden, self.cot, self.maps)
        layers = np.stack([splatter.layer() for splatter in self.maps])
        layers *= self.mechanism_gain[:, None, None]
        return layers

    def _surfaces(self) -> None:
        """Ground stays in its cell; roofs are laid over."""
        scene = self.scene
        sigma = self._sigma()
        sigma *= scene.solid >= self.hidden - SMALL_M
        veil = (scene.solid < self.veiled - SMALL_M) | (self.canopy > scene.solid)
        sigma[veil] *= self.passed
        volume = table("volume_share")[scene.surface]
        raised = (scene.solid > SMALL_M) & (sigma > 0)
        flat = np.where(raised, 0, sigma)
        self.maps[Mechanism.ODD].power += (flat * (1 - volume)).ravel()
        self.maps[Mechanism.VOLUME].power += (flat * volume).ravel()
        rows, cols = np.nonzero(raised)
        power, share, height = sigma[rows, cols] / 2, volume[rows, cols], scene.solid[rows, cols]
        slope = self._slope(self.frame.range_direction)[rows, cols]
        for offset in (-0.25 * self.gsd_m, 0.25 * self.gsd_m):
            r = self.range_m[rows] + offset - (height + slope * offset) * self.cot
            self.maps[Mechanism.ODD].add(r, cols, power * (1 - share))
            self.maps[Mechanism.VOLUME].add(r, cols, power * share)

    def _slope(self, direction: tuple[float, float]) -> Layer:
        slope: Layer = self.scene.slope_east * np.float32(direction[0])
        slope += self.scene.slope_north * np.float32(direction[1])
        return slope

    def _sigma(self) -> Layer:
        """Sigma nought per cell by material, local incidence, facet area and ageing."""
        scene = self.scene
        level = self._facet(np.arange(len(Surface)), np.zeros(len(Surface)), np.ones(len(Surface)))
        sigma = level[scene.surface]
        sloped = np.nonzero((scene.slope_east != 0) | (scene.slope_north != 0))
        east, north = scene.slope_east[sloped], scene.slope_north[sloped]
        along = east * np.float32(self.frame.range_direction[0]) + north * np.float32(self.frame.range_direction[1])
        sigma[sloped] = self._facet(scene.surface[sloped], along, np.sqrt(1 + east**2 + north**2))
        ageing = 10 ** ((np.arange(256) / 255 - 0.5) * 0.35)
        sigma *= ageing.astype(np.float32)[scene.tone]
        sigma *= self._texture()
        return sigma

    def _facet(self, surface: NDArray[np.integer], along: Floats | Layer, area: Floats | Layer) -> Layer:
        """Power of facets by surface code, rise per metre away from the radar, and area per ground area."""
        theta = np.radians(self.frame.incidence_deg)
        cosine = np.clip((along * np.sin(theta) + np.cos(theta)) / area, 0, 1)
        diffuse = diffuse_table(self.options.band)[surface]
        diffuse = diffuse * (cosine / np.cos(np.radians(35))) ** table("exponent")[surface]
        tilt = 1 / np.maximum(cosine, 0.05) ** 2 - 1
        lobe = table("lobe_db")[surface] * np.exp(-tilt / (2 * table("slope")[surface] ** 2))
        return np.asarray((diffuse + lobe) * self.surface_gain[surface] * area, np.float32)

    def _texture(self) -> Layer:
        """Patchiness of natural and built surfaces: log-normal, at the scales of TEXTURE_DB."""
        exponent = np.zeros(self.shape, np.float32)
        for scale_m, deviation_db in TEXTURE_DB.items():
            step = max(1.0, scale_m / self.gsd_m)
            nodes = self.rng.standard_normal([int(side / step) + 2 for side in self.shape], np.float32)
            nodes *= np.float32(deviation_db / 10 * np.log(10))
            exponent += between_nodes(nodes, step, self.shape)
        return np.asarray(np.exp(exponent, out=exponent))

    def _walls(self) -> None:
        """Walls that face the radar: facade, and the dihedral with the ground before them."""
        samples = wall_samples(self.city, self.scene, self.frame, self.hidden, self.rng)
        veiled = self.veiled[samples.row_front, samples.col_front]
        self._facades(samples, veiled)
        if self.options.double_bounce:
            self._wall_dihedrals(samples, veiled)

    def _facades(self, samples: WallSamples, veiled: Layer) -> None:
        step = self.gsd_m / max(self.frame.cot, 0.2)
        count = np.ceil((samples.top - samples.bottom) / step).astype(np.int64)
        owner = np.repeat(np.arange(len(count)), count)
        nth = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
        dz = (samples.top - samples.bottom) / np.maximum(count, 1)
        z = samples.bottom[owner] + (nth + 0.5) * dz[owner]
        power = samples.facade(owner, z, self.frame.incidence_deg) * samples.length[owner] * dz[owner]
        power *= np.where(z < veiled[owner], self.passed, 1.0) / self.gsd_m**2
        r = samples.range_m[owner] - z * self.cot
        self.maps[Mechanism.ODD].add(r, samples.column[owner], power * 0.75)
        self.maps[Mechanism.DOUBLE].add(r, samples.column[owner], power * 0.1)
        self.maps[Mechanism.VOLUME].add(r, samples.column[owner], power * 0.15)

    def _wall_dihedrals(self, samples: WallSamples, veiled: Layer) -> None:
        lit = np.clip(samples.top - np.maximum(samples.bottom, samples.foot), 0, None)
        covered = np.clip(veiled - samples.foot, 0, lit)
        open_height = lit - covered * (1 - self.passed)
        ground = reflection_table()[self.scene.surface[samples.row_front, samples.col_front]]
        crown = self.canopy[samples.row_front, samples.col_front] > samples.foot
        power = samples.dihedral() * ground * open_height * samples.length / self.gsd_m**2
        power = power * np.where(crown, self.passed, 1.0)
        r = samples.range_m - samples.foot * self.cot
        self.maps[Mechanism.DOUBLE].add(r, samples.column, power)

    def _crowns(self) -> None:
        """Volume scattering of crowns and hedges from their top and from inside."""
        rows, cols = np.nonzero(self.canopy > self.scene.solid)
        top = self.canopy[rows, cols]
        sigma = 10 ** (CROWN_DB[self.options.band] / 10 + 0.3 * self.rng.standard_normal(len(rows), np.float32))
        hidden, veiled = self.hidden[rows, cols], self.veiled[rows, cols]
        for level, share in ((1.0, 0.45), (0.75, 0.35), (0.5, 0.2)):
            z = level * top
            power = sigma * share * (z > hidden) * np.where(z < veiled - 1.0, 0.3, 1.0)
            r = self.range_m[rows] - z * self.cot
            self.maps[Mechanism.VOLUME].add(r, cols, power * 0.8)
            self.maps[Mechanism.ODD].add(r, cols, power * 0.2)

    def _point(self, xy: Floats, height: Floats, area_m2: Floats, mechanism: Mechanism) -> None:
        """Point targets of radar cross section `area_m2` at map points and heights, where the radar sees them."""
        at = self.frame.coordinates(xy)
        row, col = (np.floor(at[:, axis] / self.gsd_m).astype(np.int64) for axis in (0, 1))
        good = (row >= 0) & (row < self.shape[0]) & (col >= 0) & (col < self.shape[1])
        at, row, col, height, area_m2 = at[good], row[good], col[good], height[good], area_m2[good]
        power = area_m2 / self.gsd_m**2 * (height > self.hidden[row, col] - SMALL_M)
        power = power * np.where(height < self.veiled[row, col] - 1.0, self.passed, 1.0)
        self.maps[mechanism].add(at[:, 0] - height * self.cot, col, power)

    def _vehicles(self) -> None:
        """Dihedrals of the long sides (strong at right angles to the line of sight) and corners of vehicles."""
        cars = self.city.furniture.cars
        if not len(cars):
            return
        east, north = self.frame.range_direction
        aspect = np.cos(cars[:, 2]) * east + np.sin(cars[:, 2]) * north
        broadside = np.exp(-((aspect / 0.12) ** 2))
        area = cars[:, 3] * (0.25 + 4.0 * broadside) * 10 ** (0.7 * self.rng.standard_normal(len(cars)))
        reach = cars[:, 3] / 2 * np.abs(aspect) + cars[:, 4] / 2 * np.sqrt(1 - aspect**2) + 0.2
        near = cars[:, :2] - reach[:, None] * np.array([east, north])
        self._point(near, np.zeros(len(cars)), area, Mechanism.DOUBLE)
        self._point(cars[:, :2], cars[:, 5], 0.3 * area, Mechanism.ODD)

    def _poles(self) -> None:
        """Lamp posts and masts with the ground: dihedrals from every side."""
        poles = self.city.furniture.poles
        area = 0.35 * poles[:, 2] * 10 ** (0.3 * self.rng.standard_normal(len(poles)))
        self._point(poles[:, :2], np.zeros(len(poles)), area, Mechanism.DOUBLE)

    def _roof_points(self) -> None:
        """Ducts, dormers, chimneys and parapets: corners on roofs, more on flat ones."""
        building = self.scene.building
        flat = self.scene.surface != Surface.TILE_RED
        rate = np.where(flat, 0.012, 0.006) * self.gsd_m**2
        spots = (building > 0) & (self.rng.random(self.shape, np.float32) < rate)
        rows, cols = np.nonzero(spots)
        busy = np.exp(BUSY * self.rng.standard_normal(len(self.city.buildings) + 1) - BUSY**2 / 2)
        area = 2.0 * busy[building[rows, cols]] * 10 ** (0.8 * self.rng.standard_normal(len(rows)))
        height = self.scene.solid[rows, cols] + 0.8
        power = area / self.gsd_m**2 * (height > self.hidden[rows, cols])
        self.maps[Mechanism.ODD].add(self.range_m[rows] - height * self.cot, cols, power)
