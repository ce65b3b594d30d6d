"""What lies beside the footprints: QGIS style and STAC item."""

from __future__ import annotations

import itertools
import json
import sqlite3
import xml.etree.ElementTree as ET
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import geopandas as gpd
import pyogrio
import pytest
import rasterio
from affine import Affine
from shapely.geometry import box, shape
from test_predict import MODEL, OPTIONS, SENSOR, bundle, names, predict, speckle, write_scene

from overcast import __version__
from overcast.choices import Outlines
from overcast.errors import InputError
from overcast.outputs.style import CLASSES, qml, store_style
from overcast.outputs.writable import writing
from overcast.scenes.model import SceneModel, Tempered
from overcast.scenes.predict import predict_file

BESIDE = replace(OPTIONS, style=True, stac=True, polygons=replace(OPTIONS.polygons, outlines=Outlines.GENTLE))


def made(folder: Path, ending: str = ".gpkg", **changes: Any) -> dict[str, Any]:
    """The STAC item of a mapped scene."""
    scene = folder / "scene.tif"
    if not scene.exists():
        write_scene(scene, speckle())
    predict(folder, scene, ending=ending, **{"options": BESIDE, **changes})
    return json.loads((folder / "f.stac.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("ending", "kind"),
    [
        (".gpkg", "application/geopackage+sqlite3"),
        (".parquet", "application/vnd.apache.parquet"),
        (".geojson", "application/geo+json"),
    ],
)
def test_item_links_scene_model_and_outputs(tmp_path: Path, ending: str, kind: str):
    item = made(tmp_path, ending)
    assert names(tmp_path) == sorted(["f.qml", "f.stac.json", f"f{ending}", "probability.tif", "scene.tif"])
    assert (item["type"], item["stac_version"], item["id"]) == ("Feature", "1.1.0", "f")
    assert item["assets"]["footprints"] == {"href": f"f{ending}", "type": kind, "roles": ["data"]}
    assert item["assets"]["probability"]["type"] == "image/tiff; application=geotiff; profile=cloud-optimized"
    for asset in item["assets"].values():
        assert (tmp_path / asset["href"]).is_file()
    assert item["links"] == [{"rel": "derived_from", "href": "scene.tif", "title": "scene.tif"}]
    properties = item["properties"]
    assert properties["processing:software"] == {"overcast": __version__}
    assert properties["overcast:model"]["sha256"] == MODEL.sha256
    assert properties["overcast:outlines"] == "gentle"
    found = (
        gpd.read_parquet(tmp_path / f"f{ending}")
        if ending == ".parquet"
        else gpd.read_file(tmp_path / f"f{ending}", layer="f")
    )
    assert properties["overcast:footprints"] == len(found)
    assert set(found["outline"]) <= {"squared", "smoothed", "pixels"}


def test_item_links_the_item_of_the_model_or_its_record(tmp_path: Path):
    """As the extension for models advises: derived_from, the model's name, level 4."""
    for name, kind in (("bundle.json", "application/json"), ("stac.json", "application/geo+json")):
        (tmp_path / "city").mkdir(exist_ok=True)
        (tmp_path / "city" / name).write_text("{}")
        model, options = replace(MODEL, path=tmp_path / "city"), replace(BESIDE, overwrite=True)
        scene, link = made(tmp_path, bundle=model, options=options)["links"]
        assert scene["href"] == "scene.tif"
        assert link == {
            "rel": "derived_from",
            "href": f"city/{name}",
            "type": kind,
            "title": "model city 0123456789ab",
            "mlm:name": "overcast-building-0123456789ab",
            "processing:level": "L4",
        }


def test_item_has_what_stac_requires(tmp_path: Path):
    item = made(tmp_path)
    required = {"type", "stac_version", "stac_extensions", "id", "geometry", "bbox", "properties", "links", "assets"}
    assert set(item) == required
    assert (item["type"], item["geometry"]["type"], len(item["bbox"])) == ("Feature", "Polygon", 4)
    assert datetime.strptime(item["properties"]["datetime"], "%Y-%m-%dT%H:%M:%SZ")  # noqa: DTZ007
    assert all(link.keys() >= {"rel", "href"} for link in item["links"])
    assert all("href" in asset for asset in item["assets"].values())


def test_bundles_are_linked_where_they_lie():
    assert SceneModel.of(bundle()).path == Path("runs/city")


def test_item_says_where_the_scene_lies(tmp_path: Path):
    item = made(tmp_path)
    outline = gpd.GeoSeries([shape(item["geometry"])], crs=4326)
    assert outline[0].exterior.is_ccw
    assert item["bbox"] == pytest.approx(list(outline[0].bounds))
    scene = box(593000, 5750000 - 75, 593085, 5750000)
    assert outline.to_crs(32631)[0].symmetric_difference(scene).area < 1e-2
    properties = item["properties"]
    assert properties["proj:code"] == "EPSG:32631"
    assert properties["proj:shape"] == [150, 170]
    assert Affine(*properties["proj:transform"]) == Affine(0.5, 0, 593000, 0, -0.5, 5750000)


def test_item_of_a_scene_without_degrees_has_no_geometry(tmp_path: Path):
    local = 'LOCAL_CS["site",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]'
    write_scene(tmp_path / "scene.tif", speckle(), crs=local)
    item = made(tmp_path)
    assert item["geometry"] is None
    assert "bbox" not in item
    assert "site" in item["properties"]["proj:wkt2"]
    write_scene(tmp_path / "nowhere.tif", speckle(), crs=None)
    predict_file([tmp_path / "nowhere.tif"], MODEL, sensor=SENSOR, probability=tmp_path / "p.tif", options=BESIDE)
    alone = json.loads((tmp_path / "p.stac.json").read_text(encoding="utf-8"))
    assert alone["geometry"] is None
    assert list(alone["assets"]) == ["probability"]


def test_dates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    unknown = made(tmp_path)["properties"]
    assert unknown["datetime"] == unknown["created"] == "2023-11-14T22:13:20Z"
    assert unknown["overcast:acquired"] is None
    assert "not known" in unknown["description"]
    east = datetime(2019, 8, 4, 14, 30, tzinfo=timezone(timedelta(hours=2)))
    for moment in (datetime(2019, 8, 4, 12, 30), east, datetime(2019, 8, 4, 12, 30, tzinfo=UTC)):  # noqa: DTZ001
        known = made(tmp_path, options=replace(BESIDE, acquired=moment, overwrite=True))["properties"]
        assert known["datetime"] == known["overcast:acquired"] == "2019-08-04T12:30:00Z"
        found = gpd.read_file(tmp_path / "f.gpkg", layer="f")
        assert set(found["acquired"].astype(str)) == {"2019-08-04T12:30:00Z"}


def test_style_is_the_default_of_the_layer_in_a_geopackage(tmp_path: Path):
    made(tmp_path)
    with closing(sqlite3.connect(tmp_path / "f.gpkg")) as database:
        rows = database.execute("SELECT f_table_name, useAsDefault, styleQML FROM layer_styles").fetchall()
    assert rows == [("f", 1, qml())]
    assert (tmp_path / "f.qml").read_text(encoding="utf-8") == qml()
    assert pyogrio.list_layers(tmp_path / "f.gpkg")[0].tolist() == ["f", "Polygon"]
    assert len(gpd.read_file(tmp_path / "f.gpkg", layer="f", bbox=(593000, 5749950, 593060, 5750000))) > 0


def test_style_covers_every_confidence_once():
    root = ET.fromstring(qml().split("\n", 1)[1])
    renderer = root.find("renderer-v2")
    assert renderer is not None
    assert (renderer.get("type"), renderer.get("attr")) == ("graduatedSymbol", "confidence")
    limits = [(float(one.get("lower", "")), float(one.get("upper", ""))) for one in renderer.iter("range")]
    assert limits == [(lower, upper) for lower, upper, _ in CLASSES]
    assert (limits[0][0], limits[-1][1]) == (0, 1)
    assert all(one[1] == other[0] for one, other in itertools.pairwise(limits))
    symbols = {one.get("name") for one in renderer.iter("symbol")}
    assert {one.get("symbol") for one in renderer.iter("range")} == symbols


def test_side_files_are_left_out_on_request(tmp_path: Path):
    scene = write_scene(tmp_path / "scene.tif", speckle())
    summary = predict(tmp_path, scene, options=replace(BESIDE, style=False, stac=False))
    assert summary.side_files == ()
    assert names(tmp_path) == ["f.gpkg", "probability.tif", "scene.tif"]
    assert pyogrio.list_layers(tmp_path / "f.gpkg")[:, 0].tolist() == ["f"]


@pytest.mark.parametrize("name", ["f.qml", "f.stac.json"])
def test_a_side_file_that_exists_is_kept(tmp_path: Path, name: str):
    scene = write_scene(tmp_path / "scene.tif", speckle())
    (tmp_path / name).write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match=rf"{name} exists; name another file, or allow overwriting"):
        predict(tmp_path, scene, options=BESIDE)
    assert names(tmp_path) == sorted([name, "scene.tif"])
    predict(tmp_path, scene, options=replace(BESIDE, overwrite=True))
    assert (tmp_path / name).read_text(encoding="utf-8") != "mine"


