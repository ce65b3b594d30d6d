"""Several channels through the scene path: boundaries beside the footprint, views, models of several targets."""

from __future__ import annotations

import json
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from overcast.batch import Modality
from overcast.bundle.bundle import load_bundle
from overcast.choices import Encoding, Outlines, Separate, Tta
from overcast.data.targets import Targets, draw_targets
from overcast.errors import ConfigError
from overcast.fleet.backend import compute_on
from overcast.fleet.manifest import request_digest
from overcast.fleet.worker import BlockTask, BlockWorker, Outcome
from overcast.outputs.encoding import encode
from overcast.polygons.footprints import PolygonOptions
from overcast.polygons.watershed import separate_by_boundaries
from overcast.raster.grid import Window
from overcast.raster.radiometry import BandStatistics, RadarSide, SensorRadiometry, Unit
from overcast.raster.sources import ArraySource
from overcast.scenes.blend import RowJoiner
from overcast.scenes.blockfile import Block, BlockWriter, read_block
from overcast.scenes.job import Job
from overcast.scenes.model import SceneModel
from overcast.scenes.predict import PredictionSummary, PredictOptions, predict_file, run_job
from overcast.scenes.scene import RowPredictor, SceneOptions, plan_scene, predict_scene

pytestmark = pytest.mark.usefixtures("one_thread")
SENSOR = SensorRadiometry(bands=("HH", "HV"), unit=Unit.DECIBEL, gsd_m=0.5, radar_side=RadarSide.NORTH, nodata=-99)
STATISTICS = BandStatistics(mean=(0.0, 0.0), std=(1.0, 1.0))
OPTIONS = PredictOptions(
    scene=SceneOptions(tile=64, overlap=16, margin=4),
    polygons=PolygonOptions(strip_pixels=3000, min_area_m2=1.0, outlines=Outlines.OFF, separate=Separate.WATERSHED),
    style=False,
    stac=False,
)


class Scaled(nn.Module):
    """Says what the bands say: the first is the footprint, the second the boundaries."""

    def forward(self, x: Tensor) -> Tensor:
        return 4 * x


