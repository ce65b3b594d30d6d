# ruff: noqa: ARG002  # Lightning fixes the signatures of its hooks
"""What a person sees while training runs: a bar with rate and estimate, and one line per round."""

from __future__ import annotations

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from overcast.training.module import MethodModule


class TrainingProgress(Callback):
    """Bar on a terminal; on anything else only the line per round."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task: TaskID | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the bar, advanced to where a resumed run stands."""
        if trainer.is_global_zero:
            assert isinstance(pl_module, MethodModule)
            self._progress.start()
            self._task = self._progress.add_task(
                pl_module.method.name, total=pl_module.options.steps, completed=trainer.global_step, rate=""
            )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Advance."""
        if self._task is not None:
            assert isinstance(pl_module, MethodModule)
            rate = pl_module.latest.get("chips_per_s")
            text = "" if rate is None else f"{rate:.1f} chips/s"
            self._progress.update(self._task, completed=trainer.global_step, rate=text)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The line of the round."""
        if self._task is not None:
            assert isinstance(pl_module, MethodModule)
            latest, options = pl_module.latest, pl_module.options
            finished = -(-trainer.global_step // options.round_steps)
            self._console.print(
                f"round {finished}/{options.rounds}  step {trainer.global_step}/{options.steps}  "
                f"loss {latest['loss']:.4f}  validation IoU {pl_module.validation_iou:.4f} "
                f"({pl_module.plan.facts.primary.value})  {latest['chips_per_s']:.1f} chips/s",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the bar away."""
        self._progress.stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Take the bar away, so that the error stands alone."""
        self._progress.stop()
