"""Chip records, and the arrays that their files hold."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from overcast.batch import IGNORE_LABEL, Holds, Modality
from overcast.data.coco import Outlines
from overcast.data.labels import LabelSpec, mask_invalid, one_band, rasterize_footprints, read_mask
from overcast.data.targets import Instances
from overcast.errors import InputError
from overcast.raster.files import among, grid_of, open_grid, open_raster, reading, require_complete
from overcast.raster.georeference import Georeference, require_same_grid
from overcast.raster.grid import HALF_TURN, Turn, Window
from overcast.raster.opening import in_rasterio
from overcast.raster.radiometry import Radiometry, SensorRadiometry
from overcast.raster.sources import NativePixels, RasterioSource

if TYPE_CHECKING:
    from overcast.data.scene_part import ScenePart


@dataclass(frozen=True)
class Bounds:
    """A rectangle on the ground, in units of `crs`: mostly metres, degrees for a geographic one.

    Touching rectangles do not overlap.
    """

    left: float
    bottom: float
    right: float
    top: float
    crs: str

    @classmethod
    def of(cls, grid: Georeference) -> Bounds | None:
        """The envelope of a grid; None where it has no CRS."""
        if grid.crs is None:
            return None
        left, bottom, right, top = grid.extent
        return cls(left, bottom, right, top, grid.crs)


@dataclass(frozen=True)
class InvalidMask:
    """A raster that marks optical pixels without use: clouds, their shadows, saturation."""

    path: Path
    values: tuple[int, ...]
    """Values that mean that the optical image shows no ground there."""


@dataclass(frozen=True)
class ChipArrays:
    """Pixels of a chip, or of a window of it, in the data types of its files, turned where the chip asks for it."""

    sar: NativePixels | None
    """(C_s, h, w) with validity; None when not asked for."""
    optical: NativePixels | None
    """(C_o, h, w) with validity; None when not asked for or not there."""
    label: NDArray[np.uint8] | None
    """(h, w): 0 background, 1 the class, 255 ignored or without radar data; None without truth."""
    targets: NDArray[np.uint8] | None = None
    """(T, h, w): 1 where a target beside the footprint holds, else 0; None where none was asked for."""
    instances: Instances | None = None
    """(h, w) number of each pixel's building; None where not asked for."""

    @property
    def shape(self) -> tuple[int, int]:
        """(h, w)."""
        image = self.sar or self.optical
        if image is None:
            raise ValueError("a chip without images has no shape")
        height, width = image.valid.shape
        return height, width

    @property
    def nbytes(self) -> int:
        """Memory of the arrays."""
        images = [array for image in (self.sar, self.optical) if image for array in (image.values, image.valid)]
        truth = [array for array in (self.label, self.targets, self.instances) if array is not None]
        return sum(array.nbytes for array in (*images, *truth))

    @property
    def counted_share(self) -> float:
        """Share of pixels with a label that counts; without labels, of pixels with data."""
        if self.label is not None:
            return float(np.mean(self.label != IGNORE_LABEL))
        image = self.sar or self.optical
        return 0.0 if image is None else float(image.valid.mean())

    def crop(self, window: Window) -> ChipArrays:
        """Views of a window."""
        return self._map(lambda array: array[..., *window.slices])

    def turned(self, turn: Turn) -> ChipArrays:
        """Turned copies; the same arrays where there is nothing to turn."""
        return self._map(turn.apply)

    def _map(self, function: Callable[[NDArray[Any]], NDArray[Any]]) -> ChipArrays:
        def apply(image: NativePixels | None) -> NativePixels | None:
            return None if image is None else NativePixels(function(image.values), function(image.valid))

        truth = (None if array is None else function(array) for array in (self.label, self.targets, self.instances))
        return ChipArrays(apply(self.sar), apply(self.optical), *truth)


