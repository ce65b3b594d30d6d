"""A model as one ONNX file in 8 bits, fitted to scenes and judged by them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch

from overcast.arithmetic import Precision
from overcast.choices import ImageKind
from overcast.raster.addresses import file_name
from overcast.raster.sources import RasterioSource
from overcast.runtime.int8 import Tiles, points_lost, quantised, ranges_of, require_small
from overcast.runtime.options import Runtime
from overcast.runtime.sessions import open_unchecked
from overcast.scenes.declare import scene_radiometry
from overcast.scenes.export import (
    ByteRange,
    Floats,
    checked_difference,
    metadata,
    require_target,
    translated,
    write_export,
)
from overcast.scenes.fitting_tiles import fitting_tiles
from overcast.scenes.model import SceneModel
from overcast.scenes.rotate import RotatedSource

TILES_OF_SCENE = 16


@dataclass(frozen=True)
class Int8Export:
    """What came out."""

    points_lost: float
    """IoU points, estimated as `overcast.runtime.int8` says."""
    tiles: int
    """Number of tiles that the network was judged by."""
    bytes: int
    """Size of the file."""


def export_int8(
    model: SceneModel,
    target: Path,
    scenes: Sequence[Path],
    *,
    tile: int = 512,
    kind: ImageKind = ImageKind.BYTES,
    overwrite: bool = False,
) -> Int8Export:
    """Write the model in 8 bits, with what that costs in the file's metadata.

    Args:
        model: To be written.
        target: The file, .onnx.
        scenes: Of the kind that it will see; half of their tiles give the ranges, the others say what is lost.
        tile: Side of the square tiles.
        kind: What the file is given.
        overwrite: Replace a file that exists.

    Raises:
        ConfigError: It would cost too many points, or the scenes have too few tiles.
        InputError: The file cannot be written, or a scene not be read.
        RadiometryError: A scene is not what the model was trained for.
    """
    require_target(target, tile, overwrite=overwrite)
    tiles = tiles_of_scenes(model, scenes, tile)
    proto = translated(model, kind, tile)
    exact = proto.SerializeToString()
    checked_difference(exact, model, kind, tile, target)
    images = _images(model, kind, tiles)
    made = quantised(exact, ranges_of(exact, images[::2]))
    lost = points_lost(_answers(exact, images[1::2]), _answers(made, images[1::2]), tiles.judging[1])
    require_small(lost, tiles)
    result = Int8Export(max(lost, 0.0), len(images[1::2]), len(made))
    small = onnx.load_from_string(made)
    facts = {
        "overcast_precision": Precision.INT8.value,
        "overcast_int8_points_lost": round(result.points_lost, 4),
        "overcast_int8_judged_by": f"{result.tiles} tiles of {tiles.origin}",
    }
    known = {key: json.dumps(value) for key, value in facts.items()}
    onnx.helper.set_model_props(small, metadata(model, kind, tile) | known)
    write_export(target, small.SerializeToString(), overwrite=overwrite)
    return result


def tiles_of_scenes(model: SceneModel, scenes: Sequence[Path], side: int) -> Tiles:
    """Tiles of several scenes, turned as the model sees them; scenes declare themselves as for `predict`."""
    found = []
    for path in scenes:
        sensor = scene_radiometry([path])
        with RasterioSource.open([path], sensor, virtual=True) as source:
            turn = model.turn_for(sensor, source.georeference, file_name(path))
            seen = RotatedSource(source, turn) if turn else source
            statistics = model.at_level_of(source, sensor).statistics
            found.append(fitting_tiles(seen, statistics, file_name(path), side=side, count=TILES_OF_SCENE))
    return Tiles(
        np.concatenate([tiles.values for tiles in found]),
        np.concatenate([tiles.valid for tiles in found]),
        ", ".join(tiles.origin for tiles in found),
    )


def _images(model: SceneModel, kind: ImageKind, tiles: Tiles) -> Floats:
    """Standardised tiles as the export is given them."""
    mean, std = (np.array(part, np.float32)[:, None, None] for part in (model.statistics.mean, model.statistics.std))
    values = tiles.values * std + mean
    if kind is ImageKind.UNIT:
        return np.where(tiles.valid[:, None], values, np.float32(np.nan)).astype(np.float32)
    scale, pairs = ByteRange.of(model), zip(values, tiles.valid, strict=True)
    return np.stack([scale.encode(image, valid) / np.float32(255) for image, valid in pairs])


def _answers(content: bytes, images: Floats) -> Floats:
    """(N, h, w) probability."""
    session = open_unchecked(Runtime.ONNXRUNTIME, Precision.FP32, content, torch.get_num_threads())
    return np.stack([session(image[None])[0, 0] for image in images])
