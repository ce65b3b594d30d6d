"""The paired folder: layouts that work, and one clear sentence for each that does not."""

import shutil
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from affine import Affine
from raster_files import NORTH_UP, UTM, write_png, write_tiff

from overcast.batch import Modality
from overcast.data import patterns
from overcast.data.catalogs.folder import folder_catalog, read_description
from overcast.data.chips import Bounds, read_chip
from overcast.data.labels import LabelSpec
from overcast.errors import InputError, RadiometryError
from overcast.raster.georeference import Georeference, is_metric
from overcast.raster.radiometry import RadarSide

DESCRIPTION = """
name: two towns
class_name: building
licence: CC0-1.0
sar: {folders: [sar], bands: [HH, VV], unit: dB, nodata: 0, gsd_m: 0.5, radar_side: north}
optical: {folders: [optical], bands: [red, green, blue], unit: digital_number, gsd_m: 0.5}
label: {folder: masks, foreground: 1, background: 0, ignore: 255}
place_pattern: "^(?P<place>.+)_[0-9]+$"
"""
NAMES = ("delft_1", "delft_2", "leiden_1")


def shifted(index: int) -> Affine:
    return NORTH_UP @ Affine.translation(16 * index, 0)


def make_folder(root: Path, description: str = DESCRIPTION) -> Path:
    rng = np.random.default_rng(0)
    for index, name in enumerate(NAMES):
        where = shifted(index)
        write_tiff(root / "sar" / f"{name}.tif", rng.normal(20, 5, (2, 16, 16)).astype("float32"), where)
        write_tiff(root / "optical" / f"{name}.tif", rng.integers(1, 255, (3, 16, 16), np.uint8), where)
        write_tiff(root / "masks" / f"{name}.tif", rng.integers(0, 2, (16, 16), np.uint8), where)
    (root / "dataset.yaml").write_text(description)
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "set")


