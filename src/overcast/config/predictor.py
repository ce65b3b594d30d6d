"""What a finished run says of chips."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

import torch
from torch import Tensor

from overcast.arithmetic import Precision
from overcast.batch import Batch, InputModalities
from overcast.config.finished import FinishedRun
from overcast.errors import ConfigError
from overcast.evaluation.clouds import clouded
from overcast.evaluation.result import EvaluationOptions
from overcast.methods.base import Method
from overcast.models.channels import footprint_and_boundaries
from overcast.models.views import View, averaged, views_of
from overcast.training.loader import to_device

Predictor = Callable[[Batch], Tensor]
"""A batch to logits (B, K, H, W), the footprint's first."""


def predictor(
    run: FinishedRun, available: InputModalities, device: str, options: EvaluationOptions | None = None
) -> Predictor:
    """Logits of a run's method in the arithmetic that it was trained in, averaged over the views of the options.

    The footprint's alone; where touching buildings are separated, the larger of those of edge and contact as well.

    Raises:
        ConfigError: Touching buildings are to be separated, but the method has learnt neither edges nor contacts.
    """
    return _predictor(run, lambda method, batch: method.predict(batch, available), device, options)


def cloud_predictor(run: FinishedRun, clear: float, device: str, options: EvaluationOptions) -> Predictor:
    """The same of a method that takes both sensors, with clouds over the optical images.

    `clear` is the share of each chip's pixels that they leave. They lie where they lie in every view.
    """
    ask = _predictor(run, lambda method, batch: method.predict_clouded(batch), device, options)
    return lambda batch: ask(clouded(batch, clear))


def _predictor(
    run: FinishedRun, ask: Callable[[Method, Batch], Tensor], device: str, options: EvaluationOptions | None
) -> Predictor:
    options, method = options or EvaluationOptions(), run.bundle.method
    assert method is not None
    if options.separates and method.target_weights is None:
        raise ConfigError(
            f"method {method.name!r} has learnt neither edges nor contacts to separate touching buildings by: train it "
            "with targets.edge=true or targets.contact=true, or evaluate with --separate off."
        )
    views = views_of(options.tta, run.catalog.radiometry.sar.radar_side)
    training, place = run.config.training, torch.device(device)
    method.to(place)

    def autocast() -> AbstractContextManager[None]:
        return torch.autocast(place.type, torch.bfloat16, enabled=training.precision is Precision.BF16)

    def predict(batch: Batch) -> Tensor:
        moved = to_device(batch, place, channels_last=training.channels_last)
        height, width = batch.require("label").shape[-2:]
        with autocast():
            return averaged(lambda view: wanted(ask(method, seen(moved, view))), views, (height, width))

    def wanted(logits: Tensor) -> Tensor:
        return footprint_and_boundaries(logits) if options.separates else logits[:, :1]

    return predict


def seen(batch: Batch, view: View) -> Batch:
    """A view of the images of a batch and of where they have data; all else stays."""

    def apply(image: Tensor | None) -> Tensor | None:
        return None if image is None else view.apply(image)

    if view == View():
        return batch
    return replace(
        batch,
        sar=apply(batch.sar),
        sar_valid=apply(batch.sar_valid),
        optical=apply(batch.optical),
        optical_valid=apply(batch.optical_valid),
    )
