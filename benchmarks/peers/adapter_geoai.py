"""geoai: `predict_geotiff` from file to file, then `raster_to_vector`."""

from __future__ import annotations

import numpy as np
import rasterio
import torch
from common import THRESHOLD, Done, Job, changes, network, run, stepped
from geoai.inference import predict_geotiff
from geoai.utils import raster_to_vector
from torch import nn

TILE, OVERLAP, BATCH = 256, 64, 4
"""What `predict_geotiff` takes by itself (0.40)."""


class Probability(nn.Module):
    """The network with a sigmoid, so that the raster holds probabilities."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 4, H, W) to (B, 1, H, W) in 0..1."""
        return torch.sigmoid(self.model(x))


def load(job: Job) -> nn.Module:
    return Probability(network(job.weights))


def predict(job: Job, model: nn.Module) -> Done:
    tile, overlap = job.tile or TILE, OVERLAP if job.overlap is None else job.overlap
    options = {} if job.tile is None else {"tile_size": tile, "overlap": overlap, "batch_size": 1}
    predict_geotiff(
        model,
        str(job.scene),
        str(job.probability),
        preprocess_fn=job.standardise,
        verbose=False,
        device="cpu",
        **options,
    )
    mask = job.output / "mask.tif"
    with rasterio.open(job.probability) as source:
        profile, values = source.profile | {"dtype": "uint8", "nodata": None}, source.read(1) >= THRESHOLD
    with rasterio.open(mask, "w", **profile) as sink:
        sink.write(values.astype(np.uint8), 1)
    raster_to_vector(str(mask), str(job.footprints), min_area=0)
    with rasterio.open(job.scene) as scene:
        rows, cols = (changes(stepped(length, tile, tile - overlap), tile, length) for length in scene.shape)
    return Done((rows, cols), f"{tile} px, {overlap} px overlap, batch {options.get('batch_size', BATCH)}")


if __name__ == "__main__":
    run(("geoai-py",), load, predict)
