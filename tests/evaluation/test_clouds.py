"""Clouds over the optical image: exact shares, the same for every method, and no effect beyond them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from method_cases import EVERY_OPTION, label_of, make, make_batch
from scipy import ndimage

from overcast.batch import InputModalities
from overcast.errors import ConfigError
from overcast.evaluation.clouds import cloud_mask, clouded


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_the_share_is_met_to_the_pixel(height: int, width: int, clear: float, seed: int) -> None:
    mask = cloud_mask((height, width), clear, seed)
    assert mask.shape == (height, width)
    assert (~mask).sum() == round(clear * height * width)
    assert np.array_equal(mask, cloud_mask((height, width), clear, seed))
    assert not (mask & ~cloud_mask((height, width), clear / 2, seed)).any()


def test_clouds_are_blobs() -> None:
    mask = cloud_mask((128, 128), 0.5, 3)
    _, blobs = ndimage.label(mask)
    noise = np.random.default_rng(0).permutation(mask.ravel()).reshape(mask.shape)
    _, specks = ndimage.label(noise)
    assert blobs < specks / 20


def test_a_share_outside_0_to_1_is_refused() -> None:
    with pytest.raises(ConfigError, match="must lie in"):
        cloud_mask((8, 8), 1.5, 0)


def test_chips_get_their_own_clouds_by_key_not_by_place_in_the_batch() -> None:
    batch = make_batch()
    both = clouded(batch, 0.5)
    turned = clouded(replace(batch, keys=batch.keys[::-1]), 0.5)
    assert both.optical_valid is not None
    assert turned.optical_valid is not None
    before = batch.require("optical_valid")
    assert not torch.equal(both.optical_valid[0] & before[1], both.optical_valid[1] & before[0])
    assert torch.equal(both.optical_valid[0] & before[1], turned.optical_valid[1] & before[0])
    assert both.optical is not None
    assert (both.optical[~both.optical_valid.expand_as(both.optical)] == 0).all()


@pytest.mark.parametrize("options", EVERY_OPTION, ids=label_of)
def test_without_a_clear_pixel_sar_alone_decides_and_without_a_cloud_both_do(options) -> None:
    method = make(options).eval()
    if InputModalities.BOTH not in method.available:
        with pytest.raises(ConfigError, match="both"):
            method.predict_clouded(make_batch())
        return
    full = replace(make_batch(), optical_valid=torch.ones_like(make_batch().require("optical_valid")))
    with torch.inference_mode():
        dark, half, clear = (method.predict_clouded(clouded(full, share)) for share in (0.0, 0.5, 1.0))
        assert torch.equal(clear, method.predict(full, InputModalities.BOTH))
        assert not torch.equal(half, clear)
        if InputModalities.SAR in method.available:
            alone, hidden = method.predict(full, InputModalities.SAR), ~clouded(full, 0.5).require("optical_valid")
            assert torch.equal(dark, alone)
            assert torch.equal(half[hidden.expand_as(half)], alone[hidden.expand_as(half)])
