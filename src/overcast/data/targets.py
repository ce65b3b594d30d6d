"""What a segmentation head may learn beside the footprint: edges of buildings, and contacts between them.

The strong recipe of SpaceNet 6: its winners trained footprint, edge and contact together, the edge a band inside each
footprint, the contact where two buildings come close, and separate touching buildings along both.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import assert_never

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import ndimage

from overcast.section import Section

Instances = NDArray[np.int32]
"""(h, w) number of the building that covers a pixel, from 1; 0 for none; `UNKNOWN` where nobody knows."""

UNKNOWN = -1


class Target(StrEnum):
    """What a logit says of a pixel."""

    FOOTPRINT = "footprint"
    """The pixel belongs to the class."""
    EDGE = "edge"
    """The pixel belongs to the class and lies near the border of its building."""
    CONTACT = "contact"
    """The pixel lies near two or more different buildings."""


class Targets(Section):
    """What is learnt beside the footprint, by further logits of the same heads; everything is off by default."""

    edge: bool = False
    """Learn the band inside the border of each building."""
    contact: bool = False
    """Learn where two or more different buildings are near."""
    edge_px: float = Field(default=2.0, ge=1, le=64)
    """Width of the band: largest distance between the centres of a building's pixel and of a pixel outside of it."""
    contact_px: float = Field(default=3.0, ge=1, le=64)
    """Largest distance between the centres of a pixel and of the nearest one of each building that it is near."""
    edge_weight: float = Field(default=0.25, ge=0, le=100)
    """Weight of the edge in every loss on logits, that of the footprint being 1."""
    contact_weight: float = Field(default=0.1, ge=0, le=100)
    """Weight of the contact, likewise."""

    @property
    def names(self) -> tuple[Target, ...]:
        """The meaning of each logit, the footprint first.

        >>> [name.value for name in Targets(contact=True).names]
        ['footprint', 'contact']
        """
        further = ((Target.EDGE, self.edge), (Target.CONTACT, self.contact))
        return (Target.FOOTPRINT, *(target for target, wanted in further if wanted))

    @property
    def weights(self) -> tuple[float, ...] | None:
        """The weight of each logit; None where there is the footprint alone."""
        return tuple(map(self._weight, self.names)) if len(self.names) > 1 else None

    def _weight(self, target: Target) -> float:
        match target:
            case Target.FOOTPRINT:
                return 1.0
            case Target.EDGE:
                return self.edge_weight
            case Target.CONTACT:
                return self.contact_weight
            case _:
                assert_never(target)


FOOTPRINTS = Targets()
"""The footprint alone."""


def draw_targets(instances: Instances, targets: Targets) -> NDArray[np.uint8]:
    """(T, h, w) 1 where edge or contact hold, in the order of `targets.names` after the footprint, else 0."""
    planes = [
        edges(instances, targets.edge_px) if name is Target.EDGE else contacts(instances, targets.contact_px)
        for name in targets.names[1:]
    ]
    return np.stack(planes).astype(np.uint8) if planes else np.zeros((0, *instances.shape), np.uint8)


def edges(instances: Instances, width_px: float) -> NDArray[np.bool_]:
    """(h, w) True for pixels of a building at most `width_px` from a pixel known not to be of it.

    What lies outside of the array is not known, so no band runs along its border.

    >>> row = np.array([[0, 1, 1, 1, 1, 2, 2, 2]], np.int32)
    >>> edges(row, 1.0).astype(int)
    array([[0, 1, 0, 0, 1, 1, 0, 0]])
    """
    found = np.zeros(instances.shape, np.bool_)
    for number, window in _windows(instances, int(np.ceil(width_px))):
        part = instances[window]
        other = (part != number) & (part != UNKNOWN)
        if other.any():
            found[window] |= (part == number) & (_distance_to(other) <= width_px)
    return found


def contacts(instances: Instances, reach_px: float) -> NDArray[np.bool_]:
    """(h, w) True for known pixels, of buildings or not, at most `reach_px` from two or more different buildings.

    >>> row = np.array([[0, 1, 1, 0, 0, 2, 2, 2]], np.int32)
    >>> contacts(row, 2.0).astype(int)
    array([[0, 0, 0, 1, 1, 0, 0, 0]])
    """
    near = np.zeros(instances.shape, np.int32)
    for number, window in _windows(instances, int(np.ceil(reach_px))):
        near[window] += _distance_to(instances[window] == number) <= reach_px
    return np.asarray((near >= 2) & (instances != UNKNOWN))


def _windows(instances: Instances, margin: int) -> Iterator[tuple[int, tuple[slice, slice]]]:
    """Each building's number and its bounding box grown by `margin`, cut at the array's border."""
    for number, box in enumerate(ndimage.find_objects(np.maximum(instances, 0)), start=1):
        if box is not None:
            rows, cols = (slice(max(side.start - margin, 0), side.stop + margin) for side in box)
            yield number, (rows, cols)


def _distance_to(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(h, w) pixels between the centres of each pixel and of the nearest one in `mask`, which is not empty."""
    return np.asarray(ndimage.distance_transform_edt(~mask), np.float64)
