"""What every adapter shares: the job, the network, the clock, memory, and polygons as people write them by hand.

Runs in a peer's own environment, so it imports nothing of Overcast: only what every peer has (NumPy, torch, rasterio,
segmentation_models_pytorch).
"""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import rasterio
import segmentation_models_pytorch as smp
import torch
from numpy.typing import NDArray
from rasterio.features import shapes
from shapely.geometry import shape
from torch import nn

ENCODER, DECODER_CHANNELS, BANDS = "tu-tf_efficientnet_lite0", (64, 48, 32, 24, 16), 4
THRESHOLD = 0.5
PATHS = {"scene", "weights", "output", "bundle"}
SHARED_PACKAGES = ("torch", "segmentation_models_pytorch", "rasterio", "numpy")


@dataclass(frozen=True)
class Job:
    """What an adapter is asked to do."""

    scene: Path
    """GeoTIFF, (4, H, W) float32 in dB."""
    weights: Path
    """State dict of the network."""
    output: Path
    """Folder for probability.tif and footprints."""
    mean: tuple[float, ...]
    """Per band, dB."""
    std: tuple[float, ...]
    tile: int | None
    """Side of the tiles; None for what the peer takes by itself."""
    overlap: int | None
    """Pixels that neighbouring tiles share; None for what the peer takes by itself."""
    runtime: str
    """Of Overcast."""
    precision: str
    """Of Overcast."""
    encoding: str
    """Of Overcast's probability: float32 as all others write it, or uint8."""
    bundle: Path | None = None
    """Of Overcast: the model that is run instead of the network of the weights."""

    @property
    def probability(self) -> Path:
        """Where the probability goes: one band of float32."""
        return self.output / "probability.tif"

    @property
    def footprints(self) -> Path:
        """Where the polygons go, for peers that let the caller choose."""
        return self.output / "footprints.gpkg"

    def standardise(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """(C, h, w) dB to zero mean and unit deviation."""
        mean, std = (np.asarray(one, np.float32)[:, None, None] for one in (self.mean, self.std))
        return np.asarray((values - mean) / std)


@dataclass(frozen=True)
class Done:
    """What an adapter has done."""

    borders: tuple[tuple[int, ...], tuple[int, ...]]
    """Rows and columns at which the set of tiles that make up a pixel changes: between r - 1 and r."""
    tiles: str
    """How the scene was cut, in words."""


def network(weights: Path) -> nn.Module:
    """The network that all peers run: (B, 4, H, W) standardised to logits (B, 1, H, W), in evaluation mode."""
    model: nn.Module = smp.Unet(
        ENCODER, encoder_weights=None, in_channels=BANDS, classes=1, decoder_channels=DECODER_CHANNELS
    )
    model.load_state_dict(torch.load(weights, weights_only=True))
    return model.eval()


def run(packages: tuple[str, ...], load: Callable[[Job], Any], predict: Callable[[Job, Any], Done]) -> None:
    """Load and predict the job whose file the command line names; prints one line of JSON.

    Seconds run from the scene's file to the file of polygons, once everything is imported and the network is loaded on
    what runs it; the memory of the runtime itself is what is resident then. Loading is timed apart.
    """
    facts: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    job = Job(**facts | {name: Path(facts[name]) for name in PATHS if facts[name]})
    start = time.perf_counter()
    loaded = load(job)
    load_s = time.perf_counter() - start
    base_mb, load_peak_mb = resident("VmRSS"), resident("VmHWM")
    forget_peak()
    start, busy = time.perf_counter(), time.process_time()
    done = predict(job, loaded)
    seconds, processor_s = time.perf_counter() - start, time.process_time() - busy
    result = {
        "load_s": load_s,
        "seconds": seconds,
        "processor_s": processor_s,
        "load_peak_mb": load_peak_mb,
        "peak_mb": resident("VmHWM"),
        "base_mb": base_mb,
        "borders": done.borders,
        "tiles": done.tiles,
        "threads": torch.get_num_threads(),
        "versions": {name: found(name) for name in (*packages, *SHARED_PACKAGES)}
        | {"Python": platform.python_version()},
    }
    print(json.dumps(result), flush=True)


def found(package: str) -> str:
    """Installed version."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def resident(field: str) -> float:
    """Resident memory of this process in MB: now (VmRSS) or at most (VmHWM)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split(f"{field}:")[1].split()[0]) / 1024


def forget_peak() -> None:
    """Let VmHWM start again from what is resident now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def write_probability(job: Job, probability: NDArray[np.float32]) -> None:
    """(H, W) float32 with the scene's georeference."""
    with rasterio.open(job.scene) as scene:
        profile = {"driver": "GTiff", "dtype": "float32", "count": 1, "height": scene.height, "width": scene.width}
        profile |= {"crs": scene.crs, "transform": scene.transform, "tiled": True, "compress": "deflate"}
    with rasterio.open(job.probability, "w", **profile) as sink:
        sink.write(probability.astype(np.float32, copy=False), 1)


def write_shapes(job: Job, probability: NDArray[np.float32]) -> None:
    """Polygons along pixel edges, as rasterio.features.shapes draws them from the whole mask."""
    with rasterio.open(job.scene) as scene:
        crs, transform = scene.crs, scene.transform
    mask = (probability >= THRESHOLD).astype(np.uint8)
    found_shapes = [shape(one) for one, _ in shapes(mask, mask=mask == 1, transform=transform)]
    geopandas.GeoDataFrame(geometry=found_shapes, crs=crs).to_file(job.footprints)


def changes(starts: list[int], tile: int, length: int, crop: int = 0) -> tuple[int, ...]:
    """Inner positions at which tiles begin or end to count, `crop` pixels of each inner end being thrown away."""
    begin = {start + crop for start in starts if start > 0}
    end = {start + tile - crop for start in starts if start + tile < length}
    return tuple(sorted(begin | end))


def stepped(length: int, tile: int, stride: int) -> list[int]:
    """Starts of tiles at every stride, the last pulled back to end at `length`."""
    return sorted({max(0, min(start, length - tile)) for start in range(0, length, stride)})
