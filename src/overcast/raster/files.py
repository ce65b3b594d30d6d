"""Raster files: opening them, which of their bands are data, and errors that name the file."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window as RasterioWindow

from overcast.errors import InputError
from overcast.raster.addresses import INSIDE, address, file_name, is_remote, located
from overcast.raster.georeference import Georeference
from overcast.raster.grid import Window
from overcast.raster.kinds import require_image
from overcast.raster.measurements import refuse_complex, refuse_scaled_numbers, require_measurements
from overcast.raster.opening import in_rasterio, open_dataset
from overcast.raster.radiometry import SensorRadiometry, require_names
from overcast.raster.tiles import beside_each_other
from overcast.reading import shortened

warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)
# A file without georeference (most PNG) is normal here; where one is needed, our own error says so. The filter is for
# the whole process because `warnings.catch_warnings` is not safe in the threads that read chips.

LARGEST_READ_PIXELS = 2**27
"""Pixels that are read at once: 11585 x 11585. Scenes are read in parts; a chip of a few kB may claim more."""
PNG_END = b"IEND\xaeB`\x82"
"""Last chunk of a PNG: its name and checksum."""
PNG_TAIL_BYTES = 4096
"""The end mark is looked for here; some writers add text behind it."""


@contextmanager
def open_raster(path: Path, *, virtual: bool = False) -> Iterator[Any]:
    """The rasterio data set of a file, opened by the one driver that its name and first bytes ask for.

    `virtual` is for files that the user named: they may be virtual rasters of images in their own folder. Raises
    InputError where the file is missing, unreadable, or something else than its name says.
    """
    remote_name = file_name(located(path)) if is_remote(path) else None
    if remote_name is None:
        require_image(path)
    with reading(path):
        dataset = open_dataset(path, remote_name=remote_name, virtual=virtual)
    try:  # not `with dataset`: it belongs to one thread, and a file may be closed by another than opened it
        yield dataset
    finally:
        dataset.close()


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what rasterio raises inside into an InputError that names the file."""
    try:
        yield
    except (RasterioError, CPLE_BaseError, UnicodeDecodeError) as error:
        reason = str(error.__cause__ or error).strip().rstrip(".")
        if (inside := INSIDE.fullmatch(str(path))) is not None:
            raise InputError(
                f"{shortened(inside['name'], 70)} in {Path(inside['archive']).name} cannot be read as an image "
                f"({shortened(_without_path(reason, path), 70)}); copy the archive again."
            ) from error
        if is_remote(path):
            raise InputError(
                f"{shortened(address(path), 140)} cannot be read as an image "
                f"({shortened(_without_path(reason, path), 70)}); check the address, the rights to read it and the "
                "connection."
            ) from error
        raise InputError(
            f"{path} cannot be read as an image ({reason}); it is damaged, truncated or of another format: "
            "copy or convert it again."
        ) from error


def _without_path(reason: str, path: Path) -> str:
    """GDAL's reason without its own name of the file, on one line."""
    return " ".join(reason.replace(str(path), "").replace("'' ", "").split()).lstrip(":,. ")


def grid_of(dataset: Any) -> Georeference:
    """Size and place of an open rasterio data set."""
    crs = dataset.crs.to_string() if dataset.crs else None
    return Georeference(dataset.height, dataset.width, dataset.transform, crs)


def open_grid(path: Path) -> Georeference:
    """Size and place of a raster file; reads only its header."""
    with open_raster(path) as dataset:
        return grid_of(dataset)


def require_readable(path: Path, height: int, width: int) -> None:
    """Raise InputError for more pixels than are read at once, before memory is asked for."""
    if height * width > LARGEST_READ_PIXELS:
        raise InputError(
            f"{path}: {height} x {width} pixels are more than a chip can have ({LARGEST_READ_PIXELS} pixels); "
            "cut the image and its mask into chips."
        )


def among(values: NDArray[Any], wanted: Iterable[float]) -> NDArray[np.bool_]:
    """True where a value is one of those wanted; needs a byte a pixel, where `numpy.isin` may need eight."""
    found = np.zeros(values.shape, np.bool_)
    for value in wanted:
        found |= values == value
    return found


def require_complete(path: Path, dataset: Any) -> None:
    """Raise InputError for a truncated file before any work is done on it.

    The last block of a TIFF is read; a PNG must carry its end mark, because GDAL fills the rows that a truncated PNG
    lacks with whatever was in memory and reports nothing.
    """
    match dataset.driver:
        case "GTiff" | "COG":
            last = RasterioWindow(dataset.width - 1, dataset.height - 1, 1, 1)
            with reading(path):
                dataset.read(dataset.count, window=last)
        case "PNG" if not is_remote(path):
            with path.open("rb") as file:
                file.seek(max(path.stat().st_size - PNG_TAIL_BYTES, 0))
                if PNG_END not in file.read():
                    raise InputError(f"{path} is truncated: the end mark of a PNG is missing; copy it again.")


