"""What an optical image costs beside a scene: time against SAR alone, and peak memory over the size of the scene.

    python -m benchmarks.speed.sky_cost runs/any-sky/cmhcl-features-clouds-seed0 --sizes 10000 40000 --dense 3000

The model is a run on radar of four bands in dB at 1 m with any optical bands, as `benchmarks/studies/any_sky.py`
leaves it. Time: a scene that is full of data is mapped from SAR alone, beside an image whose left half is cloudy, and
beside one without a cloud; processor time is that of all threads, the one to trust where other work runs. Memory:
scenes of which a few squares hold data, with an image at 0.7 m in another direction over all of them. Each in a
process of its own; the peak is the largest resident set that the system saw.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
import torch
from affine import Affine
from benchmarks.limits import as_command, at_least
from benchmarks.speed.scene_memory import SENSOR, peak_gb, write_sparse_scene
from rasterio.windows import Window

from overcast.bundle.bundle import RECORD, load_bundle
from overcast.evaluation.machine import describe_machine
from overcast.runtime.options import Runtime
from overcast.scenes.predict import PredictOptions, predict_file
from overcast.scenes.scene import SceneOptions
from overcast.scenes.sky import OpticalInput

LIMIT_GROWTH = 0.05
PLACE = Affine(1, 0, 500_000, 0, -1, 5_750_000)
CRS = "EPSG:32631"
FINE = Affine.rotation(5) @ Affine.scale(0.7)
"""From pixels of the image to metres of the scene."""
PATCH_PX = 1024
REACH_M = 2000.0
"""Blocks of a large image hold data where they are so near to the scene's diagonal, on which its squares lie."""
TIMES = "times SAR alone"
KINDS = ("alone", "half", "whole")