def test_of_many_errors_as_many_are_told_as_fit(tmp_path):
    content = "name: 5\nlicence: 5\nsar: 5\nlabel: 5\n" + "".join(f"{'k' * 40}{n}: 1\n" for n in range(9))
    (tmp_path / "dataset.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"; and \d+ more\.$") as caught:
        read_description(tmp_path / "dataset.yaml")
    assert len(str(caught.value).removeprefix(str(tmp_path))) <= 300


def test_a_described_folder_becomes_a_catalog(root: Path) -> None:
    catalog = folder_catalog(root)
    assert [chip.key for chip in catalog.chips] == list(NAMES)
    assert [chip.place for chip in catalog.chips] == ["delft", "delft", "leiden"]
    assert (catalog.name, catalog.class_name, catalog.licence) == ("two towns", "building", "CC0-1.0")
    assert catalog.radiometry.sar.radar_side is RadarSide.NORTH
    assert catalog.radiometry.sar.nodata == 0
    assert catalog.label == LabelSpec(1, 0, 255)
    assert catalog["leiden_1"].mask == root / "masks" / "leiden_1.tif"
    assert catalog.select(("leiden_1", "delft_1"))[0].place == "leiden"
    bounds = catalog.chips[1].bounds
    assert bounds is not None
    assert (bounds.left, bounds.right, bounds.crs) == (593008.0, 593016.0, UTM)
    with pytest.raises(InputError, match="no chip 'gouda'"):
        catalog["gouda"]


def test_the_description_may_lie_elsewhere_or_be_given(root: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "other.yaml"
    shutil.move(root / "dataset.yaml", elsewhere)
    assert folder_catalog(root, elsewhere) == folder_catalog(root, read_description(elsewhere))
    with pytest.raises(InputError, match=r"dataset\.yaml does not exist"):
        folder_catalog(root)


OMBRIA_LIKE = """
name: floods
class_name: flood
licence: unknown
sar: {folders: [s1_before, s1_after], bands: [before, after], unit: digital_number, gsd_m: 10}
optical: {folders: [s2_after], bands: [red, green, blue], unit: digital_number, gsd_m: 10}
label: {folder: mask, foreground: 255}
"""


def test_subsets_of_png_with_stacked_folders(tmp_path: Path) -> None:
    for subset, names in (("train", ("0001", "0002")), ("test", ("0003",))):
        for name in names:
            grey = np.full((8, 8), int(name), np.uint8)
            write_png(tmp_path / subset / "s1_before" / f"{name}.png", grey)
            write_png(tmp_path / subset / "s1_after" / f"{name}.png", grey + 100)
            write_png(tmp_path / subset / "s2_after" / f"{name}.png", np.dstack([grey] * 3))
            write_png(tmp_path / subset / "mask" / f"{name}.png", np.eye(8, dtype=np.uint8) * 255)
    (tmp_path / "dataset.yaml").write_text(OMBRIA_LIKE)
    catalog = folder_catalog(tmp_path, subset="train")
    assert [chip.key for chip in catalog.chips] == ["train/0001", "train/0002"]
    assert [chip.place for chip in catalog.chips] == ["train/0001", "train/0002"]
    assert catalog.chips[0].bounds is None
    arrays = read_chip(catalog.chips[1], catalog.radiometry, catalog.label, frozenset(Modality))
    assert arrays.sar is not None
    assert arrays.label is not None
    np.testing.assert_array_equal(arrays.sar.values[:, 0, 0], [2, 102])
    np.testing.assert_array_equal(arrays.label, np.eye(8))
    with pytest.raises(InputError, match="choose one of the subsets test, train"):
        folder_catalog(tmp_path)
    with pytest.raises(InputError, match="validation"):
        folder_catalog(tmp_path, subset="validation")


def test_vector_footprints_take_the_place_of_masks(root: Path) -> None:
    shutil.rmtree(root / "masks")
    (root / "footprints").mkdir()
    for index, name in enumerate(NAMES):
        box = shapely.box(593001 + 8 * index, 5749994, 593003 + 8 * index, 5749997)
        frame = geopandas.GeoDataFrame(geometry=[box], crs=UTM)
        frame.to_file(root / "footprints" / f"{name}.{'gpkg' if index else 'geojson'}")
    text = DESCRIPTION.replace("{folder: masks, foreground: 1, background: 0, ignore: 255}", "{folder: footprints}")
    (root / "dataset.yaml").write_text(text)
    catalog = folder_catalog(root)
    for chip in catalog.chips:
        assert chip.mask is None
        label = read_chip(chip, catalog.radiometry, catalog.label, frozenset(Modality)).label
        assert label is not None
        assert label.sum() == 4 * 6


def test_optical_and_labels_are_optional(root: Path) -> None:
    text = "\n".join(line for line in DESCRIPTION.splitlines() if not line.startswith(("optical", "label")))
    (root / "dataset.yaml").write_text(text)
    catalog = folder_catalog(root)
    assert catalog.radiometry.optical is None
    assert catalog.chips[0].optical == ()
    assert not catalog.chips[0].labelled


def test_other_files_beside_the_chips_are_left_alone(root: Path) -> None:
    (root / "sar" / "delft_1.tif.aux.xml").write_text("<x/>")
    (root / "sar" / "README.md").write_text("hello")
    (root / "sar" / ".delft_9.tif").write_text("hidden")
    assert len(folder_catalog(root).chips) == 3


def refusal(root: Path, text: str = DESCRIPTION) -> str:
    (root / "dataset.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        folder_catalog(root)
    return str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("class_name", "clas_name", "class_name: Field required"),
        ("ignore: 255", "ignored: 255", r"label.ignored is not a known key; did you mean ignore"),
        ("gsd_m: 0.5, radar", "gsd: 0.5, radar", "sar.gsd_m: Field required"),
        ("gsd_m: 0.5, radar", "gsd_m: -1, radar", "sar.gsd_m: Input should be greater than 0"),
        ("unit: dB", "unit: decibels", "sar.unit"),
        ("radar_side: north", "look_direction: south", "sar: look_direction is called radar_side: the side on which"),
        ("foreground: 1", "foreground: 0", "dataset.yaml: label: label values must differ"),
        ("(?P<place>.+)_", "(.+)_", "place_pattern: the pattern needs a group"),
        ("(?P<place>.+)_", "(?P<place>.+_", "not a regular expression"),
        ("(?P<place>.+)_", "(?P<place>x+)_", "'delft_1' does not fit place_pattern"),
        ("[HH, VV]", "[HH, HH]", "band names must differ"),
        ("[HH, VV]", "[HH, HV, VV]", "3 bands are declared"),
        ("folder: masks", "folder: labels", "labels is not a folder"),
        ("name: two towns", "name: [", "is not readable YAML"),
    ],
)
def test_a_wrong_description_is_explained(root: Path, old: str, new: str, expected: str) -> None:
    assert old in DESCRIPTION
    message = refusal(root, DESCRIPTION.replace(old, new))
    assert expected in message


@pytest.mark.parametrize("text", ["", "just words", "[1, 2]"])
def test_a_description_without_keys_is_explained(root: Path, text: str) -> None:
    assert "holds no keys" in refusal(root, text)


def test_missing_partners_are_counted_and_named(root: Path) -> None:
    (root / "optical" / "delft_2.tif").unlink()
    message = refusal(root)
    assert "optical lacks 1 of the 3 chips in sar (delft_2)" in message


def test_names_without_anything_in_common(root: Path) -> None:
    for path in sorted((root / "masks").iterdir()):
        path.rename(path.with_name(f"mask_{path.name}"))
    assert "no file name occurs in all of the folders sar, optical, masks" in refusal(root)


def test_two_files_of_one_name_are_refused(root: Path) -> None:
    write_png(root / "masks" / "delft_1.png", np.zeros((16, 16), np.uint8))
    assert "holds both delft_1.png and delft_1.tif" in refusal(root)


def test_an_empty_folder_is_named(root: Path) -> None:
    shutil.rmtree(root / "optical")
    (root / "optical").mkdir()
    assert "optical holds no file ending in .png, .tif, .tiff" in refusal(root)


def test_a_root_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere is not a folder"):
        folder_catalog(tmp_path / "nowhere")


@pytest.mark.parametrize(("folder", "resampling"), [("optical", "bilinear"), ("masks", "near")])
def test_files_on_different_grids_are_refused_with_the_command(root: Path, folder: str, resampling: str) -> None:
    path = root / folder / "leiden_1.tif"
    bands = 3 if folder == "optical" else 1
    write_tiff(path, np.ones((bands, 8, 8), np.uint8), shifted(2) @ Affine.scale(2))
    message = refusal(root)
    assert f"{path} (8 x 8 pixels" in message
    assert f"gdalwarp -t_srs {UTM} -te 593016.0 5749992.0 593024.0 5750000.0 -ts 16 16 -r {resampling}" in message


def test_a_wrong_pixel_size_is_refused(root: Path) -> None:
    (root / "dataset.yaml").write_text(DESCRIPTION.replace("gsd_m: 0.5, radar", "gsd_m: 5, radar"))
    with pytest.raises(
        RadiometryError, match=r"0\.5 m x 0\.5 m on the ground .* but 5 m x 5 m are declared; .* prepare"
    ):
        folder_catalog(root)


def in_degrees(root: Path, width: float, height: float) -> None:
    """The chips with pixels of so many degrees, at 52 degrees north."""
    for index, name in enumerate(NAMES):
        where = Affine(width, 0, 5 + index, 0, -height, 52)
        for folder, bands in (("sar", 2), ("optical", 3), ("masks", 1)):
            values = np.ones((bands, 16, 16), np.float32 if folder == "sar" else np.uint8)
            write_tiff(root / folder / f"{name}.tif", values, where, "EPSG:4326")


def test_chips_in_degrees_have_their_pixel_size_on_the_ground(root: Path) -> None:
    in_degrees(root, 0.5 / 68_680, 0.5 / 111_270)
    bounds = folder_catalog(root).chips[0].bounds
    assert bounds is not None
    assert bounds.crs == "EPSG:4326"
    assert (bounds.left, bounds.top) == (5, 52)


def test_pixels_that_fit_by_their_area_alone_are_refused(root: Path) -> None:
    """Square in degrees, 0.39 m x 0.64 m on the ground: an area of 0.25 m^2."""
    side = 0.5 / (68_680 * 111_270) ** 0.5
    in_degrees(root, side, side)
    with pytest.raises(RadiometryError, match=r"0\.393 m x 0\.636 m on the ground .* 0\.5 m x 0\.5 m .* prepare"):
        folder_catalog(root)


@pytest.mark.parametrize(
    ("crs", "metric"), [("EPSG:32631", True), ("EPSG:4326", False), ("EPSG:3857", False), ("EPSG:2227", False)]
)
def test_degrees_feet_and_web_mercator_are_not_metres_on_the_ground(crs: str, metric: bool) -> None:
    assert is_metric(crs) is metric


def test_bounds_are_the_envelope_of_a_rotated_grid() -> None:
    turned = Affine.translation(100, 200) @ Affine.rotation(90)
    bounds = Bounds.of(Georeference(4, 10, turned, UTM))
    assert bounds is not None
    assert (bounds.left, bounds.bottom, bounds.right, bounds.top) == pytest.approx((96, 200, 100, 210))
    assert Bounds.of(Georeference(4, 10, turned, None)) is None


@pytest.mark.parametrize("pattern", ["^(?P<place>(a+)+)b$", "^(?P<place>(a|aa)+)$b", "(?P<place>" + "a*" * 25 + ")b$"])
def test_a_pattern_that_never_ends_is_stopped(monkeypatch: pytest.MonkeyPatch, pattern: str) -> None:
    monkeypatch.setattr(patterns, "LIMIT_S", 0.5)
    with pytest.raises(InputError, match=r"place_pattern .* needs more than 0\.5 s for 1 names; write it without"):
        patterns.search_names(patterns.check_pattern(pattern, "place"), "place", ["a" * 200])


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(" * 5000, "more than 500"),
        ("(?P<place>a{99999999999999999999})", "not a regular expression"),
        ("(?P<place>[[a]&&b])(", "not a regular expression"),
        ("(a)", "needs a group"),
    ],
)
def test_patterns_that_are_none_are_said(pattern: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        patterns.check_pattern(pattern, "place")


def test_names_are_searched_in_order() -> None:
    assert patterns.search_names("(?P<place>.+)_", "place", ["a_1", "b", "ü_2"]) == ["a", None, "ü"]


@pytest.mark.parametrize("name", ["a" * 300, "a\\0b", "a\\nb"])
def test_names_that_no_file_can_have_are_said(root: Path, name: str) -> None:
    message = refusal(root, DESCRIPTION.replace("folders: [sar]", f'folders: ["{name}"]'))
    assert "sar.folders.0: is no name of a file or folder" in message