@dataclass(frozen=True)
class RasterFile:
    """One open raster and which of its bands are data."""

    path: Path
    dataset: Any  # rasterio publishes no types
    indexes: tuple[int, ...]
    """Data bands, counted from 1."""
    masked: bool
    """True where a mask band, internal or beside the file, or an alpha band says which pixels are data."""
    nodata: tuple[float, ...] = ()
    """Stored values without data beside those that the file itself declares."""

    @property
    def scaling_pairs(self) -> tuple[tuple[float, float], ...]:
        """Factor and offset of each data band that the file declares for its stored values."""
        factors, offsets = self.dataset.scales, self.dataset.offsets
        return tuple((float(factors[index - 1]), float(offsets[index - 1])) for index in self.indexes)

    @cached_property
    def scaling(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Factors and offsets (C, 1, 1) that the file declares for its stored values; None where it declares none."""
        found = np.array(self.scaling_pairs, np.float64).T
        if (found[0] == 1).all() and (found[1] == 0).all():
            return None
        return found[0][:, None, None], found[1][:, None, None]

    def read(self, window: Window, shape: tuple[int, int] | None = None) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Values (C, h, w) with the file's scale and offset applied, and (h, w) False where there are no data.

        With a `shape` (h, w) that is smaller than the window, pixels are picked, from an overview where there is one.
        Without scale and offset values keep the data type of the file; scaled ones are float32. Nodata values are
        compared with what is stored. NaN is left to the caller. Raises InputError for a damaged file.
        """
        at = in_rasterio(window)
        with reading(self.path):
            size = None if shape is None else (len(self.indexes), *shape)
            values = self.dataset.read(self.indexes, window=at, out_shape=size)
            mask = self.dataset.dataset_mask(window=at, out_shape=shape) if self.masked else None
        valid = np.ones(values.shape[1:], np.bool_) if mask is None else mask != 0
        for band, index in zip(values, self.indexes, strict=True):
            for nodata in (self.dataset.nodatavals[index - 1], *self.nodata):
                if nodata is not None and not np.isnan(nodata):
                    valid &= band != nodata
        return values if self.scaling is None else _scaled(values, *self.scaling), valid


def _scaled(values: NDArray[Any], factors: NDArray[np.float64], offsets: NDArray[np.float64]) -> NDArray[Any]:
    """Stored values times factor plus offset: computed in double precision, kept in single precision."""
    kept = np.complex64 if np.iscomplexobj(values) else np.float32
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is infinite, which counts as missing
        return (values * factors + offsets).astype(kept)


def choose_bands(paths: Sequence[Path], datasets: Sequence[Any], sensor: SensorRadiometry) -> list[RasterFile]:
    """Data bands of each file: all of them, or all but alpha, whichever makes the declared number.

    GDAL marks the fourth band of 8 and 16 bit files as alpha although it may be near infrared, so the declaration
    decides: an alpha band that is declared is data, one that is not says which pixels are.

    Raises:
        InputError: The number fits neither way, values are complex, or mean no measurement.
        RadiometryError: Digital numbers are declared, but the file declares a scale for its values; or the file calls
            its bands otherwise.
    """
    for path, dataset in zip(paths, datasets, strict=True):
        refuse_complex(path, dataset)
        refuse_scaled_numbers(path, dataset, sensor.unit)
    missing = () if sensor.nodata is None else (sensor.nodata,)
    every = [tuple(dataset.indexes) for dataset in datasets]
    opaque = [opaque_bands(dataset) for dataset in datasets]
    for indexes in (every, opaque):
        if sum(map(len, indexes)) == len(sensor.bands):
            for path, dataset in zip(paths, datasets, strict=True):
                require_measurements(path, dataset)
            chosen_names = [
                dataset.descriptions[index - 1]
                for dataset, chosen in zip(datasets, indexes, strict=True)
                for index in chosen
            ]
            require_names(address(paths[0]), chosen_names, sensor)
            return [
                RasterFile(path, dataset, chosen, is_masked(dataset, alpha_is_data=indexes is every), missing)
                for path, dataset, chosen in zip(paths, datasets, indexes, strict=True)
            ]
    if len(paths) > 1 and beside_each_other(datasets):
        raise InputError(
            f"{', '.join(map(str, paths))} lie beside each other; make one scene of these tiles first: overcast "
            f"prepare {' '.join(str(path) for path in paths[:2])}{' ...' if len(paths) > 2 else ''} -o scene.tif."
        )
    found = " + ".join(str(len(indexes)) for indexes in every)
    palette = any(ColorInterp.palette in dataset.colorinterp for dataset in datasets)
    hint = "expand its palette with gdal_translate -expand rgb" if palette else "correct the declaration or the files"
    if {"HH", "HV", "VH", "VV"} & set(sensor.bands) and any(map(is_photograph, datasets)):
        hint = "this looks like a colour photograph (red, green, blue): give the radar's file"
    raise InputError(
        f"{', '.join(map(str, paths))}: {len(sensor.bands)} bands are declared {list(sensor.bands)}, "
        f"but {found} found; {hint}."
    )


def opaque_bands(dataset: Any) -> tuple[int, ...]:
    """Bands of an open data set that are not alpha, counted from 1. A band with another name is not."""
    with reading(Path(dataset.name)):
        colours = dataset.colorinterp  # asks GDAL about every band each time
    return tuple(
        index
        for index in dataset.indexes
        if colours[index - 1] is not ColorInterp.alpha or _is_named(dataset.descriptions[index - 1])
    )


def _is_named(description: str | None) -> bool:
    """True for the name of anything but transparency."""
    return bool(description) and "alpha" not in str(description).lower()


def is_photograph(dataset: Any) -> bool:
    """True where three 8-bit bands call themselves red, green and blue, and none is described as anything else."""
    colours = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
    plain = all(dtype == "uint8" for dtype in dataset.dtypes) and not any(dataset.descriptions)
    return plain and list(dataset.colorinterp[:3]) == colours


def is_masked(dataset: Any, *, alpha_is_data: bool) -> bool:
    """True where a mask band, or an alpha band that is not data, says which pixels are."""
    return any(
        MaskFlags.per_dataset in flags and not (alpha_is_data and MaskFlags.alpha in flags)
        for flags in dataset.mask_flag_enums
    )