@dataclass(frozen=True)
class Chip:
    """One co-registered sample on disk."""

    key: str
    """Unique name within the catalog."""
    place: str
    """Group that splits never cut and that the bootstrap resamples: one piece of ground."""
    sar: tuple[Path, ...]
    """Files whose bands, concatenated in this order, are the declared SAR bands; empty when there is no SAR image."""
    optical: tuple[Path, ...]
    """Same for the optical bands; empty when there is no optical image."""
    mask: Path | None = None
    """Label raster on the same grid."""
    footprints: Path | None = None
    """Vector file of footprints (exclusive with `mask`)."""
    labelled_area: Path | None = None
    """Vector file of the ground on which the label is complete; elsewhere it is 255. None: the whole chip."""
    outlines: Outlines | None = None
    """Footprints in pixels of the image, from a COCO file (exclusive with both)."""
    bounds: Bounds | None = None
    """Ground covered; None for files without georeference."""
    optical_invalid: InvalidMask | None = None
    """Where the optical image counts as missing; None: its own nodata alone says so."""
    rotate_180: bool = False
    """True where SAR, optical and label are rotated by 180 degrees to reach the catalog's radar side."""
    mirrored: bool = False
    """True where the grid of the files is mirrored (rows that run northwards, columns that run westwards): rows are
    reversed on reading, so that the ground is seen from above."""
    scene: ScenePart | None = None
    """Where its pixels come from if it is a part of a larger scene; `sar` and `optical` then only say what is there."""

    @property
    def labelled(self) -> bool:
        """True where there is a mask, a footprint file or outlines, or its part of a scene is labelled."""
        if self.scene is not None:
            return self.scene.labelled
        return not (self.mask is None and self.footprints is None and self.outlines is None)

    @property
    def turn(self) -> Turn:
        """Axes that are reversed on reading."""
        return (HALF_TURN if self.rotate_180 else Turn()).then(Turn(rows=self.mirrored))

    @property
    def first_file(self) -> Path:
        """An image that names the chip in messages: of the radar, where there is one."""
        return (*self.sar, *self.optical)[0]

    @property
    def holds(self) -> Holds:
        """Which images and labels it has."""
        return Holds(bool(self.sar), bool(self.optical), self.labelled)

    def without_label(self) -> Chip:
        """These images with nothing known of what is built there."""
        scene = None if self.scene is None else self.scene.without_label()
        return replace(self, mask=None, footprints=None, outlines=None, scene=scene)


def read_chip(
    chip: Chip,
    radiometry: Radiometry,
    label_spec: LabelSpec,
    modalities: AbstractSet[Modality],
    window: Window | None = None,
) -> ChipArrays:
    """Decode a chip, or a window of it given in its turned frame.

    Only files of the modalities are opened, with one exception: a label is ignored (255) where the radar saw nothing,
    so that every modality is judged on the same pixels; where there is a label the SAR files are therefore read.

    Raises:
        InputError: A file is missing, damaged, of another band count, or not on the grid of the others.
    """
    if chip.scene is not None:
        return chip.scene.read(modalities, window)
    reference = _reference(chip, modalities, radiometry)
    with RasterioSource.open(*reference) as source:
        image = (reference[0][0], source.georeference)
        at = chip.turn.window(window or image[1].whole, image[1].height, image[1].width)
        first = source.read_native(at)
    sar, optical = (first, None) if reference[0] is chip.sar else (None, first)
    if optical is None and Modality.OPTICAL in modalities and radiometry.optical is not None and chip.optical:
        with RasterioSource.open(chip.optical, radiometry.optical) as source:
            _require_aligned(image, (chip.optical[0], source.georeference), "bilinear")
            optical = source.read_native(at)
    if optical is not None and chip.optical_invalid is not None:
        optical = without_invalid(optical, chip.optical_invalid, at, image)
    label = _read_label(chip, label_spec, at, image)
    if label is not None and sar is not None:
        label = mask_invalid(label, sar.valid)
    arrays = ChipArrays(sar if Modality.SAR in modalities else None, optical, label)
    return arrays.turned(chip.turn)


