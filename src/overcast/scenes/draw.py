"""What a scene becomes: blocks are joined into rasters, and drawn as footprints, with style, map and STAC item."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from overcast import __version__
from overcast.data.scene_level import LevelledStatistics
from overcast.outputs.cog import BLOCK, ProbabilitySource, ProbabilityWriter, bounded_cache, write_cog
from overcast.outputs.style import write_style
from overcast.outputs.vector import Origin, write_footprints
from overcast.polygons.footprints import Footprints, vectorize
from overcast.polygons.outlines.blocks import Beside
from overcast.progress import Progress, ProgressStage
from overcast.raster.addresses import file_name
from overcast.raster.sources import RasterSink
from overcast.scenes.blend import RowJoiner
from overcast.scenes.blockfile import read_block
from overcast.scenes.ground import PartSink
from overcast.scenes.job import Job
from overcast.scenes.plan import LARGEST_CACHE_BYTES, PredictionPlan
from overcast.scenes.planes import PlaneSinks
from overcast.scenes.rotate import RotatedSink
from overcast.scenes.scene import SceneSummary, summarise
from overcast.scenes.seen import SeenShare
from overcast.scenes.stac import utc_text, write_item

COPIED_BLOCKS = 16
"""Of the joined raster that its copying holds at once."""


@dataclass(frozen=True)
class Drawn:
    """What was made of a scene."""

    summary: SceneSummary
    footprint_count: int | None
    """None where no footprints were asked for."""
    unsplit: int
    """Regions too large for touching buildings to be separated."""
    seen_share: float
    """Share of what has data that the optical image shows."""


@dataclass(frozen=True)
class _Rasters:
    """The joined maps of a scene."""

    probability: Path
    boundaries: Path | None
    """Walls between buildings, where the model has learnt them."""
    seen: Path | None
    """Where the optical image shows the ground, where one was given."""


def draw(plan: PredictionPlan) -> Drawn:
    """Write all outputs to where they grow."""
    job, staging, model = plan.job, plan.staging, plan.job.model
    rasters = _Rasters(
        staging.scratch(job.targets[0].name),
        staging.scratch("boundaries between buildings") if model.channels > 1 else None,
        staging.scratch("where the optical image shows the ground") if model.optical is not None else None,
    )
    seen, count, unsplit = SeenShare(), None, 0
    summary = _join(plan, rasters, seen)
    with bounded_cache(_cache_bytes(plan)), _copying(plan, rasters.probability, summary):
        if job.footprints is not None:
            count, unsplit = _write_vector(plan, rasters, staging.path(job.footprints))
    drawn = Drawn(summary, count, unsplit, seen.share)
    _write_side_files(plan, drawn)
    return drawn


def _join(plan: PredictionPlan, rasters: _Rasters, seen: SeenShare) -> SceneSummary:
    """Write every pixel of every map from the finished blocks, from the first row to the last."""
    job, scene, cut, planes = plan.job, plan.scene, plan.cut, plan.job.model.planes
    started, report, encoding = time.monotonic(), plan.job.km2_report, plan.job.options.encoding
    with ExitStack() as stack:
        paths = [path for path in (rasters.probability, rasters.boundaries, rasters.seen) if path is not None]
        sinks: list[RasterSink] = [
            stack.enter_context(ProbabilityWriter(path, scene.output_grid, encoding, _tags(job))) for path in paths
        ]
        if rasters.seen is not None:
            sinks[-1] = seen.counting(sinks[-1])
        sink: RasterSink = PlaneSinks(sinks)
        sink = sink if scene.ground is None else PartSink(sink, scene.ground.window)
        joiner = RowJoiner(cut.rows, cut.cols, RotatedSink(sink, scene.grid, scene.turn), planes)
        for tile_row in range(cut.tile_row_count):
            read_block(plan.work.path, plan.work.blocks[tile_row], cut, encoding, joiner, planes)
            if report is not None:
                done = cut.pixels * (tile_row + 1) // cut.tile_row_count
                report(Progress(ProgressStage.JOIN, done, cut.pixels, time.monotonic() - started))
        return summarise(cut, joiner, time.monotonic() - started)


def _cache_bytes(plan: PredictionPlan) -> int:
    """Block cache while the joined raster is read by what draws footprints, row by row, and by what copies it.

    The first needs a row of blocks, the second a few; the rest of the cache would hold what nobody reads again.
    """
    columns = -(-plan.scene.output_grid.width // BLOCK) + COPIED_BLOCKS
    return min(columns * BLOCK**2 * np.dtype(plan.job.options.encoding.value).itemsize, LARGEST_CACHE_BYTES)


@contextmanager
def _copying(plan: PredictionPlan, raster: Path, summary: SceneSummary) -> Iterator[None]:
    """Copy the raster of probability to its place in a thread, while the block runs; its errors are raised after it."""
    job = plan.job
    if job.probability is None:
        yield
        return
    started = time.monotonic()
    with ThreadPoolExecutor(1, thread_name_prefix="overcast-copy") as pool:
        copied = pool.submit(write_cog, raster, plan.staging.path(job.probability))
        yield
        copied.result()
    if job.report is not None:
        km2 = summary.total_pixels * job.pixel_km2
        job.report(Progress(ProgressStage.WRITE, km2, km2, time.monotonic() - started))


def _write_vector(plan: PredictionPlan, rasters: _Rasters, target: Path) -> tuple[int, int]:
    """Footprints of the raster of probability: how many, and how many regions were too large to separate."""
    job, crs, kind = plan.job, plan.scene.grid.crs, plan.job.vector_format
    assert crs is not None, "checked: footprints have a place"
    assert kind is not None, "and a format"
    origin = Origin(
        crs=crs,
        class_name=job.model.class_name,
        provenance=job.model.modality.value,
        model=job.model.identity,
        scene=file_name(job.scene[0]),
        acquired=None if job.acquired is None else utc_text(job.acquired),
        optical=job.optical is not None,
    )
    unsplit = 0

    def watched(portions: Iterable[Footprints]) -> Iterator[Footprints]:
        nonlocal unsplit
        for portion in portions:
            unsplit += int(np.count_nonzero(portion.unsplit))
            yield portion

    with ExitStack() as stack:
        probability, boundaries, seen = (
            None if raster is None else stack.enter_context(ProbabilitySource.open(raster))
            for raster in (rasters.probability, rasters.boundaries, rasters.seen)
        )
        assert probability is not None, "a scene always has one"
        portions = vectorize(probability, job.polygons, job.km2_report, Beside(boundaries, seen))
        count = write_footprints(target, kind, watched(portions), origin, styled=job.style is not None)
    return count, unsplit


def _write_side_files(plan: PredictionPlan, drawn: Drawn) -> None:
    """Style, map and STAC item; the map is drawn from the footprints, which have been written."""
    job, staging, grid = plan.job, plan.staging, plan.scene.output_grid
    if job.style is not None:
        write_style(staging.path(job.style))
    if job.options.page is not None and job.footprints is not None:
        job.options.page.write(staging.path(job.options.page.path), staging.path(job.footprints), grid)
    if job.item is not None:
        write_item(staging.path(job.item), job, grid, _properties(plan, drawn))


def _properties(plan: PredictionPlan, drawn: Drawn) -> dict[str, object]:
    """What the STAC item tells beside the fields of its extensions."""
    job, polygons = plan.job, plan.job.polygons
    facts: dict[str, object] = {
        "overcast:scene_radiometry": job.sensor.model_dump(mode="json"),
        "overcast:precision": job.options.scene.precision.value,
        "overcast:tta": job.options.scene.tta.value,
    }
    if job.optical is not None and job.model.optical is not None:
        facts |= {
            "overcast:optical": list(job.optical.names),
            "overcast:optical_share": round(drawn.seen_share, 6),
            "overcast:clouds": None if job.optical.clouds is None else file_name(job.optical.clouds),
            "overcast:cloud_values": job.optical.cloud_values,
            "overcast:mixing": job.model.optical.mixing.value,
            "overcast:provenance": job.provenance,
        }
    if plan.scene.ground is not None and job.options.area is not None:
        window = plan.scene.ground.window
        facts |= {
            "overcast:area": job.options.area.text,
            "overcast:area_window": [window.row, window.col, window.height, window.width],
        }
    if drawn.footprint_count is not None:
        facts |= {
            "overcast:footprints": drawn.footprint_count,
            "overcast:threshold": polygons.threshold,
            "overcast:min_area_m2": polygons.min_area_m2,
            "overcast:outlines": polygons.outlines.value,
            "overcast:separate": polygons.separate.value,
        }
    return facts


def _tags(job: Job) -> dict[str, str]:
    """GeoTIFF metadata: which model saw what."""
    temperature = job.model.calibration_temperature
    beside: dict[str, str] = {}
    if job.optical is not None and job.model.optical is not None:
        beside["OVERCAST_OPTICAL"] = ", ".join(job.optical.names)
        beside["OVERCAST_MIXING"] = job.model.optical.mixing.value
    if job.optical is not None and job.optical.clouds is not None:
        beside["OVERCAST_CLOUDS"] = file_name(job.optical.clouds)
    if isinstance(job.model.statistics, LevelledStatistics):
        beside["OVERCAST_SCENE_LEVEL"] = job.model.statistics.level.sentence
    if job.options.area is not None:
        beside["OVERCAST_AREA"] = job.options.area.text
    return {
        "DESCRIPTION": f"probability of {job.model.class_name}",
        "TIFFTAG_SOFTWARE": f"overcast {__version__}",
        "OVERCAST_VERSION": __version__,
        "OVERCAST_CLASS": job.model.class_name,
        "OVERCAST_MODEL": job.model.name,
        "OVERCAST_MODEL_SHA256": job.model.sha256,
        "OVERCAST_MODEL_LICENCE": job.model.licence,
        "OVERCAST_CALIBRATION_TEMPERATURE": "none" if temperature is None else f"{temperature:.6g}",
        "OVERCAST_PROVENANCE": job.provenance,
        "OVERCAST_RUNTIME": job.model.runtime,
        "OVERCAST_PRECISION": job.options.scene.precision.value,
        "OVERCAST_TTA": job.options.scene.tta.value,
        "OVERCAST_SCENE": ", ".join(file_name(path) for path in job.scene),
        "OVERCAST_SCENE_RADIOMETRY": job.sensor.model_dump_json(),
        **beside,
    }