def write_dense(folder: Path, side: int) -> None:
    """A scene full of speckle and blocks."""
    write_sparse_scene(folder / "scene.tif", side, 1)
    rng = np.random.default_rng(1)
    with rasterio.open(folder / "scene.tif", "r+") as dataset:
        for row in range(0, side, 512):
            height = min(512, side - row)
            values = rng.normal(-14, 3, (4, height, side))
            for top, left in rng.integers(0, [max(1, height - 20), side - 30], (side // 10, 2)):
                values[:, top : top + 20, left : left + 30] += 12
            dataset.write(values.astype(np.float32), window=Window(0, row, side, height))


def optical_bands(run: Path) -> int:
    """Number of optical bands of a run's model."""
    record = json.loads((run / "full" / RECORD).read_text(encoding="utf-8"))
    return len(record["radiometry"]["optical"]["bands"])


def write_image(path: Path, side: int, bands: int) -> None:
    """Colours over all of a scene of `side` pixels; most blocks of a large one are left out, and hold no data."""
    transform = PLACE @ FINE
    pixels = int(side / 0.7 * 1.1)
    profile = {"driver": "GTiff", "count": bands, "height": pixels, "width": pixels, "dtype": "uint8", "nodata": 0}
    layout = {"tiled": True, "blockxsize": 512, "blockysize": 512, "sparse_ok": True, "compress": "deflate"}
    rng = np.random.default_rng(2)
    block = rng.integers(60, 180, (bands, PATCH_PX, PATCH_PX), dtype=np.uint8)
    with rasterio.open(path, "w", crs=CRS, transform=transform, bigtiff="if_safer", **profile, **layout) as dataset:
        for start in range(0, pixels, PATCH_PX):
            for other in range(0, pixels, PATCH_PX):
                x, y = FINE * (other, start)
                if pixels > 10_000 and abs(x - y) > REACH_M:
                    continue
                height, width = min(PATCH_PX, pixels - start), min(PATCH_PX, pixels - other)
                dataset.write(block[:, :height, :width], window=Window(other, start, width, height))


def write_clouds(path: Path, side: int) -> None:
    """A mask of 10 m whose left half is cloud."""
    mask = np.zeros((side // 10 + 1, side // 10 + 1), np.uint8)
    mask[:, : mask.shape[1] // 2] = 1
    place = PLACE @ Affine.scale(10)
    profile = {"driver": "GTiff", "count": 1, "height": len(mask), "width": len(mask), "dtype": "uint8"}
    with rasterio.open(path, "w", crs=CRS, transform=place, compress="deflate", **profile) as dataset:
        dataset.write(mask, 1)


def measure(run: Path, folder: Path, kind: str, runtime: Runtime) -> dict[str, float]:
    """Map the scene of a folder in this process."""
    image, clouds = folder / "image.tif", folder / "clouds.tif"
    optical = None if kind == "alone" else OpticalInput((image,), clouds if kind == "half" else None)
    before_s = time.process_time()
    summary = predict_file(
        [folder / "scene.tif"],
        load_bundle(run / ("bundle" if kind == "alone" else "full")),
        sensor=SENSOR.model_copy(update={"accept_values": True}),
        footprints=folder / f"{kind}.gpkg",
        probability=folder / f"{kind}.tif",
        options=PredictOptions(scene=SceneOptions(runtime=runtime)),
        optical=optical,
    )
    return {
        "tiles": summary.scene.tiles,
        "elapsed_s": summary.elapsed_s,
        "processor_s": time.process_time() - before_s,
        "peak_gb": peak_gb(),
        "optical_share": summary.optical_share or 0.0,
    }


def in_process(run: Path, folder: Path, kind: str, runtime: str) -> dict[str, float]:
    """The same in a process of its own."""
    options = [str(run), "--folder", str(folder), "--kind", kind, "--runtime", runtime]
    command = [sys.executable, "-m", "benchmarks.speed.sky_cost", *options]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def print_row(side: int, kind: str, found: dict[str, float], first: dict[str, float]) -> None:
    cells = [f"{side}", kind, f"{found['optical_share']:.2f}", f"{found['tiles']}"]
    for seconds in ("elapsed_s", "processor_s"):
        cells += [f"{found[seconds]:.1f}", f"{found[seconds] / first[seconds]:.2f}"]
    print(f"| {' | '.join(cells)} | {found['peak_gb']:.3f} |", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder of a method that takes both sensors")
    parser.add_argument("--sizes", type=at_least(1024), nargs="*", default=[10_000, 40_000], help="sides, for memory")
    parser.add_argument("--dense", type=at_least(256), default=3000, help="side of the scene that is timed")
    parser.add_argument("--runtime", choices=[one.value for one in Runtime], default=Runtime.EAGER.value)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--kind", choices=KINDS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.folder is not None:
        print(json.dumps(measure(given.run, given.folder, given.kind, Runtime(given.runtime))))
        return
    threads = torch.get_num_threads()
    print(f"{describe_machine()}; {dt.datetime.now(dt.UTC).date()}; {threads} threads, runtime {given.runtime}\n")
    print(
        f"| side, px | optical image | share shown | tiles | elapsed, s | {TIMES} | processor, s | {TIMES} | peak, GB |"
    )
    print("|" + "---|" * 9)
    peaks = {side: compared(side, given, dense=side == given.dense) for side in [given.dense, *given.sizes]}
    sizes = [peaks[side] for side in given.sizes]
    if len(sizes) > 1:
        growth = max(sizes) / sizes[0] - 1
        print(f"\ngrowth of the peak with an optical image {growth:.1%} (at most {LIMIT_GROWTH:.0%})")
        sys.exit(0 if growth <= LIMIT_GROWTH else 1)


def compared(side: int, given: argparse.Namespace, *, dense: bool) -> float:
    """Print rows of a scene; returns the peak with an optical image in GB."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if dense:
            write_dense(folder, side)
        else:
            write_sparse_scene(folder / "scene.tif", side, 6)
        write_image(folder / "image.tif", side, optical_bands(given.run))
        write_clouds(folder / "clouds.tif", side)
        first: dict[str, float] = {}
        peak = 0.0
        for kind in KINDS if dense else KINDS[:2]:
            found = in_process(given.run, folder, kind, given.runtime)
            first = first or found
            peak = max(peak, found["peak_gb"] if kind != "alone" else 0.0)
            print_row(side, kind, found, first)
    return peak


if __name__ == "__main__":
    as_command(main)
