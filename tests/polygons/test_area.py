"""A part of a scene: the same to the bit as in the map of all of it, and nothing else is read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
import torch
from affine import Affine
from prepare_miniatures import BANDS, power
from prepare_miniatures import NORTH_UP as NORTH_UP_1M
from prepare_miniatures import model as prepare_model
from prepare_miniatures import write as write_power
from pyproj import Transformer
from torch import nn

from overcast.batch import Modality
from overcast.choices import Encoding
from overcast.errors import ConfigError, InputError
from overcast.preparation.options import Level, PrepareOptions
from overcast.preparation.run import prepare_scene
from overcast.raster.grid import Turn, Window
from overcast.raster.radiometry import BandStatistics, RadarSide, SensorRadiometry, Unit
from overcast.raster.sources import Georeference, RasterioSource
from overcast.scenes.ground import Area, Ground, area_of, ground_of
from overcast.scenes.model import SceneModel
from overcast.scenes.predict import PredictionSummary, PredictOptions, predict_file
from overcast.scenes.scene import SceneOptions, plan_scene
from overcast.scenes.tiling import split_axis

SENSOR = SensorRadiometry(bands=("HH", "HV"), unit=Unit.DECIBEL, gsd_m=0.5)
STATISTICS = BandStatistics(mean=(20.0, 20.0), std=(8.0, 8.0))
NORTH_UP = Affine(0.5, 0, 593000, 0, -0.5, 5750000)
OPTIONS = PredictOptions(
    scene=SceneOptions(tile=64, overlap=16, margin=4), encoding=Encoding.FLOAT32, style=False, stac=False
)
SIZE = (230, 270)
TURNED = Affine(0.3, 0.4, 593000, 0.4, -0.3, 5750000)


class Neighbourly(nn.Module):
    """What a pixel gets depends on four pixels around it, and on where its tile begins."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(2, 1, 9, padding=4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ramp = torch.linspace(-0.2, 0.2, x.shape[-1])
        return 3 * self.layer(x) + ramp


MODEL = SceneModel(Neighbourly(), SENSOR, STATISTICS, Modality.SAR, "building", "city", "0123456789abcdef", "CC0-1.0")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    values = rng.normal(20, 8, (2, *SIZE)).astype(np.float32)
    values[:, 100:130, 40:90] = np.nan
    return write(tmp_path_factory.mktemp("scene") / "scene.tif", values)


def write(path: Path, values: np.ndarray, transform: Affine = NORTH_UP) -> Path:
    profile = {"count": len(values), "height": values.shape[1], "width": values.shape[2], "dtype": values.dtype}
    with rasterio.open(path, "w", driver="GTiff", crs="EPSG:32631", transform=transform, **profile) as dataset:
        dataset.write(values)
    return path


def mapped(scene: Path, target: Path, area: Area | None = None, **options: Any) -> tuple[PredictionSummary, np.ndarray]:
    chosen = replace(OPTIONS, area=area, **options)
    summary = predict_file([scene], MODEL, sensor=SENSOR, probability=target, options=chosen)
    with rasterio.open(target) as dataset:
        return summary, dataset.read(1)


@pytest.mark.parametrize(
    "window", [Window(0, 0, 40, 50), Window(90, 60, 60, 100), Window(200, 250, 30, 20), Window(113, 0, 1, 270)]
)
def test_it_is_the_same_to_the_bit_as_in_the_whole(scene: Path, tmp_path: Path, window: Window) -> None:
    _, whole = mapped(scene, tmp_path / "whole.tif")
    left, top = NORTH_UP @ (window.col, window.row)
    right, bottom = NORTH_UP @ (window.stop[1], window.stop[0])
    summary, part = mapped(scene, tmp_path / "part.tif", area_of((left, bottom, right, top)))
    np.testing.assert_array_equal(part.view(np.uint32), whole[window.slices].view(np.uint32))
    assert summary.scene.total_pixels == window.height * window.width
    assert summary.scene.valid_pixels == np.isfinite(part).sum()
    with rasterio.open(tmp_path / "part.tif") as dataset:
        assert dataset.transform.almost_equals(NORTH_UP @ Affine.translation(window.col, window.row))
        assert dataset.tags()["OVERCAST_AREA"] == f"{left:.12g},{bottom:.12g},{right:.12g},{top:.12g}"


