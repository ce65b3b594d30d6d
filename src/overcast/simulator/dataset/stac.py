"""STAC 1.1 records of a simulated data set: catalog, collection, one item per place; equal for equal seeds.

Extensions: proj 2.0, sar 1.0, view 1.0, eo 1.1, raster 1.1. What was drawn for a place (its side, gains, shift) stands
in the properties with the prefix `overcast:`: the truth of the nuisances, which no measured image comes with.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, assert_never

import pystac
from pystac import Asset, Extent, MediaType, SpatialExtent, Summaries, TemporalExtent
from pystac.utils import str_to_datetime
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
_DATE = str_to_datetime(FIXED_DATE)


def write_item(
    root: Path, name: str, place: SimulatedPlace, options: SimulationOptions, files: Sequence[Written]
) -> None:
    """Write `stac/<name>.json`, the record of a place and of its files."""
    ring = _ring_wgs84(place.grid)
    item = pystac.Item(
        name,
        {"type": "Polygon", "coordinates": [ring]},
        _bbox([ring]),
        _DATE,
        _properties(place, options),
        stac_extensions=list(EXTENSIONS),
        collection=collection_id(options),
        assets={file.key: _asset(root, file, place, options) for file in files}
        | {"options": Asset("../simulation.json", media_type=MediaType.JSON, roles=["metadata"])},
    )
    item.add_links([_link("root", CATALOG), _link("parent", COLLECTION), _link("collection", COLLECTION)])
    _write(root / FOLDER / f"{name}.json", item)


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
    collection = pystac.Collection(
        collection_id(options),
        "Simulated optical and SAR images of simulated places with exact building footprints. "
        "No pixel was measured; the date is a constant.",
        Extent(SpatialExtent([whole]), TemporalExtent([[_DATE, _DATE]])),
        options.name,
        license=_licence(options),
        keywords=["simulated", "SAR", "optical", "building footprints"],
        summaries=Summaries(
            {
                "gsd": [options.gsd_m],
                "sar:polarizations": list(dict.fromkeys("|".join(options.band_names).split("|"))),
                "overcast:radar_side": sorted({item["properties"]["overcast:radar_side"] for item in items}),
            }
        ),
    )
    collection.add_links([_link("root", CATALOG), _link("parent", CATALOG)])
    collection.add_links([_link("item", f"{item['id']}.json", MediaType.GEOJSON) for item in items])
    catalog = pystac.Catalog(f"{collection_id(options)}-catalog", options.name)
    catalog.add_links([_link("root", CATALOG), _link("child", COLLECTION)])
    _write(root / FOLDER / COLLECTION, collection)
    _write(root / FOLDER / CATALOG, catalog)


def collection_id(options: SimulationOptions) -> str:
    """Identifier made from the data set's name and seed."""
    return f"{re.sub('[^a-z0-9]+', '-', options.name.lower()).strip('-') or 'simulated'}-seed{options.seed}"


def _licence(options: SimulationOptions) -> str:
    """SPDX code, or what STAC has had for all else: a town inherits the terms of its footprints."""
    return LICENCE if options.footprints is None else "proprietary"


def _properties(place: SimulatedPlace, options: SimulationOptions) -> Record:
    strip, exposure, sar = place.strip, place.exposure, options.sar
    gains = dict(zip(CHANNELS, strip.gain_db, strict=True))
    out: Record = {
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


def _asset(root: Path, file: Written, place: SimulatedPlace, options: SimulationOptions) -> Asset:
    """A file with what it holds, and with its own grid where it covers a part of the place."""
    sar, size = options.sar, {"spatial_resolution": options.gsd_m}
    window = place.grid.crop(file.window)
    grid = {"proj:shape": [window.height, window.width], "proj:transform": list(window.transform)[:6]}
    byte = {"data_type": "uint8"} | size
    media: str = MediaType.GEOTIFF
    fields: Record = {}
    match file.layer:
        case Layer.SAR:
            band = {"data_type": "float32", "nodata": NODATA, "unit": sar.unit.value} | size
            angle_deg, azimuth_deg = (
                sar.incidence_deg,
                (VIEW_AZIMUTH_DEG[place.strip.radar_side] + sar.look_offset_deg) % 360,
            )
            view = {"view:incidence_angle": angle_deg, "view:off_nadir": angle_deg, "view:azimuth": azimuth_deg}
            roles, fields = ["data"], {"raster:bands": [band for _ in sar.polarisations]} | view | grid
        case Layer.OPTICAL:
            names = [{"name": name, "common_name": name} for name in OPTICAL_BANDS]
            roles, fields = ["data"], {"eo:bands": names, "raster:bands": [byte for _ in names]} | grid
        case Layer.MASK:
            roles, fields = ["labels"], {"raster:bands": [byte]} | grid
        case Layer.CLOUDS:
            roles, fields = ["metadata", "cloud", "cloud-shadow"], {"raster:bands": [byte]} | grid
        case Layer.FOOTPRINTS:
            media, roles = MediaType.GEOPACKAGE, ["labels"]
        case Layer.DECLARATION:
            media, roles = "application/yaml", ["metadata"]
        case _:
            assert_never(file.layer)
    href = f"../{file.path.relative_to(root).as_posix()}"
    return Asset(href, media_type=media, roles=roles, extra_fields=fields)


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


def _link(relation: str, name: str, media_type: str = MediaType.JSON) -> pystac.Link:
    return pystac.Link(relation, f"./{name}", media_type)


def _write(path: Path, record: pystac.Item | pystac.Catalog) -> None:
    save(path, (json.dumps(record.to_dict(), indent=1) + "\n").encode())
