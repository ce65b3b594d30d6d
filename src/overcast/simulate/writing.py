"""Writing a place as GeoTIFF, GeoPackage and dataset.yaml: same input, same bytes."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyogrio
import rasterio
import yaml
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from overcast.data.radiometry import LookDirection
from overcast.grid import Window
from overcast.simulate.geometry import City, polygons
from overcast.simulate.optical import BANDS
from overcast.simulate.options import CRS, SimulationOptions
from overcast.simulate.place import SimulatedPlace
from overcast.simulate.sar import NODATA

FIXED_DATE = "2000-01-01T00:00:00.000Z"
"""Written where a format insists on a date, so that the same seed gives the same bytes."""
LICENCE = "CC0-1.0"


def footprint_table(city: City) -> geopandas.GeoDataFrame:
    """Footprints with columns height_m (highest point), eaves_m, roof and kind."""
    buildings = city.buildings
    return geopandas.GeoDataFrame(
        {
            "height_m": np.round([b.height_m for b in buildings], 2).astype(float),
            "eaves_m": np.round([b.eaves_m for b in buildings], 2).astype(float),
            "roof": np.array([b.roof.value for b in buildings], object),
            "kind": np.array([b.kind.value for b in buildings], object),
        },
        geometry=geopandas.GeoSeries(polygons([b.rings for b in buildings]), crs=CRS),
        crs=CRS,
    )


def write_place_chips(root: Path, name: str, place: SimulatedPlace, options: SimulationOptions) -> None:
    """Cut a place into chips without overlap: sar/, optical/, masks/, footprints/ `<name>_<number>`."""
    table = footprint_table(place.city)
    size, side = options.chip_px, place.grid.width // options.chip_px
    for number in range(side * side):
        window = Window(number // side * size, number % side * size, size, size)
        _write_window(root, f"{name}_{number:03d}", place, window, options)
        write_footprints(root / "footprints" / f"{name}_{number:03d}.gpkg", _clipped(table, place, window))


def write_scene(root: Path, name: str, place: SimulatedPlace, options: SimulationOptions) -> None:
    """Write a whole place as root/scenes/<name>/{sar,optical,mask}.tif, sar.yaml and footprints.gpkg."""
    folder = root / "scenes" / name
    folder.mkdir(parents=True, exist_ok=True)
    window = Window(0, 0, place.grid.height, place.grid.width)
    _write_sar(folder / "sar.tif", place.sar, _transform(place, window), options)
    _write_optical(folder / "optical.tif", place.optical, _transform(place, window))
    _write_mask(folder / "mask.tif", place.mask, _transform(place, window))
    if place.clouds is not None:
        _write(folder / "clouds.tif", place.clouds[None], _transform(place, window), ("clouds",), predictor=1)
    write_footprints(folder / "footprints.gpkg", _clipped(footprint_table(place.city), place, window))
    (folder / "sar.yaml").write_text(yaml.safe_dump(_declared_sar(options), sort_keys=False))


def _write_window(root: Path, stem: str, place: SimulatedPlace, window: Window, options: SimulationOptions) -> None:
    rows, cols = window.slices
    transform = _transform(place, window)
    _write_sar(root / "sar" / f"{stem}.tif", place.sar[:, rows, cols], transform, options)
    _write_optical(root / "optical" / f"{stem}.tif", place.optical[:, rows, cols], transform)
    _write_mask(root / "masks" / f"{stem}.tif", place.mask[rows, cols], transform)
    if place.clouds is not None:
        _write(root / "clouds" / f"{stem}.tif", place.clouds[None, rows, cols], transform, ("clouds",), predictor=1)


def _transform(place: SimulatedPlace, window: Window) -> Affine:
    return place.grid.transform @ Affine.translation(window.col, window.row)


def _write_sar(path: Path, values: NDArray[np.float32], transform: Affine, options: SimulationOptions) -> None:
    _write(path, values, transform, options.sar.polarisations, nodata=NODATA, predictor=3)


def _write_optical(path: Path, values: NDArray[np.uint8], transform: Affine) -> None:
    _write(path, values, transform, BANDS, predictor=2)


def _write_mask(path: Path, values: NDArray[np.uint8], transform: Affine) -> None:
    _write(path, values[None], transform, ("building",), predictor=1)


def _write(
    path: Path,
    values: NDArray[Any],
    transform: Affine,
    bands: tuple[str, ...],
    predictor: int,
    nodata: float | None = None,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {
        "driver": "GTiff",
        "dtype": values.dtype,
        "count": len(values),
        "height": values.shape[1],
        "width": values.shape[2],
        "crs": CRS,
        "transform": transform,
        "nodata": nodata,
        "compress": "deflate",
        "zlevel": 1,
        "predictor": predictor,
        "tiled": values.shape[1] > 512,
    }
    with rasterio.open(path, "w", **profile) as sink:
        sink.write(values)
        sink.descriptions = bands
        if bands == BANDS:
            sink.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.undefined)


def _clipped(table: geopandas.GeoDataFrame, place: SimulatedPlace, window: Window) -> geopandas.GeoDataFrame:
    """Footprints cut at the border of a window; only areas are kept."""
    transform = _transform(place, window)
    left, top = transform.c, transform.f
    box = (left, top - window.height * place.grid.gsd_m, left + window.width * place.grid.gsd_m, top)
    near = table.iloc[np.sort(table.sindex.intersection(box))]
    cut = near.clip_by_rect(*box)
    keep = (cut.area > 1e-6) & cut.geom_type.isin(["Polygon", "MultiPolygon"])
    return near.set_geometry(cut)[keep].reset_index(drop=True)


def write_footprints(path: Path, table: geopandas.GeoDataFrame) -> None:
    """Write a GeoPackage whose bytes depend on the content alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": FIXED_DATE})
    try:
        with warnings.catch_warnings():
            # an empty table has no geometry to tell its type from; it is written as "Unknown", which is right
            warnings.filterwarnings("ignore", category=UserWarning, module="pyogrio")
            table.to_file(
                path,
                layer="footprints",
                driver="GPKG",
                engine="pyogrio",
                geometry_type="MultiPolygon",
                promote_to_multi=True,
            )
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})


def _declared_sar(options: SimulationOptions) -> dict[str, Any]:
    """What the numbers of the radar images mean, with the keys of `SensorRadiometry`."""
    sar: dict[str, Any] = {
        "bands": list(options.sar.polarisations),
        "unit": options.sar.unit.value,
        "nodata": NODATA,
        "gsd_m": options.gsd_m,
    }
    if isinstance(options.sar.look, LookDirection):
        sar["look_direction"] = options.sar.look.value
    return sar


def write_description(root: Path, options: SimulationOptions) -> None:
    """Write dataset.yaml, the declaration that the folder catalog reads."""
    description = {
        "name": options.name,
        "class_name": "building",
        "licence": LICENCE,
        "simulated": True,
        "sar": {"folders": ["sar"]} | _declared_sar(options),
        "optical": {"folders": ["optical"], "bands": list(BANDS), "unit": "digital_number", "gsd_m": options.gsd_m},
        "label": {"folder": "masks", "foreground": 1, "background": 0, "ignore": 255},
        "place_pattern": "^(?P<place>.+)_[0-9]+$",
    }
    (root / "dataset.yaml").write_text(yaml.safe_dump(description, sort_keys=False))