def check_chip(chip: Chip, radiometry: Radiometry) -> Georeference:
    """Grid of a chip, after reading the headers of its files.

    Raises:
        InputError: A file is missing, of another band count, or not on the grid of the others.
    """
    reference = _reference(chip, frozenset(Modality), radiometry)
    first = reference[0][0]
    with RasterioSource.open(*reference) as source:
        grid = source.georeference
    if chip.sar and chip.optical and radiometry.optical is not None:
        with RasterioSource.open(chip.optical, radiometry.optical) as source:
            _require_aligned((first, grid), (chip.optical[0], source.georeference), "bilinear")
    for path in (chip.mask, chip.optical_invalid.path if chip.optical_invalid else None):
        if path is not None:
            with open_raster(path) as dataset:
                one_band(path, dataset)
                _require_aligned((first, grid), (path, grid_of(dataset)), "near")
    if chip.outlines is not None:
        chip.outlines.require_size(first, grid)
    return grid


def chip_grid(chip: Chip, modalities: AbstractSet[Modality], radiometry: Radiometry) -> Georeference:
    """Grid of a chip from the header of one file that `read_chip` opens for these modalities."""
    if chip.scene is not None:
        return chip.scene.grid
    return open_grid(_reference(chip, modalities, radiometry)[0][0])


def _reference(
    chip: Chip, modalities: AbstractSet[Modality], radiometry: Radiometry
) -> tuple[tuple[Path, ...], SensorRadiometry]:
    """The image whose grid the other files must share."""
    if chip.sar and (chip.labelled or Modality.SAR in modalities):
        return chip.sar, radiometry.sar
    if chip.optical and radiometry.optical is not None and Modality.OPTICAL in modalities:
        return chip.optical, radiometry.optical
    wanted = " or ".join(sorted(modalities))
    raise InputError(f"chip {chip.key} has no {wanted} image; leave it out or ask for another sensor.")


def without_invalid(
    optical: NativePixels, mask: InvalidMask, window: Window, image: tuple[Path, Georeference]
) -> NativePixels:
    """The optical pixels of a window with those that the mask names counted as missing.

    Raises InputError where the mask is damaged, has several bands or lies on another grid than the image.
    """
    with open_raster(mask.path) as dataset:
        _require_aligned(image, (mask.path, grid_of(dataset)), "near")
        band = one_band(mask.path, dataset)
        require_complete(mask.path, dataset)
        at = in_rasterio(window)
        with reading(mask.path):
            values = dataset.read(band, window=at)
    valid = optical.valid & ~among(values, mask.values)
    return NativePixels(np.where(valid, optical.values, 0).astype(optical.values.dtype, copy=False), valid)


def _read_label(
    chip: Chip, spec: LabelSpec, window: Window, image: tuple[Path, Georeference]
) -> NDArray[np.uint8] | None:
    label = _drawn_label(chip, spec, window, image)
    if label is None or chip.labelled_area is None:
        return label
    return mask_invalid(label, rasterize_footprints(chip.labelled_area, image[1].crop(window)) == 1)


def _drawn_label(
    chip: Chip, spec: LabelSpec, window: Window, image: tuple[Path, Georeference]
) -> NDArray[np.uint8] | None:
    if chip.mask is not None:
        return read_mask(chip.mask, window, spec, image)
    if chip.footprints is not None:
        return rasterize_footprints(chip.footprints, image[1].crop(window))
    if chip.outlines is not None:
        chip.outlines.require_size(*image)
        return chip.outlines.draw(window)
    return None


def _require_aligned(reference: tuple[Path, Georeference], other: tuple[Path, Georeference], resampling: str) -> None:
    require_same_grid(reference[1], other[1], reference_path=reference[0], other_path=other[0], resampling=resampling)
