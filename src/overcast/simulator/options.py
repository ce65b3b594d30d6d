"""Every choice of the simulator, with bounds and documented defaults; presets by name."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, assert_never

from pydantic import Field, model_validator

from overcast.choices import SimulationPreset
from overcast.raster.radiometry import RadarSide, Unit
from overcast.section import Section
from overcast.simulator.variety import Variety

CRS = "EPSG:32631"
"""Coordinate system of everything that is simulated (UTM zone 31 N, metres)."""
Polarisation = Literal["HH", "HV", "VH", "VV"]


class CityOptions(Section):
    """What is built on a piece of ground."""

    built_share: float = Field(default=0.6, ge=0, le=1)
    """Share of blocks that carry buildings; the others are parks, fields, sports grounds, parking and water."""
    row_weight: float = Field(default=1.0, ge=0)
    """Relative frequency of districts of row houses with shared walls."""
    detached_weight: float = Field(default=0.8, ge=0)
    """Relative frequency of districts of detached and semi-detached houses."""
    courtyard_weight: float = Field(default=0.6, ge=0)
    """Relative frequency of closed blocks around a courtyard."""
    slab_weight: float = Field(default=0.6, ge=0)
    """Relative frequency of apartment slabs and towers on lawns."""
    industry_weight: float = Field(default=0.6, ge=0)
    """Relative frequency of warehouses, sheds, tanks and yards."""
    harbour_weight: float = Field(default=0.5, ge=0)
    """Relative frequency of harbours: basins with quays, ships, cranes, container stacks and warehouses."""
    tower_height_m: tuple[float, float] = (28.0, 60.0)
    """Lowest and highest tower."""
    canal_probability: float = Field(default=0.35, ge=0, le=1)
    """Probability that one of the wide streets of a place is a canal."""
    river_share: float = Field(default=0.35, ge=0, le=1)
    """Share of the canals that are rivers of 50 to 120 m with moored barges."""
    rail_probability: float = Field(default=0.3, ge=0, le=1)
    """Probability that a railway with overhead-line masts runs through a place."""
    bend_m: float = Field(default=14.0, ge=0, le=40)
    """Amplitude by which the street grid is bent; 0 gives straight streets."""
    trees: float = Field(default=1.0, ge=0, le=4)
    """Density of trees relative to the default."""
    trees_over_roofs: bool = True
    """Crowns may hang over footprints; off clears every tree whose crown would reach one."""
    cars: float = Field(default=1.0, ge=0, le=4)
    """Density of parked and moving vehicles relative to the default."""
    margin_m: float = Field(default=64.0, ge=0, le=200)
    """Ground around a place that is built as well, so that layover and shadows enter from outside."""


class RoofChoice(StrEnum):
    """Roofs of given footprints whose file has none."""

    SIZE = "size"
    """Gabled for compact, nearly rectangular footprints up to 220 m2, else flat."""
    FLAT = "flat"


class FootprintOptions(Section):
    """A file of real footprints that are simulated instead of a drawn city."""

    file: str = Field(min_length=1)
    """GeoPackage, GeoJSON, FlatGeobuf, Shapefile or GeoParquet, or CityJSON (`.json`)."""
    height: str | None = None
    """Column with the heights: metres, or texts with a unit; a column of levels counts `level_m` for each. CityJSON
    carries its own."""
    level_m: float = Field(default=3.0, ge=2, le=6)
    """Metres of a level, for columns such as `building:levels`."""
    layer: str | None = None
    """Layer of the file; the first by default."""
    crs: str | None = None
    """Coordinate system, where the file names none or a wrong one."""
    default_height_m: float | None = Field(default=None, gt=0, le=900)
    """Height of buildings without a usable one; by default the median of the others."""
    roofs: RoofChoice = RoofChoice.SIZE
    """Roofs that the file does not describe."""
    keep_empty: bool = False
    """Places and chips without a building are written as well."""
    turn_deg: float = Field(default=0.0, ge=-360, le=360)
    """Turns the town counter-clockwise about its middle, so that the radar sees it from another direction."""
    sha256: str = ""
    """Checksum of the file, set when the simulation begins."""


class OpticalOptions(Section):
    """View, light and faults of the optical image."""

    off_nadir_deg: float = Field(default=17.0, ge=0, le=45)
    """Angle between the line of sight and the vertical (SpaceNet 6: 17)."""
    view_azimuth_deg: float = Field(default=20.0, ge=0, lt=360)
    """Direction, clockwise from north, towards which roofs are displaced (away from the sensor's ground track)."""
    sun_azimuth_deg: float = Field(default=150.0, ge=0, lt=360)
    """Direction of the sun, clockwise from north."""
    sun_elevation_deg: float = Field(default=47.0, ge=10, le=90)
    """Height of the sun above the horizon."""
    light_jitter_deg: float = Field(default=8.0, ge=0, le=40)
    """Deviation between places of both sun angles and of the view azimuth."""
    shadows: bool = True
    """Things hide the sun from what lies behind them; off leaves full light everywhere (roofs keep their shading)."""
    texture: bool = True
    """Ageing, stains and fine texture of materials; off gives one flat colour per object."""
    blur_px: float = Field(default=0.6, ge=0, le=4)
    """Standard deviation of the point-spread function."""
    noise_dn: float = Field(default=1.4, ge=0, le=30)
    """Standard deviation of the sensor noise in digital numbers."""
    exposure_jitter: float = Field(default=0.05, ge=0, le=0.5)
    """Relative deviation between places of gain and haze."""
    cloud_share: float = Field(default=0.0, ge=0, le=0.9)
    """Share of the ground under clouds; their true mask (cloud and cloud shadow) is then written as well."""


class SarOptions(Section):
    """Geometry, radiometry and faults of the radar image."""

    incidence_deg: float = Field(default=35.0, ge=20, le=65)
    """Angle between the line of sight and the vertical."""
    radar_side: RadarSide | Literal["mixed"] = RadarSide.NORTH
    """Side on which the radar stands; `mixed` alternates north and south between places."""
    look_offset_deg: float = Field(default=0.0, ge=-45, le=45)
    """Turns the radar clockwise from that side; the image is then interpolated onto the map grid, which smooths it."""
    band: Literal["X", "C"] = "X"
    """Wavelength: about 3 or 5.6 cm. C band sees surfaces smoother and looks deeper into crowns."""
    polarisations: tuple[Polarisation, ...] = ("HH", "HV", "VH", "VV")
    """Bands in file order."""
    unit: Literal[Unit.DECIBEL, Unit.LINEAR_POWER, Unit.AMPLITUDE] = Unit.DECIBEL
    """Unit of the pixels; decibels carry the band offsets below."""
    band_offset_db: dict[Polarisation, float] = Field(default={"HH": 43.3, "HV": 52.2, "VH": 50.1, "VV": 40.3})
    """Gain of each channel: 10 log10(sigma nought) + offset is the pixel value (SpaceNet 6 is not calibrated)."""
    looks: int = Field(default=3, ge=1, le=64)
    """Independent looks averaged in power."""
    speckle: bool = True
    """Off gives the expected power without any draw."""
    resolution_px: float = Field(default=1.2, ge=0, le=8)
    """Width (-3 dB) of the impulse response in pixels; correlates speckle and gives points side lobes; 0: none."""
    weighting: float = Field(default=0.54, ge=0.5, le=1)
    """Weighting of the aperture: 0.54 (Hamming) keeps side lobes below -40 dB, 1 has none and they reach -13 dB."""
    material_db: float = Field(default=0.0, ge=0, le=10)
    """Deviation between places of the brightness of each surface and of each scattering mechanism."""
    noise_floor_db: float = Field(default=-20.5, ge=-60, le=0)
    """Thermal noise (noise-equivalent sigma nought) of the co-polar channels."""
    cross_noise_db: float = Field(default=3.2, ge=-10, le=30)
    """Thermal noise of the cross-polar channels above that of the co-polar ones."""
    noise_drift_db: float = Field(default=2.0, ge=0, le=10)
    """Deviation between strips (places) of the thermal noise, drawn for the co-polar and the cross-polar channels."""
    noise_correlation: float = Field(default=0.97, ge=0, le=0.999)
    """Correlation of the noise among HH, HV and VV; that of VH is independent (so in the complex SpaceNet 6 chips)."""
    hv_crosstalk_db: float = Field(default=-20.0, ge=-80, le=0)
    """Leakage of the co-polar channels into HV, relative to their mean power; -80 is none."""
    vh_crosstalk_db: float = Field(default=-24.0, ge=-80, le=0)
    """Crosstalk of HH and VV into VH."""
    gain_drift_db: float = Field(default=4.0, ge=0, le=10)
    """Deviation of the gain between strips (places), one value for all channels plus half of it per channel."""
    cross_drift_db: float = Field(default=4.0, ge=0, le=10)
    """Deviation between strips of a further gain that both cross-polar channels share."""
    ripple_db: float = Field(default=0.4, ge=0, le=5)
    """Slow drift of the gain along the strip."""
    misregistration_px: float = Field(default=0.7, ge=0, le=10)
    """Deviation of the shift between the radar image and the map, per place."""
    wedge_share: float = Field(default=0.1, ge=0, le=0.8)
    """Mean share of pixels in nodata wedges at the border of the strip."""
    layover: bool = True
    """Heights displace scatterers towards the radar; off keeps everything on its ground position."""
    shadow: bool = True
    """Hidden ground, walls and roofs return nothing."""
    double_bounce: bool = True
    """Dihedrals of walls and ground, vehicles, poles."""
    vegetation: bool = True
    """Volume scattering and attenuation of trees and hedges."""


class SimulationOptions(Section):
    """A data set of simulated places."""

    name: str = Field(default="simulated city", min_length=1)
    """Name written into dataset.yaml."""
    seed: int = Field(default=0, ge=0)
    """Seed of everything that is drawn: the same seed and options give the same bytes."""
    places: int = Field(default=12, ge=0, le=100_000)
    """Places that are cut into chips, each on its own ground."""
    place_m: float = Field(default=512.0, gt=0, le=20_000)
    """Side of a place; rounded to whole chips."""
    chip_px: int = Field(default=256, ge=16, le=4096)
    """Side of a chip."""
    scenes: int = Field(default=0, ge=0, le=10_000)
    """Further places, written whole under `scenes/` and not cut into chips."""
    scene_m: float = Field(default=1024.0, gt=0, le=20_000)
    """Side of a scene."""
    gap_m: float = Field(default=500.0, ge=0)
    """Empty ground between places, so that no two share any."""
    gsd_m: float = Field(default=0.5, gt=0, le=10)
    """Ground sampling distance of both sensors."""
    footprints: FootprintOptions | None = None
    """Real footprints; None draws a city."""
    city: CityOptions = CityOptions()
    optical: OpticalOptions = OpticalOptions()
    sar: SarOptions = SarOptions()
    variety: Variety | None = None
    """What is drawn anew for each place; None: nothing but the drifts above."""
    workers: int = Field(default=1, ge=1, le=512)
    """Processes; does not change the bytes."""

    @property
    def band_names(self) -> tuple[str, ...]:
        """Bands of the radar images of all places: one that is HH in some places and VV in others is `HH|VV`."""
        return (self.variety and self.variety.band_names) or self.sar.polarisations

    @property
    def place_px(self) -> int:
        """Side of a place in pixels, a multiple of `chip_px`."""
        return max(1, round(self.place_m / self.gsd_m / self.chip_px)) * self.chip_px

    @property
    def scene_px(self) -> int:
        """Side of a scene in pixels."""
        return max(1, round(self.scene_m / self.gsd_m))

    @model_validator(mode="after")
    def _something(self) -> SimulationOptions:
        if self.places + self.scenes == 0:
            raise ValueError("places and scenes are both 0: nothing to simulate")
        return self


def preset(name: SimulationPreset) -> SimulationOptions:
    """The options of a preset."""
    match name:
        case SimulationPreset.SPACENET6:
            return SimulationOptions()
        case SimulationPreset.DEMO:
            return SimulationOptions(gsd_m=1.0, places=8, place_m=512.0, chip_px=128, scenes=1, scene_m=1024.0)
        case SimulationPreset.GF3:
            return SimulationOptions(gsd_m=1.0, sar=_gaofen3())
        case SimulationPreset.SENTINEL1:
            return SimulationOptions(gsd_m=10.0, place_m=2560.0, scene_m=2560.0, sar=_sentinel1())
        case _:
            assert_never(name)


_CALIBRATED: dict[Polarisation, float] = {"HH": 0.0, "HV": 0.0, "VH": 0.0, "VV": 0.0}


def _gaofen3() -> SarOptions:
    """One calibrated C-band channel, nearly single look."""
    return SarOptions(
        band="C",
        polarisations=("HH",),
        band_offset_db=_CALIBRATED,
        looks=2,
        resolution_px=1.2,
        noise_floor_db=-20.0,
        noise_drift_db=1.0,
        gain_drift_db=1.0,
        misregistration_px=0.7,
        wedge_share=0.05,
    )


def _sentinel1() -> SarOptions:
    """A calibrated C-band scene: wide, steady, little noise; the resolution is two pixels."""
    return SarOptions(
        incidence_deg=38.0,
        band="C",
        polarisations=("VV", "VH"),
        band_offset_db=_CALIBRATED,
        looks=5,
        resolution_px=2.0,
        noise_floor_db=-22.0,
        cross_noise_db=0.0,
        noise_drift_db=1.0,
        noise_correlation=0.0,
        hv_crosstalk_db=-35.0,
        vh_crosstalk_db=-35.0,
        gain_drift_db=0.4,
        cross_drift_db=0.2,
        ripple_db=0.2,
        misregistration_px=0.3,
        wedge_share=0.02,
    )
