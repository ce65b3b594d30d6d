"""Any mix of SAR, optical images and labels: who draws what, what is left out and said, and few labels for studies."""

from __future__ import annotations

import io
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import write_tiny_folder
from hypothesis import given
from hypothesis import strategies as st
from interrupted import interrupted_at
from rich.console import Console

from overcast.batch import Holds, Modality
from overcast.config import build_plan, load_config, train
from overcast.data.catalogs.folder import folder_catalog
from overcast.data.chips import read_chip
from overcast.errors import ConfigError, InputError
from overcast.methods.stages import TrainingStage
from overcast.training.order import ONE_PROCESS, MixedOrder, Pools, SampleOrder, Share

pytestmark = pytest.mark.usefixtures("one_thread")
PAIR = Holds(sar=True, optical=True, labelled=True)
UNLABELLED = Holds(sar=True, optical=True, labelled=False)
ONE_STAGE = (TrainingStage("training", 1.0),)


def mixed(pools: Pools, batch_size: int = 4, share: float = 0.5, seed: int = 3) -> MixedOrder:
    return MixedOrder(ONE_STAGE, (pools,), 1000, seed, batch_size, share)


@given(count=st.integers(1, 30), batch=st.integers(1, 8), step=st.integers(0, 99))
def test_with_labels_everywhere_the_order_is_the_plain_one(count: int, batch: int, step: int) -> None:
    order = mixed(Pools((tuple(range(count)),), ()), batch)
    assert order.batch(step, ONE_PROCESS) == SampleOrder(count, 3, batch).batch(step, ONE_PROCESS)


@given(labelled=st.integers(1, 9), unlabelled=st.integers(1, 9), batch=st.integers(2, 9), share=st.floats(0.01, 0.99))
def test_batches_are_composed_and_each_pool_is_swept(labelled: int, unlabelled: int, batch: int, share: float) -> None:
    pools = Pools((tuple(range(labelled)),), (tuple(range(labelled, labelled + unlabelled)),))
    order = mixed(pools, batch, share)
    expected = min(max(round(share * batch), 1), batch - 1)
    drawn: list[int] = []
    for step in range(unlabelled):
        draws = order.batch(step, ONE_PROCESS)
        assert [draw.stream for draw in draws] == list(range(step * batch, (step + 1) * batch))
        drawn += [draw.index for draw in draws if draw.index >= labelled]
        assert len([draw for draw in draws if draw.index >= labelled]) == expected
    assert set(Counter(drawn).values()) == {expected}


def test_processes_share_a_mixed_batch_and_seeds_differ() -> None:
    pools = Pools((tuple(range(5)),), (tuple(range(5, 12)),))
    whole = mixed(pools, 8).batch(7, ONE_PROCESS)
    shares = [mixed(pools, 8).batch(7, Share(rank, 2)) for rank in range(2)]
    assert sorted((draw for share in shares for draw in share), key=lambda draw: draw.stream) == whole
    assert [sum(draw.index < 5 for draw in share) for share in shares] == [2, 2]
    assert whole != mixed(pools, 8, seed=4).batch(7, ONE_PROCESS)


def test_a_step_takes_one_kind_of_each_sort_as_often_as_it_has_chips() -> None:
    alone = Holds(sar=True, optical=False, labelled=True)
    kinds = [PAIR] * 6 + [alone] * 2 + [UNLABELLED] * 3
    order = mixed(Pools.of(kinds, {PAIR, alone, UNLABELLED}))
    steps = [{kinds[draw.index] for draw in order.batch(step, ONE_PROCESS)} for step in range(400)]
    assert all(step in ({PAIR, UNLABELLED}, {alone, UNLABELLED}) for step in steps)
    assert 0.2 < sum(alone in step for step in steps) / 400 < 0.3


def test_a_stage_draws_from_its_own_pools() -> None:
    stages = (TrainingStage("teacher", 0.5), TrainingStage("student", 0.5))
    kinds = [PAIR, UNLABELLED, PAIR, UNLABELLED]
    pools = (Pools.of(kinds, {PAIR}), Pools.of(kinds, {PAIR, UNLABELLED}))
    order = MixedOrder(stages, pools, 20, 0, 4, 0.5)
    teacher, student = ([draw.index for draw in order.batch(step, ONE_PROCESS)] for step in (3, 15))
    assert set(teacher) == {0, 2}
    assert sorted(student) == [0, 1, 2, 3]


