"""How much of the time workers compute: many scenes by several workers against the same scenes by one process.

    python -m benchmarks.speed.fleet --workers 2 --threads 1

Simulated scenes, all of the same ground, are mapped by `overcast map` with the installed model: by one
process with the threads that a worker gets, then by the workers, then as many again by the workers. Seconds are those
that the command prints, from the first scene to the last output; the start of workers is in them, that of the command
and of Ray is not. The efficiency is the time of the one process over that of the workers times their number: 100 %
where each works as if it were alone and nothing else had to be done. It is given for the whole and, from the difference
of the two runs of the workers, once they have started. Outputs must be the same to the byte. What it says is about one
machine: the workers share its cores and memory with the command, which joins, draws and writes.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.limits import as_command, at_least
from benchmarks.robustness.kills import digest

from overcast.bundle.bundle import BUNDLED, load_bundle
from overcast.evaluation.machine import describe_machine
from overcast.experiments.speed.mosaic import Ground, make_ground, write_scene
from overcast.scenes.model import SceneModel

OUTPUTS = ("*.tif", "*.gpkg")


def mapped(scenes: Path, into: Path, options: list[str]) -> dict[str, Any]:
    """What the command says of mapping a folder of scenes."""
    command = [sys.executable, "-m", "overcast", "map", str(scenes), "-o", str(into), "--json", *options]
    environment = os.environ | {"SOURCE_DATE_EPOCH": "1700000000"}  # GeoPackages hold the time
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
    said: dict[str, Any] = json.loads(ended.stdout)
    return said


def digests(folder: Path) -> dict[str, str]:
    """Of every output by name."""
    return {path.name: digest(path) for pattern in OUTPUTS for path in sorted(folder.glob(pattern))}


def write(folder: Path, numbers: range, ground: Ground, size: int, gsd_m: float) -> None:
    """Scenes of these numbers."""
    folder.mkdir(exist_ok=True)
    for number in numbers:
        write_scene(folder / f"scene{number}.tif", ground, size, gsd_m)


def told(found: dict[str, Any]) -> str:
    """Time and rate."""
    return f"{found['km2']:.3g} km2 in {found['elapsed_s']:.1f} s, {found['elapsed_s'] / found['km2']:.3f} s/km2"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=at_least(1), default=4)
    parser.add_argument("--size", type=at_least(64), default=4096, help="side of each scene in pixels")
    parser.add_argument("--workers", type=at_least(1), default=2)
    parser.add_argument("--threads", type=at_least(1), default=1, help="of each worker, and of the one process")
    parser.add_argument("--runtime", default="openvino")
    parser.add_argument("--precision", default="fp32")
    given = parser.parse_args()
    model = SceneModel.of(load_bundle(BUNDLED))
    gsd_m, bands, unit = model.sensor.gsd_m, ",".join(model.sensor.bands), model.sensor.unit.value
    print(f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC; {describe_machine()}; load {os.getloadavg()[0]:.1f} before")
    options = ["--write", "gpkg,tif", "--bands", bands, "--unit", unit, "--set", f"threads={given.threads}"]
    options += ["--set", f"runtime={given.runtime}", "--set", f"precision={given.precision}"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ground, several = make_ground(model, seed=0), [*options, "--workers", str(given.workers)]
        write(folder / "scenes", range(given.scenes), ground, given.size, gsd_m)
        alone = mapped(folder / "scenes", folder / "alone", options)
        together = mapped(folder / "scenes", folder / "together", several)
        same = digests(folder / "alone") == digests(folder / "together")
        write(folder / "scenes", range(given.scenes, 2 * given.scenes), ground, given.size, gsd_m)
        twice = mapped(folder / "scenes", folder / "twice", several)
    print(f"{given.scenes} scenes of {given.size} px, {gsd_m:g} m, {given.runtime} {given.precision}")
    print(f"one process, {given.threads} threads: {told(alone)}")
    wanted, added = alone["elapsed_s"] / given.workers, twice["elapsed_s"] - together["elapsed_s"]
    whole, started = wanted / together["elapsed_s"], wanted / added
    print(f"{given.workers} workers of {given.threads} threads: {told(together)}, efficiency {whole:.0%}")
    print(f"the same workers, {2 * given.scenes} scenes: {told(twice)}, efficiency once started {started:.0%}")
    print(f"outputs {'the same' if same else 'DIFFER'}")
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    as_command(main)