@pytest.mark.parametrize("side", [RadarSide.NORTH, RadarSide.SOUTH])
def test_polygons_of_a_file_in_another_system_also_where_the_scene_is_turned(
    scene: Path, tmp_path: Path, side: RadarSide
) -> None:
    polygon = shapely.Polygon([(593010, 5749990), (593110, 5749980), (593060, 5749900)])
    hole = shapely.Point(593060, 5749960).buffer(8)
    shapes = gpd.GeoDataFrame(geometry=[polygon.difference(hole)], crs="EPSG:32631").to_crs("EPSG:4326")
    shapes.to_file(tmp_path / "area.geojson")
    sensor = SENSOR.model_copy(update={"radar_side": side})
    model = replace(MODEL, sensor=SENSOR.model_copy(update={"radar_side": RadarSide.NORTH}))
    found = []
    for name, area in (("whole", None), ("part", area_of(tmp_path / "area.geojson"))):
        options = replace(OPTIONS, area=area)
        predict_file([scene], model, sensor=sensor, probability=tmp_path / f"{name}.tif", options=options)
        with rasterio.open(tmp_path / f"{name}.tif") as dataset:
            found.append((dataset.read(1), dataset.transform))
    (whole, _), (part, transform) = found
    col, row = (round(value) for value in ~NORTH_UP @ (transform.c, transform.f))
    there = whole[row : row + part.shape[0], col : col + part.shape[1]]
    rows, cols = np.indices(part.shape)
    centres = shapely.points(*(NORTH_UP @ (cols + col + 0.5, rows + row + 0.5)))
    inside = shapely.contains(shapes.to_crs("EPSG:32631").geometry[0].buffer(0.02), centres)
    certain = inside == shapely.contains(shapes.to_crs("EPSG:32631").geometry[0].buffer(-0.02), centres)
    assert certain.mean() > 0.98
    np.testing.assert_array_equal(part[inside & certain], there[inside & certain])
    assert np.isnan(part[~inside & certain]).all()


def test_only_its_tiles_are_read(scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Window] = []
    real = RasterioSource.read

    def watched(self: RasterioSource, window: Window) -> object:
        read.append(window)
        return real(self, window)

    monkeypatch.setattr(RasterioSource, "read", watched)
    sensor = SENSOR.model_copy(update={"accept_values": True})
    options = replace(OPTIONS, area=area_of((593000, 5749990, 593010, 5750000)))
    predict_file([scene], MODEL, sensor=sensor, probability=tmp_path / "part.tif", options=options)
    assert len(read) == 1
    assert read[0].row == read[0].col == 0


def test_longitude_and_latitude(scene: Path, tmp_path: Path) -> None:
    box = gpd.GeoSeries([shapely.box(593020, 5749920, 593060, 5749970)], crs="EPSG:32631").to_crs("EPSG:4326")
    text = ",".join(f"{value:.9f}" for value in box.total_bounds) + "@lonlat"
    _, part = mapped(scene, tmp_path / "part.tif", area_of(text))
    assert part.shape[0] == pytest.approx(100, abs=6)
    assert part.shape[1] == pytest.approx(80, abs=6)
    with rasterio.open(tmp_path / "part.tif") as dataset:
        middle = dataset.transform @ (part.shape[1] / 2, part.shape[0] / 2)
    assert middle == pytest.approx((593040, 5749945), abs=1)


@pytest.mark.parametrize("crs", ["EPSG:32631", "EPSG:32601"])
def test_ground_far_larger_than_the_scene_is_all_of_it(tmp_path: Path, crs: str) -> None:
    """Corners of the world have no place in UTM, and the second scene lies on both sides of 180 degrees."""
    left, top = (593000, 5750000) if crs == "EPSG:32631" else (170975, 1107000)
    grid = Georeference(150, 200, Affine(1, 0, left, 0, -1, top), crs)
    for text in ("-180,-90,180,90@lonlat", "-360,-90,360,90@lonlat"):
        ground = ground_of(area_of(text), grid, tmp_path / "scene.tif")
        assert ground.window == grid.whole
        assert ground.mask(grid.whole).all()
    world = gpd.GeoDataFrame(geometry=[shapely.box(-180, -85, 180, 85), shapely.box(100, 0, 101, 1)], crs="EPSG:4326")
    world.to_file(tmp_path / "world.geojson")
    ground = ground_of(Area(file=tmp_path / "world.geojson"), grid, tmp_path / "scene.tif")
    assert ground.mask(grid.whole).all()


