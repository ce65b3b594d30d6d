"""A finished run opened for evaluation: its model, its data set and its split."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from overcast.batch import Batch, InputModalities
from overcast.bundle.bundle import Bundle, load_bundle
from overcast.config.data import build_data
from overcast.config.run import RunConfig, load_config
from overcast.data.catalog import Catalog
from overcast.data.content import require_usable
from overcast.data.splits.by_ground import Part, Split
from overcast.data.splits.file import read_split
from overcast.errors import InputError
from overcast.training.folder import RunFolder
from overcast.training.loader import evaluation_batches
from overcast.training.plan import modalities_of


@dataclass(frozen=True)
class FinishedRun:
    """What `overcast evaluate` works on."""

    config: RunConfig
    catalog: Catalog
    split: Split
    """The split as it was when the run began."""
    bundle: Bundle
    """Every branch: `bundle.method` is never None."""

    def batches(
        self, part: Part, available: tuple[InputModalities, ...], batch_size: int = 8, *, instances: bool = False
    ) -> Iterator[Batch]:
        """Whole chips of a part with the sensors that the given evaluations need; with single `instances` or not.

        Raises InputError where a sample of them cannot be used as it is declared.
        """
        keys = self.split.keys(part)
        require_usable(self.catalog, self.catalog.select(keys))
        statistics = self.bundle.info.statistics
        workers = self.config.training.workers
        return evaluation_batches(
            self.catalog,
            keys,
            statistics,
            modalities_of(available),
            batch_size=batch_size,
            workers=workers,
            instances=instances,
        )

    def places(self, part: Part) -> dict[str, str]:
        """Place of each chip of a part, the unit of the bootstrap."""
        return {chip.key: chip.place for chip in self.catalog.select(self.split.keys(part))}


def open_run(path: Path, sets: tuple[str, ...] = ()) -> FinishedRun:
    """Open the folder of a finished run; `sets` may say where the data set lies now (`data.root=...`).

    Raises:
        InputError: The folder holds no finished run, or its data set cannot be read.
        BundleError: The bundle is damaged.
    """
    folder = finished_folder(path)
    config = load_config(folder.config, sets)
    catalog, _ = build_data(config.data)
    return FinishedRun(config, catalog, read_split(folder.split), load_bundle(folder.full))


def finished_folder(path: Path) -> RunFolder:
    """The folder of a finished run. Raises InputError where it is none."""
    folder = RunFolder(path)
    if not folder.config.is_file():
        raise InputError(f"{path} is not a run folder, {folder.config.name} is missing: name the folder of a training.")
    if folder.read_result() is None:
        raise InputError(f"the run in {path} is not finished: start the training again, it goes on where it stood.")
    return folder
