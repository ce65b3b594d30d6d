"""Valid files of every kind, made on the spot: what the fuzzer starts from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyogrio
import rasterio
import shapely
import torch
from affine import Affine
from PIL import Image
from torch import nn

from overcast.batch import Batch, Modality
from overcast.bundle.bundle import RECORD, WEIGHTS, save_bundle
from overcast.bundle.record import BundleFacts, Kind
from overcast.config.run import RunConfig
from overcast.data.identity import ChipSetIdentity, TrainingData
from overcast.evaluation.result import EvaluationOptions
from overcast.evaluation.run import evaluate
from overcast.experiments.benchmark.work import Outcome
from overcast.methods.options import build_method
from overcast.methods.supervised import SarOptions
from overcast.models.spec import NetworkSpec
from overcast.raster.georeference import Georeference
from overcast.raster.radiometry import BandStatistics, Radiometry, SensorRadiometry, Statistics
from overcast.raster.units import RadarSide, Unit
from overcast.scenes.model import SceneModel
from overcast.settings import to_yaml

SIDE_PX = 24
LEFT, TOP = 593_000.0, 5_750_000.0
TRANSFORM = Affine(0.5, 0, LEFT, 0, -0.5, TOP)
CRS = "EPSG:32631"
GRID = Georeference(SIDE_PX, SIDE_PX, TRANSFORM, CRS)
REQUEST = {"scene": [["a.tif", "00"]], "options": {"tile": 64}, "threads": 2}
SETTINGS = RunConfig.model_validate({"data": {"name": "folder", "root": "data"}})
FOUR = ("HH", "HV", "VH", "VV")
DATASET = """name: tiny
class_name: building
licence: CC0-1.0
sar: {folders: [sar], bands: [HH], unit: dB, nodata: 0, gsd_m: 0.5, radar_side: north, orientations: sides.csv}
optical:
  {folders: [optical], bands: [r, g, b], unit: digital_number, gsd_m: 0.5, invalid: {folder: clouds, values: [1]}}
label: {folder: masks, foreground: 1, background: 0, ignore: 255}
place_pattern: "^(?P<place>.+)_[0-9]+$"
"""
BENCHMARK = """title: t
datasets: {one: {config: a.yaml, sets: [training.steps=5], simulation: b.yaml}}
seeds: [0, 1]
optical_shares: [0, 0.5]
tuning: {seed: 1000, sets: [training.steps=2]}
compare: [[a, b]]
methods:
  - {label: a, sets: [method.name=sar], candidates: [[seed=1], [seed=2]]}
  - {label: b, sets: [method.name=kd], tuned_as: a}
