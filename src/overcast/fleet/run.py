"""Maps scene after scene; a bad one is reported and stops no other, and the same call goes on where it stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

from overcast.errors import InputError, OvercastError
from overcast.fleet.manifest import Manifest, Status, request_digest
from overcast.fleet.optical import optical_of
from overcast.fleet.scenes import SceneSpec
from overcast.outputs.cog import bounded_cache
from overcast.outputs.staging import recover_publication
from overcast.outputs.writable import termination_as_interrupt
from overcast.progress import Progress, ProgressStage, Report
from overcast.raster.files import open_grid
from overcast.scenes.compute import Compute, compute_here
from overcast.scenes.declare import scene_radiometry
from overcast.scenes.ground import OutsideError, ground_of
from overcast.scenes.job import Job, PredictOptions
from overcast.scenes.model import SceneModel
from overcast.scenes.predict import PredictionSummary, run_job
from overcast.scenes.sky import OpticalInput

HEADERS_AT_ONCE = 8
"""Scenes whose headers are read at the same time."""


@dataclass(frozen=True)
class FleetRequest:
    """What is to be made of many scenes."""

    scenes: Sequence[SceneSpec]
    folder: Path
    """Outputs and manifest go here, named after the scenes."""
    model: SceneModel
    declared: Mapping[str, object]
    """Parts of the radiometry that hold for all scenes; see `scene_radiometry`."""
    options: PredictOptions
    footprints: str | None = ".gpkg"
    """Ending of the footprints; None for none."""
    probability: str | None = None
    """Ending of the probability; None for none."""
    optical: OpticalInput | None = None
    """The optical images beside the scenes: sheets for all of them, or a folder with one for each; see `optical_of`."""


@dataclass(frozen=True)
class FleetSummary:
    """What has become of the scenes."""

    done: tuple[str, ...]
    skipped: tuple[str, ...]
    """Mapped by an earlier run."""
    failed: Mapping[str, str]
    """Reason by scene."""
    footprints: int
    km2: float
    """Square kilometres of the scenes mapped now."""
    valid_km2: float
    elapsed_s: float
    outside: tuple[str, ...] = ()
    """Left out, since they do not meet the area."""


@dataclass(frozen=True)
class _Prepared:
    """A scene that can be started."""

    name: str
    job: Job
    digest: str
    km2: float


def map_scenes(
    request: FleetRequest, compute: Compute = compute_here, at_once: int = 1, report: Report | None = None
) -> FleetSummary:
    """Map scenes; how each ended goes to the report, as a note, and to the manifest.

    Args:
        request: Which scenes, and what is made of them.
        compute: Computes their blocks.
        at_once: Scenes under way at the same time, so that workers have blocks while another scene is finished.
        report: Called with the km^2 of all scenes, from one thread at a time.

    Raises:
        InputError: The manifest cannot be written.
        Exception: What is no error of the user's, after all other scenes have ended; their number is noted on it.
    """
    started, manifest = time.monotonic(), Manifest(request.folder)
    tally = _Tally(report)
    with termination_as_interrupt(), bounded_cache():
        prepared = list(_prepare(request, tally, manifest))
        todo = [one for one in prepared if not manifest.is_done(one.name, one.digest, one.job.targets)]
        tally.expect(todo)
        _carry_out(todo, compute, at_once, tally, manifest)
    if tally.outside and not (prepared or tally.failed):
        raise InputError(f"no scene meets the area: {next(iter(tally.outside.values()))}")
    if tally.bugs:
        tally.bugs[0].add_note(f"{len(tally.bugs)} scenes ended like this; the others are done or reported as failed.")
        raise tally.bugs[0]
    skipped = [one.name for one in prepared if one not in todo]
    summaries = tally.summaries
    return FleetSummary(
        done=tuple(summaries),
        skipped=tuple(skipped),
        failed=dict(tally.failed),
        footprints=sum(one.footprint_count or 0 for one in summaries.values()),
        km2=sum(one.km2 for one in summaries.values()),
        valid_km2=sum(one.valid_km2 for one in summaries.values()),
        elapsed_s=time.monotonic() - started,
        outside=tuple(tally.outside),
    )


def _prepare(request: FleetRequest, tally: _Tally, manifest: Manifest) -> Iterator[_Prepared]:
    """Read headers; scenes that cannot even be opened have failed."""
    with ThreadPoolExecutor(HEADERS_AT_ONCE, thread_name_prefix="overcast-headers") as pool:
        futures = [(spec, pool.submit(_prepared, request, spec, tally)) for spec in request.scenes]
        for spec, future in futures:
            try:
                yield future.result()
            except OutsideError as error:
                tally.leave_out(spec.name, str(error))
            except OvercastError as error:
                manifest.record(spec.name, spec.files, Status.FAILED, {"error": str(error)})
                tally.fail(spec.name, str(error))


def _prepared(request: FleetRequest, spec: SceneSpec, tally: _Tally) -> _Prepared:
    options = request.options
    if options.acquired is None:
        options = replace(options, acquired=spec.acquired)
    job = Job(
        scene=spec.files,
        model=request.model,
        sensor=scene_radiometry(spec.files, request.declared),
        options=options,
        probability=None if request.probability is None else request.folder / f"{spec.name}{request.probability}",
        footprints=None if request.footprints is None else request.folder / f"{spec.name}{request.footprints}",
        report=tally.report_of(spec.name),
        optical=optical_of(spec, request.optical),
    )
    grid = open_grid(spec.files[0])
    if options.area is not None:
        window = ground_of(options.area, grid, spec.files[0]).window
        grid = grid.crop(window)
    return _Prepared(spec.name, job, request_digest(job), grid.height * grid.width * job.pixel_km2)


def _carry_out(todo: Sequence[_Prepared], compute: Compute, at_once: int, tally: _Tally, manifest: Manifest) -> None:
    """Map scenes, in this thread or in some."""
    if at_once == 1:
        for scene in todo:
            _map(scene, compute, tally, manifest)
        return
    with ThreadPoolExecutor(at_once, thread_name_prefix="overcast-scene") as pool:
        futures = [pool.submit(_map, scene, compute, tally, manifest) for scene in todo]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            tally.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _map(scene: _Prepared, compute: Compute, tally: _Tally, manifest: Manifest) -> None:
    """Map one scene and say how it ended."""
    files, common = scene.job.scene, {"model": scene.job.model.identity, "request": scene.digest}
    try:
        summary = run_job(_begun(scene, common, manifest), compute)
    except (OvercastError, OSError) as error:
        manifest.record(scene.name, files, Status.FAILED, {**common, "error": str(error)})
        tally.fail(scene.name, str(error))
    except Exception as error:  # noqa: BLE001 (kept, and raised when the other scenes have ended)
        manifest.record(scene.name, files, Status.FAILED, {**common, "error": f"internal error: {error!r}"})
        tally.fail(scene.name, f"internal error: {error!r}", error)
    else:
        facts = {
            "outputs": {path.name: path.stat().st_size for path in scene.job.targets},
            "footprints": summary.footprint_count,
            "km2": summary.km2,
            "valid_km2": summary.valid_km2,
            "elapsed_s": round(summary.elapsed_s, 3),
        }
        manifest.record(scene.name, files, Status.DONE, {**common, **facts})
        tally.finish(scene.name, summary)


def _begun(scene: _Prepared, facts: Mapping[str, str], manifest: Manifest) -> Job:
    """The scene's job, once the manifest says that it is begun.

    A run that was killed after its outputs were published and before the manifest said so has left them without their
    numbers: they are made again, and overwritten by the same bytes.
    """
    job = scene.job
    recover_publication(job.targets)
    stand = [target.exists() for target in job.targets]
    if all(stand) and manifest.is_begun(scene.name, scene.digest):
        return replace(job, options=replace(job.options, overwrite=True))
    if not any(stand):
        manifest.record(scene.name, job.scene, Status.BEGUN, facts)
    return job


class _Tally:
    """Adds up the progress of all scenes; may be called from several threads."""

    def __init__(self, report: Report | None) -> None:
        self._report, self._lock, self._started = report, threading.RLock(), time.monotonic()
        self._expected: dict[str, float] = {}
        self._states: dict[str, tuple[float, float]] = {}
        self._stopped = False
        self.summaries: dict[str, PredictionSummary] = {}
        self.failed: dict[str, str] = {}
        self.bugs: list[Exception] = []
        self.outside: dict[str, str] = {}

    def expect(self, scenes: Iterable[_Prepared]) -> None:
        """Scenes that are mapped now."""
        self._started = time.monotonic()
        self._expected = {scene.name: scene.km2 for scene in scenes}

    def stop(self) -> None:
        """Interrupt the scenes under way at their next report."""
        self._stopped = True

    def report_of(self, name: str) -> Report:
        """What a scene reports to."""

        def report(state: Progress) -> None:
            """Add a state of the scene to that of all."""
            if self._stopped:
                raise KeyboardInterrupt
            if state.stage is ProgressStage.PREDICT:
                with self._lock:
                    self._states[name] = (state.done, state.resumed)
                    self._tell(f"{name}: {state.note}" if state.note else "")

        return report

    def finish(self, name: str, summary: PredictionSummary) -> None:
        """A scene is done."""
        with self._lock:
            self.summaries[name] = summary
            self._states[name] = (self._expected[name], self._states.get(name, (0.0, 0.0))[1])
            count = "" if summary.footprint_count is None else f"{summary.footprint_count} footprints, "
            self._tell(f"{name}: {count}{summary.valid_km2:.4g} of {summary.km2:.4g} km2 hold data")

    def leave_out(self, name: str, reason: str) -> None:
        """A scene does not meet the area."""
        with self._lock:
            self.outside[name] = reason
            self._tell(f"{name} is left out: it does not meet the area")

    def fail(self, name: str, reason: str, bug: Exception | None = None) -> None:
        """A scene has failed; its area counts no longer."""
        with self._lock:
            self.failed[name] = reason
            self.bugs += [] if bug is None else [bug]
            self._expected.pop(name, None)
            self._states.pop(name, None)
            self._tell(f"{name} failed: {reason}")

    def _tell(self, note: str) -> None:
        if self._report is None:
            return
        done, resumed = (sum(state[index] for state in self._states.values()) for index in (0, 1))
        elapsed = time.monotonic() - self._started
        self._report(Progress(ProgressStage.PREDICT, done, sum(self._expected.values()), elapsed, resumed, note))
