"""Sample order and loaders: pure functions of the step, shared out exactly, in order whatever the threads do."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from conftest import write_tiff
from hypothesis import given
from hypothesis import strategies as st

from overcast.batch import Modality
from overcast.data.catalogs.folder import folder_catalog
from overcast.data.dataset import Draw
from overcast.data.statistics import compute_statistics
from overcast.training.loader import evaluation_batches, to_device
from overcast.training.module import step_seed
from overcast.training.order import ONE_PROCESS, SampleOrder, Share


@given(count=st.integers(1, 40), batch=st.integers(1, 8), world=st.integers(1, 4), step=st.integers(0, 200))
def test_processes_share_the_batch_of_one(count: int, batch: int, world: int, step: int) -> None:
    order = SampleOrder(count, seed=3, batch_size=batch * world)
    shares = [order.batch(step, Share(rank, world)) for rank in range(world)]
    together = sorted((draw for share in shares for draw in share), key=lambda draw: draw.stream)
    assert together == order.batch(step, ONE_PROCESS)
    assert {len(share) for share in shares} == {batch}


@given(count=st.integers(1, 30), batch=st.integers(1, 7), seed=st.integers(0, 5))
def test_each_sweep_takes_every_chip_once(count: int, batch: int, seed: int) -> None:
    order = SampleOrder(count, seed, batch)
    draws = [draw for step in range(3 * count) for draw in order.batch(step, ONE_PROCESS)][: 3 * count]
    assert [draw.stream for draw in draws] == list(range(3 * count))
    for sweep in range(3):
        indices = [draw.index for draw in draws[sweep * count : (sweep + 1) * count]]
        assert Counter(indices) == Counter(range(count))


def test_order_depends_on_seed_and_sweep() -> None:
    def sweep(seed: int, number: int) -> list[int]:
        order = SampleOrder(50, seed, batch_size=50)
        return [draw.index for draw in order.batch(number, ONE_PROCESS)]

    assert sweep(0, 0) == sweep(0, 0)
    assert sweep(0, 0) != sweep(1, 0)
    assert sweep(0, 0) != sweep(0, 1)
    assert SampleOrder(50, 0, 50).draw(51) == Draw(sweep(0, 1)[1], 51)


def test_draws_inside_a_step_differ_by_seed_step_and_process() -> None:
    seeds = {step_seed(seed, step, rank) for seed in range(3) for step in range(20) for rank in range(3)}
    assert len(seeds) == 3 * 20 * 3


def test_whole_chips_are_batched_while_their_size_stays(tiny_folder: Path, tmp_path: Path) -> None:
    catalog = folder_catalog(tiny_folder)
    statistics = compute_statistics(catalog.chips, catalog.radiometry)
    write_tiff(tmp_path / "sar.tif", np.full((2, 40, 70), 5, np.float32))
    write_tiff(tmp_path / "mask.tif", np.zeros((1, 40, 70), np.uint8))
    odd = replace(catalog.chips[0], key="odd", sar=(tmp_path / "sar.tif",), optical=(), mask=tmp_path / "mask.tif")
    chips = (*catalog.chips[:3], odd, *catalog.chips[3:5])
    mixed = replace(catalog, chips=chips)
    keys = [chip.key for chip in chips]
    batches = list(evaluation_batches(mixed, keys, statistics, frozenset({Modality.SAR}), batch_size=2))
    assert [batch.keys for batch in batches] == [tuple(keys[:2]), (keys[2],), ("odd",), tuple(keys[4:])]
    assert batches[2].require("sar").shape == (1, 2, 40, 70)
    assert all(batch.optical is None for batch in batches)


def test_channels_last_changes_the_layout_only(tiny_folder: Path) -> None:
    import torch

    catalog = folder_catalog(tiny_folder)
    statistics = compute_statistics(catalog.chips, catalog.radiometry)
    (batch,) = evaluation_batches(catalog, [catalog.chips[0].key], statistics, frozenset(Modality))
    moved = to_device(batch, torch.device("cpu"), channels_last=True)
    assert moved.require("sar").is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(moved.require("sar"), batch.require("sar"))
    assert torch.equal(moved.require("label"), batch.require("label"))
