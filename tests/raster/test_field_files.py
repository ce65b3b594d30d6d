"""Files as programs in the field write them: storages, side files, coordinate systems, curves, names."""

import os
import sqlite3
import struct
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from prepare_miniatures import BANDS, NORTH_UP, UTM31, in_db, model, power, read, write

from overcast.errors import InputError
from overcast.preparation.options import PrepareOptions
from overcast.preparation.run import prepare_scene
from overcast.raster.files import grid_of, open_raster
from overcast.raster.radiometry import SensorRadiometry
from overcast.raster.sources import RasterioSource
from overcast.raster.units import RadarSide, Unit
from overcast.raster.vectors import read_shapes, single_polygons
from overcast.scenes.declare import scene_radiometry

SENSOR = SensorRadiometry(bands=BANDS, unit=Unit.DECIBEL, gsd_m=1.0)
STATED = PrepareOptions(unit=Unit.DECIBEL, radar_side=RadarSide.NORTH)
STORAGES = {
    "zstd": {"compress": "zstd", "predictor": 3, "tiled": True, "blockxsize": 16, "blockysize": 16},
    "lerc": {"compress": "lerc", "max_z_error": 0},
    "lerc and zstd": {"compress": "lerc_zstd", "max_z_error": 0},
    "lzma": {"compress": "lzma"},
    "sparse": {"BIGTIFF": "YES", "SPARSE_OK": "TRUE", "compress": "deflate"},
    "bands apart": {"interleave": "band", "compress": "lzw", "predictor": 2, "dtype": "float64"},
    "big-endian": {"ENDIANNESS": "BIG"},
}


def scene(path: Path, **more: Any) -> np.ndarray:
    """Writes a scene in dB; returns its (C, H, W) values."""
    values = in_db(power(40, 50)).astype("float32")
    write(path, values, names=BANDS, **more)
    return values


def pixels(path: Path) -> np.ndarray:
    with RasterioSource.open([path], SENSOR) as source:
        return source.read(source.georeference.whole).values


@pytest.mark.parametrize("storage", STORAGES.values(), ids=STORAGES)
def test_storages_hold_the_same_pixels(tmp_path, storage):
    values = scene(tmp_path / "scene.tif", **storage)
    np.testing.assert_array_equal(pixels(tmp_path / "scene.tif"), values)


def test_half_precision_is_read(tmp_path):
    values = scene(tmp_path / "scene.tif", NBITS=16)
    np.testing.assert_allclose(pixels(tmp_path / "scene.tif"), values, rtol=1e-3)


def test_point_pixels_lie_where_others_do(tmp_path):
    scene(tmp_path / "area.tif")
    scene(tmp_path / "point.tif", tags={"AREA_OR_POINT": "Point"})
    with open_raster(tmp_path / "area.tif") as area, open_raster(tmp_path / "point.tif") as point:
        assert grid_of(area) == grid_of(point)


def test_a_place_in_side_files_counts_only_where_the_image_has_none(tmp_path):
    scene(tmp_path / "arc.tif", crs=None, transform=None)
    (tmp_path / "arc.tfw").write_text("1\n0\n0\n-1\n593000.5\n5749999.5\n")
    wkt = pyproj.CRS(UTM31).to_wkt("WKT1_ESRI").replace('"', "&quot;")
    (tmp_path / "arc.tif.aux.xml").write_text(f"<PAMDataset><SRS>{wkt}</SRS></PAMDataset>")
    scene(tmp_path / "both.tif")
    (tmp_path / "both.tfw").write_text("1\n0\n0\n-1\n0.5\n-0.5\n")
    for name in ("arc.tif", "both.tif"):
        with open_raster(tmp_path / name) as dataset:
            assert dataset.transform == NORTH_UP
            assert dataset.crs.to_epsg() == 32631


@pytest.mark.parametrize("crs", ["EPSG:32631+5773", pyproj.CRS(UTM31).to_wkt("WKT1_ESRI")], ids=["heights", "ESRI"])
def test_coordinate_systems_with_heights_or_without_codes_are_kept(tmp_path, crs):
    values = scene(tmp_path / "scene.tif", crs=crs)
    summary = prepare_scene([tmp_path / "scene.tif"], model(), tmp_path / "p.tif", STATED)
    np.testing.assert_array_equal(read(tmp_path / "p.tif"), values)
    kept = next(step for step in summary.plan.steps if step.startswith("grid kept"))
    assert len(kept) < 120


