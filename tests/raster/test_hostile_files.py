"""Files that would make GDAL read, write or ask what nobody named; each was accepted before its guard was there."""

from __future__ import annotations

import json
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from raster_files import write_png, write_tiff
from where import SUPPORT

import overcast
from overcast.batch import Modality
from overcast.cli.console import ERROR_CONSOLE, print_table
from overcast.data.chips import Chip, read_chip
from overcast.data.labels import LabelSpec, number_footprints, read_mask
from overcast.errors import ConfigError, InputError
from overcast.fleet.scenes import find_scenes
from overcast.preparation.bands import find_bands
from overcast.preparation.inputs import parse_input
from overcast.preparation.target import target_crs
from overcast.raster.addresses import located
from overcast.raster.files import LARGEST_READ_PIXELS, opaque_bands, open_grid, open_raster
from overcast.raster.georeference import Georeference
from overcast.raster.grid import Window
from overcast.raster.radiometry import Radiometry, SensorRadiometry
from overcast.raster.sources import RasterioSource
from overcast.raster.units import Unit
from overcast.raster.vectors import in_metres, read_shapes, read_table
from overcast.scenes.declare import scene_radiometry
from overcast.scenes.inputs import input_identities
from overcast.simulator.options import FootprintOptions
from overcast.simulator.town.cityjson import read_cityjson
from overcast.simulator.town.given import read_town

