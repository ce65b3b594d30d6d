"""Overcast: `predict_file`, what `overcast predict` calls; outlines along pixel edges, as the peers draw them."""

from __future__ import annotations

from common import Done, Job, network, run

from overcast.batch import Modality
from overcast.data.files import grid_of, open_raster
from overcast.data.radiometry import BandStatistics, SensorRadiometry, Unit
from overcast.inference.encoding import Encoding
from overcast.inference.model import SceneModel
from overcast.inference.outlines.levels import Outlines
from overcast.inference.polygons import PolygonOptions
from overcast.inference.predict import PredictOptions, predict_file
from overcast.inference.scene import SceneOptions, plan_scene
from overcast.inference.tiling import Axis
from overcast.runtime.options import Runtime

SENSOR = SensorRadiometry(bands=("HH", "HV", "VH", "VV"), unit=Unit.DECIBEL, nodata=0, gsd_m=1.0)


def load(job: Job) -> SceneModel:
    statistics = BandStatistics(mean=job.mean, std=job.std)
    return SceneModel(network(job.weights), SENSOR, statistics, Modality.SAR, "building", "peers", "0" * 64, "none")


def predict(job: Job, model: SceneModel) -> Done:
    cut = {} if job.tile is None or job.overlap is None else {"tile": job.tile, "overlap": job.overlap}
    scene = SceneOptions(runtime=Runtime(job.runtime), **cut)
    polygons = PolygonOptions(outlines=Outlines.OFF)
    summary = predict_file(
        [job.scene],
        model,
        sensor=SENSOR,
        footprints=job.footprints,
        probability=job.probability,
        options=PredictOptions(scene, polygons, Encoding.FLOAT32, style=False, stac=False),
    )
    with open_raster(job.scene) as dataset:
        plan = plan_scene(grid_of(dataset), scene)
    borders = (_borders(plan.rows), _borders(plan.cols))
    return Done(borders, f"{plan.rows.tile} px, {plan.rows.overlap} px overlap; {summary.runtime}")


def _borders(axis: Axis) -> tuple[int, ...]:
    ends = {start + end for index, start in enumerate(axis.starts) for end in _ends(axis.used(index))}
    return tuple(sorted(ends - {0, axis.length}))


def _ends(used: slice) -> tuple[int, int]:
    return used.start, used.stop


if __name__ == "__main__":
    run(("overcast", "openvino", "onnxruntime"), load, predict)