def test_a_coordinate_system_of_a_site_has_no_compass(tmp_path):
    local = 'LOCAL_CS["site grid",UNIT["metre",1],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'
    scene(tmp_path / "scene.tif", crs=local)
    assert scene_radiometry([tmp_path / "scene.tif"], {"unit": "dB"}).gsd_m == 1.0
    with pytest.raises(InputError, match=r"'site grid', a coordinate system of its own.*no compass.*-a_srs EPSG"):
        prepare_scene([tmp_path / "scene.tif"], model(), tmp_path / "p.tif", STATED)


def test_curves_are_drawn_out_and_empty_shapes_left_out(tmp_path):
    """A circle as CURVEPOLYGON, as cadastres store it; ISO 13249-3 well-known binary in a GeoPackage."""
    path = tmp_path / "curves.gpkg"
    shapes = [shapely.box(593000, 5749900, 593010, 5749910), None]
    table = geopandas.GeoDataFrame({"name": ["circle", "nothing"]}, geometry=shapes, crs=UTM31)
    table.to_file(path, driver="GPKG", geometry_type="Unknown")
    corners = [(593000, 5749950), (593008, 5749958), (593016, 5749950), (593008, 5749942), (593000, 5749950)]
    arc = struct.pack("<BII", 1, 8, 5) + b"".join(struct.pack("<dd", *corner) for corner in corners)
    blob = struct.pack("<2sBBi", b"GP", 0, 1, 32631) + struct.pack("<BII", 1, 10, 1) + arc
    with sqlite3.connect(path) as database:
        for (name,) in database.execute("select name from sqlite_master where type = 'trigger'").fetchall():
            database.execute(f'drop trigger "{name}"')
        database.execute("update curves set geom = ? where fid = 1", (blob,))
    found = single_polygons(read_shapes(path))
    assert found.area.tolist() == pytest.approx([np.pi * 64], rel=1e-3)


def test_names_that_are_not_utf8_are_told_before_anything_is_done(tmp_path):
    scene(tmp_path / "scene.tif")
    odd = tmp_path / os.fsdecode(b"Z\xfcrich.tif")
    (tmp_path / "scene.tif").rename(odd)
    for refused in (
        lambda: scene_radiometry([odd], {"unit": "dB"}),
        lambda: prepare_scene([odd], model(), tmp_path / "p.tif", STATED),
    ):
        with pytest.raises(InputError, match=r"Z\\xfcrich\.tif has a name that is not UTF-8; rename it"):
            refused()


def test_a_name_of_255_bytes_is_read(tmp_path):
    path = tmp_path / ("Ü" * 125 + "x.tif")
    assert len(os.fsencode(path.name)) == 255
    values = scene(path)
    assert scene_radiometry([path], {"unit": "dB"}).bands == BANDS
    prepare_scene([path], model(), tmp_path / "p.tif", STATED)
    np.testing.assert_array_equal(read(tmp_path / "p.tif"), values)


def test_a_geotransform_of_no_numbers_is_told(tmp_path):
    scene(tmp_path / "scene.tif", transform=NORTH_UP @ Affine.translation(float("nan"), 0))
    with pytest.raises(InputError, match=r"scene\.tif lies nowhere: its geotransform holds what is no number"):
        pixels(tmp_path / "scene.tif")


def test_remarks_of_gdal_on_a_vector_file_are_not_printed(tmp_path):
    """They named places in the environment of the package; an error of our own says what matters."""
    table = geopandas.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)], crs=UTM31)
    table.to_file(tmp_path / "f.gpkg")
    with closing(sqlite3.connect(tmp_path / "f.gpkg")) as file:
        file.execute("update gpkg_spatial_ref_sys set definition = 'none' where srs_id = 32631")
        file.execute("update gpkg_spatial_ref_sys set organization = 'NONE' where srs_id = 32631")
        file.commit()
    program = "import pathlib, sys; from overcast.raster.vectors import *; read_shapes(pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-c", program, str(tmp_path / "f.gpkg")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
