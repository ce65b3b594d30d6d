# ruff: noqa: ARG002  # Lightning fixes the signatures of its hooks
"""The one LightningDataModule: statistics once per run, then rounds of training batches and whole validation chips."""

from __future__ import annotations

import torch
from lightning.pytorch import LightningDataModule
from rich.console import Console

from overcast.atomic import write_atomic
from overcast.batch import Batch
from overcast.data.content import require_usable
from overcast.data.dataset import ChipDataset, SampleOptions
from overcast.data.identity import training_data
from overcast.data.splits.file import write_split
from overcast.data.splits.leaks import require_clean_split
from overcast.data.statistics import compute_statistics
from overcast.errors import InputError
from overcast.lifesigns import shown
from overcast.raster.radiometry import Statistics
from overcast.training.folder import RunFolder, read_data, read_statistics
from overcast.training.loader import TrainLoader, WholeChipLoader, to_device, whole_chips
from overcast.training.order import MixedOrder, Share
from overcast.training.plan import TrainingPlan, modalities_of
from overcast.training.start import start_statistics

GIGABYTE = 10**9
TRAIN_CACHE_SHARE = 0.8
"""Part of the cache for training chips; the rest is for validation chips."""


def prepare_folder(plan: TrainingPlan, folder: RunFolder, console: Console) -> None:
    """Claim the run folder: settings, split, identity of the data and statistics. Done by one process.

    Raises:
        LeakError: Training, validation and test ground overlap.
        InputError: The data set has changed since the run began, or cannot be read or used as it is declared.
    """
    folder.remove_leftovers()
    split, catalog = plan.split, plan.catalog
    found = training_data(catalog, split.definition, split.train, split.validation, split.test)
    if folder.data.is_file():
        before = read_data(folder)
        if before != found:
            raise InputError(
                f"the data set {catalog.name} has changed since the run in {folder.path} began: restore it, "
                "or choose another output folder."
            )
    else:
        require_clean_split(split, catalog.chips)
    write_atomic(folder.config, plan.settings_yaml)
    write_split(split, folder.split)
    if not folder.statistics.is_file():
        require_usable(catalog, catalog.select((*split.train, *split.validation, *split.test)))
        write_atomic(folder.statistics, _statistics(plan, console).model_dump_json(indent=2) + "\n")
    write_atomic(folder.data, found.model_dump_json(indent=2) + "\n")


def _statistics(plan: TrainingPlan, console: Console) -> Statistics:
    """Of the training chips; where a model is started from, its own for radar images standardised by themselves."""
    radiometry = plan.catalog.radiometry
    with shown("statistics of the training chips", "chips", console) as update:
        found = compute_statistics(plan.catalog.select(plan.split.train), radiometry, update, plan.catalog.levels)
    kept = start_statistics(plan.start, radiometry) if plan.start else None
    return found if kept is None else found.model_copy(update={"sar": kept})


class RunData(LightningDataModule):
    """Batches of a run."""

    def __init__(self, plan: TrainingPlan, folder: RunFolder, console: Console, *, resume: bool) -> None:
        super().__init__()
        self._plan, self._folder, self._console, self._resume = plan, folder, console, resume
        self._judged = modalities_of(plan.judged)
        self._order = MixedOrder(
            plan.facts.stages,
            plan.pools,
            plan.options.steps,
            plan.options.seed,
            plan.options.batch_size,
            plan.options.unlabelled_share,
        )
        self.prepare_data_per_node = False

    def prepare_data(self) -> None:
        """Run by the first process alone while the others wait."""
        if not self._resume:
            self._folder.clear()
        prepare_folder(self._plan, self._folder, self._console)

    def setup(self, stage: str) -> None:
        """Open the data sets."""
        plan, options = self._plan, self._plan.options
        cache = options.cache_gb * GIGABYTE
        statistics = read_statistics(self._folder)
        self._train_set = _train_set(plan, statistics, int(cache * TRAIN_CACHE_SHARE))
        self._validation_set = whole_chips(
            plan.catalog,
            plan.split.validation,
            statistics,
            self._judged,
            cache_bytes=int(cache * (1 - TRAIN_CACHE_SHARE)),
        )
        assert self.trainer is not None
        self._share = Share(self.trainer.global_rank, self.trainer.world_size)

    def train_dataloader(self) -> TrainLoader:
        """The batches of the round that begins at the trainer's step."""
        assert self.trainer is not None
        options, start = self._plan.options, self.trainer.global_step
        stop = min(start - start % options.round_steps + options.round_steps, options.steps)
        return TrainLoader(self._train_set, self._order, start, stop, self._share, options.workers)

    def val_dataloader(self) -> WholeChipLoader:
        """This process's validation chips."""
        options = self._plan.options
        return WholeChipLoader(self._validation_set, options.validation_batch_size, options.workers, self._share)

    def transfer_batch_to_device(
        self, batch: Batch | tuple[Batch, ...], device: torch.device, dataloader_idx: int
    ) -> Batch | tuple[Batch, ...]:
        """Copy a batch, or those of a step, to the network's device and memory layout."""
        if isinstance(batch, tuple):
            return tuple(to_device(part, device, channels_last=self._plan.options.channels_last) for part in batch)
        return to_device(batch, device, channels_last=self._plan.options.channels_last)


def _train_set(plan: TrainingPlan, statistics: Statistics, cache_bytes: int) -> ChipDataset:
    catalog, options = plan.catalog, plan.options
    samples = SampleOptions(
        options.crop,
        plan.augmentation,
        options.seed,
        cache_bytes,
        targets=plan.network.targets,
        around_footprints=catalog.around_footprints,
    )
    chips = catalog.select(plan.split.train)
    needs, levels = plan.facts.needs, catalog.levels
    return ChipDataset(chips, catalog.radiometry, catalog.label, statistics, samples, needs, levels)
