"""Raster Vision: sliding windows over a scene, a learner around the network, smooth labels, its own polygons."""

from __future__ import annotations

import numpy as np
import torch
from common import Done, Job, changes, network, run, write_probability
from rastervision.core.data import ClassConfig, PolygonVectorOutputConfig, SemanticSegmentationLabels
from rastervision.pytorch_learner import (
    SemanticSegmentationGeoDataConfig,
    SemanticSegmentationLearner,
    SemanticSegmentationLearnerConfig,
    SemanticSegmentationSlidingWindowGeoDataset,
    SolverConfig,
)
from torch import nn

TILE, BATCH = 320, 8
"""Its windows are 300 px side by side; the network takes multiples of 32."""
CLASSES = ClassConfig(names=["background", "building"], colors=["black", "white"], null_class="background")


class TwoClasses(nn.Module):
    """dB to logits of two classes, whose softmax is the network's sigmoid."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, model: nn.Module, job: Job) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.tensor(job.mean)[:, None, None])
        self.register_buffer("std", torch.tensor(job.std)[:, None, None])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 4, H, W) to (B, 2, H, W)."""
        logits = self.model((x - self.mean) / self.std)
        return torch.cat([torch.zeros_like(logits), logits], dim=1)


def load(job: Job) -> SemanticSegmentationLearner:
    data = SemanticSegmentationGeoDataConfig(class_config=CLASSES, img_channels=4, num_workers=0)
    config = SemanticSegmentationLearnerConfig(data=data, solver=SolverConfig(batch_sz=1 if job.tile else BATCH))
    return SemanticSegmentationLearner(config, model=TwoClasses(network(job.weights), job), training=False)


def predict(job: Job, learner: SemanticSegmentationLearner) -> Done:
    tile, overlap = job.tile or TILE, job.overlap or 0
    stride = tile - overlap
    dataset = SemanticSegmentationSlidingWindowGeoDataset.from_uris(
        class_config=CLASSES,
        image_uri=str(job.scene),
        image_raster_source_kw={"channel_order": list(range(4))},
        size=tile,
        stride=stride,
        normalize=False,
    )
    predictions = learner.predict_dataset(dataset, raw_out=True, numpy_out=True, progress_bar=False)
    extent = dataset.scene.extent
    labels = SemanticSegmentationLabels.from_predictions(
        dataset.windows, predictions, extent, num_classes=2, smooth=True
    )
    write_probability(job, np.asarray(labels.get_score_arr(extent)[1]))
    labels.save(
        str(job.output),
        crs_transformer=dataset.scene.raster_source.crs_transformer,
        class_config=CLASSES,
        smooth_output=False,
        vector_outputs=[PolygonVectorOutputConfig(class_id=1, denoise=0)],
    )
    (polygons,) = job.output.glob("**/class-1-*.json")
    polygons.replace(job.footprints.with_suffix(".geojson"))
    borders = _borders(extent.height, tile, stride), _borders(extent.width, tile, stride)
    return Done(borders, f"{tile} px, {overlap} px overlap, batch {learner.cfg.solver.batch_sz}")


def _borders(length: int, tile: int, stride: int) -> tuple[int, ...]:
    return changes(list(range(0, length, stride)), tile, length)


if __name__ == "__main__":
    run(("rastervision",), load, predict)
