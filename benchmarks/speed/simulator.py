"""Speed and memory of the simulator: 1 km² at 0.5 m, both sensors, written as a folder data set.

Run `python -m benchmarks.speed.simulator [--workers 2] [--side-m 1000] [--gsd-m 0.5]`. Each case runs in a fresh
process; the peak is the sum over that process and its workers. The last case is one place of the preset `sentinel1`
(2.56 km, 10 m).
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.limits import as_command, at_least, positive

from overcast.choices import SimulationPreset
from overcast.simulator.dataset.folder import simulate_dataset
from overcast.simulator.options import SimulationOptions, preset
from overcast.simulator.place import place_ids, simulate_place

CASES = ("square", "dataset", "sentinel1")


def square(options: SimulationOptions) -> None:
    """One whole square in one process, in memory."""
    simulate_place(place_ids(options)[0], options)


def dataset(options: SimulationOptions) -> None:
    """The same ground as places that run in parallel, written to disk."""
    with tempfile.TemporaryDirectory() as folder:
        simulate_dataset(Path(folder) / "city", options)


def options_of(case: str, side_m: float, gsd_m: float, workers: int) -> SimulationOptions:
    """One square, its quarters as places of 250-pixel chips, or one place of the preset `sentinel1`."""
    if case == "sentinel1":
        return preset(SimulationPreset.SENTINEL1).model_copy(update={"places": 1})
    if case == "square":
        return SimulationOptions(places=0, scenes=1, scene_m=side_m, gsd_m=gsd_m)
    return SimulationOptions(places=4, place_m=side_m / 2, gsd_m=gsd_m, chip_px=250, workers=workers)


def measure(case: str, side_m: float, gsd_m: float, workers: int) -> None:
    """Run one case and print its time and peak memory."""
    options = options_of(case, side_m, gsd_m, workers)
    start = time.perf_counter()
    (dataset if case == "dataset" else square)(options)
    seconds = time.perf_counter() - start
    cpu_s = sum(os.times()[:4])
    own, child = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    peak_gb = (own + (workers if case == "dataset" and workers > 1 else 0) * child) / 1e6
    side_km = place_ids(options)[0].size_px * options.gsd_m / 1000 * (2 if case == "dataset" else 1)
    name = f"{case:9s} {side_km:g} km side, {options.gsd_m:g} m, {options.workers} process(es)"
    print(f"{name}: {seconds:6.1f} s, {cpu_s:6.1f} s of processor time, peak {peak_gb:.2f} GB")


def main() -> None:
    """Print machine, date and the figures of both cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=at_least(1), default=min(2, os.cpu_count() or 1))
    parser.add_argument("--side-m", type=positive, default=1000.0)
    parser.add_argument("--gsd-m", type=positive, default=0.5)
    parser.add_argument("--case", choices=CASES)
    arguments = parser.parse_args()
    if arguments.case:
        measure(arguments.case, arguments.side_m, arguments.gsd_m, arguments.workers)
        return
    today = dt.datetime.now(dt.UTC).date()
    cores, python = os.cpu_count(), platform.python_version()
    print(f"{today} {platform.machine()}, {cores} cores, Python {python}, load {os.getloadavg()[0]:.1f}")
    for case in CASES:
        flags = [f"--{name}={getattr(arguments, name.replace('-', '_'))}" for name in ("workers", "side-m", "gsd-m")]
        subprocess.run([sys.executable, "-m", "benchmarks.speed.simulator", "--case", case, *flags], check=True)


if __name__ == "__main__":
    as_command(main)
