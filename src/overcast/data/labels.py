"""Labels: which mask values mean what, footprints drawn onto a grid, and no label where the radar saw nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import rasterio.features
import shapely
from numpy.typing import NDArray

from overcast.batch import IGNORE_LABEL
from overcast.errors import InputError
from overcast.raster.files import (
    among,
    grid_of,
    opaque_bands,
    open_raster,
    reading,
    require_complete,
    require_readable,
)
from overcast.raster.georeference import Georeference, require_same_grid
from overcast.raster.grid import Window
from overcast.raster.opening import in_rasterio
from overcast.raster.vectors import read_table
from overcast.reading import first_line, shortened

LISTED_VALUES = 8
"""How many unexpected mask values an error lists."""


@dataclass(frozen=True)
class LabelSpec:
    """Meaning of mask values. Any other value in a mask is an error.

    Masks of several classes give several values one meaning: `LabelSpec(foreground=8, background=(1, 2), ignore=0)`.
    """

    foreground: int | tuple[int, ...] = 1
    """Value or values of the class."""
    background: int | tuple[int, ...] = 0
    ignore: int | tuple[int, ...] | None = None
    """Value or values of pixels that do not count; None where the masks have none."""

    def __post_init__(self) -> None:
        if len(set(self.values)) != len(self.values):
            raise ValueError(f"label values must differ, got {list(self.values)}")
        if not (_several(self.foreground) and _several(self.background)):
            raise ValueError(f"foreground and background need a value each, got {self}")

    @property
    def values(self) -> tuple[int, ...]:
        """Every value that a mask may hold."""
        return (*_several(self.background), *_several(self.foreground), *_several(self.ignore))

    def translate(self, values: NDArray[Any]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Mask values as a label (0 background, 1 the class, 255 ignored), and where they are none of the named."""
        label = np.full(values.shape, IGNORE_LABEL, np.uint8)
        label[among(values, _several(self.foreground))] = 1
        label[among(values, _several(self.background))] = 0
        return label, ~among(values, self.values)

    def __str__(self) -> str:
        """The meanings in words, for errors."""
        meanings = {"foreground": self.foreground, "background": self.background, "ignore": self.ignore}
        return ", ".join(f"{name} {' or '.join(map(str, _several(value))) or None}" for name, value in meanings.items())


def _several(value: int | tuple[int, ...] | None) -> tuple[int, ...]:
    """One value, several or none, as a tuple."""
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)


def read_mask(
    path: Path, window: Window | None, spec: LabelSpec, image: tuple[Path, Georeference] | None = None
) -> NDArray[np.uint8]:
    """A window (None: all) of a mask file as (h, w) uint8: 0 background, 1 the class, 255 ignored.

    Pixels of the file's own nodata value are ignored, unless the specification gives that value a meaning.

    Args:
        path: GeoTIFF or PNG of one band, not counting alpha.
        window: What to read.
        spec: Meaning of the values.
        image: File and grid of the image that the mask must lie on, where that is to be checked.

    Raises:
        InputError: The file is damaged, has several bands, lies on another grid, or holds values that the
            specification does not name.
    """
    with open_raster(path) as dataset:
        if image is not None:
            require_same_grid(image[1], grid_of(dataset), reference_path=image[0], other_path=path, resampling="near")
        band = one_band(path, dataset)
        window = window or grid_of(dataset).whole
        require_readable(path, window.height, window.width)
        require_complete(path, dataset)
        at = in_rasterio(window)
        with reading(path):
            values = dataset.read(band, window=at)
        nodata = dataset.nodatavals[band - 1]
    return _translate(values, nodata, spec, path)


def one_band(path: Path, dataset: Any) -> int:
    """Number of the only band of a mask, not counting alpha. Raises InputError where there are several."""
    bands = opaque_bands(dataset)
    if len(bands) != 1:
        raise InputError(
            f"{path} has {len(bands)} bands, but a mask has one; "
            f"keep one of them: gdal_translate -b 1 {path} {path.stem}_mask.tif"
        )
    return bands[0]


