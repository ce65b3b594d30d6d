"""Pictures and charts of the report."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overcast.batch import IGNORE_LABEL
from overcast.errors import InputError
from overcast.evaluation.panels import (
    FALSE_ALARM,
    GROUND,
    MISSED,
    RIGHT,
    Captioned,
    SheetStyle,
    composite,
    contact_sheet,
    decode_png,
    draw_rings,
    encode_png,
    error_map,
    hatch,
    overlay_outlines,
    probability_map,
    truth_map,
)
from overcast.report.charts import Axis, Series, axis_over, line_chart

# Charts


def test_points_lie_where_the_axes_say():
    svg = line_chart("t", Axis("x"), Axis("y"), [Series("line", [(0, 0), (1, 1)])])
    root = ET.fromstring(svg)
    points = next(item for item in root if item.tag == "polyline").attrib["points"].split()
    (x0, y0), (x1, y1) = (map(float, point.split(",")) for point in points)
    grid = [item.attrib for item in root if item.attrib.get("class") == "grid"]
    assert x0 == min(float(line["x1"]) for line in grid)
    assert x1 == max(float(line["x1"]) for line in grid)
    assert y0 == max(float(line["y1"]) for line in grid)
    assert y1 == min(float(line["y1"]) for line in grid)


def test_points_outside_the_axes_are_left_out():
    svg = line_chart("t", Axis("x"), Axis("y"), [Series("line", [(0.5, 0.5), (2, 2)], markers=True)])
    assert svg.count("<circle") == 1


def test_chart_text_is_escaped():
    assert "<b>" not in line_chart("<b>", Axis("<b>"), Axis("y"), [Series("<b>", [(0, 0)], markers=True)])


@given(st.lists(st.floats(-1e6, 1e6, width=32), max_size=5), st.booleans())
def test_axes_hold_their_values_with_a_few_round_ticks(values, from_zero):
    axis = axis_over("value", values, from_zero=from_zero)
    span = axis.high - axis.low
    assert all(axis.low - 1e-9 * span <= value <= axis.high + 1e-9 * span for value in values)
    assert 3 <= len(axis.ticks) <= 9
    assert axis.low < axis.high


# Pictures


def test_composite_stretches_valid_pixels_and_hatches_the_rest():
    values = np.zeros((4, 10, 10), np.float32)
    values[0] = np.arange(100).reshape(10, 10)
    values[1] = 7
    values[0, 0, 0] = 1e9
    valid = np.ones((10, 10), bool)
    valid[0] = False
    picture = composite(values, valid, (0, 1, 0))
    assert (picture[0] == hatch(10, 10)[0]).all()
    assert picture[1:, :, 0].min() == 0
    assert picture[1:, :, 0].max() == 255
    assert (np.diff(picture[1:, :, 0].ravel().astype(int)) >= 0).all()
    assert (picture[1:, :, 1] == 128).all()
    assert (composite(values, np.zeros_like(valid)) == hatch(10, 10)).all()


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 13])
def test_any_number_of_bands_has_a_composite(bands):
    values = np.random.default_rng(0).normal(size=(bands, 8, 9))
    assert composite(values, np.ones((8, 9), bool)).shape == (8, 9, 3)
    assert (composite(values, np.ones((8, 9), bool), [bands - 1]).std(axis=-1) == 0).all()


def test_error_map_by_hand():
    probability = np.array([[0.9, 0.9, 0.1, 0.5, 0.9]])
    label = np.array([[1, 0, 1, 0, IGNORE_LABEL]], np.uint8)
    picture = error_map(probability, label)
    assert picture[0, :4].tolist() == [list(RIGHT), list(FALSE_ALARM), list(MISSED), list(FALSE_ALARM)]
    assert (picture[0, 4] == hatch(1, 5)[0, 4]).all()
    assert truth_map(label)[0, :2].tolist() == [list(RIGHT), list(GROUND)]


def test_probability_map_brightens_with_probability():
    luminance = probability_map(np.linspace(0, 1, 20)[None]).astype(int).sum(axis=-1)[0]
    assert (np.diff(luminance) > 0).all()
    assert (probability_map(np.ones((3, 3)), np.zeros((3, 3), bool)) == hatch(3, 3)).all()


def test_outlines_follow_the_inner_edge():
    mask = np.zeros((8, 8), bool)
    mask[2:7, 2:7] = True
    picture = overlay_outlines(np.zeros((8, 8, 3), np.uint8), mask, (9, 9, 9))
    assert (picture[..., 0] == 9).sum() == 16
    assert picture[4, 4, 0] == 0


def test_png_round_trip():
    picture = np.random.default_rng(0).integers(0, 256, (5, 6, 3)).astype(np.uint8)
    assert (decode_png(encode_png(picture)) == picture).all()
    assert (decode_png(encode_png(picture[..., 0])) == picture[..., 0]).all()
    few = picture // 128 * 200
    large = np.tile(few, (30, 30, 1))
    assert (decode_png(encode_png(few)) == few).all()
    assert (decode_png(encode_png(large)) == large).all()
    with pytest.raises(InputError, match="damaged"):
        decode_png(encode_png(picture)[:40])


def test_contact_sheet_places_every_picture():
    style = SheetStyle(tile_px=40, gap_px=10, text_px=10)
    red, blue = np.full((20, 20, 3), (255, 0, 0), np.uint8), np.full((40, 20, 3), (0, 0, 255), np.uint8)
    sheet = decode_png(contact_sheet([[Captioned(red, "a"), Captioned(blue, "b " * 50)], [Captioned(red, "c")]], style))
    assert sheet.shape == (2 * (40 + 20) + 3 * 10, 2 * 50 + 10, 3)
    assert sheet[30, 30].tolist() == sheet[110, 30].tolist() == [255, 0, 0]
    assert sheet[30, 70].tolist() == [0, 0, 255]
    assert (sheet == 255).all(axis=-1).any()
    with pytest.raises(ValueError, match="needs a picture"):
        contact_sheet([])


def test_rings_are_drawn_on_the_enlarged_picture_where_they_lie():
    """A square of 2 pixels from (1, 1), three times enlarged: its corners lie at 3 and 9."""
    square = np.array([[1, 1], [3, 1], [3, 3], [1, 3], [1, 1]], float)
    picture = draw_rings(np.zeros((4, 5, 3), np.uint8), [square], (9, 8, 7), enlarged=3, width_px=1)
    assert picture.shape == (12, 15, 3)
    drawn = (picture == (9, 8, 7)).all(-1)
    expected = np.zeros((12, 15), bool)
    expected[3:10, 3:10] = True
    expected[4:9, 4:9] = False
    np.testing.assert_array_equal(drawn, expected)
