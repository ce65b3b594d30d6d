"""COCO files: polygons and run-length codes in every form, and what is wrong with a file."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from catalog_miniatures import POLYGON, SIDE_PX, block_mask, compress, runs_of
from hypothesis import given
from hypothesis import strategies as st

from overcast.data.coco import Outlines, decode_counts, read_coco
from overcast.errors import InputError
from overcast.raster.grid import Window

WHOLE = Window(0, 0, SIDE_PX, SIDE_PX)
SIZE = [SIDE_PX, SIDE_PX]


def write_coco(path: Path, *segmentations: Any, **others: Any) -> Path:
    """A file of one image with these annotations."""
    image = {"id": 7, "file_name": "tile.tif", "height": SIDE_PX, "width": SIDE_PX}
    annotations = [{"id": i, "image_id": 7, "segmentation": s} for i, s in enumerate(segmentations)]
    path.write_text(json.dumps({"images": [image], "annotations": annotations} | others))
    return path


def drawn(path: Path, window: Window = WHOLE) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return read_coco(path)["tile"].draw(window)


def test_compressed_runs_are_those_worked_by_hand() -> None:
    assert decode_counts("231X1M") == [2, 3, 1, 43, -2]  # 2, 3, 1, 40 + 3, -3 + 1
    assert decode_counts("P2") == [64]  # five bits: 0 and more follow, then 2


@given(st.lists(st.integers(0, 300_000), max_size=20))
def test_compressed_runs_read_back(counts: list[int]) -> None:
    assert decode_counts(compress(counts)) == counts


@pytest.mark.parametrize("text", ["1é", "1 2", "P"])
def test_text_that_is_no_code_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="run-length code"):
        decode_counts(text)


@pytest.mark.parametrize(
    "code",
    [
        {"size": SIZE, "counts": runs_of(block_mask())},
        {"size": SIZE, "counts": compress(runs_of(block_mask()))},
        [{"size": SIZE, "counts": compress(runs_of(block_mask()))}],
    ],
    ids=["numbers", "text", "list"],
)
def test_run_length_codes_are_drawn_column_by_column(tmp_path: Path, code: Any) -> None:
    np.testing.assert_array_equal(drawn(write_coco(tmp_path / "c.json", code)), block_mask())


def test_polygons_cover_the_pixels_whose_centres_they_hold(tmp_path: Path) -> None:
    expected = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    expected[6:10, 4:20] = 1
    np.testing.assert_array_equal(drawn(write_coco(tmp_path / "c.json", [POLYGON])), expected)
    half = [4.4, 6.6, 19.6, 6.6, 19.6, 9.4, 4.4, 9.4]
    expected[[6, 9]] = 0
    np.testing.assert_array_equal(drawn(write_coco(tmp_path / "h.json", [half])), expected)


def test_parts_and_annotations_are_united(tmp_path: Path) -> None:
    inner = [8.0, 7.0, 12.0, 7.0, 12.0, 9.0, 8.0, 9.0]
    united = drawn(write_coco(tmp_path / "c.json", [POLYGON, inner], {"size": SIZE, "counts": runs_of(block_mask())}))
    one = drawn(write_coco(tmp_path / "one.json", [POLYGON]))
    np.testing.assert_array_equal(united, one | block_mask())


def test_a_window_is_a_part_of_the_whole(tmp_path: Path) -> None:
    path = write_coco(tmp_path / "c.json", [POLYGON], {"size": SIZE, "counts": runs_of(block_mask())})
    window = Window(8, 15, 10, 12)
    np.testing.assert_array_equal(drawn(path, window), drawn(path)[window.slices])


def test_images_without_annotations_and_empty_ones_draw_nothing(tmp_path: Path) -> None:
    assert not drawn(write_coco(tmp_path / "none.json")).any()
    assert not drawn(write_coco(tmp_path / "empty.json", [], [[1.0, 1.0, 2.0, 2.0]])).any()


def test_outlines_are_not_compared_by_their_arrays() -> None:
    corners = np.zeros((3, 2), np.float32)
    one, other = (Outlines(Path("c.json"), 4, 4, (corners,)) for _ in range(2))
    assert one != other
    assert one == one  # noqa: PLR0124


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([[1.0, 1.0, 2.0, 2.0, 3.0, 1.0, 5.0]], r"annotation 0 cannot be read"),
        ({"size": SIZE, "counts": [3, 4]}, r"annotation 0 .*run lengths of 7 pixels"),
        ({"size": [9, 9], "counts": [81]}, r"annotation 0 .*9 x 9 do not fill 32 x 32"),
        ({"size": SIZE, "counts": [SIDE_PX**2 + 5, -5]}, r"annotation 0 cannot be read"),
        ({"size": SIZE}, r"annotation 0 cannot be read \('counts'\)"),
        ([{"size": SIZE, "counts": "§"}], r"annotation 0 .*no character"),
        (None, r"annotation 0 cannot be read"),
    ],
)
def test_an_unusable_annotation_is_named(tmp_path: Path, segmentation: Any, message: str) -> None:
    with pytest.raises(InputError, match=rf"c\.json: {message}"):
        read_coco(write_coco(tmp_path / "c.json", segmentation))


def test_annotations_of_unknown_images_are_refused(tmp_path: Path) -> None:
    path = write_coco(tmp_path / "c.json", annotations=[{"id": 3, "image_id": 8, "segmentation": [POLYGON]}])
    with pytest.raises(InputError, match=r"annotation 3 cannot be read \(8\)"):
        read_coco(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not readable JSON"),
        ("[]", "not a COCO file"),
        ('{"images": []}', "not a COCO file"),
        ('{"images": [{"id": 1}], "annotations": []}', "an image entry lacks 'file_name'"),
        ('{"images": [{"id": 1, "file_name": "a", "height": 1, "width": 1}], "annotations": [4]}', "annotation 4"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_coco(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json does not exist"):
        read_coco(tmp_path / "none.json")


def test_images_are_named_once(tmp_path: Path) -> None:
    images = [{"id": i, "file_name": "tile.tif", "height": 4, "width": 4} for i in (1, 2)]
    with pytest.raises(InputError, match="names an image or its id twice"):
        read_coco(write_coco(tmp_path / "c.json", images=images))


def test_files_of_other_categories_are_refused(tmp_path: Path) -> None:
    assert read_coco(write_coco(tmp_path / "b.json", categories=[{"id": 1, "name": "Buildings"}]))
    with pytest.raises(InputError, match="holds the category 'flat_roof', but building is expected"):
        read_coco(write_coco(tmp_path / "r.json", categories=[{"id": 1, "name": "flat_roof"}]))


BOMBS = [
    ({"size": SIZE, "counts": "X" * 10**6}, "more than 13 digits"),
    (
        {"size": SIZE, "counts": [2**63 - 1, 2**63 - 1, SIDE_PX**2 + 2]},
        "not a whole number from 0 to 1024",
    ),  # wraps to it
    ({"size": SIZE, "counts": [100.7, SIDE_PX**2 - 100]}, "100.7 is not a whole number"),
    ({"size": SIZE, "counts": [True, SIDE_PX**2 - 1]}, "True is not a whole number"),
    ({"size": SIZE, "counts": [1e400]}, "inf is not a whole number"),
    ({"size": SIZE, "counts": [10**30]}, "is not a whole number"),
    ({"size": SIZE, "counts": [0] * (SIDE_PX**2 + 2)}, "run lengths are expected"),
    ({"size": [SIDE_PX, -SIDE_PX], "counts": [0]}, "-32 is not a whole number"),
    ({"size": 5, "counts": [SIDE_PX**2]}, "not iterable"),
    ([[0, 0, 1, 0, float("nan"), 1]], "no x and y"),
    ([[0, 0, 1, 0, 10**400, 1]], "no x and y"),
    ([["1", "2", "3", "4", "5", "6"]], "no x and y"),
    ([0, 0, 1, 0, 1, 1], "a list of polygons, each a list, is expected"),
    (5, "a list of polygons"),
]


@pytest.mark.parametrize(("segmentation", "message"), BOMBS)
def test_run_lengths_and_corners_that_cannot_be_are_refused(tmp_path: Path, segmentation: Any, message: str) -> None:
    start = time.process_time()
    with pytest.raises(InputError, match=rf"annotation 0 cannot be read .*{message}") as caught:
        read_coco(write_coco(tmp_path / "c.json", segmentation))
    assert len(str(caught.value).replace(str(tmp_path), "")) < 300
    assert time.process_time() - start < 3


def test_whole_run_lengths_may_be_written_as_floats(tmp_path: Path) -> None:
    code = {"size": SIZE, "counts": [float(run) for run in runs_of(block_mask())]}
    np.testing.assert_array_equal(drawn(write_coco(tmp_path / "c.json", code)), block_mask())


@pytest.mark.parametrize(
    ("image", "stem"),
    [
        ({"file_name": "../../etc/tile.tif"}, "tile"),
        ({"file_name": "train\\rgb\\tile.tif"}, "tile"),
        ({"file_name": ".."}, ".."),
        ({"file_name": 5}, None),
        ({"file_name": ""}, None),
        ({"id": [1]}, None),
        ({"id": None}, None),
        ({"height": -4}, None),
        ({"height": "32"}, None),
        ({"width": 10**30}, None),
    ],
)
def test_file_names_of_images_are_names_without_folders(
    tmp_path: Path, image: dict[str, Any], stem: str | None
) -> None:
    images = [{"id": 7, "file_name": "a.tif", "height": SIDE_PX, "width": SIDE_PX} | image]
    path = write_coco(tmp_path / "c.json", images=images)
    if stem is not None:
        assert list(read_coco(path)) == [stem]
        return
    with pytest.raises(InputError, match="an image entry lacks"):
        read_coco(path)


@pytest.mark.parametrize("categories", [5, [1], {"a": 1}, [None]])
def test_categories_of_another_form_are_refused(tmp_path: Path, categories: Any) -> None:
    with pytest.raises(InputError, match="categories is not a list of objects"):
        read_coco(write_coco(tmp_path / "c.json", categories=categories))
