"""An optical image beside a scene: warped to its grid, used where it shows the ground, missed to the bit where not."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from raster_files import write_tiff
from rasterio.enums import Resampling
from rasterio.warp import reproject
from torch import Tensor, nn

import overcast as oc
from overcast.arithmetic import Precision
from overcast.batch import Modality
from overcast.bundle.bundle import load_bundle
from overcast.choices import Encoding, Mixing
from overcast.errors import BundleError, ConfigError, InputError, RadiometryError
from overcast.fleet.backend import task_of
from overcast.fleet.optical import require_some
from overcast.fleet.run import FleetRequest, map_scenes
from overcast.fleet.scenes import find_scenes
from overcast.fleet.worker import BlockResult, BlockWorker
from overcast.models.mixing import chosen
from overcast.polygons.footprints import PolygonOptions
from overcast.raster.grid import Window
from overcast.raster.radiometry import BandStatistics, RadarSide, SensorRadiometry, Unit
from overcast.raster.sources import Georeference
from overcast.runtime.options import Runtime
from overcast.scenes import sky as sky_module
from overcast.scenes.compute import compute_here
from overcast.scenes.ground import area_of
from overcast.scenes.job import Job
from overcast.scenes.model import OpticalPart, SceneModel
from overcast.scenes.plan import PredictionPlan
from overcast.scenes.predict import PredictionSummary, PredictOptions, predict_file, run_job
from overcast.scenes.ready import ready
from overcast.scenes.scene import SceneOptions
from overcast.scenes.sky import OpticalInput, open_sky
from overcast.scenes.two_sensors import TwoSensors, shown_of
from overcast.scenes.work import store_block

SENSOR = SensorRadiometry(bands=("HH", "HV"), unit=Unit.DECIBEL, gsd_m=0.5)
OPTICAL = SensorRadiometry(bands=("red", "green", "blue"), unit=Unit.DIGITAL_NUMBER, gsd_m=0.5)
STATISTICS = BandStatistics(mean=(20.0, 20.0), std=(8.0, 8.0))
COLOURS = BandStatistics(mean=(100.0, 100.0, 100.0), std=(30.0, 30.0, 30.0))
CRS = "EPSG:32631"
GRID = Affine(0.5, 0, 593000, 0, -0.5, 5750000)
SIZE = (250, 290)
OPTIONS = PredictOptions(
    scene=SceneOptions(tile=96, overlap=64, margin=24),
    polygons=PolygonOptions(min_area_m2=2.0),
    encoding=Encoding.FLOAT32,
    style=False,
)


class Radar(nn.Module):
    """Bright in both bands, in a neighbourhood of five pixels."""

    def forward(self, x: Tensor) -> Tensor:
        mean = x[:, :2].mean(1, keepdim=True)
        return 3 * nn.functional.avg_pool2d(mean, 5, stride=1, padding=2)


class Both(nn.Module):
    """The same, and what the colours say, blended as the mixing says."""

    def __init__(self, mixing: Mixing) -> None:
        super().__init__()
        self.mixing, self.alone = mixing, Radar()

    def forward(self, x: Tensor) -> Tensor:
        alone = self.alone(x)
        return chosen(alone + 4 * x[:, 2:5].mean(1, keepdim=True), alone, shown_of(x), self.mixing)


def model_of(mixing: Mixing = Mixing.BLEND, **changes: Any) -> SceneModel:
    known = SceneModel(Radar(), SENSOR, STATISTICS, Modality.SAR, "building", "city", "0123456789abcdef", "CC0-1.0")
    both = TwoSensors(Radar(), Both(mixing), 2)
    return replace(known, network=both, optical=OpticalPart(OPTICAL, COLOURS, mixing), **changes)


ALONE = replace(model_of(), network=Radar(), optical=None)


@dataclass(frozen=True)
class Made:
    scene: Path
    colours: np.ndarray
    """(3, H, W) of the ground of the scene."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder, rng = tmp_path_factory.mktemp("scene"), np.random.default_rng(0)
    values = rng.normal(18, 3, (2, *SIZE)).astype(np.float32)
    colours = rng.normal(100, 10, (3, *SIZE))
    for row, col in rng.integers(10, 230, (25, 2)):
        values[:, row : row + 14, col : col + 16] += 12
        colours[:, row : row + 14, col : col + 16] += 40
    values[:, 60:75, 100:140] = np.nan
    return Made(write_tiff(folder / "scene.tif", values, GRID, CRS), colours.clip(1, 255).astype(np.uint8))


