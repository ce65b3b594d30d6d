"""One runtime on one scene: how long until it is ready, the scene from file to file, the bare network, the memory."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from pathlib import Path
from statistics import median

import torch
from torch import nn

from overcast.arithmetic import Precision
from overcast.bundle.bundle import load_bundle
from overcast.outputs.cog import bounded_cache
from overcast.raster.files import grid_of, open_raster
from overcast.raster.sources import RasterioSource
from overcast.runtime.int8 import Tiles
from overcast.runtime.options import Runtime, RuntimeOptions, TileShape
from overcast.runtime.prepare import Ready, autocast, prepare
from overcast.scenes.fitting_tiles import fitting_tiles
from overcast.scenes.model import SceneModel
from overcast.scenes.plan import TOGETHER
from overcast.scenes.predict import PredictOptions, predict_file
from overcast.scenes.ready import for_runtime, tile_shape
from overcast.scenes.scene import SceneOptions, plan_scene
from overcast.scenes.tiles import tile_batches


@dataclass(frozen=True)
class Case:
    """What is measured."""

    runtime: Runtime
    precision: Precision

    @property
    def name(self) -> str:
        """For tables and files."""
        return f"{self.runtime} {self.precision}"


@dataclass(frozen=True)
class Setting:
    """On what it is measured; the same for all cases."""

    model: Path
    """Bundle."""
    scene: Path
    exports: Path
    """A folder in it for each case stands for the user's cache, empty at first: so the first run is measured too."""
    tile: int
    device: str
    threads: int
    rounds: int
    footprints: bool
    """Footprints are made and written as well."""


@dataclass(frozen=True)
class Seconds:
    """Elapsed and processor time of the same work."""

    elapsed: float
    processor: float
    """Time of all threads of the process: the one to trust where other work shares the machine."""


@dataclass(frozen=True)
class Measured:
    """What one case took; rates are medians of rounds."""

    label: str
    """Runtime with its version."""
    ready: Seconds
    """Until the first tile can be computed, with the exports of the cache."""
    scene: Seconds
    """From file to file, without getting ready."""
    bare: Seconds
    """The network alone on as many tiles as cover each pixel once, from memory."""
    reading: Seconds
    """The scene as standardised tiles, overlap included, and nothing else; blocks are decoded here."""
    bare_mb: float | None
    """Peak memory of the process before the scene; None where the system does not say."""
    peak_mb: float | None
    """Peak memory of the process in all."""


class Clock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._elapsed, self._processor = time.perf_counter(), time.process_time()

    def read(self) -> Seconds:
        """What has passed."""
        return Seconds(time.perf_counter() - self._elapsed, time.process_time() - self._processor)


def first_ready(case: Case, setting: Setting) -> Seconds:
    """Time until the first tile where nothing is in the cache; what is exported stays there."""
    model, options = _model(case, setting), _options(case, setting)
    clock = Clock()
    _ready(model, options, setting)
    return clock.read()


def measure(case: Case, setting: Setting, probability: Path) -> Measured:
    """Measure a case in this process, which should be a fresh one for the sake of its peak memory.

    Raises ConfigError where the runtime does not work here.
    """
    model, options = _model(case, setting), _options(case, setting)
    clock = Clock()
    made = _ready(model, options, setting)
    ready = clock.read()
    prepared = replace(model, network=made.network, runtime=made.label)
    plain = _as_made(options, made.runtime)
    shape, pixels = _shape(model, options, setting)
    bare, scene = [_bare(made.network, shape, pixels, plain)], []
    bare_mb = peak_mb()
    for _ in range(setting.rounds):
        scene.append(_scene(prepared, plain, setting, probability))
        bare.append(_bare(made.network, shape, pixels, plain))
    peak = peak_mb()
    reading = _reading(prepared, plain, setting)
    return Measured(made.label, ready, _median(scene), _median(bare[1:]), reading, bare_mb, peak)


def _as_made(options: SceneOptions, runtime: Runtime) -> SceneOptions:
    """The options for a network that is on its runtime already, and in 8 bits where that was asked for."""
    done = Precision.FP32 if options.precision is Precision.INT8 else options.precision
    return replace(for_runtime(options, runtime), runtime=Runtime.EAGER, precision=done)


def peak_mb() -> float | None:
    """Largest resident memory of this process so far; None where the system does not say."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    return int(status.read_text(encoding="ascii").split("VmHWM:")[1].split()[0]) / 1024


def _model(case: Case, setting: Setting) -> SceneModel:
    os.environ["XDG_CACHE_HOME"] = str(setting.exports / case.name)
    torch.set_num_threads(setting.threads)
    return SceneModel.of(load_bundle(setting.model))


def _options(case: Case, setting: Setting) -> SceneOptions:
    return SceneOptions(
        tile=setting.tile,
        device=setting.device,
        runtime=case.runtime,
        precision=case.precision,
        threads=setting.threads,
    )


def _shape(model: SceneModel, options: SceneOptions, setting: Setting) -> tuple[TileShape, int]:
    with open_raster(setting.scene) as dataset:
        grid = grid_of(dataset)
    return tile_shape(grid, len(model.statistics.mean), options), grid.height * grid.width


def _ready(model: SceneModel, options: SceneOptions, setting: Setting) -> Ready:
    wanted = RuntimeOptions(options.runtime, options.precision, options.device)
    return prepare(model.network, *_shape(model, options, setting), wanted, tiles=partial(_tiles, model, setting))


def _tiles(model: SceneModel, setting: Setting) -> Tiles:
    sensor = model.sensor.model_copy(update={"nodata": 0})
    with RasterioSource.open([setting.scene], sensor) as source:
        return fitting_tiles(source, model.statistics, setting.scene.name)


def _scene(model: SceneModel, options: SceneOptions, setting: Setting, probability: Path) -> Seconds:
    clock = Clock()
    predict_file(
        [setting.scene],
        model,
        sensor=model.sensor.model_copy(update={"nodata": 0}),
        probability=probability,
        footprints=probability.with_suffix(".gpkg") if setting.footprints else None,
        options=PredictOptions(scene=options, overwrite=True, style=False, stac=False),
    )
    return clock.read()


def _reading(model: SceneModel, options: SceneOptions, setting: Setting) -> Seconds:
    sensor = model.sensor.model_copy(update={"nodata": 0})
    with bounded_cache(), RasterioSource.open([setting.scene], sensor) as source:
        plan = plan_scene(source.georeference, options)
        clock = Clock()
        for _ in tile_batches(source, model.statistics, plan, range(plan.tile_row_count), TOGETHER):
            pass
        return clock.read()


def _bare(network: nn.Module, shape: TileShape, pixels: int, options: SceneOptions) -> Seconds:
    """Seconds for `pixels` of the network on one batch again and again, after a first one that does not count."""
    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    network.to(options.device).to(memory_format=layout)
    batch = torch.randn(shape.batch, *shape.single[1:])
    in_batch = shape.batch * shape.height * shape.width
    rounds = ceil(pixels / in_batch)

    def once() -> None:
        network(batch.to(options.device, memory_format=layout)).float().cpu()

    with torch.inference_mode(), autocast(options.precision, options.device):
        once()
        clock = Clock()
        for _ in range(rounds):
            once()
        taken = clock.read()
    share = pixels / (rounds * in_batch)
    return Seconds(taken.elapsed * share, taken.processor * share)


def _median(rounds: list[Seconds]) -> Seconds:
    return Seconds(median(one.elapsed for one in rounds), median(one.processor for one in rounds))
