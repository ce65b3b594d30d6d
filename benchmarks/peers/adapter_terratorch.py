"""TerraTorch: `tiled_inference` on the whole scene as one tensor; it draws no polygons, so rasterio does."""

from __future__ import annotations

import rasterio
import torch
from common import Done, Job, changes, network, run, write_probability, write_shapes
from terratorch.tasks.tiled_inference import tiled_inference
from torch import nn

CROP, STRIDE, DELTA, BATCH = 224, 192, 8, 16
"""What `tiled_inference` takes by itself (1.2)."""


def load(job: Job) -> nn.Module:
    return network(job.weights)


def predict(job: Job, model: nn.Module) -> Done:
    with rasterio.open(job.scene) as scene:
        x = torch.from_numpy(job.standardise(scene.read()))[None]
    crop, stride, delta, options = CROP, STRIDE, DELTA, {}
    if job.tile is not None and job.overlap is not None:
        crop, stride, delta = job.tile, job.tile - job.overlap, job.overlap // 2
        options = {"crop": crop, "stride": stride, "delta": delta, "batch_size": 1}
    logits = tiled_inference(model, x, **options)
    probability = torch.sigmoid(logits[0, 0]).numpy()
    write_probability(job, probability)
    write_shapes(job, probability)
    rows, cols = (_borders(length, crop, stride, delta) for length in x.shape[-2:])
    return Done(
        (rows, cols),
        f"{crop} px, stride {stride}, {delta} px cut off, batch {options.get('batch_size', BATCH)}",
    )


def _borders(length: int, crop: int, stride: int, delta: int) -> tuple[int, ...]:
    """Positions in the scene of the ends of tiles, which lie in a scene that was reflected by `delta` on each side."""
    padded = length + 2 * delta
    starts = [*range(0, padded - crop - 1, stride), padded - crop]
    return changes(starts, crop - 2 * delta, length)


if __name__ == "__main__":
    run(("terratorch",), load, predict)
