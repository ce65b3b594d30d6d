"""Edges and contacts against hand-worked maps, and what reaches a batch."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from chip_files import RADIOMETRY, SAR, STATISTICS
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from raster_files import write_tiff
from scipy import ndimage

from overcast.batch import IGNORE_LABEL, Batch
from overcast.data.augment import Augmentation, Geometry
from overcast.data.chips import Chip
from overcast.data.coco import Outlines
from overcast.data.dataset import ChipDataset, Draw, SampleOptions
from overcast.data.instances import read_instances
from overcast.data.labels import LabelSpec
from overcast.data.samples import collate
from overcast.data.targets import UNKNOWN, Target, Targets, contacts, draw_targets, edges
from overcast.errors import MissingModalityError

BOTH_TARGETS = Targets(edge=True, contact=True, edge_px=1, contact_px=2)
LABEL = LabelSpec(ignore=255)


def grid(*rows: str) -> np.ndarray:
    """Digits are buildings, `.` is ground, `?` unknown."""
    meaning = {".": 0, "?": UNKNOWN}
    return np.array([[meaning[mark] if mark in meaning else int(mark) for mark in row] for row in rows], np.int32)


def marks(*rows: str) -> np.ndarray:
    return np.array([[mark == "#" for mark in row] for row in rows])


TOWN = grid(
    "..........",
    ".11112222.",
    ".11112222.",
    ".11112222.",
    ".1111.....",
    "..........",
    "..........",
    "333?......",
    "333?......",
)


def test_edges_by_hand():
    expected = marks(
        "..........",
        ".########.",
        ".#..##..#.",
        ".#..#####.",
        ".####.....",
        "..........",
        "..........",
        "###.......",
        "..........",
    )
    np.testing.assert_array_equal(edges(TOWN, 1.0), expected)
    corner = grid("11", "1.")
    np.testing.assert_array_equal(edges(corner, 1.4), marks(".#", "#."))
    np.testing.assert_array_equal(edges(corner, 1.5), marks("##", "#."))  # sqrt(2) apart
    inner = edges(TOWN, 2.0)
    np.testing.assert_array_equal(inner[7:, :3], np.ones((2, 3), bool))  # two rows deep, none along ? and the border
    assert inner[1:5, 1:5].all()


def test_contacts_by_hand():
    town = grid(
        "11..22....",
        "11..22....",
        "..........",
        "....33....",
        "4455?.....",
    )
    expected = marks(
        "..##......",  # 1 and 2 meet over two pixels of ground: each is 1 from one and 2 from the other
        "..####....",  # the lower row of 2 is 2 from 3
        "#######...",  # (2, 2) is sqrt(2) from 1 and 2 from 5, (2, 7) sqrt(5) from both 2 and 3
        "######....",
        "####.#....",  # 4 and 5 share a wall; ? is unknown, whatever is near
    )
    np.testing.assert_array_equal(contacts(town, 2.0), expected)


@given(arrays(np.int32, (9, 11), elements=st.integers(-1, 4)), st.sampled_from([1.0, 1.5, 2.0, 3.0]))
def test_both_agree_with_distances_over_the_whole_array(instances: np.ndarray, reach: float):
    known = instances != UNKNOWN
    rim, near = np.zeros(instances.shape, bool), np.zeros(instances.shape, int)
    for number in range(1, 5):
        inside = instances == number
        if inside.any():
            near += ndimage.distance_transform_edt(~inside) <= reach
        if (other := known & ~inside).any():
            rim |= inside & (ndimage.distance_transform_edt(~other) <= reach)
    np.testing.assert_array_equal(edges(instances, reach), rim)
    np.testing.assert_array_equal(contacts(instances, reach), (near >= 2) & known)


def test_no_building_and_nothing_but_one_have_neither():
    for empty in (np.zeros((5, 6), np.int32), np.ones((5, 6), np.int32)):
        assert not draw_targets(empty, BOTH_TARGETS).any()


def test_planes_follow_the_names():
    contact = draw_targets(TOWN, Targets(contact=True, contact_px=2))
    np.testing.assert_array_equal(contact, draw_targets(TOWN, BOTH_TARGETS)[1:])
    assert BOTH_TARGETS.names == (Target.FOOTPRINT, Target.EDGE, Target.CONTACT)
    assert BOTH_TARGETS.weights == (1.0, 0.25, 0.1)
    assert Targets().weights is None
    assert draw_targets(TOWN, Targets()).shape == (0, *TOWN.shape)


def town_chip(folder: Path, mask: np.ndarray, **changes: Any) -> Chip:
    """Radar over all but the first row, and a mask."""
    sar = np.full((2, *mask.shape), 25, np.float32)
    sar[:, 0] = 0
    files = (write_tiff(folder / "sar.tif", sar),), write_tiff(folder / "mask.tif", mask)
    return replace(Chip("town", "town", files[0], (), mask=files[1]), **changes)


def samples(chip: Chip, **options: Any) -> ChipDataset:
    return ChipDataset([chip], RADIOMETRY, LABEL, STATISTICS, SampleOptions(targets=BOTH_TARGETS, **options), SAR)


def town_mask() -> np.ndarray:
    mask = np.clip(TOWN, 0, 1).astype(np.uint8)
    mask[:, 5] = 0  # 1 and 2 apart
    mask[TOWN == UNKNOWN] = IGNORE_LABEL
    return mask


def test_buildings_of_a_mask_are_connected_by_sides(tmp_path: Path):
    mask = np.array([[1, 1, 0], [0, 0, 1], [255, 0, 1]], np.uint8)
    chip = town_chip(tmp_path, mask)
    expected = np.array([[1, 1, 0], [0, 0, 2], [UNKNOWN, 0, 2]])
    np.testing.assert_array_equal(read_instances(chip, LABEL), expected)
    np.testing.assert_array_equal(read_instances(replace(chip, rotate_180=True), LABEL), expected[::-1, ::-1])
    assert read_instances(replace(chip, mask=None), LABEL) is None


def test_buildings_of_vector_files_keep_their_walls(tmp_path: Path):
    import geopandas
    from affine import Affine

    path = write_tiff(tmp_path / "placed.tif", np.full((2, 4, 6), 25, np.float32), Affine(1, 0, 0, 0, -1, 4))
    houses = [shapely.box(0, 0, 3, 4), shapely.box(3, 0, 6, 2)]
    geopandas.GeoSeries(houses, crs="EPSG:32631").to_file(tmp_path / "houses.gpkg")
    chip = Chip("c", "c", (path,), (), footprints=tmp_path / "houses.gpkg")
    expected = grid("111...", "111...", "111222", "111222")
    np.testing.assert_array_equal(read_instances(chip, LABEL), expected)
    corners = [(np.array(house.exterior.coords[:-1]) * (1, -1) + (0, 4)).astype(np.float32) for house in houses]
    outlines = Outlines(path, 4, 6, tuple(corners), polygon_owners=(1, 2))
    chip = replace(chip, footprints=None, outlines=outlines)
    np.testing.assert_array_equal(read_instances(chip, LABEL), expected)


def test_crops_see_what_the_whole_chip_shows_cached_or_not(tmp_path: Path):
    chip = town_chip(tmp_path, town_mask())
    whole = samples(chip)[0]
    assert whole.targets is not None
    ids = read_instances(chip, LABEL)
    assert ids is not None
    np.testing.assert_array_equal(whole.targets, draw_targets(ids, BOTH_TARGETS))
    for cache_bytes in (0, 10**6):
        data = samples(chip, crop=4, cache_bytes=cache_bytes, min_valid=0, augment=Augmentation(Geometry.DIHEDRAL))
        found = [data[Draw(0, stream)] for stream in range(30)]
        for sample in found:
            assert sample.label is not None
            assert sample.targets is not None
            edge = sample.targets[0].astype(bool)
            assert not (edge & (sample.label == 0)).any()
        assert any(sample.targets[1].any() for sample in found if sample.targets is not None)


def test_the_truth_of_a_batch_is_ignored_where_the_label_is(tmp_path: Path):
    chip = town_chip(tmp_path, town_mask())
    batch = collate([samples(chip)[0], samples(chip, crop=4)[0]])
    truth = batch.truth
    assert truth.shape == (2, 3, *TOWN.shape)
    ignored = (batch.require("label") == IGNORE_LABEL)[:, None].expand_as(truth)
    assert (truth[ignored] == IGNORE_LABEL).all()
    assert truth[~ignored].max() == 1
    assert batch.to("cpu").truth.equal(truth)
    without = Batch(None, None, None, None, batch.label, batch.keys)
    with pytest.raises(MissingModalityError, match="'targets'"):
        _ = without.truth
