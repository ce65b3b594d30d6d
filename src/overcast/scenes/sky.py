"""An optical image beside a scene: brought onto the radar's grid window by window, missing where it shows no ground."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overcast.data.scenes.handles import Image
from overcast.data.scenes.layers import CloudMask, Layer, Mosaic
from overcast.data.scenes.open_place import probes
from overcast.errors import ConfigError, InputError, RadiometryError
from overcast.raster.addresses import address, file_name, located
from overcast.raster.georeference import Georeference
from overcast.raster.grid import Window
from overcast.raster.radiometry import BandStatistics, SensorRadiometry
from overcast.raster.resample import Regridding
from overcast.raster.sources import NativePixels, Pixels, RasterioSource, RasterSource
from overcast.raster.units import Resampling, Unit

LARGEST_READ = 2**22
"""Pixels of an image that are brought onto the grid at once; a window that needs more is read in parts."""
SMALLEST_SIDE = 32
"""Windows are not cut into smaller parts."""
LOOKS, LOOK_PX = 5, 64
"""Windows along each side of a scene, and their size, in which the values of an optical image are looked at."""
FARTHEST = 10.0
"""Standard deviations of the training images by which the median of a band may differ from their mean."""


@dataclass(frozen=True)
class OpticalInput:
    """The optical image that is given beside a scene."""

    files: tuple[Path, ...]
    """Sheets, each with the model's optical bands, in any coordinate system and pixel size; the first that shows a
    pixel counts. None: every pixel is mapped from SAR alone."""
    clouds: Path | None = None
    """Mask of clouds, in any coordinate system."""
    cloud_values: tuple[int, ...] | None = None
    """Values of the mask that hide the ground; None: every value but 0."""
    nodata: float | None = None
    """Value without data, beside those that the files declare."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file."""
        return self.files if self.clouds is None else (*self.files, self.clouds)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the sheets, without folders, passwords or signatures."""
        return tuple(file_name(path) for path in self.files)


def optical_input(
    files: Sequence[str | Path],
    clouds: str | Path | None = None,
    cloud_values: Sequence[int] | None = None,
    nodata: float | None = None,
) -> OpticalInput | None:
    """What is given beside a scene, by names or addresses; None where nothing is.

    Raises ConfigError where a cloud mask, its values or nodata are given without an image or a mask.
    """
    if cloud_values is not None and clouds is None:
        raise ConfigError("values that mean cloud are given, but no cloud mask; name it.")
    if not files:
        if clouds is not None or nodata is not None:
            raise ConfigError("clouds or nodata of an optical image are given, but no optical image; name it.")
        return None
    values = None if cloud_values is None else tuple(cloud_values)
    return OpticalInput(
        tuple(located(file) for file in files), None if clouds is None else located(clouds), values, nodata
    )


@dataclass(frozen=True)
class SkyStatistics:
    """Standardises tiles in which SAR, optical image and validity of the latter lie behind each other."""

    sar: BandStatistics
    optical: BandStatistics

    def standardise(self, values: NDArray[np.floating], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        """(C, h, w) float32; each sensor is 0 where it has no data."""
        bands, seen = len(self.sar.mean), values[-1] > 0
        sar, optical = self.sar.standardise(values[:bands], valid), self.optical.standardise(values[bands:-1], seen)
        return np.concatenate([sar, optical, seen[None].astype(np.float32)])


@dataclass(frozen=True)
class _Held(Image):
    """An image that is open as long as its scene is mapped."""

    source: RasterioSource

    def open(self) -> RasterioSource:
        return self.source


class Sky:
    """The optical image of a scene on the scene's grid."""

    def __init__(self, mosaic: Mosaic, clouds: CloudMask | None, bands: int) -> None:
        """Use `open_sky`."""
        self._mosaic, self._clouds, self.bands = mosaic, clouds, bands
        images: list[Layer | CloudMask] = [*mosaic.layers, *([] if clouds is None else [clouds])]
        self.source_pixels = max((_source_pixels(image) for image in images), default=1.0)
        """Pixels of the finest sheet, or of the mask, under one of the scene."""

    def read(self, window: Window) -> NativePixels:
        """(C, h, w) values, and (h, w) where they show the ground; 0 elsewhere. Read in parts, it holds the same."""
        parts = _parts(window, window.height * window.width * self.source_pixels)
        if len(parts) == 1:
            return self._read(window)
        read = [self._read(part) for part in parts]
        shape, dtype = (window.height, window.width), np.result_type(*(part.values for part in read))
        values, valid = np.zeros((len(read[0].values), *shape), dtype), np.zeros(shape, np.bool_)
        for part, found in zip(parts, read, strict=True):
            inside = part.relative_to(window).slices
            values[(slice(None), *inside)], valid[inside] = found.values, found.valid
        return NativePixels(values, valid)

    def _read(self, window: Window) -> NativePixels:
        if not self._mosaic.layers:
            shape = window.height, window.width
            return NativePixels(np.zeros((self.bands, *shape), np.uint8), np.zeros(shape, np.bool_))
        found = self._mosaic.read(window)
        if self._clouds is None or not found.valid.any():
            return found
        valid = found.valid & ~self._clouds.read(window)
        return NativePixels(np.where(valid, found.values, 0).astype(found.values.dtype, copy=False), valid)

    def behind(self, sar: RasterSource) -> SkySource:
        """A scene with this image behind its own bands."""
        return SkySource(sar, self)

    def _meets(self, grid: Georeference) -> bool:
        """True where a sheet reaches onto the grid."""
        places = probes(grid)
        for layer in self._mosaic.layers:
            row, col = layer.locate(*places)
            if ((row >= 0) & (row <= layer.source.height) & (col >= 0) & (col <= layer.source.width)).any():
                return True
        return False

    def note_on(self, statistics: BandStatistics, grid: Georeference, name: str, scene: str) -> str | None:
        """What the user should know of the image on the grid of a scene.

        Raises RadiometryError where a sample of its values is far from those that a model was trained on.
        """
        self._require_like(statistics, grid, name)
        if self._mosaic.layers and not self._meets(grid):
            return f"{name} shows no ground of {scene}: it is mapped from SAR alone"
        return None

    def _require_like(self, statistics: BandStatistics, grid: Georeference, name: str) -> None:
        found = [self._read(window) for window in _looks(grid)]
        seen = [image.values[:, image.valid].astype(np.float64) for image in found if image.valid.any()]
        if not seen:
            return
        medians = np.median(np.concatenate(seen, axis=1), axis=1)
        for band, (median, mean, std) in enumerate(zip(medians, statistics.mean, statistics.std, strict=True), 1):
            if abs(median - mean) > FARTHEST * std:
                raise RadiometryError(
                    f"{name}: half of the values of band {band} lie at {median:.4g} or beyond, but the model was "
                    f"trained on values about {mean:.4g} (deviation {std:.3g}); scale the image as the training "
                    "images were."
                )