SECRET = b"hunter2" * 100
SIDE = 8
SENSOR = SensorRadiometry(bands=("VV",), unit=Unit.LINEAR_POWER, gsd_m=0.5)
GRID = Georeference(SIDE, SIDE, Affine(0.5, 0, 593000, 0, -0.5, 5750000), "EPSG:32631")
BOX = shapely.box(593000, 5749997, 593002, 5749999)


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A server that lets anyone connect and never answers; GDAL waits a second for it."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    for name in ("GDAL_HTTP_TIMEOUT", "GDAL_HTTP_CONNECTTIMEOUT", "GDAL_HTTP_LOW_SPEED_TIME"):
        monkeypatch.setenv(name, "1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def web(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def require_unasked(listener: socket.socket) -> None:
    with pytest.raises(BlockingIOError):
        listener.accept()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file outside of the folder that the user names."""
    path = tmp_path / "home" / "secret.txt"
    path.parent.mkdir()
    path.write_bytes(SECRET)
    return path


def raw_vrt(source: Path | str, side: int = SIDE, metadata: str = "") -> str:
    return (
        f'<VRTDataset rasterXSize="{side}" rasterYSize="{side}">{metadata}<VRTRasterBand dataType="Byte" band="1" '
        f'subClass="VRTRawRasterBand"><SourceFilename relativeToVRT="0">{source}</SourceFilename><ImageOffset>0'
        f"</ImageOffset><PixelOffset>1</PixelOffset><LineOffset>{side}</LineOffset></VRTRasterBand></VRTDataset>"
    )


def plain_vrt(source: str, *, relative: int = 1, inner: str = "", kind: str = "SimpleSource", band: str = "") -> str:
    return (
        f'<VRTDataset rasterXSize="{SIDE}" rasterYSize="{SIDE}"><SRS>EPSG:32631</SRS><GeoTransform>593000, 0.5, 0, '
        f'5750000, 0, -0.5</GeoTransform><VRTRasterBand dataType="Float32" band="1"{band}><{kind}><SourceFilename '
        f'relativeToVRT="{relative}">{source}</SourceFilename>{inner}<SourceBand>1</SourceBand></{kind}>'
        "</VRTRasterBand></VRTDataset>"
    )


def drivers_of_text(secret: Path, address: str) -> dict[str, str]:
    """The smallest file of each of GDAL's drivers that follow what a text says."""
    source = f"<SourceFilename>{secret}</SourceFilename>"
    items = {"href": f"{address}/a.tif", "roles": ["data"], "type": "image/tiff"}
    return {
        "MRF": "<MRF_META><CachedSource><Source>x</Source></CachedSource><Raster><Size x='8' y='8' c='1'/><PageSize "
        f"x='8' y='8' c='1'/><Compression>NONE</Compression><DataFile>{secret}</DataFile></Raster></MRF_META>",
        "VRT raw": raw_vrt(secret),
        "VRT web": plain_vrt(f"/vsicurl/{address}/a.tif", relative=0),
        "WMS": f"<GDAL_WMS><Service name='TMS'><ServerUrl>{address}/${{z}}</ServerUrl></Service><DataWindow>"
        "<SizeX>8</SizeX><SizeY>8</SizeY></DataWindow></GDAL_WMS>",
        "WCS": f"<WCS_GDAL><ServiceURL>{address}/?</ServiceURL><CoverageName>a</CoverageName></WCS_GDAL>",
        "GTI": f"<GDALTileIndexDataset><IndexDataset>{secret}</IndexDataset></GDALTileIndexDataset>",
        "OGR VRT": f"<OGRVRTDataSource><OGRVRTLayer name='a'><SrcDataSource>{secret}</SrcDataSource></OGRVRTLayer>"
        "</OGRVRTDataSource>",
        "STACIT": json.dumps({"type": "FeatureCollection", "stac_version": "1.0.0", "features": [{"assets": items}]}),
        "GDALG": json.dumps({"type": "gdal_streamed_alg", "command_line": f"gdal vector pipeline ! read {address}"}),
        "PDS": f'PDS_VERSION_ID = PDS3\n^IMAGE = ("{secret}")\nEND\n',
        "AAIGrid": "ncols 8\nnrows 8\nxllcorner 0\nyllcorner 0\ncellsize 1\n" + ("1 " * SIDE + "\n") * SIDE,
        "EHdr or ISCE": source,
        "MapInfo": f'!table\n!version 300\nDefinition Table\n File "{secret}"\n',
        "GML": f'<ogr:FeatureCollection xmlns:ogr="http://ogr.maptools.org/" xmlns:gml="{address}"/>',
    }


NAMES_OF_DRIVERS = tuple(drivers_of_text(Path("x"), "y"))


@pytest.mark.parametrize("ending", [".tif", ".TIFF", ".png", ".jpg", ".jp2", ".img", ".tif.vrt", ".xml", ""])
def test_a_text_is_no_image_whatever_it_is_called(
    tmp_path: Path, secret: Path, listener: socket.socket, ending: str
) -> None:
    for text in drivers_of_text(secret, web(listener)).values():
        path = tmp_path / f"scene{ending}"
        path.write_text(text)
        path.with_suffix(".hdr").write_text(text)
        for reading in (
            lambda path=path: RasterioSource.open([path], SENSOR).read_native(Window(0, 0, 4, 4)),
            lambda path=path: read_mask(path, None, LabelSpec()),
        ):
            with pytest.raises(InputError, match="scene"):
                reading()
    assert secret.read_bytes() == SECRET
    require_unasked(listener)


def test_an_image_of_another_kind_is_named(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", np.ones((SIDE, SIDE), np.uint8)).rename(tmp_path / "a.tif")
    with pytest.raises(InputError, match=r"a\.tif .*called \.tif, but is PNG inside"), open_raster(tmp_path / "a.tif"):
        pass


def test_raw_images_have_a_header_of_their_own(tmp_path: Path) -> None:
    header = "ENVI\nsamples = 8\nlines = 8\nbands = 1\ndata type = 4\ninterleave = bsq\nbyte order = 1\n"
    (tmp_path / "a.img").write_bytes(np.full((SIDE, SIDE), 3, ">f4").tobytes())
    with pytest.raises(InputError, match=r"no header a\.hdr"), open_raster(tmp_path / "a.img"):
        pass
    (tmp_path / "a.hdr").write_text(header)
    with open_raster(tmp_path / "a.img") as dataset:
        assert (dataset.read(1) == 3).all()


# virtual rasters


def source_beside(folder: Path) -> Path:
    return write_tiff(folder / "part.tif", np.full((SIDE, SIDE), 7, np.float32))


def test_a_named_virtual_raster_of_images_beside_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    source_beside(tmp_path / "parts")
    scene = tmp_path / "scene.vrt"
    scene.write_text('<?xml version="1.0"?>\n' + plain_vrt("parts/part.tif"))
    with RasterioSource.open([scene], SENSOR, virtual=True) as source:
        assert source.georeference == GRID
        assert (source.read_native(Window(0, 0, SIDE, SIDE)).values == 7).all()
    assert scene_radiometry([scene], {"bands": ("VV",), "unit": "linear_power"}) == SENSOR
    files = {name for name in input_identities([scene]) if not name.startswith("header of")}
    assert files == {str(scene), str(tmp_path / "parts" / "part.tif")}


def test_a_virtual_raster_of_others_is_not_read(tmp_path: Path) -> None:
    source_beside(tmp_path)
    scene = tmp_path / "scene.vrt"
    scene.write_text(plain_vrt("part.tif"))
    chip = Chip("a", "a", sar=(scene,), optical=())
    with pytest.raises(InputError, match="you name it yourself"):
        read_chip(chip, Radiometry(sar=SENSOR), LabelSpec(), {Modality.SAR})
    with pytest.raises(InputError, match="you name it yourself"):
        read_mask(scene, None, LabelSpec())
    (tmp_path / "list").mkdir()
    shutil.copy(scene, tmp_path / "list")
    with pytest.raises(InputError, match=r"has no \.tif, \.tiff in it"):
        find_scenes([str(tmp_path / "list")], ("VV",))
    item = {"type": "Feature", "id": "a", "assets": {"a": {"href": "scene.vrt", "type": "image/tiff"}}}
    (tmp_path / "item.json").write_text(json.dumps(item))
    with pytest.raises(InputError, match="you name it yourself"):
        find_scenes([str(tmp_path / "item.json")], ("VV",))


def hostile_vrts(secret: Path, address: str) -> dict[str, str]:
    kernel = '<Kernel normalized="1"><Size>1</Size><Coefs>1</Coefs></Kernel>'
    derived = ' subClass="VRTDerivedRasterBand"'
    return {
        "raw band": raw_vrt(secret),
        "raw band beside": raw_vrt("part.tif").replace('relativeToVRT="0"', 'relativeToVRT="1"'),
        "absolute": plain_vrt(str(secret.parent / "part.tif"), relative=0),
        "absolute as relative": plain_vrt(str(secret.parent / "part.tif")),
        "dots": plain_vrt("../home/part.tif"),
        "link": plain_vrt("link.tif"),
        "link to a folder": plain_vrt("folder/part.tif"),
        "web": plain_vrt(f"/vsicurl/{address}/a.tif", relative=0),
        "web as relative": plain_vrt(f"/vsicurl/{address}/a.tif"),
        "archive": plain_vrt("/vsizip/a.zip/part.tif"),
        "nested": plain_vrt("nested.vrt"),
        "nested under another name": plain_vrt("nested.tif"),
        "prefix": plain_vrt("GTIFF_DIR:1:part.tif"),
        "kernel": plain_vrt("part.tif", kind="KernelFilteredSource", inner=kernel),
        "options": plain_vrt("part.tif", inner='<OpenOptions><OOI key="NUM_THREADS">1</OOI></OpenOptions>'),
        "pixel function": plain_vrt("part.tif", band=derived, inner=""),
        "overview": plain_vrt("part.tif").replace(
            "</VRTRasterBand>", f"<Overview><SourceFilename>{secret}</SourceFilename></Overview></VRTRasterBand>"
        ),
        "another case": plain_vrt("part.tif").replace("SimpleSource>", "simplesource>"),
        "warped": plain_vrt("part.tif").replace("<VRTDataset ", '<VRTDataset subClass="VRTWarpedDataset" '),
        "crs": plain_vrt("part.tif").replace("EPSG:32631", f"{address}/crs"),
        "entities": '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>' + plain_vrt("&b;"),
        "pointer": plain_vrt("part.tif").replace(
            "<SRS>", f'<Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{secret}</MDI></Metadata><SRS>'
        ),
        "empty": "",
        "nothing": "<VRTDataset/>",
        "no band": '<VRTDataset rasterXSize="8" rasterYSize="8"/>',
    }


@pytest.mark.parametrize("kind", hostile_vrts(Path("x"), "y"))
def test_a_virtual_raster_leaves_its_folder_by_no_way(
    tmp_path: Path, secret: Path, listener: socket.socket, kind: str
) -> None:
    folder = tmp_path / "scene"
    folder.mkdir()
    source_beside(folder)
    source_beside(secret.parent)
    (folder / "link.tif").symlink_to(secret.parent / "part.tif")
    (folder / "folder").symlink_to(secret.parent)
    for name in ("nested.vrt", "nested.tif"):
        (folder / name).write_text(raw_vrt(secret))
    scene = folder / "scene.vrt"
    scene.write_text(hostile_vrts(secret, web(listener))[kind])
    with pytest.raises(InputError, match=r"scene\.vrt|nested\.tif"), open_raster(scene, virtual=True) as dataset:
        dataset.read(1)
    require_unasked(listener)


@pytest.mark.parametrize("side", ["part.tif.ovr", "PART.TIF.oVr", "part.tif.MsK", "part.aux"])
def test_files_beside_the_sources_of_a_virtual_raster_are_looked_at(tmp_path: Path, secret: Path, side: str) -> None:
    source_beside(tmp_path)
    (tmp_path / side).write_text(("EHFA_HEADER_TAG" if side.endswith("aux") else "") + raw_vrt(secret))
    (tmp_path / "scene.vrt").write_text(plain_vrt("part.tif"))
    with pytest.raises(InputError, match="remove it"), open_raster(tmp_path / "scene.vrt", virtual=True):
        pass


# files beside an image


MASKED = '<Metadata><MDI key="INTERNAL_MASK_FLAGS_1">2</MDI></Metadata>'


def pointing(target: Path | str) -> str:
    return f'<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{target}</MDI></Metadata></PAMDataset>'


@pytest.mark.parametrize("side", [".ovr", ".OVR", ".msk", ".MSK", ".aux", ".ovr.msk", ".msk.oVr", ".aux.xml"])
def test_overviews_and_masks_are_pictures(tmp_path: Path, secret: Path, side: str) -> None:
    image = write_tiff(tmp_path / "a.tif", np.ones((64, 64), np.uint8))
    hostile = tmp_path / "a.tif"
    text = raw_vrt(secret, 64 if "msk" in side.lower() else 32, MASKED)
    if side.count(".") == 2 and side != ".aux.xml":
        write_tiff(tmp_path / f"a.tif{side[:4]}", np.ones((32, 32), np.uint8))
    if side == ".aux.xml":
        (tmp_path / "b.txt").write_text(text)
        text = pointing(tmp_path / "b.txt")
    hostile.with_name(f"a.tif{side}").write_text(("EHFA_HEADER_TAG" if side == ".aux" else "") + text)
    with pytest.raises(InputError, match=r"a\.tif.*remove"), open_raster(image):
        pass


def test_metadata_inside_an_image_point_to_no_other(tmp_path: Path, secret: Path) -> None:
    image = write_tiff(tmp_path / "a.tif", np.ones((64, 64), np.uint8))
    (tmp_path / "b.txt").write_text(raw_vrt(secret, 32))
    with rasterio.open(image, "r+") as dataset:
        dataset.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=str(tmp_path / "b.txt"))
    assert not (tmp_path / "a.tif.aux.xml").exists()
    with pytest.raises(InputError, match="names another file as its overviews"), open_raster(image):
        pass


@pytest.mark.parametrize("side", ["ovr", "msk"])
@pytest.mark.parametrize("inside", [True, False])
def test_metadata_of_files_beside_an_image_point_to_no_other(
    tmp_path: Path, secret: Path, side: str, inside: bool
) -> None:
    image = write_tiff(tmp_path / "a.tif", np.ones((64, 64), np.uint8))
    beside = write_tiff(tmp_path / f"a.tif.{side}", np.ones((32, 32), np.uint8))
    (tmp_path / "b.txt").write_text(raw_vrt(secret, 16))
    if inside:
        with rasterio.open(beside, "r+") as dataset:
            dataset.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=str(tmp_path / "b.txt"))
    else:
        (tmp_path / f"a.tif.{side}.aux.xml").write_text(pointing(tmp_path / "b.txt"))
    with pytest.raises(InputError, match=rf"a\.tif\.{side} names another file as its overviews"), open_raster(image):
        pass


