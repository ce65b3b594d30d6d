"""From the files of a scene to probability and footprints: place, nodata, refusals and faults."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.features
import rasterio.shutil
import shapely
import torch
from affine import Affine
from rio_cogeo.cogeo import cog_validate
from torch import nn

import overcast
from overcast.batch import Modality
from overcast.bundle.bundle import Bundle
from overcast.bundle.record import BundleInfo
from overcast.choices import Encoding, Outlines
from overcast.errors import BundleError, ConfigError, InputError, RadiometryError
from overcast.outputs import cog
from overcast.outputs import writable as outputs
from overcast.outputs.cog import ProbabilityWriter
from overcast.outputs.staging import staged
from overcast.polygons.footprints import PolygonOptions
from overcast.progress import Progress, ProgressStage
from overcast.raster.radiometry import BandStatistics, RadarSide, Radiometry, SensorRadiometry, Statistics, Unit
from overcast.scenes.declare import TAG, scene_radiometry
from overcast.scenes.model import SceneModel
from overcast.scenes.predict import PredictionSummary, PredictOptions, predict_file
from overcast.scenes.scene import SceneOptions

SENSOR = SensorRadiometry(bands=("HH", "HV"), unit=Unit.DECIBEL, gsd_m=0.5)
STATISTICS = BandStatistics(mean=(28.0, 28.0), std=(8.0, 8.0))
NORTH_UP = Affine(0.5, 0, 593000, 0, -0.5, 5750000)
ROTATED = Affine(0.3, 0.4, 593000, 0.4, -0.3, 5750000)
OPTIONS = PredictOptions(
    scene=SceneOptions(tile=64, overlap=16, margin=4),
    polygons=PolygonOptions(strip_pixels=3000, min_area_m2=2.0, outlines=Outlines.OFF),
    style=False,
    stac=False,
)


BESIDE = replace(OPTIONS, style=True, stac=True)


class Mean(nn.Module):
    """Logit = three times the mean of the bands: buildings are bright."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 3 * x.mean(1, keepdim=True)


MODEL = SceneModel(Mean(), SENSOR, STATISTICS, Modality.SAR, "building", "city", "0123456789abcdef", "CC0-1.0")


def speckle(height: int = 150, width: int = 170, seed: int = 0) -> np.ndarray:
    """(2, H, W) dB with bright blocks, none of it 0."""
    rng = np.random.default_rng(seed)
    values = rng.normal(20, 2, (2, height, width))
    for row, col in rng.integers(5, 130, (12, 2)):
        values[:, row : row + 14, col : col + 18] += 16
    return values.astype(np.float32)


def write_scene(path: Path, values: np.ndarray, **profile: Any) -> Path:
    """A GeoTIFF, UTM north-up unless told otherwise."""
    profile = {"crs": "EPSG:32631", "transform": NORTH_UP, **profile}
    count, height, width = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=values.dtype, **profile
    ) as dataset:
        dataset.write(values)
    return path


def predict(folder: Path, scene: Path, *, ending: str = ".gpkg", **changes: Any) -> PredictionSummary:
    """Both outputs beside the scene."""
    given = {"bundle": MODEL, "sensor": SENSOR, "options": OPTIONS, **changes}
    return predict_file(
        [scene], given.pop("bundle"), probability=folder / "probability.tif", footprints=folder / f"f{ending}", **given
    )


def probabilities(path: Path) -> np.ndarray:
    """Stored probability (H, W), NaN where there is none."""
    with rasterio.open(path) as dataset:
        stored = dataset.read(1, masked=True)
        return (stored * np.float32(dataset.scales[0])).filled(np.nan)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def outputs_in(folder: Path) -> list[str]:
    """What a user sees; finished blocks of a run that failed lie hidden."""
    return [name for name in names(folder) if not name.startswith(".")]


def leftovers(folder: Path) -> list[str]:
    """What a run that failed leaves beside its finished blocks."""
    hidden = [path for path in folder.glob(".*.partial/*") if path.name not in {"blocks", "lock"}]
    growing = [path for path in folder.glob(".*.partial/blocks/*") if path.suffix not in {".block", ".json", ".jsonl"}]
    return sorted(path.name for path in hidden + growing)