Mapped = tuple[PredictionSummary, np.ndarray]


def mapped(made: Made, target: Path, optical: OpticalInput | None, **changes: Any) -> Mapped:
    used = ALONE if optical is None else model_of()
    options = replace(OPTIONS, **changes)
    summary = predict_file([made.scene], used, sensor=SENSOR, probability=target, options=options, optical=optical)
    with rasterio.open(target) as dataset:
        return summary, dataset.read(1)


def same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    return bool((one.view(np.uint32) == other.view(np.uint32)).all())


def test_where_nothing_optical_is_valid_it_is_sar_alone_to_the_bit(made: Made, tmp_path: Path) -> None:
    _, alone = mapped(made, tmp_path / "alone.tif", None)
    empty = write_tiff(tmp_path / "empty.tif", np.zeros((3, *SIZE), np.uint8), GRID, CRS, nodata=0)
    far = write_tiff(tmp_path / "far.tif", made.colours, GRID @ Affine.translation(9000, 0), CRS)
    image = write_tiff(tmp_path / "image.tif", made.colours, GRID, CRS)
    overcast = write_tiff(tmp_path / "clouds.tif", np.full(SIZE, 3, np.uint8), GRID, CRS)
    for number, given in enumerate(
        [OpticalInput((empty,)), OpticalInput((far,)), OpticalInput((image,), overcast, (3, 8))]
    ):
        summary, found = mapped(made, tmp_path / f"{number}.tif", given)
        assert same_bits(found, alone)
        assert summary.optical_share == 0


def test_all_valid_it_is_both_and_a_part_is_a_part(made: Made, tmp_path: Path) -> None:
    _, alone = mapped(made, tmp_path / "alone.tif", None)
    image = write_tiff(tmp_path / "image.tif", made.colours, GRID, CRS)
    summary, both = mapped(made, tmp_path / "both.tif", OpticalInput((image,)))
    assert summary.optical_share == 1
    left = write_tiff(tmp_path / "left.tif", made.colours[:, :, :140], GRID, CRS)
    summary, half = mapped(made, tmp_path / "half.tif", OpticalInput((left,)))
    valid = np.isfinite(alone)
    assert summary.optical_share == pytest.approx(valid[:, :140].sum() / valid.sum(), abs=1e-6)
    np.testing.assert_array_equal(half[:, 140:], alone[:, 140:])
    np.testing.assert_array_equal(half[:, : 140 - 17], both[:, : 140 - 17])
    near = half[:, 139]
    assert not np.array_equal(near, both[:, 139])
    assert not np.array_equal(near[valid[:, 139]], alone[:, 139][valid[:, 139]])


def test_tiled_is_untiled(made: Made, tmp_path: Path) -> None:
    given = OpticalInput((write_tiff(tmp_path / "left.tif", made.colours[:, 20:, :150], GRID, CRS),))
    _, tiled = mapped(made, tmp_path / "tiled.tif", given)
    whole = SceneOptions(tile=320, overlap=64, margin=24)
    _, untiled = mapped(made, tmp_path / "untiled.tif", given, scene=whole)
    inner = (slice(4, -4), slice(4, -4))
    np.testing.assert_allclose(tiled[inner], untiled[inner], atol=1e-5)


def test_another_system_and_pixel_size_in_several_sheets_with_a_mask(made: Made, tmp_path: Path) -> None:
    """Coarser sheets in degrees; the cloud mask has pixels of its own."""
    grid = Georeference(*SIZE, GRID, CRS)
    left, bottom, right, top = rasterio.warp.transform_bounds(CRS, "EPSG:4326", *grid.extent)
    height, width = 160, 300
    place = Affine((right - left) / width, 0, left, 0, (bottom - top) / height, top)
    smooth = np.kron(np.random.default_rng(2).integers(60, 160, (3, 10, 10)), np.ones((25, 29))).astype(np.float32)
    warped = np.zeros((3, height, width), np.float32)
    kind = {"src_transform": GRID, "src_crs": CRS, "dst_transform": place, "dst_crs": "EPSG:4326"}
    reproject(smooth, warped, resampling=Resampling.average, **kind)
    sheets = tuple(
        write_tiff(tmp_path / f"{name}.tif", warped[:, :, part].round().astype(np.uint8), moved, "EPSG:4326")
        for name, part, moved in (
            ("west", slice(0, 170), place),
            ("east", slice(160, 300), place @ Affine.translation(160, 0)),
        )
    )
    mask = np.zeros((25, 29), np.uint8)
    mask[:10] = 9
    clouds = write_tiff(tmp_path / "mask.tif", mask, GRID @ Affine.scale(10), CRS)
    with open_sky(OpticalInput(sheets, clouds, (9,)), OPTICAL, grid, made.scene) as sky:
        found = sky.read(grid.whole)
        assert not found.valid[:100].any()
        assert found.valid[104:-4, 4:-4].all()
        inner = np.zeros(SIZE, bool)
        inner[110:240, 10:280] = True
        edges = np.indices(SIZE)
        inner &= (edges[0] % 25 > 4) & (edges[0] % 25 < 20) & (edges[1] % 29 > 4) & (edges[1] % 29 < 24)
        assert np.abs(found.values[:, inner] - smooth[:, inner]).max() <= 3
        part = Window(93, 41, 60, 77)
        again = sky.read(part)
        np.testing.assert_array_equal(again.values, found.values[:, *part.slices])
        np.testing.assert_array_equal(again.valid, found.valid[part.slices])


