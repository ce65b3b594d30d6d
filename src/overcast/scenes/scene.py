"""Prediction of a whole scene in bounded memory: read ahead, network, blend and write behind overlap in time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from overcast.arithmetic import Precision
from overcast.choices import Tta
from overcast.errors import ConfigError
from overcast.prefetch import read_ahead
from overcast.progress import Progress, ProgressStage, Report
from overcast.raster.sources import Georeference, RasterSink, RasterSource
from overcast.reading import first_line
from overcast.runtime.options import Runtime
from overcast.scenes.blend import RowBlender, RowJoiner, RowSink
from overcast.scenes.ground import Ground
from overcast.scenes.tiles import ScenePlan, TileBatch, TileStatistics, tile_batches
from overcast.scenes.tiling import split_axis
from overcast.scenes.write_behind import WriteBehind


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
    """AUTO, which `predict_file` settles, is nothing that can be computed in."""
    device: str = "cpu"
    """Device as PyTorch names it; `auto`, which `predict_file` settles, is a GPU where there is one."""
    runtime: Runtime = Runtime.EAGER
    """What `predict_file` runs the network on; a network given to `predict_scene` runs as it is."""
    keep_exports: bool = True
    """Keep exported networks in the user's cache folder."""
    channels_last: bool = True
    queue_batches: int = 2
    """Batches that the reader may be ahead and the writer behind."""
    tta: Tta = Tta.OFF
    """Look-safe views of each tile that `predict_file` averages."""
    threads: int | None = None
    """CPU threads of the network; None for as many as torch takes. Another number changes the last bits in float32."""

    def __post_init__(self) -> None:
        if min(self.tiles_per_pass, self.queue_batches, self.multiple, 1 if self.threads is None else self.threads) < 1:
            raise ConfigError("batch_size, queue_batches, multiple and threads must be at least 1.")
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


Infer = Callable[[Tensor], NDArray[np.float32]]
"""Tiles (B, C, h, w) to probabilities (B, h, w), or (B, M, h, w) of several channels."""


def plan_scene(grid: Georeference, options: SceneOptions, ground: Ground | None = None) -> ScenePlan:
    """How a scene is cut; depends on its size and the options alone.

    Of the tiles of the whole scene those stay that decide what is wanted of it.
    """
    cut = (options.tile, options.overlap, options.margin, options.multiple)
    rows, cols = split_axis(grid.height, *cut), split_axis(grid.width, *cut)
    if ground is not None:
        window = ground.turned_window
        rows, cols = rows.part(window.row, window.stop[0]), cols.part(window.col, window.stop[1])
    return ScenePlan(rows, cols, options.multiple, options.tiles_per_pass, ground)


class RowPredictor:
    """A network made ready once, which then predicts any tile rows of any scene."""

    def __init__(
        self, network: nn.Module, statistics: TileStatistics, options: SceneOptions, channels: int = 1
    ) -> None:
        """Prepare.

        Args:
            network: Standardised x (B, C, H, W) to logits (B, M, H, W); set to evaluation mode, moved to
                `options.device` and, if asked for, to channels-last memory order.
            statistics: Mean and deviation per band; invalid pixels become 0 after standardisation.
            options: How the scene is cut and computed.
            channels: M.

        Raises:
            ConfigError: There is no such device.
        """
        self._infer, self._channels = _prepared(network.eval(), options, channels), channels
        self._statistics, self._options = statistics, options

    def run(
        self,
        source: RasterSource,
        sink: RowSink,
        tile_rows: Sequence[int] | None = None,
        progress: Callable[[int], None] | None = None,
        together: int = 1,
        ground: Ground | None = None,
    ) -> None:
        """Predict tile rows (all of them by default), each tile by tile from the left.

        A tile row is the same to the last bit whichever others are asked for. Memory holds a few batches; it depends
        neither on the scene's height nor on its width.

        Args:
            source: Scene in the unit of the statistics.
            sink: Receives the tile rows; called from a thread of its own, never twice at once.
            tile_rows: Ascending.
            progress: Called in the calling thread after each batch with the number of tiles done.
            together: Neighbouring tile rows that are computed side by side, see `tile_batches`; with one, columns come
                tile row by tile row, as `RowJoiner` wants them.
            ground: What is wanted of the scene; None: all of it. Tile rows are counted among those that decide it.

        Raises:
            ConfigError: The network returns another number of channels.
            BundleError: The network returned NaN.
            Exception: Whatever `source`, `sink`, the network or `progress` raise; nothing is swallowed.
        """
        options, plan = self._options, plan_scene(source.georeference, self._options, ground)
        wanted = range(plan.tile_row_count) if tile_rows is None else tile_rows
        batches = tile_batches(source, self._statistics, plan, wanted, together)
        blending = _Blending(plan, sink, self._channels)
        depth = options.queue_batches
        with (
            closing(read_ahead(batches, depth)) as ready,
            WriteBehind(depth) as behind,
            torch.inference_mode(),
            _autocast(options),
        ):
            for batch in ready:
                values = batch.values
                probability = None if values is None else self._infer(torch.from_numpy(values))
                behind.submit(partial(blending.add, batch, probability))
                if progress is not None:
                    progress(batch.done)


