# ruff: noqa: ARG002  # Lightning fixes the signatures of its hooks
"""The one LightningModule: it sums and logs the losses that a method names, and scores its deployable path."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from statistics import fmean
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from overcast.batch import Batch, InputModalities
from overcast.bundle.record import Parent
from overcast.errors import ConfigError
from overcast.methods.base import Method
from overcast.methods.one_stream import OneStream
from overcast.methods.options import build_method
from overcast.metrics.pixel import PixelCounts, count_pixels
from overcast.training.curves import Curves
from overcast.training.folder import RunFolder, read_statistics
from overcast.training.options import NormMode, OptimiserOptions, rate_factor
from overcast.training.plan import TrainingPlan
from overcast.training.start import Started, start_from
from overcast.training.teaching import give_teacher, remember_teacher


class MethodModule(LightningModule):
    """Trains any method."""

    method: Method

    def __init__(
        self, plan: TrainingPlan, folder: RunFolder, curves: Curves, say: Callable[[str], None] = lambda _: None
    ) -> None:
        super().__init__()
        self._say = say
        self.plan, self.options, self.curves = plan, plan.options, curves
        self.validation_counts: dict[InputModalities, PixelCounts] = {}
        """Of the newest validation, for each way of working that decides which weights are kept."""
        self.latest: dict[str, float] = {}
        """Newest value of each logged quantity, for the progress display."""
        self.started: Started | None = None
        """What was taken over from another model."""
        self.teacher: Parent | None = None
        """The finished model that is learned from."""
        self._folder = folder
        self._recent: list[dict[str, Tensor]] = []
        self._clock = time.perf_counter()

    def configure_model(self) -> None:
        """Build the network, its random weights drawn from the seed. Called when the run folder is prepared."""
        if not hasattr(self, "method"):
            torch.manual_seed(self.options.seed)
            self.method = build_method(self.plan.method, self.plan.network, read_statistics(self._folder))
            if self.plan.start is not None:
                keep, radiometry = self.options.batch_norm is NormMode.FROZEN, self.plan.catalog.radiometry
                self.started = start_from(self.method, self.plan.start, radiometry, keep_statistics=keep)
                self._say(self.started.sentence)
            if isinstance(self.method, OneStream):
                self._meet_teacher(self.method)
            if self.options.channels_last:
                self.method.to(memory_format=torch.channels_last)
            self.train()

    def _meet_teacher(self, method: OneStream) -> None:
        self.teacher = give_teacher(method, self.plan.catalog.radiometry, read_statistics(self._folder))
        remember_teacher(self._folder, self.teacher, write=self.trainer.is_global_zero)
        self._say(f"learning from {self.teacher.name}: {', '.join(self.teacher.taken)}")

    @property
    def validation_iou(self) -> float:
        """IoU of the newest validation, 0 .. 1: the mean over the ways of working that decide."""
        return fmean(counts.iou for counts in self.validation_counts.values())

    @property
    def validation_text(self) -> str:
        """The newest validation in words."""
        ways = [f"{counts.iou:.4f} ({way.value})" for way, counts in self.validation_counts.items()]
        return f"validation IoU {', '.join(ways)}"

    def train(self, mode: bool = True) -> MethodModule:
        """Training mode, but for batch normalisation that is to stay frozen."""
        super().train(mode)
        if mode and self.options.batch_norm is NormMode.FROZEN:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def on_train_start(self) -> None:
        """Set the learning rate of the step that comes: a checkpoint holds that of the length which the run had."""
        schedule = self.lr_schedulers()
        assert isinstance(schedule, LambdaLR)
        for group, base in zip(schedule.optimizer.param_groups, schedule.base_lrs, strict=True):
            group["lr"] = base * self._rate_factor(self.global_step)

    def on_train_epoch_start(self) -> None:
        """Start the clock of a round."""
        self._clock = time.perf_counter()

    def on_train_batch_start(self, batch: tuple[Batch, ...], batch_idx: int) -> None:
        """Prepare the method for the next step: its stages begin here, outside of what is differentiated."""
        self.method.begin_step(self.global_step, self.options.steps)

    def training_step(self, batch: tuple[Batch, ...], batch_idx: int) -> Tensor:
        """Sum of the method's losses. Random draws inside (dropout) depend on seed, step and process alone."""
        torch.manual_seed(step_seed(self.options.seed, self.global_step, self.global_rank))
        terms = self.method.losses_of_parts(batch, self.global_step, self.options.steps)
        total = torch.stack([term.float() for term in terms.values()]).sum()
        self._recent.append({"loss": total.detach()} | {name: term.detach() for name, term in terms.items()})
        return total

    def on_train_batch_end(self, outputs: object, batch: tuple[Batch, ...], batch_idx: int) -> None:
        """Log every `log_steps` steps and at the end of a round."""
        step = self.global_step
        if step % self.options.log_steps == 0 or step % self.options.round_steps == 0 or step == self.options.steps:
            self._log(step)

    def _log(self, step: int) -> None:
        """Average the losses since the last row over steps and processes. Raises ConfigError where one is not finite.

        The one synchronisation with the device: losses are not looked at in between.
        """
        recent, self._recent = self._recent, []
        first = step - len(recent) + 1
        means: dict[str, float] = {}
        for name in dict.fromkeys(name for terms in recent for name in terms):
            values = torch.stack([terms[name].float() for terms in recent if name in terms])
            mean = float(self.trainer.strategy.reduce(values.mean(), reduce_op="mean"))
            if not math.isfinite(mean):
                raise ConfigError(
                    f"training diverged: {name} is {mean} in steps {first} .. {step}; lower "
                    "training.optimiser.learning_rate or set training.precision=fp32 (the last checkpoint is kept)."
                )
            means[name] = mean
        now, optimiser = time.perf_counter(), self.options.optimiser
        rates = {
            "learning_rate": optimiser.learning_rate * self._rate_factor(step - 1),
            "chips_per_s": len(recent) * self.options.batch_size / (now - self._clock),
        }
        self._clock = now
        self.latest |= means | rates
        self.curves.add(step, means | rates)

    def on_validation_start(self) -> None:
        """Give every process the buffers of the first: the running statistics that its checkpoint will hold."""
        self.validation_counts = dict.fromkeys(self.plan.judged, PixelCounts())
        if self.trainer.world_size > 1:
            for buffer in self.buffers():
                torch.distributed.broadcast(buffer, 0)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Count pixels of one batch of whole chips."""
        for way in self.validation_counts:
            logits = self.method.predict(batch, way)[:, :1]  # the footprint
            self.validation_counts[way] += count_pixels(logits.float(), batch.require("label"), threshold=0.0)

    def on_validation_epoch_end(self) -> None:
        """Pool the counts of all processes and log the scores."""
        self.validation_counts = {way: pooled(counts, self) for way, counts in self.validation_counts.items()}
        scores: dict[str, float] = {}
        for way, counts in self.validation_counts.items():
            prefix = "validation" if way is self.plan.facts.primary else f"validation_{way.value}"
            scores |= {f"{prefix}_{name}": value for name, value in scores_of(counts).items()}
        self.latest |= scores
        self.curves.add(self.global_step, scores)

    def configure_optimizers(self) -> Any:
        """AdamW whose rate follows `rate_factor` per step, from its beginning in each stage of the method."""
        options = self.options.optimiser
        optimiser = AdamW(self._groups(), lr=options.learning_rate, fused=True)
        schedule = LambdaLR(optimiser, self._rate_factor)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip the norm of the whole gradient; Lightning itself refuses to where the optimiser is fused."""
        if self.options.optimiser.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.parameters(), self.options.optimiser.clip_norm)

    def _groups(self) -> list[dict[str, Any]]:
        """Groups of parameters; what was taken over from another model has a rate of its own."""
        options, start, started = self.options.optimiser, self.plan.start, self.started
        if start is None or started is None or start.rate == 1:
            return parameter_groups(self.method.parameters(), options)
        taken: list[nn.Parameter] = []
        new: list[nn.Parameter] = []
        for parameter in self.method.parameters():
            (taken if id(parameter) in started.parameters else new).append(parameter)
        slow = parameter_groups(taken, options)
        return [*parameter_groups(new, options), *({**g, "lr": start.rate * options.learning_rate} for g in slow)]

    def _rate_factor(self, step: int) -> float:
        position = self.method.position(step, self.options.steps)
        return position.stage.rate * rate_factor(position.step, max(1, position.steps), self.options.optimiser)


def step_seed(seed: int, step: int, rank: int) -> int:
    """Seed of the draws inside one training step of one process."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1)[0])


def parameter_groups(parameters: Iterable[nn.Parameter], options: OptimiserOptions) -> list[dict[str, Any]]:
    """Convolution and linear weights with decay, norms and biases without."""
    parameters = [parameter for parameter in parameters if parameter.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def scores_of(counts: PixelCounts) -> dict[str, float]:
    """The pixel metrics of pooled counts."""
    return {"iou": counts.iou, "f1": counts.f1, "precision": counts.precision, "recall": counts.recall}


def pooled(counts: PixelCounts, module: LightningModule) -> PixelCounts:
    """Sum of the counts of all processes."""
    table = torch.tensor([counts.tp, counts.fp, counts.fn, counts.tn], dtype=torch.int64, device=module.device)
    total = module.trainer.strategy.reduce(table, reduce_op="sum")
    assert isinstance(total, Tensor)
    return PixelCounts(*(int(value) for value in total))
