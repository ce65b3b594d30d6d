"""Scores of the network of a run on its validation chips, outside of the loop of training."""

from __future__ import annotations

from collections.abc import Collection

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from overcast.arithmetic import Precision
from overcast.batch import InputModalities
from overcast.metrics.pixel import PixelCounts, count_pixels
from overcast.metrics.temperature import BINS, count_logits
from overcast.training.folder import RunFolder, read_statistics
from overcast.training.loader import WholeChipLoader, to_device, whole_chips
from overcast.training.module import MethodModule, pooled
from overcast.training.order import Share
from overcast.training.plan import modalities_of


def validate(
    trainer: Trainer, module: MethodModule, folder: RunFolder, ways: Collection[InputModalities]
) -> tuple[dict[InputModalities, PixelCounts], Tensor]:
    """Pixels counted by all processes together, in each way that the method works; the module is left in eval mode.

    Returns:
        Counts of each way, and the histogram (2, bins) of the logits of the deployed one, see `count_logits`.
    """
    plan, options, device = module.plan, module.options, trainer.strategy.root_device
    chips = whole_chips(plan.catalog, plan.split.validation, read_statistics(folder), modalities_of(ways), 0)
    share = Share(trainer.global_rank, trainer.world_size)
    counts = dict.fromkeys(sorted(ways), PixelCounts())
    histogram = torch.zeros((2, BINS), dtype=torch.int64, device=device)
    module.to(device).eval()
    bf16 = options.precision is Precision.BF16
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        for read in WholeChipLoader(chips, options.validation_batch_size, options.workers, share):
            batch = to_device(read, device, channels_last=options.channels_last)
            for way in counts:
                logits = module.method.predict(batch, way)[:, :1]  # the footprint
                counts[way] += count_pixels(logits.float(), batch.require("label"), threshold=0.0)
                if way is plan.facts.primary:
                    histogram += count_logits(logits, batch.require("label"))
    total = trainer.strategy.reduce(histogram, reduce_op="sum")
    assert isinstance(total, Tensor)
    return {way: pooled(found, module) for way, found in counts.items()}, total