def test_plain_files_beside_an_image_are_used(tmp_path: Path) -> None:
    image = write_tiff(tmp_path / "a.tif", np.ones((64, 64), np.uint8))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(image, "r+") as dataset:
        dataset.write_mask(np.arange(64 * 64).reshape(64, 64) % 2 == 0)
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(image, "r+") as dataset:
        dataset.build_overviews([2])
    assert {"a.tif.msk", "a.tif.ovr"} <= {path.name for path in tmp_path.iterdir()}
    with open_raster(image) as dataset:
        assert dataset.overviews(1) == [2]
        assert (dataset.dataset_mask() == 255).sum() == 64 * 32


def test_a_coordinate_system_of_an_image_is_no_address(tmp_path: Path, listener: socket.socket) -> None:
    image = write_tiff(tmp_path / "a.tif", np.ones((SIDE, SIDE), np.uint8), crs=None)
    wkt = f'LOCAL_CS["{web(listener)}",UNIT["metre",1]]'
    for text in (f"{web(listener)}/crs", wkt):
        (tmp_path / "a.tif.aux.xml").write_text(f"<PAMDataset><SRS>{text}</SRS></PAMDataset>")
        try:
            with open_raster(image) as dataset:
                assert dataset.crs is None
        except InputError as error:
            assert "names an address" in str(error)  # noqa: PT017  # either is right
    require_unasked(listener)