class NearSide(nn.Module):
    """Bright where the pixel above is darker: a mirror across the range would turn the answer round."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :1] - x[:, :1].roll(1, -2)


MODEL = SceneModel(Scaled(), SENSOR, STATISTICS, Modality.SAR, "building", "rows", "0" * 64, "CC0-1.0", channels=2)


def row_houses(height: int = 150, width: int = 170) -> np.ndarray:
    """Rows of four houses wall to wall, all over a scene and its tile borders."""
    houses, number = np.zeros((height, width), np.int32), 0
    for row in range(6, height - 14, 20):
        for col in range(5, width - 45, 55):
            for step in range(4):
                number += 1
                houses[row + step % 2 : row + 10 + step % 2, col + 11 * step : col + 11 * step + 11] = number
    return houses


def pixels(houses: np.ndarray) -> np.ndarray:
    """(2, H, W): footprint and boundaries as +-1, a column without data."""
    boundaries = draw_targets(houses, Targets(edge=True, contact=True)).max(0)
    values = np.stack([houses > 0, boundaries > 0]).astype(np.float32) * 2 - 1
    values[:, :, 100:102] = -99
    return values


def write_scene(path: Path, values: np.ndarray) -> Path:
    count, height, width = values.shape
    grid = {"crs": "EPSG:32631", "transform": Affine(0.5, 0, 593000, 0, -0.5, 5750000)}
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype="float32", **grid
    ) as file:
        file.write(values)
    return path


def mapped(folder: Path, scene: Path, **changes: Any) -> tuple[PredictionSummary, gpd.GeoDataFrame]:
    folder.mkdir()
    given = {"bundle": MODEL, "sensor": SENSOR, "options": OPTIONS, **changes}
    target = folder / "f.gpkg"
    summary = predict_file([scene], given.pop("bundle"), footprints=target, probability=folder / "p.tif", **given)
    return summary, gpd.read_file(target)


def parts_of(values: np.ndarray) -> list[int]:
    """Pixels of every building that the evaluation of a chip would find, 4 pixels and more."""
    valid = (values != -99).all(0)
    parts = separate_by_boundaries((values[0] > 0) & valid, np.where(values[1] > 0, 0.98, 0.02))
    sizes = np.bincount(parts.ravel())[1:]
    return sorted(sizes[sizes >= 4].tolist())


def test_footprints_come_apart_along_learnt_walls_whatever_the_tiles(tmp_path: Path):
    values = pixels(row_houses())
    scene = write_scene(tmp_path / "scene.tif", values)
    summary, found = mapped(tmp_path / "tiled", scene)
    assert summary.scene.tiles > 4
    sizes = sorted((found.geometry.area / 0.25).round().astype(int).tolist())
    assert sizes == parts_of(values)
    whole = replace(OPTIONS, scene=SceneOptions(tile=256), polygons=replace(OPTIONS.polygons, strip_pixels=10**6))
    _, untiled = mapped(tmp_path / "untiled", scene, options=whole)
    assert found.geometry.geom_equals(untiled.geometry).all()
    with rasterio.open(tmp_path / "tiled" / "p.tif") as dataset:
        assert dataset.count == 1  # the boundaries are not published
        footprint = dataset.read(1)
    assert ((footprint == 255) == (values[0] == -99)).all()
    assert ((footprint > 127) & (footprint < 255) == (values[0] > 0)).all()
    together = replace(OPTIONS, polygons=replace(OPTIONS.polygons, separate=Separate.OFF))
    assert len(mapped(tmp_path / "rows", scene, options=together)[1]) < len(found) / 2


def test_scenes_from_the_other_side_are_turned_with_their_walls(tmp_path: Path):
    values = pixels(row_houses())
    _, here = mapped(tmp_path / "north", write_scene(tmp_path / "n.tif", values))
    opposite = SENSOR.model_copy(update={"radar_side": RadarSide.SOUTH})
    summary, there = mapped(tmp_path / "south", write_scene(tmp_path / "s.tif", values), sensor=opposite)
    assert summary.rotated
    assert len(here) == len(there)
    assert here.geometry.geom_equals(there.geometry).mean() > 0.9  # flat boundaries may be flooded from the other end


class Worker:
    """A backend that computes in this process what a worker elsewhere would."""

    slots = 2

    def __init__(self, model: SceneModel) -> None:
        self._worker = BlockWorker(model)

    def submit(self, task: BlockTask) -> Future[Outcome]:
        done: Future[Outcome] = Future()
        done.set_result(self._worker.compute(task))
        return done


def test_workers_elsewhere_make_the_same_walls_and_views(tmp_path: Path):
    scene = write_scene(tmp_path / "scene.tif", pixels(row_houses(90, 120)))
    options = replace(OPTIONS, scene=replace(OPTIONS.scene, tta=Tta.FULL, tile=96))
    _, here = mapped(tmp_path / "here", scene, options=options)
    (tmp_path / "there").mkdir()
    target = tmp_path / "there" / "f.gpkg"
    job = Job((scene,), MODEL, SENSOR, options, tmp_path / "there" / "p.tif", target, None)
    run_job(job, compute_on(Worker(MODEL)))
    assert gpd.read_file(target).equals(here)
    assert (tmp_path / "there" / "p.tif").read_bytes() == (tmp_path / "here" / "p.tif").read_bytes()
    assert len(here) > 8


class Maps(nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.conv = nn.Conv2d(2, 2, 3, padding=1, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.randn(2, 2, 3, 3, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.conv(x)
        return logits


class Memory:
    def __init__(self, *shape: int) -> None:
        self.values = np.full(shape, -1, np.float32)

    def write(self, window: Window, values: np.ndarray) -> None:
        self.values[..., *window.slices] = values


@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    overlap=st.sampled_from([4, 8, 18]),
    encoding=st.sampled_from(Encoding),
    seed=st.integers(0, 99),
)
@settings(max_examples=10)
def test_each_map_is_what_it_is_alone(
    tmp_path_factory, height: int, width: int, overlap: int, encoding: Encoding, seed: int
):
    """Through blocks on disk."""
    folder = tmp_path_factory.mktemp("blocks")
    values = np.random.default_rng(seed).normal(size=(2, height, width)).astype(np.float32)
    values[:, : height // 4, width // 3 :] = -99
    source = ArraySource(values, SENSOR)
    options = SceneOptions(tile=24, overlap=overlap, margin=2, multiple=1)
    plan, blocks = plan_scene(source.georeference, options), dict[int, Block]()
    writer = BlockWriter(folder, plan, encoding, lambda block: blocks.update({block.tile_row: block}), "p.tif")
    RowPredictor(Maps(seed), STATISTICS, options, channels=2).run(source, writer)
    joined = Memory(2, height, width)
    joiner = RowJoiner(plan.rows, plan.cols, joined, channels=2)
    for tile_row in range(plan.tile_row_count):
        read_block(folder, blocks[tile_row], plan, encoding, joiner, channels=2)
    for at in (0, 1):
        alone = Memory(height, width)
        single = nn.Sequential(Maps(seed), One(at))
        expected = predict_scene(source, single, STATISTICS, options, alone)
        found, wanted = (encode(plane, encoding).astype(np.float64) for plane in (joined.values[at], alone.values))
        np.testing.assert_allclose(found, wanted, atol=1e-6 if encoding is Encoding.FLOAT32 else 1)
    assert (joiner.tiles, joiner.computed_pixels, joiner.valid_pixels) == (
        expected.tiles,
        expected.computed_pixels,
        expected.valid_pixels,
    )


class One(nn.Module):
    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def forward(self, x: Tensor) -> Tensor:
        return x[:, self.at : self.at + 1]


def test_a_network_of_other_maps_is_refused(tmp_path: Path):
    scene = write_scene(tmp_path / "scene.tif", pixels(row_houses(40, 60)))
    for maps, message in (
        (1, "returns 2 channels; scene prediction needs one"),
        (3, "returns 2 channels; scene .* needs 3"),
    ):
        with pytest.raises(ConfigError, match=message):
            mapped(tmp_path / f"maps{maps}", scene, bundle=replace(MODEL, channels=maps))


def stored(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read(1).astype(int)


def test_views_leave_a_network_that_looks_along_the_range_as_it_is(tmp_path: Path):
    values = np.random.default_rng(0).normal(size=(2, 100, 90)).astype(np.float32)
    scene = write_scene(tmp_path / "scene.tif", values)
    near = replace(MODEL, network=NearSide(), channels=1)
    found = {}
    for tta in Tta:
        options = replace(OPTIONS, scene=SceneOptions(tile=128, tta=tta))
        mapped(tmp_path / tta, scene, bundle=near, options=options)
        found[tta] = stored(tmp_path / tta / "p.tif")
        with rasterio.open(tmp_path / tta / "p.tif") as dataset:
            assert dataset.tags()["OVERCAST_TTA"] == tta
    assert np.abs(found[Tta.FLIP] - found[Tta.OFF]).max() <= 1  # rounding
    assert np.abs(found[Tta.FULL] - found[Tta.OFF]).max() > 10  # other scales see other gradients


def test_models_of_several_targets_map_the_footprint(strong_run: Path, tmp_path: Path):
    bundle = load_bundle(strong_run / "bundle")
    sensor, statistics = bundle.info.radiometry.sar, bundle.info.statistics.sar
    values = np.random.default_rng(1).normal(26, 5, (2, 70, 80)).astype(np.float32)
    scene = write_scene(tmp_path / "scene.tif", values)
    options = replace(OPTIONS, scene=SceneOptions(tile=96), calibrated=False, encoding=Encoding.FLOAT32)
    standard = torch.from_numpy(statistics.standardise(values, np.ones((70, 80), bool)))[None]
    padded = nn.functional.pad(standard, (0, 16, 0, 26), mode="reflect")
    with torch.no_grad():
        maps = torch.sigmoid(bundle.standardised_network(padded))[0, :, :70, :80].numpy()
    assert len(maps) == 3
    for separate in Separate:
        polygons = replace(OPTIONS.polygons, separate=separate)
        mapped(tmp_path / separate, scene, bundle=bundle, sensor=sensor, options=replace(options, polygons=polygons))
        with rasterio.open(tmp_path / separate / "p.tif") as dataset:
            np.testing.assert_allclose(dataset.read(1), maps[0], atol=1e-5)
    both = SceneModel.of(bundle, calibrated=False, boundaries=True)
    assert both.channels == 2
    with torch.no_grad():
        boundaries = torch.sigmoid(both.network(padded))[0, 1, :70, :80].numpy()
    np.testing.assert_allclose(boundaries, maps[1:].max(0), atol=1e-6)
    assert SceneModel.of(bundle).channels == 1


@pytest.mark.parametrize("learnt", [True, False])
def test_left_open_buildings_come_apart_where_the_model_has_learnt_walls(tmp_path: Path, learnt: bool):
    """Footprints, STAC item and digest are those of the setting that auto comes to."""
    scene = write_scene(tmp_path / "scene.tif", pixels(row_houses()))
    model = MODEL if learnt else replace(MODEL, network=One(0), channels=1)
    asked = {"auto": Separate.AUTO, "settled": Separate.WATERSHED if learnt else Separate.OFF}
    made, digests = {}, set()
    for name, separate in asked.items():
        options = replace(OPTIONS, stac=True, polygons=replace(OPTIONS.polygons, separate=separate))
        made[name] = mapped(tmp_path / name, scene, bundle=model, options=options)[1]
        item = json.loads((tmp_path / name / "f.stac.json").read_text())
        assert item["properties"]["overcast:separate"] == asked["settled"]
        digests.add(request_digest(Job((scene,), model, SENSOR, options, None, tmp_path / "f.gpkg", None)))
    assert made["auto"].geometry.geom_equals(made["settled"].geometry).all()
    assert len(digests) == 1


def test_bundles_are_asked_for_walls_by_themselves(strong_run: Path, tmp_path: Path):
    bundle = load_bundle(strong_run / "bundle")
    scene = write_scene(tmp_path / "scene.tif", np.random.default_rng(1).normal(26, 5, (2, 70, 80)).astype(np.float32))
    options = replace(OPTIONS, stac=True, polygons=PolygonOptions(min_area_m2=1.0))
    given: dict[str, Any] = {"bundle": bundle, "sensor": bundle.info.radiometry.sar, "options": options}
    mapped(tmp_path / "boundaries", scene, **given)
    item = json.loads((tmp_path / "boundaries" / "f.stac.json").read_text())
    assert item["properties"]["overcast:separate"] == "watershed"
    predict_file([scene], probability=tmp_path / "p.tif", **given)  # no footprints, so no boundaries are computed
    assert "overcast:separate" not in json.loads((tmp_path / "p.stac.json").read_text())["properties"]


def test_without_walls_polygons_are_regions_by_default():
    assert PolygonOptions().settled(boundaries=False).separate is Separate.OFF
    assert PolygonOptions().settled(boundaries=True).separate is Separate.WATERSHED
