"""From a plan to bundles: claim the folder, fit, choose the best round, score it, write the results."""

from __future__ import annotations

import signal
from contextlib import nullcontext
from pathlib import Path

import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import Trainer
from rich.console import Console

from overcast.arithmetic import capabilities, precision_sentence
from overcast.bundle.bundle import save_bundle
from overcast.bundle.record import BundleFacts, Kind
from overcast.methods.options import bundled_options
from overcast.metrics.temperature import fit_temperature
from overcast.processes import sole_user
from overcast.training.checkpoints import AtomicCheckpoints, RoundCheckpoint, load_best
from overcast.training.curves import Curves
from overcast.training.data import RunData
from overcast.training.folder import RunFolder, read_data, read_statistics
from overcast.training.lengthen import lengthen
from overcast.training.module import MethodModule, scores_of
from overcast.training.plan import TrainingPlan, TrainResult
from overcast.training.progress import TrainingProgress
from overcast.training.trainer import build_trainer, event_log, quiet, restored_switches
from overcast.training.validation import validate


def train(plan: TrainingPlan, output: Path, *, resume: bool = True, console: Console | None = None) -> TrainResult:
    """Train, or go on where a stopped run stands; a finished run is left as it is, or lengthened to more steps.

    Args:
        plan: What to train.
        output: Run folder, see `overcast.training.folder`.
        resume: False deletes a run that is there and starts afresh.
        console: Where progress is shown; by default standard error.

    Raises:
        ConfigError: The folder belongs to another run, another process trains into it, the loss is not finite, the
            settings do not fit together, or a finished run cannot be lengthened.
        LeakError: Ground is shared by training, validation or test.
    """
    console = console or Console(stderr=True, markup=False)
    folder = RunFolder(output)
    folder.check(plan.settings, afresh=not resume)
    output.mkdir(parents=True, exist_ok=True)
    with sole_user(output) if getattr(rank_zero_only, "rank", 0) == 0 else nullcontext():
        return _train(plan, folder, resume, console)


def _train(plan: TrainingPlan, folder: RunFolder, resume: bool, console: Console) -> TrainResult:
    finished = folder.read_result() if resume else None
    if finished is not None:
        more = finished.steps != plan.options.steps
        said = lengthen(plan, folder, finished) if more else f"{folder.path}: this run is finished; nothing to do."
        console.print(said, highlight=False, markup=False, soft_wrap=True)
        if not more:
            return finished
    checkpoint = folder.last if resume and folder.last.is_file() else None
    with restored_switches(), quiet():
        return _fit(plan, folder, checkpoint, console)


def _fit(plan: TrainingPlan, folder: RunFolder, checkpoint: Path | None, console: Console) -> TrainResult:

    def say(sentence: str) -> None:
        if getattr(rank_zero_only, "rank", 0) == 0:
            console.print(sentence, highlight=False, markup=False, soft_wrap=True)

    for sentence in plan.left_out:
        say(sentence)
    step = 0
    if checkpoint is not None:
        step = int(AtomicCheckpoints().load_checkpoint(checkpoint)["global_step"])
        say(f"{folder.path}: resuming at step {step}/{plan.options.steps}")
    events = event_log(folder.path, step)
    curves = Curves(folder.curves, events)
    curves.resume(step)
    rounds = RoundCheckpoint(folder, say)
    trainer = build_trainer(plan, folder.path, events, [TrainingProgress(console), rounds])
    if trainer.is_global_zero:
        said = precision_sentence(plan.options.precision, trainer.strategy.root_device.type, capabilities())
        console.print(f"{plan.method.name}: {said}", highlight=False, markup=False, soft_wrap=True)
    module = MethodModule(plan, folder, curves, say)
    data = RunData(plan, folder, console, resume=checkpoint is not None)
    interrupt_handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, data, ckpt_path=checkpoint)
    except SystemExit:
        if not trainer.interrupted:
            raise
        signal.signal(signal.SIGINT, interrupt_handler)  # Lightning ignores it from the first Ctrl-C on
        raise KeyboardInterrupt from None
    return _finish(plan, folder, trainer, rounds.best_step)


def _finish(plan: TrainingPlan, folder: RunFolder, trainer: Trainer, best_step: int) -> TrainResult:
    """Score the best weights on the validation chips, all processes together; write bundles and the mark."""
    module = trainer.lightning_module
    assert isinstance(module, MethodModule)
    load_best(folder.best, module.method)
    counts, histogram = validate(trainer, module, folder, plan.facts.available)
    metrics = {f"validation {way.value}": scores_of(found) for way, found in counts.items()}
    result = TrainResult(folder.path, plan.options.steps, best_step, metrics, folder.deployable, folder.full)
    if trainer.is_global_zero:
        facts = BundleFacts(
            method=bundled_options(plan.method),
            network=module.method.spec,
            radiometry=plan.catalog.radiometry,
            statistics=read_statistics(folder),
            class_name=plan.catalog.class_name,
            data=read_data(folder),
            metrics=metrics,
            licence=plan.licence,
            seed=plan.options.seed,
            steps=best_step,
            calibration_temperature=fit_temperature(histogram.cpu().numpy()),
            precision=plan.options.precision,
            parent=module.started.parent if module.started else None,
            teacher=module.teacher,
        )
        save_bundle(folder.deployable, module.method, Kind.DEPLOYABLE, facts)
        save_bundle(folder.full, module.method, Kind.FULL, facts)
        folder.write_result(result)
    trainer.strategy.barrier("results written")
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()  # its threads, left to the interpreter's end, may abort the process
    return result
