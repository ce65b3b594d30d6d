"""Writing a place as GeoTIFF, GeoPackage and dataset.yaml: same input, same bytes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO
from pathlib import Path
from typing import Any, assert_never

import geopandas
import numpy as np
import pyogrio
import yaml
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile

from overcast.data.orientation import write_orientations
from overcast.raster.georeference import Georeference
from overcast.raster.grid import Window
from overcast.raster.radiometry import RadarSide
from overcast.simulator.city.geometry import City, polygons
from overcast.simulator.optical.clouds import CLOUD, CLOUD_SHADOW
from overcast.simulator.optical.image import BANDS
from overcast.simulator.options import SimulationOptions
from overcast.simulator.place import SimulatedPlace
from overcast.simulator.radar.image import NODATA

FIXED_DATE = "2000-01-01T00:00:00.000Z"
"""Written where a format insists on a date, so that the same seed gives the same bytes."""
LICENCE = "CC0-1.0"
TOWN_LICENCE = "that of the footprints it was made from"
ORIENTATIONS = "orientations.csv"


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
        geometry=geopandas.GeoSeries(polygons([b.rings for b in buildings]), crs=city.bounds.crs),
        crs=city.bounds.crs,
    )


class Layer(StrEnum):
    """What a written file holds."""

    SAR = "sar"
    OPTICAL = "optical"
    MASK = "mask"
    CLOUDS = "clouds"
    FOOTPRINTS = "footprints"
    DECLARATION = "declaration"


CHIP_FOLDERS = {
    Layer.SAR: "sar",
    Layer.OPTICAL: "optical",
    Layer.MASK: "masks",
    Layer.FOOTPRINTS: "footprints",
    Layer.CLOUDS: "clouds",
}


@dataclass(frozen=True)
class Written:
    """A file of a place."""

    key: str
    """Unique within the place."""
    path: Path
    layer: Layer
    window: Window
    """Part of the place that it covers."""


def write_place_chips(root: Path, name: str, place: SimulatedPlace, options: SimulationOptions) -> list[Written]:
    """Cut a place into chips without overlap: sar/, optical/, masks/, footprints/, clouds/ `<name>_<number>`."""
    table = footprint_table(place.city)
    only_built = options.footprints is not None and not options.footprints.keep_empty
    size, side = options.chip_px, place.grid.width // options.chip_px
    files: list[Written] = []
    for number in range(side * side):
        window = Window(number // side * size, number % side * size, size, size)
        if only_built and not place.mask[window.slices].any():
            continue
        paths = {
            layer: root / folder / f"{name}_{number:03d}{'.gpkg' if layer is Layer.FOOTPRINTS else '.tif'}"
            for layer, folder in CHIP_FOLDERS.items()
            if layer is not Layer.CLOUDS or place.clouds is not None
        }
        _write_layers(paths, place, table, window, options.sar.polarisations)
        files += [Written(f"{layer}_{number:03d}", path, layer, window) for layer, path in paths.items()]
    return files


def write_scene(root: Path, name: str, place: SimulatedPlace, options: SimulationOptions) -> list[Written]:
    """Write a whole place as root/scenes/<name>/{sar,optical,mask,clouds}.tif, sar.yaml and footprints.gpkg."""
    folder = root / "scenes" / name
    window = place.grid.whole
    paths = {
        Layer.SAR: folder / "sar.tif",
        Layer.OPTICAL: folder / "optical.tif",
        Layer.MASK: folder / "mask.tif",
        Layer.FOOTPRINTS: folder / "footprints.gpkg",
    }
    if place.clouds is not None:
        paths[Layer.CLOUDS] = folder / "clouds.tif"
    _write_layers(paths, place, footprint_table(place.city), window, options.sar.polarisations)
    paths[Layer.DECLARATION] = folder / "sar.yaml"
    write_declaration(paths[Layer.DECLARATION], place, options)
    return [Written(layer.value, path, layer, window) for layer, path in paths.items()]


def write_declaration(path: Path, place: SimulatedPlace, options: SimulationOptions) -> None:
    """Write the side file from which `predict` knows what the numbers of a radar image mean."""
    declared = _declared_sar(options) | {"radar_side": place.strip.radar_side.value}
    save(path, yaml.safe_dump(declared, sort_keys=False).encode())


def _write_layers(
    paths: Mapping[Layer, Path],
    place: SimulatedPlace,
    table: geopandas.GeoDataFrame,
    window: Window,
    polarisations: tuple[str, ...],
) -> None:
    """Write a window of each layer of a place."""
    rows, cols = window.slices
    grid = place.grid.crop(window)
    for layer, path in paths.items():
        match layer:
            case Layer.SAR:
                write_raster(path, place.sar[:, rows, cols], grid, polarisations, predictor=3, nodata=NODATA)
            case Layer.OPTICAL:
                write_raster(path, place.optical[:, rows, cols], grid, BANDS, predictor=2)
            case Layer.MASK:
                write_raster(path, place.mask[None, rows, cols], grid, ("building",), predictor=1)
            case Layer.CLOUDS:
                assert place.clouds is not None, "asked for only where there are clouds"
                write_raster(path, place.clouds[None, rows, cols], grid, ("clouds",), predictor=1)
            case Layer.FOOTPRINTS:
                write_footprints(path, _clipped(table, grid))
            case Layer.DECLARATION:
                raise ValueError("a declaration is not a layer of pixels")
            case _:
                assert_never(layer)


def write_raster(
    path: Path,
    values: NDArray[Any],
    grid: Georeference,
    bands: tuple[str, ...],
    *,
    predictor: int,
    nodata: float | None = None,
) -> None:
    """Write (C, h, w) as GeoTIFF; made in memory, because GDAL does not report a disk that is full on closing."""
    profile = {
        "driver": "GTiff",
        "dtype": values.dtype,
        "count": len(values),
        "height": grid.height,
        "width": grid.width,
        "crs": grid.crs,
        "transform": grid.transform,
        "nodata": nodata,
        "compress": "deflate",
        "zlevel": 1,
        "predictor": predictor,
        "tiled": grid.height > 512,
    }
    with MemoryFile() as memory:
        with memory.open(**profile) as sink:
            sink.write(values)
            sink.descriptions = bands
            if bands == BANDS:
                sink.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.undefined)
        save(path, memory.getbuffer())


def save(path: Path, content: bytes | memoryview) -> None:
    """Write a file and the folders above it. A full disk raises an OSError that names the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.write_bytes(content)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _clipped(table: geopandas.GeoDataFrame, grid: Georeference) -> geopandas.GeoDataFrame:
    """Footprints cut at the border of a grid; only areas are kept."""
    near = table.iloc[np.sort(table.sindex.intersection(grid.extent))]
    cut = near.clip_by_rect(*grid.extent)
    keep = (cut.area > 1e-6) & cut.geom_type.isin(["Polygon", "MultiPolygon"])
    return near.set_geometry(cut)[keep].reset_index(drop=True)


