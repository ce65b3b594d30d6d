"""Scene prediction against the bare network: seconds per km^2, rate on the same tiles, peak memory.

    python benchmarks/scene.py --size 4000 --precision fp32

The bare network runs the very tiles that the scene is cut into, already in memory, one after the other; the scene is
read from a compressed GeoTIFF, predicted, blended and written as cloud-optimised GeoTIFF, without and with footprints.
Times are medians of interleaved rounds in one process, elapsed and as processor time of all threads (the one to trust
where other work shares the machine); peak memory is that of processes of their own.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from rasterio.windows import Window
from torch import nn

from overcast.batch import Modality
from overcast.data.radiometry import BandStatistics, SensorRadiometry, Unit
from overcast.inference.model import SceneModel
from overcast.inference.predict import PredictOptions, predict_file
from overcast.inference.scene import Precision, SceneOptions
from overcast.inference.tiling import split_axis

GSD_M = 0.5
SENSOR = SensorRadiometry(bands=("HH", "HV", "VH", "VV"), unit=Unit.DECIBEL, nodata=0, gsd_m=GSD_M)
STATISTICS = BandStatistics(mean=(30.0,) * 4, std=(8.0,) * 4)


def network() -> nn.Module:
    """U-Net on EfficientNet-Lite0 with four input bands, untrained."""
    import segmentation_models_pytorch as smp

    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        model: nn.Module = smp.Unet("timm-tf_efficientnet_lite0", encoder_weights=None, in_channels=4, classes=1)
    return model.eval()


def write_scene(path: Path, size: int) -> None:
    """A speckled scene, 4 x float32 in DEFLATE-compressed 512 px tiles."""
    rng = np.random.default_rng(0)
    profile = {"driver": "GTiff", "dtype": "float32", "count": 4, "height": size, "width": size, "nodata": 0}
    place = {"crs": "EPSG:32631", "transform": rasterio.Affine(GSD_M, 0, 593000, 0, -GSD_M, 5750000)}
    layout = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "num_threads": "2"}
    with rasterio.open(path, "w", **profile, **place, **layout) as dataset:
        for row in range(0, size, 512):
            rows = min(512, size - row)
            speckle = 30 + 10 * np.log10(rng.exponential(size=(4, rows, size)).astype(np.float32) + 1e-6)
            dataset.write(np.maximum(speckle, 0.01).round(2), window=Window(0, row, size, rows))


class Clock:
    """Elapsed and processor seconds since it was made."""

    def __init__(self) -> None:
        self._start = (time.perf_counter(), time.process_time())

    def read(self) -> tuple[float, float]:
        """(elapsed, processor) seconds."""
        return time.perf_counter() - self._start[0], time.process_time() - self._start[1]


def run_bare(model: nn.Module, size: int, options: SceneOptions) -> tuple[float, float]:
    """Seconds of the network alone on the tiles of a scene."""
    axis = split_axis(size, options.tile, options.overlap, options.margin, options.multiple)
    tiles, batch = len(axis.starts) ** 2, options.tiles_per_pass
    side = -(-axis.tile // options.multiple) * options.multiple
    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    model.to(memory_format=layout)
    x = torch.randn(batch, 4, side, side).contiguous(memory_format=layout)
    bf16 = options.precision is Precision.BF16
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        model(x)
        clock = Clock()
        for first in range(0, tiles, batch):
            torch.sigmoid(model(x[: tiles - first]).float())
    return clock.read()


def run_scene(model: nn.Module, scene: Path, options: SceneOptions, *, footprints: bool) -> tuple[float, float]:
    """Seconds from file to file."""
    described = SceneModel(model, SENSOR, STATISTICS, Modality.SAR, "building", "benchmark", "0" * 64, "none")
    clock = Clock()
    predict_file(
        [scene],
        described,
        sensor=SENSOR,
        probability=scene.with_name("probability.tif"),
        footprints=scene.with_name("footprints.gpkg") if footprints else None,
        options=PredictOptions(scene=options, overwrite=True),
    )
    return clock.read()


def peak_mb() -> float:
    """Largest resident memory of this process so far."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def rates(size: int, scene: Path, options: SceneOptions, rounds: int) -> Any:
    """Median (elapsed, processor) seconds of interleaved rounds."""
    model = network()
    seconds: dict[str, list[tuple[float, float]]] = {"bare": [], "probability": [], "footprints": []}
    for _ in range(rounds):
        seconds["bare"].append(run_bare(model, size, options))
        seconds["probability"].append(run_scene(model, scene, options, footprints=False))
        seconds["footprints"].append(run_scene(model, scene, options, footprints=True))
    return {name: [statistics.median(part) for part in zip(*values, strict=True)] for name, values in seconds.items()}


def memory(kind: str, size: int, scene: Path, options: SceneOptions) -> float:
    """Peak memory in MB of this fresh process."""
    if kind == "bare":
        run_bare(network(), size, options)
    else:
        run_scene(network(), scene, options, footprints=kind == "footprints")
    return peak_mb()


def in_process(argv: list[str], measure: str, scene: Path) -> Any:
    """One measurement in a process of its own."""
    command = [sys.executable, __file__, *argv, "--measure", measure, "--scene", str(scene)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def processor() -> str:
    """Name of the CPU."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def report(size: int, options: SceneOptions, seconds: dict[str, list[float]], peaks: dict[str, float]) -> None:
    """Print what was measured, on what, and when."""
    km2 = size**2 * GSD_M**2 / 1e6
    print(f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC; {processor()}, {torch.get_num_threads()} threads,")
    print(f"torch {torch.__version__}; scene 4 x {size} x {size} float32 at {GSD_M} m, {km2:.1f} km2; {options}")
    heads = ("elapsed s", "s/km2", "processor s", "of bare rate", "by processor", "peak MB", "above bare")
    print(f"{'':18}" + "".join(f"{head:>13}" for head in heads))
    for name, label in (("bare", "bare network"), ("probability", "COG"), ("footprints", "COG + footprints")):
        elapsed, used = seconds[name]
        shares = f"{seconds['bare'][0] / elapsed:13.1%}{seconds['bare'][1] / used:13.1%}"
        memory_mb = f"{peaks[name]:13.0f}{peaks[name] - peaks['bare']:13.0f}"
        print(f"{label:18}{elapsed:13.2f}{elapsed / km2:13.2f}{used:13.2f}{shares}{memory_mb}")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=4000, help="side of the scene in pixels")
    parser.add_argument("--precision", choices=[one.value for one in Precision], default="fp32")
    parser.add_argument("--tile", type=int, default=SceneOptions.tile)
    parser.add_argument("--batch", type=int, default=SceneOptions.batch_size)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", choices=["rates", "bare", "probability", "footprints"], help=argparse.SUPPRESS)
    parser.add_argument("--scene", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    options = SceneOptions(tile=given.tile, batch_size=given.batch, precision=Precision(given.precision))
    if given.measure == "rates":
        print(json.dumps(rates(given.size, given.scene, options, given.rounds)))
    elif given.measure:
        print(json.dumps({"peak_mb": memory(given.measure, given.size, given.scene, options)}))
    else:
        with tempfile.TemporaryDirectory() as folder:
            scene = Path(folder) / "scene.tif"
            write_scene(scene, given.size)
            seconds = in_process(sys.argv[1:], "rates", scene)
            kinds = ("bare", "probability", "footprints")
            peaks = {kind: in_process(sys.argv[1:], kind, scene)["peak_mb"] for kind in kinds}
        report(given.size, options, seconds, peaks)


if __name__ == "__main__":
    main()
