"""Opening a place: headers are read, its grid is chosen, and what cannot belong together is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from pyproj.aoi import AreaOfInterest
from pyproj.database import query_utm_crs_info
from rasterio.warp import transform_bounds

from overcast.data.scenes.burning import Polygons, read_polygons
from overcast.data.scenes.description import PlaceOptions, ScenesDescription, VectorFile, resolve
from overcast.data.scenes.handles import Image
from overcast.data.scenes.layers import CloudMask, Layer, Mosaic, moved
from overcast.data.scenes.place import Place
from overcast.errors import InputError
from overcast.raster.addresses import address
from overcast.raster.files import open_raster
from overcast.raster.georeference import Georeference, is_metric
from overcast.raster.radiometry import SensorRadiometry
from overcast.raster.units import Unit

SAME_GSD = 1e-3
"""Relative difference up to which a pixel size is the one that was asked for."""
SQUARE = 0.1
"""Relative difference of the sides of a pixel up to which it counts as square."""
PROBES = 64
"""Positions along each side of a place at which its images are looked for."""


def open_place(name: str, options: PlaceOptions, description: ScenesDescription, base: Path, gsd_m: float) -> Place:
    """Open the files of a place.

    Args:
        name: Of the place.
        options: Its entry in the description.
        description: What the pixels mean.
        base: Folder that relative paths start from.
        gsd_m: Pixel size of the data set, for places without SAR and images that are resampled.

    Raises:
        InputError: A file is missing, damaged, without georeference or of another number of bands; the files show
            different ground.
    """
    at = partial(resolve, base)
    sar_paths, optical_paths = ([at(file) for file in files or ()] for files in (options.sar, options.optical))
    sar = _image(sar_paths, sar_sensor(description, gsd_m)) if sar_paths else None
    sheets = [_image([path], optical_sensor(description, gsd_m)) for path in optical_paths]
    grid = place_grid(name, (sar or sheets[0]), description.grid.gsd_m or (gsd_m if sar is None else None))
    crs = str(grid.crs)
    layers = [Layer(image, moved(source, options.shift_m.optical, crs), grid) for image, source in sheets]
    for (_, source), layer, path in zip(sheets, layers, optical_paths, strict=True):
        _require_overlap(layer, source, path, (sar_paths or optical_paths)[0])
    clouds = None
    if options.clouds is not None:
        clouds = _clouds(
            at(options.clouds), description, grid, partial(moved, shift_m=options.shift_m.optical, crs=crs)
        )
    read = partial(read_polygons, grid=grid, shift_m=options.shift_m.footprints)
    footprints, area = (
        None if chosen is None else read(at(chosen.file), chosen)
        for chosen in (options.footprints, options.labelled_area)
    )
    if footprints is not None and area is not None:
        assert options.footprints is not None
        assert options.labelled_area is not None
        _require_labels_inside(footprints, area, options.footprints, options.labelled_area)
    vectors = [at(chosen.file) for chosen in (options.footprints, options.labelled_area) if chosen is not None]
    return Place(
        name=name,
        grid=grid,
        sar=None if sar is None else Layer(sar[0], sar[1], grid, description.sar.unit),
        optical=Mosaic(tuple(layers)) if layers else None,
        clouds=clouds,
        footprints=footprints,
        area=area,
        files=(*sar_paths, *optical_paths, *vectors, *([clouds.image.paths[0]] if clouds else ())),
        definition=json.dumps([options.model_dump(mode="json"), grid.height, grid.width, list(grid.transform)[:6]]),
    )


def sar_sensor(description: ScenesDescription, gsd_m: float) -> SensorRadiometry:
    """Meaning of the SAR pixels on the grids of the places."""
    return SensorRadiometry(**description.sar.model_dump(), gsd_m=gsd_m)


def optical_sensor(description: ScenesDescription, gsd_m: float) -> SensorRadiometry:
    """Meaning of the optical pixels on the grids of the places."""
    assert description.optical is not None, "checked with the description"
    return SensorRadiometry(**description.optical.model_dump(exclude={"cloud_values"}), gsd_m=gsd_m)


def native_gsd_m(description: ScenesDescription, base: Path) -> float:
    """Pixel size of the data set: as asked for, else that of the first SAR image in metres.

    Raises InputError where the first SAR image is not in metres and no pixel size is asked for.
    """
    if description.grid.gsd_m is not None:
        return description.grid.gsd_m
    path = next(resolve(base, place.sar[0]) for place in description.places.values() if place.sar)
    grid = placed_grid(path)
    _require_usable(path, grid)
    return grid.gsd_m


def placed_grid(path: Path) -> Georeference:
    """Grid of an image. Raises InputError where the file does not say where it lies."""
    with open_raster(path) as dataset:
        grid = Georeference(
            dataset.height, dataset.width, dataset.transform, dataset.crs.to_string() if dataset.crs else None
        )
        control = bool(dataset.gcps[0]) and grid.crs is None
    if control:
        raise InputError(
            f"{address(path)} is placed by ground control points alone; bring it onto a map grid: "
            f"gdalwarp -t_srs EPSG:<code> {path.name} {path.stem}_map.tif"
        )
    if grid.crs is None or grid.transform.is_identity or grid.transform.determinant == 0:
        missing = "coordinate reference system" if grid.crs is None else "geotransform"
        raise InputError(
            f"{address(path)} has no {missing}, so nobody knows where it lies; assign it "
            "(gdal_edit.py -a_srs EPSG:<code> -a_ullr <left> <top> <right> <bottom>)."
        )
    return grid


def _require_usable(path: Path, grid: Georeference) -> None:
    """Refuse a grid on which nothing can be measured in metres."""
    t = grid.transform
    right, down = math.hypot(t.a, t.d), math.hypot(t.b, t.e)
    if not is_metric(str(grid.crs)):
        raise InputError(
            f"{address(path)} is not in metres on the ground ({grid.crs}); set grid.gsd_m in the description, and it "
            "is resampled to that pixel size in UTM."
        )
    if abs(right / down - 1) > SQUARE:
        raise InputError(
            f"{address(path)} has pixels of {right:g} x {down:g} m; set grid.gsd_m in the description, and it is "
            "resampled to square ones."
        )


def _image(paths: Sequence[Path], sensor: SensorRadiometry) -> tuple[Image, Georeference]:
    """An image whose files have been opened and compared, and its grid."""
    for path in paths:
        placed_grid(path)
    image = Image(tuple(paths), sensor)
    return image, image.open().georeference


def place_grid(name: str, reference: tuple[Image, Georeference], gsd_m: float | None) -> Georeference:
    """The grid of a place: that of its image, or the same ground in square pixels of `gsd_m` metres."""
    image, grid = reference
    if gsd_m is None:
        _require_usable(image.paths[0], grid)
        return grid
    if is_metric(str(grid.crs)):
        t = grid.transform
        right, down = math.hypot(t.a, t.d), math.hypot(t.b, t.e)
        if max(abs(right / gsd_m - 1), abs(down / gsd_m - 1)) <= SAME_GSD:
            return grid
        height, width = (round(side) for side in (grid.height * down / gsd_m, grid.width * right / gsd_m))
        scaled = t * Affine.scale(gsd_m / right, gsd_m / down)
        return Georeference(max(height, 1), max(width, 1), scaled, grid.crs)
    return _utm_grid(name, grid, gsd_m)


def _utm_grid(name: str, grid: Georeference, gsd_m: float) -> Georeference:
    """The ground of a grid in the UTM zone of its middle."""
    west, south, east, north = transform_bounds(grid.crs, "EPSG:4326", *grid.extent)
    lon, lat = (west + east) / 2, (south + north) / 2
    zones = query_utm_crs_info("WGS 84", AreaOfInterest(lon, lat, lon, lat))
    if not zones:
        raise InputError(f"place {name} lies at {lat:.1f} degrees north, where UTM has no zone; reproject its images.")
    crs = f"EPSG:{zones[0].code}"
    left, bottom, right, top = transform_bounds(grid.crs, crs, *grid.extent)
    left, top = math.floor(left / gsd_m) * gsd_m, math.ceil(top / gsd_m) * gsd_m
    height, width = math.ceil((top - bottom) / gsd_m), math.ceil((right - left) / gsd_m)
    return Georeference(height, width, Affine(gsd_m, 0, left, 0, -gsd_m, top), crs)


def probes(grid: Georeference) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows and columns (P, P) spread over a grid, its border included."""
    rows, cols = (np.linspace(0, side, min(PROBES, side) + 1) for side in (grid.height, grid.width))
    down, right = np.meshgrid(rows, cols, indexing="ij")
    return np.asarray(down), np.asarray(right)


