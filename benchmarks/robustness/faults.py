"""Kills `overcast predict` at random moments and checks that the same command, given again, ends in the same bytes.

    python -m benchmarks.robustness.faults --moments 10 --seed 0

Simulated scenes are mapped by the installed model, in three parts:

scene   one scene; SIGKILL to the command and to all that it has started; then the same command again
fleet   several scenes (`map`) by two workers; the same
worker  several scenes by two workers, one of which is killed; the command is left alone and has to end by itself

The moments are drawn uniformly over the time that an undisturbed run took, those of `worker` from when it had workers;
where there is nothing to kill then, since this run is faster or slower, another one is drawn, and the time of a faster
run is taken from then on. From the start to the end of the second run the folder of outputs is looked at all the time:
each file there is hashed as soon as it is seen, and must be what the undisturbed run left. In the end outputs must be
the same to the byte, the manifest the same but for the seconds, every finished row of tiles must have been used again,
and nothing hidden may be left. The exit status is 1 where any of that is not so; what was found then is kept.

A kill takes processes, not the power: what was written and not yet on the disk is not lost by it. Linux only, since
processes are found in /proc.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import json
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from benchmarks.limits import as_command, at_least
from benchmarks.robustness.kills import Running, Watch, digest, outputs, running

from overcast import __version__
from overcast.bundle.bundle import BUNDLED, load_bundle
from overcast.evaluation.machine import describe_machine
from overcast.experiments.speed.mosaic import Ground, make_ground, write_scene
from overcast.fleet.manifest import NAME as MANIFEST
from overcast.outputs.writable import termination_as_interrupt
from overcast.raster.files import open_grid
from overcast.scenes.model import SceneModel
from overcast.scenes.scene import SceneOptions, plan_scene

TILE = 160
"""Side of the tiles: small, so that there are many rows of them."""
SCENE_PX, FLEET_PX = 2048, 1024
"""Sides of the single scene, and of each of several."""
ENDINGS = (".tif", ".gpkg", ".qml", ".stac.json")
"""Of the outputs of a scene, in the order in which they are renamed."""
DRAWS = 5
"""Moments drawn at most for each that is wanted."""
PARTS = ("scene", "fleet", "worker")


@dataclass(frozen=True)
class Task:
    """A command."""

    part: str
    arguments: tuple[str, ...]
    root: Path
    """Where it is run."""
    tmp: Path
    """For temporary files of its processes; Ray's sockets allow no long path."""
    blocks: Mapping[str, int]
    """Rows of tiles by scene."""

    @property
    def folder(self) -> Path:
        """Where its outputs go."""
        return self.root / "maps"

    def unfinished(self, scene: str) -> Path:
        """Where the work on a scene grows."""
        return self.folder / f".{scene}.tif.partial"

    def start(self) -> AbstractContextManager[Running]:
        """The command with a clock that stands still and one thread."""
        changes = {"SOURCE_DATE_EPOCH": "1700000000", "OMP_NUM_THREADS": "1", "TMPDIR": str(self.tmp)}
        changes["RAY_worker_niceness"] = "0"  # on a busy machine workers shall not wait longer than the command
        return running([sys.executable, "-m", "overcast", *self.arguments], self.root, changes)

    def clear(self) -> None:
        """Make the folder of outputs anew."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()


# -- what stands on the disk -------------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, str]:
    """Digests of all outputs by name; of the manifest that of its last words on each scene, without the seconds."""
    found = {path.name: digest(path) for path in outputs(folder)}
    if (folder / MANIFEST).is_file():
        text = json.dumps([entry | {"elapsed_s": 0} for _, entry in sorted(entries(folder).items())], sort_keys=True)
        found[MANIFEST] = hashlib.sha256(text.encode()).hexdigest()
    return found


def entries(folder: Path) -> dict[str, dict[str, object]]:
    """The last entry of each scene in the manifest."""
    path, found = folder / MANIFEST, dict[str, dict[str, object]]()
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        with suppress(ValueError):  # a line that a kill cut off
            entry = json.loads(line)
            found[entry["scene"]] = entry
    return found


@dataclass(frozen=True)
class State:
    """What a kill has left."""

    stages: tuple[str, ...]
    """Of each scene."""
    done: tuple[str, ...]
    """Scenes whose outputs all stand."""
    kept: int
    """Finished rows of tiles of the others."""
    finished: int
    """The same, with those of finished scenes."""
    total: int

    @classmethod
    def of(cls, task: Task) -> State:
        """Look at the disk."""
        stages = {scene: stage_of(task, scene) for scene in task.blocks}
        done = tuple(scene for scene, stage in stages.items() if stage == "done")
        kept = sum(journal_lines(task.unfinished(scene)) for scene in stages if scene not in done)
        finished = kept + sum(task.blocks[scene] for scene in done)
        return cls(tuple(stages.values()), done, kept, finished, sum(task.blocks.values()))

    @property
    def summary(self) -> str:
        """In a few words."""
        return ", ".join(self.stages)


def stage_of(task: Task, scene: str) -> str:
    """How far a scene came."""
    work, out = task.unfinished(scene), task.unfinished(scene) / "out"
    steps = {
        "done": all((task.folder / f"{scene}{ending}").is_file() for ending in ENDINGS),
        "publish": (work / "publishing").is_file(),
        "write": (out / f"{scene}.tif").exists(),
        "polygons": (out / f"{scene}.gpkg").exists(),
        "join": (out / "scratch").exists(),
        "predict": work.exists(),
        "not begun": True,
    }
    return next(name for name, so in steps.items() if so)


def journal_lines(work: Path) -> int:
    """Finished rows of tiles in a folder of unfinished work."""
    journal = work / "blocks" / "journal.jsonl"
    return journal.read_bytes().count(b"\n") if journal.is_file() else 0


# -- what a command says -----------------------------------------------------------------------------------------------


def said(task: Task) -> str:
    """What the last command said beside its result."""
    return (task.root / "stderr").read_text(encoding="utf-8", errors="replace")


def resumed(task: Task) -> int:
    """Finished rows of tiles that the last command said it goes on with."""
    return sum(int(count) for count in re.findall(r"going on with (\d+) finished blocks", said(task)))


def skipped(task: Task) -> list[str]:
    """Scenes that the last command did not map again."""
    return list(json.loads((task.root / "stdout").read_text(encoding="utf-8")).get("skipped", ()))


# -- one moment --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What came of a kill."""

    moment_s: float
    state: State
    detail: str
    """Finished rows of tiles that the second run went on with, or what the killed worker was at."""
    seconds: float
    """Of the second run, or from the kill to the end."""
    identical: bool
    faults: tuple[str, ...]