def test_a_much_finer_image_is_read_in_parts_that_hold_the_same(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fine = np.kron(made.colours[:, :100, :100], np.ones((4, 4), np.uint8))
    given = OpticalInput((write_tiff(tmp_path / "fine.tif", fine, GRID @ Affine.scale(0.25), CRS),))
    grid, window = Georeference(*SIZE, GRID, CRS), Window(0, 3, 130, 100)
    with open_sky(given, OPTICAL, grid, made.scene) as sky:
        at_once = sky.read(window)
        monkeypatch.setattr(sky_module, "LARGEST_READ", 30_000)
        read: list[Window] = []
        real = sky._read

        def watched(part: Window) -> Any:
            read.append(part)
            return real(part)

        monkeypatch.setattr(sky, "_read", watched)
        in_parts = sky.read(window)
    assert len(read) > 4
    np.testing.assert_array_equal(in_parts.values, at_once.values)
    np.testing.assert_array_equal(in_parts.valid, at_once.valid)
    np.testing.assert_array_equal(at_once.values[:, :100, :97], made.colours[:, :100, 3:100])


@pytest.mark.parametrize("side", [RadarSide.NORTH, RadarSide.SOUTH])
def test_it_turns_with_the_scene(made: Made, tmp_path: Path, side: RadarSide) -> None:
    given = OpticalInput((write_tiff(tmp_path / "left.tif", made.colours[:, :, :140], GRID, CRS),))
    model = model_of(sensor=SENSOR.model_copy(update={"radar_side": RadarSide.NORTH}))
    sensor = SENSOR.model_copy(update={"radar_side": side})
    summary = predict_file(
        [made.scene], model, sensor=sensor, probability=tmp_path / "p.tif", options=OPTIONS, optical=given
    )
    assert summary.rotated is (side is RadarSide.SOUTH)
    with rasterio.open(tmp_path / "p.tif") as dataset:
        found = dataset.read(1)
    _, plain = mapped(made, tmp_path / "plain.tif", given)
    inner = (slice(8, -8), slice(8, -8))
    np.testing.assert_allclose(found[inner], plain[inner], atol=1e-5)


def test_each_footprint_says_what_it_rests_on(made: Made, tmp_path: Path) -> None:
    left = write_tiff(tmp_path / "left.tif", made.colours[:, :, :140], GRID, CRS)
    clouds = write_tiff(tmp_path / "clouds.tif", np.zeros(SIZE, np.uint8), GRID, CRS)
    given = OpticalInput((left,), clouds)
    predict_file(
        [made.scene], model_of(), sensor=SENSOR, footprints=tmp_path / "f.gpkg", probability=tmp_path / "p.tif",
        options=OPTIONS, optical=given,
    )  # fmt: skip
    found = gpd.read_file(tmp_path / "f.gpkg")
    inside, outside = found.bounds.maxx < 593070, found.bounds.minx > 593070
    assert inside.any()
    assert outside.any()
    assert (found.optical_share[inside] == 1).all()
    assert (found.optical_share[outside] == 0).all()
    assert set(found.provenance[inside]) == {"optical+sar"}
    assert set(found.provenance[outside]) == {"sar"}
    item = json.loads((tmp_path / "f.stac.json").read_text())
    derived = [link["title"] for link in item["links"] if link["rel"] == "derived_from"]
    assert derived[:3] == ["scene.tif", "left.tif", "clouds.tif"]
    properties = item["properties"]
    assert properties["overcast:optical"] == ["left.tif"]
    assert properties["overcast:clouds"] == "clouds.tif"
    assert properties["overcast:mixing"] == "blend"
    assert 0.4 < properties["overcast:optical_share"] < 0.6
    with rasterio.open(tmp_path / "p.tif") as dataset:
        tags = dataset.tags()
    assert tags["OVERCAST_OPTICAL"] == "left.tif"
    assert tags["OVERCAST_PROVENANCE"] == "optical+sar"


class StopError(Exception):
    pass


def test_it_goes_on_to_the_same_bytes_and_starts_anew_for_another_image(made: Made, tmp_path: Path) -> None:
    image = write_tiff(tmp_path / "left.tif", made.colours[:, :, :140], GRID, CRS)
    given = OpticalInput((image,))
    options = replace(OPTIONS, stac=False)

    def run(target: Path, optical: OpticalInput, stop_after: int | None) -> list[str]:
        notes, states = [], [0]

        def report(state: object) -> None:
            notes.append(state.note)  # type: ignore[attr-defined]
            states[0] += not state.note  # type: ignore[attr-defined]
            if stop_after is not None and states[0] > stop_after:
                raise StopError

        predict_file(
            [made.scene], model_of(), sensor=SENSOR, probability=target, options=options, progress=report,
            optical=optical,
        )  # fmt: skip
        return notes

    run(tmp_path / "once.tif", given, None)
    with pytest.raises(StopError):
        run(tmp_path / "p.tif", given, 20)
    assert any("going on with" in note for note in run(tmp_path / "p.tif", given, None))
    assert (tmp_path / "p.tif").read_bytes() == (tmp_path / "once.tif").read_bytes()
    (tmp_path / "p.tif").unlink()
    with pytest.raises(StopError):
        run(tmp_path / "p.tif", given, 20)
    assert any("for another optical" in note for note in run(tmp_path / "p.tif", replace(given, nodata=7), None))


def test_with_an_area_too(made: Made, tmp_path: Path) -> None:
    given = OpticalInput((write_tiff(tmp_path / "left.tif", made.colours[:, :, :140], GRID, CRS),))
    _, whole = mapped(made, tmp_path / "whole.tif", given)
    area = area_of((593050, 5749900, 593100, 5749970))
    _, part = mapped(made, tmp_path / "part.tif", given, area=area)
    assert same_bits(part, np.ascontiguousarray(whole[60:200, 100:200]))


@pytest.mark.parametrize(
    ("spoil", "error", "meant"),
    [
        (lambda p, c: write_tiff(p, c[:2], GRID, CRS), InputError, "but 2 found"),
        (lambda p, c: write_tiff(p, c, GRID, None), InputError, "has no coordinate reference system"),
        (lambda p, c: write_tiff(p, c.astype(np.uint16) * 200, GRID, CRS), RadiometryError, "scale the image"),
        (lambda p, _: p, InputError, "does not exist|cannot be read|missing"),
    ],
)
def test_what_is_no_image_for_the_model_is_refused(
    made: Made, tmp_path: Path, spoil: Callable[..., Path], error: type[Exception], meant: str
) -> None:
    given = OpticalInput((spoil(tmp_path / "image.tif", made.colours),))
    with pytest.raises(error, match=meant):
        mapped(made, tmp_path / "p.tif", given)
    assert not (tmp_path / "p.tif").exists()


@pytest.mark.usefixtures("one_thread")
def test_a_full_bundle_gives_what_the_method_says(cmhcl_run: Path, tmp_path: Path) -> None:
    bundle = load_bundle(cmhcl_run / "full")
    sar, optical = bundle.info.radiometry.sar, bundle.info.radiometry.optical
    assert optical is not None
    rng = np.random.default_rng(0)
    values = rng.normal(25, 6, (2, 96, 96)).astype(np.float32)
    colours = rng.integers(60, 140, (3, 96, 50)).astype(np.uint8)
    scene, image = (
        write_tiff(tmp_path / f"{name}.tif", pixels, GRID, CRS) for name, pixels in (("s", values), ("o", colours))
    )
    options = replace(OPTIONS, scene=SceneOptions(), stac=False)
    for name, given in (("both", OpticalInput((image,))), ("alone", None)):
        predict_file([scene], bundle, sensor=sar, probability=tmp_path / f"{name}.tif", options=options, optical=given)
    deployed = load_bundle(cmhcl_run / "bundle")
    predict_file([scene], deployed, sensor=sar, probability=tmp_path / "deployed.tif", options=options)
    both, alone, from_deployed = (
        rasterio.open(tmp_path / f"{name}.tif").read(1) for name in ("both", "alone", "deployed")
    )
    assert same_bits(alone, from_deployed)
    assert same_bits(np.ascontiguousarray(both[:, 50:]), np.ascontiguousarray(alone[:, 50:]))
    assert not np.array_equal(both[:, :50], alone[:, :50])
    model = SceneModel.with_optical(bundle)
    assert model.optical is not None
    assert model.optical.mixing is Mixing.BLEND
    with torch.inference_mode():
        seen = np.zeros((96, 96), bool)
        seen[:, :50] = True
        stacked = np.concatenate([values, np.zeros((3, 96, 96)), seen[None]]).astype(np.float32)
        stacked[2:5, :, :50] = colours
        tile = model.tile_statistics.standardise(stacked, np.ones((96, 96), bool))
        logits = model.network(torch.from_numpy(tile)[None])
    np.testing.assert_allclose(torch.sigmoid(logits[0, 0]).numpy(), both, atol=1e-6)
    assert torch.sigmoid(logits[0, 1]).numpy().tolist() == seen.astype(float).tolist()


def test_from_python(cmhcl_run: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(25, 6, (2, 64, 96)).astype(np.float32)
    colours = rng.integers(60, 140, (3, 64, 50)).astype(np.uint8)
    mask = np.zeros((64, 50), np.uint8)
    mask[:30] = 4
    scene, image, clouds = (
        write_tiff(tmp_path / f"{name}.tif", pixels, GRID, CRS)
        for name, pixels in (("scene", values), ("image", colours), ("clouds", mask))
    )
    declared = load_bundle(cmhcl_run / "full").info.radiometry.sar.model_dump()
    about: dict[str, Any] = {"declared": declared, "options": PredictOptions(scene=SceneOptions(threads=1))}
    found = oc.predict(scene, cmhcl_run, optical=oc.Optical(image, clouds, [4]), **about)
    assert found.summary.optical_share == pytest.approx(34 * 50 / (64 * 96))
    plain = oc.predict(scene, cmhcl_run, **about)
    assert plain.summary.optical_share is None
    np.testing.assert_array_equal(found.probability[:30], plain.probability[:30])
    part = oc.predict(scene, cmhcl_run, area=(593005, 5749970, 593045, 5749990), **about)
    np.testing.assert_array_equal(part.probability, plain.probability[20:60, 10:90])
    with pytest.raises(BundleError, match="has no optical branch"):
        oc.predict(scene, cmhcl_run / "bundle", optical=image, **about)
    with pytest.raises(ConfigError, match="no cloud mask"):
        oc.predict(scene, cmhcl_run, optical=oc.Optical(image, cloud_values=[1]), **about)


def test_many_scenes_have_images_of_their_names_or_none(cmhcl_run: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "b", "far"):
        place = GRID @ Affine.translation(5000 if name == "far" else 0, 0)
        write_tiff(tmp_path / "radar" / f"{name}.tif", rng.normal(25, 6, (2, 64, 64)).astype(np.float32), place, CRS)
    write_tiff(tmp_path / "optical" / "b.tif", rng.integers(60, 140, (3, 64, 64)).astype(np.uint8), GRID, CRS)
    bundle = load_bundle(cmhcl_run / "full")
    sar = bundle.info.radiometry.sar
    given = OpticalInput((tmp_path / "optical",))
    scenes = find_scenes([str(tmp_path / "radar")], sar.bands)
    require_some(scenes, given)
    options = replace(OPTIONS, scene=SceneOptions(), area=area_of((593000, 5749990, 593020, 5750000)))
    declared = sar.model_dump(exclude={"nodata", "accept_values"})
    (tmp_path / "maps").mkdir()
    request = FleetRequest(
        scenes, tmp_path / "maps", SceneModel.with_optical(bundle), declared, options, ".gpkg", ".tif", given
    )
    summary = map_scenes(request)
    assert set(summary.done) == {"a", "b"}
    assert summary.outside == ("far",)
    shares = {
        name: json.loads((tmp_path / "maps" / f"{name}.stac.json").read_text())["properties"]["overcast:optical_share"]
        for name in ("a", "b")
    }
    assert shares == {"a": 0, "b": 1}
    assert set(map_scenes(request).skipped) == {"a", "b"}
    write_tiff(tmp_path / "optical" / "a.tif", rng.integers(60, 140, (3, 64, 64)).astype(np.uint8), GRID, CRS)
    again = map_scenes(replace(request, options=replace(options, overwrite=True)))
    assert (again.done, again.skipped) == (("a",), ("b",))
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="holds no image for any scene"):
        require_some(scenes, OpticalInput((tmp_path / "none",)))
    elsewhere = replace(options, area=area_of((0, 0, 1, 1)))
    with pytest.raises(InputError, match="no scene meets the area"):
        map_scenes(replace(request, options=elsewhere))


def test_features_are_mixed_where_that_is_asked_for(cmhcl_run: Path) -> None:
    bundle = load_bundle(cmhcl_run / "full")
    blended, asked = SceneModel.with_optical(bundle), SceneModel.with_optical(bundle, mixing=Mixing.FEATURES)
    assert asked.optical is not None
    assert asked.optical.mixing is Mixing.FEATURES
    x = torch.randn(1, asked.bands, 64, 64)
    x[:, -1] = 0
    x[:, -1, :, :32] = 1
    with torch.inference_mode():
        assert not asked.network(x)[..., :24].equal(blended.network(x)[..., :24])
        assert asked.network(x)[..., 32:].equal(blended.network(x)[..., 32:])


@pytest.mark.parametrize("mixing", list(Mixing))
def test_unless_asked_the_method_says_how_sensors_are_mixed(
    mixing: Mixing, cmhcl_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = load_bundle(cmhcl_run / "full")
    monkeypatch.setattr(type(bundle.method), "map_mixing", mixing)
    model = SceneModel.with_optical(bundle)
    assert model.optical is not None
    assert model.optical.mixing is mixing


def test_a_model_without_an_optical_branch_is_refused(cmhcl_run: Path, tmp_path: Path) -> None:
    bundle = load_bundle(cmhcl_run / "bundle")
    with pytest.raises(BundleError, match="has no optical branch"):
        SceneModel.with_optical(bundle)


def test_a_worker_elsewhere_computes_the_same_block(made: Made, tmp_path: Path) -> None:
    """Everything that it needs travels: the model, and names of files."""
    given = OpticalInput((write_tiff(tmp_path / "left.tif", made.colours[:, :, :140], GRID, CRS),))
    area = area_of((593010, 5749900, 593100, 5749970))
    kept: dict[str, bytes] = {}

    def elsewhere(plan: PredictionPlan, tile_rows: Sequence[int], on_tiles: Callable[[int], None]) -> None:
        worker = BlockWorker(pickle.loads(pickle.dumps(model_of())))
        for done, tile_row in enumerate(tile_rows, 1):
            task = pickle.loads(pickle.dumps(task_of(plan, tile_row, torch.get_num_threads())))
            outcome = worker.compute(task)
            assert isinstance(outcome, BlockResult)
            store_block(plan.work, outcome.block, outcome.content)
            on_tiles(done)

    for name, compute in (("here", compute_here), ("elsewhere", elsewhere)):
        options = replace(OPTIONS, stac=False, area=area)
        run_job(Job((made.scene,), model_of(), SENSOR, options, tmp_path / f"{name}.tif", None, None, given), compute)
        kept[name] = (tmp_path / f"{name}.tif").read_bytes()
    assert kept["here"] == kept["elsewhere"]


@pytest.mark.usefixtures("one_thread")
def test_on_another_runtime() -> None:
    """Each part is exported by itself: a tile that the image does not show gives the bits of SAR alone there."""
    options = SceneOptions(runtime=Runtime.ONNXRUNTIME, keep_exports=False, precision=Precision.FP32, device="cpu")
    grid, given = Georeference(64, 96, GRID, CRS), PredictOptions(scene=options)
    both, radar = (
        ready(Job((Path("scene.tif"),), model, SENSOR, given, None, None, None), grid).model.network
        for model in (model_of(), ALONE)
    )
    x = torch.randn(1, 6, 64, 96)
    x[:, -1] = 0
    with torch.inference_mode():
        assert both(x)[:, :1].equal(radar(x[:, :2]))
        x[:, -1, :, :50] = 1
        torch.testing.assert_close(both(x), model_of().network(x), atol=1e-4, rtol=1e-4)


def test_two_sensors_in_one_batch() -> None:
    network = model_of().network
    x = torch.randn(3, 6, 40, 40)
    x[:, 5] = 0
    x[1, 5, :20] = 1
    together = network(x)
    for at in range(3):
        assert together[at].equal(network(x[at : at + 1])[0])
    assert together[0, 0].equal(Radar()(x[:1, :2])[0, 0])
