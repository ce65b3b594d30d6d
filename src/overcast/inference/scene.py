"""Prediction of a whole scene in bounded memory: read ahead, network, blend and write behind overlap in time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from overcast.data.radiometry import BandStatistics
from overcast.data.raster import RasterSink, RasterSource
from overcast.errors import ConfigError
from overcast.grid import Window
from overcast.inference.blend import TileBlender
from overcast.inference.pipeline import WriteBehind, read_ahead
from overcast.inference.progress import Progress, Report, Stage
from overcast.inference.tiling import Axis, split_axis


class Precision(StrEnum):
    """Arithmetic of the network."""

    FP32 = "fp32"
    BF16 = "bf16"
    """bfloat16 autocast: about twice as fast on CPUs with AVX-512 BF16 or AMX, and on GPUs."""


@dataclass(frozen=True)
class SceneOptions:
    """How a scene is cut and computed. None of it changes what a small-kernel network predicts."""

    tile: int = 768
    """Largest tile side in pixels, a multiple of `multiple`."""
    overlap: int = 64
    """Pixels that neighbouring tiles share at least."""
    margin: int = 16
    """Pixels at inner tile borders that give context only: a network whose receptive field reaches at most
    `margin` pixels predicts the same tiled and untiled."""
    batch_size: int | None = None
    """Tiles per forward pass; None for one on a CPU, where it is fastest, and eight elsewhere."""
    multiple: int = 32
    """Tile sides are multiples of it; a smaller scene is reflected up to the next one."""
    precision: Precision = Precision.FP32
    device: str = "cpu"
    channels_last: bool = True
    queue_batches: int = 2
    """Batches that the reader may be ahead and the writer behind."""

    def __post_init__(self) -> None:
        if min(self.tiles_per_pass, self.queue_batches, self.multiple) < 1:
            raise ConfigError("batch_size, queue_batches and multiple must be at least 1.")
        if not 0 <= 2 * self.margin <= self.overlap < self.tile or self.tile % self.multiple:
            raise ConfigError(
                f"tile {self.tile}, overlap {self.overlap}, margin {self.margin} do not fit together: need "
                f"2 * margin <= overlap < tile, and a tile that is a multiple of {self.multiple}."
            )

    @property
    def tiles_per_pass(self) -> int:
        """The batch size, chosen by the device where it is left open."""
        if self.batch_size is not None:
            return self.batch_size
        return 1 if self.device == "cpu" else 8


@dataclass(frozen=True)
class SceneSummary:
    """What was computed."""

    tiles: int
    skipped_tiles: int
    """Tiles without data, for which the network did not run."""
    valid_pixels: int
    total_pixels: int
    computed_pixels: int
    """Pixels that went through the network, overlap and padding included."""
    elapsed_s: float


@dataclass(frozen=True)
class _Tile:
    strip: int
    index: int
    values: NDArray[np.float32]
    """(C, h, w) standardised and padded."""
    valid: NDArray[np.bool_]
    """(tile, tile)"""


@dataclass(frozen=True)
class _TileBatch:
    tiles: tuple[_Tile, ...]
    values: NDArray[np.float32] | None
    """(B, C, h, w); None without tiles."""
    passed: int
    """Tiles, skipped ones included, up to the last of this batch."""


@dataclass(frozen=True)
class _Plan:
    rows: Axis
    cols: Axis
    options: SceneOptions

    @property
    def tile_count(self) -> int:
        return len(self.rows.starts) * len(self.cols.starts)


def predict_scene(
    source: RasterSource,
    network: nn.Module,
    statistics: BandStatistics,
    options: SceneOptions,
    sink: RasterSink,
    progress: Report | None = None,
) -> SceneSummary:
    """Write the probability of every pixel, tile by tile from the first row to the last, each as soon as it is final.

    Memory holds a few batches and, over the width of the scene, the rows that two rows of tiles share; it does not
    depend on the scene's height.

    Args:
        source: Scene in the unit of `statistics`.
        network: Standardised x (B, C, H, W) to logits (B, 1, H, W); set to evaluation mode, moved to
            `options.device` and, if asked for, to channels-last memory order.
        statistics: Mean and deviation per band; invalid pixels become 0 after standardisation.
        options: How the scene is cut and computed.
        sink: Receives (h, w) float32 windows in 0..1, NaN where the scene has no data; every pixel once, in rows of
            windows from the top left. It is called from a thread of its own, never twice at once.
        progress: Called in the calling thread after each batch of tiles, in pixels.

    Raises:
        ConfigError: There is no such device, or the network returns more than one map.
        BundleError: The network returned NaN.
        Exception: Whatever `source`, `sink`, `network` or `progress` raise; nothing is swallowed.
    """
    started, grid, infer = time.monotonic(), source.georeference, _prepared(network.eval(), options)
    cut = (options.tile, options.overlap, options.margin, options.multiple)
    plan = _Plan(split_axis(grid.height, *cut), split_axis(grid.width, *cut), options)
    blender = TileBlender(plan.rows, plan.cols, sink)
    total, tiles, computed = grid.height * grid.width, 0, 0
    batches = _tile_batches(source, statistics, plan)
    with read_ahead(batches, options.queue_batches) as ready, WriteBehind(options.queue_batches) as behind:
        with torch.inference_mode(), _autocast(options):
            for batch in ready:
                if batch.values is not None:
                    probability = infer(torch.from_numpy(batch.values))
                    behind.submit(partial(_blend, blender, batch, probability))
                    tiles, computed = tiles + len(batch.tiles), computed + probability.size
                if progress is not None:
                    done = total * batch.passed // plan.tile_count
                    progress(Progress(Stage.PREDICT, done, total, time.monotonic() - started))
        behind.submit(blender.finish)
    elapsed_s = time.monotonic() - started
    return SceneSummary(tiles, plan.tile_count - tiles, blender.valid_pixels, total, computed, elapsed_s)


def _tile_batches(source: RasterSource, statistics: BandStatistics, plan: _Plan) -> Iterator[_TileBatch]:
    """Standardised tiles with data in batches; a row of tiles without any data gives an empty batch."""
    pending: list[_Tile] = []
    passed = told = 0
    for strip in range(len(plan.rows.starts)):
        for index in range(len(plan.cols.starts)):
            passed += 1
            tile = _read_tile(source, statistics, plan, strip, index)
            if tile is not None:
                pending.append(tile)
            if len(pending) == plan.options.tiles_per_pass:
                yield _batch(pending, passed)
                pending, told = [], passed
        if not pending and told < passed:
            yield _TileBatch((), None, passed)
            told = passed
    if pending:
        yield _batch(pending, passed)


def _read_tile(source: RasterSource, statistics: BandStatistics, plan: _Plan, strip: int, index: int) -> _Tile | None:
    """The standardised tile, or None where no pixel that it would decide has data."""
    rows, cols = plan.rows, plan.cols
    pixels = source.read(Window(rows.starts[strip], cols.starts[index], rows.tile, cols.tile))
    if not pixels.valid[rows.used(strip), cols.used(index)].any():
        return None
    values = statistics.standardise(pixels.values, pixels.valid)
    short = [-side % plan.options.multiple for side in pixels.valid.shape]
    if any(short):
        values = np.pad(values, ((0, 0), (0, short[0]), (0, short[1])), mode="reflect")
    return _Tile(strip, index, values, pixels.valid)


def _batch(tiles: list[_Tile], passed: int) -> _TileBatch:
    return _TileBatch(tuple(tiles), np.stack([tile.values for tile in tiles]), passed)


def _prepared(network: nn.Module, options: SceneOptions) -> Callable[[Tensor], NDArray[np.float32]]:
    """The network as a function from tiles (B, C, h, w) to probabilities (B, h, w)."""
    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    try:
        network.to(options.device)
    except (RuntimeError, AssertionError) as error:  # what torch raises for an unknown or missing device
        reason = str(error).splitlines()[0].rstrip(".")
        raise ConfigError(f"device {options.device!r} cannot be used ({reason}); use cpu.") from error
    network.to(memory_format=layout)

    def infer(tiles: Tensor) -> NDArray[np.float32]:
        logits = network(tiles.to(options.device, memory_format=layout))
        if logits.shape[1] != 1:
            raise ConfigError(f"the network returns {logits.shape[1]} maps; scene prediction needs one of one class.")
        probability: NDArray[np.float32] = torch.sigmoid(logits[:, 0].float()).cpu().numpy()
        return probability

    return infer


def _autocast(options: SceneOptions) -> AbstractContextManager[object]:
    match options.precision:
        case Precision.FP32:
            return nullcontext()
        case Precision.BF16:
            return torch.autocast(torch.device(options.device).type, torch.bfloat16)


def _blend(blender: TileBlender, batch: _TileBatch, probability: NDArray[np.float32]) -> None:
    for tile, values in zip(batch.tiles, probability, strict=True):
        height, width = tile.valid.shape
        blender.add(tile.strip, tile.index, values[:height, :width], tile.valid)
