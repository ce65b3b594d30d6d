"""One call from the files of a scene to footprints and a raster of probability."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from overcast.bundle import Bundle
from overcast.data.addresses import file_name
from overcast.data.compass import unmirrored
from overcast.data.files import open_raster
from overcast.data.radiometry import SensorRadiometry
from overcast.data.raster import Georeference, RasterioSource, RasterSink, RasterSource
from overcast.inference.blockwise import (
    Compute,
    SceneWork,
    complete,
    compute_here,
    join,
    request_facts,
    torch_threads,
)
from overcast.inference.checked import checked
from overcast.inference.cog import (
    BLOCK,
    CACHE_BYTES,
    ProbabilitySource,
    ProbabilityWriter,
    bounded_cache,
    write_cog,
)
from overcast.inference.inputs import input_identities, require_unchanged
from overcast.inference.job import Job, PredictOptions, check_apart, check_grid, check_outputs, tags
from overcast.inference.memory import return_free_memory, return_large_blocks
from overcast.inference.model import SceneModel
from overcast.inference.outputs import raise_if_interrupted, termination_as_interrupt
from overcast.inference.planes import PlaneSinks
from overcast.inference.polygons import Footprints, vectorize
from overcast.inference.progress import Progress, Report, Stage
from overcast.inference.ready import ready
from overcast.inference.rotate import RotatedSink, RotatedSource
from overcast.inference.scene import SceneSummary, plan_scene
from overcast.inference.stac import ItemFacts, utc_text, write_item
from overcast.inference.staging import Staging, recover_publication, staged
from overcast.inference.style import write_style
from overcast.inference.vector import Origin, write_footprints
from overcast.inference.work import earlier_run, open_work
from overcast.runtime.network import release

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
    """Style and STAC item."""
    runtime: str
    """What the network ran on, with version, precision and device."""
    rotated: bool
    """True where the scene was seen from the opposite side and turned for the network."""
    km2: float
    """Area of the scene by its ground sampling distance."""
    valid_km2: float
    elapsed_s: float
    """All of it, writing included."""


def predict_file(
    scene: Sequence[Path],
    bundle: Bundle | SceneModel,
    *,
    sensor: SensorRadiometry,
    footprints: Path | None = None,
    probability: Path | None = None,
    options: PredictOptions | None = None,
    progress: Report | None = None,
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

    Raises:
        InputError: A file is unreadable, has no CRS where one is needed, exists already, or cannot be written (full
            disk); no output is left behind, only finished rows of tiles.
        RadiometryError: The scene is not what the model was trained for.
    """
    options = options or PredictOptions()
    walls = footprints is not None and options.polygons.walls
    model = (
        bundle if isinstance(bundle, SceneModel) else SceneModel.of(bundle, calibrated=options.calibrated, walls=walls)
    )
    return run_job(Job(tuple(scene), model, sensor, options, probability, footprints, progress))


def run_job(job: Job, compute: Compute = compute_here) -> PredictionSummary:
    """Carry out a request, its blocks computed by `compute`. Raises what `predict_file` raises."""
    return_large_blocks()
    started, paths, options = time.monotonic(), job.scene, job.options
    recover_publication(job.targets)
    check_outputs(job)
    with ExitStack() as stack:
        stack.enter_context(bounded_cache())
        inputs = input_identities(paths)
        check_apart(job, inputs)
        source = stack.enter_context(RasterioSource.open(paths, job.sensor, virtual=True))
        grid = source.georeference
        turn = job.model.turn_for(job.sensor, grid, file_name(paths[0]))
        check_grid(job, grid)
        looked_at = checked(source, job.sensor, job.model.modality, file_name(paths[0]))
        stack.enter_context(termination_as_interrupt())
        row_bytes = sum(_row_bytes(path) for path in paths)
        stack.enter_context(bounded_cache(_cache_bytes(row_bytes, grid, options)))
        staging = stack.enter_context(staged(job.targets, overwrite=options.overwrite))
        earlier = earlier_run(staging.blocks)
        stack.enter_context(torch_threads(options.scene.threads or earlier.threads))
        job = ready(job, grid, earlier)
        seen: RasterSource = RotatedSource(looked_at, turn) if turn else looked_at
        work = open_work(staging.blocks, request_facts(job, inputs, grid, turn=turn))
        together = 1 if row_bytes else TOGETHER  # the cache holds one row of tiles of a scene stored in whole rows
        summary, made = _run(SceneWork(job, grid, seen, turn, work, together), staging, compute)
        require_unchanged(inputs, paths)
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
        elapsed_s=time.monotonic() - started,
    )


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


