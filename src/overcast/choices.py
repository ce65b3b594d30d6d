"""The choices that a user can type, each defined once; this module imports nothing heavy, so that help stays quick.

Choices whose own module is as light stand there: `Unit`, `RadarSide` and `Resampling` in `overcast.raster.units`,
`Precision` in `overcast.arithmetic`, `Runtime` in `overcast.runtime.options`, `DatasetName` in
`overcast.data.catalogs.names`.
"""

from __future__ import annotations

from enum import StrEnum


class SimulationPreset(StrEnum):
    """Named simulations."""

    SPACENET6 = "spacenet6"
    """0.5 m, X band, four polarisations, the value range of SpaceNet 6."""
    DEMO = "demo"
    """The sensor of `spacenet6` at 1 m on small places: minutes on two cores."""
    GF3 = "gf3"
    """1 m, C band, HH alone, calibrated sigma nought in dB: GaoFen-3 in spotlight mode."""
    SENTINEL1 = "sentinel1"
    """10 m, C band, VV and VH, calibrated sigma nought in dB, about 5 looks: Sentinel-1 ground-range detected."""


class SpaceNet6Side(StrEnum):
    """Side of SpaceNet 6's area that is tested on."""

    EAST = "east"
    NORTH = "north"


class Tta(StrEnum):
    """Which look-safe views of an image are averaged (test-time augmentation)."""

    OFF = "off"
    """The image as it is."""
    FLIP = "flip"
    """The image and its flip along the flight direction."""
    FULL = "full"
    """Flipped along the flight direction, at three scales: 0.8, 1 and 1.25."""


class Separation(StrEnum):
    """Whether touching buildings are separated where chips are evaluated."""

    OFF = "off"
    WATERSHED = "watershed"
    """Along learnt edges and contacts where the model has them, else along necks of the outline and dips of the
    probability between buildings."""


class Separate(StrEnum):
    """Whether touching buildings of a scene are separated."""

    AUTO = "auto"
    """Along the boundaries that the model has learnt; not at all where it has learnt none."""
    OFF = "off"
    WATERSHED = "watershed"
    """Along learnt boundaries too, else along necks of the outline and dips of the probability between buildings."""

    def settled(self, *, boundaries: bool) -> Separate:
        """What auto comes to with boundaries that the model has learnt, or without; the others as they are.

        >>> Separate.AUTO.settled(boundaries=True).value, Separate.AUTO.settled(boundaries=False).value
        ('watershed', 'off')
        """
        if self is not Separate.AUTO:
            return self
        return Separate.WATERSHED if boundaries else Separate.OFF


class Outlines(StrEnum):
    """How outlines are drawn."""

    OFF = "off"
    """Along pixel edges."""
    GENTLE = "gentle"
    """Walls near the two main directions are squared, others keep their own; steps under 2 pixels go."""
    STRICT = "strict"
    """Every wall is squared; steps under 3 pixels go."""


class Mixing(StrEnum):
    """How SAR and an optical image become one map where a part of the optical image is missing."""

    CHOICE = "choice"
    """Logits from both sensors where the optical image has data, from SAR alone elsewhere."""
    BLEND = "blend"
    """The same logits, blended into each other along the border."""
    FEATURES = "features"
    """Optical and hallucinated features mixed at every scale before they are fused; logits as in `blend`."""


class MixingChoice(StrEnum):
    """`Mixing` where a user chooses it."""

    AUTO = "auto"
    """The best choice for the scene and the model."""
    CHOICE = "choice"
    BLEND = "blend"
    FEATURES = "features"


class Encoding(StrEnum):
    """How a probability is stored."""

    UINT8 = "uint8"
    """round(254 p), so steps of 0.4 percent; 255 where there is no data."""
    FLOAT32 = "float32"
    """p as it is; NaN where there is no data."""


class ExportPrecision(StrEnum):
    """Arithmetic of an exported network."""

    FP32 = "fp32"
    INT8 = "int8"


class ImageKind(StrEnum):
    """What an exported network is given."""

    BYTES = "bytes"
    """8-bit values divided by 255, as Deepness does: 0 is no data, 1 .. 255 are spread over each band's range."""
    UNIT = "unit"
    """Pixels in the model's declared unit; NaN, infinite or nodata in any band is no data."""


class EvaluatedPart(StrEnum):
    """Part of the split that is evaluated."""

    VALIDATION = "validation"
    TEST = "test"


class WeightStorage(StrEnum):
    """How matrices and kernels lie in the file of weights; what computes with them has a precision of its own."""

    FLOAT32 = "float32"
    """Weights in float32, as they were trained."""
    FLOAT16 = "float16"
    """Rounded to half precision: half the size. Vectors (batch statistics, biases) stay in float32."""