"""
ANNOTATION = """<?xml version="1.0"?><product xmlns:s="http://www.esa.int/s"><adsHeader><missionId>S1A</missionId></adsHeader>
<s:info><pass>Ascending</pass><platformHeading>-14.1</platformHeading><lookSide>right</lookSide></s:info></product>"""


pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2026-01-01T00:00:00Z"})  # the same bytes each time


def _text(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def _json(path: Path, value: Any) -> Path:
    return _text(path, json.dumps(value))


def _tiff(path: Path, count: int = 1, kind: str = "float32", names: Sequence[str] = (), **profile: Any) -> Path:
    rng = np.random.default_rng(0)
    values = (
        rng.integers(0, 2, (count, SIDE_PX, SIDE_PX))
        if kind == "uint8"
        else rng.normal(20, 3, (count, SIDE_PX, SIDE_PX))
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = {"count": count, "height": SIDE_PX, "width": SIDE_PX, "dtype": kind, "transform": TRANSFORM, "crs": CRS}
    with rasterio.open(path, "w", driver="GTiff", **shape | profile) as file:
        file.write(values.astype(kind))
        if names:
            file.descriptions = names
    return path


def run_config(folder: Path) -> Path:
    """Configuration of a training, every key given."""
    return _text(folder / "config.yaml", to_yaml(SETTINGS))


def benchmark_config(folder: Path) -> Path:
    """Configuration of a benchmark."""
    return _text(folder / "benchmark.yaml", BENCHMARK)


def overrides(folder: Path) -> Path:
    """Keys of the command line."""
    keys = (
        "training.steps=5",
        "training.seed=3",
        "network.encoder=resnet18",
        "data.root=a",
        "method={name: kd}",
        "data.split.by=places",
    )
    return _text(folder / "sets.txt", "\n".join(keys))


def dataset(folder: Path) -> Path:
    """A data set of two chips."""
    for name in ("a_1", "b_1"):
        _tiff(folder / "sar" / f"{name}.tif")
        _tiff(folder / "optical" / f"{name}.tif", 3)
        _tiff(folder / "masks" / f"{name}.tif", kind="uint8")
        _tiff(folder / "clouds" / f"{name}.tif", kind="uint8")
    _text(folder / "sides.csv", "key,radar_side\na_1,north\nb_1,south\n")
    return _text(folder / "dataset.yaml", DATASET)


def side_car(folder: Path) -> Path:
    """What the numbers of a scene mean."""
    _tiff(folder / "scene.tif", names=("HH",))
    return _text(folder / "scene.yaml", "bands: [HH]\nunit: dB\ngsd_m: 0.5\nnodata: -99\nradar_side: north\n")


def split_json(folder: Path) -> Path:
    """A split with its definition."""
    keys = {"train": ["a", "b"], "validation": ["c"], "test": ["d"]}
    dropped = [{"reason": "too near", "count": 1, "keys": ["e"]}]
    return _json(
        folder / "split.json", {"definition": "by hand", "counts": {"train": 2}, "keys": keys, "dropped": dropped}
    )


def split_csv(folder: Path) -> Path:
    """A split as a table."""
    return _text(folder / "split.csv", "key,split\na,train\nb,train\nc,validation\nd,test\ne,dropped\n")


def scene_list(folder: Path) -> Path:
    """A list of scenes."""
    return _text(folder / "scenes.txt", '# scenes\na.tif\nb_HH.tif\tb_HV.tif\n"c d.tif"\nhttp://127.0.0.1:9/e.tif\n')


def orientations(folder: Path) -> Path:
    """Sides from which chips were seen."""
    return _text(folder / "sides.csv", "key,radar_side\na,north\nb,south\n")


def coco(folder: Path) -> Path:
    """Polygons, run lengths in three forms, and a category."""
    size = [SIDE_PX, SIDE_PX]
    runs = [50, 20, SIDE_PX**2 - 70]
    forms = [
        [[4.0, 6.0, 20.0, 6.0, 20.0, 10.0]],
        {"size": size, "counts": runs},
        [{"size": size, "counts": [float(run) for run in runs]}],
        {"size": size, "counts": "b1d0Z`0"},
        [],
    ]
    image = {"id": 7, "file_name": "tiles/one.tif", "height": SIDE_PX, "width": SIDE_PX}
    annotations = [{"id": i, "image_id": 7, "category_id": 1, "segmentation": form} for i, form in enumerate(forms)]
    annotations[3]["segmentation"] = {"size": size, "counts": _compressed(runs)}
    categories = [{"id": 1, "name": "building"}]
    return _json(folder / "coco.json", {"images": [image], "annotations": annotations, "categories": categories})


def _compressed(runs: Sequence[int]) -> str:
    text = ""
    for index, run in enumerate(runs):
        number = run - runs[index - 2] if index > 2 else run
        while True:
            bits, number = number & 31, number >> 5
            more = not ((number == 0 and not bits & 16) or (number == -1 and bits & 16))
            text += chr(48 + (bits | 32 * more))
            if not more:
                break
    return text


def _squares() -> geopandas.GeoDataFrame:
    boxes = [shapely.box(LEFT + 1, TOP - 5, LEFT + 5, TOP - 1), shapely.box(LEFT + 6, TOP - 11, LEFT + 11, TOP - 7)]
    columns = {"confidence": [0.9, 0.8], "height": [5.0, 7.0]}
    return geopandas.GeoDataFrame(columns, geometry=boxes, crs=CRS)


def geojson(folder: Path) -> Path:
    """Two footprints with a CRS, and the same as a reference."""
    path = folder / "shapes.geojson"
    table = json.loads(_squares().to_json())
    table["crs"] = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32631"}}
    _json(folder / "reference.geojson", table)
    return _json(path, table)


def geopackage(folder: Path) -> Path:
    """The same as a GeoPackage."""
    _squares().to_file(folder / "reference.gpkg", layer="reference")
    _squares().to_file(folder / "shapes.gpkg", layer="shapes")
    return folder / "shapes.gpkg"


def _item(name: str) -> dict[str, Any]:
    assets = {
        "data": {"href": f"./{name}.tif", "type": "image/tiff; application=geotiff", "roles": ["data"]},
        "thumbnail": {"href": "thumb.png", "roles": ["thumbnail"]},
    }
    links = [{"rel": "self", "href": "http://127.0.0.1:9/item.json"}]
    properties = {"datetime": "2024-05-06T07:08:09Z"}
    return {"type": "Feature", "id": name, "assets": assets, "links": links, "properties": properties, "geometry": None}


def stac_item(folder: Path) -> Path:
    """A STAC item."""
    return _json(folder / "item.json", _item("one"))


def stac_items(folder: Path) -> Path:
    """A STAC item collection, of whose items one has an asset for each band."""
    banded = _item("two")
    banded["assets"] = {band: {"href": f"{band}.tif", "type": "image/tiff"} for band in ("HH", "HV")}
    return _json(folder / "items.json", {"type": "FeatureCollection", "features": [_item("one"), banded]})


def stac_collection(folder: Path) -> Path:
    """A STAC collection that links an item."""
    stac_item(folder)
    links = [{"rel": "root", "href": "catalog.json"}, {"rel": "item", "href": "./item.json"}]
    return _json(folder / "collection.json", {"type": "Collection", "id": "c", "links": links, "license": "CC0-1.0"})


def capella(folder: Path) -> Path:
    """Metadata of Capella beside a scene."""
    state = {
        "coordinate_system": {"type": "ecef"},
        "direction": "ascending",
        "state_vectors": [{"position": [0, 0, 0]}, {"position": [4.3e6, 0.9e6, 5.4e6]}, {}],
    }
    image = {"center_pixel": {"target_position": [3.93e6, 0.3e6, 5.0e6]}, "scale_factor": 0.5}
    radar = {"pointing": "right", "heading": 12.0}
    return _json(
        folder / "scene_extended.json",
        {"collect": {"platform": "capella-14", "state": state, "image": image, "radar": radar}},
    )


def iceye(folder: Path) -> Path:
    """Metadata of ICEYE beside a scene."""
    fields = {
        "satellite_name": "ICEYE-X7",
        "look_side": "right",
        "orbit_direction": "DESCENDING",
        "heading": 191.2,
        "a": [{"b": [1, None]}],
    }
    return _json(folder / "scene.json", fields)


def annotation(folder: Path) -> Path:
    """XML as of Sentinel-1 beside a scene."""
    return _text(folder / "scene.xml", ANNOTATION)


def prepared_capella(folder: Path) -> Path:
    """A scene of four polarisations with metadata beside it."""
    _tiff(folder / "scene.tif", 4, names=FOUR)
    return capella(folder)


def tiff_four(folder: Path) -> Path:
    """A scene of four polarisations; XML beside it says where the radar stood."""
    annotation(folder)
    return _tiff(folder / "scene.tif", 4, names=FOUR)


def scene_model() -> SceneModel:
    """A model of four polarisations at 0.5 m, without weights."""
    sensor = SensorRadiometry(bands=FOUR, unit=Unit.DECIBEL, gsd_m=0.5, radar_side=RadarSide.NORTH)
    statistics = BandStatistics(mean=(20.0,) * 4, std=(8.0,) * 4)
    return SceneModel(nn.Identity(), sensor, statistics, Modality.SAR, "building", "tiny", "ab" * 32, "CC0-1.0")


def cityjson(folder: Path) -> Path:
    """Two buildings, one of them a block with walls."""
    block = [(0, 0, 0), (10, 0, 0), (10, 10, 0), (0, 10, 0), (0, 0, 10), (10, 0, 10), (10, 10, 10), (0, 10, 10)]
    sides = [[[3, 2, 1, 0]], [[4, 5, 6, 7]], [[0, 1, 5, 4]], [[1, 2, 6, 5]], [[2, 3, 7, 6]], [[3, 0, 4, 7]]]
    surfaces = [{"type": kind} for kind in ("GroundSurface", "RoofSurface", "WallSurface")]
    semantics = {"surfaces": surfaces, "values": [[0, 1, 2, 2, 2, 2]]}
    solid = {"type": "Solid", "lod": "2.2", "boundaries": [sides], "semantics": semantics}
    model = {
        "type": "CityJSON",
        "version": "2.0",
        "transform": {"scale": [0.001, 0.001, 0.001], "translate": [85_000.0, 447_000.0, 0.0]},
        "metadata": {"referenceSystem": "https://www.opengis.net/def/crs/EPSG/0/7415"},
        "CityObjects": {
            "whole": {"type": "Building", "children": ["part"]},
            "part": {"type": "BuildingPart", "parents": ["whole"], "geometry": [solid]},
            "tree": {"type": "SolitaryVegetationObject", "geometry": []},
        },
        "vertices": [[1000 * value for value in point] for point in block],
    }
    return _json(folder / "town.json", model)


def _statistics() -> Statistics:
    optical = BandStatistics(mean=(90.0, 100.0, 95.0), std=(40.0, 41.0, 42.0))
    return Statistics(sar=BandStatistics(mean=(20.0, 30.0), std=(4.0, 5.0)), optical=optical)


def _identity() -> TrainingData:
    chips = ChipSetIdentity(chips=3, sha256="ab" * 32)
    return TrainingData(name="tiny", licence="CC0-1.0", split="by hand", train=chips, validation=chips, test=chips)


def bundle(folder: Path) -> Path:
    """The record of a bundle with the smallest network."""
    spec = NetworkSpec(
        encoder="tu-test_resnet", pretrained=False, decoder_channels=(8,) * 5, fusion_channels=8, sar_bands=2
    )
    sar = SensorRadiometry(bands=("HH", "HV"), unit=Unit.DECIBEL, gsd_m=0.5, radar_side=RadarSide.NORTH)
    optical = SensorRadiometry(bands=("red", "green", "blue"), unit=Unit.DIGITAL_NUMBER, gsd_m=0.5)
    facts = BundleFacts(
        method=SarOptions(),
        network=spec,
        radiometry=Radiometry(sar=sar, optical=optical),
        statistics=_statistics(),
        class_name="building",
        data=_identity(),
        metrics={"validation sar": {"iou": 0.5}},
        licence="CC-BY-4.0",
        seed=3,
        steps=10,
        calibration_temperature=1.5,
    )
    save_bundle(folder / "bundle", build_method(facts.method, spec, facts.statistics), Kind.DEPLOYABLE, facts)
    return folder / "bundle" / RECORD


def weights(folder: Path) -> Path:
    """The weights of a bundle."""
    return bundle(folder).with_name(WEIGHTS)


def run_folder_config(folder: Path) -> Path:
    """The configuration that a run folder keeps."""
    return run_config(folder)


def run_statistics(folder: Path) -> Path:
    """Band statistics of a run."""
    return _text(folder / "statistics.json", _statistics().model_dump_json())


def run_data(folder: Path) -> Path:
    """Identity of a run's data set."""
    return _text(folder / "data.json", _identity().model_dump_json())


