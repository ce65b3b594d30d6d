"""Names of the data sets alone, so that the command line can offer them without heavy imports."""

from __future__ import annotations

from enum import StrEnum


class DatasetName(StrEnum):
    """Data sets whose layout is known."""

    FOLDER = "folder"
    SCENES = "scenes"
    SPACENET6 = "spacenet6"
    DFC2023 = "dfc2023"
    OPENEARTHMAP_SAR = "openearthmap-sar"
    BRIGHT = "bright"
