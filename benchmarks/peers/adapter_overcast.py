"""Overcast: `predict_file`, what `overcast predict` calls; outlines along pixel edges, as the peers draw them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from common import BANDS, Done, Job, network, run

from overcast.arithmetic import Precision
from overcast.batch import Modality
from overcast.choices import Encoding, Outlines
from overcast.polygons.footprints import PolygonOptions
from overcast.raster.files import grid_of, open_raster
from overcast.raster.radiometry import BandStatistics, SensorRadiometry, Unit
from overcast.raster.sources import Georeference
from overcast.runtime.options import Runtime, RuntimeOptions
from overcast.runtime.prepare import prepare
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
    statistics = BandStatistics(mean=job.mean, std=job.std)
    cut = {} if job.tile is None or job.overlap is None else {"tile": job.tile, "overlap": job.overlap}
    options = SceneOptions(runtime=Runtime(job.runtime), precision=Precision(job.precision), **cut)
    with open_raster(job.scene) as dataset:
        grid = grid_of(dataset)
    wanted = RuntimeOptions(options.runtime, options.precision, options.device)
    made = prepare(network(job.weights), tile_shape(grid, BANDS, options), grid.height * grid.width, wanted)
    model = SceneModel(made.network, SENSOR, statistics, Modality.SAR, "building", "peers", "0" * 64, "none")
    plain = replace(for_runtime(options, made.runtime), runtime=Runtime.EAGER)
    return Loaded(replace(model, runtime=made.label), plain, grid)


def predict(job: Job, loaded: Loaded) -> Done:
    predict_file(
        [job.scene],
        loaded.model,
        sensor=SENSOR,
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
