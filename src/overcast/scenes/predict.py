"""One call from the files of a scene to footprints and a raster of probability."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from overcast.bundle.bundle import Bundle
from overcast.outputs.cog import (
    BLOCK,
    CACHE_BYTES,
    ProbabilityWriter,
    bounded_cache,
)
from overcast.outputs.staging import Staging, recover_publication, staged
from overcast.outputs.writable import raise_if_interrupted, termination_as_interrupt
from overcast.progress import Progress, ProgressStage, Report
from overcast.raster.addresses import address, file_name
from overcast.raster.compass import unmirrored
from overcast.raster.files import open_raster
from overcast.raster.radiometry import SensorRadiometry
from overcast.raster.sources import Georeference, RasterioSource, RasterSink, RasterSource
from overcast.runtime.network import release
from overcast.scenes.blockwise import (
    Compute,
    SceneWork,
    complete,
    compute_here,
    join,
    request_facts,
    torch_threads,
)
from overcast.scenes.checked import checked
from overcast.scenes.fitting_tiles import fitting_tiles
from overcast.scenes.ground import PartSink, ground_of
from overcast.scenes.inputs import input_identities, require_unchanged
from overcast.scenes.job import Job, PredictOptions, check_apart, check_grid, check_outputs, tags
from overcast.scenes.memory import return_free_memory, return_large_blocks
from overcast.scenes.model import SceneModel
from overcast.scenes.planes import PlaneSinks
from overcast.scenes.ready import ready
from overcast.scenes.results import Made, Rasters, copying, write_side_files, write_vector
from overcast.scenes.rotate import RotatedSink, RotatedSource
from overcast.scenes.scene import SceneSummary
from overcast.scenes.seen import SeenShare
from overcast.scenes.sky import OpticalInput, open_sky
from overcast.scenes.tiles import ScenePlan
from overcast.scenes.work import earlier_run, open_work

__all__ = ["PredictOptions", "PredictionSummary", "predict_file"]

LARGEST_CACHE_BYTES = 512 * 2**20
"""Bound of the block cache for scenes stored in rows as wide as the scene."""
TOGETHER = 2
"""Rows of tiles that are computed side by side, where blocks of the scene that both touch can be kept."""
COPIED_BLOCKS = 16
"""Of the joined raster that its copying holds at once."""


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
    return_large_blocks()
    started, paths, options = time.monotonic(), job.scene, job.options
    recover_publication(job.targets)
    check_outputs(job)
    with ExitStack() as stack:
        stack.enter_context(bounded_cache())
        inputs = input_identities(job.inputs)
        check_apart(job, inputs)
        source = stack.enter_context(RasterioSource.open(paths, job.sensor, virtual=True))
        grid = source.georeference
        turn = job.model.turn_for(job.sensor, grid, file_name(paths[0]))
        job = _on_ground(job, grid)
        check_grid(job, grid if job.ground is None else grid.crop(job.ground.window))
        looked_at = checked(source, job.sensor, job.model.modality, file_name(paths[0]))
        stack.enter_context(termination_as_interrupt())
        row_bytes = sum(_row_bytes(path) for path in job.inputs)
        stack.enter_context(bounded_cache(_cache_bytes(row_bytes, grid, options)))
        staging = stack.enter_context(staged(job.targets, overwrite=options.overwrite))
        earlier = earlier_run(staging.blocks)
        stack.enter_context(torch_threads(options.scene.threads or earlier.threads))
        radar = RotatedSource(looked_at, turn) if turn else looked_at
        job = replace(job, model=job.model.at_level_of(looked_at, job.sensor))
        name = file_name(paths[0])
        job = ready(job, grid, earlier, partial(fitting_tiles, radar, job.model.statistics, name))
        seen = _sky_behind(job, looked_at, stack)
        seen = RotatedSource(seen, turn) if turn else seen
        work = open_work(staging.blocks, request_facts(job, inputs, grid, turn=turn))
        together = 1 if row_bytes else TOGETHER  # the cache holds one row of tiles of a scene stored in whole rows
        summary, made, share = _run(SceneWork(job, grid, seen, turn, work, together), staging, compute)
        require_unchanged(inputs, job.inputs)
        raise_if_interrupted()
        staging.publish()
    return PredictionSummary(
        scene=summary,
        probability=job.probability,
        footprints=job.footprints,
        footprint_count=None if made is None else made.count,
        unsplit=0 if made is None else made.unsplit,
        side_files=job.side_files,
        runtime=job.model.runtime,
        rotated=turn != unmirrored(grid),
        km2=summary.total_pixels * job.pixel_km2,
        valid_km2=summary.valid_pixels * job.pixel_km2,
        optical_share=None if job.optical is None else share,
        elapsed_s=time.monotonic() - started,
    )


def _on_ground(job: Job, grid: Georeference) -> Job:
    """The job with its area found in the pixels of the scene. Raises InputError where it lies elsewhere."""
    area = job.options.area
    return job if area is None else replace(job, ground=ground_of(area, grid, job.scene[0]))


def _sky_behind(job: Job, scene: RasterSource, stack: ExitStack) -> RasterSource:
    """The scene with the optical image behind it, where there is one."""
    part, name = job.model.optical, address(job.scene[0])
    if job.optical is None or part is None:
        return scene
    grid, names = scene.georeference, ", ".join(job.optical.names)
    sky = stack.enter_context(open_sky(job.optical, part.sensor, grid, job.scene[0]))
    note = sky.note_on(part.statistics, grid, names, name)
    if note is not None and job.report is not None:
        job.report(Progress(ProgressStage.PREDICT, 0, grid.height * grid.width * job.pixel_km2, 0, note=note))
    return sky.behind(scene)


def _row_bytes(path: Path) -> int:
    """Bytes of a row of pixels in a file that is stored in whole rows; 0 for one stored in blocks."""
    with open_raster(path, virtual=True) as dataset:
        striped = any(block_width >= dataset.width for _, block_width in dataset.block_shapes)
        return dataset.width * sum(np.dtype(dtype).itemsize for dtype in dataset.dtypes) if striped else 0


def _cache_bytes(row_bytes: int, grid: Georeference, options: PredictOptions) -> int:
    """Block cache so that input stored in whole rows is decoded once a row of tiles, and output blocks fill up."""
    wide = BLOCK * grid.width * np.dtype(options.encoding.value).itemsize + options.scene.tile * row_bytes
    return min(CACHE_BYTES + wide, LARGEST_CACHE_BYTES)


def _drawing_cache_bytes(grid: Georeference, options: PredictOptions) -> int:
    """Block cache while the joined raster is read by what draws footprints, row by row, and by what copies it.

    The first needs a row of blocks, the second a few; the rest of the cache would hold what nobody reads again.
    """
    columns = -(-grid.width // BLOCK) + COPIED_BLOCKS
    return min(columns * BLOCK**2 * np.dtype(options.encoding.value).itemsize, LARGEST_CACHE_BYTES)


def _run(scene: SceneWork, staging: Staging, compute: Compute) -> tuple[SceneSummary, Made | None, float]:
    """Write the outputs into their staging folders; also the share of what has data that the optical image shows."""
    job, plan, model = scene.job, scene.plan, scene.job.model
    complete(scene, plan, compute)
    release(model.network)
    return_free_memory()
    grid = scene.grid if job.ground is None else scene.grid.crop(job.ground.window)
    rasters = Rasters(
        staging.scratch(job.targets[0].name),
        staging.scratch("boundaries between buildings") if model.channels > 1 else None,
        staging.scratch("where the optical image shows the ground") if model.optical is not None else None,
    )
    seen = SeenShare()
    summary = _joined(scene, plan, grid, rasters, seen)
    made = None
    with bounded_cache(_drawing_cache_bytes(grid, job.options)), copying(job, rasters.probability, staging, summary):
        if job.footprints is not None and grid.crs is not None:
            made = write_vector(job, grid.crs, rasters, staging.path(job.footprints))
    write_side_files(job, grid, staging, made, seen.share)
    return summary, made, seen.share


def _joined(scene: SceneWork, plan: ScenePlan, grid: Georeference, rasters: Rasters, seen: SeenShare) -> SceneSummary:
    """Join the blocks into rasters on `grid`, the scene's or that of a part of it."""
    job = scene.job
    with ExitStack() as stack:
        paths = [path for path in (rasters.probability, rasters.boundaries, rasters.seen) if path is not None]
        sinks: list[RasterSink] = [
            stack.enter_context(ProbabilityWriter(path, grid, job.options.encoding, tags(job))) for path in paths
        ]
        if rasters.seen is not None:
            sinks[-1] = seen.counting(sinks[-1])
        sink: RasterSink = PlaneSinks(sinks)
        sink = sink if job.ground is None else PartSink(sink, job.ground.window)
        sink = RotatedSink(sink, scene.grid, scene.turn) if scene.turn else sink
        return join(scene.work, plan, job.options.encoding, sink, job.km2_report, job.model.planes)
