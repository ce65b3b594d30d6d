"""One call from the files of a scene to footprints and a raster of probability."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from overcast.bundle.bundle import Bundle
from overcast.outputs.writable import raise_if_interrupted
from overcast.progress import Report
from overcast.raster.compass import unmirrored
from overcast.raster.radiometry import SensorRadiometry
from overcast.scenes.check import check
from overcast.scenes.compute import Compute, complete, compute_here
from overcast.scenes.draw import Drawn, draw
from overcast.scenes.inputs import require_unchanged
from overcast.scenes.job import Job, PredictOptions
from overcast.scenes.model import SceneModel
from overcast.scenes.plan import PredictionPlan, plan
from overcast.scenes.scene import SceneSummary
from overcast.scenes.sky import OpticalInput

__all__ = ["PredictOptions", "PredictionSummary", "predict_file"]


@dataclass(frozen=True)
class PredictionSummary:
    """What was made of a scene."""

    scene: SceneSummary
    probability: Path | None
    footprints: Path | None
    footprint_count: int | None
    """None where no footprints were asked for."""
    unsplit: int
    """Regions too large for touching buildings to be separated."""
    side_files: tuple[Path, ...]
    """Style, STAC item and map."""
    runtime: str
    """What the network ran on, with version, precision and device."""
    rotated: bool
    """True where the scene was seen from the opposite side and turned for the network."""
    km2: float
    """Area of the scene by its ground sampling distance."""
    valid_km2: float
    elapsed_s: float
    """All of it, writing included."""
    optical_share: float | None = None
    """Share of what has data that the optical image shows; None where none was given."""


def predict_file(
    scene: Sequence[Path],
    bundle: Bundle | SceneModel,
    *,
    sensor: SensorRadiometry,
    footprints: Path | None = None,
    probability: Path | None = None,
    options: PredictOptions | None = None,
    progress: Report | None = None,
    optical: OpticalInput | None = None,
) -> PredictionSummary:
    """Map a scene. Everything is checked before the first pixel; outputs appear together at the end, or not at all.

    The scene is computed in rows of tiles. A run that is interrupted or killed leaves the finished ones in a hidden
    folder beside the first output, and the same call goes on from there to the same bytes.

    Args:
        scene: Files on one grid whose bands, in order, are those of `sensor`.
        bundle: The model. A scene seen from the opposite side is turned by 180 degrees and its prediction back; a
            scene whose grid is mirrored (rows that run northwards) is shown to the network unmirrored.
        sensor: What the scene's numbers mean (see `scene_radiometry`).
        footprints: .gpkg, .parquet or .geojson, by its ending; the scene must have a CRS.
        probability: Cloud-optimised GeoTIFF, .tif or .tiff.
        options: How the scene becomes files.
        progress: Called with the stage, km^2 done and in all.
        optical: An optical image of the ground, or of parts of it; needs a bundle of every branch.

    Raises:
        InputError: A file is unreadable, has no CRS where one is needed, exists already, or cannot be written (full
            disk); no output is left behind, only finished rows of tiles.
        RadiometryError: The scene is not what the model was trained for.
    """
    options = options or PredictOptions()
    boundaries = footprints is not None and options.polygons.boundaries
    model = bundle if isinstance(bundle, SceneModel) else model_for(bundle, options, optical, boundaries=boundaries)
    return run_job(Job(tuple(scene), model, sensor, options, probability, footprints, progress, optical))


def model_for(bundle: Bundle, options: PredictOptions, optical: OpticalInput | None, *, boundaries: bool) -> SceneModel:
    """What maps scenes: from SAR alone, or also from an optical image. Raises what `SceneModel` raises."""
    if optical is None:
        return SceneModel.of(bundle, calibrated=options.calibrated, boundaries=boundaries)
    return SceneModel.with_optical(bundle, calibrated=options.calibrated, boundaries=boundaries, mixing=options.mixing)


def run_job(job: Job, compute: Compute = compute_here) -> PredictionSummary:
    """Carry out a request, its blocks computed by `compute`. Raises what `predict_file` raises."""
    started = time.monotonic()
    with ExitStack() as stack:
        scene = check(job, stack)
        planned = plan(job, scene, stack)
        complete(planned, compute)
        drawn = draw(planned)
        _publish(planned)
    return _summary(planned, drawn, time.monotonic() - started)


def _publish(planned: PredictionPlan) -> None:
    """Give the outputs their names, all or none, if what they were made of is still what it was."""
    require_unchanged(planned.scene.inputs, planned.job.inputs)
    raise_if_interrupted()
    planned.staging.publish()


def _summary(planned: PredictionPlan, drawn: Drawn, elapsed_s: float) -> PredictionSummary:
    job, scene, summary = planned.job, planned.scene, drawn.summary
    return PredictionSummary(
        scene=summary,
        probability=job.probability,
        footprints=job.footprints,
        footprint_count=drawn.footprint_count,
        unsplit=drawn.unsplit,
        side_files=job.side_files,
        runtime=job.model.runtime,
        rotated=scene.turn != unmirrored(scene.grid),
        km2=summary.total_pixels * job.pixel_km2,
        valid_km2=summary.valid_pixels * job.pixel_km2,
        optical_share=None if job.optical is None else drawn.seen_share,
        elapsed_s=elapsed_s,
    )