def run_result(folder: Path) -> Path:
    """The mark of a finished run."""
    return _json(folder / "result.json", {"steps": 10, "best_step": 8, "metrics": {"validation sar": {"iou": 0.5}}})


def curve(folder: Path) -> Path:
    """Loss curve and validation scores."""
    return _text(folder / "metrics.csv", "step,loss,validation iou\n0,1.5,\n2,1.0,0.3\n4,0.7,0.5\n")


def checkpoint(folder: Path) -> Path:
    """What a training resumes from, as far as its first look goes."""
    torch.save({"global_step": 4, "state_dict": {"w": torch.zeros(3)}, "epoch": 1}, folder / "last.ckpt")
    return folder / "last.ckpt"


def outcome(folder: Path) -> Path:
    """What became of a job of a benchmark."""
    (folder / "run").mkdir()
    run_config(folder / "run")
    row = {
        "dataset": "a", "label": "b", "method": "sar", "settings": "", "seed": 0, "available": "sar",
        "figures": {"iou": 0.5}, "parameters": 5, "multiply_adds": 6, "peak_bytes": 7, "steps": 8, "best_step": 8,
        "machine": "m", "date": "2026-01-01",
    }  # fmt: skip
    record = Outcome.model_validate({"validation": 0.5, "rows": [row], "seconds": 3.0})
    return _text(folder / "outcome.json", record.model_dump_json())