# vector files


def shapes_file(path: Path, count: int = 1) -> Path:
    kinds = {".gpkg": "GPKG", ".geojson": "GeoJSON", ".fgb": "FlatGeobuf", ".shp": "ESRI Shapefile"}
    table = geopandas.GeoDataFrame({"a": range(count)}, geometry=[BOX] * count, crs="EPSG:32631")
    plain = path.parent / f"written{path.suffix}"
    if path.suffix == ".parquet":
        table.to_parquet(plain)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            table.to_file(plain, driver=kinds[path.suffix])
    for part in path.parent.glob("written.*"):
        part.rename(path.with_name(path.stem + part.suffix))
    return path


@pytest.mark.parametrize("ending", [".geojson", ".json", ".gpkg", ".fgb", ".shp", ".parquet", ".csv", ".vrt", ""])
def test_a_text_is_no_vector_file_whatever_it_is_called(
    tmp_path: Path, secret: Path, listener: socket.socket, ending: str
) -> None:
    for kind, text in drivers_of_text(secret, web(listener)).items():
        for head in ("",) if ending in {".geojson", ".json"} else ("", "fgb\x03fgb\x01", "SQLite format 3", "PAR1"):
            if kind == "STACIT" and ending in {".geojson", ".json"}:
                continue  # GeoJSON by rights: features without geometry, whose assets nobody follows
            path = tmp_path / f"f{ending}"
            path.write_text(head + text)
            with pytest.raises(InputError, match="f"):
                read_shapes(path)
            with pytest.raises(InputError, match="f"):
                number_footprints(path, GRID)
    require_unasked(listener)


