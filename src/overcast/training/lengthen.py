"""A finished run with more steps: it goes on from its last state, on the learning-rate curve of the new length."""

from __future__ import annotations

from overcast.atomic import write_atomic
from overcast.errors import ConfigError
from overcast.training.folder import RunFolder
from overcast.training.plan import TrainingPlan, TrainResult


def lengthen(plan: TrainingPlan, folder: RunFolder, finished: TrainResult) -> str:
    """Take the mark of a finished run away, so that it goes on to the steps of the plan; returns what is said.

    Raises:
        ConfigError: The run cannot go on as one of the new length would have.
    """
    steps, before = plan.options.steps, finished.steps
    said = f"{folder.path} is finished with {before} steps and cannot be lengthened to {steps}: "
    if steps < before:
        raise ConfigError(f"{said}that is less; choose another output folder.")
    if len(plan.facts.stages) > 1:
        names = " and ".join(stage.name for stage in plan.facts.stages)
        raise ConfigError(
            f"{said}{plan.method.name} learns in stages ({names}) whose lengths follow the steps; "
            "choose another output folder."
        )
    if before % plan.options.round_steps:
        raise ConfigError(
            f"{said}it ended within a round of {plan.options.round_steps} steps; choose another output folder."
        )
    if not folder.last.is_file():
        raise ConfigError(f"{said}it kept no checkpoint; start another run from its model with --from.")
    write_atomic(folder.config, plan.settings_yaml)
    folder.result_file.unlink()
    return (
        f"{folder.path}: finished with {before} steps, going on to {steps}; from here the learning rate follows the "
        f"curve of {steps} steps"
    )
