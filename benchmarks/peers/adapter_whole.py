"""The reference: the network on the whole scene at once, untiled."""

from __future__ import annotations

import rasterio
import torch
from common import Done, Job, network, run, write_probability, write_shapes
from torch import nn

from overcast.bundle.bundle import load_bundle
from overcast.scenes.model import SceneModel


def load(job: Job) -> nn.Module:
    if job.bundle is None:
        return network(job.weights)
    return SceneModel.of(load_bundle(job.bundle)).network.eval()


def predict(job: Job, model: nn.Module) -> Done:
    with rasterio.open(job.scene) as scene:
        x = torch.from_numpy(job.standardise(scene.read()))[None]
    with torch.inference_mode():
        probability = torch.sigmoid(model(x))[0, 0].numpy()
    write_probability(job, probability)
    write_shapes(job, probability)
    return Done(((), ()), "one")


if __name__ == "__main__":
    run((), load, predict)
