"""An optical image beside a scene, as users name it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from overcast.scenes.sky import OpticalInput, optical_input

Named = str | Path


@dataclass(frozen=True)
class Optical:
    """An optical image beside the scene, and the mask of the clouds in it, for `predict`."""

    files: Named | Sequence[Named]
    """The image or its sheets, in any coordinate system and pixel size; of sheets that overlap the first counts."""
    clouds: Named | None = None
    """Cloud mask, in any coordinate system."""
    cloud_values: Sequence[int] | None = None
    """Values of the mask that hide the ground; None: every value but 0."""
    nodata: float | None = None
    """Value that means no data, in addition to those that the files declare."""

    @classmethod
    def input_of(cls, given: Optical | Named | Sequence[Named] | None) -> OpticalInput | None:
        """What `predict` was given, as the rest of the package takes it."""
        if given is None:
            return None
        whole = given if isinstance(given, Optical) else cls(given)
        files = [whole.files] if isinstance(whole.files, str | Path) else list(whole.files)
        return optical_input(files, whole.clouds, whole.cloud_values, whole.nodata)
