"""Peak memory of `overcast predict` over the size of the scene.

    python -m benchmarks.speed.scene_memory --sizes 10000 20000 40000

Each size is mapped in a process of its own with the installed model: radar of four bands at 1 m in a sparse GeoTIFF, in
which a few squares as wide as a tile hold speckle and buildings and the rest is nodata, so that the network runs on the
same number of tiles whatever the size. Reading, blending, joining, polygons, compression and overviews pass the whole
scene. The peak is the largest resident set that the system saw.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
import torch
from benchmarks.limits import as_command, at_least
from rasterio.windows import Window

from overcast.bundle.bundle import BUNDLED, load_bundle
from overcast.raster.radiometry import SensorRadiometry, Unit
from overcast.runtime.options import Runtime
from overcast.scenes.predict import PredictOptions, predict_file
from overcast.scenes.scene import SceneOptions

SENSOR = SensorRadiometry(bands=("HH", "HV", "VH", "VV"), unit=Unit.DECIBEL, nodata=0, gsd_m=1.0)
PATCH_PX = 640
"""Side of a square with data."""
LIMIT_GROWTH, LIMIT_GB = 0.05, 1.5


def write_sparse_scene(path: Path, size: int, patches: int) -> None:
    """Squares of speckle with bright blocks on the diagonal of a scene without other data."""
    rng = np.random.default_rng(0)
    profile = {"driver": "GTiff", "dtype": "float32", "count": 4, "height": size, "width": size, "nodata": 0}
    place = {"crs": "EPSG:32631", "transform": rasterio.Affine(1, 0, 500_000, 0, -1, 5_750_000)}
    layout = {"tiled": True, "blockxsize": 512, "blockysize": 512, "sparse_ok": True, "bigtiff": "if_safer"}
    with rasterio.open(path, "w", **profile, **place, **layout, compress="deflate") as dataset:
        for start in np.linspace(0, size - PATCH_PX, patches).astype(int).tolist():
            values = rng.normal(-14, 3, (4, PATCH_PX, PATCH_PX))
            for row, col in rng.integers(0, PATCH_PX - 40, (60, 2)):
                values[:, row : row + 20, col : col + 30] += 12
            values[values == 0] = 0.01
            dataset.write(values.astype(np.float32), window=Window(start, start, PATCH_PX, PATCH_PX))


def peak_gb() -> float:
    """Largest resident memory of this process so far."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1e6


def measure(size: int, patches: int, runtime: Runtime, folder: Path) -> dict[str, float]:
    """Map a scene in this process."""
    peaks: dict[str, float] = {}
    scene = folder / "scene.tif"
    summary = predict_file(
        [scene],
        load_bundle(BUNDLED),
        sensor=SENSOR,
        footprints=folder / "footprints.gpkg",
        probability=folder / "probability.tif",
        options=PredictOptions(scene=SceneOptions(runtime=runtime)),
        progress=lambda state: peaks.update({state.stage.value: peak_gb()}),
    )
    return {
        "size": size,
        "patches": patches,
        "tiles": summary.scene.tiles,
        "footprints": summary.footprint_count or 0,
        "elapsed_s": summary.elapsed_s,
        "peak_gb": peak_gb(),
        **{f"after_{stage}_gb": peak for stage, peak in peaks.items()},
    }


def in_process(size: int, patches: int, runtime: str) -> dict[str, float]:
    """Map a scene of `size` pixels in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        write_sparse_scene(Path(folder) / "scene.tif", size, patches)
        options = ["--sizes", str(size), "--patches", str(patches), "--runtime", runtime, "--folder", folder]
        command = [sys.executable, "-m", "benchmarks.speed.scene_memory", *options]
        found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sizes", type=at_least(64), nargs="+", default=[10_000, 20_000, 40_000], help="sides in pixels"
    )
    parser.add_argument("--patches", type=at_least(1), default=6, help="squares with data")
    parser.add_argument("--runtime", choices=[one.value for one in Runtime], default=Runtime.EAGER.value)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.folder is not None:
        print(json.dumps(measure(given.sizes[0], given.patches, Runtime(given.runtime), given.folder)))
        return
    print(
        f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC, {platform.machine()}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}, runtime {given.runtime}, {given.patches} squares of {PATCH_PX} px with data\n"
    )
    stages = ("predict", "join", "polygons", "write")
    print(
        "| side, px | tiles | footprints | elapsed, s | peak, GB | " + " | ".join(f"after {s}" for s in stages) + " |"
    )
    print("|" + "---|" * (5 + len(stages)))
    peaks = []
    for size in given.sizes:
        started = time.monotonic()
        found = in_process(size, given.patches, given.runtime)
        peaks.append(found["peak_gb"])
        by_stage = " | ".join(f"{found[f'after_{stage}_gb']:.3f}" for stage in stages)
        elapsed = time.monotonic() - started
        print(
            f"| {size} | {found['tiles']} | {found['footprints']} | {elapsed:.0f} | {peaks[-1]:.3f} | {by_stage} |",
            flush=True,
        )
    growth = max(peaks) / peaks[0] - 1
    kept = growth <= LIMIT_GROWTH and max(peaks) < LIMIT_GB
    print(f"\ngrowth {growth:.1%} (at most {LIMIT_GROWTH:.0%}), largest {max(peaks):.2f} GB (under {LIMIT_GB} GB)")
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    as_command(main)
