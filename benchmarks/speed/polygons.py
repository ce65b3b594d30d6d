"""Polygons of a large raster of probability, from file to file: seconds and peak memory.

    python -m benchmarks.speed.polygons --size 20000

A piece of a simulated town (see `outlines.py`) is repeated into a GeoTIFF of 8-bit probability as `overcast predict`
writes it; a process of its own reads it, draws outlines and writes a GeoPackage with its spatial index.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from affine import Affine
from benchmarks.limits import as_command, at_least
from benchmarks.speed.outlines import LEFT, Repeated, town

from overcast.choices import Encoding, Outlines
from overcast.outputs.cog import ProbabilitySource, ProbabilityWriter, bounded_cache
from overcast.outputs.formats import VectorFormat
from overcast.outputs.vector import Origin, write_footprints
from overcast.polygons.footprints import PolygonOptions, vectorize
from overcast.raster.grid import Window
from overcast.raster.sources import Georeference
from overcast.simulator.options import CRS

STRIP = 512
LIMIT_S, LIMIT_GB = 60.0, 2.0


def write_probability(path: Path, size: int, piece_px: int) -> None:
    """Repeat a piece of a town of 1 m pixels."""
    piece, _, _ = town(piece_px, 1.0, 0.3, 0)
    grid = Georeference(size, size, Affine(1, 0, LEFT, 0, -1, 6_000_000.0), CRS)
    source = Repeated(piece, grid)
    with ProbabilityWriter(path, grid, Encoding.UINT8, {}) as writer:
        for row in range(0, size, STRIP):
            window = Window(row, 0, min(STRIP, size - row), size)
            writer.write(window, source.read(window).values[0])


def measure(folder: Path, outlines: Outlines) -> dict[str, float]:
    """Seconds and memory of this fresh process."""
    started, busy = time.monotonic(), time.process_time()
    origin = Origin(CRS, "building", "sar", "none", "town.tif")
    options = PolygonOptions(outlines=outlines, min_area_m2=10)
    with bounded_cache(), ProbabilitySource.open(folder / "town.tif") as source:
        count = write_footprints(
            folder / "footprints.gpkg", VectorFormat.GEOPACKAGE, vectorize(source, options), origin
        )
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return {
        "polygons": count,
        "elapsed_s": time.monotonic() - started,
        "processor_s": time.process_time() - busy,
        "peak_gb": int(status.split("VmHWM:")[1].split()[0]) / 1e6,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=at_least(64), default=20_000, help="side of the raster in pixels")
    parser.add_argument("--outlines", choices=[one.value for one in Outlines], default=Outlines.GENTLE.value)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.folder is not None:
        print(json.dumps(measure(given.folder, Outlines(given.outlines))))
        return
    with tempfile.TemporaryDirectory() as folder:
        write_probability(Path(folder) / "town.tif", given.size, min(2000, given.size))
        command = [sys.executable, "-m", "benchmarks.speed.polygons", "--outlines", given.outlines, "--folder", folder]
        found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    load = os.getloadavg()[0]
    print(
        f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC, {platform.machine()}, {os.cpu_count()} cores, load {load:.1f}"
    )
    print(
        f"{given.size} x {given.size} px, outlines {given.outlines}: {found['polygons']} polygons, "
        f"{found['elapsed_s']:.0f} s elapsed (at most {LIMIT_S:.0f}), {found['processor_s']:.0f} s of processor, "
        f"peak {found['peak_gb']:.2f} GB (under {LIMIT_GB:.0f})"
    )
    sys.exit(0 if found["elapsed_s"] <= LIMIT_S and found["peak_gb"] < LIMIT_GB else 1)


if __name__ == "__main__":
    as_command(main)
