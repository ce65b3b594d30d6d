"""A place: its images and footprints on one grid, read window by window."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overcast.batch import IGNORE_LABEL, Modality
from overcast.data.chips import ChipArrays
from overcast.data.labels import mask_invalid
from overcast.data.scenes.burning import Polygons
from overcast.data.scenes.layers import CloudMask, Layer, Mosaic
from overcast.data.targets import UNKNOWN, Instances
from overcast.errors import InputError
from overcast.raster.georeference import Georeference
from overcast.raster.grid import Window
from overcast.raster.sources import NativePixels


@dataclass(frozen=True)
class Place:
    """What a place has; its files have been opened and fit together."""

    name: str
    grid: Georeference
    """In metres; every array of the place is a window of it."""
    sar: Layer | None
    optical: Mosaic | None
    clouds: CloudMask | None
    footprints: Polygons | None
    area: Polygons | None
    """Where the footprints are complete; None: everywhere."""
    files: tuple[Path, ...]
    """Every file that it is read from."""
    definition: str
    """What else decides its pixels, such as shifts, as text."""

    def read(self, window: Window, modalities: AbstractSet[Modality], *, labelled: bool = True) -> ChipArrays:
        """Pixels of a window of the grid; the label is 255 where nobody knows it or the radar saw nothing.

        What is read twice is the same to the bit, and so is what two windows share.

        Args:
            window: Inside of the grid.
            modalities: Images that are wanted, where the place has them.
            labelled: False leaves the label out.

        Raises:
            InputError: A file is damaged, or the place has none of the images.
        """
        label = self.label(window) if labelled and self.footprints is not None else None
        sar = optical = None
        if self.sar is not None and (Modality.SAR in modalities or label is not None):
            sar = self.sar.read(window)
            label = None if label is None else mask_invalid(label, sar.valid)
        if self.optical is not None and Modality.OPTICAL in modalities:
            optical = self._clear(self.optical.read(window), window)
        wanted = sar if Modality.SAR in modalities else None
        if wanted is None and optical is None:
            names = " and ".join(sorted(modality.value for modality in modalities))
            raise InputError(f"place {self.name} has no {names} image; leave it out of this training.")
        return ChipArrays(wanted, optical, label)

    def _clear(self, optical: NativePixels, window: Window) -> NativePixels:
        if self.clouds is None:
            return optical
        valid = optical.valid & ~self.clouds.read(window)
        return NativePixels(np.where(valid, optical.values, 0).astype(optical.values.dtype, copy=False), valid)

    def known(self, window: Window) -> NDArray[np.bool_]:
        """(h, w) True where the footprints are complete."""
        if self.footprints is None:
            return np.zeros((window.height, window.width), np.bool_)
        return np.ones((window.height, window.width), np.bool_) if self.area is None else self.area.mask(window)

    def label(self, window: Window) -> NDArray[np.uint8]:
        """(h, w): 0 background, 1 the class, 255 where nobody knows."""
        inside = self.footprints.mask(window) if self.footprints is not None else False
        return np.where(self.known(window), inside, IGNORE_LABEL).astype(np.uint8)

    def instances(self, window: Window) -> Instances:
        """(h, w) number of the footprint that covers a pixel, 0 for none, `UNKNOWN` where nobody knows."""
        if self.footprints is None:
            return np.full((window.height, window.width), UNKNOWN, np.int32)
        return np.where(self.known(window), self.footprints.number(window), UNKNOWN).astype(np.int32)