def collection(crs: str) -> str:
    feature = json.dumps({"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(BOX)})
    return f'{{"type": "FeatureCollection", {crs} "features": [{feature}]}}'


@pytest.mark.parametrize(
    "crs",
    [
        '"crs": {"type": "link", "properties": {"href": "ADDRESS/a"}},',
        '"crs": {"properties": {"href": "ADDRESS/a", "type": "ogcwkt"}, "type": "link"},',
        '"\\u0063r\\u0073": {"type": "link", "properties": {"href": "ADDRESS/a"}},',
        "'crs': {'type': 'link', 'properties': {'href': 'ADDRESS/a'}},",
        '"crs": null, "crs": {"type": "link", "properties": {"href": "ADDRESS/a"}},',
        '"crs" /* */ : {"type": "link", "properties": {"href": "ADDRESS/a"}},',
        '"crs": {"type": "link", "properties": {"href": "\\u0068ttp\\u003a//127.0.0.1/a"}},',
        '"crs": {"type": "name", "properties": {"name": "ADDRESS/a"}},',
        '"crs": {"type": "name", "properties": {"name": "/vsicurl?url=ADDRESS"}},',
        '"crs": "ADDRESS",',
    ],
)
def test_the_coordinate_system_of_geojson_is_not_fetched(tmp_path: Path, listener: socket.socket, crs: str) -> None:
    path = tmp_path / "f.geojson"
    path.write_text(collection(crs.replace("ADDRESS", web(listener))))
    with pytest.raises(InputError, match=r"f\.geojson .*(address|not GeoJSON)"):
        number_footprints(path, GRID)
    require_unasked(listener)


@pytest.mark.parametrize(
    "crs",
    [
        '"crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32631"}},',
        '"crs":{"properties":{"name":"EPSG:32631"},"type":"name"},',
        '"name": "Stra\\u00dfe \\u0041", "crs": {"type": "name", "properties": {"name": "EPSG:32631"}},',
    ],
)
def test_the_coordinate_system_of_geojson_is_a_code(tmp_path: Path, crs: str) -> None:
    (tmp_path / "f.geojson").write_text(collection(crs))
    assert number_footprints(tmp_path / "f.geojson", GRID).sum() == 16
    assert read_shapes(tmp_path / "f.geojson").crs == "EPSG:32631"


@pytest.mark.parametrize("ending", [".gpkg", ".geojson", ".fgb", ".shp", ".parquet"])
@pytest.mark.parametrize("stem", ["x!f", "x;f", "x#f", "x\nf", "x?f", "f.zip!x", "GPKG:f", "file:x", "wow!/f", "%66"])
def test_every_name_of_a_vector_file_is_a_name(tmp_path: Path, stem: str, ending: str) -> None:
    path = shapes_file(tmp_path / f"right{ending}", 3)
    decoy = shapes_file(tmp_path / f"f{ending}", 1)
    if ending != ".shp":
        shutil.copy(decoy, tmp_path / "x")
    named = tmp_path / f"{stem}{ending}"
    named.parent.mkdir(exist_ok=True)
    for part in tmp_path.glob("right.*"):
        shutil.copy(part, named.with_name(named.stem + part.suffix))
    path.unlink()
    assert len(read_shapes(named)) == 3
    assert number_footprints(named, GRID).max() == 3
    assert read_shapes(named).crs == "EPSG:32631"


@pytest.mark.filterwarnings("ignore:Non closed ring")
def test_shapes_without_a_place_or_a_closed_ring_are_refused(tmp_path: Path) -> None:
    text = collection("").replace("[593002.0, 5749997.0]", "[593002.0, 5749990.0]", 1)
    open_ring = json.loads(text)
    open_ring["features"][0]["geometry"]["coordinates"][0].pop()
    (tmp_path / "f.geojson").write_text(json.dumps(open_ring))
    with pytest.raises(InputError, match=r"f\.geojson"):
        number_footprints(tmp_path / "f.geojson", GRID)
    nowhere = geopandas.GeoDataFrame(geometry=[BOX], crs='LOCAL_CS["plan",UNIT["foot",0.3]]')
    with pytest.raises(InputError, match="where on Earth"):
        in_metres(nowhere)
    model = {"type": "CityJSON", "vertices": [[0, 0, float("nan")]], "CityObjects": {}}
    (tmp_path / "city.json").write_text(json.dumps(model))
    with pytest.raises(InputError, match="finite"):
        read_cityjson(tmp_path / "city.json")


def views_of(secret: Path, address: str) -> dict[str, str]:
    """SQL that a GeoPackage may hold, with functions and modules of GDAL and SQLite that reach beyond the file."""
    column = "SELECT fid, geom, length({}) AS a FROM written"
    return {
        "geocoding": column.format(f"ogr_geocode('a', 'geometry', 'query_template={address}/%s')"),
        "pixels of a server": column.format(f"gdal_get_pixel_value('/vsicurl/{address}/a.tif', 1, 'pixel', 0, 0)"),
        "layers of a server": column.format(f"ogr_datasource_load_layers('/vsicurl/{address}/a.geojson')"),
        "extension": column.format(f"load_extension('{secret}')"),
        "text": f"USING VirtualText('{secret}')",
        "shapes": f"USING VirtualOGR('/vsicurl/{address}/a.geojson')",
    }


@pytest.mark.parametrize("kind", views_of(Path("x"), "y"))
def test_the_sql_of_a_geopackage_reaches_nothing_else(
    tmp_path: Path, secret: Path, listener: socket.socket, kind: str
) -> None:
    path, sql = shapes_file(tmp_path / "f.gpkg"), views_of(secret, web(listener))[kind]
    with closing(sqlite3.connect(path)) as file:
        if sql.startswith("USING"):
            file.execute("PRAGMA writable_schema = 1")
            row = ("table", "v", "v", 0, f"CREATE VIRTUAL TABLE v {sql}")
            file.execute("INSERT INTO sqlite_master(type, name, tbl_name, rootpage, sql) VALUES (?, ?, ?, ?, ?)", row)
        else:
            file.execute(f"CREATE VIEW v AS {sql}")
        for table in ("gpkg_contents", "gpkg_geometry_columns"):
            file.execute(f"UPDATE {table} SET table_name = 'v' WHERE table_name = 'written'")
        file.commit()
    with suppress(InputError):
        assert "hunter2" not in str(read_table(path))
    require_unasked(listener)


def test_coordinate_systems_of_a_configuration_are_not_fetched(tmp_path: Path, listener: socket.socket) -> None:
    path = shapes_file(tmp_path / "f.gpkg")
    with pytest.raises(InputError, match="names an address"):
        read_town(FootprintOptions(file=str(path), crs=f"{web(listener)}/crs", default_height_m=3))
    with pytest.raises(ConfigError, match="not a known coordinate reference system"):
        target_crs(GRID, f"{web(listener)}/crs", "a.tif")
    require_unasked(listener)


# servers and addresses


def test_a_server_that_never_answers_is_told_in_bounded_time(listener: socket.socket) -> None:
    with pytest.raises(InputError, match=r"http://127\.0\.0\.1.*cannot be read as an image"):
        RasterioSource.open([located(f"{web(listener)}/hang/scene.tif")], SENSOR)
    listener.accept()[0].close()  # it was asked


def test_limits_hold_where_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    from overcast.raster.opening import NETWORK_LIMITS, _unset_limits

    for name in NETWORK_LIMITS:
        monkeypatch.delenv(name, raising=False)
    assert _unset_limits() == NETWORK_LIMITS
    with rasterio.Env(GDAL_HTTP_TIMEOUT=5):
        assert _unset_limits().keys() == NETWORK_LIMITS.keys() - {"GDAL_HTTP_TIMEOUT"}


def test_nothing_beside_an_image_on_a_server_is_asked_for(tmp_path: Path, listener: socket.socket) -> None:
    write_tiff(tmp_path / "a.tif", np.ones((64, 64), np.float32))
    elsewhere = plain_vrt(f"/vsicurl/{web(listener)}/b.tif", relative=0)
    for side in ("ovr", "msk"):
        (tmp_path / f"a.tif.{side}").write_text(elsewhere)
    (tmp_path / "a.vrt").write_text(plain_vrt("a.tif"))
    command = [sys.executable, str(SUPPORT / "range_server.py"), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        server = f"http://127.0.0.1:{process.stdout.readline().strip()}"
        with open_raster(located(f"{server}/a.tif")) as dataset:
            assert dataset.overviews(1) == []
            assert (dataset.dataset_mask() == 255).all()
        with pytest.raises(InputError, match=r"a\.vrt is made of several files"):
            RasterioSource.open([located(f"{server}/a.vrt")], SENSOR, virtual=True)
        process.terminate()
    require_unasked(listener)


def test_gdals_names_and_addresses_are_understood(tmp_path: Path) -> None:
    path = source_beside(tmp_path)
    archive = shutil.make_archive(str(tmp_path / "a"), "zip", tmp_path, "part.tif")
    for name in (f"/vsizip/{archive}/part.tif", path.as_uri(), f"FILE://localhost{path}"):
        with open_raster(located(name)) as dataset:
            assert dataset.read(1).max() == 7
    assert located("S3://Bucket/a.tif") == located("s3://Bucket/a.tif") == Path("/vsis3/Bucket/a.tif")
    assert located("/vsicurl/https://h/a.tif") == located("https://h/a.tif") == located(located("https://h/a.tif"))
    assert parse_input("HH=https://h/a.tif@2").path == located("https://h/a.tif")


@pytest.mark.parametrize(
    "name",
    [
        "ftp://h/a.tif",
        "gopher://h/a.tif",
        "file://host/a.tif",
        "/vsistdin/",
        "/vsisparse/a.xml",
        "/vsisubfile/0_9,a.tif",
        "/vsicurl/gopher://h",
        "/vsicurl?url=http%3A%2F%2Fh&header_file=x",
        "/vsizip/{/vsisparse/a.xml}/b.tif",
    ],
)
def test_other_addresses_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"is not an? (name|address) that is read"):
        located(name)
    if name.startswith("/vsi"):
        with pytest.raises(InputError, match=r"is not an? (name|address) that is read"), open_raster(Path(name)):
            pass


def test_prepare_names_an_address_as_it_was_given(listener: socket.socket) -> None:
    given = f"{web(listener)}/a%20b.tif"
    with ExitStack() as stack, pytest.raises(InputError, match=re.escape(given)):
        find_bands([parse_input(f"HH={given}")], (("HH",), "m"), None, stack)


def test_links_of_a_record_are_addresses(tmp_path: Path) -> None:
    write_tiff(tmp_path / "sar scene.tif", np.ones((SIDE, SIDE), np.float32))
    for href in ("./sar%20scene.tif", "sar scene.tif", (tmp_path / "sar scene.tif").as_uri()):
        (tmp_path / "item.json").write_text(json.dumps({"type": "Feature", "id": "a", "assets": {"a": {"href": href}}}))
        for record in (str(tmp_path / "item.json"), (tmp_path / "item.json").as_uri()):
            (scene,) = find_scenes([record], ("VV",))
            assert scene.files == (tmp_path / "sar scene.tif",)
    links = [{"rel": "item", "href": (tmp_path / "item.json").as_uri()}]
    (tmp_path / "all.json").write_text(json.dumps({"type": "Collection", "links": links}))
    assert find_scenes([str(tmp_path / "all.json")], ("VV",))[0].files == (tmp_path / "sar scene.tif",)


# sizes


def test_bands_are_counted_first(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    shape = {"height": 2, "width": 2, "count": 4000, "dtype": "uint8", "sparse_ok": True}
    with rasterio.open(path, "w", driver="GTiff", interleave="band", **shape):
        pass
    for reading in (lambda: read_mask(path, None, LabelSpec()), lambda: RasterioSource.open([path], SENSOR)):
        with pytest.raises(InputError, match="has 4000 bands, and an image has 1 to 1024"):
            reading()


def test_the_meaning_of_bands_is_asked_for_once() -> None:
    class Counting:
        name, indexes, asked = "scene.tif", tuple(range(1, 101)), 0

        @property
        def colorinterp(self) -> list[str]:
            self.asked += 1
            return ["grey"] * 100

    dataset = Counting()
    assert opaque_bands(dataset) == dataset.indexes
    assert dataset.asked == 1


def claiming(path: Path, side: int, **layout: Any) -> Path:
    """A file of few bytes that claims to be large."""
    shape = {"height": side, "width": side, "count": 1, "dtype": "uint8", "crs": "EPSG:32631", "sparse_ok": True}
    with rasterio.open(path, "w", driver="GTiff", transform=GRID.transform, **shape, **layout):
        pass
    return path


def test_sizes_are_bounded_before_pixels_are_decoded(tmp_path: Path) -> None:
    side = 40_000
    assert side**2 > LARGEST_READ_PIXELS
    layout = {"tiled": True, "blockxsize": 4096, "blockysize": 4096}
    mask, image = claiming(tmp_path / "mask.tif", side, **layout), claiming(tmp_path / "a.tif", side, **layout)
    assert mask.stat().st_size < 4000
    with pytest.raises(InputError, match=r"mask\.tif: 40000 x 40000 pixels are more than"):
        read_mask(mask, None, LabelSpec())
    chip = Chip("a", "a", sar=(image,), optical=(), mask=mask)
    with pytest.raises(InputError, match=r"a\.tif: 40000 x 40000 pixels are more than"):
        read_chip(chip, Radiometry(sar=SENSOR), LabelSpec(), {Modality.SAR})
    with pytest.raises(InputError, match=r"f\.gpkg: 40000 x 40000 pixels are more than"):
        number_footprints(shapes_file(tmp_path / "f.gpkg"), open_grid(image))
    with pytest.raises(InputError, match=r"mask\.tif .*is not on the grid of"):
        read_mask(mask, None, LabelSpec(), (tmp_path / "b.tif", GRID))
    assert read_mask(mask, Window(0, 0, 4, 4), LabelSpec()).shape == (4, 4)


def test_a_block_of_gigabytes_is_refused(tmp_path: Path) -> None:
    path = claiming(tmp_path / "a.tif", 40_000, tiled=True, blockxsize=40_000, blockysize=40_000)
    with pytest.raises(InputError, match=r"blocks of 1\.6 GB"), open_raster(path):
        pass


# the terminal


def test_names_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("[/x]", "b"), [("[link=http://h]a[/link]", "[/y]")], title="[/z]")
    printed = capsys.readouterr().out
    assert all(text in printed for text in ("[/x]", "[link=http://h]a[/link]", "[/y]", "[/z]"))
    with ERROR_CONSOLE.capture() as captured:
        ERROR_CONSOLE.print("[/x]")
    assert "[/x]" in captured.get()


OPENING = re.compile(
    r"rasterio\.open\((?!\s*path,\s*\"w\")|read_dataframe\(|read_parquet\(|list_layers\(|\.read_file\("
)


def test_no_other_place_opens_files() -> None:
    """Rasters and vector files are opened for reading in one place each, so that no guard can be passed by."""
    package = Path(str(overcast.__file__)).parent
    texts = {path.name: path.read_text(encoding="utf-8") for path in package.rglob("*.py")}
    assert {name for name, text in texts.items() if OPENING.search(text)} == {"opening.py", "vectors.py"}
