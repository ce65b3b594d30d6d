"""Names and texts as users have them: decomposed letters, words in common, folders in folders, heights with units."""

import os
import unicodedata
from pathlib import Path
from typing import Any

import catalog_miniatures as miniature
import geopandas
import numpy as np
import pytest
import shapely
from raster_files import write_png
from test_check_data import FOLDER_YAML, write_folder

from overcast.data.catalogs.folder import folder_catalog
from overcast.data.catalogs.inventory import take_inventory
from overcast.data.catalogs.names import DatasetName
from overcast.data.splits.file import read_split
from overcast.errors import InputError
from overcast.fleet.scenes import find_scenes
from overcast.simulator.options import FootprintOptions
from overcast.simulator.town.given import read_town
from overcast.simulator.town.heights import is_levels, metres

SAR_YAML = FOLDER_YAML.replace(FOLDER_YAML[FOLDER_YAML.index("optical:") : FOLDER_YAML.index("label:")], "")


def chips(root: Path, sar: tuple[str, ...], masks: tuple[str, ...], ending: str = ".png") -> Path:
    """A folder of SAR chips and masks with names of their own."""
    root.mkdir()
    (root / "dataset.yaml").write_text(SAR_YAML)
    for layer, names in (("sar", sar), ("masks", masks)):
        for name in names:
            write_png(root / layer / f"{name}.png", np.eye(8, dtype=np.uint8))
            if layer == "masks":
                (root / layer / f"{name}.png").rename(root / layer / f"{name}{ending}")
    return root


def test_decomposed_and_composed_names_are_one(tmp_path):
    names = ("Zürich_01", "Malmö_02", "서울_03")
    root = chips(tmp_path / "c", tuple(unicodedata.normalize("NFD", name) for name in names), names)
    assert take_inventory(DatasetName.FOLDER, root).complete
    assert {chip.key for chip in folder_catalog(root).chips} == set(names)
    table = tmp_path / "split.csv"
    table.write_text("key,split\n" + "".join(f"{unicodedata.normalize('NFD', name)},train\n" for name in names))
    assert set(read_split(table).train) == set(names)


def test_the_same_name_twice_in_two_compositions_is_told(tmp_path):
    both = tuple(unicodedata.normalize(form, "Malmö") for form in ("NFC", "NFD"))
    with pytest.raises(InputError, match="composed in two ways"):
        folder_catalog(chips(tmp_path / "c", both, ("Malmö",)))


@pytest.mark.parametrize(
    ("sar", "masks", "said"),
    [
        (("t_00_SAR", "t_01_SAR"), ("t_00_mask", "t_01_mask"), "sar has t_..._SAR, masks has t_..._mask"),
        (("SAR-a-1", "SAR-b-2"), ("LBL-a-1", "LBL-b-2"), "sar has SAR-..., masks has LBL-..."),
        (("a", "b"), ("c", "d"), "folders sar, masks; give"),
    ],
)
def test_names_with_nothing_in_common_are_explained(tmp_path, sar, masks, said):
    root = chips(tmp_path / "c", sar, masks)
    sentence = take_inventory(DatasetName.FOLDER, root).sentence
    assert "no file name occurs in all of the folders" in sentence
    assert said in sentence
    assert "lacks" not in sentence
    with pytest.raises(InputError, match="no file name occurs"):
        folder_catalog(root)


@pytest.mark.parametrize("ending", [".jpg", ".JPEG", ".bmp"])
def test_masks_of_another_ending_are_named(tmp_path, ending):
    root = chips(tmp_path / "c", ("a", "b"), ("a", "b"), ending)
    sentence = take_inventory(DatasetName.FOLDER, root).sentence
    assert f"masks holds 2 {ending.lower()}, but" in sentence
    assert "add the files" not in sentence
    with pytest.raises(InputError, match="convert them"):
        folder_catalog(root)


def test_names_that_are_not_utf8_are_refused_readably(tmp_path):
    root = chips(tmp_path / "c", ("a",), ("a",))
    (root / "sar" / "a.png").rename(root / "sar" / os.fsdecode(b"Z\xfcrich.png"))
    with pytest.raises(InputError, match=r"Z\\xfcrich.png has a name that is not UTF-8; rename it"):
        folder_catalog(root)