@pytest.fixture(scope="module")
def any_mix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny data set of 8 places, of which some lack something: see `test_kinds_are_what_the_files_say`."""
    root = tmp_path_factory.mktemp("mix")
    write_tiny_folder(root)
    description = root / "dataset.yaml"
    description.write_text("incomplete: true\n" + description.read_text())
    for folder, places in (("masks", (0, 1, 2)), ("optical", (2, 3)), ("sar", (4,))):
        for place in places:
            for path in (root / folder).glob(f"p{place}_*.tif"):
                path.unlink()
    return root


def mix_sets(tiny_sets: list[str], root: Path, *more: str) -> list[str]:
    return [*tiny_sets, f"data.root={root}", *more]


def test_kinds_are_what_the_files_say(any_mix: Path) -> None:
    holds = {chip.place: str(chip.holds) for chip in folder_catalog(any_mix).chips}
    assert holds["p0"] == holds["p1"] == "with SAR, with optical image, without labels"
    assert holds["p2"] == "with SAR, without optical image, without labels"
    assert holds["p3"] == "with SAR, without optical image, with labels"
    assert holds["p4"] == "without SAR, with optical image, with labels"
    assert holds["p5"] == "with SAR, with optical image, with labels"


def test_a_chip_without_sar_is_read_on_the_grid_of_its_optical_image(any_mix: Path) -> None:
    catalog = folder_catalog(any_mix)
    arrays = read_chip(catalog["p4_0"], catalog.radiometry, catalog.label, frozenset(Modality))
    assert arrays.sar is None
    assert arrays.optical is not None
    assert arrays.label is not None
    assert np.isin(arrays.label, (0, 1)).all()


def test_what_is_missing_is_refused_unless_declared(any_mix: Path, tmp_path: Path) -> None:
    root = shutil.copytree(any_mix, tmp_path / "copy")
    description = root / "dataset.yaml"
    description.write_text(description.read_text().replace("incomplete: true\n", ""))
    with pytest.raises(InputError, match="set incomplete: true where chips may lack something"):
        folder_catalog(root)
    shutil.copytree(any_mix, tmp_path / "other")
    (tmp_path / "other" / "masks" / "p5_0.tif").rename(tmp_path / "other" / "masks" / "q5_0.tif")
    with pytest.raises(InputError, match="masks holds 1 files without an image of that name"):
        folder_catalog(tmp_path / "other")


def split_by_place(path: Path, **parts: tuple[int, ...]) -> str:
    """The setting that reads a split file with the given places, which it writes."""
    rows = [f"p{place}_{chip},{part}" for part, places in parts.items() for place in places for chip in range(3)]
    path.write_text("\n".join(["key,split", *rows]) + "\n")
    return f"data.split={{by: file, path: {path}}}"


EACH_KIND = {"train": (0, 2, 3, 4, 5), "validation": (6, 1), "test": (7,)}


def said(sets: list[str], output: Path) -> str:
    text = io.StringIO()
    train(load_config(None, sets), output, console=Console(file=text, width=300))
    return text.getvalue()


def test_what_a_method_cannot_use_is_counted_and_said(any_mix: Path, tiny_sets: list[str], tmp_path: Path) -> None:
    text = said(
        mix_sets(tiny_sets, any_mix, split_by_place(tmp_path / "split.csv", **EACH_KIND), "training.steps=1"),
        tmp_path / "run",
    )
    for expected in (
        "method sar cannot use 1 place with SAR, with optical image, without labels: left out",
        "method sar cannot use 1 place without SAR, with optical image, with labels: left out",
        "3 validation chips without labels or SAR image cannot be scored: they are left out",
    ):
        assert expected in text
    assert "places with SAR, without optical image, with labels" not in text


def test_any_mix_resumes_to_the_same_bits(any_mix: Path, tiny_sets: list[str], tmp_path: Path) -> None:
    more = ("method.name=cmhcl", "training.steps=4", "training.round_steps=2", "training.batch_size=8")
    sets = mix_sets(tiny_sets, any_mix, split_by_place(tmp_path / "split.csv", **EACH_KIND), *more)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    said(sets, whole)
    with interrupted_at(3):
        said(sets, stopped)
    assert "cannot use 1 place with SAR, without optical image, without labels" in said(sets, stopped)
    weights = [(run / "full" / "model.safetensors").read_bytes() for run in (whole, stopped)]
    assert weights[0] == weights[1]


def test_a_share_of_the_places_keeps_its_labels(tiny_sets: list[str]) -> None:
    def labelled(*more: str) -> set[str]:
        plan = build_plan(load_config(None, [*tiny_sets, *more]))
        kept = plan.catalog.select(plan.split.train)
        assert all(chip.labelled for chip in plan.catalog.select(plan.split.validation + plan.split.test))
        assert {chip.place for chip in kept if not chip.labelled}.isdisjoint(c.place for c in kept if c.labelled)
        return {chip.place for chip in kept if chip.labelled}

    everything = labelled()
    quarter, half = labelled("data.label_share=0.25"), labelled("data.label_share=0.5")
    assert (len(quarter), len(half), len(everything)) == (1, 2, 4)
    assert quarter < half < everything
    others = [labelled("data.label_share=0.25", f"training.seed={seed}") for seed in range(1, 6)]
    assert any(other != quarter for other in others)
    assert labelled("data.label_share=0.25", "data.label_seed=0", "training.seed=4") == quarter


def test_a_stage_without_any_labelled_place_is_refused(any_mix: Path, tiny_sets: list[str], tmp_path: Path) -> None:
    split = split_by_place(tmp_path / "split.csv", train=(0, 2), validation=(6,), test=(7,))
    sets = mix_sets(tiny_sets, any_mix, split)
    with pytest.raises(ConfigError, match="needs labelled places"):
        said(sets, tmp_path / "run")
