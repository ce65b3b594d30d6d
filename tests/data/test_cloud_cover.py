"""Clouds drawn over training samples."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from chip_files import AUGMENT, BOTH, RADIOMETRY, STATISTICS, make_chip
from scipy import ndimage

from overcast.config.network import build_augmentation
from overcast.config.run import load_config
from overcast.data.cloud_cover import NO_CLOUDS, CloudCover
from overcast.data.dataset import ChipDataset, Draw, SampleOptions
from overcast.data.labels import LabelSpec

SHAPE = (96, 128)


def masks(count: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    drawn = [CloudCover(1.0).draw(SHAPE, rng) for _ in range(count)]
    return [mask for mask in drawn if mask is not None]


def test_any_part_is_hidden_from_nothing_to_everything() -> None:
    shares = np.array([mask.mean() for mask in masks(200)])
    assert len(shares) == 200
    assert (shares == 0).any()
    assert (shares == 1).any()
    counts, _ = np.histogram(shares, 5, (0, 1))
    assert counts.min() >= 20


def test_clouds_are_few_and_whole_not_noise() -> None:
    partly = [mask for mask in masks(40) if 0.2 < mask.mean() < 0.8]
    for mask in partly:
        changes = np.count_nonzero(np.diff(mask, axis=0)) + np.count_nonzero(np.diff(mask, axis=1))
        assert changes < 0.15 * mask.size
        assert ndimage.label(mask)[1] < 150
    straight = [mask for mask in partly if ndimage.label(mask)[1] == ndimage.label(~mask)[1] == 1]
    assert straight


def test_the_share_of_samples_is_met_and_none_draws_no_number() -> None:
    rng = np.random.default_rng(1)
    some = [CloudCover(0.3).draw(SHAPE, rng) is not None for _ in range(300)]
    assert np.mean(some) == pytest.approx(0.3, abs=0.08)
    before = rng.bit_generator.state
    assert NO_CLOUDS.draw(SHAPE, rng) is None
    assert rng.bit_generator.state == before


def test_a_share_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must lie in 0 \.\. 1"):
        CloudCover(1.5)


def test_only_the_optical_image_of_a_sample_changes(tmp_path: Path) -> None:
    chips = [make_chip(tmp_path, "a")]
    cloudy = replace(AUGMENT, clouds=CloudCover(1.0))
    plain, clouded = (
        ChipDataset(chips, RADIOMETRY, LabelSpec(), STATISTICS, SampleOptions(crop=16, augment=augment), BOTH)
        for augment in (AUGMENT, cloudy)
    )
    hidden = []
    for stream in range(20):
        one, other = plain[Draw(0, stream)], clouded[Draw(0, stream)]
        assert one.optical is not None
        assert other.optical is not None
        assert one.optical_valid is not None
        assert other.optical_valid is not None
        np.testing.assert_array_equal(one.sar, other.sar)
        np.testing.assert_array_equal(one.label, other.label)
        assert not (other.optical_valid & ~one.optical_valid).any()
        np.testing.assert_array_equal(other.optical, np.where(other.optical_valid, one.optical, 0))
        hidden.append(1 - other.optical_valid.sum() / max(1, one.optical_valid.sum()))
    assert min(hidden) < 0.1
    assert max(hidden) == 1


def test_the_configuration_turns_them_on() -> None:
    root = "data={name: folder, root: nowhere}"
    assert load_config(None, [root]).augmentation.cloud_share == 0
    config = load_config(None, [root, "augmentation.cloud_share=0.5"])
    built = build_augmentation(config.augmentation, RADIOMETRY)
    assert built is not None
    assert built.clouds == CloudCover(0.5)