Disturb = Callable[[Task, float, Mapping[str, str]], Outcome | float]
"""Start a task, kill at a moment, compare with the digests; where nothing was to be killed, the seconds after which the
command had ended, or infinity where it had no worker."""


def kill_command(task: Task, moment_s: float, expected: Mapping[str, str]) -> Outcome | float:
    """Kill everything, then give the same command again."""
    task.clear()
    watch = Watch(task.folder, expected)
    with task.start() as run:
        if not run.follow(watch, moment_s):
            return run.elapsed_s
        run.kill()
        watch.look()
    state = State.of(task)
    recorded = {scene for scene, entry in entries(task.folder).items() if entry["status"] == "done"}
    with task.start() as again:
        again.follow(watch)
        seconds = again.elapsed_s
    faults = ending_faults(task, watch, again.process.returncode, refused=task.part == "scene" and bool(state.done))
    if not faults and resumed(task) != state.kept:
        faults += (f"{state.kept} rows of tiles were finished, {resumed(task)} used again",)
    if not faults and task.part == "fleet" and not recorded.issubset(skipped(task)):
        faults += (f"{', '.join(sorted(recorded.difference(skipped(task))))} mapped twice",)
    return judged(Outcome(moment_s, state, str(resumed(task)), seconds, False, faults), task, expected)


def kill_worker(task: Task, moment_s: float, expected: Mapping[str, str]) -> Outcome | float:
    """Kill a worker and leave the command alone."""
    task.clear()
    watch = Watch(task.folder, expected)
    with task.start() as run:
        if not run.follow(watch, moment_s):
            return run.elapsed_s
        if (worker := run.kill_worker()) is None:
            return float("inf")
        state = State.of(task)
        run.follow(watch)
        seconds = run.elapsed_s - moment_s
    faults = ending_faults(task, watch, run.process.returncode, refused=False)
    return judged(Outcome(moment_s, state, worker, seconds, False, faults), task, expected)


