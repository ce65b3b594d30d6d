"""Chips become samples, samples become batches: purity of draws, caching, padding, missing modalities."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from chip_files import AUGMENT, BOTH, OPTICAL, RADIOMETRY, SAR, STATISTICS, make_chip
from hypothesis import given, settings
from hypothesis import strategies as st
from raster_files import write_tiff
from torch.utils.data import DataLoader

from overcast.batch import IGNORE_LABEL, Modality
from overcast.data.augment import Augmentation, Geometry, Jitter
from overcast.data.chips import Chip, read_chip
from overcast.data.dataset import ChipDataset, Draw, SampleOptions
from overcast.data.labels import LabelSpec
from overcast.data.samples import Sample, collate, pad
from overcast.errors import ConfigError, InputError
from overcast.raster.radiometry import Radiometry


@pytest.fixture(scope="module")
def chips(tmp_path_factory: pytest.TempPathFactory) -> list[Chip]:
    folder = tmp_path_factory.mktemp("chips")
    return [make_chip(folder, name) for name in ("a", "b")] + [make_chip(folder, "small", 10, 12)]


def dataset(chips: list[Chip], options: SampleOptions, modalities: frozenset[Modality] = BOTH) -> ChipDataset:
    return ChipDataset(chips, RADIOMETRY, LabelSpec(), STATISTICS, options, modalities)


def bytes_of(sample: Sample) -> list[bytes | None]:
    arrays = (sample.sar, sample.sar_valid, sample.optical, sample.optical_valid, sample.label)
    return [None if array is None else array.tobytes() for array in arrays]


def test_sar_alone_opens_no_optical_file(chips: list[Chip], tmp_path: Path) -> None:
    chip = replace(chips[0], optical=(tmp_path / "missing.tif",))
    sample = dataset([chip], SampleOptions(), SAR)[0]
    assert sample.optical is None
    assert sample.optical_valid is None
    assert sample.sar is not None
    with pytest.raises(InputError, match="missing"):
        dataset([chip], SampleOptions())[0]


def test_optical_alone_is_judged_on_the_same_pixels(chips: list[Chip]) -> None:
    both, alone = dataset(chips, SampleOptions())[0], dataset(chips, SampleOptions(), OPTICAL)[0]
    assert alone.sar is None
    np.testing.assert_array_equal(alone.label, both.label)
    np.testing.assert_array_equal(alone.optical, both.optical)


def test_optical_alone_without_labels_opens_no_sar_file(chips: list[Chip], tmp_path: Path) -> None:
    chip = replace(chips[0], sar=(tmp_path / "missing.tif",), mask=None)
    sample = dataset([chip], SampleOptions(crop=8), OPTICAL)[0]
    assert sample.label is None
    assert sample.shape == (8, 8)


def test_whole_chips_are_standardised_and_zero_where_invalid(chips: list[Chip]) -> None:
    arrays = read_chip(chips[0], RADIOMETRY, LabelSpec(), BOTH)
    sample = dataset(chips, SampleOptions())[0]
    assert arrays.sar is not None
    assert sample.sar is not None
    expected = (arrays.sar.values - np.array([20, 30.0])[:, None, None]) / np.array([5, 8.0])[:, None, None]
    np.testing.assert_allclose(sample.sar, np.where(arrays.sar.valid, expected, 0), rtol=1e-6, atol=1e-6)
    assert sample.sar.dtype == np.float32
    np.testing.assert_array_equal(sample.sar_valid, arrays.sar.valid)
    assert sample.shape == (48, 40)


@given(index=st.integers(0, 2), stream=st.integers(0, 2**40), seed=st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_the_same_draw_gives_the_same_bytes_cached_or_not(
    chips: list[Chip], index: int, stream: int, seed: int
) -> None:
    options = SampleOptions(crop=16, augment=AUGMENT, seed=seed, min_valid=0.95)
    fresh, cached = dataset(chips, options), dataset(chips, replace(options, cache_bytes=10**6))
    for other in range(3):
        cached[Draw(other, stream + 1)]
    draw = Draw(index, stream)
    assert bytes_of(fresh[draw]) == bytes_of(cached[draw]) == bytes_of(cached[draw])


def test_draws_differ_between_streams_seeds_and_chips(chips: list[Chip]) -> None:
    options = SampleOptions(crop=16, augment=AUGMENT, cache_bytes=10**6)
    data, other = dataset(chips, options), dataset(chips, replace(options, seed=1))
    draws = [data[Draw(0, 0)], data[Draw(0, 1)], data[Draw(1, 0)], other[Draw(0, 0)]]
    assert len({bytes_of(draw)[0] for draw in draws}) == 4


def test_an_index_is_the_draw_of_stream_zero(chips: list[Chip]) -> None:
    data = dataset(chips, SampleOptions(crop=16, augment=AUGMENT))
    assert bytes_of(data[1]) == bytes_of(data[Draw(1, 0)])
    assert len(data) == 3
    for index in (-1, 3):
        with pytest.raises(IndexError):
            data[index]


def test_crops_cover_every_position(chips: list[Chip]) -> None:
    data = dataset(chips, SampleOptions(crop=40, cache_bytes=10**6, min_valid=0))
    whole = dataset(chips, SampleOptions(cache_bytes=10**6))[0]
    assert whole.sar is not None
    tops = set()
    for stream in range(200):
        sar = data[Draw(0, stream)].sar
        assert sar is not None
        tops |= {row for row in range(9) if np.array_equal(sar, whole.sar[:, row : row + 40])}
    assert tops == set(range(9))


def test_chips_smaller_than_the_crop_are_padded_as_invalid(chips: list[Chip]) -> None:
    sample = dataset(chips, SampleOptions(crop=16, augment=Augmentation(Geometry.DIHEDRAL)))[Draw(2, 5)]
    assert sample.sar is not None
    assert sample.sar_valid is not None
    assert sample.label is not None
    assert sample.sar.shape == (2, 16, 16)
    inside = np.zeros((16, 16), bool)
    inside[:10, :12] = inside[:12, :10] = True
    for array, fill in ((sample.sar[0], 0), (sample.sar_valid, False), (sample.label, IGNORE_LABEL)):
        assert (array[~inside] == fill).all()
    assert sample.sar_valid.sum() == 120 - 40


def test_crops_without_data_are_drawn_again(tmp_path: Path) -> None:
    sar = np.zeros((2, 64, 64), np.float32)
    sar[:, :, 44:] = 25
    mask = write_tiff(tmp_path / "m.tif", np.ones((64, 64), np.uint8))
    chip = Chip("a", "a", (write_tiff(tmp_path / "s.tif", sar),), (), mask=mask)
    shares = {}
    for attempts in (1, 6):
        options = SampleOptions(crop=16, min_valid=0.5, attempts=attempts, cache_bytes=10**6)
        data = dataset([chip], options, SAR)
        valid = [data[Draw(0, stream)].sar_valid for stream in range(200)]
        shares[attempts] = np.mean([v is not None and v.mean() >= 0.5 for v in valid])
    assert shares[1] == pytest.approx(13 / 49, abs=0.1)
    assert shares[6] == pytest.approx(1 - (36 / 49) ** 6, abs=0.08)


def test_the_cache_stays_within_its_limit_and_keeps_8_bit(chips: list[Chip]) -> None:
    one = read_chip(chips[0], RADIOMETRY, LabelSpec(), BOTH).nbytes
    data = dataset(chips, SampleOptions(crop=16, cache_bytes=one + 1))
    assert [data[index].key for index in range(3)] == ["a", "b", "small"]
    assert data._cached_bytes == one
    assert data._cache[0].optical is not None
    assert data._cache[0].optical.values.dtype == np.uint8


def test_a_cached_chip_needs_no_file(tmp_path: Path) -> None:
    chip = make_chip(tmp_path, "gone")
    data = dataset([chip], SampleOptions(crop=16, cache_bytes=10**6))
    assert data[Draw(0, 1)].shape == (16, 16)
    for path in tmp_path.iterdir():
        path.unlink()
    assert data[Draw(0, 3)].shape == (16, 16)


def test_jitter_spares_invalid_pixels_and_labels(chips: list[Chip]) -> None:
    loud = Jitter(common_gain=0.5, common_offset=2.0)
    plain = dataset(chips, SampleOptions())[0]
    loud_options = SampleOptions(augment=Augmentation(Geometry.NONE, sar=loud, optical=loud))
    changed = dataset(chips, loud_options)[0]
    assert plain.sar is not None
    assert changed.sar is not None
    assert changed.sar_valid is not None
    assert (changed.sar[:, ~changed.sar_valid] == 0).all()
    assert (changed.sar[:, changed.sar_valid] != plain.sar[:, changed.sar_valid]).mean() > 0.99
    np.testing.assert_array_equal(changed.label, plain.label)


def test_a_chip_without_optical_image_is_invalid_not_zero_data(chips: list[Chip]) -> None:
    data = dataset([chips[0], replace(chips[1], optical=())], SampleOptions(crop=16))
    batch = collate([data[0], data[1]])
    assert batch.require("optical_valid")[1].sum() == 0
    assert batch.require("optical_valid")[0].any()
    assert batch.require("optical").shape == (2, 3, 16, 16)
    with pytest.raises(InputError, match="chip b has no optical image"):
        dataset([replace(chips[1], optical=(), mask=None)], SampleOptions(), OPTICAL)[0]


def test_collate_stacks_and_pads(chips: list[Chip]) -> None:
    data = dataset(chips, SampleOptions())
    batch = collate([data[0], data[2]])
    assert batch.keys == ("a", "small")
    assert batch.require("sar").shape == (2, 2, 48, 40)
    assert batch.require("sar").dtype == torch.float32
    assert batch.require("sar_valid").shape == (2, 1, 48, 40)
    assert batch.require("sar_valid").dtype == torch.bool
    assert batch.require("label").dtype == torch.uint8
    assert (batch.require("label")[1, 10:] == IGNORE_LABEL).all()
    assert not batch.require("sar_valid")[1, :, :, 12:].any()
    np.testing.assert_array_equal(batch.require("sar")[0].numpy(), data[0].sar)


def test_collate_of_chips_without_truth_has_no_label(chips: list[Chip]) -> None:
    blind = replace(chips[1], mask=None)
    data = dataset([chips[0], blind], SampleOptions(crop=16), SAR)
    assert collate([data[1]]).label is None
    assert collate([data[1]]).optical is None
    mixed = collate([data[0], data[1]]).require("label")
    assert (mixed[1] == IGNORE_LABEL).all()
    assert (mixed[0] != IGNORE_LABEL).any()


def test_worker_processes_return_what_the_parent_returns(chips: list[Chip]) -> None:
    data = dataset(chips, SampleOptions(crop=16, augment=AUGMENT, cache_bytes=10**6))
    draws = [Draw(index, step) for step in range(2) for index in range(3)]
    loader = DataLoader(
        data,
        batch_size=3,
        sampler=draws,
        collate_fn=collate,
        num_workers=2,
        multiprocessing_context="forkserver",
    )
    for step, batch in enumerate(loader):
        expected = collate([data[draw] for draw in draws[3 * step : 3 * step + 3]])
        assert batch.keys == expected.keys
        assert torch.equal(batch.require("sar"), expected.require("sar"))
        assert torch.equal(batch.require("label"), expected.require("label"))


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 3), st.integers(0, 3))
def test_padding_keeps_the_array_and_fills_the_rest(height: int, width: int, more_rows: int, more_cols: int) -> None:
    array = np.arange(2 * height * width, dtype=np.float32).reshape(2, height, width)
    padded = pad(array, (height + more_rows, width + more_cols), -1)
    assert padded.shape == (2, height + more_rows, width + more_cols)
    np.testing.assert_array_equal(padded[:, :height, :width], array)
    assert (padded == -1).sum() == padded.size - array.size


def test_options_and_modalities_are_checked(chips: list[Chip]) -> None:
    for wrong in ({"crop": 0}, {"seed": -1}, {"cache_bytes": -1}, {"attempts": 0}, {"min_valid": 1.5}):
        with pytest.raises(ConfigError):
            SampleOptions(**wrong)
    with pytest.raises(ConfigError, match="at least one modality"):
        dataset(chips, SampleOptions(), frozenset())
    sar_only = Radiometry(sar=RADIOMETRY.sar)
    with pytest.raises(ConfigError, match="declares none"):
        ChipDataset(chips, sar_only, LabelSpec(), STATISTICS, SampleOptions(), BOTH)
