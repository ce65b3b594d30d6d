"""Every runtime on one simulated scene: speed, overhead over the bare network, memory, and loss of accuracy."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np
from affine import Affine

from overcast.arithmetic import Capabilities, Precision, settled_precision
from overcast.batch import IGNORE_LABEL
from overcast.bundle.bundle import load_bundle
from overcast.errors import ConfigError, OvercastError
from overcast.experiments.speed.measure import Case, Measured, Seconds, Setting, first_ready, measure
from overcast.experiments.speed.mosaic import Ground, make_ground, repeated, write_scene
from overcast.experiments.speed.storage import Storage
from overcast.metrics.pixel import PixelCounts, count_pixels
from overcast.outputs.cog import ProbabilitySource
from overcast.outputs.writable import termination_as_interrupt
from overcast.processes import end_with_parent
from overcast.raster.grid import Window
from overcast.raster.sources import Georeference
from overcast.runtime.options import Runtime, RuntimeOptions
from overcast.scenes.model import SceneModel
from overcast.scenes.scene import SceneOptions, plan_scene

P = ParamSpec("P")
T = TypeVar("T")

REFERENCE = Case(Runtime.EAGER, Precision.FP32)
"""Accuracy is relative to it, so it is always measured, and first."""
_ROWS = 1024


def measured_precisions(asked: Sequence[Precision], device: str, found: Capabilities) -> tuple[Precision, ...]:
    """What is measured where nothing is asked for: what the device does not only emulate; AUTO is settled."""
    wanted = asked or (Precision.FP32, Precision.AUTO)
    return tuple(dict.fromkeys(settled_precision(one, device, found) for one in wanted))


@dataclass(frozen=True)
class Request:
    """What to measure."""

    model: Path
    size_px: int = 4000
    runtimes: tuple[Runtime, ...] = (Runtime.COMPILED, Runtime.ONNXRUNTIME, Runtime.OPENVINO)
    precisions: tuple[Precision, ...] = (Precision.FP32, Precision.BF16)
    tile: int = 768
    device: str = "cpu"
    threads: int = 1
    rounds: int = 3
    footprints: bool = False
    seed: int = 0
    storage: Storage = Storage.DEFLATE
    """Compression of the scene's file."""


@dataclass(frozen=True)
class Agreement:
    """A probability raster against that of the reference and against the truth."""

    iou: float | None
    """IoU with the truth at probability 0.5, in 0..1; None for a scene of noise."""
    differing: float
    """Share of the valid pixels that are building in one and not in the other."""
    largest: float
    """Largest difference of two probabilities, which are stored in steps of 1/254."""


@dataclass(frozen=True)
class Row:
    """A case, and why it could not be measured or what came out."""

    case: Case
    failure: str | None = None
    first_ready: Seconds | None = None
    """Until the first tile with an empty cache."""
    measured: Measured | None = None
    agreement: Agreement | None = None


@dataclass(frozen=True)
class Bench:
    """All rows, the reference first."""

    request: Request
    km2: float
    """Area of the scene at the model's ground sampling distance."""
    gsd_m: float
    """Pixel size of the scene in metres."""
    computed: float
    """Pixels that pass the network over pixels of the scene: what the overlap of tiles costs."""
    rows: tuple[Row, ...]

    @property
    def fastest_bare(self) -> Seconds:
        """The least that any runtime takes for the network alone."""
        times = [row.measured.bare for row in self.rows if row.measured is not None]
        return Seconds(min(one.elapsed for one in times), min(one.processor for one in times))


def cases(request: Request) -> tuple[Case, ...]:
    """What is measured: the reference, then every runtime and precision that go together on the device."""
    wanted = [Case(runtime, precision) for runtime in request.runtimes for precision in request.precisions]
    kept = [case for case in wanted if case != REFERENCE and _possible(case, request.device)]
    return REFERENCE, *dict.fromkeys(kept)