def test_long_sides_in_degrees_are_curves_on_the_map(tmp_path: Path) -> None:
    """The southern side of a rectangle of two degrees is a circle of latitude, 500 m from the straight line."""
    grid = Georeference(400, 400, Affine(1, 0, 499800, 0, -1, 5761200), "EPSG:32631")
    gpd.GeoDataFrame(geometry=[shapely.box(2, 52, 4, 53)], crs="EPSG:4326").to_file(tmp_path / "area.geojson")
    y = 5761200 - (np.arange(400) + 0.5)
    latitudes = Transformer.from_crs("EPSG:32631", "EPSG:4326", always_xy=True).transform([500200] * 400, y)[1]
    for area in (Area(file=tmp_path / "area.geojson"), area_of("2,52,4,53@lonlat")):
        mask = ground_of(area, grid, tmp_path / "scene.tif").mask(grid.whole)
        np.testing.assert_array_equal(mask[:, 400 - 1], np.array(latitudes) > 52)
        assert 0 < mask[:, 399].sum() < 400


def test_footprints_are_cut_at_its_border_and_say_so(scene: Path, tmp_path: Path) -> None:
    options = replace(OPTIONS, stac=True, area=area_of((593020, 5749930, 593080, 5749980)))
    predict_file([scene], MODEL, sensor=SENSOR, footprints=tmp_path / "f.gpkg", options=options)
    found = gpd.read_file(tmp_path / "f.gpkg")
    assert len(found)
    assert shapely.box(593020, 5749930, 593080, 5749980).buffer(1e-6).contains(found.geometry).all()
    at_border = found.geometry.distance(shapely.box(593020, 5749930, 593080, 5749980).exterior) < 1e-6
    assert at_border.any()
    assert (found.valid_share[at_border] < 1).all()
    item = json.loads((tmp_path / "f.stac.json").read_text())
    assert item["properties"]["overcast:area"] == "593020,5749930,593080,5749980"
    assert item["properties"]["overcast:area_window"] == [40, 40, 100, 120]
    assert item["properties"]["proj:shape"] == [100, 120]


def test_it_goes_on_where_it_stopped_and_starts_anew_for_another(scene: Path, tmp_path: Path) -> None:
    area, other = area_of((593010, 5749890, 593100, 5749990)), area_of((593010, 5749890, 593100, 5749980))
    _, expected = mapped(scene, tmp_path / "expected.tif", area)

    class StopError(Exception):
        pass

    def run(chosen: Area, stop_after: int | None) -> list[str]:
        notes: list[str] = []
        states = 0

        def report(state: object) -> None:
            nonlocal states
            states += not state.note  # type: ignore[attr-defined]
            notes.append(state.note)  # type: ignore[attr-defined]
            if stop_after is not None and states > stop_after:
                raise StopError

        options = replace(OPTIONS, area=chosen)
        predict_file([scene], MODEL, sensor=SENSOR, probability=tmp_path / "p.tif", options=options, progress=report)
        return notes

    with pytest.raises(StopError):
        run(area, 9)
    assert any("going on with" in note for note in run(area, None))
    with rasterio.open(tmp_path / "p.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(1), expected)
    (tmp_path / "p.tif").unlink()
    with pytest.raises(StopError):
        run(area, 9)
    assert any("for another area" in note for note in run(other, None))


@pytest.mark.parametrize(
    ("given", "error", "meant"),
    [
        ((1, 2, 3), ConfigError, "has 3 numbers, not four"),
        ("1,2,3", ConfigError, "has 3 numbers, not four"),
        ("1,2,3,x", ConfigError, "is not four numbers"),
        ("5,1,2,3", ConfigError, "is empty: xmin must be smaller than xmax"),
        ("1,2,3,4@nowhere", ConfigError, "names no coordinate system"),
        ("missing.gpkg", InputError, "is not a file and not four numbers"),
    ],
)
def test_what_is_no_area_is_refused(given: str | Sequence[float], error: type[Exception], meant: str) -> None:
    with pytest.raises(error, match=meant):
        area_of(given)


def test_an_area_elsewhere_or_too_small_is_refused(scene: Path, tmp_path: Path) -> None:
    grid = Georeference(*SIZE, NORTH_UP, "EPSG:32631")
    with pytest.raises(InputError, match=r"lies outside of .*scene.tif, which reaches from 593000,5749885"):
        ground_of(area_of((0, 0, 1, 1)), grid, scene)
    with pytest.raises(InputError, match="holds no pixel"):
        ground_of(area_of((593000.3, 5749999.8, 593000.4, 5749999.9)), grid, scene)
    with pytest.raises(InputError, match="has no coordinate reference system"):
        ground_of(area_of("1,2,3,4@lonlat"), replace(grid, crs=None), scene)
    gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)], crs="EPSG:4326").to_file(tmp_path / "far.geojson")
    with pytest.raises(InputError, match=r"area far\.geojson lies outside of"):
        ground_of(area_of(tmp_path / "far.geojson"), grid, scene)


