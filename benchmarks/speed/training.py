"""Training against the bare step on the same tensors: chips per second and the overhead of everything around the step.

    python -m benchmarks.speed.training --method cmhcl --preset tiny --crop 128 --steps 30
    python -m benchmarks.speed.training --data scenes --cache-gb 0

"Training" is `overcast train` as it is: a data set of GeoTIFFs (decoded chips cached in memory) or of one scene
(compressed cloud-optimised GeoTIFFs, the orthophoto in another coordinate system and pixel size), random crops,
augmentation, batches made by background threads, Lightning, logging. "Bare" is forward, backward, gradient clipping and
optimiser step on batches of the same shapes that already lie in memory. Rounds of both alternate in one process; the
medians are shown, of elapsed time and of processor time of all threads; the cost of the loader by itself is shown too,
since both scatter where other work shares the machine.
"""

from __future__ import annotations

import argparse
import datetime as dt
import io
import itertools
import math
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import rasterio
import rasterio.shutil
import shapely
import torch
from benchmarks.limits import as_command, at_least, not_negative
from numpy.typing import NDArray
from rasterio import Affine
from rich.console import Console
from torch.optim import AdamW

from overcast.arithmetic import Precision
from overcast.batch import Batch
from overcast.config import build_plan, load_config
from overcast.data.dataset import ChipDataset, SampleOptions
from overcast.data.statistics import compute_statistics
from overcast.methods.options import build_method
from overcast.raster.radiometry import Statistics
from overcast.training.data import GIGABYTE, TRAIN_CACHE_SHARE
from overcast.training.loader import TrainLoader, to_device
from overcast.training.module import MethodModule, parameter_groups
from overcast.training.order import ONE_PROCESS, SampleOrder
from overcast.training.plan import TrainingPlan
from overcast.training.run import train

GSD_M, WARM_UP_STEPS, BARE_BATCHES, LOADED_BATCHES = 0.5, 4, 4, 50
DESCRIPTION = """\
name: speckle
class_name: building
licence: CC0-1.0
sar:     {folders: [sar], bands: [HH, HV, VH, VV], unit: dB, nodata: 0, gsd_m: 0.5, radar_side: north}
optical: {folders: [optical], bands: [red, green, blue], unit: digital_number, gsd_m: 0.5}
label:   {folder: masks}
"""


SCENES = """\
name: speckle
licence: CC0-1.0
sar:     {bands: [HH, HV, VH, VV], unit: dB, nodata: 0, radar_side: north}
optical: {bands: [red, green, blue], nodata: 0}
places:
  town: {sar: sar.tif, optical: ortho.tif, footprints: houses.gpkg}
"""


@dataclass(frozen=True)
class Rate:
    """Seconds per step."""

    elapsed: float
    processor: float