@pytest.mark.parametrize("inside", ["{0}", "{0}/{0}", "data"])
def test_layers_in_folders_of_their_own_name_are_found(tmp_path, inside):
    root = miniature.write_bright(tmp_path / "bright", optical_of_ukraine=True)
    whole = {part.name: part.found for part in take_inventory(DatasetName.BRIGHT, root, partial=True).parts}
    for layer in ("post-event", "pre-event", "target"):
        files = list((root / layer).iterdir())
        target = root / layer / inside.format(layer)
        target.mkdir(parents=True)
        (root / layer / "__MACOSX").mkdir()
        for file in files:
            file.rename(target / file.name)
    assert {part.name: part.found for part in take_inventory(DatasetName.BRIGHT, root, partial=True).parts} == whole


def test_a_folder_data_set_unpacked_twice_is_found(tmp_path):
    root = write_folder(tmp_path / "town")
    files = list((root / "sar").iterdir())
    (root / "sar" / "sar").mkdir()
    for file in files:
        file.rename(root / "sar" / "sar" / file.name)
    assert take_inventory(DatasetName.FOLDER, root).complete


@pytest.mark.parametrize(
    ("text", "said"),
    [("key;split\na;train\n", "separated by semicolons"), ("Key,Split\na,train\n", "'Key', 'Split'")],
)
def test_tables_from_spreadsheets_are_explained(tmp_path, text, said):
    (tmp_path / "split.csv").write_text(text)
    with pytest.raises(InputError, match=said):
        read_split(tmp_path / "split.csv")


def test_lists_written_on_windows_are_read(tmp_path):
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "a.tif").write_bytes(b"II*\0")
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfmaps\\a.tif\r\n")
    assert find_scenes([str(tmp_path / "list.txt")], ("HH",))[0].files == (tmp_path / "maps" / "a.tif",)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("12.3 m", 12.3),
        ("12,3", 12.3),
        ("12.3m", 12.3),
        (" 7 ", 7.0),
        ("~9 metres", 9.0),
        ("40'", 12.192),
        ("40 ft", 12.192),
        ("6'6\"", 1.9812),
        ("1e1", 10.0),
        (8, 8.0),
        ("3;4", None),
        ("5-7", None),
        ("12 miles", None),
        ("1,234.5", None),
        (None, None),
    ],
)
def test_heights_with_units(text, wanted):
    found = metres([text])[0]
    assert np.isnan(found) if wanted is None else found == pytest.approx(wanted)


@pytest.mark.parametrize(("name", "levels"), [("building:levels", True), ("num_floors", True), ("level_m", False)])
def test_columns_that_count_levels(name, levels):
    assert is_levels(name) is levels


def town(path: Path, **columns: list[Any]) -> Path:
    """Houses in a row with columns of texts."""
    count = len(next(iter(columns.values())))
    shapes = [shapely.box(500000 + 30 * i, 5600000, 500010 + 30 * i, 5600008) for i in range(count)]
    geopandas.GeoDataFrame(columns, geometry=shapes, crs="EPSG:32631").to_file(path)
    return path


def test_towns_with_texts_of_heights_and_levels(tmp_path):
    path = town(tmp_path / "osm.gpkg", height=["6.5 m", "20'"], **{"building:levels": ["2", "5"]})
    heights = read_town(FootprintOptions(file=str(path), height="height"))
    assert [house.height_m for house in heights.buildings] == pytest.approx([6.5, 6.096])
    levels = read_town(FootprintOptions(file=str(path), height="building:levels", level_m=3.5))
    assert [house.height_m for house in levels.buildings] == [7.0, 17.5]
    assert levels.repairs.sentence().endswith("2 with a height counted from levels")


def test_a_column_without_any_height_is_quoted(tmp_path):
    path = town(tmp_path / "osm.gpkg", height=["tall", "low"], other=[1.0, 2.0])
    with pytest.raises(InputError, match=r"'height' holds for example 'tall'.*numeric columns: other"):
        read_town(FootprintOptions(file=str(path), height="height"))