def evaluation(folder: Path) -> Path:
    """A result on four chips of two places."""
    rng = np.random.default_rng(0)
    label = np.zeros((4, 32, 32), np.uint8)
    label[:, 4:14, 6:20] = 1
    valid = torch.ones((4, 1, 32, 32), dtype=torch.bool)
    sar = torch.from_numpy(rng.normal(size=(4, 2, 32, 32)).astype(np.float32))
    batch = Batch(
        sar=sar,
        sar_valid=valid,
        optical=None,
        optical_valid=None,
        label=torch.from_numpy(label),
        keys=("a", "b", "c", "d"),
    )
    places = {"a": "x", "b": "x", "c": "y", "d": "y"}
    found = evaluate(
        lambda one: (one.require("label")[:, None].float() - 0.4) * 5,
        [batch],
        places,
        0.5,
        EvaluationOptions(curve_steps=4),
    )
    found.write(folder / "evaluation.json")
    return folder / "evaluation.json"


def _scratch(folder: Path) -> Path:
    """The hidden folder of a run that was killed with three blocks done."""
    hidden = folder / ".o.tif.partial"
    blocks, lines = hidden / "blocks", []
    for tile_row in range(3):
        content = f"block {tile_row}".encode() * 20
        _text(blocks / f"row-{tile_row}.block", content)
        entry = {
            "tile_row": tile_row,
            "name": f"row-{tile_row}.block",
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        lines.append(json.dumps({**entry, "tiles": 2, "computed": 8192}))
    _text(blocks / "journal.jsonl", "\n".join(lines) + "\n")
    _json(blocks / "request.json", REQUEST)
    return hidden


def journal(folder: Path) -> Path:
    """The journal of a scratch folder."""
    return _scratch(folder) / "blocks" / "journal.jsonl"


def request(folder: Path) -> Path:
    """The request of a scratch folder."""
    return _scratch(folder) / "blocks" / "request.json"


def block(folder: Path) -> Path:
    """A block of a scratch folder."""
    return _scratch(folder) / "blocks" / "row-1.block"


def publishing(folder: Path) -> Path:
    """The mark of a run that was killed while its outputs were renamed: one of two is there."""
    target = _text(folder / "o.tif", b"first")
    status = target.stat()
    marks = [[target.name, status.st_size, status.st_mtime_ns], ["o.gpkg", 5, 7]]
    return _json(_scratch(folder) / "publishing", marks)


def manifest(folder: Path) -> Path:
    """What has become of two scenes."""
    _text(folder / "a.gpkg", b"12345")
    entries = [
        {"scene": "a", "status": "begun", "files": ["a.tif"], "begun": "2026-01-01T00:00:00Z", "request": "0123"},
        {
            "scene": "a",
            "status": "done",
            "files": ["a.tif"],
            "request": "0123",
            "outputs": {"a.gpkg": 5},
            "ended": "2026",
        },
        {"scene": "b", "status": "failed", "files": ["b.tif"], "request": "0123", "error": "why"},
    ]
    return _text(folder / "manifest.jsonl", "".join(json.dumps(entry) + "\n" for entry in entries))


def tiff_strips(folder: Path) -> Path:
    """Deflated strips."""
    return _tiff(folder / "scene.tif", compress="deflate", blockysize=8)


def tiff_tiles(folder: Path) -> Path:
    """Deflated tiles."""
    return _tiff(folder / "scene.tif", compress="deflate", tiled=True, blockxsize=16, blockysize=16)


def tiff_raw(folder: Path) -> Path:
    """Without compression."""
    return _tiff(folder / "scene.tif")


def tiff_lzw(folder: Path) -> Path:
    """LZW with a predictor."""
    return _tiff(folder / "scene.tif", compress="lzw", predictor=2, dtype="float32")


def tiff_mask(folder: Path) -> Path:
    """A mask of 0 and 1."""
    return _tiff(folder / "mask.tif", kind="uint8", compress="deflate")


def png_mask(folder: Path) -> Path:
    """The same as PNG."""
    values = np.random.default_rng(0).integers(0, 2, (SIDE_PX, SIDE_PX), np.uint8)
    Image.fromarray(values).save(folder / "mask.png")
    return folder / "mask.png"
