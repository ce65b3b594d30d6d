"""What the fuzzer damages: a valid file of each kind that Overcast reads from outside, and the call that reads it."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.robustness import product_seeds, seeds
from benchmarks.robustness.mutations import (
    Mutate,
    of_bytes,
    of_csv,
    of_header,
    of_json,
    of_json_lines,
    of_overrides,
    of_png,
    of_sqlite,
    of_text,
    of_tiff,
    of_xml,
    of_yaml,
)

from overcast.bundle.bundle import load_bundle
from overcast.config.run import load_config
from overcast.data.catalogs.folder import folder_catalog
from overcast.data.coco import read_coco
from overcast.data.labels import LabelSpec, number_footprints, read_mask
from overcast.data.orientation import read_orientations
from overcast.data.splits.file import read_split
from overcast.evaluation.result import Evaluation
from overcast.experiments.benchmark.jobs import Job
from overcast.experiments.benchmark.options import load_benchmark
from overcast.experiments.benchmark.work import kept_outcome
from overcast.fleet.manifest import Manifest
from overcast.fleet.scenes import find_scenes
from overcast.metrics.footprints import score_footprints
from overcast.outputs.staging import recover_publication
from overcast.preparation.aim import ForTraining
from overcast.preparation.calibrated import scale_factor
from overcast.preparation.found_look import metadata_radar
from overcast.preparation.inputs import ask
from overcast.preparation.metadata import documents, radar_facts
from overcast.preparation.options import PrepareOptions
from overcast.preparation.plan import make_plan
from overcast.preparation.render import render
from overcast.products.calibration_table import read_table
from overcast.raster.files import open_grid
from overcast.raster.grid import Window
from overcast.raster.sources import RasterioSource
from overcast.raster.units import RadarSide, Unit
from overcast.report.history import read_history
from overcast.scenes.declare import scene_radiometry
from overcast.scenes.work import open_work
from overcast.simulator.options import FootprintOptions
from overcast.simulator.town.cityjson import read_cityjson
from overcast.simulator.town.given import read_town
from overcast.training.checkpoints import AtomicCheckpoints
from overcast.training.curves import Curves
from overcast.training.folder import RunFolder, read_data, read_statistics

GRID = seeds.GRID


@dataclass(frozen=True)
class Surface:
    """A kind of file."""

    name: str
    write: Callable[[Path], Path]
    """Writes a valid file, and what belongs to it, into a folder."""
    read: Callable[[Path], object]
    """Reads the file as Overcast does."""
    mutate: Mutate
    afresh: bool = False
    """Reading changes the folder: it is written again for each case."""

    def damaged(self, content: bytes, seed: int, case: int) -> bytes:
        """The file of a case: the same for the same surface, seed and number."""
        return self.mutate(content, random.Random(f"{self.name}/{seed}/{case}"))  # noqa: S311  # no secret


def _read_scene(path: Path) -> None:
    sensor = scene_radiometry([path], {"unit": "dB", "bands": ("HH",)})
    with RasterioSource.open([path], sensor) as source:
        grid = source.georeference
        if grid.height * grid.width <= 2**22:
            source.read(Window(0, 0, grid.height, grid.width))


def _read_labels(path: Path) -> None:
    number_footprints(path, GRID)


def _read_coco(path: Path) -> None:
    for outlines in read_coco(path).values():
        if outlines.height * outlines.width <= 2**22:
            window = Window(0, 0, outlines.height, outlines.width)
            outlines.draw(window)
            outlines.number(window)


def _read_town(path: Path) -> None:
    read_town.cache_clear()
    read_town(FootprintOptions(file=str(path), height="height" if path.suffix != ".json" else None))


def _read_metadata(path: Path, *, named: bool) -> None:
    scene = path.parent / "scene.tif"
    found = documents([scene], [{}], [path] if named else [])
    metadata_radar(radar_facts(found, scene.name), 52.0, [scene.name], scene.name)
    scale_factor(found)


def _named(path: Path) -> None:
    _read_metadata(path, named=True)


def _beside(path: Path) -> None:
    _read_metadata(path, named=False)


def _prepared(path: Path) -> None:
    scene = path if path.suffix == ".tif" else path.parent / "scene.tif"
    with ExitStack() as stack:
        make_plan(
            ask([scene], seeds.scene_model().sensor.bands),
            seeds.scene_model(),
            PrepareOptions(unit=Unit.DECIBEL, rotate=True),
            stack,
        )


def _product(path: Path) -> None:
    named = path if path.suffix != ".hdr" else path.parent.with_suffix(".dim")
    with ExitStack() as stack:
        stated = PrepareOptions(radar_side=RadarSide.EAST)
        plan = make_plan(ask([named], ()), ForTraining(Unit.LINEAR_POWER), stated, stack)
        render(plan, Window(0, 0, min(8, plan.grid.height), min(8, plan.grid.width)))


def _divisors(path: Path) -> None:
    read_table(path).at(Window(0, 0, 8, 8))


def _run_settings(path: Path) -> None:
    RunFolder(path.parent).check(seeds.SETTINGS)
    load_config(path)


def _outcome(path: Path) -> None:
    kept_outcome(Job("a", "b", (), 0, seeds.SETTINGS, path.parent))


def _evaluation(path: Path) -> None:
    found = Evaluation.read(path)
    found.summary()
    _ = found.total, found.instance_ece, found.panel_keys


def _curve(path: Path) -> None:
    read_history(path)
    Curves(path, None).resume(4)


def _checkpoint(path: Path) -> None:
    int(AtomicCheckpoints().load_checkpoint(path)["global_step"])


def _manifest(path: Path) -> None:
    manifest = Manifest(path.parent)
    for scene in ("a", "b"):
        manifest.is_done(scene, "0123", [path.parent / f"{scene}.gpkg"])
        manifest.is_begun(scene, "0123")


def _resumed(path: Path) -> None:
    recover_publication([path.parents[2] / "o.tif"])
    folder = path.parents[2] / ".o.tif.partial" / "blocks"
    if folder.is_dir():
        work = open_work(folder, seeds.REQUEST)
        work.missing(3)
        sum(block.tiles + block.computed for block in work.blocks.values())


def _publishing(path: Path) -> None:
    recover_publication([path.parents[1] / "o.tif", path.parents[1] / "o.gpkg"])


def _folder(path: Path) -> None:
    folder_catalog(path.parent)


def _mask(path: Path) -> None:
    read_mask(path, None, LabelSpec(1, 0, 255), (path, open_grid(path)))


def _overrides(path: Path) -> None:
    given = path.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    load_config(None, ["data={name: folder, root: data}", *given])


def _stac(path: Path) -> None:
    find_scenes([str(path)], ("HH", "HV"))


def _score(path: Path) -> None:
    score_footprints(path, path.parent / f"reference{path.suffix}")


SURFACES = (
    Surface("run configuration", seeds.run_config, load_config, of_yaml),
    Surface("benchmark configuration", seeds.benchmark_config, load_benchmark, of_yaml),
    Surface("--set value", seeds.overrides, _overrides, of_overrides),
    Surface("dataset.yaml", seeds.dataset, _folder, of_yaml),
    Surface("scene.yaml", seeds.side_car, lambda path: scene_radiometry([path.with_suffix(".tif")]), of_yaml),
    Surface("split.json", seeds.split_json, read_split, of_json),
    Surface("split.csv", seeds.split_csv, read_split, of_csv),
    Surface("scene list", seeds.scene_list, _stac, of_text),
    Surface(
        "orientations.csv", seeds.orientations, lambda p: read_orientations(p, ["a", "b"], RadarSide.NORTH), of_csv
    ),
    Surface("COCO", seeds.coco, _read_coco, of_json),
    Surface("GeoJSON labels", seeds.geojson, _read_labels, of_json),
    Surface("GeoJSON score", seeds.geojson, _score, of_json),
    Surface("GeoJSON town", seeds.geojson, _read_town, of_json),
    Surface("GeoPackage labels", seeds.geopackage, _read_labels, of_sqlite),
    Surface("GeoPackage score", seeds.geopackage, _score, of_sqlite),
    Surface("STAC item", seeds.stac_item, _stac, of_json),
    Surface("STAC item collection", seeds.stac_items, _stac, of_json),
    Surface("STAC collection", seeds.stac_collection, _stac, of_json),
    Surface("metadata JSON (Capella)", seeds.capella, _named, of_json),
    Surface("metadata JSON beside (Capella)", seeds.capella, _beside, of_json),
    Surface("metadata JSON (ICEYE)", seeds.iceye, _named, of_json),
    Surface("metadata XML", seeds.annotation, _named, of_xml),
    Surface("metadata XML beside", seeds.annotation, _beside, of_xml),
    Surface("product SNAP .dim", product_seeds.dimap, _product, of_xml),
    Surface("product SNAP .hdr", product_seeds.dimap_header, _product, of_text),
    Surface("product Sentinel-1 table", product_seeds.calibration, _divisors, of_xml),
    Surface("product HDF5", product_seeds.hdf5, _product, of_bytes),
    Surface("product zip", product_seeds.archive, _product, of_bytes),
    Surface("prepare, metadata beside", seeds.prepared_capella, _prepared, of_json),
    Surface("CityJSON", seeds.cityjson, read_cityjson, of_json),
    Surface("CityJSON town", seeds.cityjson, _read_town, of_json),
    Surface("bundle.json", seeds.bundle, lambda path: load_bundle(path.parent), of_json),
    Surface("model.safetensors", seeds.weights, lambda path: load_bundle(path.parent), of_header),
    Surface("run config.yaml", seeds.run_folder_config, _run_settings, of_yaml),
    Surface("run statistics.json", seeds.run_statistics, lambda p: read_statistics(RunFolder(p.parent)), of_json),
    Surface("run data.json", seeds.run_data, lambda p: read_data(RunFolder(p.parent)), of_json),
    Surface("run result.json", seeds.run_result, lambda p: RunFolder(p.parent).read_result(), of_json),
    Surface("run metrics.csv", seeds.curve, _curve, of_csv),
    Surface("run last.ckpt", seeds.checkpoint, _checkpoint, of_bytes),
    Surface("outcome.json", seeds.outcome, _outcome, of_json),
    Surface("evaluation.json", seeds.evaluation, _evaluation, of_json),
    Surface("scratch journal", seeds.journal, _resumed, of_json_lines, afresh=True),
    Surface("scratch request", seeds.request, _resumed, of_json, afresh=True),
    Surface("scratch block", seeds.block, _resumed, of_bytes, afresh=True),
    Surface("scratch publishing", seeds.publishing, _publishing, of_json, afresh=True),
    Surface("manifest", seeds.manifest, _manifest, of_json_lines),
    Surface("TIFF, strips", seeds.tiff_strips, _read_scene, of_tiff),
    Surface("TIFF, tiles", seeds.tiff_tiles, _read_scene, of_tiff),
    Surface("TIFF, raw", seeds.tiff_raw, _read_scene, of_tiff),
    Surface("TIFF, LZW", seeds.tiff_lzw, _read_scene, of_tiff),
    Surface("TIFF, prepare", seeds.tiff_four, _prepared, of_tiff),
    Surface("TIFF mask", seeds.tiff_mask, _mask, of_tiff),
    Surface("PNG mask", seeds.png_mask, _mask, of_png),
)
"""In the order of the table."""