def ending_faults(task: Task, watch: Watch, code: int, *, refused: bool) -> tuple[str, ...]:
    """What is wrong with how a command ended. Of one scene, outputs that all stand are rightly not written again."""
    faults = [f"{name} stood there other than it should be" for name in dict.fromkeys(watch.damaged)]
    rightly = refused and code == 2 and "exists; name another file" in " ".join(said(task).split())
    if code != 0 and not rightly:
        faults.append(f"the command ended with {code}: {' '.join(said(task).split())[-300:]}")
    return tuple(faults)


def judged(outcome: Outcome, task: Task, expected: Mapping[str, str]) -> Outcome:
    """The outcome with what is found in the folder; a copy is put aside where it is not as it should be."""
    found = contents(task.folder)
    names = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    left = sorted(path.name for path in task.folder.iterdir() if path.name[0] == ".")
    faults = [*outcome.faults, *(f"{name} differs" for name in names)]
    faults += [] if task.part == "scene" and outcome.state.done else [f"{name} was left" for name in left]
    if faults:
        aside = task.root / f"{task.part}-{outcome.moment_s:.3f}"
        shutil.copytree(task.folder, aside, dirs_exist_ok=True)
        (aside / "stderr").write_text(said(task), encoding="utf-8")
    return replace(outcome, identical=not names, faults=tuple(faults))


# -- parts and table ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Undisturbed:
    """A run that nobody killed."""

    contents: Mapping[str, str]
    seconds: float
    worker_s: float
    """When it had workers; 0 without any."""


def undisturbed(task: Task) -> Undisturbed:
    """The second of two runs, since the first reads everything from the disk."""
    found = [run_undisturbed(task) for _ in range(2)]
    if found[0].contents != found[1].contents:
        sys.exit(f"{task.part}: two undisturbed runs differ, so kills show nothing")
    tell(f"{task.part}: {found[1].seconds:.1f} s undisturbed, twice the same {len(found[1].contents)} files")
    return found[1]


def run_undisturbed(task: Task) -> Undisturbed:
    task.clear()
    worker_s = 0.0
    with task.start() as run:
        while "--workers" in task.arguments and not worker_s and run.process.poll() is None:
            time.sleep(0.2)
            worker_s = run.elapsed_s if run.workers() else 0.0
        code = run.process.wait()
        seconds = run.elapsed_s
    if code != 0:
        sys.exit(f"{task.part}: the undisturbed run ended with {code}: {said(task)}")
    return Undisturbed(contents(task.folder), seconds, worker_s)


def run_part(task: Task, usual: Undisturbed, moments: int, seed: int) -> list[str]:
    """All kills of a part, told one by one and then as a table; the faults that were found."""
    disturb: Disturb = kill_worker if task.part == "worker" else kill_command
    first_s, last_s = usual.worker_s if task.part == "worker" else 0.0, usual.seconds
    chance, outcomes = np.random.default_rng(seed), list[Outcome]()
    for _ in range(DRAWS * moments):
        if len(outcomes) == moments:
            break
        moment_s = float(chance.uniform(min(first_s, last_s), last_s))
        outcome = disturb(task, moment_s, usual.contents)
        if isinstance(outcome, Outcome):
            outcomes.append(outcome)
            tell("; ".join([f"{task.part} {len(outcomes)}/{moments}: {' | '.join(cells(outcome))}", *outcome.faults]))
        else:
            last_s = min(last_s, outcome)
            tell(f"{task.part}: nothing to kill at {moment_s:.1f} s; another moment is drawn")
    print_part(task, usual.seconds, outcomes)
    faults = [f"{task.part} at {one.moment_s:.3f} s: {fault}" for one in outcomes for fault in one.faults]
    return faults + ([] if len(outcomes) == moments else [f"{task.part}: {len(outcomes)} of {moments} moments found"])


def print_part(task: Task, duration_s: float, outcomes: Sequence[Outcome]) -> None:
    detail = "worker was" if task.part == "worker" else "used again"
    counts = ", ".join(f"{scene} {count}" for scene, count in task.blocks.items())
    print(f"\n{task.part}: overcast {' '.join(task.arguments)}")
    print(f"undisturbed {duration_s:.1f} s; rows of tiles: {counts}\n")
    print(f"| moment, s | stage of each scene | rows finished | {detail} | to the end, s | identical | faults |")
    print("|---:|---|---:|---:|---:|---|---:|")
    for outcome in sorted(outcomes, key=lambda one: one.moment_s):
        print(f"| {' | '.join(cells(outcome))} |")
    same = sum(outcome.identical and not outcome.faults for outcome in outcomes)
    print(f"\n{same} of {len(outcomes)} kills led to the same bytes without any fault", flush=True)