def write_footprints(path: Path, table: geopandas.GeoDataFrame) -> None:
    """Write a GeoPackage whose bytes depend on the content alone."""
    content = BytesIO()
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": FIXED_DATE})
    try:
        with warnings.catch_warnings():
            # an empty table has no geometry to tell its type from; it is written as "Unknown", which is right
            warnings.filterwarnings("ignore", category=UserWarning, module="pyogrio")
            pyogrio.write_dataframe(
                table, content, layer="footprints", driver="GPKG", geometry_type="MultiPolygon", promote_to_multi=True
            )
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})
    save(path, content.getbuffer())


def _declared_sar(options: SimulationOptions) -> dict[str, Any]:
    """What the numbers of the radar images mean, with the keys of `SensorRadiometry` except for the side."""
    return {
        "bands": list(options.sar.polarisations),
        "unit": options.sar.unit.value,
        "nodata": NODATA,
        "gsd_m": options.gsd_m,
    }


def write_description(root: Path, options: SimulationOptions, looks: Mapping[str, RadarSide]) -> None:
    """Write dataset.yaml, the declaration that the folder catalog reads.

    Args:
        root: Folder of the data set.
        options: What was simulated.
        looks: Side of the radar of each chip; where there are two, `orientations.csv` lists them.
    """
    sides = sorted(set(looks.values()), key=list(RadarSide).index)
    sar: dict[str, Any] = {"folders": [CHIP_FOLDERS[Layer.SAR]]} | _declared_sar(options)
    sar["bands"] = list(options.band_names)
    if sides:
        sar["radar_side"] = sides[0].value
    if len(sides) > 1:
        sar["orientations"] = ORIENTATIONS
        write_orientations(root / ORIENTATIONS, looks)
    optical: dict[str, Any] = {
        "folders": [CHIP_FOLDERS[Layer.OPTICAL]],
        "bands": list(BANDS),
        "unit": "digital_number",
        "gsd_m": options.gsd_m,
    }
    if options.optical.cloud_share > 0:
        optical["invalid"] = {"folder": CHIP_FOLDERS[Layer.CLOUDS], "values": [CLOUD, CLOUD_SHADOW]}
    description = {
        "name": options.name,
        "class_name": "building",
        "licence": LICENCE if options.footprints is None else TOWN_LICENCE,
        "simulated": True,
        "sar": sar,
        "optical": optical,
        "label": {"folder": CHIP_FOLDERS[Layer.MASK], "foreground": 1, "background": 0, "ignore": 255},
        "place_pattern": "^(?P<place>.+)_[0-9]+$",
    }
    save(root / "dataset.yaml", yaml.safe_dump(description, sort_keys=False).encode())
