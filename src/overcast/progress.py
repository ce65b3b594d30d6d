"""How far a long task is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class ProgressStage(StrEnum):
    """What is being done."""

    PREDICT = "predict"
    JOIN = "join"
    POLYGONS = "polygons"
    WRITE = "write"


@dataclass(frozen=True)
class Progress:
    """State of a stage. The unit of `done` and `total` is the caller's: pixels of a raster, km^2 of a scene.

    >>> Progress(ProgressStage.PREDICT, done=2.0, total=6.0, elapsed_s=4.0).remaining_s
    8.0
    >>> Progress(ProgressStage.PREDICT, done=4.0, total=6.0, elapsed_s=4.0, resumed=2.0).remaining_s
    4.0
    """

    stage: ProgressStage
    done: float
    total: float
    elapsed_s: float
    resumed: float = 0.0
    """Part of `done` that an earlier run did; it says nothing about the rate."""
    note: str = ""
    """A sentence for the user, shown once."""

    @property
    def rate(self) -> float:
        """Units per second so far, without what was resumed."""
        return (self.done - self.resumed) / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def remaining_s(self) -> float | None:
        """Estimated seconds to go; None before anything is done."""
        return (self.total - self.done) / self.rate if self.rate > 0 else None


Report = Callable[[Progress], None]
"""Called with the state of a stage, in the thread that runs it."""
