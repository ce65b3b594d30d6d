"""What is counted, and the ratios of it: numbers read from a file are what counting can give."""

from dataclasses import dataclass, fields
from typing import Annotated, Self

from pydantic import Field

Count = Annotated[int, Field(ge=0, lt=2**53)]
"""Every one is a whole number in float64 too."""
Sum = Annotated[float, Field(allow_inf_nan=False)]


def ratio(part: int, whole: int) -> float:
    """`part` / `whole`; 1 for a share of nothing.

    >>> ratio(1, 4), ratio(0, 0)
    (0.25, 1.0)
    """
    return part / whole if whole else 1.0


@dataclass(frozen=True, slots=True)
class Sums:
    """Fields that add, each for itself."""

    def __add__(self, other: Self) -> Self:
        return type(self)(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))


@dataclass(frozen=True, slots=True)
class Matches(Sums):
    """What was found rightly, what wrongly, and what was missed: pixels or footprints."""

    tp: Count = 0
    fp: Count = 0
    fn: Count = 0

    @property
    def precision(self) -> float:
        """Share of what was predicted that is right."""
        return ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """Share of what is there that was found; of footprints, the match rate."""
        return ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall (Dice coefficient), 0 .. 1."""
        return ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)
