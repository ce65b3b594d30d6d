"""The HTML map that `predict` writes beside the footprints."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
from shapely.geometry import box
from test_predict import MODEL, NORTH_UP, OPTIONS, SENSOR, names, outputs_in, predict, speckle, write_scene
from test_view_export import packed
from typer.testing import CliRunner

import overcast as oc
from overcast.cli import app
from overcast.errors import ConfigError, InputError
from overcast.raster.radiometry import SensorRadiometry
from overcast.scenes.ground import area_of
from overcast.scenes.predict import predict_file
from overcast.viewer.output import MapOutput


def data_of(path: Path) -> dict[str, Any]:
    """What a map shows."""
    return json.loads(packed(path.read_text(encoding="utf-8"), "data"))


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "scene.tif", speckle())


def test_the_map_appears_with_the_footprints_and_shows_them(tmp_path: Path, scene: Path) -> None:
    page = MapOutput(tmp_path / "map.html", scene, sensor=SENSOR)
    summary = predict(tmp_path, scene, options=replace(OPTIONS, page=page))
    assert names(tmp_path) == ["f.gpkg", "map.html", "probability.tif", "scene.tif"]
    assert page.path in summary.side_files
    shown = data_of(page.path)
    assert len(shown["shapes"]["footprints"]["features"]) == summary.footprint_count
    assert set(shown["pictures"]) == {"scene"}
    assert shown["info"]["layers"]["scene"]["unit"] == "dB"
    assert shown["info"]["layers"]["scene"]["bands"] == ["HH"]
    assert shown["info"]["name"] == "scene.tif"
    text = page.path.read_text(encoding="utf-8") + json.dumps(shown)
    assert str(tmp_path) not in text
    assert ".partial" not in text


def test_declared_nodata_is_no_brightness(tmp_path: Path) -> None:
    values = speckle()
    values[:, :40] = -99.0
    scene = write_scene(tmp_path / "scene.tif", values)
    sensor = SensorRadiometry.model_validate({**SENSOR.model_dump(), "nodata": -99.0})
    page = MapOutput(tmp_path / "map.html", scene, sensor=sensor)
    predict(tmp_path, scene, sensor=sensor, options=replace(OPTIONS, page=page))
    assert data_of(page.path)["pictures"]["scene"]["url"].startswith("data:image/webp")  # JPEG: nothing is transparent


def test_a_reference_is_compared_and_kept(tmp_path: Path, scene: Path) -> None:
    reference = tmp_path / "osm.gpkg"
    left, top = NORTH_UP.c, NORTH_UP.f
    gpd.GeoDataFrame(geometry=[box(left, top - 9, left + 9, top)], crs="EPSG:32631").to_file(reference)
    page = MapOutput(tmp_path / "map.html", scene, None, reference, SENSOR)
    predict(tmp_path, scene, options=replace(OPTIONS, page=page))
    shown = data_of(page.path)
    assert (shown["info"]["compares"], shown["curve"][0]["missed"]) == (True, 1)
    options = replace(OPTIONS, page=page, overwrite=True)
    with pytest.raises(InputError, match="its reference; write elsewhere"):
        predict_file([scene], MODEL, sensor=SENSOR, footprints=reference, options=options)


def test_pictures_show_the_part_that_was_mapped(tmp_path: Path, scene: Path) -> None:
    left, top = NORTH_UP.c, NORTH_UP.f
    options = replace(OPTIONS, page=MapOutput(tmp_path / "map.html", scene, sensor=SENSOR))
    predict(tmp_path, scene, options=options)
    whole = data_of(tmp_path / "map.html")["pictures"]["scene"]["coordinates"]
    part = replace(options, area=area_of((left + 20, top - 50, left + 45, top - 25)), overwrite=True)
    predict(tmp_path, scene, options=part)
    shown = data_of(tmp_path / "map.html")["pictures"]["scene"]["coordinates"]
    assert whole[0][0] < shown[0][0] < shown[2][0] < whole[2][0]
    assert whole[2][1] < shown[2][1] < shown[0][1] < whole[0][1]


def test_what_cannot_be_is_refused_before_the_first_pixel(tmp_path: Path, scene: Path) -> None:
    with pytest.raises(InputError, match=r"does not end in \.html"):
        MapOutput(tmp_path / "map.pdf", scene)
    with pytest.raises(InputError, match=r"osm\.gpkg does not exist"):
        MapOutput(tmp_path / "map.html", scene, None, tmp_path / "osm.gpkg")
    page = MapOutput(tmp_path / "map.html", scene)
    with pytest.raises(ConfigError, match=r"map\.html shows footprints: name a file"):
        predict_file(
            [scene],
            MODEL,
            sensor=SENSOR,
            probability=tmp_path / "p.tif",
            options=replace(OPTIONS, page=page),
        )
    page.path.write_text("mine")
    with pytest.raises(InputError, match=r"map\.html exists"):
        predict(tmp_path, scene, options=replace(OPTIONS, page=page))
    assert outputs_in(tmp_path) == ["map.html", "scene.tif"]


def test_command_and_python_write_it(tmp_path: Path) -> None:
    settings = ["seed=31", "places=0", "scenes=1", "scene_m=192", "gsd_m=1", "city.built_share=0.9"]
    city = oc.simulate(tmp_path / "city", "demo", settings) / "scenes" / "scene0000"
    outputs = ["-o", str(tmp_path / "a.gpkg"), "--map", str(tmp_path / "a.html")]
    command = ["predict", str(city / "sar.tif"), *outputs, "--set", "threads=1"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert f"map in {tmp_path / 'a.html'}" in done.output
    prediction = oc.predict(city / "sar.tif", output=[tmp_path / "b.gpkg", tmp_path / "b.html"])
    saved = prediction.save(tmp_path / "c.html")
    count = len(gpd.read_file(tmp_path / "a.gpkg", layer="a"))
    for path in (tmp_path / "a.html", tmp_path / "b.html", saved):
        shown = data_of(path)
        assert len(shown["shapes"]["footprints"]["features"]) == count > 0
        assert set(shown["pictures"]) == {"scene"}
    missing = CliRunner().invoke(app, [*command[:2], "--set", f"reference={tmp_path / 'a.gpkg'}"])
    assert isinstance(missing.exception, ConfigError)
    assert "predict --map" in str(missing.exception)
