"""Paired comparisons of single runs on the same places: differences and the recovery ratio, with their intervals.

Two intervals that overlap can still hide a clear difference: places are easy or hard for all methods alike, so the
same resampled places are given to both, and the interval is of the difference.
"""

from __future__ import annotations

from overcast.evaluation.seeds import PlaceTable, SeedEstimate, difference_over_seeds, recovery_over_seeds


def paired_difference(a: PlaceTable, b: PlaceTable) -> SeedEstimate:
    """IoU of `a` minus IoU of `b` over the set. Raises ConfigError where their places differ."""
    return difference_over_seeds([a], [b])


def recovery_ratio(method: PlaceTable, control: PlaceTable, ceiling: PlaceTable) -> SeedEstimate | None:
    """(IoU(method) - IoU(control)) / (IoU(ceiling) - IoU(control)): the share of what is missing that came back.

    None where the ceiling is not above the control: there is nothing to recover. Raises ConfigError where the places
    differ.
    """
    return recovery_over_seeds([method], [control], [ceiling])
