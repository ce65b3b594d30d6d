"""Vector outputs: three formats, one schema, errors kept."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
from affine import Affine

from overcast.errors import InputError
from overcast.outputs.formats import VectorFormat, layer_name, require_openable, vector_format
from overcast.outputs.vector import Origin, require_placeable, write_footprints
from overcast.polygons.footprints import Footprints
from overcast.raster.sources import Georeference

ORIGIN = Origin("EPSG:32631", "building", "sar", "city 0123456789ab", "scene.tif")
COLUMNS = ["id", "class", "area_m2", "confidence", "valid_share", "outline", "provenance", "model", "scene", "acquired"]
COLUMNS += ["geometry"]
ENDINGS = [one.value for one in VectorFormat]


def portion(first: int, count: int) -> Footprints:
    """Squares of 10 m with a hole of 2 m, 20 m apart."""
    left = 593000 + 20.0 * np.arange(first, first + count)
    bottom = np.full(count, 5750000.0)
    shells = shapely.box(left, bottom, left + 10, bottom + 10)
    holes = shapely.box(left + 4, bottom + 4, left + 6, bottom + 6)
    return Footprints(
        id=np.arange(first, first + count),
        geometry=shapely.orient_polygons(shapely.difference(shells, holes)),
        area_m2=np.full(count, 96.0),
        confidence=np.linspace(0.5, 1, count),
        valid_share=np.ones(count),
        level=np.arange(count, dtype=np.int8) % 3,
        unsplit=np.zeros(count, bool),
        optical_share=np.linspace(0, 1, count),
    )


def read(path: Path) -> gpd.GeoDataFrame:
    return gpd.read_parquet(path) if path.suffix == ".parquet" else gpd.read_file(path)


@pytest.mark.parametrize("ending", ENDINGS)
def test_round_trip_in_portions(tmp_path: Path, ending: str):
    path = tmp_path / f"footprints{ending}"
    parts = [portion(0, 3), portion(3, 0), portion(3, 4)]
    assert write_footprints(path, vector_format(path), iter(parts), ORIGIN) == 7
    found = read(path)
    assert [name for name in found.columns if name != "bbox"] == COLUMNS
    assert found.id.tolist() == list(range(7))
    assert set(found["class"]) == {"building"}
    assert set(found.provenance) == {"sar"}
    assert set(found.model) == {ORIGIN.model}
    assert set(found.scene) == {"scene.tif"}
    np.testing.assert_allclose(found.confidence, [*parts[0].confidence, *parts[2].confidence])
    assert found.is_valid.all()
    assert (found.geometry.interiors.map(len) == 1).all()
    assert found.geometry.exterior.is_ccw.all()
    expected = np.concatenate([parts[0].geometry, parts[2].geometry])
    if ending == ".geojson":
        assert found.crs.to_epsg() == 4326
        distance = shapely.hausdorff_distance(np.asarray(found.to_crs(32631).geometry), expected)
        assert distance.max() < 1e-3
    else:
        assert found.crs.to_epsg() == 32631
        assert shapely.equals(np.asarray(found.geometry), expected).all()


@pytest.mark.parametrize("ending", ENDINGS)
def test_without_footprints_the_file_is_valid_and_empty(tmp_path: Path, ending: str):
    path = tmp_path / f"footprints{ending}"
    assert write_footprints(path, vector_format(path), iter([portion(0, 0)]), ORIGIN) == 0
    found = read(path)
    assert len(found) == 0
    assert found.crs is not None
    if ending != ".geojson":  # GeoJSON has no schema of its own
        assert [name for name in found.columns if name != "bbox"] == COLUMNS
        assert found.crs.to_epsg() == 32631


def test_geoparquet_has_a_covering_box_column(tmp_path: Path):
    path = tmp_path / "footprints.parquet"
    write_footprints(path, vector_format(path), iter([portion(0, 50)]), ORIGIN)
    geo = json.loads(pq.read_metadata(path).metadata[b"geo"])
    column = geo["columns"]["geometry"]
    assert geo["version"] == "1.1.0"
    assert column["covering"]["bbox"]["ymax"] == ["bbox", "ymax"]
    assert column["bbox"] == [593000, 5750000, 593000 + 49 * 20 + 10, 5750010]
    assert column["crs"]["id"] == {"authority": "EPSG", "code": 32631}
    near = gpd.read_parquet(path, bbox=(593095, 5750000, 593125, 5750001))
    assert near.id.tolist() == [5, 6]


def test_geojson_is_in_degrees_without_a_crs_member(tmp_path: Path):
    path = tmp_path / "footprints.geojson"
    write_footprints(path, vector_format(path), iter([portion(0, 1)]), ORIGIN)
    document = json.loads(path.read_text(encoding="utf-8"))
    assert "crs" not in document
    longitude, latitude = document["features"][0]["geometry"]["coordinates"][0][0]
    assert 4 < longitude < 5
    assert 51 < latitude < 53


def test_crs_without_a_code_is_kept(tmp_path: Path):
    origin = dataclasses.replace(ORIGIN, crs=SITE)
    for ending in (".gpkg", ".parquet"):
        path = tmp_path / f"footprints{ending}"
        write_footprints(path, vector_format(path), iter([portion(0, 2)]), origin)
        assert "site" in read(path).crs.to_wkt()


SITE = 'LOCAL_CS["site",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]'


@pytest.mark.parametrize(("crs", "scale"), [("EPSG:32631", 1e9), (SITE, 1)])
def test_where_a_crs_has_no_degrees_geojson_says_so(tmp_path: Path, crs: str, scale: float):
    near = portion(0, 1)
    away = dataclasses.replace(near, geometry=shapely.transform(near.geometry, lambda xy: xy * scale))
    path = tmp_path / "a.geojson"
    with pytest.raises(InputError, match=r"\.gpkg or \.parquet"):
        write_footprints(path, vector_format(path), iter([away]), dataclasses.replace(ORIGIN, crs=crs))
    grid = Georeference(10, 10, Affine(1, 0, 593000 * scale, 0, -1, 5750000 * scale), crs)
    with pytest.raises(InputError, match=r"\.gpkg or \.parquet"):
        require_placeable(VectorFormat.GEOJSON, grid)
    require_placeable(VectorFormat.GEOPACKAGE, grid)


@pytest.mark.parametrize("name", ["footprints.shp", "footprints", "footprints.json"])
def test_unknown_ending_names_the_known(name: str):
    with pytest.raises(InputError, match=r"\.gpkg .* \.parquet .* \.geojson"):
        vector_format(Path(name))


AWKWARD = ["a!b", "a;b", "a#b", "a%20b", "it's", 'a"b', "a\nb", "a\tb", "a?b=c", "zip:x", "a.zip!x", "\\a", "x" * 235]
UNNAMED = ["[1]", "-o", ".", "..", "(1)", "@a", "layer_styles", "Sqlite_master", "gpkg_contents", "GPKG", "ogr_x"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_any_name_can_be_written(tmp_path: Path, ending: str):
    """Names and folders that pyogrio, SQLite, GeoPackage or QGIS read as something else."""
    for name in [*AWKWARD, *UNNAMED]:
        folder = tmp_path / (name[:9] if name.strip(".") else "dots")
        folder.mkdir(exist_ok=True)
        path = folder / f"{name}{ending}"
        assert write_footprints(path, vector_format(path), iter([portion(0, 3)]), ORIGIN, styled=True) == 3
        assert [one.name for one in folder.iterdir()] == [path.name]
        plain = path.rename(tmp_path / f"plain{ending}")
        layer = {"layer": layer_name(path)} if ending == ".gpkg" else {}
        found = gpd.read_parquet(plain) if ending == ".parquet" else gpd.read_file(plain, **layer)
        assert found.id.tolist() == [0, 1, 2]
        plain.unlink()


def test_layer_has_the_name_of_the_file_where_that_is_allowed():
    assert {layer_name(Path(f"{name}.gpkg")) for name in UNNAMED} == {"footprints"}
    assert layer_name(Path("maps/Zürich 1.gpkg")) == "Zürich 1"


def test_path_that_sqlite_cannot_open_is_refused(tmp_path: Path):
    deep = tmp_path / ("d" * 240) / ("e" * 240) / "f.gpkg"
    with pytest.raises(InputError, match=r"path of f\.gpkg is \d+ bytes too long for a GeoPackage"):
        require_openable(deep, VectorFormat.GEOPACKAGE)
    require_openable(deep, VectorFormat.GEOPARQUET)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("error", [KeyError("lost"), KeyboardInterrupt(), InputError("scene.tif is damaged.")])
def test_error_of_the_portions_arrives_unchanged(tmp_path: Path, ending: str, error: BaseException):
    def portions():
        yield portion(0, 3)
        raise error

    with pytest.raises(type(error)) as caught:
        write_footprints(tmp_path / f"footprints{ending}", VectorFormat(ending), portions(), ORIGIN)
    assert caught.value is error


FULL_DISK = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_vector import ORIGIN, portion, vector_format, write_footprints
from overcast.errors import InputError
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
try:
    path = Path(sys.argv[2])
    write_footprints(path, vector_format(path), (portion(first, 1000) for first in range(0, 3000, 1000)), ORIGIN)
except InputError as error:
    print(error)
"""


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("missing", [0.3, 4])
def test_disk_that_takes_no_more_is_told_in_a_sentence(tmp_path: Path, ending: str, missing: float):
    """The limit on the size of files stands in for a full disk; at the last bytes OGR itself says nothing."""
    path = tmp_path / f"footprints{ending}"
    write_footprints(path, vector_format(path), (portion(first, 1000) for first in range(0, 3000, 1000)), ORIGIN)
    size = path.stat().st_size
    path.unlink()
    limit = size - missing if missing >= 1 else int(size * (1 - missing))
    command = [sys.executable, "-c", FULL_DISK, str(Path(__file__).parent), str(path), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.startswith(f"{path.name} cannot be written ("), done.stdout + done.stderr
    assert "write elsewhere" in done.stdout