def _require_overlap(layer: Layer, source: Georeference, path: Path, reference: Path) -> None:
    row, col = layer.locate(*probes(layer.target))
    if ((row >= 0) & (row <= source.height) & (col >= 0) & (col <= source.width)).any():
        return
    across = Transformer.from_crs(source.crs, layer.target.crs, always_xy=True)
    x, y = across.transform(*source.position(source.width / 2, source.height / 2))
    middle = layer.target.position(layer.target.width / 2, layer.target.height / 2)
    away_km = math.dist((x, y), middle) / 1000
    far = (
        f"their centres are {away_km:.3g} km apart"
        if math.isfinite(away_km)
        else "they are on other sides of the Earth"
    )
    raise InputError(
        f"{address(path)} and {address(reference)} show no common ground ({far}); give images of one place, or correct "
        "the coordinate reference system of one of them."
    )


def _clouds(path: Path, description: ScenesDescription, grid: Georeference, move: partial[Georeference]) -> CloudMask:
    assert description.optical is not None, "checked with the description"
    sensor = SensorRadiometry(bands=("cloud",), unit=Unit.DIGITAL_NUMBER, gsd_m=grid.gsd_m)
    image, source = _image([path], sensor)
    return CloudMask(image, move(source), grid, description.optical.cloud_values)


def labels_outside(footprints: Polygons, area: Polygons) -> int:
    """Number of footprints of which no part lies in the labelled area."""
    tree = shapely.STRtree(area.shapes)
    inside = np.unique(tree.query(footprints.shapes, predicate="intersects")[0])
    return len(footprints) - len(inside)


def _require_labels_inside(footprints: Polygons, area: Polygons, labels: VectorFile, known: VectorFile) -> None:
    if labels_outside(footprints, area) == len(footprints):
        raise InputError(
            f"every footprint of {labels.file} lies outside of the labelled area {known.file}; give the area in which "
            "these footprints are complete."
        )


def require_same_gsd(places: Sequence[Place], gsd_m: float, tolerance: float) -> None:
    """Raise InputError where the pixels of a place are not of the data set's size."""
    for place in places:
        if abs(place.grid.gsd_m / gsd_m - 1) > tolerance:
            raise InputError(
                f"place {place.name} has pixels of {place.grid.gsd_m:g} m, but others of {gsd_m:g} m; set grid.gsd_m "
                "in the description, and all are resampled to it."
            )