def test_style_that_cannot_be_stored_is_told_in_a_sentence(tmp_path: Path):
    broken = tmp_path / "f.gpkg"
    broken.write_bytes(b"no database" * 100)
    with pytest.raises(InputError, match=r"f\.gpkg cannot be written \(file is not a database"), writing(broken):
        store_style(broken, "f")


def test_probability_is_calibrated_unless_asked_otherwise(tmp_path: Path):
    scene = write_scene(tmp_path / "scene.tif", speckle())
    given = bundle()
    object.__setattr__(given, "info", given.info.model_copy(update={"calibration_temperature": 2.0}))
    assert isinstance(SceneModel.of(given).network, Tempered)
    assert SceneModel.of(given, calibrated=False).calibration_temperature is None

    def mapped(*, calibrated: bool) -> tuple[rasterio.MaskedArray, str]:
        options = replace(BESIDE, calibrated=calibrated, overwrite=True)
        predict(tmp_path, scene, bundle=given, options=options)
        with rasterio.open(tmp_path / "probability.tif") as dataset:
            return dataset.read(1) / 254, dataset.tags()["OVERCAST_CALIBRATION_TEMPERATURE"]

    (soft, told), (hard, silent) = mapped(calibrated=True), mapped(calibrated=False)
    assert (told, silent) == ("2", "none")
    assert ((soft > 0.5 + 1 / 254) <= (hard >= 0.5)).all()
    assert soft.max() < hard.max()
    found = gpd.read_file(tmp_path / "f.gpkg", layer="f")
    assert found.confidence.between(0.5, 1).all()
