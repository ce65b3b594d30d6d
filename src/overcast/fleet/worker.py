"""What a worker does: one block of one scene, from address to bytes, with nothing shared but the model."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from overcast import __version__
from overcast.choices import Encoding
from overcast.errors import ClusterError, OvercastError
from overcast.models.views import with_views
from overcast.outputs.cog import bounded_cache
from overcast.raster.addresses import file_name
from overcast.raster.grid import Turn
from overcast.raster.radiometry import BandStatistics, SensorRadiometry
from overcast.raster.sources import RasterioSource, RasterSource
from overcast.runtime.network import fast_network
from overcast.runtime.options import RuntimeOptions
from overcast.scenes.blockfile import Block, BlockWriter
from overcast.scenes.check import tile_checked
from overcast.scenes.ground import Ground
from overcast.scenes.model import SceneModel
from overcast.scenes.plan import torch_threads
from overcast.scenes.rotate import RotatedSource
from overcast.scenes.scene import RowPredictor, SceneOptions, plan_scene
from overcast.scenes.sky import OpticalInput, Sky, open_sky
from overcast.scenes.two_sensors import with_parts


@dataclass(frozen=True)
class BlockTask:
    """One block to compute. It travels; the model does not, it is there already."""

    scene: tuple[Path, ...]
    """Files as every worker can read them."""
    sensor: SensorRadiometry
    turn: Turn
    options: SceneOptions
    encoding: Encoding
    tile_row: int
    threads: int
    """Threads of the network: another number would change the last bits."""
    title: str
    """Names the scene's output in errors."""
    version: str = __version__
    """Version of Overcast where the task was made."""
    optical: OpticalInput | None = None
    """The optical image beside the scene."""
    ground: Ground | None = None
    """What of the turned scene is wanted; None: all of it."""


@dataclass(frozen=True)
class BlockResult:
    """A finished block and its file."""

    block: Block
    content: bytes


_Opened = tuple[RasterioSource, Sky | None]
Outcome = BlockResult | OvercastError
"""Errors that the user can mend are values: not every way home keeps the class of an exception."""


class BlockWorker:
    """Computes blocks, one after the other; keeps the last scene open and the network ready."""

    def __init__(self, model: SceneModel) -> None:
        self._model = model
        self._predictor: tuple[SceneOptions, BandStatistics, RowPredictor] | None = None
        self._levelled = model
        self._source: tuple[tuple[tuple[Path, ...], OpticalInput | None], _Opened] | None = None
        self._stack = ExitStack()

    def compute(self, task: BlockTask) -> Outcome:
        """The block of a task. Errors other than the user's are raised."""
        if task.version != __version__:
            return ClusterError(
                f"a worker has Overcast {__version__}, but {task.version} asks for work; install the same everywhere."
            )
        try:
            with bounded_cache(), torch_threads(task.threads), tempfile.TemporaryDirectory() as folder:
                return self._compute(task, Path(folder))
        except OvercastError as error:
            self._close()  # a scene that failed is opened anew
            return error

    def _compute(self, task: BlockTask, folder: Path) -> BlockResult:
        modality, name = self._model.modality, file_name(task.scene[0])
        radar, sky = self._open(task)
        source: RasterSource = tile_checked(radar, task.sensor, modality, name)
        source = source if sky is None else sky.behind(source)
        source = RotatedSource(source, task.turn)
        blocks: list[Block] = []
        plan = plan_scene(source.georeference, task.options, task.ground)
        writer = BlockWriter(folder, plan, task.encoding, blocks.append, task.title)
        try:
            self._ready(task.options).run(source, writer, [task.tile_row], ground=task.ground)
        finally:
            writer.close()
        (block,) = blocks
        return BlockResult(block, b"" if block.name is None else (folder / block.name).read_bytes())

    def _ready(self, options: SceneOptions) -> RowPredictor:
        options, model = replace(options, threads=None), self._levelled
        if self._predictor is None or self._predictor[:2] != (options, model.statistics):
            runtime = RuntimeOptions(options.runtime, options.precision, options.device, options.keep_exports)
            fast = with_parts(model.network, partial(fast_network, options=runtime))
            network = with_views(fast, options.tta, model.sensor.radar_side)
            predictor = RowPredictor(network, model.tile_statistics, options, model.planes)
            self._predictor = (options, model.statistics, predictor)
        return self._predictor[2]

    def _open(self, task: BlockTask) -> _Opened:
        if self._source is None or self._source[0] != (task.scene, task.optical):
            self._close()
            radar = self._stack.enter_context(RasterioSource.open(task.scene, task.sensor, virtual=True))
            sky = None
            if task.optical is not None and self._model.optical is not None:
                about = (self._model.optical.sensor, radar.georeference, task.scene[0])
                sky = self._stack.enter_context(open_sky(task.optical, *about))
            self._levelled = self._model.at_level_of(radar, task.sensor)
            self._source = ((task.scene, task.optical), (radar, sky))
        return self._source[1]

    def _close(self) -> None:
        self._source = None
        self._stack.close()
