"""Choices of options, in a module that imports nothing heavy."""

from enum import StrEnum


class OutlineMode(StrEnum):
    """How outlines are drawn."""

    OFF = "off"
    GENTLE = "gentle"
    STRICT = "strict"


class Views(StrEnum):
    """Views of an image whose probabilities are averaged."""

    OFF = "off"
    FLIP = "flip"
    FULL = "full"


class Separation(StrEnum):
    """Whether touching buildings are told apart."""

    OFF = "off"
    WATERSHED = "watershed"


class SeparateMode(StrEnum):
    """Whether touching buildings of a scene become polygons of their own."""

    AUTO = "auto"
    OFF = "off"
    WATERSHED = "watershed"


class EncodingChoice(StrEnum):
    """How a probability is stored."""

    UINT8 = "uint8"
    FLOAT32 = "float32"


class MixingChoice(StrEnum):
    """How SAR and an optical image become one map."""

    AUTO = "auto"
    CHOICE = "choice"
    BLEND = "blend"
    FEATURES = "features"