def expected(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    standard = STATISTICS.standardise(values, valid)
    return np.where(valid, 1 / (1 + np.exp(-3 * standard.mean(0))), np.nan)


@pytest.mark.parametrize("transform", [NORTH_UP, ROTATED], ids=["north-up", "rotated"])
@pytest.mark.parametrize("ending", [".gpkg", ".parquet", ".geojson"])
def test_outputs_lie_on_the_scene_and_nothing_lies_under_nodata(tmp_path: Path, transform: Affine, ending: str):
    values = speckle()
    values[:, :40, :60] = np.nan
    values[0, 100:110, 90:] = np.nan
    scene = write_scene(tmp_path / "scene.tif", values, transform=transform)
    summary = predict(tmp_path, scene, ending=ending)
    valid = np.isfinite(values).all(0)
    with rasterio.open(tmp_path / "probability.tif") as dataset:
        assert dataset.transform == transform
        assert dataset.crs == rasterio.CRS.from_epsg(32631)
        assert dataset.nodata == 255
    found = probabilities(tmp_path / "probability.tif")
    np.testing.assert_allclose(found, expected(values, valid), atol=0.5 / 254 + 1e-6)
    footprints = (
        gpd.read_parquet(tmp_path / f"f{ending}") if ending == ".parquet" else gpd.read_file(tmp_path / f"f{ending}")
    )
    assert summary.footprint_count == len(footprints) > 5
    assert footprints.is_valid.all()
    footprints = footprints.to_crs(32631)
    burnt = rasterio.features.rasterize(footprints.geometry, valid.shape, transform=transform).astype(bool)
    assert not (burnt & ~valid).any()
    assert (np.nan_to_num(found)[burnt] >= 0.5).all()
    assert burnt.sum() * 0.25 == pytest.approx(footprints.area_m2.sum())
    assert summary.valid_km2 == pytest.approx(valid.sum() * 0.25e-6)
    assert summary.km2 == pytest.approx(valid.size * 0.25e-6)
    assert names(tmp_path) == sorted([f"f{ending}", "probability.tif", "scene.tif"])


@pytest.mark.parametrize("encoding", list(Encoding))
def test_probability_is_a_valid_cog_with_identity(tmp_path: Path, encoding: Encoding):
    scene = write_scene(tmp_path / "scene.tif", speckle(700, 1100))
    predict(tmp_path, scene, options=replace(OPTIONS, encoding=encoding))
    path = tmp_path / "probability.tif"
    valid, errors, warnings = cog_validate(path, strict=True)
    assert valid, (errors, warnings)
    with rasterio.open(path) as dataset:
        tags = dataset.tags()
        assert dataset.compression.value == "DEFLATE"
        assert dataset.block_shapes == [(512, 512)]
        assert dataset.overviews(1) == [2, 4]
        assert dataset.descriptions == ("probability of building",)
        assert dataset.dtypes == (encoding.value,)
        assert dataset.scales == ((1 / 254,) if encoding is Encoding.UINT8 else (1.0,))
    assert tags["OVERCAST_MODEL"] == "city"
    assert tags["OVERCAST_MODEL_SHA256"] == MODEL.sha256
    assert tags["OVERCAST_VERSION"] == overcast.__version__
    assert SensorRadiometry.model_validate_json(tags["OVERCAST_SCENE_RADIOMETRY"]) == SENSOR


def test_declared_zero_and_file_nodata_are_no_data_too(tmp_path: Path):
    values = speckle()
    values[1, 10:20, 10:20] = 0
    values[0, 30:40, 30:40] = -99
    scene = write_scene(tmp_path / "scene.tif", values, nodata=-99)
    predict(tmp_path, scene, sensor=SENSOR.model_copy(update={"nodata": 0.0}))
    found = np.isnan(probabilities(tmp_path / "probability.tif"))
    assert np.array_equal(found, (values[1] == 0) | (values[0] == -99))


def test_scene_without_data_gives_valid_empty_outputs(tmp_path: Path):
    scene = write_scene(tmp_path / "scene.tif", np.full((2, 80, 90), np.nan, np.float32))
    summary = predict(tmp_path, scene)
    assert summary.footprint_count == summary.scene.tiles == summary.valid_km2 == 0
    assert np.isnan(probabilities(tmp_path / "probability.tif")).all()
    assert cog_validate(tmp_path / "probability.tif")[0]
    assert len(gpd.read_file(tmp_path / "f.gpkg")) == 0


def test_several_single_band_files_are_one_scene(tmp_path: Path):
    values = speckle()
    files = [write_scene(tmp_path / f"{name}.tif", values[i : i + 1]) for i, name in enumerate(("hh", "hv"))]
    predict_file(files, MODEL, sensor=SENSOR, probability=tmp_path / "p.tif", options=OPTIONS)
    valid = np.ones(values.shape[1:], bool)
    np.testing.assert_allclose(probabilities(tmp_path / "p.tif"), expected(values, valid), atol=0.5 / 254 + 1e-6)


def test_virtual_raster_is_a_scene(tmp_path: Path):
    scene = write_scene(tmp_path / "scene.tif", speckle())
    predict(tmp_path, scene)
    rasterio.shutil.copy(scene, tmp_path / "scene.vrt", driver="VRT")
    targets: dict[str, Any] = {"probability": tmp_path / "p.tif", "options": OPTIONS}
    predict_file([tmp_path / "scene.vrt"], MODEL, sensor=SENSOR, **targets)
    assert np.array_equal(probabilities(tmp_path / "p.tif"), probabilities(tmp_path / "probability.tif"))
    overwriting = {**targets, "probability": scene, "options": replace(OPTIONS, overwrite=True)}
    with pytest.raises(InputError, match=r"scene\.tif is a part of the scene; write elsewhere"):
        predict_file([tmp_path / "scene.vrt"], MODEL, sensor=SENSOR, **overwriting)


def test_scene_without_crs_gives_probability_but_no_footprints(tmp_path: Path):
    scene = write_scene(tmp_path / "scene.tif", speckle(), crs=None)
    with pytest.raises(InputError, match=r"scene\.tif has no coordinate reference system, .* assign it"):
        predict(tmp_path, scene)
    assert names(tmp_path) == ["scene.tif"]
    summary = predict_file([scene], MODEL, sensor=SENSOR, probability=tmp_path / "p.tif", options=OPTIONS)
    assert summary.footprint_count is None
    with rasterio.open(tmp_path / "p.tif") as dataset:
        assert dataset.crs is None
        assert dataset.transform == NORTH_UP


def test_footprints_alone_leave_no_raster(tmp_path: Path):
    scene = write_scene(tmp_path / "scene.tif", speckle())
    both = predict(tmp_path, scene)
    alone = predict_file([scene], MODEL, sensor=SENSOR, footprints=tmp_path / "alone.gpkg", options=OPTIONS)
    assert alone.footprint_count == both.footprint_count
    assert names(tmp_path) == ["alone.gpkg", "f.gpkg", "probability.tif", "scene.tif"]


class Directed(nn.Module):
    """Answers to brightness that lies to the right: turning the scene changes what it finds."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 3 * torch.nn.functional.pad(x, (0, 2))[..., 2:].mean(1, keepdim=True)


@pytest.mark.parametrize(("declared", "rotated"), [("south", True), ("north", False), (None, False)])
def test_scene_from_the_opposite_side_is_turned_and_turned_back(tmp_path: Path, declared: str | None, rotated: bool):
    north = SENSOR.model_copy(update={"radar_side": RadarSide.NORTH})
    model = replace(MODEL, network=Directed(), sensor=north)
    sensor = SENSOR.model_copy(update={"radar_side": declared and RadarSide(declared)})
    values = speckle()
    scene = write_scene(tmp_path / "scene.tif", values)
    summary = predict(tmp_path, scene, bundle=model, sensor=sensor)
    assert summary.rotated is rotated
    shifted = np.full_like(values, 28)  # standardised 0, as the padding
    if rotated:
        shifted[:, :, 2:] = values[:, :, :-2]
    else:
        shifted[:, :, :-2] = values[:, :, 2:]
    wanted = expected(shifted, np.ones(values.shape[1:], bool))
    np.testing.assert_allclose(probabilities(tmp_path / "probability.tif"), wanted, atol=0.5 / 254 + 1e-6)
    with rasterio.open(tmp_path / "probability.tif") as dataset:
        assert dataset.transform == NORTH_UP


def test_progress_is_in_square_kilometres(tmp_path: Path):
    states: list[Progress] = []
    predict(tmp_path, write_scene(tmp_path / "scene.tif", speckle()), progress=states.append)
    assert {state.stage for state in states} == set(ProgressStage)
    assert all(state.total == pytest.approx(150 * 170 * 0.25e-6) for state in states)
    assert states[-1].done == states[-1].total


def test_same_scene_gives_the_same_bytes(tmp_path: Path):
    scene = write_scene(tmp_path / "scene.tif", speckle())
    predict(tmp_path, scene)
    first = (tmp_path / "probability.tif").read_bytes()
    predict(tmp_path, scene, options=replace(OPTIONS, overwrite=True))
    assert (tmp_path / "probability.tif").read_bytes() == first


def bundle(inputs: tuple[Modality, ...] = (Modality.SAR,), **radiometry: SensorRadiometry) -> Bundle:
    """A loaded bundle as far as prediction looks at it."""
    info = BundleInfo.model_construct(
        method=type("Options", (), {"name": "fusion"})(),
        inputs=inputs,
        radiometry=Radiometry(sar=SENSOR, **radiometry),
        statistics=Statistics(sar=STATISTICS),
        class_name="building",
        weights_sha256="ab" * 32,
        licence="CC0-1.0",
    )
    return Bundle(Path("runs/city"), info, Mean(), None)


def test_bundle_is_described(tmp_path: Path):
    scene = write_scene(tmp_path / "scene.tif", speckle())
    predict(tmp_path, scene, bundle=bundle())
    found = gpd.read_file(tmp_path / "f.gpkg").iloc[0]
    assert found[["class", "provenance", "model", "scene"]].tolist() == [
        "building",
        "sar",
        "city abababababab",
        "scene.tif",
    ]


def test_bundle_that_needs_both_sensors_is_refused():
    with pytest.raises(BundleError, match=r"city \(fusion\) needs sar and optical"):
        SceneModel.of(bundle((Modality.SAR, Modality.OPTICAL)))
    with pytest.raises(BundleError, match="does not describe its optical bands"):
        SceneModel.of(bundle((Modality.OPTICAL,)))


OTHER_SENSORS = [
    ({"bands": ("VV", "VH")}, "bands"),
    ({"unit": Unit.AMPLITUDE}, "unit"),
    ({"gsd_m": 0.6}, "pixels of"),
    ({"radar_side": RadarSide.EAST}, "radar side"),
]


@pytest.mark.parametrize(("change", "named"), OTHER_SENSORS)
def test_scene_for_another_model_is_refused_by_name(tmp_path: Path, change: dict[str, Any], named: str):
    model = replace(MODEL, sensor=SENSOR.model_copy(update={"radar_side": RadarSide.NORTH}))
    scene = write_scene(tmp_path / "scene.tif", speckle())
    with pytest.raises(RadiometryError, match=rf"scene\.tif has .*{named}.*model city"):
        predict(tmp_path, scene, bundle=model, sensor=SENSOR.model_copy(update=change))
    assert names(tmp_path) == ["scene.tif"]


def test_declared_pixel_size_must_be_that_of_the_geotransform(tmp_path: Path):
    scene = write_scene(tmp_path / "scene.tif", speckle(), transform=Affine(2.0, 0, 593000, 0, -2.0, 5750000))
    with pytest.raises(RadiometryError, match=r"2 m x 2 m on the ground .* but 0\.5 m x 0\.5 m are declared"):
        predict(tmp_path, scene)


def test_missing_band_and_truncated_file_are_refused(tmp_path: Path):
    values = speckle(400, 400)
    one = write_scene(tmp_path / "one.tif", values[:1])
    with pytest.raises(InputError, match=r"one\.tif: 2 bands are declared"):
        predict(tmp_path, one)
    cut = write_scene(tmp_path / "cut.tif", values)
    os.truncate(cut, cut.stat().st_size // 2)
    with pytest.raises(InputError, match=r"cut\.tif cannot be read"):
        predict(tmp_path, cut)
    with pytest.raises(InputError, match="does not exist"):
        predict(tmp_path, tmp_path / "none.tif")
    assert names(tmp_path) == ["cut.tif", "one.tif"]


def test_damage_in_the_middle_of_the_scene_leaves_no_output(tmp_path: Path):
    scene = write_scene(
        tmp_path / "scene.tif", speckle(400, 400), tiled=True, blockxsize=64, blockysize=64, compress="deflate"
    )
    content = bytearray(scene.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 40_000] = bytes(40_000)
    scene.write_bytes(content)
    with pytest.raises(InputError, match=r"scene\.tif cannot be read"):
        predict(tmp_path, scene)
    assert outputs_in(tmp_path) == ["scene.tif"]
    assert not leftovers(tmp_path)


def test_outputs_are_checked_before_the_first_pixel(tmp_path: Path):
    class Never(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise AssertionError("the network ran")

    scene = write_scene(tmp_path / "scene.tif", speckle())
    (tmp_path / "there.gpkg").touch()
    (tmp_path / "folder.gpkg").mkdir()
    never = replace(MODEL, network=Never())

    def refused(match: str, error: type[Exception] = InputError, **given: Any) -> None:
        before = names(tmp_path)
        with pytest.raises(error, match=match):
            predict_file([scene], never, sensor=SENSOR, **{"options": OPTIONS, **given})
        assert names(tmp_path) == before

    refused("nothing to write", ConfigError)
    refused(r"\.gpkg .*\.parquet .*\.geojson", footprints=tmp_path / "f.shp")
    refused(r"does not end in \.tif", probability=tmp_path / "p.png")
    refused("is not a folder", footprints=tmp_path / "none" / "f.gpkg")
    refused("exists; name another file", footprints=tmp_path / "there.gpkg")
    refused("is a folder; name a file", footprints=tmp_path / "folder.gpkg")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "garbage")
        refused("SOURCE_DATE_EPOCH is 'garbage'", ConfigError, probability=tmp_path / "p.tif")
    refused("has a name that is .* bytes too long", probability=tmp_path / f"{'x' * 246}.tif")
    refused("has a name that is .* bytes too long", footprints=tmp_path / f"{'x' * 242}.gpkg", options=BESIDE)
    refused("has a name that is not UTF-8", footprints=tmp_path / os.fsdecode(b"\xff.gpkg"))
    refused("is the scene itself", probability=scene)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _path: type("Usage", (), {"free": 1000})())
        refused(r"0\.0 MB free, but p\.tif needs", probability=tmp_path / "p.tif")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "access", lambda _path, _mode: False)
        refused("is not writable", probability=tmp_path / "p.tif")


def test_existing_outputs_are_replaced_only_on_request_and_only_at_the_end(tmp_path: Path):
    scene = write_scene(tmp_path / "scene.tif", speckle())
    (tmp_path / "f.gpkg").write_text("old")
    with pytest.raises(InputError, match="exists"):
        predict(tmp_path, scene)

    class Broken(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise MemoryError

    overwriting = replace(OPTIONS, overwrite=True)
    with pytest.raises(MemoryError):
        predict(tmp_path, scene, bundle=replace(MODEL, network=Broken()), options=overwriting)
    assert (tmp_path / "f.gpkg").read_text() == "old"
    assert names(tmp_path) == ["f.gpkg", "scene.tif"]
    predict(tmp_path, scene, options=overwriting)
    assert len(gpd.read_file(tmp_path / "f.gpkg")) > 0


def test_full_disk_is_one_sentence_and_leaves_no_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    scene = write_scene(tmp_path / "scene.tif", speckle())
    writes = []

    def write(self: ProbabilityWriter, *_: object) -> None:
        writes.append(self)
        if len(writes) == 2:
            with outputs.writing(tmp_path / "probability.tif"):
                raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ProbabilityWriter, "write", write)
    with pytest.raises(InputError) as caught:
        predict(tmp_path, scene)
    assert str(caught.value).startswith("probability.tif cannot be written (No space left on device; ")
    assert "\n" not in str(caught.value)
    assert outputs_in(tmp_path) == ["scene.tif"]
    assert not leftovers(tmp_path)


FULL = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_predict import predict, replace, OPTIONS, Encoding
from overcast.errors import InputError
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
try:
    predict(Path(sys.argv[2]), Path(sys.argv[2]) / "scene.tif", options=replace(OPTIONS, encoding=Encoding.FLOAT32))
except InputError as error:
    print(error)
"""


@pytest.mark.parametrize(("limit", "named"), [(300_000, "probability.tif"), (2_300_000, "probability.tif")])
def test_file_system_that_takes_no_more_leaves_no_output(tmp_path: Path, limit: int, named: str):
    """The limit on the size of files stands in for a full disk, in the raster that grows or in the last copy."""
    write_scene(tmp_path / "scene.tif", speckle(700, 700))
    command = [sys.executable, "-c", FULL, str(Path(__file__).parent), str(tmp_path), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.startswith(f"{named} cannot be written ("), done.stdout + done.stderr
    assert outputs_in(tmp_path) == ["scene.tif"]
    assert not leftovers(tmp_path)


def test_copy_that_differs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """GDAL may close a file without a word about what did not arrive."""
    good = write_scene(tmp_path / "good.tif", np.ones((1, 600, 600), np.uint8))
    bad = np.ones((1, 600, 600), np.uint8)
    bad[0, 599, 0] = 255
    write_scene(tmp_path / "bad.tif", bad)
    monkeypatch.setattr(rasterio.shutil, "copy", lambda _source, target, **_: shutil.copy(tmp_path / "bad.tif", target))
    with pytest.raises(InputError, match=r"p\.tif cannot be written \(rows 512 to 1024 did not arrive"):
        cog.write_cog(good, tmp_path / "p.tif")


SLOW = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_predict import MODEL, Mean, predict, replace

class Slow(Mean):
    def forward(self, x):
        time.sleep(0.2)
        return super().forward(x)

folder = Path(sys.argv[2])
slow = replace(MODEL, network=Slow())
predict(folder, folder / "scene.tif", bundle=slow, progress=lambda state: print("on", flush=True))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_leaves_no_output(tmp_path: Path, number: signal.Signals):
    write_scene(tmp_path / "scene.tif", speckle(600, 600))
    command = [sys.executable, "-c", SLOW, str(Path(__file__).parent), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(3):
            assert process.stdout.readline() == "on\n"
        assert ".probability.tif.partial" in names(tmp_path)
        process.send_signal(number)
        _, errors = process.communicate()
    assert process.returncode != 0
    assert "KeyboardInterrupt" in errors
    assert outputs_in(tmp_path) == ["scene.tif"]
    assert not leftovers(tmp_path)


def test_failing_rename_takes_back_what_was_renamed(tmp_path: Path):
    with staged([tmp_path / "a.tif", tmp_path / "b.gpkg"]) as staging:
        staging.path(tmp_path / "a.tif").touch()
        with pytest.raises(InputError, match=r"cannot be written \(No such file or directory\)"):
            staging.publish()
    assert names(tmp_path) == []


def test_radiometry_is_declared_by_user_side_car_or_file(tmp_path: Path):
    scene = write_scene(tmp_path / "scene.tif", speckle())
    with pytest.raises(RadiometryError, match=r"does not declare its bands.*bands: \[HH.*into scene\.yaml"):
        scene_radiometry([scene])
    with rasterio.open(scene, "r+") as dataset:
        dataset.descriptions = ("HH", "HV")
    with pytest.raises(RadiometryError, match="does not declare its unit"):
        scene_radiometry([scene])
    assert scene_radiometry([scene], {"unit": "dB", "nodata": None}) == SENSOR
    with rasterio.open(scene, "r+") as dataset:
        dataset.update_tags(**{TAG: json.dumps({"unit": "amplitude", "radar_side": "south"})})
    tagged = scene_radiometry([scene])
    assert (tagged.unit, tagged.radar_side, tagged.gsd_m) == (Unit.AMPLITUDE, RadarSide.SOUTH, 0.5)
    side_car = tmp_path / "scene.yaml"
    side_car.write_text("unit: dB\nnodata: 0\n", encoding="utf-8")
    assert scene_radiometry([scene]) == tagged.model_copy(update={"unit": Unit.DECIBEL, "nodata": 0.0})
    assert scene_radiometry([scene], {"unit": Unit.LINEAR_POWER}).unit is Unit.LINEAR_POWER
    with pytest.raises(RadiometryError, match="declared is impossible: unit"):
        scene_radiometry([scene], {"unit": "furlong"})
    side_car.write_text("units: dB\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"scene\.yaml describes the scene .* with the keys"):
        scene_radiometry([scene])
    side_car.write_text("unit: [", encoding="utf-8")
    with pytest.raises(InputError, match="not readable YAML"):
        scene_radiometry([scene])


def test_name_of_a_scene_that_cannot_be_read_is_told(tmp_path: Path):
    declared = {"unit": "dB", "bands": ["HH", "HV"]}
    long = write_scene(tmp_path / "scene.tif", speckle()).rename(tmp_path / f"{'x' * 251}.tif")  # no room for .yaml
    assert scene_radiometry([long], declared) == SENSOR
    for name, match in (
        (b"\xff.tif", r"\\xff\.tif has a name that is not UTF-8; rename it"),
        (b"x" * 5000, "more than 255"),
    ):
        with pytest.raises(InputError, match=match) as caught:
            scene_radiometry([tmp_path / os.fsdecode(name)], declared)
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize("tag", ["{", "[1]"])
def test_damaged_declaration_in_the_file_is_an_error(tmp_path: Path, tag: str):
    scene = write_scene(tmp_path / "scene.tif", speckle())
    with rasterio.open(scene, "r+") as dataset:
        dataset.update_tags(**{TAG: tag})
    with pytest.raises(InputError, match=TAG):
        scene_radiometry([scene])


def test_pixel_size_must_be_declared_where_the_file_has_none(tmp_path: Path):
    scene = write_scene(tmp_path / "scene.tif", speckle(), crs=None)
    with pytest.raises(RadiometryError, match=r"does not declare its gsd_m.*Footprints also need to know where"):
        scene_radiometry([scene], {"unit": "dB", "bands": ["HH", "HV"]})
    degrees = write_scene(
        tmp_path / "d.tif", speckle(), crs="EPSG:4326", transform=Affine(7.2e-6, 0, 4.4, 0, -4.5e-6, 51.9)
    )
    found = scene_radiometry([degrees], {"unit": "dB", "bands": ["HH", "HV"]})
    assert found.gsd_m == pytest.approx(0.498, abs=0.003)


def test_footprint_of_a_bright_block_is_the_block(tmp_path: Path):
    values = np.full((2, 100, 100), 12.0, np.float32)
    values[:, 30:50, 20:60] = 44
    predict(tmp_path, write_scene(tmp_path / "scene.tif", values))
    (polygon,) = gpd.read_file(tmp_path / "f.gpkg").geometry
    assert polygon.equals(shapely.box(593010, 5749975, 593030, 5749985))


def test_a_bundle_gives_probabilities_of_pixels_as_they_are(tmp_path: Path):
    """The same as the map of a file: standardised within, NaN where a pixel has no data, any size."""
    values = speckle(70, 45)
    values[0, :9, 7:20], values[1, 30, 30:34] = np.nan, -99
    scene = write_scene(tmp_path / "scene.tif", np.where(values == -99, np.nan, values))
    city = bundle()
    found = city.probability(values, nodata=-99)
    predict(tmp_path, scene, bundle=city, options=replace(OPTIONS, encoding=Encoding.FLOAT32, calibrated=True))
    with rasterio.open(tmp_path / "probability.tif") as dataset:
        np.testing.assert_allclose(found, dataset.read(1), atol=1e-6)
    assert np.isnan(found[:9, 7:20]).all()
    assert np.isfinite(found).sum() == 70 * 45 - 9 * 13 - 4
    with pytest.raises(RadiometryError, match="-99999 cannot be dB; declare nodata: -99999"):
        city.probability(np.where(values == -99, -99999, values))
    for wrong in (values[:1], np.moveaxis(values, 0, -1), values[0]):
        with pytest.raises(InputError, match=r"bands HH, HV; height; width\) of one size, but got the shapes"):
            city.probability(wrong)
    with pytest.raises(InputError, match="got the shapes"):
        city.probability(values, values)
    assert not hasattr(city, "network")
