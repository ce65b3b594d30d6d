"""STAC 1.0 records of a simulated data set: catalog, collection, one item per place; plain JSON, equal for equal seeds.

Extensions: proj 2.0, sar 1.0, view 1.0, eo 1.1, raster 1.1. What was drawn for a place (its side, gains, shift) stands
in the properties with the prefix `overcast:`: the truth of the nuisances, which no measured image comes with.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, assert_never

from rasterio.crs import CRS
from rasterio.warp import transform

from overcast.errors import InputError
from overcast.raster.georeference import Georeference
from overcast.raster.units import RadarSide
from overcast.reading import read_json_object
from overcast.simulator.dataset.writing import FIXED_DATE, LICENCE, Layer, Written, save
from overcast.simulator.optical.image import BANDS as OPTICAL_BANDS
from overcast.simulator.options import SimulationOptions
from overcast.simulator.place import SimulatedPlace
from overcast.simulator.radar.image import CHANNELS, NODATA

Record = dict[str, Any]
FOLDER = "stac"
CATALOG, COLLECTION = "catalog.json", "collection.json"
EXTENSIONS = tuple(
    f"https://stac-extensions.github.io/{name}/schema.json"
    for name in ("projection/v2.0.0", "sar/v1.0.0", "view/v1.0.0", "eo/v1.1.0", "raster/v1.1.0")
)
VIEW_AZIMUTH_DEG = {
    RadarSide.NORTH: 180.0,
    RadarSide.EAST: 270.0,
    RadarSide.SOUTH: 0.0,
    RadarSide.WEST: 90.0,
}
"""Direction from the radar to the scene, clockwise from north, by the side on which the radar stands."""
GEOTIFF, GEOPACKAGE, YAML, JSON = (
    "image/tiff; application=geotiff",
    "application/geopackage+sqlite3",
    "application/yaml",
    "application/json",
)


def write_item(
    root: Path, name: str, place: SimulatedPlace, options: SimulationOptions, files: Sequence[Written]
) -> None:
    """Write `stac/<name>.json`, the record of a place and of its files."""
    ring = _ring_wgs84(place.grid)
    record = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": list(EXTENSIONS),
        "id": name,
        "collection": collection_id(options),
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": _bbox([ring]),
        "properties": _properties(place, options),
        "links": [_link("root", CATALOG), _link("parent", COLLECTION), _link("collection", COLLECTION)],
        "assets": {file.key: _asset(root, file, place, options) for file in files}
        | {"options": {"href": "../simulation.json"} | _file(JSON, "metadata")},
    }
    _write(root / FOLDER / f"{name}.json", record)


def read_items(root: Path) -> list[Record]:
    """The items of a data set, sorted by name."""
    paths = sorted((root / FOLDER).glob("*.json"))
    return [
        read_json_object(path, InputError, "simulate the data set again")
        for path in paths
        if path.name not in (CATALOG, COLLECTION)
    ]


def chip_looks(items: Sequence[Record]) -> dict[str, RadarSide]:
    """Chip name to the side on which the radar stood; scenes have none."""
    return {
        Path(asset["href"]).stem: RadarSide(item["properties"]["overcast:radar_side"])
        for item in items
        for key, asset in item["assets"].items()
        if key.startswith(f"{Layer.SAR}_")
    }


def write_collection(root: Path, options: SimulationOptions, items: Sequence[Record]) -> None:
    """Write `stac/collection.json` and `stac/catalog.json` above the items."""
    boxes = [item["bbox"] for item in items]
    whole = [min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes)]
    collection = {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": collection_id(options),
        "title": options.name,
        "description": "Simulated optical and SAR images of simulated places with exact building footprints. "
        "No pixel was measured; the date is a constant.",
        "license": _licence(options),
        "keywords": ["simulated", "SAR", "optical", "building footprints"],
        "extent": {"spatial": {"bbox": [whole]}, "temporal": {"interval": [[FIXED_DATE, FIXED_DATE]]}},
        "summaries": {
            "gsd": [options.gsd_m],
            "sar:polarizations": list(dict.fromkeys("|".join(options.band_names).split("|"))),
            "overcast:radar_side": sorted({item["properties"]["overcast:radar_side"] for item in items}),
        },
        "links": [
            _link("root", CATALOG),
            _link("parent", CATALOG),
            *({**_link("item", f"{item['id']}.json"), "type": "application/geo+json"} for item in items),
        ],
    }
    catalog = {
        "type": "Catalog",
        "stac_version": "1.0.0",
        "id": f"{collection_id(options)}-catalog",
        "description": options.name,
        "links": [_link("root", CATALOG), _link("child", COLLECTION)],
    }
    _write(root / FOLDER / COLLECTION, collection)
    _write(root / FOLDER / CATALOG, catalog)


def collection_id(options: SimulationOptions) -> str:
    """Identifier made from the data set's name and seed."""
    return f"{re.sub('[^a-z0-9]+', '-', options.name.lower()).strip('-') or 'simulated'}-seed{options.seed}"


def _licence(options: SimulationOptions) -> str:
    """SPDX code, or what STAC 1.0 has for all else: a town inherits the terms of its footprints."""
    return LICENCE if options.footprints is None else "proprietary"