def test_the_tiles_of_a_part_are_those_of_the_whole_with_their_weights() -> None:
    whole = split_axis(4000, 1024, 64, 16, multiple=32)
    part = whole.part(900, 1600)
    assert part.starts == (800, 1568)
    for index, start in enumerate(part.starts):
        np.testing.assert_array_equal(part.weights(index), whole.weights(whole.starts.index(start)))
    grid, options = Georeference(4000, 4000, Affine.identity(), None), SceneOptions(tile=1024)
    plan = plan_scene(grid, options, Ground(Window(900, 3990, 700, 10), None, (4000, 4000)))
    assert (plan.tile_row_count, plan.tile_count, plan.pixels) == (2, 2, 7000)


def test_the_mask_turns_with_the_scene() -> None:
    ground = Ground(Window(2, 1, 3, 4), None, (10, 8))
    plain = ground.mask(Window(0, 0, 10, 8))
    assert plain.sum() == 12
    for turn in (Turn(rows=True), Turn(cols=True), Turn(rows=True, cols=True)):
        np.testing.assert_array_equal(ground.turned(turn).mask(Window(0, 0, 10, 8)), turn.apply(plain))
        assert ground.turned(turn).mask(ground.turned(turn).turned_window).all()


def test_a_rotated_scene(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(20, 8, (2, *SIZE)).astype(np.float32)
    scene = write(tmp_path / "rotated.tif", values, TURNED)
    _, whole = mapped(scene, tmp_path / "whole.tif")
    middle = TURNED @ (130, 110)
    area = area_of((middle[0] - 15, middle[1] - 10, middle[0] + 15, middle[1] + 10))
    _, part = mapped(scene, tmp_path / "part.tif", area)
    with rasterio.open(tmp_path / "part.tif") as dataset:
        col, row = (round(value) for value in ~TURNED @ (dataset.transform.c, dataset.transform.f))
    there = whole[row : row + part.shape[0], col : col + part.shape[1]]
    inside = np.isfinite(part)
    assert inside.sum() == pytest.approx(30 * 20 / 0.25, rel=0.02)
    np.testing.assert_array_equal(part[inside], there[inside])


@pytest.mark.parametrize("kept", [True, False])
def test_prepared_it_is_the_same_to_the_bit_as_in_the_whole(tmp_path: Path, kept: bool) -> None:
    """On the grid of the input, and on one of other pixels in another direction."""
    source = NORTH_UP_1M if kept else NORTH_UP_1M @ Affine.rotation(10) @ Affine.scale(0.7)
    scene = write_power(tmp_path / "scene.tif", power(200, 260), transform=source)
    area = area_of((593_040, 5_749_890, 593_100, 5_749_960))
    stated = PrepareOptions(bands=BANDS, unit=Unit.LINEAR_POWER, radar_side=RadarSide.NORTH, level=Level.KEEP)
    found = []
    for name, chosen in (("whole", None), ("part", area)):
        options = replace(stated, area=chosen)
        summary = prepare_scene([scene], prepare_model(), tmp_path / f"{name}.tif", options)
        with rasterio.open(tmp_path / f"{name}.tif") as dataset:
            found.append((dataset.read(), dataset.transform))
    (whole, placed), (part, transform) = found
    col, row = (round(value) for value in ~placed @ (transform.c, transform.f))
    assert part.shape[1] == pytest.approx(70, abs=1)
    assert part.shape[2] == pytest.approx(60, abs=1)
    there = whole[:, row : row + part.shape[1], col : col + part.shape[2]]
    np.testing.assert_array_equal(part.view(np.uint32), np.ascontiguousarray(there).view(np.uint32))
    assert np.isfinite(part).any()
    assert summary.km2 == pytest.approx(part.shape[1] * part.shape[2] / 1e6)
    item = json.loads((tmp_path / "part.prepared.stac.json").read_text())
    assert any(step.startswith("area 593040,") for step in item["properties"]["overcast:steps"])
