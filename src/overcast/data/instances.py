"""Single buildings of a chip: by its vector footprints where it has them, else connected parts of its mask."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from overcast.batch import IGNORE_LABEL
from overcast.data.chips import Chip
from overcast.data.labels import LabelSpec, number_footprints, rasterize_footprints, read_mask
from overcast.data.targets import UNKNOWN, Instances
from overcast.raster.files import open_grid


def read_instances(chip: Chip, spec: LabelSpec) -> Instances | None:
    """Buildings of a whole chip by number, (H, W), turned where the chip asks for it; None without truth.

    In a mask, buildings are connected through the sides of their pixels, and ignored pixels are `UNKNOWN`. Pixels
    that the radar did not see are numbered all the same: a footprint does not end where the image does.

    Raises:
        InputError: A file is missing, damaged or not on the grid of the image.
    """
    if not chip.labelled:
        return None
    if chip.scene is not None:
        return chip.scene.instances()
    numbered = _in_file(chip, spec)
    if chip.labelled_area is not None:
        known = rasterize_footprints(chip.labelled_area, open_grid(chip.first_file)) == 1
        numbered = np.where(known, numbered, UNKNOWN).astype(np.int32)
    return chip.turn.apply(numbered)


def _in_file(chip: Chip, spec: LabelSpec) -> Instances:
    image = (*chip.sar, *chip.optical)[0]
    grid = open_grid(image)
    if chip.footprints is not None:
        return number_footprints(chip.footprints, grid)
    if chip.outlines is not None:
        return chip.outlines.number(grid.whole)
    assert chip.mask is not None, "a labelled chip has footprints, outlines or a mask"
    label = read_mask(chip.mask, None, spec, (image, grid))
    parts, _ = ndimage.label(label == 1)
    return np.where(label == IGNORE_LABEL, UNKNOWN, parts).astype(np.int32)
