"""What scene prediction needs to know of a model, wherever it comes from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self, assert_never

from torch import Tensor, nn

from overcast.batch import InputModalities, Modality
from overcast.bundle.bundle import Bundle
from overcast.choices import Mixing
from overcast.data.scene_level import LevelledStatistics, level_of
from overcast.errors import BundleError
from overcast.models.channels import OutputChannels
from overcast.raster.compass import turn_for
from overcast.raster.georeference import Georeference
from overcast.raster.grid import Turn
from overcast.raster.radiometry import BandStatistics, SensorRadiometry, Standardise
from overcast.raster.sources import RasterSource
from overcast.scenes.sky import SkyStatistics
from overcast.scenes.two_sensors import FromBoth, TwoSensors


class Tempered(nn.Module):
    """A network whose logits are divided by a temperature: what is above 0 stays above 0."""

    def __init__(self, network: nn.Module, temperature: float) -> None:
        super().__init__()
        self.network, self.temperature = network, temperature

    def forward(self, x: Tensor) -> Tensor:
        """Logits over temperature."""
        logits: Tensor = self.network(x)
        return logits / self.temperature


@dataclass(frozen=True)
class OpticalPart:
    """What a model that also takes an optical image knows of it."""

    sensor: SensorRadiometry
    statistics: BandStatistics
    mixing: Mixing
    """How the two sensors become one map."""


@dataclass(frozen=True)
class SceneModel:
    """A network for one sensor and the pixels that it understands."""

    network: nn.Module
    """Standardised x (B, C, H, W) to logits (B, `channels`, H, W)."""
    sensor: SensorRadiometry
    statistics: BandStatistics
    modality: Modality
    """The sensor's name: provenance of the footprints."""
    class_name: str
    name: str
    sha256: str
    """SHA-256 of the weights."""
    licence: str
    calibration_temperature: float | None = None
    """What the network's logits have been divided by, fitted on validation; None where they are as trained."""
    runtime: str = "eager"
    """What the network runs on, with version, precision and device; for metadata."""
    channels: int = 1
    """1: the footprint; 2: the boundaries between buildings as well."""
    path: Path | None = None
    """The bundle; None where the network comes from elsewhere."""
    optical: OpticalPart | None = None
    """The optical part of a model that takes an optical image too: its network is `TwoSensors`."""

    @classmethod
    def of(cls, bundle: Bundle, *, calibrated: bool = True, boundaries: bool = False) -> Self:
        """The deployable network of a bundle; calibrated, its logits are divided by the temperature in the bundle.

        It gives the footprint; with `boundaries`, where the model has learnt edges or contacts, their larger one too.

        Raises BundleError where it needs both sensors or does not describe the one that it takes.
        """
        info, name = bundle.info, bundle.name
        if len(info.inputs) != 1:
            raise BundleError(
                f"model {name} ({info.method.name}) needs {' and '.join(info.inputs)} images and cannot map a scene of "
                "one sensor; use one that works from SAR alone, such as cmhcl."
            )
        modality = info.inputs[0]
        match modality:
            case Modality.SAR:
                sensor, statistics = info.radiometry.sar, info.statistics.sar
            case Modality.OPTICAL:
                if info.radiometry.optical is None or info.statistics.optical is None:
                    raise BundleError(f"model {name} does not describe its optical bands; copy the bundle again.")
                sensor, statistics = info.radiometry.optical, info.statistics.optical
            case never:
                assert_never(never)
        temperature = info.calibration_temperature if calibrated else None
        several = len(info.outputs) > 1
        return cls(
            network=_finished(bundle.standardised_network, temperature, boundaries if several else None),
            sensor=sensor,
            statistics=statistics,
            modality=modality,
            class_name=info.class_name,
            name=name,
            sha256=info.weights_sha256,
            licence=info.licence,
            calibration_temperature=temperature,
            channels=2 if several and boundaries else 1,
            path=bundle.path,
        )

    @classmethod
    def with_optical(
        cls, bundle: Bundle, *, calibrated: bool = True, boundaries: bool = False, mixing: Mixing | None = None
    ) -> Self:
        """The networks of a full bundle that take SAR and what there is of an optical image.

        Args:
            bundle: Holds every branch.
            calibrated: As of `of`.
            boundaries: As of `of`.
            mixing: How the sensors become one map; None: as `Method.map_mixing` says.

        Raises:
            BundleError: The bundle is a deployable one, or its method cannot work from SAR alone and from both.
            ConfigError: The method does not offer the mixing.
        """
        info, method, name = bundle.info, bundle.method, bundle.name
        if method is None:
            raise BundleError(
                f"model {name} has no optical branch, it is what works from SAR alone; for an optical image name the "
                "run folder of its training, or the folder full in it."
            )
        if not {InputModalities.SAR, InputModalities.BOTH} <= method.available:
            raise BundleError(
                f"model {name} ({info.method.name}) does not work from SAR alone and from both sensors, so it cannot "
                "take an optical image with gaps; use cmhcl, modality_dropout or shaspec."
            )
        optical, statistics = info.radiometry.optical, info.statistics.optical
        if optical is None or statistics is None:
            raise BundleError(f"model {name} does not describe its optical bands; copy the bundle again.")
        alone = cls.of(bundle, calibrated=calibrated, boundaries=boundaries)
        mixing = method.offered(mixing or method.map_mixing)
        both = FromBoth(method, len(alone.statistics.mean), mixing)
        chosen = boundaries if len(info.outputs) > 1 else None
        network = TwoSensors(alone.network, _finished(both, alone.calibration_temperature, chosen), both.sar_bands)
        return replace(alone, network=network.eval(), optical=OpticalPart(optical, statistics, mixing))

    def at_level_of(self, source: RasterSource, scene: SensorRadiometry) -> Self:
        """The model for one scene: where it standardises scenes by themselves, by the level of this one.

        The level is of the whole scene, whatever part of it is mapped. Raises InputError where it cannot be read.
        """
        if self.sensor.standardise is not Standardise.SCENE:
            return self
        return replace(self, statistics=LevelledStatistics.at(self.statistics, level_of(source, scene.unit)))

    @property
    def planes(self) -> int:
        """Maps that the network returns: with an optical image one more, which says where that shows the ground."""
        return self.channels + (self.optical is not None)

    @property
    def tile_statistics(self) -> BandStatistics | SkyStatistics:
        """What standardises a tile."""
        return self.statistics if self.optical is None else SkyStatistics(self.statistics, self.optical.statistics)

    @property
    def bands(self) -> int:
        """Channels of a tile."""
        return len(self.statistics.mean) + (0 if self.optical is None else len(self.optical.statistics.mean) + 1)

    @property
    def identity(self) -> str:
        """Name and the beginning of the hash, for people."""
        return f"{self.name} {self.sha256[:12]}"

    def turn_for(self, scene: SensorRadiometry, grid: Georeference, scene_name: str) -> Turn:
        """How a scene is turned for the network: unmirrored, and by 180 degrees where its radar stood opposite.

        Args:
            scene: What the scene declares; its radar side is one of the compass.
            grid: The scene's: its geotransform says which edge of the image that is.
            scene_name: For messages.

        Raises RadiometryError, naming both sides, where the scene is not what the model was trained for.
        """
        return turn_for(self.sensor, f"model {self.name}", scene, grid, scene_name)


def _finished(network: nn.Module, temperature: float | None, boundaries: bool | None) -> nn.Module:
    """The maps of a network, their logits divided by the temperature; `boundaries` is None where it has one target."""
    made = network if boundaries is None else OutputChannels(network, boundaries=boundaries)
    return made if temperature is None else Tempered(made, temperature)
