"""Runs that get in each other's way, and disks that fill up while a run is at work.

    unshare -rm python -m benchmarks.robustness.contention --moments 8 --seed 0

A simulated scene is mapped by the installed model, in two parts:

pair   two commands of different thresholds that share all outputs, some of them, only files beside them, or one file
       under two names; the second starts at a moment drawn at random. One must succeed, and what stands in the end must
       be what it writes alone. The other must say in one sentence that another run is at work or that an output exists.
disk   a disk of its own (tmpfs, hence `unshare`, or root) is filled by another program but for 0 to 300 kB, at a moment
       drawn at random. The command must end in one sentence that says to free space and leave no output, or succeed.
       Then the disk is freed and the same command given again: it must end in the bytes of an undisturbed run.

Nothing hidden may be left in the end. The exit status is 1 where any of that is not so. Linux only.
"""

from __future__ import annotations

import argparse
import datetime as dt
import errno
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from benchmarks.limits import as_command, at_least
from benchmarks.robustness.faults import tell
from benchmarks.robustness.kills import Running, digest, running

from overcast import __version__
from overcast.bundle.bundle import BUNDLED, load_bundle
from overcast.evaluation.machine import describe_machine
from overcast.experiments.speed.mosaic import make_ground, write_scene
from overcast.outputs.writable import termination_as_interrupt
from overcast.scenes.model import SceneModel

SCENE_PX = 384
PAIRS = {
    "all": (("-o", "o.gpkg", "-p", "p.tif"), ("-o", "o.gpkg", "-p", "p.tif")),
    "some": (("-o", "o.gpkg"), ("-o", "o.gpkg", "-p", "p.tif")),
    "beside": (("-o", "o.gpkg"), ("-o", "o.geojson")),
    "link": (("-o", "o.gpkg"), ("-o", "link.gpkg", "--set", "style=false", "--set", "stac=false")),
}
"""Outputs of both commands, by what they share."""
DISK_BYTES = 24 * 2**20
REFUSALS = ("another run is at work on", "exists; name another file")


@dataclass(frozen=True)
class Bench:
    """Where scenes and outputs lie."""

    root: Path
    common: tuple[str, ...]

    def start(
        self, name: str, folder: Path, outputs: Sequence[str], threshold: float
    ) -> AbstractContextManager[Running]:
        """A command whose outputs go to `folder`; what it says goes to the folder `name`."""
        said = self.root / name
        said.mkdir(exist_ok=True)
        placed = [str(folder / one) if "." in one else one for one in outputs]
        command = ["-m", "overcast", "predict", str(self.root / "scene.tif"), *placed, *self.common]
        changes = {"SOURCE_DATE_EPOCH": "1700000000", "OMP_NUM_THREADS": "1"}
        return running([sys.executable, *command, "--threshold", str(threshold)], said, changes)

    def said(self, name: str) -> str:
        """What a command has said beside its result, on one line."""
        return " ".join((self.root / name / "stderr").read_text(encoding="utf-8", errors="replace").split())

    def alone(self, outputs: Sequence[str], threshold: float) -> tuple[dict[str, str], float]:
        """Digests by name of what a command writes undisturbed, and its seconds.

        Every folder of outputs lies two levels below the root: the STAC item names the scene by a relative path.
        """
        with tempfile.TemporaryDirectory(dir=self.root) as name:
            prepare(folder := Path(name) / "maps")
            with self.start("alone", folder, outputs, threshold) as run:
                if run.process.wait() != 0:
                    sys.exit(f"the undisturbed run failed: {self.said('alone')}")
                return digests(folder), run.elapsed_s


