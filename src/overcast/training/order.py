"""Which chip goes where: pure functions of (seed, step), so that a resumed run sees what an uninterrupted one would."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from overcast.batch import Holds
from overcast.data.dataset import Draw
from overcast.methods.stages import TrainingStage, position_in


@dataclass(frozen=True)
class Share:
    """The part of each global batch that one process takes."""

    rank: int = 0
    world: int = 1


ONE_PROCESS = Share()
"""The whole batch."""


@dataclass(frozen=True)
class SampleOrder:
    """Endless sequence of draws: one shuffled pass over `count` chips after the other."""

    count: int
    seed: int
    batch_size: int
    """Global."""
    kind: int = 0
    """Which of several sequences of one seed."""

    def draw(self, number: int) -> Draw:
        """The draw of global sample number `number`; it is its own random stream."""
        sweep, position = divmod(number, self.count)
        return Draw(index=int(_permutation(self._seeds(sweep), self.count)[position]), stream=number)

    def batch(self, step: int, share: Share) -> list[Draw]:
        """Draws of one process at optimiser step `step` (from 0): every `world`-th sample of the global batch."""
        first = step * self.batch_size
        return [self.draw(number) for number in range(first + share.rank, first + self.batch_size, share.world)]

    def _seeds(self, sweep: int) -> tuple[int, ...]:
        return (self.seed, sweep, self.kind) if self.kind else (self.seed, sweep)


Kinds = tuple[tuple[int, ...], ...]
"""Chips by their index in the data set, those of one kind of place together."""


@dataclass(frozen=True)
class Pools:
    """The chips that a stage of a training draws from."""

    labelled: Kinds
    unlabelled: Kinds

    @classmethod
    def of(cls, chips: Sequence[Holds], used: Collection[Holds]) -> Pools:
        """Pools of those `chips` that are of a kind in `used`."""
        kinds: dict[Holds, list[int]] = {}
        for index, holds in enumerate(chips):
            if holds in used:
                kinds.setdefault(holds, []).append(index)
        ordered = sorted(kinds.items(), reverse=True)
        return cls(
            tuple(tuple(indices) for holds, indices in ordered if holds.labelled),
            tuple(tuple(indices) for holds, indices in ordered if not holds.labelled),
        )

    def unlabelled_of(self, batch_size: int, share: float) -> int:
        """How many samples of a batch are unlabelled: at least one of each sort where there are both."""
        if not self.labelled:
            return batch_size
        if not self.unlabelled or share == 0:
            return 0
        return min(max(round(share * batch_size), 1), batch_size - 1)


@dataclass(frozen=True)
class MixedOrder:
    """Batches composed of labelled and unlabelled chips, from the pools of the stage that a step belongs to.

    A step takes labelled chips of one kind and unlabelled ones of one kind, so that neither is normalised by the
    statistics of a few; where there are several kinds, each as often as it has chips. Each kind is drawn from in
    shuffled passes of its own. Where every chip is of one kind this is `SampleOrder`.
    """

    stages: tuple[TrainingStage, ...]
    pools: tuple[Pools, ...]
    """Pools of each stage."""
    steps: int
    seed: int
    batch_size: int
    """Global."""
    unlabelled_share: float

    def batch(self, step: int, share: Share) -> list[Draw]:
        """Draws of one process at optimiser step `step` (from 0): every `world`-th sample, labelled ones first."""
        pools = self.pools[self.stages.index(position_in(self.stages, step, self.steps).stage)]
        unlabelled = pools.unlabelled_of(self.batch_size, self.unlabelled_share)
        draws = [
            *self._draws(pools.labelled, step, self.batch_size - unlabelled, 0),
            *self._draws(pools.unlabelled, step, unlabelled, 1),
        ]
        first = step * self.batch_size
        return [Draw(draws[slot], first + slot) for slot in range(share.rank, self.batch_size, share.world)]

    def _draws(self, kinds: Kinds, step: int, count: int, sort: int) -> list[int]:
        if not count:
            return []
        chosen = 0
        if len(kinds) > 1:
            chips = np.array([len(kind) for kind in kinds])
            chosen = int(np.random.default_rng((self.seed, step, sort)).choice(len(kinds), p=chips / chips.sum()))
        order = SampleOrder(len(kinds[chosen]), self.seed, count, 2 * chosen + sort)
        return [kinds[chosen][draw.index] for draw in order.batch(step, ONE_PROCESS)]


@lru_cache(maxsize=8)
def _permutation(seed: tuple[int, ...], count: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).permutation(count)
