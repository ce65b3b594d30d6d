"""What people write by hand: rasterio windows, the eager network, one raster, rasterio.features.shapes."""

from __future__ import annotations

import numpy as np
import rasterio
import torch
from common import Done, Job, network, run, stepped, write_probability, write_shapes
from rasterio.windows import Window
from torch import nn

TILE = 512


def load(job: Job) -> nn.Module:
    return network(job.weights)


def predict(job: Job, model: nn.Module) -> Done:
    """Windows side by side, each predicted alone; of an overlap, half is thrown away on each side."""
    tile, overlap = job.tile or TILE, job.overlap or 0
    crop = overlap // 2
    with rasterio.open(job.scene) as scene, torch.inference_mode():
        height, width = scene.shape
        probability = np.zeros((height, width), np.float32)
        rows, cols = (stepped(length, tile, tile - overlap) for length in (height, width))
        for row in rows:
            for col in cols:
                values = job.standardise(scene.read(window=Window(col, row, tile, tile)))
                inside = torch.sigmoid(model(torch.from_numpy(values)[None]))[0, 0].numpy()
                top, left = crop * (row > 0), crop * (col > 0)
                probability[row + top : row + tile, col + left : col + tile] = inside[top:, left:]
    write_probability(job, probability)
    write_shapes(job, probability)
    row_borders, col_borders = (tuple(start + crop for start in starts if start > 0) for starts in (rows, cols))
    return Done((row_borders, col_borders), f"{tile} px, {overlap} px overlap")


if __name__ == "__main__":
    run((), load, predict)
