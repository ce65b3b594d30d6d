"""What a chip needs of a scene that it is a part of."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Protocol

from overcast.batch import Modality
from overcast.data.chips import ChipArrays
from overcast.data.targets import Instances
from overcast.raster.georeference import Georeference
from overcast.raster.grid import Window


class ScenePart(Protocol):
    """A part of a scene that brings the pixels of its images and footprints onto one grid by itself."""

    @property
    def labelled(self) -> bool:
        """True where the label of some of its ground is known."""
        ...

    def without_label(self) -> ScenePart:
        """This part with nothing known of what is built there."""
        ...

    @property
    def grid(self) -> Georeference:
        """Size and place."""
        ...

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that it is read from."""
        ...

    @property
    def definition(self) -> str:
        """What beside the files decides its pixels."""
        ...

    def read(self, modalities: AbstractSet[Modality], window: Window | None = None) -> ChipArrays:
        """Read as `read_chip` does."""
        ...

    def instances(self) -> Instances:
        """Buildings by number, (h, w)."""
        ...
