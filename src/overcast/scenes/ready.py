"""A job whose network has been made ready on a runtime."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from overcast.arithmetic import (
    AUTO,
    Capabilities,
    Precision,
    capabilities,
    precision_sentence,
    settled_device,
    settled_precision,
)
from overcast.errors import ConfigError
from overcast.models.views import with_views
from overcast.progress import Progress, ProgressStage
from overcast.raster.sources import Georeference
from overcast.runtime.int8 import Tiles
from overcast.runtime.options import Runtime, RuntimeOptions, TileShape
from overcast.runtime.prepare import Ready, prepare
from overcast.scenes.job import Job
from overcast.scenes.model import SceneModel
from overcast.scenes.scene import SceneOptions
from overcast.scenes.tiling import split_axis
from overcast.scenes.two_sensors import TwoSensors
from overcast.scenes.work import Earlier


def ready(
    job: Job, grid: Georeference, earlier: Earlier | None = None, tiles: Callable[[], Tiles] | None = None
) -> Job:
    """The job with device, precision and runtime settled and its network ready for the tiles of a scene.

    What is left to `auto` is taken as the `earlier` run took it whose blocks can then be used, also where this machine
    would choose otherwise. The job reports what was chosen and what takes a while; without progress, the runtimes that
    were skipped go to the log. `tiles` are those of the scene that int8 is fitted to. Raises ConfigError where the
    runtime that was asked for does not work, or int8 loses too much.
    """
    asked, found = job.options.scene, capabilities()
    kept = settled(_as_before(asked, earlier or Earlier()), found)
    fresh = settled(asked, found)
    if earlier is not None and kept != fresh:
        try:
            again = _prepared(job, grid, kept, tiles)
        except ConfigError:
            again = None  # this machine cannot compute so: its blocks are of no use
        if again is not None and again.model.runtime == earlier.runtime:
            return again
    return _prepared(job, grid, fresh, tiles)


def chosen_device(options: SceneOptions, found: Capabilities) -> str:
    """The device without `auto`: what runs exports needs the CPU."""
    exported = options.runtime in (Runtime.ONNXRUNTIME, Runtime.OPENVINO) or options.precision is Precision.INT8
    return "cpu" if exported and options.device == AUTO else settled_device(options.device, found)


def settled(options: SceneOptions, found: Capabilities) -> SceneOptions:
    """The options without `auto` for device and precision; ONNX Runtime computes in float32."""
    device = chosen_device(options, found)
    only_fp32 = options.runtime is Runtime.ONNXRUNTIME and options.precision is Precision.AUTO
    precision = Precision.FP32 if only_fp32 else settled_precision(options.precision, device, found)
    return replace(options, device=device, precision=precision)


def _as_before(asked: SceneOptions, earlier: Earlier) -> SceneOptions:
    """The options with what is left to `auto` as an earlier run chose it."""
    left = asked.precision is Precision.AUTO and earlier.precision in set(Precision)
    return replace(
        asked,
        precision=Precision(str(earlier.precision)) if left else asked.precision,
        device=(earlier.device or AUTO) if asked.device == AUTO else asked.device,
    )


def _prepared(job: Job, grid: Georeference, options: SceneOptions, tiles: Callable[[], Tiles] | None) -> Job:
    """The job with its network exported or compiled by options without `auto` for device and precision."""

    def on_note(note: str) -> None:
        if job.report is not None:
            total = grid.height * grid.width * job.pixel_km2
            job.report(Progress(ProgressStage.PREDICT, 0, total, 0, note=note))

    on_note(precision_sentence(options.precision, options.device, capabilities()))
    wanted = RuntimeOptions(options.runtime, options.precision, options.device, options.keep_exports)
    made = _made(job.model, grid, options, wanted, on_note, tiles)
    if made.note is not None and job.report is None:
        logging.getLogger("overcast").warning(made.note)
    elif made.note is not None:
        on_note(made.note)
    network = with_views(made.network, options.tta, job.model.sensor.radar_side)
    return replace(
        job,
        model=replace(job.model, network=network, runtime=made.label),
        options=replace(job.options, scene=for_runtime(options, made.runtime)),
    )


def _made(
    model: SceneModel,
    grid: Georeference,
    options: SceneOptions,
    wanted: RuntimeOptions,
    on_note: Callable[[str], None],
    tiles: Callable[[], Tiles] | None,
) -> Ready:
    """The network ready for the tiles of a scene: of one of two sensors each part, as it would be by itself."""
    pixels, network = grid.height * grid.width, model.network
    alone = network.alone if isinstance(network, TwoSensors) else network
    fitting = None if isinstance(network, TwoSensors) else tiles
    made = prepare(alone, tile_shape(grid, len(model.statistics.mean), options), pixels, wanted, on_note, fitting)
    if not isinstance(network, TwoSensors):
        return made
    both = prepare(network.both, tile_shape(grid, model.bands, options), pixels, wanted, on_note)
    label = made.label if both.label == made.label else f"{made.label}; with optical {both.label}"
    notes = " ".join(note for note in dict.fromkeys((made.note, both.note)) if note)
    return Ready(TwoSensors(made.network, both.network, network.sar_bands), made.runtime, label, notes or None)


def for_runtime(options: SceneOptions, runtime: Runtime) -> SceneOptions:
    """The options with a chosen runtime; what runs exports takes tiles band by band."""
    plain = options.channels_last and runtime in (Runtime.EAGER, Runtime.COMPILED)
    return replace(options, runtime=runtime, channels_last=plain)


def tile_shape(grid: Georeference, bands: int, options: SceneOptions) -> TileShape:
    """What the network gets at once from a scene."""
    cut = (options.tile, options.overlap, options.margin, options.multiple)
    sides = (split_axis(side, *cut).tile for side in (grid.height, grid.width))
    height, width = (-(-side // options.multiple) * options.multiple for side in sides)
    return TileShape(options.tiles_per_pass, bands, height, width)
