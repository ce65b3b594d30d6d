"""One call from the files that a user has to a scene that a model accepts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from overcast.bundle.contract import ModelContract
from overcast.errors import InputError
from overcast.outputs.clock import fixed_now
from overcast.outputs.cog import BLOCK, CACHE_BYTES, bounded_cache, write_cog
from overcast.outputs.staging import recover_publication, staged
from overcast.outputs.writable import (
    destination,
    raise_if_interrupted,
    require_name,
    require_space,
    require_writable,
    termination_as_interrupt,
)
from overcast.preparation.aim import ForTraining
from overcast.preparation.checks import at_level, check_values
from overcast.preparation.inputs import ask
from overcast.preparation.options import PrepareOptions, Report
from overcast.preparation.plan import PreparationPlan, make_plan
from overcast.preparation.provenance import write_item
from overcast.preparation.render import blocks, render
from overcast.preparation.write import SceneWriter
from overcast.scenes.inputs import Identities, input_identities, require_unchanged

if TYPE_CHECKING:
    from overcast.bundle.bundle import Bundle
    from overcast.scenes.model import SceneModel

LARGEST_CACHE_BYTES = 512 * 2**20
"""Bound of the block cache for inputs stored in rows as wide as the scene."""


@dataclass(frozen=True)
class PrepareSummary:
    """What was made, or with `dry_run` would be."""

    plan: PreparationPlan
    output: Path
    item: Path | None
    valid_km2: float | None
    """Ground with data in all bands; None where nothing was written."""
    lost_pixels: int
    """Values without positive power, which became nodata."""
    elapsed_s: float

    @property
    def km2(self) -> float:
        """Area of the scene."""
        return self.plan.window.height * self.plan.window.width * self.plan.pixel_km2


def prepare_scene(
    inputs: Sequence[str | Path],
    bundle: Bundle | SceneModel | ModelContract | ForTraining,
    output: Path,
    options: PrepareOptions | None = None,
    *,
    dry_run: bool = False,
    progress: Report | None = None,
) -> PrepareSummary:
    """Write a scene that `predict_file` accepts with this model, or nothing at all.

    Args:
        inputs: Files: `scene.tif`, `HV=b.tif`, or `HV=scene.tif@2` for its second band.
        bundle: The model that decides bands, unit, pixel size and radar side, or what its record says of them; or
            `ForTraining`, which takes every band and calibrates it.
        output: Cloud-optimised GeoTIFF, .tif or .tiff; a STAC item is written beside it.
        options: What the files do not say.
        dry_run: Decide and check everything, and write nothing.
        progress: Called with km^2 done and in all.

    Raises:
        InputError: A file is missing or damaged, or the output cannot be written.
        RadiometryError: Something is unknown, ambiguous or implausible; the message says what to state.
        ConfigError: Options contradict each other.
    """
    started, options = time.monotonic(), options or PrepareOptions()
    aim = bundle if isinstance(bundle, ModelContract | ForTraining) else _aim(bundle)
    # not scene.stac.json, which predict writes beside footprints called scene.gpkg
    item = output.with_suffix(".prepared.stac.json") if options.stac else None
    targets = (output, item) if item is not None else (output,)
    with ExitStack() as stack:
        asked = ask(inputs, () if isinstance(aim, ForTraining) else aim.sensor.bands)
        for path in (*asked.images, *asked.others):
            require_name(path)
        before = input_identities(asked.images, asked.others)
        plan = make_plan(asked, aim, options, stack)
        recover_publication(targets)
        _check_outputs(plan, targets, before)
        stack.enter_context(termination_as_interrupt())
        stack.enter_context(bounded_cache(_cache_bytes(plan)))
        check_values(plan)
        plan = at_level(plan)
        valid, lost = None, 0
        if not dry_run:
            staging = stack.enter_context(staged(targets, overwrite=options.overwrite))
            raster = staging.scratch(output.name)
            valid, lost = _write(plan, raster, staging.path(output), progress)
            if item is not None:
                write_item(staging.path(item), item, output, plan)
            require_unchanged(before, asked.images, asked.others)
            raise_if_interrupted()
            staging.publish()
    return PrepareSummary(
        plan=plan,
        output=output,
        item=item,
        valid_km2=None if valid is None else valid * plan.pixel_km2,
        lost_pixels=lost,
        elapsed_s=time.monotonic() - started,
    )


def _aim(model: Bundle | SceneModel) -> SceneModel:
    from overcast.scenes.model import SceneModel  # and with it PyTorch, which a contract does without

    return model if isinstance(model, SceneModel) else SceneModel.of(model)


def _write(plan: PreparationPlan, raster: Path, scene: Path, progress: Report | None) -> tuple[int, int]:
    """Every block, from the first row to the last, then the COG; returns pixels with data and values lost."""
    total, done, valid, lost = plan.window.height * plan.window.width, 0, 0, 0
    with SceneWriter(raster, plan) as writer:
        for window in blocks(plan, BLOCK):
            block = render(plan, window)
            writer.write(window.relative_to(plan.window), block.values)
            valid += int(np.count_nonzero(block.valid))
            lost += block.lost
            done += window.height * window.width
            if progress is not None:
                progress(done * plan.pixel_km2, total * plan.pixel_km2, "preparing")
    write_cog(raster, scene)
    writer.require_stored(scene)
    return valid, lost


def _check_outputs(plan: PreparationPlan, targets: Sequence[Path], inputs: Identities) -> None:
    output = targets[0]
    fixed_now()  # raises where SOURCE_DATE_EPOCH is no time
    if output.suffix.lower() not in {".tif", ".tiff"}:
        raise InputError(f"{output.name} does not end in .tif: the scene is written as GeoTIFF; rename it.")
    for target in targets:
        if str(destination(target)) in inputs:
            raise InputError(f"{target} is the input itself, or a part of it; write elsewhere.")
        require_writable(target, overwrite=plan.options.overwrite)
    side_car = output.with_suffix(".yaml")
    if side_car.exists():
        raise InputError(
            f"{side_car} would be read as the description of {output.name} and override what is written into it; "
            "remove it, or write elsewhere."
        )
    stored = plan.window.height * plan.window.width * len(plan.bands) * 4
    require_space(output, int(2.4 * stored) + 2**20)  # as it grows; compressed, with overviews, at worst


def _cache_bytes(plan: PreparationPlan) -> int:
    """Block cache so that input stored in whole rows is decoded once for each row of blocks."""
    wide = 0
    for band in {id(band.reader.band.dataset): band for band in plan.bands}.values():
        dataset = band.reader.band.dataset
        if any(width >= dataset.width for _, width in dataset.block_shapes):
            rows = BLOCK * (1.0 if band.regridding is None else band.regridding.footprint[0])
            row_bytes = dataset.width * sum(
                16 if "complex" in dtype else np.dtype(dtype).itemsize for dtype in dataset.dtypes
            )
            wide += int(rows * row_bytes)
    return min(CACHE_BYTES + wide, LARGEST_CACHE_BYTES)
