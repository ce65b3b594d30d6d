"""Touching buildings apart: learnt boundaries, single true buildings, and what the instance metrics make of both."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from evaluation_cases import make_batch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from torch import Tensor

from overcast.batch import Batch
from overcast.choices import Separation
from overcast.data.targets import Targets, draw_targets
from overcast.errors import ConfigError, MissingModalityError
from overcast.evaluation.result import EvaluationOptions
from overcast.evaluation.run import evaluate
from overcast.evaluation.selection import PanelOptions
from overcast.metrics.instances import instances_from_probability, outlines_of_instances
from overcast.polygons.watershed import SMALLEST_SEED_PIXELS, separate_by_boundaries


def row_houses() -> np.ndarray:
    """Three houses wall to wall, one apart, and one of two pixels."""
    houses = np.zeros((24, 44), np.int32)
    houses[4:14, 3:13], houses[4:14, 13:23], houses[6:16, 23:33] = 1, 2, 4
    houses[4:14, 36:42] = 3
    houses[20, 3:5] = 5
    return houses


def boundaries_of(houses: np.ndarray) -> np.ndarray:
    """Perfect maps of edge and contact."""
    return draw_targets(houses, Targets(edge=True, contact=True)).max(0).astype(np.float32)


def test_row_houses_come_apart_where_their_walls_are():
    houses = row_houses()
    inside = houses > 0
    parts = separate_by_boundaries(inside, boundaries_of(houses))
    assert np.count_nonzero(parts != houses) <= 2  # where a flat wall turns a corner, its pixels may go either way
    blind = separate_by_boundaries(inside, np.zeros(houses.shape))
    assert blind.max() == 3  # without boundaries: the row, the single house and the two pixels
    np.testing.assert_array_equal(separate_by_boundaries(inside, np.ones(houses.shape)), blind)  # no seed: whole


@given(
    arrays(np.bool_, (12, 13)), arrays(np.float32, (12, 13), elements=st.floats(0, 1, width=16)), st.integers(0, 2**16)
)
@settings(max_examples=60)
def test_parts_cover_their_region_and_depend_on_it_alone(inside: np.ndarray, boundaries: np.ndarray, seed: int):
    parts = separate_by_boundaries(inside, boundaries)
    assert ((parts > 0) == inside).all()
    for number in range(1, parts.max() + 1):
        assert ndimage.label(parts == number)[1] == 1
    regions, count = ndimage.label(inside)
    if count:
        chosen = regions == 1 + seed % count
        alone = separate_by_boundaries(chosen, boundaries)
        pairs = set(zip(parts[chosen].tolist(), alone[chosen].tolist(), strict=True))
        assert len(pairs) == alone.max() == len(np.unique(parts[chosen]))
        seeds = ndimage.label(chosen & (boundaries < 0.5))
        large = np.bincount(seeds[0].ravel())[1:] >= SMALLEST_SEED_PIXELS
        assert alone.max() == max(1, large.sum())


def test_true_buildings_one_by_one():
    houses = row_houses()
    houses[20, 20:22] = 3  # the single one is in two pieces
    label = (houses > 0).astype(np.uint8)
    label[:, 38:] = 255
    outlines = outlines_of_instances(houses, label, 0.5)
    areas = [round(outline.area / 0.25) for outline in outlines]
    assert areas == [100, 100, 20 + 2, 100, 2]
    assert outlines[2].geom_type == "MultiPolygon"
    assert len(outlines_of_instances(houses, label, 0.5, min_area_m2=5)) == 4
    assert outlines_of_instances(np.full((3, 3), -1, np.int32), np.ones((3, 3), np.uint8), 1.0) == ()


def test_claims_are_cut_along_walls():
    houses = row_houses()
    probability, valid = np.where(houses > 0, 0.9, 0.1), np.ones(houses.shape, bool)
    assert len(instances_from_probability(probability, valid, 0.5, min_area_m2=5)) == 2
    cut = instances_from_probability(probability, valid, 0.5, min_area_m2=5, boundaries=boundaries_of(houses))
    assert sorted(round(one.outline.area / 0.25) for one in cut) == [60, 100, 100, 100]


def town() -> Batch:
    houses = torch.from_numpy(row_houses())[None]
    label = (houses > 0).to(torch.uint8)
    return Batch(houses[:, None].float(), None, None, None, label, ("town",), instances=houses)


def maps(batch: Batch) -> Tensor:
    """What a model that knows everything says."""
    houses = batch.require("instances")[0].numpy()
    edge_and_contact = draw_targets(houses, Targets(edge=True, contact=True))
    return torch.from_numpy(np.concatenate([houses[None] > 0, edge_and_contact]) * 8.0 - 4.0)[None].float()


OPTIONS = EvaluationOptions(min_area_m2=5.0, panels=PanelOptions(count=0))
APART = OPTIONS.model_copy(update={"separate": Separation.WATERSHED})


def test_instance_scores_reward_the_cut():
    places = {"town": "town"}
    apart = evaluate(maps, [town()], places, 0.5, APART)
    assert (apart.total.instances.tp, apart.total.instances.fp, apart.total.instances.fn) == (4, 0, 0)
    merged = evaluate(lambda batch: maps(batch)[:, :1], [town()], places, 0.5, OPTIONS)
    assert merged.total.instances.tp == 2  # on both sides the row is one
    assert apart.pixels == merged.pixels

    def blind(batch: Batch) -> Tensor:
        return torch.cat([maps(batch)[:, :1], torch.full_like(maps(batch)[:, 1:], -4.0)], dim=1)

    uncut = evaluate(blind, [town()], places, 0.5, APART)
    assert (uncut.total.instances.tp, uncut.total.instances.fp, uncut.total.instances.fn) == (1, 1, 3)
    coarse = APART.model_copy(update={"instances": False})
    assert evaluate(lambda batch: maps(batch)[:, :1], [town()], places, 0.5, coarse).pixels == merged.pixels


def test_what_separation_needs_is_named():
    with pytest.raises(ConfigError, match="then those of edge and contact"):
        evaluate(lambda batch: maps(batch)[:, :1], [town()], {"town": "t"}, 0.5, APART)
    with pytest.raises(ConfigError, match="one logit per pixel"):
        evaluate(maps, [town()], {"town": "t"}, 0.5, OPTIONS)
    lost = replace(town(), instances=None)
    with pytest.raises(MissingModalityError, match="'instances'"):
        evaluate(lambda _: maps(town()), [lost], {"town": "t"}, 0.5, APART)
    assert make_batch([1]).instances is None
