"""Architecture and augmentation by name."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from overcast.data.augment import OPTICAL_JITTER, SAR_JITTER, Augmentation, Geometry, Jitter, safe_geometry
from overcast.data.cloud_cover import CloudCover
from overcast.data.targets import FOOTPRINTS, Targets
from overcast.data.warp import LARGEST_SCALE, LOOK_TOLERANCE_DEG, WarpRange
from overcast.models.spec import NetworkSpec, Preset, Sharing, preset
from overcast.raster.radiometry import Radiometry
from overcast.section import Section


class NetworkOptions(Section):
    """Architecture: a preset, of which single values may be changed."""

    preset: Preset = Preset.BASE
    """`tiny` (CPU), `thin`, `base` or `paper`; gives every value below that is not set."""
    encoder: str
    """Encoder of segmentation_models_pytorch."""
    encoder_blocks: int | None = Field(ge=1, le=64)
    """Blocks that are kept of each encoder stage, the first ones; null keeps all. EfficientNets and ResNets only."""
    pretrained: bool
    """Start from ImageNet weights."""
    decoder_channels: tuple[Annotated[int, Field(ge=1, le=65_536)], ...]
    """Channels of the decoder stages, deepest first: five end at full resolution, four at half of it."""
    shared_channels: int | None = Field(ge=1, le=65_536)
    """Width that the deepest feature is projected to before the shared block; null keeps the encoder's."""
    fusion_channels: int = Field(ge=1, le=65_536)
    """Width of the fusion heads."""
    sharing: Sharing
    """What both encoders share in the block behind them: `weights`, `weights_and_statistics` or `nothing`."""

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        name = values.get("preset", Preset.BASE)
        if name not in list(Preset):
            return values  # reported by the field itself
        filled = preset(Preset(name)).model_dump(include=set(cls.model_fields) - {"preset"})
        return filled | values

    @model_validator(mode="after")
    def _buildable(self) -> NetworkOptions:
        self.spec(1, 1)
        return self

    def spec(self, sar_bands: int, optical_bands: int, targets: Targets = FOOTPRINTS) -> NetworkSpec:
        """The architecture for given inputs and targets."""
        chosen = self.model_dump(exclude={"preset"})
        return NetworkSpec(**chosen, sar_bands=sar_bands, optical_bands=optical_bands, targets=targets)


class JitterOptions(Section):
    """Half-widths of uniform draws in standardised units: value * (1 + gain) + offset, once per sample."""

    common_gain: float = Field(ge=0, lt=1)
    """Half-width of the gain of all bands together."""
    common_offset: float = Field(ge=0, le=10)
    """Half-width of the offset of all bands together."""
    band_gain: float = Field(ge=0, lt=1)
    """Half-width of the gain of each band by itself."""
    band_offset: float = Field(ge=0, le=10)
    """Half-width of the offset of each band by itself."""

    @classmethod
    def of(cls, jitter: Jitter) -> JitterOptions:
        """The options that give this jitter."""
        return cls.model_validate(vars(jitter))

    @property
    def jitter(self) -> Jitter:
        """The jitter for the data set."""
        return Jitter(**self.model_dump())


class AugmentationOptions(Section):
    """What changes from draw to draw besides the crop."""

    enabled: bool = True
    """false: crops only."""
    geometry: Geometry | None = None
    """Symmetries to draw from; null: the largest group that keeps radar shadows on their side."""
    sar: JitterOptions = JitterOptions.of(SAR_JITTER)
    """Drift of the SAR values."""
    optical: JitterOptions = JitterOptions.of(OPTICAL_JITTER)
    """Drift of the optical values."""
    scale: float = Field(default=0.0, ge=0, le=LARGEST_SCALE)
    """Chips are shown larger or smaller by a factor between 1 / (1 + scale) and 1 + scale; 0: never."""
    rotation_deg: float = Field(default=0.0, ge=0, le=LOOK_TOLERANCE_DEG)
    """Chips are turned by up to this angle either way, and with them the direction of layover; 0: never."""
    cloud_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the samples over whose optical image clouds with their shadows, or the end of a sheet, are drawn; of
    these any part is hidden, from nothing to everything. 0: never."""


def build_augmentation(options: AugmentationOptions, radiometry: Radiometry) -> Augmentation | None:
    """The augmentation for a data set."""
    if not options.enabled:
        return None
    geometry = options.geometry or safe_geometry(radiometry.sar.radar_side)
    warp, clouds = WarpRange(options.scale, options.rotation_deg), CloudCover(options.cloud_share)
    return Augmentation(geometry, options.sar.jitter, options.optical.jitter, warp, clouds)
