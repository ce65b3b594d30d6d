"""Which chip goes where: pure functions of (seed, step), so that a resumed run sees what an uninterrupted one would."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from overcast.data.dataset import Draw


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

    def draw(self, number: int) -> Draw:
        """The draw of global sample number `number`; it is its own random stream."""
        sweep, position = divmod(number, self.count)
        return Draw(index=int(_permutation(self.seed, sweep, self.count)[position]), stream=number)

    def batch(self, step: int, share: Share) -> list[Draw]:
        """Draws of one process at optimiser step `step` (from 0): every `world`-th sample of the global batch."""
        first = step * self.batch_size
        return [self.draw(number) for number in range(first + share.rank, first + self.batch_size, share.world)]


@lru_cache(maxsize=4)
def _permutation(seed: int, sweep: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, sweep]).permutation(count)
