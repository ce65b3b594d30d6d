"""What a report is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import assert_never

from overcast.batch import InputModalities
from overcast.evaluation.result import Evaluation


class Origin(StrEnum):
    """Where imagery and labels come from; stated at the top of the report."""

    SIMULATED = "simulated"
    REAL = "real"


@dataclass(frozen=True)
class Result:
    """One method under one availability."""

    method: str
    available: InputModalities
    evaluation: Evaluation

    @property
    def name(self) -> str:
        """Method and what it was given."""
        return f"{self.method}, {available_text(self.available)}"


@dataclass(frozen=True)
class ReportData:
    """Everything that a report says."""

    title: str
    class_name: str
    """What is mapped: building, flood ..."""
    data_set: str
    """Name, size and licence of the data."""
    split: str
    """Which places, and how they were kept from training."""
    model: str
    """Network, training budget and seed, in words."""
    origin: Origin
    created: str
    """Date, as it shall be printed."""
    machine: str
    command: str
    """The command that makes this report again."""
    results: tuple[Result, ...]
    """At least one. The first leads: it names the headline, and its panels are the chips shown for all."""
    control: str | None = "sar_twin"
    """Method that the leading one is compared with, under the same availability."""
    ceiling: str | None = "fusion"
    """Method that sees both sensors: the upper end of the recovery ratio."""
    caveats: tuple[str, ...] = ()
    """Sentences added to those that follow from the results."""
    training: Mapping[str, Path] = field(default_factory=dict)
    """Method -> CSV of metrics that its training wrote."""

    def __post_init__(self) -> None:
        if not self.results:
            raise ValueError("a report needs a result")

    @property
    def lead(self) -> Result:
        """The result that the report is about."""
        return self.results[0]

    @property
    def methods(self) -> tuple[str, ...]:
        """Names in the order of first appearance: the order of their colours."""
        return tuple(dict.fromkeys((*(result.method for result in self.results), *self.training)))

    def find(self, method: str | None, available: InputModalities) -> Result | None:
        """The result of a method under an availability, if there is one."""
        pairs = ((result.method, result.available, result) for result in self.results)
        return next((result for name, given, result in pairs if (name, given) == (method, available)), None)


def available_text(available: InputModalities) -> str:
    """What the model was given, in words.

    >>> available_text(InputModalities.BOTH)
    'SAR + optical'
    """
    match available:
        case InputModalities.SAR:
            return "SAR alone"
        case InputModalities.OPTICAL:
            return "optical alone"
        case InputModalities.BOTH:
            return "SAR + optical"
        case InputModalities.BOTH_OPTICAL_ZERO:
            return "SAR + optical set to zero"
        case InputModalities.BOTH_OPTICAL_MEAN:
            return "SAR + optical set to its mean"
        case _:
            assert_never(available)
