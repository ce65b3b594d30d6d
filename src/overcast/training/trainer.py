"""The Lightning trainer, its devices, and the global switches that it throws."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, assert_never

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy

from overcast.arithmetic import Precision
from overcast.errors import ConfigError
from overcast.training.checkpoints import AtomicCheckpoints
from overcast.training.options import Accelerator, NormMode, TrainingOptions
from overcast.training.plan import TrainingPlan

LIGHTNING_LOGGERS = ("lightning.pytorch", "lightning.fabric")


def build_trainer(plan: TrainingPlan, folder: Path, events: TensorBoardLogger, callbacks: list[Callback]) -> Trainer:
    """A trainer whose epochs are our rounds. Raises ConfigError where the machine lacks what the options ask for."""
    options = plan.options
    gpu = _use_gpu(options.accelerator)
    if options.batch_norm is NormMode.SYNCED and not gpu:
        raise ConfigError("training.batch_norm=synced needs GPUs: choose local or frozen.")
    devices, nodes = _processes(options)
    world = devices * nodes
    if options.batch_size % world:
        raise ConfigError(
            f"training.batch_size: {options.batch_size} chips cannot be shared evenly by {world} processes; "
            f"choose a multiple of {world}."
        )
    if world > 1:
        _require_same_kinds(plan, world)
    deterministic = options.deterministic if options.deterministic is not None else not gpu
    return Trainer(
        accelerator="gpu" if gpu else "cpu",
        devices=devices,
        num_nodes=nodes,
        strategy=DDPStrategy(find_unused_parameters=not plan.facts.uses_all_parameters) if world > 1 else "auto",
        precision=_lightning_precision(options.precision),
        max_epochs=options.rounds,
        reload_dataloaders_every_n_epochs=1,
        deterministic=deterministic,
        benchmark=gpu and not deterministic,
        sync_batchnorm=options.batch_norm is NormMode.SYNCED,
        logger=events,
        callbacks=callbacks,
        plugins=[AtomicCheckpoints()],
        default_root_dir=folder,
        num_sanity_val_steps=0,
        log_every_n_steps=1,  # nothing is logged through Lightning: `Curves` does it
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


def _require_same_kinds(plan: TrainingPlan, world: int) -> None:
    """Raise ConfigError where processes would get different kinds of places: their losses are pooled one by one."""
    options = plan.options
    for pool in plan.pools:
        unlabelled = pool.unlabelled_of(options.batch_size, options.unlabelled_share)
        if unlabelled % world:
            raise ConfigError(
                f"training.unlabelled_share: {unlabelled} unlabelled samples of {options.batch_size} cannot be shared "
                f"evenly by {world} processes; choose a share that gives a multiple of {world}."
            )


def event_log(folder: Path, resumed_step: int) -> TensorBoardLogger:
    """TensorBoard events in `folder`/tensorboard; what a killed process logged past `resumed_step` is hidden."""
    purge = resumed_step + 1 if resumed_step else None
    return TensorBoardLogger(folder, name="", version="tensorboard", default_hp_metric=False, purge_step=purge)


def _use_gpu(accelerator: Accelerator) -> bool:
    found = torch.cuda.is_available()
    match accelerator:
        case Accelerator.AUTO:
            return found
        case Accelerator.CPU:
            return False
        case Accelerator.GPU:
            if not found:
                raise ConfigError("training.accelerator=gpu, but no GPU can be used: choose auto or cpu.")
            return True
        case _:
            assert_never(accelerator)


def _processes(options: TrainingOptions) -> tuple[int, int]:
    """Processes per machine and machines; torchrun has already decided."""
    if torch.distributed.is_available() and torch.distributed.is_torchelastic_launched():
        local = int(os.environ["LOCAL_WORLD_SIZE"])
        return local, int(os.environ["WORLD_SIZE"]) // local
    return options.devices, options.nodes


def _lightning_precision(precision: Precision) -> Any:
    match precision:
        case Precision.FP32:
            return "32-true"
        case Precision.BF16:
            return "bf16-mixed"
        case Precision.AUTO | Precision.INT8:
            raise ValueError("auto has to be settled first, and nothing trains in int8")
        case _:
            assert_never(precision)


@contextmanager
def restored_switches() -> Iterator[None]:
    """Give the caller's process back with torch's global switches and random state as they were."""
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn = torch.backends.cudnn
    benchmark, cudnn_deterministic = cudnn.benchmark, cudnn.deterministic
    memory: Any = torch.utils.deterministic
    fill = memory.fill_uninitialized_memory
    with torch.random.fork_rng(devices=[]):
        memory.fill_uninitialized_memory = False  # up to a tenth of a step; every value is written before it is read
        try:
            yield
        finally:
            memory.fill_uninitialized_memory = fill
            torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
            cudnn.benchmark, cudnn.deterministic = benchmark, cudnn_deterministic


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Lightning's notes, and the warnings that do not apply to this trainer."""
    loggers = [logging.getLogger(name) for name in LIGHTNING_LOGGERS]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        # chosen on purpose: accelerator=cpu on a machine with a GPU
        warnings.filterwarnings("ignore", message="GPU available but not used", module="lightning")
        # frozen normalisation and frozen teachers are in eval mode by design
        warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode", module="lightning")
        # Lightning 2.6 flattens loaders with a class that torch 2.11 deprecates
        warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated")
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