def _translate(values: NDArray[Any], nodata: float | None, spec: LabelSpec, path: Path) -> NDArray[np.uint8]:
    label, unknown = spec.translate(values)
    if nodata is not None:
        unknown &= ~np.isnan(values) if np.isnan(nodata) else values != nodata
    if unknown.any():
        strange = np.unique(values[unknown])
        listed = ", ".join(f"{value:g}" for value in strange[:LISTED_VALUES])
        more = ", ..." if len(strange) > LISTED_VALUES else ""
        raise InputError(
            f"{path} holds the values {listed}{more}, but the masks are declared as {spec}; "
            "correct the declaration or the mask."
        )
    return label


def rasterize_footprints(path: Path, georeference: Georeference) -> NDArray[np.uint8]:
    """Footprints drawn onto a grid: (H, W) uint8, 1 where a pixel's centre lies in a polygon, else 0.

    Files without features and empty polygons draw nothing; geometry other than polygons is refused.

    Raises:
        InputError: The file is damaged, or one side has no CRS to bring both together.
    """
    return (number_footprints(path, georeference) > 0).astype(np.uint8)


def number_footprints(path: Path, georeference: Georeference) -> NDArray[np.int32]:
    """Footprints drawn onto a grid by number: (H, W), from 1 in the order of the file, 0 for none.

    As `rasterize_footprints`; where footprints overlap the last one counts.
    """
    require_readable(path, georeference.height, georeference.width)
    polygons = _polygons_on(path, georeference.crs)
    if not len(polygons):
        return np.zeros((georeference.height, georeference.width), np.int32)
    drawn: NDArray[np.int32] = rasterio.features.rasterize(
        zip(polygons, range(1, len(polygons) + 1), strict=True),
        out_shape=(georeference.height, georeference.width),
        transform=georeference.transform,
        all_touched=False,
        dtype="int32",
    )
    return drawn


def _polygons_on(path: Path, crs: str | None) -> NDArray[np.object_]:
    """Non-empty polygons of a vector file in the given CRS."""
    shapes = read_table(path, columns=[])
    if not isinstance(shapes, geopandas.GeoDataFrame):  # a file without features may come without geometry column
        return np.empty(0, object)
    shapes = shapes[~(shapes.geometry.isna() | shapes.geometry.is_empty)]
    if shapes.empty:
        return np.empty(0, object)
    types = sorted(set(shapes.geom_type) - {"Polygon", "MultiPolygon"})
    if types:
        raise InputError(f"{path} holds {', '.join(types)}, but footprints are polygons; remove the others.")
    return _reprojected(shapes, crs, path)


def _reprojected(shapes: geopandas.GeoDataFrame, crs: str | None, path: Path) -> NDArray[np.object_]:
    if shapes.crs is None:
        raise InputError(
            f"{path} has no coordinate reference system; assign it: "
            f"ogr2ogr -a_srs EPSG:<code> {path.stem}_placed.gpkg {path}"
        )
    if crs is None:
        raise InputError(
            f"the image of {path} has no coordinate reference system, so footprints cannot be drawn on it; "
            "assign one with gdal_edit.py -a_srs EPSG:<code>, or give masks instead."
        )
    try:
        moved = np.asarray(shapes.geometry.to_crs(crs))
    except (RuntimeError, ValueError) as error:  # pyproj's errors are RuntimeErrors
        reason = first_line(error)
        raise InputError(
            f"{path} has a coordinate reference system that cannot be brought to that of its image ({reason}); "
            "write the right one into the file."
        ) from error
    if not np.isfinite(shapely.total_bounds(moved)).all():
        named = shortened(shapes.crs.to_string(), 60)
        raise InputError(
            f"{path} holds coordinates that its coordinate reference system ({named}) cannot have; "
            "write the right one into the file (GeoJSON without a crs member means longitude and latitude)."
        )
    return moved


def mask_invalid(label: NDArray[np.uint8], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The label (H, W) with 255 where `valid` (H, W) is False."""
    return np.where(valid, label, np.uint8(IGNORE_LABEL))


def area_file(base: Path, name: str | None) -> Path | None:
    """The vector file of a labelled area; None for no name. Raises InputError where it does not exist."""
    if name is None:
        return None
    path = base / name
    if not path.is_file():
        raise InputError(f"{path} does not exist; correct label.labelled_area in the description or add the file.")
    return path