def bench_scene(request: Request, *, isolate: bool = True, on_row: Callable[[Row], None] | None = None) -> Bench:
    """Measure every case on a scene that is made for it and removed afterwards.

    Args:
        request: What to measure.
        isolate: Measure each case in a process of its own, so that its peak memory is its own.
        on_row: Called with each row once it is measured.

    Raises:
        OvercastError: The reference cannot be measured: impossible tiles, a model that maps no scene, no such device.
    """
    model = SceneModel.of(load_bundle(request.model))
    rows: list[Row] = []
    with termination_as_interrupt(), tempfile.TemporaryDirectory(prefix="overcast-bench-") as folder:
        scene = Path(folder) / "scene.tif"
        ground = make_ground(model, request.seed)
        write_scene(scene, ground, request.size_px, model.sensor.gsd_m, request.storage)
        setting = Setting(
            model=request.model,
            scene=scene,
            exports=Path(folder) / "cache",
            tile=request.tile,
            device=request.device,
            threads=request.threads,
            rounds=request.rounds,
            footprints=request.footprints,
        )
        for case in cases(request):
            rows.append(_row(case, setting, ground, isolate=isolate))
            if on_row is not None:
                on_row(rows[-1])
    gsd_m, side = model.sensor.gsd_m, request.size_px
    plan = plan_scene(Georeference(side, side, Affine.identity(), None), SceneOptions(tile=request.tile))
    return Bench(request, (side * gsd_m) ** 2 / 1e6, gsd_m, plan.computed / plan.pixels, tuple(rows))


def _possible(case: Case, device: str) -> bool:
    try:
        RuntimeOptions(case.runtime, case.precision, device)
    except OvercastError:
        return False
    return case.runtime is not Runtime.AUTO


def _row(case: Case, setting: Setting, ground: Ground, *, isolate: bool) -> Row:
    target, run = _probability(case, setting), _isolated if isolate else _here
    try:
        first = run(first_ready, case, setting)
        measured = run(measure, case, setting, target)
    except OvercastError as error:
        if case == REFERENCE:
            raise
        return Row(case, failure=str(error))
    agreement = compare(_probability(REFERENCE, setting), target, ground)
    return Row(case, first_ready=first, measured=measured, agreement=agreement)


def _probability(case: Case, setting: Setting) -> Path:
    return setting.scene.with_name(f"{case.name.replace(' ', '-')}.tif")


def compare(reference: Path, other: Path, ground: Ground) -> Agreement:
    """Two probability rasters of one scene against each other and the truth, in pieces of whole rows."""
    counts, differing, valid, largest = PixelCounts(), 0, 0, 0.0
    with ProbabilitySource.open(reference) as first, ProbabilitySource.open(other) as second:
        height, width = first.georeference.height, first.georeference.width
        for row in range(0, height, _ROWS):
            window = Window(row, 0, min(_ROWS, height - row), width)
            expected, found = first.read(window), second.read(window)
            differing += int(((expected.values >= 0.5) != (found.values >= 0.5))[:, expected.valid].sum())
            valid += int(expected.valid.sum())
            largest = max(largest, float(np.abs(expected.values - found.values).max()))
            if ground.label is not None:
                label = repeated(ground.label, row, window.height, width)
                counts += count_pixels(found.values[0], np.where(found.valid, label, IGNORE_LABEL))
    return Agreement(None if ground.label is None else counts.iou, differing / max(1, valid), largest)


def _here(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    return function(*args, **kwargs)


def _isolated(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The function's result from a fresh process, which ends with this one."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=end_with_parent) as pool:
        try:
            return pool.submit(function, *args, **kwargs).result()
        except BrokenExecutor as error:
            raise ConfigError("its process was ended by the system, probably for lack of memory.") from error
        except KeyboardInterrupt:
            for worker in multiprocessing.active_children():
                worker.terminate()
            raise