def prepare(folder: Path) -> None:
    """An empty folder with a link to an output that is still to come."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "link.gpkg").symlink_to("o.gpkg")


def digests(folder: Path) -> dict[str, str]:
    """Digests of all files by name; hidden ones too, links to nothing not."""
    return {str(one.relative_to(folder)): digest(one) for one in sorted(folder.rglob("*")) if one.is_file()}


def sentence_fault(text: str, wanted: Sequence[str]) -> list[str]:
    """What is wrong with how a failing command explains itself."""
    fine = "Traceback" not in text and any(one in text for one in wanted)
    return [] if fine else [f"said: {text[-300:]}"]


def pair(bench: Bench, kind: str, delay_s: float, expected: Sequence[dict[str, str]]) -> tuple[str, list[str]]:
    """Both commands of a pair; how they ended, and faults."""
    folder, both = bench.root / "pair" / "maps", PAIRS[kind]
    prepare(folder)
    with bench.start("first", folder, both[0], 0.5) as first:
        time.sleep(delay_s)
        with bench.start("second", folder, both[1], 0.6) as second:
            codes = first.process.wait(), second.process.wait()
    faults = [] if 0 in codes and set(codes) <= {0, 2} else [f"exit codes {codes}"]
    for name, code in zip(("first", "second"), codes, strict=True):
        faults += [] if code == 0 else [f"{name} {fault}" for fault in sentence_fault(bench.said(name), REFUSALS)]
    winners = [one for one, code in zip(expected, codes, strict=True) if code == 0]
    found = digests(folder)
    if len(winners) == 2:
        faults.append("both succeeded, and one replaced files of the other")
    elif winners and found != winners[0]:
        names = sorted(name for name in found.keys() | winners[0].keys() if found.get(name) != winners[0].get(name))
        faults.append(f"{', '.join(names)} not as the one that succeeded writes it alone")
    return f"{kind}: exit codes {codes[0]} and {codes[1]}", faults


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own."""
    folder.mkdir(exist_ok=True)
    options = ["-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if subprocess.run(["mount", *options], check=False).returncode != 0:
        sys.exit("a disk cannot be mounted here; run: unshare -rm python -m benchmarks.robustness.contention ...")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(path: Path, left: int) -> None:
    """Leave so many bytes of a disk free, or none where the command has written some of them meanwhile."""
    free = shutil.disk_usage(path.parent).free
    try:
        path.write_bytes(bytes(max(0, free - left)))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


def full_disk(bench: Bench, moment_s: float, left: int, expected: dict[str, str]) -> tuple[str, list[str]]:
    """A command on a disk that fills up, and the same again on one with space; how it ended, and faults."""
    outputs = PAIRS["all"][0]
    with small_disk(bench.root / "disk") as disk:
        prepare(folder := disk / "maps")
        with bench.start("first", folder, outputs, 0.5) as run:
            while run.process.poll() is None and run.elapsed_s < moment_s:
                time.sleep(0.02)
            fill(disk / "filler", left)
            code = run.process.wait()
        found = {name: one for name, one in digests(folder).items() if not name.startswith(".")}
        faults = [] if code in {0, 2} else [f"exit code {code}"]
        if code != 0:
            faults += sentence_fault(bench.said("first"), ["free some space", "free space"])
        if found != (expected if code == 0 else {}):
            faults.append(f"left {', '.join(found) or 'nothing'} with exit code {code}")
        (disk / "filler").unlink()
        if code != 0:
            with bench.start("second", folder, outputs, 0.5) as again:
                if again.process.wait() != 0:
                    faults.append(f"again: {bench.said('second')[-300:]}")
        if digests(folder) != expected:
            faults.append(f"in the end: {', '.join(digests(folder))}")
    return f"disk: filled at {moment_s:.1f} s but for {left / 1000:.0f} kB, exit code {code}", faults


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=at_least(1), default=8, help="pairs, and full disks")
    parser.add_argument("--seed", type=at_least(0), default=0, help="of moments and the scene")
    parser.add_argument("--only", choices=("pair", "disk"), help="one part")
    return parser.parse_args()


def cases(bench: Bench, given: argparse.Namespace) -> Iterator[tuple[str, list[str]]]:
    """All that is asked for, one by one."""
    chance = np.random.default_rng(given.seed)
    usual, seconds = bench.alone(PAIRS["all"][0], 0.5)
    tell(f"{seconds:.1f} s undisturbed, {len(usual)} files")
    expected = {
        kind: [bench.alone(outputs, threshold)[0] for outputs, threshold in zip(both, (0.5, 0.6), strict=True)]
        for kind, both in PAIRS.items()
        if given.only != "disk"
    }
    for number in range(given.moments):
        delay_s, moment_s, left = (
            chance.uniform(0, seconds),
            chance.uniform(seconds / 3, seconds),
            chance.integers(300_000),
        )
        if given.only != "disk":
            kind = list(PAIRS)[number % len(PAIRS)]
            yield pair(bench, kind, float(delay_s), expected[kind])
        if given.only != "pair":
            yield full_disk(bench, float(moment_s), int(left), usual)


def main() -> None:
    """Command line."""
    given, faults, count = arguments(), list[str](), 0
    print(f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC, overcast {__version__}, {describe_machine()}")
    with termination_as_interrupt(), tempfile.TemporaryDirectory(prefix="overcast-contention-") as name:
        root = Path(name).resolve()
        model = SceneModel.of(load_bundle(BUNDLED))
        write_scene(root / "scene.tif", make_ground(model, given.seed, places=1), SCENE_PX, model.sensor.gsd_m)
        declared = ("--bands", ",".join(model.sensor.bands), "--unit", model.sensor.unit.value)
        bench = Bench(root, (*declared, "--set", "runtime=eager", "--set", "threads=1", "--set", "tile=160"))
        for told, found in cases(bench, given):
            count += 1
            print("; ".join([told, *found]), flush=True)
            faults += found
    print(f"{count} cases, {len(faults)} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    as_command(main)