def cells(outcome: Outcome) -> list[str]:
    state = outcome.state
    return [
        f"{outcome.moment_s:.1f}",
        state.summary,
        f"{state.finished} of {state.total}",
        outcome.detail,
        f"{outcome.seconds:.1f}",
        "yes" if outcome.identical else "NO",
        str(len(outcome.faults)),
    ]


def tell(line: str) -> None:
    """Progress goes to standard error."""
    print(f"{dt.datetime.now(dt.UTC):%H:%M:%S} {line}", file=sys.stderr, flush=True)


# -- scenes and commands -----------------------------------------------------------------------------------------------


def make_tasks(root: Path, tmp: Path, scenes: int, seed: int) -> dict[str, Task]:
    """Write the scenes; the commands by part."""
    model = SceneModel.of(load_bundle(BUNDLED))
    ground = make_ground(model, seed, places=1)
    names = [f"s{number}" for number in range(scenes)]
    for number, name in enumerate(["scene", *names]):
        moved = Ground(np.roll(ground.values, 170 * number, axis=(1, 2)), None)  # no two scenes are the same
        write_scene(root / f"{name}.tif", moved, SCENE_PX if name == "scene" else FLEET_PX, model.sensor.gsd_m)
    (root / "list.txt").write_text("".join(f"{name}.tif\n" for name in names), encoding="utf-8")
    declared = ("--bands", ",".join(model.sensor.bands), "--unit", model.sensor.unit.value)
    common = (*declared, "--set", "runtime=eager", "--set", "threads=1", "--set", f"tile={TILE}", "--json")
    one = ("predict", "scene.tif", "-o", "maps/scene.gpkg", "-p", "maps/scene.tif", *common)
    many = ("map", "list.txt", "-o", "maps", "--write", "gpkg,tif", "--workers", "2", *common)
    return {
        "scene": Task("scene", one, root, tmp, rows(root, ["scene"])),
        "fleet": Task("fleet", many, root, tmp, rows(root, names)),
        "worker": Task("worker", many, root, tmp, rows(root, names)),
    }


def rows(root: Path, names: Sequence[str]) -> dict[str, int]:
    """Rows of tiles by scene."""
    options = SceneOptions(tile=TILE)
    return {name: plan_scene(open_grid(root / f"{name}.tif"), options).tile_row_count for name in names}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=at_least(1), default=10, help="kills in each part")
    parser.add_argument("--seed", type=at_least(0), default=0, help="of moments and scenes")
    parser.add_argument("--scenes", type=at_least(1), default=3, help="of fleet and worker")
    parser.add_argument("--output", type=Path, help="folder for scenes and outputs; the system's temporary one without")
    parser.add_argument("--only", choices=PARTS, help="one part")
    return parser.parse_args()


def main() -> None:
    """Command line."""
    given = arguments()
    with termination_as_interrupt():
        faults, root = run(given)
    if faults:
        sys.exit(f"what was found is in {root}")
    shutil.rmtree(root)


def run(given: argparse.Namespace) -> tuple[list[str], Path]:
    """All parts that are asked for; faults, and the folder in which everything was done."""
    if given.output is not None:
        given.output.mkdir(parents=True, exist_ok=True)
    root = Path(tempfile.mkdtemp(prefix="overcast-faults-", dir=given.output)).resolve()
    started = time.monotonic()
    print(f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC, overcast {__version__}, {describe_machine()}")
    print(f"seed {given.seed}, {given.moments} moments in each part", flush=True)
    faults, usual = list[str](), dict[tuple[str, ...], Undisturbed]()
    with tempfile.TemporaryDirectory(prefix="f", ignore_cleanup_errors=True) as tmp:
        for part, task in make_tasks(root, Path(tmp), given.scenes, given.seed).items():
            if given.only in {None, part}:
                if task.arguments not in usual:  # fleet and worker are one command
                    usual[task.arguments] = undisturbed(task)
                faults += run_part(task, usual[task.arguments], given.moments, given.seed)
    print(f"\n{len(faults)} faults, {(time.monotonic() - started) / 60:.0f} minutes")
    for fault in faults:
        print(f"- {fault}")
    return faults, root


if __name__ == "__main__":
    as_command(main)