class SkySource:
    """A scene with the optical image behind its own bands, and behind that 1 where the image shows the ground."""

    def __init__(self, sar: RasterSource, sky: Sky) -> None:
        """Stack `sky` behind a scene."""
        self._sar, self._sky = sar, sky

    @property
    def georeference(self) -> Georeference:
        """Grid of the scene."""
        return self._sar.georeference

    @property
    def band_count(self) -> int:
        """Bands of both, and one more."""
        return self._sar.band_count + self._sky.bands + 1

    def read(self, window: Window) -> Pixels:
        """Pixels of a window that lies inside the grid; valid where the scene has data."""
        pixels = self._sar.read(window)
        values = np.zeros((self.band_count, window.height, window.width), np.float32)
        values[: self._sar.band_count] = pixels.values
        if pixels.valid.any():
            seen = self._sky.read(window)
            values[self._sar.band_count : -1], values[-1] = seen.values, seen.valid
        return Pixels(values, pixels.valid)


@contextmanager
def open_sky(given: OpticalInput, sensor: SensorRadiometry, grid: Georeference, scene: Path) -> Iterator[Sky]:
    """The optical image of a scene.

    Args:
        given: Files.
        sensor: Meaning of the model's optical bands.
        grid: Of the scene.
        scene: For messages.

    Raises:
        InputError: A file is missing, damaged, placed nowhere or of another number of bands, or the scene has no CRS.
    """
    if grid.crs is None:
        raise InputError(
            f"{address(scene)} has no coordinate reference system, so no optical image can be laid beside it; assign "
            "it (gdal_edit.py -a_srs EPSG:... -a_ullr ...)."
        )
    nodata = sensor.nodata if given.nodata is None else given.nodata
    declared = sensor.model_copy(update={"gsd_m": grid.gsd_m, "nodata": nodata})
    with ExitStack() as stack:
        sheets = [_held(path, declared, stack) for path in given.files]
        layers = [Layer(image, image.source.georeference, grid) for image in sheets]
        clouds = None
        if given.clouds is not None:
            mask = SensorRadiometry(bands=("cloud",), unit=Unit.DIGITAL_NUMBER, gsd_m=grid.gsd_m)
            image = _held(given.clouds, mask, stack)
            clouds = CloudMask(image, image.source.georeference, grid, given.cloud_values)
        yield Sky(Mosaic(tuple(layers)), clouds, len(sensor.bands))


def _held(path: Path, sensor: SensorRadiometry, stack: ExitStack) -> _Held:
    source = stack.enter_context(RasterioSource.open([path], sensor, virtual=True))
    grid = source.georeference
    if grid.crs is None or grid.transform.is_identity or grid.transform.determinant == 0:
        missing = "coordinate reference system" if grid.crs is None else "geotransform"
        raise InputError(
            f"{address(path)} has no {missing}, so nobody knows where it lies; assign it "
            "(gdal_edit.py -a_srs EPSG:<code> -a_ullr <left> <top> <right> <bottom>)."
        )
    return _Held((path,), sensor, source)


def _source_pixels(image: Layer | CloudMask) -> float:
    down, right = Regridding(image.source, image.target, Resampling.BILINEAR).footprint
    return max(1.0, down * right)


def _looks(grid: Georeference) -> list[Window]:
    """Windows spread over a grid."""
    height, width = min(LOOK_PX, grid.height), min(LOOK_PX, grid.width)
    rows, cols = (
        np.unique(np.linspace(0, length - side, LOOKS).astype(int)).tolist()
        for length, side in ((grid.height, height), (grid.width, width))
    )
    return [Window(row, col, height, width) for row in rows for col in cols]


def _parts(window: Window, pixels: float) -> list[Window]:
    """The window cut in halves until each part needs few enough pixels of the image."""
    if pixels <= LARGEST_READ or max(window.height, window.width) <= SMALLEST_SIDE:
        return [window]
    if window.height >= window.width:
        first = Window(window.row, window.col, window.height // 2, window.width)
        rest = Window(first.stop[0], window.col, window.height - first.height, window.width)
    else:
        first = Window(window.row, window.col, window.height, window.width // 2)
        rest = Window(window.row, first.stop[1], window.height, window.width - first.width)
    return [part for half in (first, rest) for part in _parts(half, pixels / 2)]