def write_data(root: Path, chips: int, side: int) -> None:
    """Speckled chips with one square each, 2 km apart."""
    rng = np.random.default_rng(0)
    (root / "dataset.yaml").write_text(DESCRIPTION, encoding="utf-8")
    for index in range(chips):
        mask = np.zeros((1, side, side), np.uint8)
        mask[:, side // 4 : side // 2, side // 4 : side // 2] = 1
        images: dict[str, NDArray[np.generic]] = {
            "sar": (rng.normal(30, 5, (4, side, side)) + 8 * mask).clip(1).astype(np.float32),
            "optical": (rng.normal(90, 20, (3, side, side)) + 60 * mask).clip(0, 255).astype(np.uint8),
            "masks": mask,
        }
        for folder, values in images.items():
            (root / folder).mkdir(exist_ok=True)
            profile = {"driver": "GTiff", "count": len(values), "height": side, "width": side, "dtype": values.dtype}
            place = {"crs": "EPSG:32631", "transform": Affine(GSD_M, 0, 500_000 + 2000 * index, 0, -GSD_M, 5_750_000)}
            with rasterio.open(root / folder / f"{index:04}.tif", "w", **profile, **place) as dataset:
                dataset.write(values)


def write_scene(root: Path, side: int) -> None:
    """A speckled scene of `side` pixels with squares, and an orthophoto in EPSG:3035 of 0.4 m, both as COG."""
    rng = np.random.default_rng(0)
    left, top = 593_000.0, 5_750_000.0
    corners = rng.integers(0, side - 40, (side * side // 4096, 2))
    houses = [shapely.box(left + GSD_M * x, top - GSD_M * (y + 24), left + GSD_M * (x + 24), top - GSD_M * y)
              for y, x in corners]  # fmt: skip
    table = geopandas.GeoDataFrame(geometry=houses, crs="EPSG:32631")
    table.to_file(root / "houses.gpkg")
    sar = rng.normal(30, 5, (4, side, side)).clip(1).astype(np.float32)
    write_cog(root / "sar.tif", sar, Affine(GSD_M, 0, left, 0, -GSD_M, top), "EPSG:32631", predictor=3)
    x, _, _, y = geopandas.GeoSeries([shapely.box(left, top - side * GSD_M, left + side * GSD_M, top)],
                                     crs="EPSG:32631").to_crs("EPSG:3035").total_bounds  # fmt: skip
    wide = int(1.6 * side)
    optical = rng.normal(90, 20, (3, wide, wide)).clip(1, 255).astype(np.uint8)
    write_cog(root / "ortho.tif", optical, Affine(0.4, 0, x - 20, 0, -0.4, y + 20), "EPSG:3035", predictor=2)
    (root / "town.yaml").write_text(SCENES, encoding="utf-8")


def write_cog(path: Path, values: NDArray[np.generic], transform: Affine, crs: str, predictor: int) -> None:
    """A compressed cloud-optimised GeoTIFF."""
    plain = path.with_suffix(".plain.tif")
    size = {"count": len(values), "height": values.shape[1], "width": values.shape[2], "dtype": values.dtype}
    with rasterio.open(plain, "w", driver="GTiff", transform=transform, crs=crs, nodata=0, **size) as dataset:
        dataset.write(values)
    rasterio.shutil.copy(plain, path, driver="COG", compress="DEFLATE", predictor=predictor, blocksize=512)
    plain.unlink()


@contextmanager
def recorded_steps() -> Iterator[list[Rate]]:
    """Elapsed and processor time at the end of each training step."""
    times: list[Rate] = []
    original = MethodModule.on_train_batch_end

    def record(self: MethodModule, outputs: object, batch: tuple[Batch, ...], batch_idx: int) -> None:
        original(self, outputs, batch, batch_idx)
        times.append(Rate(time.perf_counter(), time.process_time()))

    MethodModule.on_train_batch_end = record  # type: ignore[method-assign]
    try:
        yield times
    finally:
        MethodModule.on_train_batch_end = original  # type: ignore[method-assign]


def per_step(times: list[Rate]) -> Rate:
    """Mean after the warm-up."""
    first, last, steps = times[WARM_UP_STEPS - 1], times[-1], len(times) - WARM_UP_STEPS
    return Rate((last.elapsed - first.elapsed) / steps, (last.processor - first.processor) / steps)


def real(plan: TrainingPlan, output: Path) -> Rate:
    """One training run."""
    with recorded_steps() as times:
        train(plan, output, resume=False, console=Console(file=io.StringIO()))
    return per_step(times)


def bare(plan: TrainingPlan, statistics_: Statistics) -> Rate:
    """The same steps on batches in memory."""
    options, dataset = plan.options, train_set(plan, statistics_)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    order = SampleOrder(len(dataset), options.seed, options.batch_size)
    loader = TrainLoader(dataset, order, 0, BARE_BATCHES, ONE_PROCESS, workers=0)
    channels_last = options.channels_last
    batches = [tuple(to_device(part, device, channels_last=channels_last) for part in parts) for parts in loader]
    method = build_method(plan.method, plan.network, statistics_).to(device).train()
    if options.channels_last:
        method.to(memory_format=torch.channels_last)
    optimiser = AdamW(parameter_groups(method.parameters(), options.optimiser), lr=options.optimiser.learning_rate)
    times = []
    for step, parts in zip(range(options.steps), itertools.cycle(batches), strict=False):
        method.begin_step(step, options.steps)
        with torch.autocast(device.type, torch.bfloat16, enabled=options.precision is Precision.BF16):
            terms = method.losses_of_parts(parts, step, options.steps)
            loss = torch.stack([term.float() for term in terms.values()]).sum()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(method.parameters(), options.optimiser.clip_norm)
        optimiser.step()
        float(loss.detach())  # waits for the device
        times.append(Rate(time.perf_counter(), time.process_time()))
    return per_step(times)


def loading(plan: TrainingPlan, statistics_: Statistics) -> float:
    """Processor seconds that one thread needs for a batch, chips cached."""
    dataset, options = train_set(plan, statistics_), plan.options
    order = SampleOrder(len(dataset), options.seed, options.batch_size)
    sweep = -(-len(dataset) // options.batch_size)
    for _ in TrainLoader(dataset, order, 0, sweep, ONE_PROCESS, workers=0):
        pass  # fills the cache, as far as it goes
    start = time.thread_time()
    for _ in TrainLoader(dataset, order, sweep, sweep + LOADED_BATCHES, ONE_PROCESS, workers=0):
        pass
    return (time.thread_time() - start) / LOADED_BATCHES


def train_set(plan: TrainingPlan, statistics_: Statistics) -> ChipDataset:
    """The data set as training builds it."""
    options, catalog = plan.options, plan.catalog
    cache = int(TRAIN_CACHE_SHARE * options.cache_gb * GIGABYTE)
    share = catalog.around_footprints
    samples = SampleOptions(options.crop, plan.augmentation, options.seed, cache, around_footprints=share)
    chips = catalog.select(plan.split.train)
    return ChipDataset(chips, catalog.radiometry, catalog.label, statistics_, samples, plan.facts.needs, catalog.levels)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default="cmhcl")
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--crop", type=at_least(32), default=128)
    parser.add_argument("--batch-size", type=at_least(2), default=8)
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    parser.add_argument("--workers", type=at_least(0), default=2)
    parser.add_argument("--data", choices=["folder", "scenes"], default="folder")
    parser.add_argument(
        "--chips", type=at_least(20), default=40, help="of 256 x 256 px (SAR 4 x float32, optical 3 x uint8)"
    )
    parser.add_argument("--cache-gb", type=not_negative, default=4.0, help="memory for decoded chips or tiles")
    parser.add_argument("--steps", type=at_least(WARM_UP_STEPS + 1), default=30)
    parser.add_argument("--rounds", type=at_least(1), default=3)
    parser.add_argument("--threads", type=at_least(1), default=os.cpu_count(), help="of torch")
    parser.add_argument("--scratch", type=Path, help="folder for data and runs; by default a temporary one")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    options = arguments()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        root = Path(scratch)
        shares = "test_share: 0.05, validation_share: 0.05"
        if options.data == "folder":
            write_data(root, options.chips, 256)
            data = f"{{name: folder, root: {root}, split: {{by: places, {shares}}}}}"
        else:
            write_scene(root, 256 * math.ceil(options.chips**0.5))
            data = f"{{name: scenes, root: {root}, split: {{by: blocks, block_m: 128, {shares}}}}}"
        sets = [
            f"data={data}",
            f"network={{preset: {options.preset}, pretrained: false}}",
            f"method.name={options.method}",
            f"training={{steps: {options.steps}, round_steps: {options.steps}, batch_size: {options.batch_size}}}",
            f"training.crop={options.crop}",
            f"training.cache_gb={options.cache_gb}",
            f"training.precision={options.precision}",
            f"training.workers={options.workers}",
            "training.deterministic=false",
        ]
        plan = build_plan(load_config(None, sets))
        statistics_ = compute_statistics(plan.catalog.select(plan.split.train), plan.catalog.radiometry)
        pairs = [(real(plan, root / "run"), bare(plan, statistics_)) for _ in range(options.rounds)]
        loader_s = loading(plan, statistics_)
    report(options, plan.options.precision, pairs, loader_s)


def report(options: argparse.Namespace, settled: Precision, pairs: list[tuple[Rate, Rate]], loader_s: float) -> None:
    """Rates and overheads."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    load = os.getloadavg()[0]
    print(f"{dt.datetime.now(dt.UTC):%Y-%m-%d}  {platform.machine()}, {os.cpu_count()} cores, {gpu}, torch "
          f"{torch.__version__}, {options.threads} torch threads, load average {load:.1f}")  # fmt: skip
    print(f"{options.method}, preset {options.preset}, {options.batch_size} x {options.crop} px, {settled}, "
          f"{options.workers} loader threads, {options.steps} steps, median of {options.rounds} rounds")  # fmt: skip
    for name in ("elapsed", "processor"):
        training, step = (statistics.median(getattr(pair[side], name) for pair in pairs) for side in (0, 1))
        rate = options.batch_size
        print(f"{name:>9}: training {rate / training:7.2f} chips/s   bare step {rate / step:7.2f} chips/s   "
              f"overhead {100 * (training / step - 1):+.1f} %")  # fmt: skip
    bare_s = statistics.median(pair[1].processor for pair in pairs)
    share = 100 * loader_s / bare_s
    print(
        f"   loader: {options.batch_size / loader_s:.0f} chips/s on one thread, {share:.1f} % of the bare step's time"
    )


if __name__ == "__main__":
    as_command(main)
