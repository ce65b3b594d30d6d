"""Batches, prepared by threads ahead of the network and handed out in order.

Threads, not processes: they share one cache of decoded chips, need no pickling, and NumPy, rasterio and torch release
the interpreter lock in their inner loops.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from overcast.batch import Batch, Holds, Modality
from overcast.data.catalog import Catalog
from overcast.data.dataset import ChipDataset, SampleOptions
from overcast.data.samples import Sample, collate
from overcast.prefetch import in_order
from overcast.raster.radiometry import Statistics
from overcast.training.order import ONE_PROCESS, MixedOrder, SampleOrder, Share


@dataclass(frozen=True)
class TrainLoader:
    """Batches of the optimiser steps `start` .. `stop` - 1: of each step one for every kind of place in it.

    A network normalises each kind by its own batch statistics (docs/method.md says why), so kinds never share a batch.
    """

    dataset: ChipDataset
    order: SampleOrder | MixedOrder
    start: int
    stop: int
    share: Share
    workers: int

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[tuple[Batch, ...]]:
        return in_order(self._load, range(self.start, self.stop), self.workers)

    def _load(self, step: int) -> tuple[Batch, ...]:
        kinds: dict[Holds, list[Sample]] = {}
        for draw in self.order.batch(step, self.share):
            kinds.setdefault(self.dataset.chips[draw.index].holds, []).append(self.dataset[draw])
        return tuple(collate(kinds[holds]).only(holds) for holds in sorted(kinds, reverse=True))


@dataclass(frozen=True)
class WholeChipLoader:
    """Whole chips in the order of the data set, batched while neighbours have one size."""

    dataset: ChipDataset
    batch_size: int
    workers: int
    share: Share = ONE_PROCESS

    def __iter__(self) -> Iterator[Batch]:
        indices = range(self.share.rank, len(self.dataset), self.share.world)
        waiting: list[Sample] = []
        for sample in in_order(self.dataset.__getitem__, indices, self.workers):
            if waiting and sample.shape != waiting[0].shape:
                yield collate(waiting)
                waiting = []
            waiting.append(sample)
            if len(waiting) == self.batch_size:
                yield collate(waiting)
                waiting = []
        if waiting:
            yield collate(waiting)


def to_device(batch: Batch, device: torch.device, *, channels_last: bool) -> Batch:
    """Copy a batch, images in the memory layout of the network."""
    moved = batch.to(device, non_blocking=True)
    if not channels_last:
        return moved
    return moved.map(lambda t: t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 else t)


def evaluation_batches(
    catalog: Catalog,
    keys: Sequence[str],
    statistics: Statistics,
    modalities: frozenset[Modality],
    *,
    batch_size: int = 8,
    workers: int = 2,
    instances: bool = False,
) -> Iterator[Batch]:
    """Whole chips of the given keys, unaugmented, standardised and in order; with their single `instances` or not."""
    dataset = whole_chips(catalog, keys, statistics, modalities, cache_bytes=0, instances=instances)
    return iter(WholeChipLoader(dataset, batch_size, workers))


def whole_chips(
    catalog: Catalog,
    keys: Sequence[str],
    statistics: Statistics,
    modalities: frozenset[Modality],
    cache_bytes: int,
    *,
    instances: bool = False,
) -> ChipDataset:
    """Data set of whole, unaugmented chips."""
    options = SampleOptions(crop=None, augment=None, seed=0, cache_bytes=cache_bytes, instances=instances)
    chips = catalog.select(tuple(keys))
    return ChipDataset(chips, catalog.radiometry, catalog.label, statistics, options, modalities, catalog.levels)