@dataclass(frozen=True)
class _Made:
    """Numbers of footprints."""

    count: int
    unsplit: int


def _run(scene: SceneWork, staging: Staging, compute: Compute) -> tuple[SceneSummary, _Made | None]:
    """Write the outputs into their staging folders."""
    job, work, grid = scene.job, scene.work, scene.grid
    options, plan = job.options, plan_scene(grid, job.options.scene)
    complete(scene, plan, compute)
    release(job.model.network)
    return_free_memory()
    rasters = [staging.scratch(name) for name in (job.targets[0].name, "walls between buildings")[: job.model.maps]]
    with ExitStack() as stack:
        writers = [ProbabilityWriter(path, grid, options.encoding, tags(job)) for path in rasters]
        sink: RasterSink = PlaneSinks([stack.enter_context(writer) for writer in writers])
        sink = RotatedSink(sink, grid, scene.turn) if scene.turn else sink
        summary = join(work, plan, options.encoding, sink, job.km2_report, job.model.maps)
    made = None
    with bounded_cache(_drawing_cache_bytes(grid, options)), _copying(job, rasters[0], staging, summary):
        if job.footprints is not None and grid.crs is not None:
            made = _write_vector(job, grid.crs, rasters, staging.path(job.footprints))
    _write_side_files(job, grid, staging, made)
    return summary, made


def _write_vector(job: Job, crs: str, rasters: Sequence[Path], target: Path) -> _Made:
    """Footprints of the first raster; the second, where there is one, holds the walls between buildings."""
    origin = Origin(
        crs=crs,
        class_name=job.model.class_name,
        provenance=job.model.modality.value,
        model=job.model.identity,
        scene=file_name(job.scene[0]),
        acquired=None if job.acquired is None else utc_text(job.acquired),
    )
    unsplit = 0

    def watched(portions: Iterable[Footprints]) -> Iterator[Footprints]:
        nonlocal unsplit
        for portion in portions:
            unsplit += int(np.count_nonzero(portion.unsplit))
            yield portion

    with ExitStack() as stack:
        probability, *walls = [stack.enter_context(ProbabilitySource.open(raster)) for raster in rasters]
        portions = vectorize(probability, job.polygons, job.km2_report, walls[0] if walls else None)
        count = write_footprints(target, watched(portions), origin, styled=job.style is not None)
    return _Made(count, unsplit)


def _write_side_files(job: Job, grid: Georeference, staging: Staging, made: _Made | None) -> None:
    if job.style is not None:
        write_style(staging.path(job.style))
    if job.item is None:
        return
    polygons = job.polygons
    facts: dict[str, object] = {
        "overcast:scene_radiometry": job.sensor.model_dump(mode="json"),
        "overcast:precision": job.options.scene.precision.value,
        "overcast:tta": job.options.scene.tta.value,
    }
    if made is not None:
        facts |= {
            "overcast:footprints": made.count,
            "overcast:threshold": polygons.threshold,
            "overcast:min_area_m2": polygons.min_area_m2,
            "overcast:outlines": polygons.outlines.value,
            "overcast:separate": polygons.separate.value,
        }
    about = ItemFacts(
        scene=job.scene,
        grid=grid,
        model=job.model,
        acquired=job.acquired,
        footprints=job.footprints,
        probability=job.probability,
        style=job.style,
        properties=facts,
    )
    write_item(staging.path(job.item), job.item, about)


@contextmanager
def _copying(job: Job, raster: Path, staging: Staging, summary: SceneSummary) -> Iterator[None]:
    """Copy the raster of probability to its place in a thread, while the block runs; its errors are raised after it."""
    if job.probability is None:
        yield
        return
    started = time.monotonic()
    with ThreadPoolExecutor(1, thread_name_prefix="overcast-copy") as pool:
        copied = pool.submit(write_cog, raster, staging.path(job.probability))
        yield
        copied.result()
    if job.report is not None:
        km2 = summary.total_pixels * job.pixel_km2
        job.report(Progress(Stage.WRITE, km2, km2, time.monotonic() - started))
