"""Stages of a training. Which one a step belongs to depends on the step alone, so that resuming changes nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingStage:
    """A share of the training with a learning-rate curve of its own."""

    name: str
    share: float
    """Share of all steps, 0 .. 1; the shares of a method add up to 1."""
    rate: float = 1.0
    """Factor of the learning rate."""


@dataclass(frozen=True)
class Position:
    """Where a step is."""

    stage: TrainingStage
    step: int
    """Steps done in this stage."""
    steps: int
    """Steps of this stage."""


def position_in(stages: tuple[TrainingStage, ...], step: int, steps: int) -> Position:
    """The stage of a step; `step` = `steps` is the end of the last one.

    >>> stages = (TrainingStage("teacher", 0.3), TrainingStage("student", 0.7))
    >>> [position_in(stages, step, 10).stage.name for step in (0, 2, 3, 10)]
    ['teacher', 'teacher', 'student', 'student']
    >>> position_in(stages, 4, 10)
    Position(stage=TrainingStage(name='student', share=0.7, rate=1.0), step=1, steps=7)
    """
    start, finished = 0, 0.0
    for stage in stages[:-1]:
        finished += stage.share
        end = round(finished * steps)
        if step < end:
            return Position(stage, step - start, end - start)
        start = end
    return Position(stages[-1], step - start, steps - start)
