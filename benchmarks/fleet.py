"""How much of the time workers compute: many scenes by several workers against the same scenes by one process.

    python benchmarks/fleet.py --workers 2 --threads 1

Simulated scenes, all of the same ground, are mapped by `overcast predict --into` with the installed model, first by one
process with the threads that a worker gets, then by the workers. Seconds are those that the command prints, from the
first scene to the last output; the start of workers is counted, that of the command and of Ray is not. The efficiency
is the time of the one process over that of the workers times their number: 100 % where each works as if it were alone
and nothing else had to be done. Outputs of both must be the same to the byte. What it says is about one machine: the
workers share its cores and memory with the command, which joins, draws and writes.
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

from kills import digest

from overcast.bundle import BUNDLED, load_bundle
from overcast.evaluation.machine import describe_machine
from overcast.inference.model import SceneModel
from overcast.speed.mosaic import make_ground, write_scene

OUTPUTS = ("*.tif", "*.gpkg")


def mapped(scenes: Path, into: Path, options: list[str]) -> dict[str, Any]:
    """What the command says of mapping a folder of scenes."""
    command = [sys.executable, "-m", "overcast", "predict", str(scenes), "--into", str(into), "--json", *options]
    environment = os.environ | {"SOURCE_DATE_EPOCH": "1700000000"}  # GeoPackages hold the time
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
    said: dict[str, Any] = json.loads(ended.stdout)
    return said


def digests(folder: Path) -> dict[str, str]:
    """Of every output by name."""
    return {path.name: digest(path) for pattern in OUTPUTS for path in sorted(folder.glob(pattern))}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=4)
    parser.add_argument("--size", type=int, default=4096, help="side of each scene in pixels")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="of each worker, and of the one process")
    parser.add_argument("--runtime", default="openvino")
    parser.add_argument("--precision", default="fp32")
    given = parser.parse_args()
    model = SceneModel.of(load_bundle(BUNDLED))
    gsd_m, bands, unit = model.sensor.gsd_m, ",".join(model.sensor.bands), model.sensor.unit.value
    print(f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC; {describe_machine()}; load {os.getloadavg()[0]:.1f} before")
    options = ["--write", "gpkg,tif", "--bands", bands, "--unit", unit, "--threads", str(given.threads)]
    options += ["--runtime", given.runtime, "--precision", given.precision]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "scenes").mkdir()
        ground = make_ground(model, seed=0)
        for number in range(given.scenes):
            write_scene(folder / "scenes" / f"scene{number}.tif", ground, given.size, gsd_m)
        alone = mapped(folder / "scenes", folder / "alone", options)
        together = mapped(folder / "scenes", folder / "together", [*options, "--workers", str(given.workers)])
        same = digests(folder / "alone") == digests(folder / "together")
    efficiency = alone["elapsed_s"] / together["elapsed_s"] / given.workers
    rates = [found["elapsed_s"] / found["km2"] for found in (alone, together)]
    print(
        f"{given.scenes} scenes of {given.size} px, {gsd_m:g} m, {alone['km2']:.3g} km2, "
        f"{given.runtime} {given.precision}\n"
        f"one process, {given.threads} threads: {alone['elapsed_s']:.1f} s, {rates[0]:.3f} s/km2\n"
        f"{given.workers} workers of {given.threads} threads: {together['elapsed_s']:.1f} s, {rates[1]:.3f} s/km2, "
        f"efficiency {efficiency:.0%}; outputs {'the same' if same else 'DIFFER'}"
    )
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
