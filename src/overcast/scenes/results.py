"""What a scene becomes: its footprints, their style, the STAC item and the copy of the raster."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from overcast.outputs.cog import ProbabilitySource, write_cog
from overcast.outputs.staging import Staging
from overcast.outputs.style import write_style
from overcast.outputs.vector import Origin, write_footprints
from overcast.polygons.footprints import Footprints, vectorize
from overcast.polygons.outlines.blocks import Beside
from overcast.progress import Progress, ProgressStage
from overcast.raster.addresses import file_name
from overcast.raster.sources import Georeference
from overcast.scenes.job import Job
from overcast.scenes.scene import SceneSummary
from overcast.scenes.stac import ItemFacts, utc_text, write_item


@dataclass(frozen=True)
class Rasters:
    """The joined maps of a scene."""

    probability: Path
    boundaries: Path | None
    """Walls between buildings, where the model has learnt them."""
    seen: Path | None
    """Where the optical image shows the ground, where one was given."""


@dataclass(frozen=True)
class Made:
    """Numbers of footprints."""

    count: int
    unsplit: int


def write_vector(job: Job, crs: str, rasters: Rasters, target: Path) -> Made:
    """Footprints of the raster of probability."""
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
        count = write_footprints(target, watched(portions), origin, styled=job.style is not None)
    return Made(count, unsplit)


def write_side_files(job: Job, grid: Georeference, staging: Staging, made: Made | None, seen: float) -> None:
    """Style, map and STAC item; the map is drawn from the footprints, which have been written.

    `grid` is that of the outputs, `seen` the share of what has data that the optical image shows.
    """
    if job.style is not None:
        write_style(staging.path(job.style))
    if job.options.page is not None and job.footprints is not None:
        job.options.page.write(staging.path(job.options.page.path), staging.path(job.footprints), grid)
    if job.item is None:
        return
    polygons = job.polygons
    facts: dict[str, object] = {
        "overcast:scene_radiometry": job.sensor.model_dump(mode="json"),
        "overcast:precision": job.options.scene.precision.value,
        "overcast:tta": job.options.scene.tta.value,
    }
    if job.optical is not None and job.model.optical is not None:
        facts |= {
            "overcast:optical": list(job.optical.names),
            "overcast:optical_share": round(seen, 6),
            "overcast:clouds": None if job.optical.clouds is None else file_name(job.optical.clouds),
            "overcast:cloud_values": job.optical.cloud_values,
            "overcast:mixing": job.model.optical.mixing.value,
            "overcast:provenance": job.provenance,
        }
    if job.ground is not None and job.options.area is not None:
        window = job.ground.window
        facts |= {
            "overcast:area": job.options.area.text,
            "overcast:area_window": [window.row, window.col, window.height, window.width],
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
        optical=() if job.optical is None else job.optical.paths,
    )
    write_item(staging.path(job.item), job.item, about)


@contextmanager
def copying(job: Job, raster: Path, staging: Staging, summary: SceneSummary) -> Iterator[None]:
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
        job.report(Progress(ProgressStage.WRITE, km2, km2, time.monotonic() - started))
