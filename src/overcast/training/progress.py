# ruff: noqa: ARG002  # Lightning fixes the signatures of its hooks
"""What a person sees while training runs: a bar with rate and estimate, and one line per round."""

from __future__ import annotations

from contextlib import ExitStack

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from rich.console import Console

from overcast.lifesigns import Update, shown
from overcast.training.module import MethodModule


class TrainingProgress(Callback):
    """Bar on a terminal, life signs elsewhere, and one line per round everywhere."""

    def __init__(self, console: Console) -> None:
        self._console, self._stack = console, ExitStack()
        self._update: Update | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the bar, advanced to where a resumed run stands."""
        if trainer.is_global_zero:
            assert isinstance(pl_module, MethodModule)
            self._update = self._stack.enter_context(shown(pl_module.method.name, "steps", self._console))
            self._update(trainer.global_step, pl_module.options.steps)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Advance."""
        if self._update is not None:
            assert isinstance(pl_module, MethodModule)
            latest = pl_module.latest
            text = f"loss {latest['loss']:.4f}, {latest['chips_per_s']:.1f} chips/s" if latest else ""
            self._update(trainer.global_step, pl_module.options.steps, pl_module.method.name, text)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The line of the round."""
        if self._update is not None:
            assert isinstance(pl_module, MethodModule)
            latest, options = pl_module.latest, pl_module.options
            finished = -(-trainer.global_step // options.round_steps)
            self._console.print(
                f"round {finished}/{options.rounds}  step {trainer.global_step}/{options.steps}  "
                f"loss {latest['loss']:.4f}  {pl_module.validation_text}  {latest['chips_per_s']:.1f} chips/s",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the bar away."""
        self._stack.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Take the bar away, so that the error stands alone."""
        self._stack.close()
