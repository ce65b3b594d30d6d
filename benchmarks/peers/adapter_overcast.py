"""Overcast: `predict_file`, what `overcast predict` calls; outlines along pixel edges, as the peers draw them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from common import BANDS, Done, Job, network, run

from overcast.arithmetic import Precision
from overcast.batch import Modality
from overcast.bundle.bundle import load_bundle
from overcast.choices import Encoding, Outlines
from overcast.polygons.footprints import PolygonOptions
from overcast.raster.files import grid_of, open_raster
from overcast.raster.radiometry import BandStatistics, SensorRadiometry, Unit
from overcast.raster.sources import Georeference, RasterioSource
from overcast.runtime.int8 import Tiles
from overcast.runtime.options import Runtime, RuntimeOptions
from overcast.runtime.prepare import prepare
from overcast.scenes.fitting_tiles import fitting_tiles
from overcast.scenes.model import SceneModel
from overcast.scenes.predict import PredictOptions, predict_file
from overcast.scenes.ready import for_runtime, tile_shape
from overcast.scenes.scene import SceneOptions, plan_scene
from overcast.scenes.tiling import Axis

SENSOR = SensorRadiometry(bands=("HH", "HV", "VH", "VV"), unit=Unit.DECIBEL, nodata=0, gsd_m=1.0)


@dataclass(frozen=True)
class Loaded:
    """A network on its runtime."""

    model: SceneModel
    options: SceneOptions
    """For a network that is on its runtime already."""
    grid: Georeference


def load(job: Job) -> Loaded:
    model = scene_model(job)
    options = SceneOptions(runtime=Runtime(job.runtime), precision=Precision(job.precision))
    if job.tile is not None and job.overlap is not None:
        options = replace(options, tile=job.tile, overlap=job.overlap)
    with open_raster(job.scene) as dataset:
        grid = grid_of(dataset)
    wanted = RuntimeOptions(options.runtime, options.precision, options.device)
    shape = tile_shape(grid, BANDS, options)
    made = prepare(model.network, shape, grid.height * grid.width, wanted, tiles=partial(tiles_of, job, model))
    done = Precision.FP32 if options.precision is Precision.INT8 else options.precision
    plain = replace(for_runtime(options, made.runtime), runtime=Runtime.EAGER, precision=done)
    return Loaded(replace(model, network=made.network, runtime=made.label), plain, grid)


def scene_model(job: Job) -> SceneModel:
    """What is run: the network of all peers, or the model of a bundle."""
    if job.bundle is not None:
        model = SceneModel.of(load_bundle(job.bundle))
        return replace(model, sensor=model.sensor.model_copy(update={"nodata": SENSOR.nodata}))
    statistics = BandStatistics(mean=job.mean, std=job.std)
    return SceneModel(network(job.weights), SENSOR, statistics, Modality.SAR, "building", "peers", "0" * 64, "none")


def tiles_of(job: Job, model: SceneModel) -> Tiles:
    """Tiles of the scene that int8 is fitted to."""
    with RasterioSource.open([job.scene], model.sensor) as source:
        return fitting_tiles(source, model.statistics, job.scene.name)


def predict(job: Job, loaded: Loaded) -> Done:
    predict_file(
        [job.scene],
        loaded.model,
        sensor=loaded.model.sensor,
        footprints=job.footprints,
        probability=job.probability,
        options=PredictOptions(
            loaded.options, PolygonOptions(outlines=Outlines.OFF), Encoding(job.encoding), style=False, stac=False
        ),
    )
    plan = plan_scene(loaded.grid, loaded.options)
    borders = (_borders(plan.rows), _borders(plan.cols))
    return Done(borders, f"{plan.rows.tile} px, {plan.rows.overlap} px overlap; {loaded.model.runtime}")


def _borders(axis: Axis) -> tuple[int, ...]:
    ends = {start + end for index, start in enumerate(axis.starts) for end in _ends(axis.used(index))}
    return tuple(sorted(ends - {0, axis.length}))


def _ends(used: slice) -> tuple[int, int]:
    return used.start, used.stop


if __name__ == "__main__":
    run(("overcast", "openvino", "onnxruntime"), load, predict)
