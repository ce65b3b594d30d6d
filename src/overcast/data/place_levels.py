"""Levels of the scenes or places that chips are parts of: what a chip alone does not know of its scene."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from overcast.batch import Modality
from overcast.data.chips import Chip, read_chip
from overcast.data.labels import LabelSpec
from overcast.data.scene_level import SceneLevel
from overcast.raster.radiometry import Radiometry

SAMPLE_CHIPS = 64
"""Chips of a scene or place, spread evenly, that its level is taken of."""


class PlaceLevels:
    """The level of each chip's scene, or of its place where it comes as a file of its own; read when first asked for.

    All chips of a scene count, whatever part of the split they are in: a level says nothing of what is built.
    """

    def __init__(self, chips: Iterable[Chip], radiometry: Radiometry, label_spec: LabelSpec) -> None:
        """Prepare; no pixel is read."""
        self._radiometry, self._label_spec = radiometry, label_spec
        self._members: dict[str, list[Chip]] = defaultdict(list)
        for chip in chips:
            if chip.sar:
                self._members[_group(chip)].append(chip)
        self._found: dict[str, SceneLevel] = {}

    def of(self, chip: Chip) -> SceneLevel:
        """The level of the scene or place of a chip that has a radar image.

        Raises InputError where a file cannot be read.
        """
        group = _group(chip)
        if group not in self._found:
            members = self._members[group]
            chosen = members[:: max(1, -(-len(members) // SAMPLE_CHIPS))]
            pixels = np.concatenate([self._pixels(member) for member in chosen], axis=1)
            self._found[group] = SceneLevel.of(pixels, self._radiometry.sar.unit)
        return self._found[group]

    def _pixels(self, chip: Chip) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        """(C, N) pixels with data."""
        arrays = read_chip(chip.without_label(), self._radiometry, self._label_spec, frozenset({Modality.SAR}))
        assert arrays.sar is not None, "only chips with a radar image are members"
        return arrays.sar.values[:, arrays.sar.valid].astype(np.float32)


def _group(chip: Chip) -> str:
    return chip.place if chip.scene is None else "\n".join(map(str, chip.scene.files))
