"""A tiny paired data set, generated: bright squares on speckle, in SAR, optical and mask."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from hypothesis import settings
from numpy.typing import NDArray
from rich.console import Console
from where import IMPORTABLE

sys.path.extend(str(folder) for folder in IMPORTABLE)
os.environ["PYTHONPATH"] = os.pathsep.join([*map(str, IMPORTABLE), *filter(None, [os.environ.get("PYTHONPATH")])])

settings.register_profile("overcast", deadline=None)  # shared machines: time says nothing about correctness
settings.load_profile("overcast")

DATASET_YAML = """\
name: tiny squares
class_name: building
licence: CC0-1.0
sar:     {folders: [sar], bands: [HH, HV], unit: dB, nodata: 0, gsd_m: 0.5, radar_side: north}
optical: {folders: [optical], bands: [red, green, blue], unit: digital_number, gsd_m: 0.5}
label:   {folder: masks, foreground: 1, background: 0, ignore: 255}
place_pattern: "^(?P<place>.+)_[0-9]+$"
"""
TINY_PLACES, TINY_CHIPS_PER_PLACE, TINY_SIDE_PX = 8, 3, 64
TINY_GSD_M = 0.5


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Ctrl-C works in the tests and the processes they start, also where a shell started them with `&`."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _own_models(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Models that whoever runs the tests has added are not looked at, here or in the processes that tests start."""
    os.environ["OVERCAST_MODELS"] = str(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder data set of 8 places with 3 chips of 64 x 64 px each, places 1 km apart (EPSG:32631)."""
    root = tmp_path_factory.mktemp("tiny")
    write_tiny_folder(root)
    return root


def write_tiny_folder(root: Path, seed: int = 7) -> None:
    """Write the tiny data set into `root`."""
    rng = np.random.default_rng(seed)
    (root / "dataset.yaml").write_text(DATASET_YAML, encoding="utf-8")
    for place in range(TINY_PLACES):
        for chip in range(TINY_CHIPS_PER_PLACE):
            name = f"p{place}_{chip}"
            mask = _squares(rng)
            left = 590_000 + 1000 * place + chip * TINY_SIDE_PX * TINY_GSD_M
            for folder, values in (("sar", _sar(mask, rng)), ("optical", _optical(mask, rng)), ("masks", mask[None])):
                write_tiff(root / folder / f"{name}.tif", values, left=left, top=5_750_000)


def write_tiff(path: Path, values: NDArray[np.generic], *, left: float = 590_000, top: float = 5_750_000) -> None:
    """(C, H, W) values as GeoTIFF of 0.5 m pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=values.dtype,
        crs="EPSG:32631", transform=Affine(TINY_GSD_M, 0, left, 0, -TINY_GSD_M, top),
    ) as dataset:  # fmt: skip
        dataset.write(values)


def _squares(rng: np.random.Generator) -> NDArray[np.uint8]:
    mask = np.zeros((TINY_SIDE_PX, TINY_SIDE_PX), np.uint8)
    for _ in range(3):
        side = int(rng.integers(12, 22))
        row, col = rng.integers(0, TINY_SIDE_PX - side, 2)
        mask[row : row + side, col : col + side] = 1
    return mask


def _sar(mask: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    level = np.stack([22 + 10 * mask, 28 + 6 * mask])
    return np.clip(level + rng.normal(0, 3, level.shape), 1, 90).astype(np.float32)


def _optical(mask: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    level = np.stack([80 + 70 * mask, 90 + 20 * mask, 80 + 10 * mask])
    return np.clip(level + rng.normal(0, 6, level.shape), 0, 255).astype(np.uint8)


@pytest.fixture
def tiny_sets(tiny_folder: Path) -> list[str]:
    """Overrides for a run of seconds on the tiny data set: an encoder made for tests, float32, one process."""
    return [*TINY_SETS, f"data.root={tiny_folder}"]


TINY_SETS = [
    "data={name: folder, split: {by: places, test_share: 0.25, validation_share: 0.25}}",
    "network={preset: tiny, encoder: tu-test_resnet, pretrained: false, decoder_channels: [8, 8, 8, 8, 8]}",
    "network.fusion_channels=8",
    "method.name=sar",
    "training={steps: 4, round_steps: 2, batch_size: 4, crop: 32, log_steps: 1, precision: fp32, accelerator: cpu}",
]


@pytest.fixture(scope="session")
def strong_run(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two steps on the tiny data set by the strong recipe."""
    from overcast.config import load_config, train

    output = tmp_path_factory.mktemp("strong") / "run"
    sets = [*TINY_SETS, f"data.root={tiny_folder}", "recipe=strong", "training.steps=2", "training.round_steps=2"]
    train(load_config(None, sets), output, console=Console(file=io.StringIO()))
    return output


@pytest.fixture(scope="session")
def cmhcl_run(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps of cmhcl on the tiny data set that has seen clouds and mixes features."""
    from overcast.config import load_config, train

    output = tmp_path_factory.mktemp("cmhcl") / "run"
    sets = [*TINY_SETS, f"data.root={tiny_folder}", "method={name: cmhcl, mixing: features}"]
    sets += ["augmentation.cloud_share=1", "training.steps=2", "training.round_steps=2"]
    train(load_config(None, sets), output, console=Console(file=io.StringIO()))
    return output


@pytest.fixture
def one_thread() -> Iterator[None]:
    """One torch thread: bit-equal results need the same number everywhere, and small tensors run fastest so."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