def _properties(place: SimulatedPlace, options: SimulationOptions) -> Record:
    strip, exposure, sar = place.strip, place.exposure, options.sar
    gains = dict(zip(CHANNELS, strip.gain_db, strict=True))
    out: Record = {
        "datetime": FIXED_DATE,
        "license": _licence(options),
        "gsd": options.gsd_m,
        **_projection(place.grid),
        "sar:instrument_mode": "simulated",
        "sar:frequency_band": sar.band,
        "sar:polarizations": list(sar.polarisations),
        "sar:product_type": "GRD",
        "sar:looks_equivalent_number": float(sar.looks),
        "sar:pixel_spacing_range": options.gsd_m,
        "sar:pixel_spacing_azimuth": options.gsd_m,
        "view:off_nadir": options.optical.off_nadir_deg,
        "view:azimuth": round(exposure.view_azimuth_deg, 4),
        "view:sun_azimuth": round(exposure.sun_azimuth_deg, 4),
        "view:sun_elevation": round(exposure.sun_elevation_deg, 4),
        "overcast:seed": options.seed,
        "overcast:radar_side": strip.radar_side.value,
        "overcast:look_offset_deg": sar.look_offset_deg,
        "overcast:incidence_deg": sar.incidence_deg,
        "overcast:gain_db": {name: round(gains[name], 4) for name in sar.polarisations},
        "overcast:ripple_db": sar.ripple_db,
        "overcast:noise_db": dict(zip(("co", "cross"), (round(value, 4) for value in strip.noise_db), strict=True)),
        "overcast:shift_m": [round(value, 4) for value in strip.shift_m],
        "overcast:nodata_share": round(float((place.sar[0] == NODATA).mean()), 6),
        "overcast:building_share": round(float(place.mask.mean()), 6),
        "overcast:building_count": len(place.city.buildings),
    }
    if place.clouds is not None:
        out["eo:cloud_cover"] = round(100 * float((place.clouds == 1).mean()), 4)
        out["overcast:cloud_shadow_share"] = round(float((place.clouds == 2).mean()), 6)
    return out


def _asset(root: Path, file: Written, place: SimulatedPlace, options: SimulationOptions) -> Record:
    """What a file holds, with its own grid where it covers a part of the place."""
    sar, size = options.sar, {"spatial_resolution": options.gsd_m}
    window = place.grid.crop(file.window)
    grid = {"proj:shape": [window.height, window.width], "proj:transform": list(window.transform)[:6]}
    byte = {"data_type": "uint8"} | size
    match file.layer:
        case Layer.SAR:
            band = {"data_type": "float32", "nodata": NODATA, "unit": sar.unit.value} | size
            angle_deg, azimuth_deg = (
                sar.incidence_deg,
                (VIEW_AZIMUTH_DEG[place.strip.radar_side] + sar.look_offset_deg) % 360,
            )
            view = {"view:incidence_angle": angle_deg, "view:off_nadir": angle_deg, "view:azimuth": azimuth_deg}
            asset = _file(GEOTIFF, "data") | {"raster:bands": [band for _ in sar.polarisations]} | view | grid
        case Layer.OPTICAL:
            names = [{"name": name, "common_name": name} for name in OPTICAL_BANDS]
            asset = _file(GEOTIFF, "data") | {"eo:bands": names, "raster:bands": [byte for _ in names]} | grid
        case Layer.MASK:
            asset = _file(GEOTIFF, "labels") | {"raster:bands": [byte]} | grid
        case Layer.CLOUDS:
            asset = _file(GEOTIFF, "metadata", "cloud", "cloud-shadow") | {"raster:bands": [byte]} | grid
        case Layer.FOOTPRINTS:
            asset = _file(GEOPACKAGE, "labels")
        case Layer.DECLARATION:
            asset = _file(YAML, "metadata")
        case _:
            assert_never(file.layer)
    return {"href": f"../{file.path.relative_to(root).as_posix()}"} | asset


def _file(media_type: str, *roles: str) -> Record:
    return {"type": media_type, "roles": list(roles)}


def _projection(grid: Georeference) -> Record:
    assert grid.crs is not None
    crs = CRS.from_user_input(grid.crs)
    authority = crs.to_authority()
    name = {"proj:code": ":".join(authority)} if authority else {"proj:code": None, "proj:wkt2": crs.to_wkt()}
    return name | {
        "proj:bbox": list(grid.extent),
        "proj:shape": [grid.height, grid.width],
        "proj:transform": list(grid.transform)[:6],
    }


def _ring_wgs84(grid: Georeference) -> list[list[float]]:
    """Counter-clockwise closed ring of longitude and latitude, 1e-7 degrees or about 1 cm."""
    corners = [(0, grid.height), (grid.width, grid.height), (grid.width, 0), (0, 0), (0, grid.height)]
    xs, ys = zip(*(grid.position(*corner) for corner in corners), strict=True)
    longitude, latitude, *_ = transform(CRS.from_user_input(grid.crs), CRS.from_epsg(4326), xs, ys)
    return [[round(x, 7), round(y, 7)] for x, y in zip(longitude, latitude, strict=True)]


def _bbox(rings: Sequence[list[list[float]]]) -> list[float]:
    xs, ys = zip(*(point for ring in rings for point in ring), strict=True)
    return [min(xs), min(ys), max(xs), max(ys)]


def _link(relation: str, href: str) -> Record:
    return {"rel": relation, "href": f"./{href}", "type": JSON}


def _write(path: Path, record: Record) -> None:
    save(path, (json.dumps(record, indent=1) + "\n").encode())
