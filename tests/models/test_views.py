"""Look-safe test-time augmentation: exact for networks that views cannot fool, and never a mirror across the range."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from overcast.batch import Batch
from overcast.choices import Tta
from overcast.config.predictor import seen
from overcast.data.augment import Symmetry, safe_geometry
from overcast.models.views import SCALES, Averaged, View, averaged, views_of
from overcast.raster.radiometry import RadarSide

LOOKS = [*RadarSide, None]
views = st.builds(View, st.booleans(), st.booleans(), st.sampled_from(SCALES))


def noise(height: int = 24, width: int = 30, seed: int = 0) -> Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(seed))


class Pointwise(nn.Module):
    """Says the same of a pixel wherever it is."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x[:, :1] + 2 * x[:, 1:2], x[:, 2:]], dim=1)


class Gradient(nn.Module):
    """The difference to the pixel above (below with `down`): a radar's near and far side."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :1] - x[:, :1].roll(1, self.side)


@given(view=views, height=st.integers(5, 40), width=st.integers(5, 40))
def test_undoing_a_view_brings_every_pixel_back(view: View, height: int, width: int):
    row, col = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    plane = (2.0 * row - col)[None, None]
    back = view.undo(view.apply(plane), (height, width))
    inner = (slice(None), slice(None), slice(2, -2), slice(2, -2))
    assert back.shape == plane.shape
    atol = 0.0 if view.scale == 1 else 0.6  # bilinear on a plane, but for what rounds at the borders
    np.testing.assert_allclose(back[inner], plane[inner], atol=atol)
    everywhere = torch.ones(1, 1, height, width, dtype=torch.bool)
    assert view.apply(everywhere).all()
    assert view.apply(everywhere).dtype == torch.bool


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("tta", list(Tta))
def test_no_view_mirrors_the_range(tta: Tta, look: RadarSide | None):
    found = views_of(tta, look)
    assert found[0] == View()
    assert len(set(found)) == len(found)
    safe = safe_geometry(look).symmetries if look is not None else (Symmetry(),)
    assert {Symmetry(False, view.flip_rows, view.flip_cols) for view in found} <= set(safe)
    from_above = look in (RadarSide.NORTH, RadarSide.SOUTH)
    assert not any(view.flip_rows for view in found if from_above or look is None)
    assert not any(view.flip_cols for view in found if not from_above)
    flips = 1 if look is None else 2
    assert len(found) == {Tta.OFF: 1, Tta.FLIP: flips, Tta.FULL: 3 * flips}[tta]


@pytest.mark.parametrize("look", list(RadarSide))
def test_a_network_that_looks_along_the_range_is_not_fooled(look: RadarSide):
    """Its answer would change sign under a mirror across the range; the safe flip leaves it as it is."""
    side = -2 if look in (RadarSide.NORTH, RadarSide.SOUTH) else -1
    x = noise()
    plain = Gradient(side)(x)
    safe = Averaged(Gradient(side), views_of(Tta.FLIP, look))(x)
    torch.testing.assert_close(safe, plain, atol=1e-4, rtol=1e-4)
    across = View(flip_rows=side == -2, flip_cols=side == -1)
    fooled = Averaged(Gradient(side), (View(), across))(x)
    assert (fooled - plain).abs().max() > 1


def test_an_equivariant_network_answers_as_without_views():
    x = noise()
    plain = Pointwise()(x)
    flipped = Averaged(Pointwise(), views_of(Tta.FLIP, RadarSide.EAST))(x)
    torch.testing.assert_close(flipped, plain, atol=1e-4, rtol=1e-4)
    flat = x.mean((-1, -2), keepdim=True).expand_as(x).contiguous()  # what no scale changes
    full = Averaged(Pointwise(), views_of(Tta.FULL, RadarSide.WEST))(flat)
    torch.testing.assert_close(full, Pointwise()(flat), atol=1e-4, rtol=1e-4)


def test_one_view_is_passed_through_to_the_last_bit():
    x = noise()
    assert Averaged(Pointwise(), views_of(Tta.OFF, RadarSide.NORTH))(x).equal(Pointwise()(x))


def test_probabilities_are_averaged_not_logits():
    said = iter([torch.full((1, 1, 1, 1), 3.0), torch.full((1, 1, 1, 1), -1.0)])
    mean = averaged(lambda _: next(said), (View(), View(flip_cols=True)), (1, 1))
    expected = (1 / (1 + np.exp(-3)) + 1 / (1 + np.exp(1))) / 2
    assert torch.sigmoid(mean).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("certain", [1e4, -1e4])
def test_certain_networks_stay_finite(certain: float):
    mean = averaged(lambda _: torch.full((1, 1, 2, 2), certain), (View(), View(flip_cols=True)), (2, 2))
    assert torch.isfinite(mean).all()
    assert (mean.sign() == np.sign(certain)).all()


def test_both_sensors_and_their_validity_are_seen_alike():
    sar, optical = noise(seed=1), noise(seed=2)
    valid = noise(seed=3)[:, :1] > 0
    label = torch.zeros(2, 24, 30, dtype=torch.uint8)
    batch = Batch(sar, valid, optical, ~valid, label, ("a", "b"))
    view = View(flip_rows=True, scale=1.25)
    found = seen(batch, view)
    assert found.require("sar").equal(view.apply(sar))
    assert found.require("optical").equal(view.apply(optical))
    assert found.require("sar_valid").equal(~found.require("optical_valid"))
    assert found.require("sar_valid").shape == (2, 1, 30, 38)
    assert found.require("label").equal(label)
    assert seen(batch, View()) is batch