class _Blending:
    """Blends batch after batch, each into its tile row."""

    def __init__(self, plan: ScenePlan, sink: RowSink, channels: int) -> None:
        self._plan, self._sink, self._channels = plan, sink, channels
        self._blenders: dict[int, RowBlender] = {}

    def add(self, batch: TileBatch, probability: NDArray[np.float32] | None) -> None:
        """Blend the tiles of a batch; after the last of a tile row, finish it."""
        tile_row, plan = batch.tile_row, self._plan
        if tile_row not in self._blenders:
            self._blenders[tile_row] = RowBlender(plan.rows, plan.cols, tile_row, self._sink, self._channels)
        if probability is not None:
            for tile, values in zip(batch.tiles, probability, strict=True):
                height, width = tile.valid.shape
                computed = values.shape[-2] * values.shape[-1]
                self._blenders[tile_row].add(tile.index, values[..., :height, :width], tile.valid, computed)
        if batch.last:
            self._blenders.pop(tile_row).finish()


def predict_scene(
    source: RasterSource,
    network: nn.Module,
    statistics: TileStatistics,
    options: SceneOptions,
    sink: RasterSink,
    progress: Report | None = None,
) -> SceneSummary:
    """Write the probability of every pixel, tile by tile from the first row to the last, each as soon as it is final.

    Memory holds a few batches and, over the width of the scene, the rows that two rows of tiles share; it does not
    depend on the scene's height. For `network`, `statistics`, `options` and what is raised see `RowPredictor`.

    Args:
        source: Scene in the unit of `statistics`.
        network: Standardised pixels to logits.
        statistics: Mean and deviation per band.
        options: How the scene is cut and computed.
        sink: Receives (h, w) float32 windows in 0..1, NaN where the scene has no data; every pixel once, in rows of
            windows from the top left. It is called from a thread of its own, never twice at once.
        progress: Called in the calling thread after each batch of tiles, in pixels.
    """
    started, plan = time.monotonic(), plan_scene(source.georeference, options)
    predictor = RowPredictor(network, statistics, options)
    joiner = RowJoiner(plan.rows, plan.cols, sink)

    def report(tiles: int) -> None:
        if progress is not None:
            done = plan.pixels * tiles // plan.tile_count
            progress(Progress(ProgressStage.PREDICT, done, plan.pixels, time.monotonic() - started))

    predictor.run(source, joiner, progress=report)
    return summarise(plan, joiner, time.monotonic() - started)


def summarise(plan: ScenePlan, joined: RowJoiner, elapsed_s: float) -> SceneSummary:
    """The summary of a scene whose tile rows have all been joined."""
    return SceneSummary(
        tiles=joined.tiles,
        skipped_tiles=plan.tile_count - joined.tiles,
        valid_pixels=joined.valid_pixels,
        total_pixels=plan.pixels,
        computed_pixels=joined.computed_pixels,
        elapsed_s=elapsed_s,
    )


def _prepared(network: nn.Module, options: SceneOptions, channels: int) -> Infer:
    """The network as a function from tiles (B, C, h, w) to probabilities (B, h, w), or (B, M, h, w) of M channels."""
    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    try:
        network.to(options.device)
    except (RuntimeError, AssertionError) as error:  # what torch raises for an unknown or missing device
        reason = first_line(error)
        raise ConfigError(f"device {options.device!r} cannot be used ({reason}); use cpu.") from error
    network.to(memory_format=layout)

    def infer(tiles: Tensor) -> NDArray[np.float32]:
        """Probabilities of tiles."""
        logits = network(tiles.to(options.device, memory_format=layout))
        if logits.shape[1] != channels:
            needed = "one of one class" if channels == 1 else str(channels)
            raise ConfigError(f"the network returns {logits.shape[1]} channels; scene prediction needs {needed}.")
        chosen = logits[:, 0] if channels == 1 else logits
        if chosen.is_cpu:
            return sigmoid(chosen.float().numpy())
        probability: NDArray[np.float32] = torch.sigmoid(chosen.float()).cpu().numpy()
        return probability

    return infer


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities of logits, in one thread.

    PyTorch would wake its threads for half a millisecond of work. Where another runtime computes the network they
    sleep and the cores are busy: waiting for them takes longer than the work.

    >>> sigmoid(np.array([-200, 0, 200], np.float32))
    array([0. , 0.5, 1. ], dtype=float32)
    """
    with np.errstate(over="ignore"):  # exp(200) is infinite, and 1 / infinity 0
        values = np.exp(-logits)
    values += 1
    return np.reciprocal(values, out=values)


def _autocast(options: SceneOptions) -> AbstractContextManager[object]:
    match options.precision:
        case Precision.FP32 | Precision.INT8:
            return nullcontext()
        case Precision.BF16:
            return torch.autocast(torch.device(options.device).type, torch.bfloat16)
        case Precision.AUTO:
            raise ValueError("auto has to be settled first")
