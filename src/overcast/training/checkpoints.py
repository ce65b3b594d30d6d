# ruff: noqa: ARG002  # Lightning fixes the signatures of its plugins
"""Checkpoints that a kill cannot tear, loaded without executing anything."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from safetensors.torch import load_file, save

from overcast.atomic import write_atomic
from overcast.bundle.bundle import plain_tensors
from overcast.errors import InputError, is_environment_error
from overcast.methods.base import Method
from overcast.training.folder import RunFolder
from overcast.training.module import MethodModule
from overcast.training.validation import validate


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes beside and renames after the bytes are on disk; loads with `weights_only=True`."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Save a checkpoint; `path` holds the old one until the new one is complete."""
        content = io.BytesIO()  # torch hides the operating system's error when it writes to a file itself
        torch.save(checkpoint, content)
        write_atomic(Path(path), content.getbuffer())

    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Load tensors and plain values only. Raises InputError for a damaged file."""
        try:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # the unpickler raises whatever its bytes lead it to
            if is_environment_error(error):
                raise
            raise InputError(f"{path} is damaged: delete it, and the run starts afresh.") from error
        if not isinstance(loaded, dict) or not isinstance(loaded.get("global_step"), int):
            raise InputError(f"{path} is not a checkpoint of a training: delete it, and the run starts afresh.")
        return loaded


class RoundCheckpoint(Checkpoint):
    """At the end of each round: the best weights where validation improved, then everything needed to resume.

    In this order a kill between the two loses nothing: the round is repeated from the older `last.ckpt` and writes
    the same best weights again.

    A model that training starts from is scored before the first step: a few labels do not always make it better, and
    then it stays as it came.
    """

    def __init__(self, folder: RunFolder, say: Callable[[str], None]) -> None:
        self.best_iou = -1.0
        self.best_step = 0
        self._folder, self._say = folder, say

    def state_dict(self) -> dict[str, Any]:
        """What must survive a restart."""
        return {"best_iou": self.best_iou, "best_step": self.best_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the state of a former process."""
        self.best_iou, self.best_step = float(state_dict["best_iou"]), int(state_dict["best_step"])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score what training starts from, where that is a whole model."""
        assert isinstance(pl_module, MethodModule)
        started = pl_module.started
        if trainer.global_step or started is None or not started.whole:
            return
        pl_module.validation_counts, _ = validate(trainer, pl_module, self._folder, pl_module.plan.judged)
        pl_module.train()
        self.best_iou = pl_module.validation_iou
        self._say(f"{started.parent.name} as it came: {pl_module.validation_text}")
        if trainer.is_global_zero:
            save_best(self._folder.best, pl_module.method)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write curve, best and last."""
        assert isinstance(pl_module, MethodModule)
        improved = pl_module.validation_iou > self.best_iou
        if improved:
            self.best_iou, self.best_step = pl_module.validation_iou, trainer.global_step
        if trainer.is_global_zero:
            if improved:
                save_best(self._folder.best, pl_module.method)
            pl_module.curves.write()
        trainer.save_checkpoint(self._folder.last)


def save_best(path: Path, method: Method) -> None:
    """Weights of every branch as safetensors."""
    write_atomic(path, save(plain_tensors(method)))


def load_best(path: Path, method: Method) -> None:
    """Load what `save_best` wrote, strictly."""
    method.load_state_dict(load_file(path), strict=True)
